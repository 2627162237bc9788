//! The one thread that writes.
//!
//! While the disk has too little room it writes nothing: what is to be written waits, or is refused
//! where its caller wants that, and no write fails for it that could be done a little later. Should
//! the disk fill all the same in the middle of a transaction, that is undone and done again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::room::Room;
use super::{Result, StoreError};
use crate::domain::panic;

/// Writes that wait for their turn. Beyond this the callers wait instead: each is a webhook or an
/// actor, and both can. Those that wait for room on the disk are not counted: an actor has one.
const CAPACITY: usize = 1024;

/// So many writes share one sync at most; the first of them waits for the last.
const BATCH: usize = 256;

/// How often it is looked whether there is room again. Who is refused hears of it as soon.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What becomes of a write while the disk has too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutRoom {
    /// It is done when there is room again.
    Wait,
    /// Somebody waits for an answer: it is not done, and he is told.
    Refuse,
    /// It belongs to what makes room, and may use what is kept.
    Write,
}

/// Why the newest write failed, where that lies with the database and not with what was written.
type Problem = watch::Sender<Option<String>>;

pub struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    problem: Problem,
    room: Arc<Room>,
}

impl Writer {
    pub fn start(connection: Connection, room: Room, revision: watch::Sender<i64>) -> Self {
        let (jobs, queue) = mpsc::channel(CAPACITY);
        let (problem, room) = (Problem::new(None), Arc::new(room));
        let thread = Thread {
            connection,
            queue,
            waiting: Vec::new(),
            lacks_room: false,
            revision,
            problem: problem.clone(),
            room: Arc::clone(&room),
        };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.write_all())
            .expect("the process can start a thread");
        Self {
            jobs,
            problem,
            room,
        }
    }

    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    pub fn room(&self) -> &Room {
        &self.room
    }

    pub async fn run<T: Send + 'static>(
        &self,
        without_room: WithoutRoom,
        change: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let write = Write {
            change,
            without_room,
            result: None,
            sender,
        };
        let sent = self.jobs.send(Box::new(write)).await;
        sent.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

/// A write that waits.
trait Job: Send {
    fn without_room(&self) -> WithoutRoom;

    /// Does it, inside of the transaction; once more where that was undone.
    ///
    /// # Errors
    /// Those of the database itself.
    fn run(&mut self, connection: &Connection) -> Result<(), &StoreError>;

    /// Answers its caller when the transaction has ended. The caller may have gone; what it asked
    /// for is done all the same.
    fn answer(self: Box<Self>, committed: Result<(), String>);

    fn refuse(self: Box<Self>, why: String);
}

struct Write<T, F> {
    change: F,
    without_room: WithoutRoom,
    result: Option<Result<T>>,
    sender: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T> + Send> Job for Write<T, F> {
    fn without_room(&self) -> WithoutRoom {
        self.without_room
    }

    fn run(&mut self, connection: &Connection) -> Result<(), &StoreError> {
        let result = in_savepoint(connection, &mut self.change);
        match self.result.insert(result) {
            Err(error) if code(error).is_some_and(is_of_the_database) => Err(error),
            _ => Ok(()),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), String>) {
        let answer = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(reason)) => Err(StoreError::NotWritten(reason)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        let _ = self.sender.send(answer);
    }

    fn refuse(self: Box<Self>, why: String) {
        let _ = self.sender.send(Err(StoreError::NoRoom(why)));
    }
}

pub fn code(error: &StoreError) -> Option<ErrorCode> {
    match error {
        StoreError::Sqlite(error) => error.sqlite_error_code(),
        _ => None,
    }
}

fn is_of_the_database(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CannotOpen
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::NotADatabase
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
    )
}

fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    // A panic ends this write alone, and not the thread that all others need.
    let result = catch_unwind(AssertUnwindSafe(|| change(connection)))
        .unwrap_or_else(|panic| Err(StoreError::Panicked(panic::in_words(panic.as_ref()))));
    let end = if result.is_ok() {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    };
    match (result, connection.execute_batch(end)) {
        // Some errors have undone the whole transaction already (sqlite.org/lang_transaction.html).
        (Err(error), _) if code(&error).is_some_and(is_of_the_database) => Err(error),
        (result, ended) => ended.map_err(StoreError::from).and(result),
    }
}

struct Thread {
    connection: Connection,
    queue: mpsc::Receiver<Box<dyn Job>>,
    /// For room, in their order.
    waiting: Vec<Box<dyn Job>>,
    /// It was said that there is too little.
    lacks_room: bool,
    revision: watch::Sender<i64>,
    problem: Problem,
    room: Arc<Room>,
}

impl Thread {
    fn write_all(mut self) {
        while let Some(mut batch) = self.next_batch() {
            match self.room.lacking() {
                Some(why) => batch = self.hold(batch, &why),
                None => batch.splice(..0, self.waiting.drain(..)).for_each(drop),
            }
            while !batch.is_empty() {
                let later = batch.split_off(batch.len().min(BATCH));
                self.write(batch);
                batch = later;
            }
            if self.waiting.is_empty() && self.lacks_room && self.room.lacking().is_none() {
                self.lacks_room = false;
                tracing::info!("there is room for the database again");
            }
        }
    }

    /// Waits for something to do; no longer than for the next look, where something waits for room.
    fn next_batch(&mut self) -> Option<Vec<Box<dyn Job>>> {
        let mut batch = Vec::new();
        if self.waiting.is_empty() {
            let received = self.queue.blocking_recv_many(&mut batch, BATCH);
            return (received > 0).then_some(batch);
        }
        std::thread::sleep(LOOK_EVERY);
        while let Ok(job) = self.queue.try_recv() {
            batch.push(job);
        }
        let is_over = batch.is_empty() && self.queue.is_closed();
        (!is_over).then_some(batch)
    }

    /// Keeps back what cannot be written now, and returns what may be.
    fn hold(&mut self, batch: Vec<Box<dyn Job>>, why: &str) -> Vec<Box<dyn Job>> {
        if !std::mem::replace(&mut self.lacks_room, true) {
            tracing::warn!("{why}; until then nothing is written to the database");
        }
        let mut left = Vec::new();
        for job in batch {
            match job.without_room() {
                WithoutRoom::Wait => self.waiting.push(job),
                WithoutRoom::Refuse => job.refuse(why.to_owned()),
                WithoutRoom::Write => left.push(job),
            }
        }
        left
    }

    fn write(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let before = self.connection.total_changes();
        let committed = self.commit_together(&mut batch);
        if committed.is_ok() && self.connection.total_changes() > before {
            self.problem
                .send_if_modified(|problem| problem.take().is_some());
        }
        if let Err(error) = &committed {
            self.problem.send_replace(Some(error.to_string()));
            // What is left of a half-open transaction would refuse every later one.
            let _ = self.connection.execute_batch("ROLLBACK");
            if let StoreError::NoRoom(why) = error {
                let left = self.hold(batch, why);
                left.into_iter().for_each(|job| job.refuse(why.clone()));
                return;
            }
            tracing::error!(%error, "a write to the database failed");
        }
        if let Ok(newest) = newest_revision(&self.connection) {
            self.revision
                .send_if_modified(|known| std::mem::replace(known, newest) != newest);
        }
        let outcome = committed.map_err(|error| error.to_string());
        for job in batch {
            job.answer(outcome.clone());
        }
    }

    fn commit_together(&self, batch: &mut [Box<dyn Job>]) -> Result<()> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| self.room.explain(error.into()))?;
        for job in batch {
            let Err(error) = job.run(&self.connection) else {
                continue;
            };
            // What is wrong with the database itself stays known until something is written again.
            self.problem.send_replace(Some(error.to_string()));
            if let Some(why) = self.room.was_lacking_for(error) {
                return Err(StoreError::NoRoom(why));
            }
            if self.connection.is_autocommit() {
                // It has undone the transaction, outside of which each write would stand for itself.
                return Err(StoreError::NotWritten(error.to_string()));
            }
        }
        self.connection
            .execute_batch("COMMIT")
            .map_err(|error| self.room.explain(error.into()))
    }
}

fn newest_revision(connection: &Connection) -> Result<i64> {
    let revision = connection
        .prepare_cached("SELECT revision FROM instance")?
        .query_row([], |row| row.get(0))?;
    Ok(revision)
}
