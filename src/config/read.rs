//! Tree → typed value, with every error and not only the first.
//!
//! serde's derived readers stop at their first error. So they are run again: each round ends in
//! one error, the node that caused it is put aside as if it were not there, and the next round
//! finds the next. What was put aside once causes no further error. This keeps a configuration
//! key to one line of one struct, and still tells an operator everything at once.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::document::{Entry, Kind, Node, Scalar, shorten};
use super::finding::{Finding, Place};

/// Past this many errors the file is something else altogether.
const MAX_ERRORS: usize = 50;
/// A secret's file; an RSA key of 16,384 bits has 13 KiB.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The newtype names by which [`super::Secret`] and [`super::Secrets`] make themselves known to
/// the reader below, so that `x_file` works for each of them and for nothing else.
pub const SECRET: &str = "Secret";
pub const SECRETS: &str = "Secrets";

/// Reads a value; `None` where errors leave no value. `aside` holds the nodes already reported.
pub fn read<'de, T: Deserialize<'de>>(
    node: &'de Node,
    base: &'de Path,
    aside: &mut BTreeSet<usize>,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    for _ in 0..MAX_ERRORS {
        let scope = Scope { base, aside };
        let problem = match T::deserialize(Reader { node, scope }) {
            Ok(value) => return Some(value),
            Err(problem) => *problem.0,
        };
        let (id, place) = problem.cause.unwrap_or((node.id, node.place));
        let is_new = aside.insert(id);
        if !problem.is_follow_up {
            let mut finding = Finding::error(place, problem.message)
                .key(problem.keys.join("."))
                .maybe_hint(problem.hint);
            finding.expected = problem.expected;
            finding.secret = problem.secret;
            findings.push(finding);
        }
        // The root has no place it could be left out of.
        if id == node.id || !is_new {
            return None;
        }
    }
    findings.push(Finding::error(node.place, "too many errors to go on"));
    None
}

/// What serde's error trait is told, and where.
#[derive(Debug)]
pub struct Problem(Box<Details>);

#[derive(Debug, Default)]
struct Details {
    message: String,
    expected: Option<String>,
    hint: Option<String>,
    /// From the outermost key to the innermost, once it has come all the way up.
    keys: Vec<String>,
    cause: Option<(usize, Place)>,
    missing: Option<&'static str>,
    /// A consequence of an error that has been reported.
    is_follow_up: bool,
    secret: bool,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            message: message.into(),
            ..Details::default()
        }))
    }

    fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    /// The innermost node that an error passes is its cause.
    fn at(mut self, id: usize, place: Place) -> Self {
        self.0.cause.get_or_insert((id, place));
        self
    }

    fn below(mut self, key: impl Into<String>) -> Self {
        self.0.keys.insert(0, key.into());
        self
    }
}

impl Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: Display>(message: T) -> Self {
        // A text of the form "found …; expected …" keeps its halves.
        let message = message.to_string();
        match message.split_once("; expected ") {
            Some((found, expected)) => Self::new(found).expected(expected),
            None => Self::new(message),
        }
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(format!("found {}", describe(&found))).expected(plainly(&expected.to_string()))
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("found \"{}\"", shorten(found)))
            .expected(known.join(" | "))
            .hint(did_you_mean(found, known.iter().copied()))
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        unknown_key(found, known)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut problem = Self::new(format!("the key `{field}` is missing"));
        problem.0.missing = Some(field);
        problem
    }
}

fn unknown_key(found: &str, known: &'static [&'static str]) -> Problem {
    let hint = did_you_mean(found, known.iter().copied())
        .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
    Problem::new(format!("`{}` is not a known key", shorten(found))).hint(Some(hint))
}

/// The nearest known word, if one is near enough to have been meant.
pub fn did_you_mean<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // Names of megabytes cost quadratic time to compare, and resemble none of ours.
    if found.len() > 100 {
        return None;
    }
    let lower = found.to_lowercase().replace('-', "_");
    known
        .map(|word| (strsim::jaro_winkler(&lower, word), word))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

/// serde's words for what was found, as a reader of YAML would say it.
fn describe(found: &Unexpected) -> String {
    match found {
        Unexpected::Str(text) => format!("the text \"{}\"", shorten(text)),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section".to_owned(),
        other => shorten(&other.to_string()),
    }
}

/// serde's words for what it wanted.
fn plainly(expected: &str) -> String {
    match expected {
        "a string" => "a text",
        "a boolean" => "true or false",
        "a map" => "a section",
        "a sequence" => "a list",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        text if text.starts_with("struct ") => "a section",
        text => text,
    }
    .to_owned()
}

#[derive(Clone, Copy)]
struct Scope<'de, 'a> {
    /// What relative paths of secrets' files are relative to.
    base: &'de Path,
    aside: &'a BTreeSet<usize>,
}

impl Scope<'_, '_> {
    fn is_aside(&self, entry: &Entry) -> bool {
        self.aside.contains(&entry.key_id) || self.aside.contains(&entry.value.id)
    }
}

struct Reader<'de, 'a> {
    node: &'de Node,
    scope: Scope<'de, 'a>,
}

impl<'de> Reader<'de, '_> {
    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Scalar(scalar) => visit_scalar(scalar, visitor),
            Kind::Sequence(items) => visitor.visit_seq(Items {
                items: items.iter(),
                position: 0,
                scope: self.scope,
            }),
            Kind::Mapping(entries) => {
                visitor.visit_map(Entries::new(entries, None, false, self.scope))
            }
        }
    }

    /// Texts are taken as they are written: a branch `1.10` is no number, and an environment
    /// variable may be `true`.
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Scalar(scalar) if !self.node.is_null() => visitor
                .visit_borrowed_str(&scalar.text)
                .map_err(|problem: Problem| without_value(problem, scalar)),
            _ => self.any(visitor),
        }
    }

    fn section<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        // A section whose keys are all commented out is null, and means all its defaults.
        let entries = match &self.node.kind {
            Kind::Scalar(_) if self.node.is_null() => &[],
            Kind::Mapping(entries) => entries.as_slice(),
            _ => return self.any(visitor),
        };
        #[cfg(test)]
        coverage::note(std::any::type_name::<V::Value>(), known, entries);
        let scope = self.scope;
        visitor
            .visit_map(Entries::new(entries, Some(known), true, scope))
            .map_err(|mut problem| {
                problem.0.is_follow_up |= problem.0.cause.is_none()
                    && problem.0.missing.is_some_and(|missing| {
                        entries.iter().any(|entry| {
                            scope.is_aside(entry)
                                && entry.key.strip_suffix("_file").unwrap_or(&entry.key) == missing
                        })
                    });
                problem
            })
    }
}

/// serde_yaml decides what a plain scalar is: null, a boolean, a number or a text.
fn visit_scalar<'de, V: Visitor<'de>>(
    scalar: &'de Scalar,
    visitor: V,
) -> Result<V::Value, Problem> {
    // Everything that can be a number, a boolean or null is made of these. What is not must not
    // be parsed again: the value of a variable may hold YAML of its own.
    let may_be_special = scalar.plain
        && scalar.text.len() <= 40
        && scalar
            .text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.~_".contains(&byte));
    let value = match may_be_special {
        true => serde_yaml::from_str(&scalar.text).unwrap_or(serde_yaml::Value::Bool(false)),
        false => serde_yaml::Value::String(scalar.text.clone()),
    };
    let result = match value {
        serde_yaml::Value::Null => visitor.visit_unit(),
        serde_yaml::Value::Bool(value) => visitor.visit_bool(value),
        serde_yaml::Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                visitor.visit_u64(number)
            } else if let Some(number) = number.as_i64() {
                visitor.visit_i64(number)
            } else {
                visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        _ => visitor.visit_borrowed_str(&scalar.text),
    };
    result.map_err(|problem| without_value(problem, scalar))
}

/// The value of an environment variable may be a secret that was put into the wrong key.
fn without_value(mut problem: Problem, scalar: &Scalar) -> Problem {
    if scalar.interpolated {
        problem.0.message = "the environment variable's value does not fit here".to_owned();
        problem.0.hint = None;
    }
    problem
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.node.place);
        self.any(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.node.place);
        self.text(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.node.place);
        self.section(known, visitor)
            .map_err(|problem| problem.at(id, place))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.node.place);
        if self.node.is_null() {
            return visitor.visit_map(Entries::new(&[], None, false, self.scope));
        }
        self.any(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.node.place);
        self.any(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let result = match &self.node.kind {
            Kind::Scalar(scalar) => {
                let text: StrDeserializer<Problem> = scalar.text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
                    .map_err(|problem| without_value(problem, scalar))
            }
            Kind::Sequence(_) => Err(Problem::new("found a list").expected(variants.join(" | "))),
            Kind::Mapping(_) => Err(Problem::new("found a section").expected(variants.join(" | "))),
        };
        result.map_err(|problem| problem.at(self.node.id, self.node.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.node.place);
        let result = match (name, &self.node.kind) {
            (SECRETS, Kind::Mapping(entries)) => {
                let entries = Entries::new(entries, None, true, self.scope);
                visitor.visit_newtype_struct(de::value::MapAccessDeserializer::new(entries))
            }
            (SECRET, _) => visitor.visit_newtype_struct(self).map_err(|mut problem| {
                problem.0.secret = true;
                problem
            }),
            _ => visitor.visit_newtype_struct(self),
        };
        result.map_err(|problem| problem.at(id, place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

struct Items<'de, 'a> {
    items: std::slice::Iter<'de, Node>,
    position: usize,
    scope: Scope<'de, 'a>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        for node in self.items.by_ref() {
            self.position += 1;
            if self.scope.aside.contains(&node.id) {
                continue;
            }
            let scope = self.scope;
            return seed
                .deserialize(Reader { node, scope })
                .map(Some)
                .map_err(|problem| {
                    problem
                        .at(node.id, node.place)
                        .below(self.position.to_string())
                });
        }
        Ok(None)
    }
}

struct Entries<'de, 'a> {
    all: &'de [Entry],
    rest: std::slice::Iter<'de, Entry>,
    /// The keys of a section; `None` where any key may stand.
    known: Option<&'static [&'static str]>,
    /// Whether `x_file` may stand for a secret `x`.
    files: bool,
    current: Option<(&'de Entry, bool)>,
    scope: Scope<'de, 'a>,
}

impl<'de, 'a> Entries<'de, 'a> {
    fn new(
        all: &'de [Entry],
        known: Option<&'static [&'static str]>,
        files: bool,
        scope: Scope<'de, 'a>,
    ) -> Self {
        Self {
            all,
            rest: all.iter(),
            known,
            files,
            current: None,
            scope,
        }
    }

    /// The key that an entry is for, and whether its value is the path of a file.
    fn meaning(&self, entry: &'de Entry) -> Result<(&'de str, bool), Problem> {
        let key = entry.key.as_str();
        let secret = key.strip_suffix("_file").filter(|_| self.files);
        let (name, is_file) = match (self.known, secret) {
            (Some(known), _) if known.contains(&key) => (key, false),
            (Some(known), Some(secret)) if known.contains(&secret) => (secret, true),
            (Some(known), _) => return Err(unknown_key(key, known)),
            (None, Some(secret)) => (secret, true),
            (None, None) => (key, false),
        };
        if is_file && let Some(other) = self.all.iter().find(|other| other.key == name) {
            return Err(
                Problem::new(format!("both `{name}` and `{key}` are given")).hint(Some(format!(
                    "`{name}` is in line {}",
                    other.key_place.line
                ))),
            );
        }
        Ok((name, is_file))
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        while let Some(entry) = self.rest.next() {
            if self.scope.is_aside(entry) {
                continue;
            }
            let (name, is_file) = self
                .meaning(entry)
                .map_err(|problem| problem.at(entry.key_id, entry.key_place).below(&entry.key))?;
            // In a section, null is the same as leaving the key out.
            if self.known.is_some() && entry.value.is_null() {
                continue;
            }
            self.current = Some((entry, is_file));
            return seed
                .deserialize(BorrowedStrDeserializer::new(name))
                .map(Some)
                .map_err(|problem: Problem| {
                    problem
                        .at(entry.key_id, entry.key_place)
                        .below(shorten(&entry.key))
                });
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        let (entry, is_file) = self.current.take().expect("serde asks for the key first");
        let (node, scope) = (&entry.value, self.scope);
        let result = match is_file {
            true => seed.deserialize(SecretFile {
                entry,
                base: scope.base,
            }),
            false => seed.deserialize(Reader { node, scope }),
        };
        result.map_err(|problem| problem.at(node.id, node.place).below(shorten(&entry.key)))
    }
}

/// Stands where `x_file: PATH` was given for `x`: yields the file's content to a secret, and to
/// anything else an error.
struct SecretFile<'de> {
    entry: &'de Entry,
    base: &'de Path,
}

impl SecretFile<'_> {
    fn content(&self) -> Result<String, Problem> {
        let path: PathBuf = match &self.entry.value.kind {
            Kind::Scalar(scalar) if !scalar.text.is_empty() => self.base.join(&scalar.text),
            _ => return Err(Problem::new("this is not a path").expected("the path of a file")),
        };
        let shown = shorten(&path.display().to_string());
        let size = std::fs::metadata(&path).map(|metadata| metadata.len());
        if size.is_ok_and(|size| size > MAX_SECRET_BYTES) {
            let message = format!("{shown} is larger than {MAX_SECRET_BYTES} bytes");
            return Err(Problem::new(message));
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Problem::new(format!("cannot read {shown}: {error}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(Problem::new(format!("{shown} is empty")));
        }
        Ok(text.to_owned())
    }
}

impl<'de> Deserializer<'de> for SecretFile<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Problem> {
        let key = &self.entry.key;
        let hint = "only a secret may be given as a file".to_owned();
        Err(
            Problem::new(format!("`{}` is not a known key", shorten(key)))
                .hint(Some(hint))
                .at(self.entry.key_id, self.entry.key_place),
        )
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        if name != SECRET {
            return self.deserialize_any(visitor);
        }
        let content: StringDeserializer<Problem> = self.content()?.into_deserializer();
        visitor.visit_newtype_struct(content)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Which keys of the structs that were read never stood in what was read: what
/// `config.example.yaml` forgets to mention.
#[cfg(test)]
pub mod coverage {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    use super::Entry;

    /// Struct and key → whether it was there.
    type Seen = BTreeMap<(String, &'static str), bool>;

    thread_local! {
        static SEEN: RefCell<Seen> = RefCell::default();
    }

    pub fn start() {
        SEEN.with_borrow_mut(Seen::clear);
    }

    pub(super) fn note(name: &str, known: &'static [&'static str], entries: &[Entry]) {
        let name = name.rsplit("::").next().unwrap_or(name);
        SEEN.with_borrow_mut(|seen| {
            for key in known {
                let is_there = entries.iter().any(|entry| {
                    entry.key == *key || entry.key.strip_suffix("_file") == Some(*key)
                });
                *seen.entry((name.to_owned(), *key)).or_default() |= is_there;
            }
        });
    }

    /// As `Struct.key`.
    pub fn absent() -> BTreeSet<String> {
        SEEN.with_borrow(|seen| {
            let absent = seen.iter().filter(|(_, is_there)| !**is_there);
            absent
                .map(|((name, key), _)| format!("{name}.{key}"))
                .collect()
        })
    }
}
