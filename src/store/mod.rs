//! What must survive a crash: pushes, builds, statuses to report, published names. SQLite in WAL
//! mode with `synchronous=FULL`: when a write has been answered, it is on disk.
//!
//! All writes go through one thread. It commits whatever has queued up as one transaction, so a
//! thousand pushes at once cost a few syncs and not a thousand; each write runs in a savepoint of
//! its own and fails alone. Reads run beside it on connections of their own.

mod builds;
mod clock;
mod configuration;
mod deliveries;
mod files;
mod heads;
mod history;
mod hooks;
mod import;
mod lane;
mod outbox;
mod publications;
mod repositories;
mod retention;
mod room;
mod rows;
mod schema;
mod shown;
mod transitions;
mod usual;
mod waiting;
mod writer;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, watch};

pub use builds::BuildFilter;
pub use configuration::StoredConfiguration;
pub use deliveries::{Heard, NewBuilds};
pub use files::PublishedFile;
pub use heads::{HeadNote, KnownHead, KnownHeads};
pub use import::{ImportedBuild, ImportedLog, OldHistory, OldRow};
pub use lane::LaneBuild;
pub use outbox::{Backlog, Outcome, Status};
pub use publications::{Place, Published};
pub use repositories::{NewestBuild, RanBuild, Standing};
pub use shown::Delivery;
pub use transitions::{Facts, Transition};
pub use usual::Usual;
pub use waiting::Waiting;

use self::room::Room;
use self::writer::WithoutRoom;
use crate::domain::build::State;
use crate::domain::names::BuildId;
use crate::domain::panic;

/// Connections for reading. Two cores keep about two of them busy.
const READERS: usize = 4;

/// A handle on the database; clones share it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    writer: writer::Writer,
    readers: Mutex<Vec<Connection>>,
    free_readers: Arc<Semaphore>,
    revision: watch::Sender<i64>,
    instance: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("database {0}: {1}")]
    File(PathBuf, io::Error),
    #[error("database: a stored value cannot be read: {0}")]
    Value(String),
    #[error("there is no build {0}")]
    NoBuild(BuildId),
    #[error("build {build} is {from} and cannot become {to}")]
    Refused {
        build: BuildId,
        from: State,
        to: State,
    },
    #[error(
        "the database was written by a newer release (schema {found}, this release knows {known}): \
         use that release, or restore a data directory of this one"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error("there is no table `history` as the old service wrote it: {0}")]
    NoHistory(String),
    #[error(
        "the database was written by an older release (schema {found}, this release knows {known}): \
         start this release's service once, which brings it up to date"
    )]
    OlderSchema { found: i64, known: i64 },
    #[error("database: {0}")]
    Panicked(String),
    /// The transaction in which it was to be written failed.
    #[error("{0}")]
    NotWritten(String),
    /// Nothing was written, as its disk has too little room.
    #[error("{0}")]
    NoRoom(String),
    #[error("the database is closed")]
    Closed,
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Opens (or makes) the database file and brings its schema up to date.
    pub fn open(file: &Path) -> Result<Self> {
        let opened = || {
            close_to_others(file)?;
            let mut connection = Connection::open(file)?;
            configure(&connection)?;
            schema::migrate(&mut connection)?;
            Self::on(connection, file)
        };
        opened().map_err(|error| Room::of(file).explain(error))
    }

    /// Refuses the database of a newer release, and changes nothing in it. There need not be one.
    pub fn refuse_newer(file: &Path) -> Result<()> {
        if !file.exists() {
            return Ok(());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let looked = || {
            let connection = Connection::open_with_flags(file, flags)?;
            // What a crash has left beside it stays there, too, for whoever may open it.
            let is_left = file.with_extension("sqlite-wal").exists();
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_left)?;
            schema::refuse_newer(&connection)
        };
        looked().map_err(|error| Room::of(file).explain(error))
    }

    /// Opens a database that a service of this release has used.
    pub fn open_as_it_is(file: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = || {
            let connection = Connection::open_with_flags(file, flags)?;
            configure(&connection)?;
            schema::check(&connection)?;
            Self::on(connection, file)
        };
        opened().map_err(|error| Room::of(file).explain(error))
    }

    fn on(connection: Connection, file: &Path) -> Result<Self> {
        let (instance, revision) =
            connection.query_row("SELECT id, revision FROM instance", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let readers = (0..READERS)
            .map(|_| open_reader(file))
            .collect::<Result<Vec<_>>>()?;
        let (revision, _) = watch::channel(revision);
        Ok(Self {
            shared: Arc::new(Shared {
                writer: writer::Writer::start(connection, Room::of(file), revision.clone()),
                readers: Mutex::new(readers),
                free_readers: Arc::new(Semaphore::new(READERS)),
                revision,
                instance,
            }),
        })
    }

    /// The id of this data directory: a label on everything made on a Docker host.
    pub fn instance(&self) -> &str {
        &self.shared.instance
    }

    /// The number of the newest committed change; wakes whoever follows it.
    pub fn revision(&self) -> watch::Receiver<i64> {
        self.shared.revision.subscribe()
    }

    /// What keeps the database from being written, if anything does.
    pub fn problem(&self) -> Option<String> {
        self.lacks_room().or_else(|| self.shared.writer.problem())
    }

    /// Whether its disk has too little room for what is to be written, which waits then; says what to
    /// do.
    pub fn lacks_room(&self) -> Option<String> {
        self.shared.writer.room().lacking()
    }

    /// Answers once something can be written.
    pub async fn wait_for_room(&self) -> Result<()> {
        self.write(write_nothing).await
    }

    /// Whether it can be written again, when nothing else has tried since it could not.
    pub async fn try_to_write(&self) -> Result<()> {
        self.write_or(WithoutRoom::Refuse, write_nothing).await
    }

    /// Answers when what `change` did is on disk, or with its error and nothing done. It is called
    /// again where what it did was undone for want of room.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_or(WithoutRoom::Wait, change).await
    }

    async fn write_or<T: Send + 'static>(
        &self,
        without_room: WithoutRoom,
        change: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.writer.run(without_room, change).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.shared.free_readers)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let work = tokio::task::spawn_blocking(move || {
            // The query's own, because it goes on when nobody waits for it any more.
            let _place = place;
            let connection = lock(&shared.readers).pop().ok_or(StoreError::Closed)?;
            let reader = Reader {
                connection: Some(connection),
                shared: &shared,
            };
            match &reader.connection {
                Some(connection) => query(connection),
                None => Err(StoreError::Closed),
            }
        });
        work.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => StoreError::Panicked(panic::in_words(panic.as_ref())),
            Err(_) => StoreError::Closed,
        })?
    }
}

fn write_nothing(connection: &Connection) -> Result<()> {
    connection.execute("UPDATE instance SET revision = revision", [])?;
    Ok(())
}

/// Gives the connection back when it is dropped, by a panic as well.
struct Reader<'a> {
    connection: Option<Connection>,
    shared: &'a Shared,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            lock(&self.shared.readers).push(connection);
        }
    }
}

/// A panic in a query cannot leave the list itself half changed.
fn lock(readers: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    readers
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Makes the file, if there is none, for this user alone, and sees to those that an earlier release
/// has made. SQLite gives the files beside it the same mode (sqlite.org/wal.html has them).
fn close_to_others(file: &Path) -> Result<()> {
    let failed = |source| StoreError::File(file.to_owned(), source);
    let mut options = File::options();
    options.create(true).append(true).mode(0o600);
    options.open(file).map_err(failed)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        match fs::set_permissions(&path, PermissionsExt::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

fn configure(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What a write may have to undo; else in a file below /tmp, which may be full.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn open_reader(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    builds::add_functions(&connection)?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
