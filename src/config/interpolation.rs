//! `${NAME}` in a service file: the value of an environment variable.
//!
//! Done on the values of the parsed document, not on its text: whatever a variable holds, it
//! can only ever become that one value, never a new key.

use std::collections::BTreeMap;

use super::document::{Kind, Node, Scalar, shorten};
use super::finding::Finding;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces each `${NAME}` in the tree; `$${` stands for a literal `${`. The values that could not
/// be made are reported under their node's id.
pub fn interpolate(node: &mut Node, environment: Environment) -> BTreeMap<usize, Finding> {
    let mut failures = BTreeMap::new();
    visit(node, &mut Vec::new(), environment, &mut failures);
    failures
}

fn visit(
    node: &mut Node,
    keys: &mut Vec<String>,
    environment: Environment,
    failures: &mut BTreeMap<usize, Finding>,
) {
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            if let Err(problem) = replace(scalar, environment) {
                let finding = Finding::error(node.place, problem.message).hint(problem.hint);
                failures.insert(node.id, finding.key(keys.join(".")));
            }
        }
        Kind::Sequence(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                keys.push((index + 1).to_string());
                visit(item, keys, environment, failures);
                keys.pop();
            }
        }
        Kind::Mapping(entries) => {
            for entry in entries {
                keys.push(shorten(&entry.key));
                visit(&mut entry.value, keys, environment, failures);
                keys.pop();
            }
        }
    }
}

struct Problem {
    message: String,
    hint: String,
}

fn replace(scalar: &mut Scalar, environment: Environment) -> Result<(), Problem> {
    let mut result = String::new();
    let mut rest = scalar.text.as_str();
    let mut interpolated = false;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            result.push_str(&rest[..dollar - 1]);
            result.push_str("${");
            rest = &rest[dollar + 2..];
            continue;
        }
        result.push_str(&rest[..dollar]);
        let name_and_rest = &rest[dollar + 2..];
        let (name, after) = name_and_rest.split_once('}').ok_or_else(|| Problem {
            message: "`${` has no closing brace".to_owned(),
            hint: "write $${ for a literal ${".to_owned(),
        })?;
        if !is_variable_name(name) {
            return Err(Problem {
                message: format!("`${{{}}}` is not a variable's name", shorten(name)),
                hint: "only ${NAME} is understood; write $${ for a literal ${".to_owned(),
            });
        }
        let value = environment(name).ok_or_else(|| Problem {
            message: format!("the environment variable {name} is not set"),
            hint: format!(
                "set {name} where the service is started, or write $${{ for a literal ${{"
            ),
        })?;
        result.push_str(&value);
        interpolated = true;
        rest = after;
    }
    result.push_str(rest);
    scalar.text = result;
    scalar.interpolated |= interpolated;
    Ok(())
}

/// What POSIX and Docker take as the name of an environment variable.
pub fn is_variable_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpolated(text: &str) -> Result<String, String> {
        let mut scalar = Scalar {
            text: text.to_owned(),
            plain: true,
            interpolated: false,
        };
        let environment = |name: &str| (name == "NAME").then(|| "value ${NAME}".to_owned());
        replace(&mut scalar, &environment).map_err(|problem| problem.message)?;
        Ok(scalar.text)
    }

    #[test]
    fn variables_are_replaced_once_and_only_where_meant() {
        for (text, expected) in [
            ("", Ok("")),
            ("$NAME $ {NAME} $", Ok("$NAME $ {NAME} $")),
            ("a${NAME}b", Ok("avalue ${NAME}b")),
            ("$${NAME}", Ok("${NAME}")),
            ("$${a}${NAME}", Ok("${a}value ${NAME}")),
            ("${OTHER}", Err("the environment variable OTHER is not set")),
            ("${NAME", Err("`${` has no closing brace")),
            ("${}", Err("`${}` is not a variable's name")),
            ("${A:-b}", Err("`${A:-b}` is not a variable's name")),
        ] {
            let outcome = interpolated(text);
            assert_eq!(
                outcome.as_deref().map_err(String::as_str),
                expected,
                "{text}"
            );
        }
    }
}
