//! Reads what the script writes and casts it to the build's actor, at most [`PERMITS`] chunks
//! ahead of the log file: a mailbox has no bound of its own. It outlives lost followers and an
//! engine that is away for a while; it ends with the script's end or the container's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use bytesize::ByteSize;
use futures_util::StreamExt;
use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::{Interruption, Message, plan};
use crate::adapters::docker::{DockerError, Frame};
use crate::domain::build::{Build, State};
use crate::domain::recipe::Recipe;
use crate::domain::time::Timestamp;
use crate::service::Service;

/// Chunks on their way from Docker to the log. With 128 KiB each that is half a MiB a build.
const PERMITS: usize = 4;

/// What has come together goes to the log together, up to this size: each chunk wakes the actor
/// and a thread that may block, which cost more than the writing (Docker cuts at 32 KiB).
const LARGEST_CHUNK: usize = 128 * 1024;

/// As many of Docker's pieces as fill a chunk.
const READY_AT_ONCE: usize = 4;

/// Output that came later than this after the chunk's first byte is a chunk of its own: the log
/// knows one time for each.
const TOGETHER_MS: u64 = 10;

/// Pauses between tries to reach an engine that does not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often the disk use of a build is looked at, where the storage driver cannot limit it.
const DISK_EVERY: Duration = Duration::from_secs(5);

/// How long a build may go on whose disk use cannot be measured: a script can see to that, by a path
/// that is too long for Docker or by making the runner a file that nobody may execute.
const LONGEST_BLIND: Duration = Duration::from_secs(30);

/// The service was away at a build's deadline: so long the pump has to tell that the script has
/// ended meanwhile.
const CATCHING_UP: Duration = Duration::from_secs(10);

/// Bytes of the spool.
pub struct Chunk {
    /// Milliseconds since the epoch, by the container's clock.
    pub time: u64,
    /// Where in the spool they begin.
    pub offset: u64,
    pub bytes: Bytes,
    /// Dropped with the chunk, once its bytes are in the log.
    _permit: OwnedSemaphorePermit,
}

pub async fn pump(
    service: Arc<Service>,
    build: Build,
    offset: u64,
    myself: ActorRef<Message>,
) -> Message {
    let name = plan::container_name(&service.config.borrow(), &build.id);
    let mut pump = Pump {
        service,
        name,
        offset,
        myself,
        permits: Arc::new(Semaphore::new(PERMITS)),
        limit_told: false,
    };
    pump.run().await
}

struct Pump {
    service: Arc<Service>,
    name: String,
    /// Everything of the spool before this was cast.
    offset: u64,
    myself: ActorRef<Message>,
    permits: Arc<Semaphore>,
    limit_told: bool,
}

impl Pump {
    /// What is to be told last.
    async fn run(&mut self) -> Message {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.offset;
            let error = match self.look_and_follow().await {
                Ok(last) => return last,
                Err(error) => error,
            };
            self.service.metrics.docker_failed("follow");
            tracing::warn!(container = self.name, %error, offset = self.offset, "following again");
            if self.offset > before {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn look_and_follow(&mut self) -> Result<Message, DockerError> {
        let Some(container) = self.service.docker.inspect(&self.name).await? else {
            return Ok(Message::ContainerLost("its container is gone".to_owned()));
        };
        let never_started = !container.running && container.exit_code.is_none();
        if never_started {
            // Also after a crash between the transition to `building` and the start.
            if let Err(error) = self.service.docker.start(&self.name).await {
                return match error {
                    DockerError::Refused { .. }
                    | DockerError::Conflict(_)
                    | DockerError::Full(_) => {
                        let failure = super::Failure::errored(error);
                        Ok(Message::Prepared(Err(failure)))
                    }
                    other => Err(other),
                };
            }
        } else if !container.running {
            return self.rest_of_stopped().await;
        }
        match self.follow().await {
            Err(DockerError::NotRunning(_)) => self.rest_of_stopped().await,
            other => other,
        }
    }

    async fn follow(&mut self) -> Result<Message, DockerError> {
        let frames = self.service.docker.follow(&self.name, self.offset);
        let mut frames = std::pin::pin!(frames.ready_chunks(READY_AT_ONCE));
        while let Some(ready) = frames.next().await {
            for frame in joined(ready) {
                match frame? {
                    Frame::Chunk {
                        time,
                        offset,
                        bytes,
                    } => self.send(time, offset, bytes).await,
                    Frame::Limit => self.tell_limit(),
                    Frame::End(outcome) => return Ok(Message::ScriptEnded(outcome)),
                }
            }
        }
        Err(DockerError::FollowerLost("its stream ended".to_owned()))
    }

    /// After a kill, or when the container was stopped behind our back.
    async fn rest_of_stopped(&mut self) -> Result<Message, DockerError> {
        let max_log = self.service.config.borrow().builds.max_log;
        let docker = &self.service.docker;
        let mut rest = std::pin::pin!(docker.spool_of_stopped(&self.name, self.offset, max_log));
        while let Some(frame) = rest.next().await {
            match frame {
                Ok(Frame::Chunk {
                    time,
                    offset,
                    bytes,
                }) => self.send(time, offset, bytes).await,
                Ok(Frame::Limit) => self.tell_limit(),
                Ok(Frame::End(outcome)) => return Ok(Message::ScriptEnded(outcome)),
                // It was stopped before its script began, or removed meanwhile.
                Err(DockerError::NotFound(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Message::ContainerLost(
            "its container was stopped".to_owned(),
        ))
    }

    async fn send(&mut self, time: u64, offset: u64, bytes: Bytes) {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return;
        };
        self.offset = offset + bytes.len() as u64;
        let _ = self.myself.cast(Message::Chunk(Chunk {
            time,
            offset,
            bytes,
            _permit: permit,
        }));
    }

    fn tell_limit(&mut self) {
        if !std::mem::replace(&mut self.limit_told, true) {
            let _ = self.myself.cast(Message::LimitReached);
        }
    }
}

/// The same frames with chunks that came together made one.
fn joined(ready: Vec<Result<Frame, DockerError>>) -> Vec<Result<Frame, DockerError>> {
    let mut frames: Vec<Result<Frame, DockerError>> = Vec::with_capacity(ready.len());
    for frame in ready {
        if let Ok(Frame::Chunk { time, bytes, .. }) = &frame
            && let Some(Ok(Frame::Chunk {
                time: first,
                bytes: before,
                ..
            })) = frames.last_mut()
            && before.len() + bytes.len() <= LARGEST_CHUNK
            && time.saturating_sub(*first) <= TOGETHER_MS
        {
            // Where it is nobody else's, the memory before is only made larger.
            let mut both = BytesMut::from(std::mem::take(before));
            both.extend_from_slice(bytes);
            *before = both.freeze();
        } else {
            frames.push(frame);
        }
    }
    frames
}

/// What ends a build that takes too long, or too much of the disk.
pub fn watchdogs(
    service: &Arc<Service>,
    build: &Build,
    recipe: &Recipe,
    myself: &ActorRef<Message>,
) -> Vec<AbortOnDropHandle<()>> {
    let ran = build
        .building_since()
        .map_or(Duration::ZERO, |since| Timestamp::now().since(since));
    let config = Arc::clone(&service.config.borrow());
    let limit = plan::timeout(&config, recipe);
    let left = limit.checked_sub(ran).unwrap_or(CATCHING_UP);
    let clock = myself.clone();
    let mut watchdogs = vec![AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(left).await;
        let reason = format!("timed out after {}", humantime::format_duration(limit));
        interrupt(&clock, State::TimedOut, reason);
    }))];
    if let Some(limit) = config.docker.disk {
        let watch = watch_disk(
            Arc::clone(service),
            plan::container_name(&config, &build.id),
            limit,
            myself.clone(),
        );
        watchdogs.push(AbortOnDropHandle::new(tokio::spawn(watch)));
    }
    watchdogs
}

async fn watch_disk(service: Arc<Service>, name: String, limit: u64, myself: ActorRef<Message>) {
    let mut blind_since = None;
    loop {
        tokio::time::sleep(DISK_EVERY).await;
        let usage = match service.docker.disk_usage(&name).await {
            Ok(usage) => usage,
            // The pump finds out what is wrong with the engine or the container.
            Err(error) => {
                tracing::debug!(container = name, %error, "cannot measure disk use");
                blind_since = None;
                continue;
            }
        };
        if usage.at_least > limit {
            let (used, limit) = (ByteSize(usage.at_least), ByteSize(limit));
            let reason = format!("wrote {used} to disk, more than the limit of {limit}");
            return interrupt(&myself, State::Failed, reason);
        }
        let Some(error) = usage.unknown else {
            blind_since = None;
            continue;
        };
        tracing::debug!(container = name, %error, "cannot measure all disk use");
        if blind_since.get_or_insert_with(Instant::now).elapsed() > LONGEST_BLIND {
            let limit = ByteSize(limit);
            let reason = format!(
                "its disk use cannot be measured, so it is stopped because of the limit of {limit}: {error}"
            );
            return interrupt(&myself, State::Failed, reason);
        }
    }
}

fn interrupt(build: &ActorRef<Message>, state: State, reason: String) {
    let _ = build.cast(Message::Interrupt(Interruption {
        state,
        reason,
        reply: None,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(time: u64, offset: u64, length: usize) -> Result<Frame, DockerError> {
        Ok(Frame::Chunk {
            time,
            offset,
            bytes: vec![b'x'; length].into(),
        })
    }

    /// Time, offset and length of each chunk; `None` for other frames.
    fn shape(frames: Vec<Result<Frame, DockerError>>) -> Vec<Option<(u64, u64, usize)>> {
        let frames = frames.into_iter().map(|frame| match frame {
            Ok(Frame::Chunk {
                time,
                offset,
                bytes,
            }) => Some((time, offset, bytes.len())),
            _ => None,
        });
        frames.collect()
    }

    #[test]
    fn what_came_together_is_one_chunk_and_all_else_keeps_its_place() {
        let ready = vec![
            chunk(5, 0, 10),
            chunk(6, 10, 20),
            chunk(6 + TOGETHER_MS, 30, 5),
            chunk(17, 35, LARGEST_CHUNK),
            Ok(Frame::Limit),
            chunk(18, 7, 1),
            Err(DockerError::FollowerLost(String::new())),
        ];
        let expected = [
            Some((5, 0, 30)),
            Some((16, 30, 5)),
            Some((17, 35, LARGEST_CHUNK)),
            None,
            Some((18, 7, 1)),
            None,
        ];
        assert_eq!(shape(joined(ready)), expected);
    }
}
