//! When lines were written, from the index.

use std::io;

use super::reader::LogReader;

/// When some lines were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// The first of those lines, and each whose time differs from that of the line before it.
    pub changes: Vec<LineTime>,
    /// The line after them; `None` at the end of the log.
    pub next_line: Option<u64>,
}

/// When the first byte of a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTime {
    /// From 1.
    pub line: u64,
    /// Milliseconds since 1970, true to a tenth of a second.
    pub time_ms: u64,
}

impl LogReader {
    /// The times of up to `count` lines from line `first` on.
    pub fn times(&self, first: u64, count: u64) -> io::Result<Times> {
        let (first, lines, length) = (first.max(1), self.lines()?, self.len()?);
        let last = lines.min(first.saturating_add(count) - 1);
        let mut changes: Vec<LineTime> = Vec::new();
        let mut add = |line, time_ms| {
            if changes.last().is_none_or(|last| last.time_ms != time_ms) {
                changes.push(LineTime { line, time_ms });
            }
        };
        if let (Some(start), true) = (self.offset_of_line(first)?, first <= last) {
            add(first, self.time_at_offset(start)?);
            // Records that end before the next line begins say nothing about it.
            let next_start = self.offset_of_line(first + 1)?.unwrap_or(length);
            let mut records = self
                .index
                .records_from(|record| record.log_offset <= next_start)?;
            let mut cursor = self.cursor()?;
            let mut line = first + 1;
            // Each record stands for what was appended since the one before: `line` is the first
            // that did not begin before that.
            while line <= last
                && let Some(record) = records.next()?
            {
                if record.log_offset <= next_start || record.newlines + 1 < line {
                    continue;
                }
                let begun = if record.log_offset > length {
                    lines
                } else {
                    let mut before = [0];
                    cursor.read_into(&mut before, record.log_offset - 1)?;
                    record.newlines + u64::from(before != *b"\n")
                };
                if begun >= line {
                    add(line, record.time_ms);
                    line = begun + 1;
                }
            }
        }
        Ok(Times {
            changes,
            next_line: (last < lines).then_some(last + 1),
        })
    }
}
