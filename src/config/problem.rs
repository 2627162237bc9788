//! An error on its way up from the value that caused it.
//!
//! serde tells its error trait what was found and what was expected. Kept apart here, and put
//! into the words of someone who writes YAML, they become a finding.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::document::{Kind, Node, shorten};
use super::finding::{Finding, Place};

/// What serde's error trait is told, and where. Boxed, as it is part of every result.
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
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            message: message.into(),
            ..Details::default()
        }))
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    /// The innermost node that an error passes is its cause.
    pub fn at(mut self, id: usize, place: Place) -> Self {
        self.0.cause.get_or_insert((id, place));
        self
    }

    pub fn below(mut self, key: &str) -> Self {
        self.0.keys.insert(0, shorten(key));
        self
    }

    /// The value at fault must not be shown.
    pub fn of_a_secret(mut self) -> Self {
        self.0.secret = true;
        self
    }

    /// Caused by this value or by something in it. The value of an environment variable is not
    /// repeated: it may be a secret that was put into the wrong key.
    pub fn of_value(mut self, node: &Node, place: Place) -> Self {
        if let Kind::Scalar(scalar) = &node.kind
            && scalar.interpolated
        {
            let what = match scalar.text.is_empty() {
                true => "the environment variable is empty",
                false => "the environment variable's value does not fit here",
            };
            self.0.message = what.to_owned();
            self.0.hint = None;
        }
        self.at(node.id, place)
    }

    /// If the key that is said to be missing was given and reported, one report is enough.
    pub fn unless_reported(mut self, is_reported: impl Fn(&str) -> bool) -> Self {
        if self.0.cause.is_none() && self.0.missing.is_some_and(is_reported) {
            self.0.is_follow_up = true;
        }
        self
    }

    /// The id of the node that caused it and, unless it is the consequence of one reported
    /// before, the finding to report.
    pub fn conclude(self) -> (Option<usize>, Option<Finding>) {
        let details = *self.0;
        let (id, place) = details.cause.unzip();
        let mut finding = Finding::error(place.unwrap_or(Place::START), details.message)
            .key(details.keys.join("."))
            .maybe_hint(details.hint);
        finding.expected = details.expected;
        finding.secret = details.secret;
        (id, (!details.is_follow_up).then_some(finding))
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
        problem.hint(where_to_find(field).map(str::to_owned))
    }
}

/// For keys whose value is made elsewhere.
fn where_to_find(key: &str) -> Option<&'static str> {
    match key {
        "id" => Some("give the App ID, which the App's page on GitHub shows"),
        "private_key" => Some(
            "give as `private_key_file` the file that GitHub made when a private key was generated for the App",
        ),
        _ => None,
    }
}

pub fn unknown_key(found: &str, known: &'static [&'static str]) -> Problem {
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
