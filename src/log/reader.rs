//! Reading a build's log anywhere, while it grows and after it was compressed.
//!
//! A reader holds two descriptors and, of a compressed log, at most one frame of 64 KiB. It
//! keeps reading what it opened when the log is compressed under it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::{FrameCursor, Frames};
use super::index::IndexReader;
use super::{COMPRESSED, INDEX, LOG, count_newlines};

/// How much is read at once where lines are counted.
const BLOCK: usize = 32 * 1024;

/// One reader of one log. Any number may be open, also while the log is written; several
/// threads may share one.
#[derive(Debug)]
pub struct LogReader {
    source: Source,
    pub(super) index: IndexReader,
    /// Nothing from this offset on is seen.
    end: u64,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    Compressed(Frames),
}

/// Some whole lines of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Where the first of them begins in the log.
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// The number of the line after them; `None` at the end of the log.
    pub next_line: Option<u64>,
}

impl LogReader {
    /// Opens the log in a build's folder.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, `InvalidData` where the compressed file is damaged.
    pub fn open(folder: &Path) -> io::Result<Self> {
        // The plain file disappears only after the other is there: in this order one is found.
        let source = match File::open(folder.join(LOG)) {
            Ok(plain) => Source::Plain(plain),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Source::Compressed(Frames::open(File::open(folder.join(COMPRESSED))?)?)
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            source,
            index: IndexReader::new(File::open(folder.join(INDEX))?),
            end: u64::MAX,
        })
    }

    /// The log as it was when it had so many bytes: what is written later is not seen.
    pub fn at_length(mut self, bytes: u64) -> Self {
        self.end = bytes;
        self
    }

    /// The log's length in bytes. While it is written the writer's watermark is what counts:
    /// the file may be a moment ahead of it.
    pub fn len(&self) -> io::Result<u64> {
        let length = match &self.source {
            Source::Plain(file) => file.metadata()?.len(),
            Source::Compressed(frames) => frames.len(),
        };
        Ok(length.min(self.end))
    }

    /// How many lines the log has; an unfinished last line counts.
    pub fn lines(&self) -> io::Result<u64> {
        let length = self.len()?;
        let newlines = self.newlines_before(length)?;
        let mut last = [b'\n'];
        if let Some(position) = length.checked_sub(1) {
            self.read_into(&mut last, position)?;
        }
        Ok(newlines + u64::from(last[0] != b'\n'))
    }

    /// Up to `max` bytes from `offset` on: fewer only at the end of the log, none behind it.
    pub fn read_at(&self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let available = self.len()?.saturating_sub(offset);
        let mut bytes = vec![0; max.min(usize::try_from(available).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_into(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                length => filled += length,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Where this line begins, the first being 1. The line after the last whole one begins at
    /// the end of the log. `None` for lines behind that, and for line 0.
    pub fn offset_of_line(&self, line: u64) -> io::Result<Option<u64>> {
        let Some(newlines_before) = line.checked_sub(1) else {
            return Ok(None);
        };
        if newlines_before == 0 {
            return Ok(Some(0));
        }
        let record = self
            .index
            .last_where(|record| record.newlines < newlines_before)?;
        let mut missing = newlines_before - record.newlines;
        let mut offset = record.log_offset;
        let mut block = vec![0; BLOCK];
        loop {
            let length = self.read_into(&mut block, offset)?;
            if length == 0 {
                return Ok(None);
            }
            let newlines = count_newlines(&block[..length]);
            if newlines >= missing {
                let position = memchr::memchr_iter(b'\n', &block[..length])
                    .nth(missing as usize - 1)
                    .expect("as many were counted");
                return Ok(Some(offset + position as u64 + 1));
            }
            missing -= newlines;
            offset += length as u64;
        }
    }

    /// The number of the line in which the byte at this offset lies.
    pub fn line_at_offset(&self, offset: u64) -> io::Result<u64> {
        Ok(self.newlines_before(offset)? + 1)
    }

    /// Where the last `lines` lines begin.
    pub fn tail_offset(&self, lines: u64) -> io::Result<u64> {
        let first = self.lines()?.saturating_sub(lines) + 1;
        match self.offset_of_line(first)? {
            Some(offset) => Ok(offset),
            // An unfinished last line, and none was asked for.
            None => self.len(),
        }
    }

    /// When the byte at this offset came, in milliseconds since 1970, to a tenth of a second;
    /// for an offset at or behind the end, when the last byte came.
    pub fn time_at_offset(&self, offset: u64) -> io::Result<u64> {
        let record = self
            .index
            .first_after(|record| record.log_offset <= offset)?;
        Ok(record.time_ms)
    }

    /// Up to `count` lines from line `first` on, but no more than `max_bytes`: it stops after
    /// the last line that fits. A single line that does not fit is cut, and the line after it
    /// comes next: the rest of it can be read by offset.
    pub fn read_lines(&self, first: u64, count: u64, max_bytes: usize) -> io::Result<Lines> {
        let end = self.len()?;
        let Some(offset) = self.offset_of_line(first)? else {
            return Ok(Lines {
                offset: end,
                bytes: Vec::new(),
                next_line: None,
            });
        };
        let mut bytes = Vec::new();
        let mut newlines = 0;
        while newlines < count && bytes.len() < max_bytes {
            let wanted = BLOCK.min(max_bytes - bytes.len());
            let mut block = self.read_at(offset + bytes.len() as u64, wanted)?;
            if block.is_empty() {
                break;
            }
            let found = count_newlines(&block);
            if newlines + found >= count {
                let position = memchr::memchr_iter(b'\n', &block)
                    .nth((count - newlines) as usize - 1)
                    .expect("as many were counted");
                block.truncate(position + 1);
                newlines = count;
            } else {
                newlines += found;
            }
            bytes.extend_from_slice(&block);
        }

        let is_end = offset + bytes.len() as u64 >= end;
        if is_end {
            return Ok(Lines {
                offset,
                bytes,
                next_line: None,
            });
        }
        if newlines < count {
            match memchr::memrchr(b'\n', &bytes) {
                Some(last) => bytes.truncate(last + 1),
                None if !bytes.is_empty() => newlines = 1,
                None => {}
            }
        }
        Ok(Lines {
            offset,
            bytes,
            next_line: Some(first + newlines),
        })
    }

    fn newlines_before(&self, offset: u64) -> io::Result<u64> {
        let record = self
            .index
            .last_where(|record| record.log_offset <= offset)?;
        let mut newlines = record.newlines;
        let mut position = record.log_offset;
        let mut block = vec![0; BLOCK];
        while position < offset {
            let wanted = block.len().min((offset - position) as usize);
            let length = self.read_into(&mut block[..wanted], position)?;
            if length == 0 {
                break;
            }
            newlines += count_newlines(&block[..length]);
            position += length as u64;
        }
        Ok(newlines)
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn read_into(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let buffer = self.up_to_end(buffer, offset);
        match &self.source {
            Source::Plain(file) => read_plain(file, buffer, offset),
            Source::Compressed(frames) => frames.read_at(buffer, offset),
        }
    }

    /// For one who reads on and on.
    pub(super) fn cursor(&self) -> io::Result<Cursor<'_>> {
        let frames = match &self.source {
            Source::Plain(_) => None,
            Source::Compressed(frames) => Some(frames.cursor()?),
        };
        Ok(Cursor {
            reader: self,
            frames,
        })
    }

    fn up_to_end<'a>(&self, buffer: &'a mut [u8], offset: u64) -> &'a mut [u8] {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        &mut buffer[..length]
    }
}

/// Reads a log from its reader with a memory of its own, so that many do not wait for each other.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    reader: &'a LogReader,
    frames: Option<FrameCursor<'a>>,
}

impl Cursor<'_> {
    /// Reads some bytes; 0 at the end.
    pub fn read_into(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &mut self.frames {
            None => self.reader.read_into(buffer, offset),
            Some(frames) => {
                let buffer = self.reader.up_to_end(buffer, offset);
                frames.read_at(buffer, offset)
            }
        }
    }
}

fn read_plain(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
