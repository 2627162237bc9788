//! Searching a log: line by line in meaning, block by block in fact, so that a log of any size,
//! or one with a line of any length, is searched in a few hundred KiB of memory.

use std::io;

use regex::bytes::{Regex, RegexBuilder};

use super::count_newlines;
use super::reader::LogReader;

const BLOCK: usize = 256 * 1024;

/// A line longer than a block is searched in pieces that overlap by this much: a match longer
/// than it may be missed there, and nowhere else.
const OVERLAP: usize = 4 * 1024;

/// How much of a line is shown around a match, and how much of that stands before it.
const EXCERPT: usize = 256;
const EXCERPT_BEFORE: usize = 80;

/// The compiled pattern and its caches may take this many bytes each: a pattern is given by
/// whoever asks.
const PATTERN_MEMORY: usize = 1 << 20;

/// What is looked for. A match lies within one line.
#[derive(Debug, Clone)]
pub struct Query(Regex);

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
    /// linear in the log's size whatever the expression is. `^` and `$` are a line's ends; a
    /// carriage return before the newline belongs to the line.
    pub fn regex(pattern: &str, case_sensitive: bool) -> Result<Self, regex::Error> {
        RegexBuilder::new(pattern)
            .case_insensitive(!case_sensitive)
            .multi_line(true)
            .size_limit(PATTERN_MEMORY)
            .dfa_size_limit(PATTERN_MEMORY)
            .build()
            .map(Self)
    }
}

/// The first match in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// From 1.
    pub line: u64,
    /// Where the match begins in its line, in bytes, from 1.
    pub column: u64,
    /// Bytes.
    pub length: u64,
    /// At most 256 bytes of the line, beginning at `excerpt_column`.
    pub excerpt: Vec<u8>,
    /// Where the excerpt begins in the line, in bytes, from 1.
    pub excerpt_column: u64,
}

/// A part of a search's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub matches: Vec<Match>,
    /// From which line to go on; `None` when the log was searched to its end.
    pub next_line: Option<u64>,
}

impl LogReader {
    /// Looks through the log from line `from_line` on, until `limit` lines matched or about
    /// `max_bytes` were searched (a GB takes about a second).
    pub fn search(
        &self,
        query: &Query,
        from_line: u64,
        limit: usize,
        max_bytes: u64,
    ) -> io::Result<Found> {
        let first_line = from_line.max(1);
        let Some(start) = self.offset_of_line(first_line)? else {
            return Ok(Found {
                matches: Vec::new(),
                next_line: None,
            });
        };
        let mut scan = Scan {
            query,
            limit,
            matches: Vec::new(),
            line: first_line,
            line_begun: 0,
            line_matched: false,
        };
        let mut buffer = vec![0; BLOCK];
        let mut filled = 0;
        let mut offset = start;
        loop {
            // At least one line, so that each call gets further.
            let is_enough = offset - start >= max_bytes && scan.line > first_line;
            if scan.is_full() || (is_enough && scan.line_begun == 0) {
                let next_line = Some(scan.line);
                return Ok(scan.into_found(next_line));
            }
            let read = self.read_into(&mut buffer[filled..], offset)?;
            offset += read as u64;
            let fresh = filled;
            filled += read;
            let settled = if read == 0 {
                scan.lines(&buffer[..filled]);
                let next_line = scan.is_full().then_some(scan.line);
                return Ok(scan.into_found(next_line));
            } else if let Some(newline) = memchr::memrchr(b'\n', &buffer[fresh..filled]) {
                let end = fresh + newline + 1;
                scan.lines(&buffer[..end]);
                end
            } else if filled == BLOCK {
                scan.piece_of_line(&buffer);
                BLOCK - OVERLAP
            } else {
                0
            };
            buffer.copy_within(settled..filled, 0);
            filled -= settled;
        }
    }
}

struct Scan<'a> {
    query: &'a Query,
    limit: usize,
    matches: Vec<Match>,
    /// The line at which the next bytes begin.
    line: u64,
    /// How much of that line was looked at already, when it is longer than a block. The last of
    /// those bytes begins the next piece again, so that `^` does not match there.
    line_begun: u64,
    line_matched: bool,
}

impl Scan<'_> {
    fn is_full(&self) -> bool {
        self.matches.len() >= self.limit
    }

    /// Searches bytes that end where a line ends. When the limit is reached, `line` is left at
    /// the line to go on from.
    fn lines(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut counted = 0;
        let mut line = self.line;
        let mut position = usize::from(self.line_begun > 0);
        while position <= text.len() {
            let Some(found) = self.query.0.find_at(text, position) else {
                break;
            };
            let line_start = memchr::memrchr(b'\n', &text[..found.start()]).map_or(0, |at| at + 1);
            let line_end = memchr::memchr(b'\n', &text[found.start()..])
                .map_or(text.len(), |at| found.start() + at);
            // `\s` and the like match a line end too; what counts is a match within the line.
            let from = position.max(line_start);
            let within = match found.end() <= line_end {
                true => Some(found),
                false => self.query.0.find_at(&text[..line_end], from),
            };
            position = line_end + 1;
            let Some(found) = within else { continue };
            if line_start == 0 && self.line_matched {
                continue;
            }
            line += count_newlines(&text[counted..line_start]);
            counted = line_start;
            self.add(line, &text[line_start..line_end], line_start, found);
            if self.is_full() {
                self.line = line + 1;
                return;
            }
        }
        self.line += count_newlines(bytes);
        self.line_begun = 0;
        self.line_matched = false;
    }

    /// Searches a block within a line that goes on after it.
    fn piece_of_line(&mut self, piece: &[u8]) {
        let kept_from = piece.len() - OVERLAP;
        let from = usize::from(self.line_begun > 0);
        if !self.line_matched
            && let Some(found) = self.query.0.find_at(piece, from)
            && found.start() <= kept_from
        {
            self.add(self.line, piece, 0, found);
            self.line_matched = true;
            if self.is_full() {
                self.line += 1;
            }
        }
        self.line_begun += kept_from as u64;
    }

    fn add(&mut self, number: u64, line: &[u8], line_start: usize, found: regex::bytes::Match) {
        let before = if line_start == 0 { self.line_begun } else { 0 };
        let start = found.start() - line_start;
        let excerpt_start = start.saturating_sub(EXCERPT_BEFORE);
        let excerpt_end = line.len().min(excerpt_start + EXCERPT);
        self.matches.push(Match {
            line: number,
            column: before + start as u64 + 1,
            length: found.len() as u64,
            excerpt: line[excerpt_start..excerpt_end].to_vec(),
            excerpt_column: before + excerpt_start as u64 + 1,
        });
    }

    fn into_found(self, next_line: Option<u64>) -> Found {
        Found {
            matches: self.matches,
            next_line,
        }
    }
}
