//! The one thread that writes.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Result, StoreError};

/// Writes that wait. Beyond this the callers wait for room instead: each is a webhook or an actor,
/// and both can.
const CAPACITY: usize = 1024;

/// So many writes share one sync at most; the first of them waits for the last.
const BATCH: usize = 256;

/// A write, run inside the transaction; it returns what is to be done after the commit.
type Job = Box<dyn FnOnce(&Connection) -> Answer + Send>;
type Answer = Box<dyn FnOnce(std::result::Result<(), String>) + Send>;

pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    pub fn start(connection: Connection, revision: watch::Sender<i64>) -> Self {
        let (jobs, queue) = mpsc::channel(CAPACITY);
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(&connection, queue, &revision))
            .expect("the process can start a thread");
        Self { jobs }
    }

    pub async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, change);
            Box::new(move |committed| {
                let answer = match (result, committed) {
                    (Err(error), _) => Err(error),
                    (Ok(_), Err(reason)) => Err(StoreError::Value(reason)),
                    (Ok(value), Ok(())) => Ok(value),
                };
                // The caller may have gone; what it asked for is done all the same.
                let _ = sender.send(answer);
            })
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = change(connection);
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
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
        let mut answers = Vec::with_capacity(batch.len());
        let committed = commit_together(connection, &mut batch, &mut answers);
        if let Err(error) = &committed {
            tracing::error!(%error, "a write to the database failed");
            // What is left of a half-open transaction would refuse every later one.
            let _ = connection.execute_batch("ROLLBACK");
        }
        batch.clear();
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
        answers.push(job(connection));
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
