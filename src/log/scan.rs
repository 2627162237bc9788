//! Searching some lines of a log on one thread: line by line in meaning, block by block in fact,
//! so that a log of any size, or one with a line of any length, is searched in a few hundred KiB
//! of memory (a few MiB where there is an escape sequence at every other byte).
//!
//! What is searched is what a terminal would show: escape sequences are left out of the blocks.

use std::io;
use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::count_newlines;
use super::escapes::Escapes;
use super::query::Query;
use super::reader::LogReader;

const BLOCK: usize = 256 * 1024;

/// A line longer than a block is searched in pieces that overlap by this much: a match longer
/// than it may be missed there, and nowhere else.
const OVERLAP: usize = 4 * 1024;

/// So much of a piece is only there so that `^` and `\b` see what stands before a match: the
/// longest character.
const CONTEXT: usize = 4;

/// How much of a line is shown around a match, and how much of that stands before it.
const EXCERPT: usize = 256;
const EXCERPT_BEFORE: usize = 80;

/// Where a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineStart {
    pub offset: u64,
    /// From 1.
    pub line: u64,
}

/// Whole lines, from the beginning of one to the beginning of another or the log's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub from: LineStart,
    pub to: LineStart,
}

/// The first match in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// From 1.
    pub line: u64,
    /// Where the match begins in its line, as that is in the log: in bytes, from 1.
    pub column: u64,
    /// Bytes of the log, with the escape sequences within the match.
    pub length: u64,
    /// At most 256 bytes of the line, without escape sequences.
    pub excerpt: Vec<u8>,
    /// Where the excerpt's first byte stands in the line, as `column` does.
    pub excerpt_column: u64,
}

/// A line that matches; where in it is worked out only for who asks.
pub(super) struct Hit<'a> {
    pub line: u64,
    query: &'a Query,
    escapes: &'a Escapes,
    text: &'a [u8],
    /// Somewhere in the line; nothing before it in the line matches.
    from: usize,
    line_end: usize,
    /// Where in the log the line begins in which the text begins.
    first_line_offset: u64,
}

impl Hit<'_> {
    pub fn to_match(&self) -> Match {
        let newline = memchr::memrchr(b'\n', &self.text[..self.from]);
        let line_start = newline.map_or(0, |at| at + 1);
        let line_offset =
            newline.map_or(self.first_line_offset, |at| self.escapes.offset_of(at) + 1);
        let found = self.query.regex.find_at(self.text, self.from);
        let found = found.expect("the line matches");
        let start = self.escapes.offset_of(found.start());
        // What is left out after the last byte is not a part of the match.
        let length = match found.is_empty() {
            true => 0,
            false => self.escapes.offset_of(found.end() - 1) + 1 - start,
        };
        let excerpt_start = line_start.max(found.start().saturating_sub(EXCERPT_BEFORE));
        let excerpt_end = self.line_end.min(excerpt_start + EXCERPT);
        Match {
            line: self.line,
            column: start - line_offset + 1,
            length,
            excerpt: self.text[excerpt_start..excerpt_end].to_vec(),
            excerpt_column: self.escapes.offset_of(excerpt_start) - line_offset + 1,
        }
    }
}

impl LogReader {
    /// Calls `each` with the first match of each line of the part that has one, in their order,
    /// until it has enough.
    ///
    /// # Errors
    ///
    /// `Interrupted` soon after `stop` was told.
    pub(super) fn scan(
        &self,
        query: &Query,
        part: Part,
        stop: &CancellationToken,
        each: impl FnMut(Hit<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut scan = Scan {
            query,
            each,
            line: part.from.line,
            line_offset: part.from.offset,
            within_line: false,
            line_matched: false,
        };
        let mut escapes = Escapes::starting_at(part.from.offset);
        let mut cursor = self.cursor()?;
        let mut buffer = vec![0; BLOCK];
        let mut filled = 0;
        let mut offset = part.from.offset;
        loop {
            if stop.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = usize::try_from(part.to.offset - offset).unwrap_or(usize::MAX);
            let wanted = left.min(BLOCK - filled);
            let read = cursor.read_into(&mut buffer[filled..filled + wanted], offset)?;
            offset += read as u64;
            let fresh = filled;
            filled = escapes.leave_out(&mut buffer[..filled + read], fresh);
            let (flow, settled) = if read == 0 {
                // Of a last line of sequences alone nothing is left: it is an empty line.
                if offset > scan.line_offset {
                    let _ = scan.lines(&buffer[..filled], &escapes);
                }
                return Ok(());
            } else if let Some(newline) = memchr::memrchr(b'\n', &buffer[fresh..filled]) {
                let end = fresh + newline + 1;
                (scan.lines(&buffer[..end], &escapes), end)
            } else if filled == BLOCK {
                (scan.piece_of_line(&buffer, &escapes), BLOCK - OVERLAP)
            } else {
                (ControlFlow::Continue(()), 0)
            };
            if flow.is_break() {
                return Ok(());
            }
            if settled > 0 {
                buffer.copy_within(settled..filled, 0);
                filled -= settled;
                escapes.move_on(settled);
            }
        }
    }
}

struct Scan<'a, F> {
    query: &'a Query,
    each: F,
    /// The line at which the next bytes begin.
    line: u64,
    /// Where in the log that line begins.
    line_offset: u64,
    /// Whether some of that line was looked at already, as it is longer than a block. The next
    /// piece begins with the last [`CONTEXT`] of those bytes.
    within_line: bool,
    line_matched: bool,
}

impl<F: FnMut(Hit<'_>) -> ControlFlow<()>> Scan<'_, F> {
    /// Where a match may begin in the next bytes.
    fn first_start(&self) -> usize {
        if self.within_line { CONTEXT } else { 0 }
    }

    /// Searches bytes that end where a line ends.
    fn lines(&mut self, bytes: &[u8], escapes: &Escapes) -> ControlFlow<()> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut line = self.line;
        let mut counted = 0;
        let mut position = self.first_start();
        while position <= text.len()
            && let Some(end) = self.query.regex.shortest_match_at(text, position)
        {
            // No match has a newline in it: where one ends tells its line.
            let line_end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at);
            line += count_newlines(&text[counted..end]);
            counted = end;
            let newline = memchr::memrchr(b'\n', &text[position..end]);
            let from = newline.map_or(position, |at| position + at + 1);
            position = line_end + 1;
            if line == self.line && self.line_matched {
                continue;
            }
            (self.each)(Hit {
                line,
                query: self.query,
                escapes,
                text,
                from,
                line_end,
                first_line_offset: self.line_offset,
            })?;
        }
        self.line = line + count_newlines(&bytes[counted..]);
        self.line_offset = escapes.offset_of(bytes.len().saturating_sub(1)) + 1;
        self.within_line = false;
        self.line_matched = false;
        ControlFlow::Continue(())
    }

    /// Searches a block within a line that goes on after it.
    fn piece_of_line(&mut self, piece: &[u8], escapes: &Escapes) -> ControlFlow<()> {
        let kept_from = piece.len() - OVERLAP;
        let first_start = self.first_start();
        self.within_line = true;
        if self.line_matched {
            return ControlFlow::Continue(());
        }
        let found = self.query.regex.find_at(piece, first_start);
        // One that begins later is found in the next piece, with more of what follows it. One
        // whose end depends on what follows must not take the piece's end for the line's.
        let found = found.filter(|found| {
            let sees_its_end = found.end() < piece.len() || !self.query.ends_with_look;
            found.start() < kept_from + CONTEXT && sees_its_end
        });
        if found.is_none() {
            return ControlFlow::Continue(());
        }
        self.line_matched = true;
        (self.each)(Hit {
            line: self.line,
            query: self.query,
            escapes,
            text: piece,
            from: first_start,
            line_end: piece.len(),
            first_line_offset: self.line_offset,
        })
    }
}
