//! How much room the disk of the database has, and whether that is too little to write.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytesize::ByteSize;
use rusqlite::ErrorCode;

use super::StoreError;
use super::writer::code;
use crate::domain::room;

/// With less than this left the service writes nothing to its database, so that SQLite never comes to the end of the disk in
/// the middle of something. Many times what a transaction and the checkpoint after it need, which
/// copies a thousand pages from the log to the database (sqlite.org/wal.html).
const RESERVE: u64 = 16 * bytesize::MIB;

pub struct Room {
    folder: PathBuf,
    reserve: AtomicU64,
}

impl Room {
    pub fn of(database: &Path) -> Self {
        let folder = database
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            reserve: AtomicU64::new(RESERVE),
        }
    }

    /// What is missing, and what to do. Where it cannot be told how much there is, nothing is.
    pub fn lacking(&self) -> Option<String> {
        let found = rustix::fs::statvfs(&self.folder).ok()?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let reserve = self.reserve.load(Ordering::Relaxed);
        (free < reserve).then(|| {
            format!(
                "the disk of {} has {} left, and the last {} of it are kept for the database: \
                 free some of it, see `autobuilder gc`",
                self.folder.display(),
                ByteSize(free),
                ByteSize(reserve)
            )
        })
    }

    /// What to say of an error that came of the end of the disk. SQLite names the disk where a write
    /// fails; of other calls it says that something was wrong with them.
    pub fn was_lacking_for(&self, error: &StoreError) -> Option<String> {
        match code(error)? {
            ErrorCode::DiskFull => self.lacking().or_else(|| Some(room::full(&self.folder))),
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
                self.lacking().or_else(|| self.refused())
            }
            _ => None,
        }
    }

    /// What a quota leaves is told by writing alone.
    fn refused(&self) -> Option<String> {
        let write = || tempfile::tempfile_in(&self.folder)?.write_all(&[0; 64 * 1024]);
        let error: io::Error = write().err()?;
        room::is_lacking(&error).then(|| room::full(&self.folder))
    }

    pub fn explain(&self, error: StoreError) -> StoreError {
        match self.was_lacking_for(&error) {
            Some(why) => StoreError::NoRoom(why),
            None => error,
        }
    }

    #[cfg(test)]
    pub fn keep(&self, bytes: u64) {
        self.reserve.store(bytes, Ordering::Relaxed);
    }
}
