//! What is looked for in a log: text or a regular expression, made so that no match crosses a
//! line's end. A block of many lines can then be searched at once, and finds what a search of
//! each line alone would find.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look,
    Repetition,
};

/// The compiled pattern and its caches may take this many bytes each: a pattern is given by
/// whoever asks.
const PATTERN_MEMORY: usize = 1 << 20;

/// The pattern is written out again with a group around each of its parts, a few for each that
/// the parser let pass (250 within each other, its default).
const NESTED: u32 = 1000;

/// What is looked for. A match lies within one line.
#[derive(Debug, Clone)]
pub struct Query {
    pub(super) regex: Regex,
    /// Whether what follows a match decides on it, as with `$` and `\b` at its end.
    pub(super) ends_with_look: bool,
}

impl Query {
    /// Looks for the text as it stands.
    ///
    /// # Errors
    ///
    /// Where the text is too long (beyond some 10,000 characters).
    pub fn text(text: &str, case_sensitive: bool) -> Result<Self, regex::Error> {
        Self::regex(&regex::escape(text), case_sensitive)
    }

    /// Looks for a regular expression in the syntax of the regex crate, whose search takes time
    /// linear in the log's size whatever the expression is. `^` and `$` are a line's ends, and
    /// so are `\A` and `\z`; a carriage return before the newline belongs to the line.
    pub fn regex(pattern: &str, case_sensitive: bool) -> Result<Self, regex::Error> {
        let parsed = ParserBuilder::new()
            .case_insensitive(!case_sensitive)
            .multi_line(true)
            .utf8(false)
            .build()
            .parse(pattern)
            .map_err(|error| regex::Error::Syntax(error.to_string()))?;
        let within_line = within_line(parsed);
        let regex = RegexBuilder::new(&within_line.to_string())
            .nest_limit(NESTED)
            .size_limit(PATTERN_MEMORY)
            .dfa_size_limit(PATTERN_MEMORY)
            .build()?;
        Ok(Self {
            regex,
            ends_with_look: !within_line.properties().look_set_suffix_any().is_empty(),
        })
    }
}

/// The expression that matches in a text of many lines what this one matches in each line
/// alone. Without it `[^:]+` would run over line after line to the end of what is searched, once
/// for each line: time would be quadratic.
fn within_line(expression: Hir) -> Hir {
    match expression.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(within_line(*repetition.sub)),
            ..repetition
        }),
        // Which part of a match a group has is of no interest.
        HirKind::Capture(group) => within_line(*group.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(within_line).collect()),
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.into_iter().map(within_line).collect())
        }
    }
}
