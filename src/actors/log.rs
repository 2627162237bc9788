//! A build's log as the actor that writes it has it: the build's own actor, or for a load of the
//! configuration that of the configuration.
//!
//! - The actor opens the log when its work begins, and once more where that goes on: in the next
//!   attempt, and after a restart of the service.
//! - Each write is made by a thread that may block, one after the other: the writer goes there
//!   and comes back. Writing is short but can wait for a slow disk, and the threads of the
//!   runtime serve everyone.
//! - When the disk fails, the write says so and all later ones fail as well. A build cannot go on
//!   without its log, but its end needs none: what [`Log::finish`] and [`Log::pause`] cannot
//!   write is reported and lost. Only where the disk is full, the end waits until there is room.
//! - The log counts as being written until the build's end is stored; whoever has stored it tells
//!   [`Logs::closed`](crate::service::Logs::closed).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::build::{plan, verdict};
use crate::domain::build::{Build, State};
use crate::domain::names::BuildId;
use crate::domain::room;
use crate::domain::time::Timestamp;
use crate::log::LogWriter;
use crate::service::Service;
use crate::store::Store;

pub struct Log {
    build: BuildId,
    /// Of all logs, for people.
    folder: PathBuf,
    /// A write has failed for want of room.
    lacks_room: bool,
    /// `None` while a blocking thread writes.
    held: Option<Held>,
}

/// A thread that writes outlives an actor that is killed meanwhile: with the writer it keeps the
/// turn, for which the next one waits.
struct Held {
    writer: LogWriter,
    _turn: OwnedMutexGuard<()>,
}

impl Log {
    /// Begins the log, or goes on with it where the last record left it.
    pub async fn open(service: &Arc<Service>, build: &Build) -> anyhow::Result<Self> {
        let id = build.id.clone();
        let (service, build) = (Arc::clone(service), build.clone());
        let folder = service.directory.builds();
        let turn = service.logs.turn(&id).await;
        let held = tokio::task::spawn_blocking(move || {
            let masker = plan::masker(&service.config.borrow(), Some(&build));
            let writer = service.logs.write(&build, masker)?;
            io::Result::Ok(Held {
                writer,
                _turn: turn,
            })
        });
        let held = held.await?.map_err(|error| {
            let words = room::in_words(&error, &folder);
            anyhow::Error::new(error).context(format!("cannot open the log: {words}"))
        })?;
        Ok(Self {
            build: id,
            folder,
            lacks_room: false,
            held: Some(held),
        })
    }

    /// A line of the service's own.
    pub async fn note(&mut self, line: impl Into<String>) -> anyhow::Result<()> {
        let line = line.into();
        self.write(move |writer| writer.note(&line)).await
    }

    /// What `write` owns is dropped once it is written.
    pub async fn write(
        &mut self,
        write: impl FnOnce(&mut LogWriter) -> io::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let Some(mut held) = self.held.take() else {
            anyhow::bail!("the log is closed")
        };
        let (held, result) = tokio::task::spawn_blocking(move || {
            let result = write(&mut held.writer);
            (held, result)
        })
        .await?;
        self.held = Some(held);
        result.map_err(|error| {
            self.lacks_room |= room::is_lacking(&error);
            let words = room::in_words(&error, &self.folder);
            anyhow::anyhow!("cannot write the log: {words}")
        })
    }

    /// Writes how the build ended as the last line. Then all of the log is on the disk, and its
    /// readers know that nothing follows. On a full disk it waits for the room that the end of the
    /// build needs in the store as well.
    pub async fn finish(&mut self, store: &Store, end: State, reason: Option<&str>, took: &str) {
        let line = match reason {
            Some(reason) => format!("{end}: {reason}"),
            None => format!("{end} after {took}"),
        };
        let finish = move |writer: &mut LogWriter| {
            writer.note(&line)?;
            writer.finish()
        };
        let mut finished = match self.lacks_room {
            true => Ok(()),
            false => self.write(finish.clone()).await,
        };
        if self.lacks_room && store.wait_for_room().await.is_ok() {
            let mended = move |writer: &mut LogWriter| {
                writer.mend()?;
                finish(writer)
            };
            finished = self.write(mended).await;
        }
        if let Err(error) = finished {
            tracing::error!(build = %self.build, %error, "cannot write the end of a log");
        }
    }

    /// Leaves the log to the next attempt, which goes on after all that was written.
    pub async fn pause(&mut self) {
        if let Err(error) = self.write(LogWriter::checkpoint).await {
            tracing::error!(build = %self.build, %error, "cannot write a checkpoint of a log");
        }
    }

    /// From where on the container's output is missing in it.
    pub fn spool_offset(&self) -> u64 {
        self.writer().map_or(0, LogWriter::spool_offset)
    }

    pub fn is_empty(&self) -> bool {
        self.length().0 == 0
    }

    /// What the store keeps of it: bytes, lines, and the last few of these.
    pub fn summary(&self) -> (u64, u64, Vec<String>) {
        let (bytes, lines) = self.length();
        let tail = self.writer().map(LogWriter::tail);
        (bytes, lines, tail.unwrap_or_default())
    }

    fn length(&self) -> (u64, u64) {
        self.writer().map_or((0, 0), |writer| {
            let watermark = *writer.watermark().borrow();
            (watermark.bytes, watermark.lines)
        })
    }

    fn writer(&self) -> Option<&LogWriter> {
        self.held.as_ref().map(|held| &held.writer)
    }

    fn is_finished(&self) -> bool {
        self.writer()
            .is_some_and(|writer| writer.watermark().borrow().finished)
    }
}

/// Writes what is to stand last in the log of a build that has no actor, whose transition to this
/// state is still to be stored; returns what the store keeps of it. `None` where there is no log.
pub async fn leave(
    service: &Arc<Service>,
    build: &Build,
    to: State,
    reason: Option<&str>,
) -> Option<(u64, u64, Vec<String>)> {
    let has_begun = build.started.is_some() || service.logs.is_begun(&build.id);
    if build.state.is_end() || !has_begun {
        return None;
    }
    let mut opened = Log::open(service, build).await;
    if opened.as_ref().is_err_and(is_for_want_of_room)
        && service.store.wait_for_room().await.is_ok()
    {
        opened = Log::open(service, build).await;
    }
    let mut log = match opened {
        Ok(log) => log,
        Err(error) => {
            tracing::warn!(build = %build.id, "cannot write the end of a log: {error:#}");
            return None;
        }
    };
    if log.is_finished() {
        // All but the transition was done.
    } else if to.is_end() {
        let took = Timestamp::now().since(build.started.unwrap_or(build.queued));
        log.finish(&service.store, to, reason, &verdict::span(took))
            .await;
    } else {
        let line = reason.unwrap_or("it is built once more");
        if let Err(error) = log.note(line).await {
            tracing::warn!(build = %build.id, "cannot write to a log: {error:#}");
        }
        log.pause().await;
    }
    Some(log.summary())
}

fn is_for_want_of_room(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(room::is_lacking)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::config::ServiceConfig;
    use crate::domain::build::Cause;
    use crate::domain::push::Push;
    use crate::domain::recipe::{Catalog, Recipe};
    use crate::service::DataDirectory;
    use crate::service::quiet::Inputs;
    use crate::store::{Facts, NewBuilds, Transition};

    /// A log that has just been begun, and what is needed to open it again.
    async fn begun(folder: &TempDir) -> (Arc<Service>, Build, Log) {
        let directory = DataDirectory::open(folder.path(), &folder.path().join("tmp")).unwrap();
        let store = Store::open(&directory.database()).unwrap();
        let inputs = Inputs::new(ServiceConfig::default(), Catalog::default());
        let service = Arc::new(inputs.service(directory, store, "/nonexistent"));
        let push = Push::unheard(
            "acme/app".parse().unwrap(),
            "refs/heads/main".parse().unwrap(),
            "a".repeat(40).parse().unwrap(),
        );
        let new = NewBuilds {
            push,
            work: vec![Recipe::of_script("build.sh").into()],
            dependents: Vec::new(),
            cause: Cause::Manual,
        };
        let build = service.store.hear_push(None, new).await.unwrap().builds;
        let transition = Transition {
            build: build[0].clone(),
            to: State::Preparing,
            reason: None,
            known: Facts::default(),
        };
        let build = service.store.transition(transition).await.unwrap();
        let log = Log::open(&service, &build).await.unwrap();
        (service, build, log)
    }

    #[tokio::test]
    async fn a_log_goes_on_after_a_pause_and_ends_with_how_the_build_did() {
        let folder = tempfile::tempdir().unwrap();
        let (service, build, mut log) = begun(&folder).await;
        assert!(log.is_empty());
        log.note("begun").await.unwrap();
        log.pause().await;
        assert!(!service.logs.watch(&build.id).unwrap().borrow().finished);
        drop(log);

        let mut log = Log::open(&service, &build).await.unwrap();
        assert!(!log.is_empty());
        let written = service.logs.watch(&build.id).unwrap();
        let reason = Some("exit code 2");
        log.finish(&service.store, State::Failed, reason, "3 s")
            .await;
        assert!(written.borrow().finished);
        let lines = ["==> begun", "==> failed: exit code 2"];
        let (bytes, count, tail) = log.summary();
        assert_eq!((bytes, count), (lines.join("\n").len() as u64 + 1, 2));
        assert_eq!(tail, lines);
        let error = log.note("too late").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write the log: the log is finished"
        );
    }

    #[tokio::test]
    async fn a_write_that_outlives_its_actor_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (service, build, mut log) = begun(&folder).await;
        let (gate, opens) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let actor = tokio::spawn(async move {
            let late = move |writer: &mut LogWriter| {
                let _ = begun.send(());
                let _ = opens.recv();
                writer.note("late")
            };
            log.write(late).await
        });
        begins.await.unwrap();
        actor.abort();
        assert!(actor.await.unwrap_err().is_cancelled());
        let mut next = std::pin::pin!(Log::open(&service, &build));
        let early = tokio::time::timeout(Duration::from_millis(100), &mut next).await;
        assert!(early.is_err(), "two write at once");
        drop(gate);
        let mut log = next.await.unwrap();
        log.note("next").await.unwrap();
        assert_eq!(log.summary().2, ["==> late", "==> next"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_stops_the_next_line_but_not_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (service, build, mut log) = begun(&folder).await;
        std::fs::remove_dir_all(service.logs.folder(&build.id)).unwrap();
        log.finish(&service.store, State::Succeeded, None, "3 s")
            .await;
        assert_eq!(log.summary().2, ["==> succeeded after 3 s"]);
        assert!(!service.logs.watch(&build.id).unwrap().borrow().finished);
        let error = log.note("more").await.unwrap_err().to_string();
        assert!(error.starts_with("cannot write the log: "), "{error}");
        log.finish(&service.store, State::Errored, Some("no log"), "3 s")
            .await;
        log.pause().await;
        assert_eq!(log.summary().1, 1);
    }
}
