//! Masking of secrets in a log, while it streams.
//!
//! A script prints what it likes, a token of its environment among it, and the log is shown to
//! people. So the values of secrets are replaced before a byte reaches the disk. The stream
//! arrives in pieces that end anywhere, within a secret too: only the suffix of what has come
//! that could still become a secret is held back, so that a line is seen the moment it is
//! written. What comes out does not depend on how the stream was cut into pieces; that is what
//! lets a log be continued from any recorded place after a restart.

mod forms;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use aho_corasick::{AhoCorasick, Input, MatchKind};

/// What stands in the log in place of a secret.
pub const MASK: &[u8] = b"***";

/// Secrets shorter than this many characters are left alone: masking `1` or `yes` would blot
/// out half of a log, and tell everyone the value by where the blots are.
pub const SHORTEST_SECRET: usize = 6;

/// So are those of fewer different characters, such as a line of dashes or an indentation.
pub const FEWEST_CHARACTERS: usize = 3;

/// A secret whose value is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmasked {
    pub name: String,
    pub why: Common,
}

impl fmt::Display for Unmasked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, why } = self;
        write!(formatter, "{name} is not masked in logs: it is {why}")
    }
}

/// Why masking a value would blot out what is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Common {
    /// It has fewer than [`SHORTEST_SECRET`] characters.
    Short,
    /// It has fewer than [`FEWEST_CHARACTERS`] different ones.
    Monotonous,
    /// It is part of what everyone knows of the build.
    Public,
}

impl fmt::Display for Common {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Common::Short => write!(formatter, "shorter than {SHORTEST_SECRET} characters"),
            Common::Monotonous => write!(
                formatter,
                "made of fewer than {FEWEST_CHARACTERS} different characters"
            ),
            Common::Public => formatter.write_str("part of the build's own names"),
        }
    }
}

/// Whether this value would be found in logs by chance.
pub fn common(value: &str) -> Option<Common> {
    if value.chars().take(SHORTEST_SECRET).count() < SHORTEST_SECRET {
        return Some(Common::Short);
    }
    let different = value.chars().collect::<BTreeSet<_>>().len();
    (different < FEWEST_CHARACTERS).then_some(Common::Monotonous)
}

/// Replaces secrets in a stream of bytes.
///
/// Where two secrets begin at one place the longer is replaced; a secret is looked for after
/// the end of the one before, so of two that overlap only the first is recognised.
///
/// ```ignore
/// let mut masker = Masker::new([("TOKEN", "hunter2!")], &[]);
/// assert_eq!(&*masker.push(b"token hunt"), b"token ");
/// assert_eq!(&*masker.push(b"er2!\n"), b"***\n");
/// ```
#[derive(Clone)]
pub struct Masker {
    /// `None` where there is nothing to mask.
    secrets: Option<Secrets>,
    /// The end of the stream so far that could begin a secret; shorter than the longest secret.
    held: Vec<u8>,
    unmasked: Vec<Unmasked>,
}

#[derive(Clone)]
struct Secrets {
    automaton: AhoCorasick,
    patterns: Vec<Vec<u8>>,
}

impl Masker {
    /// Masks the values of the given (name, value) pairs, in each form in which tools print them.
    /// `public`: names that a log is full of; a value that is part of one is left alone.
    pub fn new<Name, Value>(
        secrets: impl IntoIterator<Item = (Name, Value)>,
        public: &[&str],
    ) -> Self
    where
        Name: Into<String>,
        Value: AsRef<str>,
    {
        let mut patterns: Vec<String> = Vec::new();
        let mut unmasked = Vec::new();
        for (name, value) in secrets {
            // A value read from a file commonly ends in a line end that is not part of it; one
            // that began with a line end would hold back every line's.
            let value = value.as_ref().trim_matches(['\r', '\n']);
            let known = public.iter().any(|public| public.contains(value));
            match common(value).or(known.then_some(Common::Public)) {
                Some(why) => unmasked.push(Unmasked {
                    name: name.into(),
                    why,
                }),
                None => patterns.extend(forms::of(value)),
            }
        }
        patterns.retain(|form| common(form).is_none());
        patterns.sort_unstable();
        patterns.dedup();

        let secrets = (!patterns.is_empty()).then(|| Secrets {
            automaton: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(&patterns)
                .expect("the size of a service file keeps secrets far below the limits"),
            patterns: patterns.into_iter().map(String::into_bytes).collect(),
        });
        Self {
            secrets,
            held: Vec::new(),
            unmasked,
        }
    }

    /// A masker that changes nothing.
    #[cfg(test)]
    pub fn none() -> Self {
        Self::new(std::iter::empty::<(String, &str)>(), &[])
    }

    /// The secrets that are shown as they are, for a warning.
    pub fn unmasked(&self) -> &[Unmasked] {
        &self.unmasked
    }

    /// How many bytes of what was pushed have not come out yet.
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// Takes the stream's next bytes and gives those that may be written now. Nothing is copied
    /// when no secret is near.
    pub fn push<'a>(&mut self, input: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(secrets) = &self.secrets else {
            return Cow::Borrowed(input);
        };
        if self.held.is_empty() {
            let (output, settled) = secrets.mask(input);
            self.held.extend_from_slice(&input[settled..]);
            return output;
        }
        self.held.extend_from_slice(input);
        let joined = std::mem::take(&mut self.held);
        let (output, settled) = secrets.mask(&joined);
        let output = output.into_owned();
        self.held.extend_from_slice(&joined[settled..]);
        Cow::Owned(output)
    }

    /// Ends the stream, or a stretch of it: gives what was held back. A cut-off secret is itself
    /// masked when it is as long as a secret that would be; a shorter beginning is shown.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        match &self.secrets {
            Some(secrets) => secrets.mask_rest(held),
            None => held,
        }
    }

    /// Masks a text that is whole, such as a line of the service's own. The stream's state is
    /// not touched.
    pub fn mask_whole<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(secrets) = &self.secrets else {
            return Cow::Borrowed(text);
        };
        let (output, settled) = secrets.mask(text);
        if settled == text.len() {
            return output;
        }
        let mut output = output.into_owned();
        output.extend(secrets.mask_rest(text[settled..].to_vec()));
        Cow::Owned(output)
    }

    /// The same for a text that stays one.
    pub fn mask_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask_whole(text.as_bytes())).into_owned()
    }
}

impl Secrets {
    /// Masks as much of `text` as no further byte can change. Returns that, and how many bytes
    /// of `text` it stands for.
    fn mask<'a>(&self, text: &'a [u8]) -> (Cow<'a, [u8]>, usize) {
        let mut open = self.open_suffix(text, 0);
        let mut masked: Option<Vec<u8>> = None;
        let mut position = 0;
        // A match that begins before the open suffix can neither grow nor be preceded by another
        // one: either would make the suffix begin there.
        while let Some(found) = self.automaton.find(Input::new(text).range(position..)) {
            if found.start() >= open {
                break;
            }
            let output = masked.get_or_insert_with(|| Vec::with_capacity(text.len()));
            output.extend_from_slice(&text[position..found.start()]);
            output.extend_from_slice(MASK);
            position = found.end();
            if position > open {
                open = self.open_suffix(text, position);
            }
        }
        match masked {
            None => (Cow::Borrowed(&text[..open]), open),
            Some(mut output) => {
                output.extend_from_slice(&text[position..open]);
                (Cow::Owned(output), open)
            }
        }
    }

    /// Masks what was held back when nothing follows any more.
    fn mask_rest(&self, mut rest: Vec<u8>) -> Vec<u8> {
        let mut output = Vec::new();
        // What is held back begins with a beginning of a secret, and may hold whole secrets too.
        while !rest.is_empty() {
            let whole = self
                .automaton
                .find(Input::new(&rest))
                .filter(|found| found.start() == 0);
            let end = match whole {
                Some(found) => found.end(),
                None if rest.len() >= SHORTEST_SECRET && self.open_suffix(&rest, 0) == 0 => {
                    rest.len()
                }
                None => {
                    output.push(rest.remove(0));
                    continue;
                }
            };
            output.extend_from_slice(MASK);
            rest.drain(..end);
        }
        output
    }

    /// Where the longest suffix of `text[from..]` begins that is a secret's proper prefix;
    /// `text.len()` when there is none.
    fn open_suffix(&self, text: &[u8], from: usize) -> usize {
        let mut open = text.len();
        for pattern in &self.patterns {
            // In a window shorter than the secret the secret cannot be completed.
            let window = from.max((text.len() + 1).saturating_sub(pattern.len()));
            if window >= open {
                continue;
            }
            let begins = memchr::memchr_iter(pattern[0], &text[window..open])
                .map(|position| window + position)
                .find(|&position| pattern.starts_with(&text[position..]));
            open = begins.unwrap_or(open);
        }
        open
    }
}

/// Secrets never reach a debug output.
impl fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Masker")
            .field("held_back", &self.held.len())
            .field("unmasked", &self.unmasked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(secrets: &[&str]) -> Masker {
        Masker::new(
            secrets.iter().map(|secret| (secret.to_string(), secret)),
            &[],
        )
    }

    fn mask_in_pieces(masker: &mut Masker, text: &[u8], pieces: &[usize]) -> Vec<u8> {
        let mut output = Vec::new();
        let mut rest = text;
        for &length in pieces {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            output.extend_from_slice(&masker.push(piece));
            rest = after;
        }
        output.extend_from_slice(&masker.push(rest));
        output.extend(masker.finish());
        output
    }

    #[test]
    fn a_secret_is_replaced_also_when_it_comes_in_single_bytes() {
        let mut masker = masker(&["hunter2!"]);
        let text = b"a hunter2! b hunter2!hunter2! hunter hunter2";
        let expected = b"a *** b ****** hunter ***".as_slice();
        assert_eq!(mask_in_pieces(&mut masker, text, &[]), expected);
        assert_eq!(
            mask_in_pieces(&mut masker, text, &vec![1; text.len()]),
            expected
        );
    }

    #[test]
    fn nothing_is_held_back_or_copied_where_no_secret_can_begin() {
        let mut masker = masker(&["hunter2!"]);
        assert!(matches!(
            masker.push(b"compiling\n"),
            Cow::Borrowed(b"compiling\n")
        ));
        assert_eq!(masker.held_back(), 0);
        assert_eq!(&*masker.push(b"hunting h"), b"hunting ");
        assert_eq!(masker.held_back(), 1);
        assert_eq!(&*masker.push(b"unters"), b"hunters");
        assert_eq!(masker.held_back(), 0);
    }

    #[test]
    fn the_longer_of_two_secrets_with_one_beginning_wins() {
        for pieces in [vec![], vec![1; 30], vec![6, 1, 9]] {
            let mut masker = masker(&["secret", "secretive"]);
            let output = mask_in_pieces(&mut masker, b"secretive secretiv secret", &pieces);
            assert_eq!(output, b"*** ***iv ***");
        }
    }

    #[test]
    fn each_long_line_of_a_key_is_masked() {
        let key = "abcdefgh\r\n  ijklmnop\nxy\n";
        let masker = masker(&[key]);
        assert_eq!(&*masker.mask_whole(key.as_bytes()), b"***\n");
        assert_eq!(
            &*masker.mask_whole(b"1: abcdefgh\n2: ijklmnop 12345 xy ijklmno"),
            b"1: ***\n2: *** 12345 xy ***"
        );
    }

    #[test]
    fn a_secret_is_masked_in_base64_and_addresses_too() {
        let mut masker = masker(&["hunter2!?>"]);
        // Basic authentication of user:hunter2!?>
        let text = b"Authorization: Basic dXNlcjpodW50ZXIyIT8+\nGET /?token=hunter2%21%3F%3E&x=1\n";
        let expected = b"Authorization: Basic dXNlcjp***\nGET /?token=***&x=1\n".as_slice();
        assert_eq!(mask_in_pieces(&mut masker, text, &[]), expected);
        assert_eq!(
            mask_in_pieces(&mut masker, text, &vec![1; text.len()]),
            expected
        );
    }

    #[test]
    fn common_values_are_shown_and_named_with_the_reason() {
        let secrets = [
            ("PIN", "12345"),
            ("EMPTY", ""),
            ("RULE", "------------"),
            ("OWNER", "acme-org"),
            ("TOKEN", "acme-org-token"),
        ];
        let masker = Masker::new(secrets, &["acme-org/app", "main"]);
        let why = masker
            .unmasked()
            .iter()
            .map(|secret| (secret.name.as_str(), secret.why));
        assert_eq!(
            why.collect::<Vec<_>>(),
            [
                ("PIN", Common::Short),
                ("EMPTY", Common::Short),
                ("RULE", Common::Monotonous),
                ("OWNER", Common::Public),
            ]
        );
        let text = b"12345 -------------- acme-org/app acme-org-token";
        assert_eq!(
            &*masker.mask_whole(text),
            b"12345 -------------- acme-org/app ***"
        );
    }

    #[test]
    fn a_debug_output_shows_no_secret() {
        let mut masker = masker(&["hunter2!"]);
        masker.push(b"hunter2");
        assert!(!format!("{masker:?}").contains("hunter"));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'c'), Just(b'\n')], 0..400),
            secrets in proptest::collection::vec("abc[abc]{3,6}(\nacb[abc]{3,5})?", 1..4),
            pieces in proptest::collection::vec(0usize..20, 0..60),
        ) {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            prop_assert!(masker(&secrets).unmasked().is_empty());
            let whole = mask_in_pieces(&mut masker(&secrets), &text, &[]);
            prop_assert_eq!(mask_in_pieces(&mut masker(&secrets), &text, &pieces), whole.clone());
            for secret in secrets {
                let secret = secret.as_bytes();
                prop_assert!(!whole.windows(secret.len()).any(|window| window == secret));
            }
        }
    }
}
