//! The one thread that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Result, StoreError};
use crate::domain::panic;

/// Writes that wait. Beyond this the callers wait for room instead: each is a webhook or an actor,
/// and both can.
const CAPACITY: usize = 1024;

/// So many writes share one sync at most; the first of them waits for the last.
const BATCH: usize = 256;

/// A write, run inside the transaction, if there is one; it returns what is to be done after the
/// commit.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(std::result::Result<(), String>) + Send>;

/// Why the newest write failed, where that lies with the database and not with what was written.
type Problem = watch::Sender<Option<String>>;

pub struct Writer {
    jobs: mpsc::Sender<Job>,
    problem: Problem,
}

impl Writer {
    pub fn start(connection: Connection, revision: watch::Sender<i64>) -> Self {
        let (jobs, queue) = mpsc::channel(CAPACITY);
        let problem = Problem::new(None);
        let tell = problem.clone();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(&connection, queue, &revision, &tell))
            .expect("the process can start a thread");
        Self { jobs, problem }
    }

    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    pub async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let problem = self.problem.clone();
        let job: Job = Box::new(move |connection| {
            let result = connection.map(|connection| in_savepoint(connection, change));
            if let Some(Err(error)) = &result {
                tell_problem(&problem, error);
            }
            Box::new(move |committed| {
                let answer = match (result, committed) {
                    (Some(Err(error)), _) => Err(error),
                    (_, Err(reason)) => Err(StoreError::NotWritten(reason)),
                    (Some(Ok(value)), Ok(())) => Ok(value),
                    (None, Ok(())) => Err(StoreError::Closed),
                };
                // The caller may have gone; what it asked for is done all the same.
                let _ = sender.send(answer);
            })
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

/// What is wrong with the database itself stays known until something is written again.
fn tell_problem(problem: &Problem, error: &StoreError) {
    let StoreError::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = error else {
        return;
    };
    if matches!(
        failure.code,
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
    ) {
        problem.send_replace(Some(error.to_string()));
    }
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
    connection.execute_batch(end)?;
    result
}

fn write_all(
    connection: &Connection,
    mut queue: mpsc::Receiver<Job>,
    revision: &watch::Sender<i64>,
    problem: &Problem,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
        let mut answers = Vec::with_capacity(batch.len());
        let before = connection.total_changes();
        let committed = commit_together(connection, &mut batch, &mut answers);
        if committed.is_ok() && connection.total_changes() > before {
            problem.send_if_modified(|problem| problem.take().is_some());
        }
        if let Err(error) = &committed {
            tell_problem(problem, error);
            tracing::error!(%error, "a write to the database failed");
            // What is left of a half-open transaction would refuse every later one.
            let _ = connection.execute_batch("ROLLBACK");
        }
        answers.extend(batch.drain(..).map(|job| job(None)));
        if let Ok(newest) = newest_revision(connection) {
            revision.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        }
        let outcome = committed.map_err(|error| error.to_string());
        for answer in answers {
            answer(outcome.clone());
        }
    }
}

fn commit_together(
    connection: &Connection,
    batch: &mut Vec<Job>,
    answers: &mut Vec<Answer>,
) -> Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for job in batch.drain(..) {
        answers.push(job(Some(connection)));
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

fn newest_revision(connection: &Connection) -> Result<i64> {
    let revision = connection
        .prepare_cached("SELECT revision FROM instance")?
        .query_row([], |row| row.get(0))?;
    Ok(revision)
}
