//! The index of a log: where lines begin, when bytes came, and how to go on after a restart.
//!
//! It is a file of records of 32 bytes, each describing the state at the end of an append:
//!
//! | bytes | |
//! | --- | --- |
//! | 0–7 | log offset: everything before it is written |
//! | 8–15 | the number of newlines before that offset |
//! | 16–21 | the time, in milliseconds since 1970 |
//! | 22–27 | spool offset: the container's output up to here is in the log in its masked form |
//! | 28–31 | CRC-32 of the 28 bytes before |
//!
//! all little endian. The first record is that of the empty log. The last record is written
//! again in place by each append, so it always tells the whole state; it becomes permanent, and
//! a new last one begins, after 16 KiB of log or 100 ms. A line or an offset is thus found by a
//! binary search of a file of 0.2 % of the log's size (or 320 bytes for each second of a build
//! that writes slowly) and a scan of at most about 64 KiB, the largest append.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub(super) const RECORD_SIZE: usize = 32;

/// A record becomes permanent when this much log follows the one before, …
const PERMANENT_AFTER_BYTES: u64 = 16 * 1024;
/// … or this much time, so that a line's time is known to a tenth of a second.
const PERMANENT_AFTER_MS: u64 = 100;

/// How many records are read at once where many follow each other.
const RECORDS_AT_ONCE: usize = 128;

/// The state of a log at the end of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    pub log_offset: u64,
    /// Newlines before `log_offset`.
    pub newlines: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    pub spool_offset: u64,
}

impl Record {
    fn encode(&self) -> [u8; RECORD_SIZE] {
        let mut bytes = [0; RECORD_SIZE];
        bytes[0..8].copy_from_slice(&self.log_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.newlines.to_le_bytes());
        bytes[16..22].copy_from_slice(&self.time_ms.to_le_bytes()[..6]);
        bytes[22..28].copy_from_slice(&self.spool_offset.to_le_bytes()[..6]);
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` for bytes that are no whole record: torn by a crash, or being written just now.
    fn decode(bytes: &[u8; RECORD_SIZE]) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let mut wide = [0; 8];
            wide[..to - from].copy_from_slice(&bytes[from..to]);
            u64::from_le_bytes(wide)
        };
        (number(28, 32) == u64::from(crc32fast::hash(&bytes[..28]))).then(|| Self {
            log_offset: number(0, 8),
            newlines: number(8, 16),
            time_ms: number(16, 22),
            spool_offset: number(22, 28),
        })
    }
}

/// The writing side.
#[derive(Debug)]
pub(super) struct IndexWriter {
    file: File,
    /// How many records are permanent; the one after them is overwritten.
    permanent: u64,
    last_permanent: Record,
    /// The one after them, if there is one.
    passing: Option<Record>,
}

impl IndexWriter {
    /// Begins the index of an empty log.
    pub fn create(file: File, first: Record) -> io::Result<Self> {
        let mut writer = Self {
            file,
            permanent: 0,
            last_permanent: first,
            passing: None,
        };
        writer.write(first, true)?;
        Ok(writer)
    }

    /// Goes on after the last whole record that speaks of bytes that are there, and drops what
    /// follows it. Returns that record.
    pub fn reopen(file: File, log_length: u64) -> io::Result<(Self, Record)> {
        let mut count = file.metadata()?.len() / RECORD_SIZE as u64;
        let last = loop {
            if count == 0 {
                // Not even the first record was written: nothing of the log is vouched for.
                break Record::default();
            }
            match read_record(&file, count - 1)? {
                Some(record) if record.log_offset <= log_length => break record,
                _ => count -= 1,
            }
        };
        file.set_len(count * RECORD_SIZE as u64)?;
        let mut writer = Self {
            file,
            permanent: count,
            last_permanent: last,
            passing: None,
        };
        if count == 0 {
            writer.write(last, true)?;
        }
        Ok((writer, last))
    }

    /// Writes the state; it stays for good when it is time for that, or when asked for.
    pub fn write(&mut self, record: Record, permanent: bool) -> io::Result<()> {
        // What came before a silence keeps its time.
        if let Some(passing) = self.passing
            && is_later(&record, &passing)
        {
            self.keep(passing);
        }
        let position = self.permanent * RECORD_SIZE as u64;
        self.file.write_all_at(&record.encode(), position)?;
        let since = &self.last_permanent;
        if permanent
            || record.log_offset - since.log_offset >= PERMANENT_AFTER_BYTES
            || is_later(&record, since)
        {
            self.keep(record);
        } else {
            self.passing = Some(record);
        }
        Ok(())
    }

    /// A record that was written stays.
    fn keep(&mut self, record: Record) {
        self.permanent += 1;
        self.last_permanent = record;
        self.passing = None;
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Whether so much time lies between two records that one cannot speak for both.
fn is_later(record: &Record, earlier: &Record) -> bool {
    record.time_ms.abs_diff(earlier.time_ms) >= PERMANENT_AFTER_MS
}

/// The reading side: it holds a descriptor and nothing else.
#[derive(Debug)]
pub(super) struct IndexReader {
    file: File,
}

impl IndexReader {
    pub fn new(file: File) -> Self {
        Self { file }
    }

    /// The last record that satisfies a condition which is true for a first part of the records
    /// and false for the rest; the empty log's where none does.
    pub fn last_where(&self, condition: impl Fn(&Record) -> bool) -> io::Result<Record> {
        Ok(self.neighbours(condition)?.0)
    }

    /// The first record that does not satisfy such a condition; else the last record.
    pub fn first_after(&self, condition: impl Fn(&Record) -> bool) -> io::Result<Record> {
        let (last, next, _) = self.neighbours(condition)?;
        Ok(next.unwrap_or(last))
    }

    /// The records from the last that satisfies such a condition on, in their order.
    pub fn records_from(&self, condition: impl Fn(&Record) -> bool) -> io::Result<Records<'_>> {
        let (_, _, next) = self.neighbours(condition)?;
        Ok(Records {
            file: &self.file,
            next: next.saturating_sub(1),
            block: Vec::new(),
            position: 0,
        })
    }

    /// The last record that satisfies the condition, the first that does not, and its number.
    fn neighbours(
        &self,
        condition: impl Fn(&Record) -> bool,
    ) -> io::Result<(Record, Option<Record>, u64)> {
        let mut low = 0;
        let mut high = self.file.metadata()?.len() / RECORD_SIZE as u64;
        let mut last = Record::default();
        let mut next = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match read_record(&self.file, middle)? {
                Some(record) if condition(&record) => {
                    last = record;
                    low = middle + 1;
                }
                // The very last record may be in the middle of being overwritten.
                record => {
                    next = record;
                    high = middle;
                }
            }
        }
        Ok((last, next, low))
    }
}

/// Records one after the other; none after one that is not whole.
#[derive(Debug)]
pub(super) struct Records<'a> {
    file: &'a File,
    /// The number of the record after those of the block.
    next: u64,
    block: Vec<u8>,
    position: usize,
}

impl Records<'_> {
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        if self.position == self.block.len() {
            self.block.resize(RECORDS_AT_ONCE * RECORD_SIZE, 0);
            let read = self
                .file
                .read_at(&mut self.block, self.next * RECORD_SIZE as u64)?;
            self.block.truncate(read - read % RECORD_SIZE);
            self.next += (read / RECORD_SIZE) as u64;
            self.position = 0;
        }
        let Some(bytes) = self.block[self.position..].first_chunk() else {
            return Ok(None);
        };
        self.position += RECORD_SIZE;
        Ok(Record::decode(bytes))
    }
}

fn read_record(file: &File, number: u64) -> io::Result<Option<Record>> {
    let mut bytes = [0; RECORD_SIZE];
    match file.read_exact_at(&mut bytes, number * RECORD_SIZE as u64) {
        Ok(()) => Ok(Record::decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_encoding_and_a_torn_one_is_known() {
        let record = Record {
            log_offset: 1 << 40,
            newlines: 12_345_678,
            time_ms: 1_766_000_000_123,
            spool_offset: (1 << 40) + 77,
        };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some(record));
        for position in 0..RECORD_SIZE {
            let mut torn = bytes;
            torn[position] ^= 0x10;
            assert_eq!(Record::decode(&torn), None);
        }
        assert_eq!(Record::decode(&[0; RECORD_SIZE]), None);
    }
}
