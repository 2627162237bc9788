//! The one writer of a build's log.
//!
//! Bytes go masked to the file, then the index says so, and only then the watermark moves: what
//! was announced is never taken back, not by a crash either. After one, the log is cut to its
//! last record, the container's spool is followed again from that record's spool offset, and
//! the log becomes byte for byte what it would have been.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::index::{IndexWriter, Record};
use super::tail::Tail;
use super::{INDEX, LOG, count_newlines};
use crate::domain::mask::Masker;

/// Larger appends are written in pieces, each with its record, so that no reader has to scan
/// more than this to find a line.
const LARGEST_PIECE: usize = 64 * 1024;

/// A line of the service's own is for people; its text is cut to this many bytes.
const LONGEST_NOTE: usize = 4096;

/// What begins a line of the service's own.
const NOTE: &str = "==> ";

/// How far a log is written. Every byte before `bytes` is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    pub bytes: u64,
    /// An unfinished last line counts.
    pub lines: u64,
    /// Nothing will follow, and everything is on the disk.
    pub finished: bool,
}

/// Appends to a build's log. All methods write to the file before they return; none waits for
/// a reader. After an error the writer refuses to go on: what it holds and what is in the file
/// may differ, and [`LogWriter::reopen`] or [`LogWriter::mend`] is what makes them agree again.
#[derive(Debug)]
pub struct LogWriter {
    folder: PathBuf,
    log: File,
    index: IndexWriter,
    masker: Masker,
    bytes: u64,
    newlines: u64,
    at_line_start: bool,
    time_ms: u64,
    /// How much of the spool was taken, with what the masker holds back.
    spool_offset: u64,
    tail: Tail,
    watermark: watch::Sender<Watermark>,
    /// The files' names are on the disk.
    is_named: bool,
    finished: bool,
    broken: bool,
}

impl LogWriter {
    /// Begins the log of a build in this folder, which is created with its parents.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where there is a log already, and what the disk says.
    pub fn create(folder: &Path, masker: Masker) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let log = open(&folder.join(LOG), OpenOptions::new().create_new(true))?;
        let index = open(
            &folder.join(INDEX),
            OpenOptions::new().create(true).truncate(true),
        )?;
        let first = Record {
            time_ms: now_ms(),
            ..Record::default()
        };
        let index = IndexWriter::create(index, first)?;
        Self::at(folder, log, index, masker, first)
    }

    /// Goes on with a log after a restart of the service, while its container is there: cuts
    /// the log to its last record and says from which offset the spool is to be followed.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no log, or it is finished and compressed.
    pub fn reopen(folder: &Path, masker: Masker) -> io::Result<(Self, u64)> {
        let (log, index, record) = reopen_files(folder)?;
        log.set_len(record.log_offset)?;
        let writer = Self::at(folder, log, index, masker, record)?;
        Ok((writer, record.spool_offset))
    }

    /// Goes on with a log whose container is lost: every byte stays, and a new spool is
    /// followed from its beginning.
    ///
    /// # Errors
    ///
    /// Like [`LogWriter::reopen`].
    pub fn reopen_for_next_attempt(folder: &Path, masker: Masker) -> io::Result<Self> {
        let (log, index, mut record) = reopen_files(folder)?;
        let length = log.metadata()?.len();
        record.newlines += count_newlines_between(&log, record.log_offset, length)?;
        record.log_offset = length;
        let mut writer = Self::at(folder, log, index, masker, record)?;
        writer.begin_next_attempt()?;
        Ok(writer)
    }

    fn at(
        folder: &Path,
        log: File,
        index: IndexWriter,
        masker: Masker,
        record: Record,
    ) -> io::Result<Self> {
        let mut end = vec![0; record.log_offset.min(Tail::CAPACITY as u64) as usize];
        let end_at = record.log_offset - end.len() as u64;
        log.read_exact_at(&mut end, end_at)?;
        let mut tail = Tail::default();
        tail.push(&end);

        let writer = Self {
            folder: folder.to_owned(),
            log,
            index,
            masker,
            bytes: record.log_offset,
            newlines: record.newlines,
            at_line_start: end.last().is_none_or(|&byte| byte == b'\n'),
            time_ms: record.time_ms,
            spool_offset: record.spool_offset,
            tail,
            watermark: watch::Sender::default(),
            is_named: false,
            finished: false,
            broken: false,
        };
        writer.announce();
        Ok(writer)
    }

    /// Adds output of the container: its bytes from `spool_offset` on, which arrived at
    /// `time_ms` (milliseconds since 1970). What was taken before is skipped, so a follower
    /// that was started again may repeat.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, and nothing is changed, when output is missing before `spool_offset`.
    pub fn append(&mut self, time_ms: u64, spool_offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_open()?;
        let Some(known) = self.spool_offset.checked_sub(spool_offset) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "output continues at {spool_offset}, but the log has it only up to {}",
                    self.spool_offset
                ),
            ));
        };
        let known = usize::try_from(known)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        for piece in bytes[known..].chunks(LARGEST_PIECE) {
            let masked = self.masker.push(piece);
            self.spool_offset += piece.len() as u64;
            if !masked.is_empty() {
                self.time_ms = time_ms;
                self.write(&masked, false)?;
            }
        }
        Ok(())
    }

    /// Adds a line of the service's own, `==> text`, on a line of its own, after everything
    /// that came from the container. Line ends and control characters in it become spaces.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        self.check_open()?;
        let line = self.note_line(text);
        let mut bytes = self.masker.finish();
        let at_line_start = match bytes.last() {
            Some(&byte) => byte == b'\n',
            None => self.at_line_start,
        };
        if !at_line_start {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(&line);
        self.time_ms = now_ms();
        self.write(&bytes, true)
    }

    /// Adds the line unless it is the log's last already: for what is said again after each
    /// restart.
    pub fn note_once(&mut self, text: &str) -> io::Result<()> {
        let is_last =
            self.masker.held_back() == 0 && self.tail.ends_with_line(&self.note_line(text));
        if is_last { Ok(()) } else { self.note(text) }
    }

    /// Begins the next attempt of the build in the same log: what follows comes from a new
    /// spool, from its beginning.
    pub fn begin_next_attempt(&mut self) -> io::Result<()> {
        self.check_open()?;
        let held_back = self.masker.finish();
        self.spool_offset = 0;
        self.write(&held_back, true)?;
        // A record of the last attempt, found after a power failure, would be applied to the
        // wrong spool.
        self.sync()
    }

    /// How far the spool was taken: from here a broken follower is started again.
    pub fn spool_offset(&self) -> u64 {
        self.spool_offset
    }

    /// How far the log is written, now and whenever it grows. Closed when the writer is gone.
    pub fn watermark(&self) -> watch::Receiver<Watermark> {
        self.watermark.subscribe()
    }

    /// The last 20 lines, oldest first, each cut to 1 KiB, invalid UTF-8 replaced.
    pub fn tail(&self) -> Vec<String> {
        self.tail.lines()
    }

    /// Makes the state up to here a record of its own.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        self.check_open()?;
        self.write(&[], true)
    }

    /// Goes on after a write that failed, from the last record: what came after that is cut off, and
    /// so is what is held back for masking.
    pub fn mend(&mut self) -> io::Result<()> {
        let mut masker = self.masker.clone();
        masker.finish();
        let (mended, _) = Self::reopen(&self.folder, masker)?;
        // Who follows the log goes on as well.
        let watermark = std::mem::take(&mut self.watermark);
        *self = Self {
            watermark,
            ..mended
        };
        self.announce();
        Ok(())
    }

    /// Waits until the log and its index, as far as they are written, are on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        let synced = self.try_sync();
        // Linux reports a failed write-back once and then forgets the pages (fsync(2)): what
        // is in the file is not known any more.
        self.broken |= synced.is_err();
        synced
    }

    fn try_sync(&mut self) -> io::Result<()> {
        self.log.sync_data()?;
        self.index.sync()?;
        if !self.is_named {
            sync_folder(&self.folder)?;
            if let Some(parent) = self.folder.parent() {
                sync_folder(parent)?;
            }
            self.is_named = true;
        }
        Ok(())
    }

    /// Ends the log: everything is written and on the disk, and readers are told. Nothing can
    /// be added any more.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        self.check_open()?;
        let held_back = self.masker.finish();
        self.write(&held_back, true)?;
        self.sync()?;
        self.finished = true;
        self.announce();
        Ok(())
    }

    fn note_line(&self, text: &str) -> Vec<u8> {
        let mut line = String::from(NOTE);
        for character in text.trim_end().chars() {
            if line.len() + character.len_utf8() > LONGEST_NOTE {
                line.push('…');
                break;
            }
            line.push(if character.is_control() {
                ' '
            } else {
                character
            });
        }
        let mut line = self.masker.mask_whole(line.as_bytes()).into_owned();
        line.push(b'\n');
        line
    }

    fn write(&mut self, bytes: &[u8], permanent: bool) -> io::Result<()> {
        let written = self.try_write(bytes, permanent);
        self.broken |= written.is_err();
        written
    }

    fn try_write(&mut self, bytes: &[u8], permanent: bool) -> io::Result<()> {
        self.log.write_all_at(bytes, self.bytes)?;
        self.bytes += bytes.len() as u64;
        self.newlines += count_newlines(bytes);
        if let Some(&last) = bytes.last() {
            self.at_line_start = last == b'\n';
        }
        self.tail.push(bytes);

        let state = Record {
            log_offset: self.bytes,
            newlines: self.newlines,
            time_ms: self.time_ms,
            spool_offset: self.spool_offset - self.masker.held_back() as u64,
        };
        self.index.write(state, permanent)?;
        self.announce();
        Ok(())
    }

    fn announce(&self) {
        self.watermark.send_replace(Watermark {
            bytes: self.bytes,
            lines: self.newlines + u64::from(!self.at_line_start),
            finished: self.finished,
        });
    }

    fn check_open(&self) -> io::Result<()> {
        let reason = match (self.finished, self.broken) {
            (false, false) => return Ok(()),
            (true, _) => "the log is finished",
            (false, true) => "the log could not be written and has to be opened again",
        };
        Err(io::Error::other(reason))
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.read(true).write(true).open(path)
}

fn reopen_files(folder: &Path) -> io::Result<(File, IndexWriter, Record)> {
    let log = open(&folder.join(LOG), &mut OpenOptions::new())?;
    // The service may have died between the two files' creation.
    let index = open(
        &folder.join(INDEX),
        OpenOptions::new().create(true).truncate(false),
    )?;
    let (index, record) = IndexWriter::reopen(index, log.metadata()?.len())?;
    Ok((log, index, record))
}

fn count_newlines_between(log: &File, mut from: u64, to: u64) -> io::Result<u64> {
    let mut block = vec![0; LARGEST_PIECE];
    let mut newlines = 0;
    while from < to {
        let length = block.len().min((to - from) as usize);
        log.read_exact_at(&mut block[..length], from)?;
        newlines += count_newlines(&block[..length]);
        from += length as u64;
    }
    Ok(newlines)
}

/// A new file's name is on the disk only when its folder is (fsync(2)).
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
