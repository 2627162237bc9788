//! Which pushes a recipe is for, by the files that they change: its `paths` or `paths_ignore`.
//!
//! Patterns are those of GitHub Actions, so that nobody has to learn others.
//! Source: <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#filter-pattern-cheat-sheet>.
//! They become regular expressions of a kind whose matching takes linear time, as both the
//! patterns and the names of files come from outside.

use std::fmt;
use std::str::FromStr;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// More than a list for people has; each is held against each changed file.
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN_BYTES: usize = 1000;

/// Whether a push is built, by the files that it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathFilter {
    /// It is where at least one of them matches.
    Paths(Patterns),
    /// It is unless all of them match.
    PathsIgnore(Patterns),
}

/// What a filter says of a push, and why in one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Build(String),
    Skip(String),
}

impl PathFilter {
    /// Decides by the names of all files that a push changes, each from the repository's root.
    ///
    /// A push that changes no file is built: nobody makes an empty commit by accident, and to
    /// have a build is what most are made for. GitHub documents nothing about it.
    pub fn decide(&self, changed: &[String]) -> Decision {
        if changed.is_empty() {
            return Decision::Build("the push changes no file".to_owned());
        }
        match self {
            Self::Paths(patterns) => {
                let matcher = patterns.matcher();
                match changed.iter().find(|path| matcher.matches(path)) {
                    Some(path) => Decision::Build(format!("{} matches `paths`", Shortened(path))),
                    None => Decision::Skip(format!(
                        "no changed file matches `paths` ({} changed)",
                        count_files(changed.len())
                    )),
                }
            }
            Self::PathsIgnore(patterns) => {
                let matcher = patterns.matcher();
                match changed.iter().find(|path| !matcher.matches(path)) {
                    Some(path) => Decision::Build(format!(
                        "{} does not match `paths_ignore`",
                        Shortened(path)
                    )),
                    None => Decision::Skip(format!(
                        "every changed file matches `paths_ignore` ({} changed)",
                        count_files(changed.len())
                    )),
                }
            }
        }
    }
}

fn count_files(number: usize) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} file{plural}")
}

/// A file's name for one line: it may hold anything but a zero byte.
struct Shortened<'a>(&'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(120) {
            Some((end, _)) => write!(formatter, "{:?}…", &self.0[..end]),
            None => write!(formatter, "{:?}", self.0),
        }
    }
}

/// A list of patterns that can match something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Pattern>", into = "Vec<Pattern>")]
pub struct Patterns(Vec<Pattern>);

/// Why patterns that are good one by one make no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternsError {
    #[error("no pattern is listed")]
    Empty,
    #[error("more than {MAX_PATTERNS} patterns are listed")]
    TooMany,
    /// As GitHub has it for `paths`; a `paths_ignore` like that would ignore nothing.
    #[error("every pattern begins with !, so there is nothing that they exclude from")]
    OnlyNegated,
}

impl TryFrom<Vec<Pattern>> for Patterns {
    type Error = PatternsError;

    fn try_from(patterns: Vec<Pattern>) -> Result<Self, PatternsError> {
        if patterns.is_empty() {
            Err(PatternsError::Empty)
        } else if patterns.len() > MAX_PATTERNS {
            Err(PatternsError::TooMany)
        } else if patterns.iter().all(|pattern| pattern.negated().is_some()) {
            Err(PatternsError::OnlyNegated)
        } else {
            Ok(Self(patterns))
        }
    }
}

impl From<Patterns> for Vec<Pattern> {
    fn from(patterns: Patterns) -> Self {
        patterns.0
    }
}

/// As they are listed, with commas.
impl fmt::Display for Patterns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<&str> = self.0.iter().map(|pattern| pattern.0.as_str()).collect();
        formatter.write_str(&patterns.join(", "))
    }
}

impl Patterns {
    pub fn matches(&self, text: &str) -> bool {
        self.matcher().matches(text)
    }

    fn matcher(&self) -> Matcher {
        let compiled = |pattern: &Pattern| (pattern.negated().is_none(), pattern.regex());
        Matcher(self.0.iter().map(compiled).collect())
    }
}

/// Patterns made ready. Recipes are read from the store far more often than files are matched,
/// so they do not hold this.
struct Matcher(Vec<(bool, Regex)>);

impl Matcher {
    /// The last pattern that matches decides: one that begins with `!` takes out what earlier
    /// ones took in, and a later one takes it in again.
    fn matches(&self, path: &str) -> bool {
        let last = self.0.iter().rev().find(|(_, regex)| regex.is_match(path));
        last.is_some_and(|(takes_in, _)| *takes_in)
    }
}

/// One pattern, which was checked when it was parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Why a text is no pattern, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a pattern: {fault}", Shortened(text))]
pub struct PatternError {
    text: String,
    fault: Fault,
}

/// Positions are characters of the pattern, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    #[error("it begins with {0}, and paths are told from the repository's root without that")]
    NotFromRoot(&'static str),
    #[error("it ends with /, and only folders do; write ** after it for the files in one")]
    Folder,
    #[error("`{1}` at character {0} has no character before it that it could repeat")]
    NothingToRepeat(usize, char),
    #[error("the `[` at character {0} has no `]`")]
    UnclosedSet(usize),
    #[error("the `[]` at character {0} holds no character")]
    EmptySet(usize),
    #[error("a set cannot be negated, as at character {0}; write \\{1} for the character itself")]
    NegatedSet(usize, char),
    #[error("the range at character {0} is none of a-z, A-Z and 0-9 or a part of them")]
    BadRange(usize),
    #[error("the `\\` at character {0} has nothing after it")]
    NothingEscaped(usize),
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match translate(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(fault) => Err(PatternError {
                text: text.to_owned(),
                fault,
            }),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0
    }
}

impl Pattern {
    /// What stands after the `!`, where there is one.
    fn negated(&self) -> Option<&str> {
        self.0.strip_prefix('!')
    }

    fn regex(&self) -> Regex {
        let text = translate(&self.0).expect("it was checked when it was parsed");
        Regex::new(&text).expect("a translation is valid and of bounded size")
    }
}

/// The regular expression for a pattern, which matches whole paths.
fn translate(text: &str) -> Result<String, Fault> {
    if text.len() > MAX_PATTERN_BYTES {
        return Err(Fault::TooLong);
    }
    let characters: Vec<char> = text.chars().collect();
    let start = usize::from(text.starts_with('!'));
    if characters.len() == start {
        return Err(Fault::Empty);
    }
    for prefix in ["/", "./", "../"] {
        if text[start..].starts_with(prefix) {
            return Err(Fault::NotFromRoot(prefix));
        }
    }
    if text.ends_with('/') {
        return Err(Fault::Folder);
    }

    // A file's name may hold a line feed, which a dot matches only if it is told so.
    let mut regex = String::from(r"(?s)\A");
    // Whether `?` or `+` may follow.
    let mut is_repeatable = false;
    let mut position = start;
    while let Some(&character) = characters.get(position) {
        let rest = &characters[position..];
        let place = position + 1;
        let mut length = 1;
        match character {
            '*' => {
                length = rest.iter().take_while(|next| **next == '*').count();
                let begins_part = position == start || characters[position - 1] == '/';
                if length == 1 {
                    regex.push_str("[^/]*");
                } else if begins_part && rest.get(length) == Some(&'/') {
                    // Folders, or none: `docs/**/*.md` is documented to match docs/README.md.
                    length += 1;
                    regex.push_str("(?:.*/)?");
                } else {
                    regex.push_str(".*");
                }
                is_repeatable = false;
            }
            '?' | '+' => {
                if !is_repeatable {
                    return Err(Fault::NothingToRepeat(place, character));
                }
                regex.push(character);
                is_repeatable = false;
            }
            '[' => {
                length = translate_set(rest, place, &mut regex)?;
                is_repeatable = true;
            }
            '\\' => {
                let escaped = rest.get(1).ok_or(Fault::NothingEscaped(place))?;
                length = 2;
                push_literal(*escaped, &mut regex);
                is_repeatable = true;
            }
            literal => {
                push_literal(literal, &mut regex);
                is_repeatable = true;
            }
        }
        position += length;
    }
    regex.push_str(r"\z");
    Ok(regex)
}

/// Translates the set that `rest` begins with; `place` is that of its bracket. Returns how many
/// characters it takes.
fn translate_set(rest: &[char], place: usize, regex: &mut String) -> Result<usize, Fault> {
    regex.push('[');
    let mut position = 1;
    loop {
        let at = place + position;
        let (low, length) = match rest.get(position) {
            None => return Err(Fault::UnclosedSet(place)),
            Some(']') if position == 1 => return Err(Fault::EmptySet(place)),
            Some(']') => break,
            // As in a shell, where GitHub means the character itself: better asked than guessed.
            Some(&mark @ ('!' | '^')) if position == 1 => return Err(Fault::NegatedSet(at, mark)),
            Some('\\') => (rest.get(position + 1).ok_or(Fault::UnclosedSet(place))?, 2),
            Some(character) => (character, 1),
        };
        push_literal(*low, regex);
        position += length;
        let is_range = rest.get(position) == Some(&'-')
            && rest.get(position + 1).is_some_and(|next| *next != ']');
        if is_range {
            let high = rest[position + 1];
            if !is_documented_range(*low, high) {
                return Err(Fault::BadRange(at));
            }
            regex.push('-');
            push_literal(high, regex);
            position += 2;
        }
    }
    regex.push(']');
    Ok(position + 1)
}

fn is_documented_range(low: char, high: char) -> bool {
    let kinds = [
        char::is_ascii_lowercase,
        char::is_ascii_uppercase,
        char::is_ascii_digit,
    ];
    low <= high && kinds.iter().any(|is_kind| is_kind(&low) && is_kind(&high))
}

/// By its number, which means the same everywhere in a regular expression.
fn push_literal(character: char, regex: &mut String) {
    if character.is_ascii_alphanumeric() {
        regex.push(character);
    } else {
        regex.push_str(&format!(r"\x{{{:x}}}", u32::from(character)));
    }
}

#[cfg(test)]
mod tests;
