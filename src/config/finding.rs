//! What is wrong with a file, and where: for people and for machines.
//!
//! A finding shows the text it is about, and of a service file nothing beside it: the rest of
//! the line may hold a token.

use std::fmt::{self, Write as _};

use saphyr_parser::{Marker, Span};
use serde::{Deserialize, Serialize};

/// A stretch of one line. Lines and columns count from 1, columns in characters; line 0 is the
/// file as a whole.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    #[serde(skip)]
    pub width: usize,
}

impl Place {
    pub const FILE: Self = Self {
        line: 0,
        column: 0,
        width: 0,
    };
    pub const START: Self = Self {
        line: 1,
        column: 1,
        width: 0,
    };

    pub fn at(marker: &Marker, width: usize) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
            width,
        }
    }

    pub fn of(span: &Span) -> Self {
        let width = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            // A text of several lines: its first line is marked to the end.
            usize::MAX
        };
        Self::at(&span.start, width)
    }
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file is used; its author probably meant something else.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    pub severity: Severity,
    /// As it was given: relative to a configuration directory's root, or the path of the file.
    pub file: String,
    #[serde(flatten)]
    pub place: Place,
    /// `docker.registries.host.password`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, in one sentence without its place.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
    /// The source line, or what of it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub excerpt: Option<Excerpt>,
    /// The text at this place is a secret.
    #[serde(skip)]
    pub(super) secret: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Excerpt {
    pub text: String,
    /// Where the marked part begins in `text`, and how long it is, in characters.
    pub start: usize,
    pub width: usize,
}

impl Finding {
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: String::new(),
            place,
            key: String::new(),
            message: message.into(),
            expected: None,
            hint: None,
            excerpt: None,
            secret: false,
        }
    }

    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message)
        }
    }

    /// An error of a file that could not be looked into.
    pub fn file_error(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            ..Self::error(Place::FILE, message)
        }
    }

    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.maybe_hint(Some(hint.into()))
    }

    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `acme/app/main.yaml:3`, or the file alone where it is meant as a whole.
    pub fn location(&self) -> String {
        let file = printable(&self.file);
        match self.place.line {
            0 => file,
            line => format!("{file}:{line}"),
        }
    }

    /// For people: a paragraph, with the source line and a mark under what is meant. `color` adds
    /// terminal colours.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        self.write(&mut out, color)
            .expect("writing to a string does not fail");
        out
    }

    fn write(&self, out: &mut String, color: bool) -> fmt::Result {
        let paint = |code: &'static str| if color { code } else { "" };
        let (bold, reset) = (paint("\x1b[1m"), paint("\x1b[0m"));
        let (label, tint) = match self.severity {
            Severity::Error => ("error", paint("\x1b[1;31m")),
            Severity::Warning => ("warning", paint("\x1b[1;33m")),
        };
        write!(out, "{bold}{}", printable(&self.file))?;
        if self.place.line > 0 {
            write!(out, ":{}:{}", self.place.line, self.place.column)?;
        }
        write!(out, ":{reset} {tint}{label}:{reset} ")?;
        if !self.key.is_empty() {
            write!(out, "{bold}{}:{reset} ", printable(&self.key))?;
        }
        out.push_str(&printable(&self.message));
        if let Some(expected) = &self.expected {
            write!(out, "; expected {}", printable(expected))?;
        }
        out.push('\n');
        if let Some(excerpt) = &self.excerpt {
            let number = self.place.line.to_string();
            let margin = " ".repeat(number.len());
            writeln!(out, " {number} | {}", printable(&excerpt.text))?;
            let indent = " ".repeat(excerpt.start);
            let carets = "^".repeat(excerpt.width.max(1));
            writeln!(out, " {margin} | {indent}{tint}{carets}{reset}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(out, "   hint: {}", printable(hint))?;
        }
        Ok(())
    }
}

/// More than anyone reads at once.
const MAX_FINDINGS: usize = 100;

/// Adds file and source lines to the findings of one file, and leaves out what is too much.
/// `discreet`: nothing of a line but the marked text is shown.
pub(super) fn locate(
    mut findings: Vec<Finding>,
    file: &str,
    source: &str,
    discreet: bool,
) -> Vec<Finding> {
    if findings.len() > MAX_FINDINGS {
        // Errors stay before warnings.
        findings.sort_by_key(|finding| (finding.severity, finding.place));
        let left_out = findings.len() - MAX_FINDINGS;
        findings.truncate(MAX_FINDINGS);
        let severity = findings.last().map(|last| last.severity);
        findings.push(Finding {
            severity: severity.unwrap_or(Severity::Error),
            ..Finding::error(
                Place::FILE,
                format!("{left_out} more findings are left out"),
            )
        });
    }
    let lines: Vec<&str> = lines(source).collect();
    for finding in &mut findings {
        finding.file = file.to_owned();
        let number = finding.place.line.checked_sub(1);
        if let Some(line) = number.and_then(|number| lines.get(number)) {
            let line = line.strip_prefix('\u{feff}').unwrap_or(line);
            let excerpt = excerpt(line, finding.place, discreet, finding.secret);
            finding.excerpt = Some(excerpt).filter(|excerpt| !excerpt.text.trim().is_empty());
        }
    }
    findings
}

/// The lines of a text as YAML counts them: a carriage return alone ends one, too.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Control characters in names and lines from outside must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            character if character.is_control() => '\u{fffd}',
            character => character,
        })
        .collect()
}

const MAX_SHOWN: usize = 160;

fn excerpt(line: &str, place: Place, discreet: bool, secret: bool) -> Excerpt {
    let characters: Vec<char> = line.chars().collect();
    let from = (place.column - 1).min(characters.len());
    let to = from.saturating_add(place.width).min(characters.len());
    let before: String = characters[..from].iter().collect();
    let marked: String = if secret {
        "…".to_owned()
    } else {
        let mut shown: String = characters[from..to].iter().take(MAX_SHOWN).collect();
        if to - from > MAX_SHOWN {
            shown.push('…');
        }
        shown
    };
    let before = if (discreet && !is_only_a_key(&before)) || from > MAX_SHOWN {
        "… ".to_owned()
    } else {
        before
    };
    let after: String = if discreet || secret {
        rest_of_key(&before, &characters[to..])
    } else {
        characters[to..].iter().take(MAX_SHOWN).collect()
    };
    Excerpt {
        start: before.chars().count(),
        width: marked.chars().count(),
        text: format!("{before}{marked}{after}"),
    }
}

/// What follows the marked text up to the colon, if the mark stands in a key.
fn rest_of_key(before: &str, after: &[char]) -> String {
    let is_word = |character: &&char| character.is_alphanumeric() || "-_./".contains(**character);
    let word: String = after.iter().take_while(is_word).collect();
    let is_key = before.trim().is_empty() && after.get(word.chars().count()) == Some(&':');
    match is_key {
        true => word + ":",
        false => String::new(),
    }
}

/// Whether a line's beginning is indentation and at most one key: nothing that could be a value.
fn is_only_a_key(before: &str) -> bool {
    let rest = before.trim_start_matches([' ', '-']);
    let key = rest.trim_end();
    key.is_empty()
        || key.strip_suffix(':').is_some_and(|key| {
            key.chars()
                .all(|character| character.is_alphanumeric() || "-_./".contains(character))
        })
}

/// All that is wrong, in the order of the files and lines. For machines: an array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        Self(findings)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    pub fn into_vec(self) -> Vec<Finding> {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn errors(&self) -> usize {
        self.0.iter().filter(|finding| finding.is_error()).count()
    }

    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// For people: all of them, as [`Finding::render`] shows each.
    pub fn render(&self, color: bool) -> String {
        self.0.iter().map(|finding| finding.render(color)).collect()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Findings {}
