//! The log as it grows: the runner's frames, out of Docker's.

use std::time::Duration;

use autobuilder_runner::protocol::{ALIVE_EVERY_MS, Head, Kind, Malformed, Outcome};
use bollard::container::LogOutput;
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};

use super::connection::Docker;
use super::error::{DockerError, one_line};
use super::exec::Output;

/// A follower says something every ten seconds. After three times nothing, the connection is dead,
/// or so slow that a new one does no harm.
const SILENCE: Duration = Duration::from_millis(3 * ALIVE_EVERY_MS + ALIVE_EVERY_MS / 2);

/// A runner that complains does so in a sentence.
const MOST_COMPLAINT: usize = 1024;

/// What a followed log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the spool from `offset` on, at most 64 KiB; each chunk begins where the one before
    /// ended. `time`: when they were read, in milliseconds since 1970 by the container's clock.
    Chunk {
        time: u64,
        offset: u64,
        bytes: Bytes,
    },
    /// The log is full. Comes at most once, after all bytes.
    Limit,
    /// The script has ended and all bytes have come.
    End(Outcome),
}

impl Docker {
    /// Follows a running container's spool from an offset on. Ends after [`Frame::End`] or with an
    /// error; dropping it ends it too. Older followers of that container are ended.
    ///
    /// How long the spool is, is up to the script, which could write to it by itself: a caller that
    /// has a limit holds it.
    ///
    /// # Errors
    /// `FollowerLost`: start again at the offset reached. `NotRunning`: see
    /// [`Docker::spool_of_stopped`]. `NotFound`, `Unreachable`, `Stalled`, `Nonsense`.
    pub fn follow(
        &self,
        id: &str,
        offset: u64,
    ) -> impl Stream<Item = Result<Frame, DockerError>> + Send + use<> {
        let (docker, id) = (self.clone(), id.to_owned());
        let start = State::Start { docker, id, offset };
        Box::pin(stream::unfold(start, |state| async {
            let mut follower = match state {
                State::Start { docker, id, offset } => {
                    match Follower::start(docker, id, offset).await {
                        Ok(follower) => follower,
                        Err(error) => return Some((Err(error), State::Over)),
                    }
                }
                State::Running(follower) => follower,
                State::Over => return None,
            };
            let frame = follower.next().await;
            let over = matches!(frame, Err(_) | Ok(Frame::End(_)));
            Some((
                frame,
                if over {
                    State::Over
                } else {
                    State::Running(follower)
                },
            ))
        }))
    }
}

enum State {
    Start {
        docker: Docker,
        id: String,
        offset: u64,
    },
    Running(Follower),
    Over,
}

struct Follower {
    docker: Docker,
    id: String,
    exec: String,
    output: Output,
    frames: Frames,
    complaint: Vec<u8>,
}

impl Follower {
    async fn start(docker: Docker, id: String, offset: u64) -> Result<Self, DockerError> {
        let (exec, output) = docker.exec(&id, &["follow", &offset.to_string()]).await?;
        Ok(Self {
            docker,
            id,
            exec,
            output,
            frames: Frames::from(offset),
            complaint: Vec::new(),
        })
    }

    async fn next(&mut self) -> Result<Frame, DockerError> {
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error) => return Err(self.not_a_frame(error).await),
            }
            let Ok(output) = tokio::time::timeout(SILENCE, self.output.next()).await else {
                return Err(self
                    .lost(format!("no sign of life for {} seconds", SILENCE.as_secs()))
                    .await);
            };
            match output {
                Some(Ok(LogOutput::StdOut { message })) => self.frames.feed(message),
                Some(Ok(other)) => {
                    let room = MOST_COMPLAINT.saturating_sub(self.complaint.len());
                    let complaint = other.into_bytes();
                    self.complaint
                        .extend_from_slice(&complaint[..complaint.len().min(room)]);
                }
                Some(Err(error)) => {
                    return Err(self.lost(DockerError::from(error).to_string()).await);
                }
                None => return Err(self.ended().await),
            }
        }
    }

    /// An engine that cannot start the follower says why in the place of its output: `OCI runtime
    /// exec failed: …`, where all pids are taken, for one.
    async fn not_a_frame(&mut self, error: Malformed) -> DockerError {
        let bytes = [&self.frames.head[..], &self.frames.input].concat();
        let words = one_line(&String::from_utf8_lossy(
            &bytes[..bytes.len().min(MOST_COMPLAINT)],
        ));
        if words.chars().any(char::is_control) {
            return DockerError::Nonsense(error.to_string());
        }
        self.lost(words).await
    }

    async fn ended(&mut self) -> DockerError {
        let complaint = one_line(&String::from_utf8_lossy(&self.complaint));
        if !complaint.is_empty() {
            return self.lost(complaint).await;
        }
        let code = self.docker.exec_exit_code(&self.exec).await;
        self.lost(code.map_or("it ended".to_owned(), |code| {
            format!("it ended with code {code}")
        }))
        .await
    }

    /// The error of a follower that is gone: mostly because its container is.
    async fn lost(&mut self, reason: String) -> DockerError {
        match self.docker.inspect(&self.id).await {
            Ok(Some(container)) if container.running => DockerError::FollowerLost(reason),
            Ok(Some(_)) => DockerError::NotRunning(reason),
            Ok(None) => DockerError::NotFound(format!("container {}", self.id)),
            Err(error) => error,
        }
    }
}

/// Cuts frames out of pieces that end anywhere, without copying what they carry: a chunk that comes
/// in several pieces becomes several chunks.
struct Frames {
    /// The piece that is being read.
    input: Bytes,
    head: [u8; Head::LENGTH],
    head_length: usize,
    /// Of the frame whose head is complete.
    inside: Option<Head>,
    outcome: Vec<u8>,
    /// Where the next chunk has to begin.
    offset: u64,
}

impl Frames {
    fn from(offset: u64) -> Self {
        Self {
            input: Bytes::new(),
            head: [0; Head::LENGTH],
            head_length: 0,
            inside: None,
            outcome: Vec::new(),
            offset,
        }
    }

    /// Takes the next piece; the one before must have been used up.
    fn feed(&mut self, input: Bytes) {
        debug_assert!(self.input.is_empty());
        self.input = input;
    }

    /// `None`: the next frame is not there as yet.
    fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        loop {
            let Some(head) = &mut self.inside else {
                let length = self.input.len().min(Head::LENGTH - self.head_length);
                self.input
                    .copy_to_slice(&mut self.head[self.head_length..][..length]);
                self.head_length += length;
                if self.head_length < Head::LENGTH {
                    return Ok(None);
                }
                self.head_length = 0;
                self.inside = Some(Head::decode(&self.head)?);
                continue;
            };
            let piece = self.input.split_to(self.input.len().min(head.payload));
            head.payload -= piece.len();
            let complete = head.payload == 0;
            let Head {
                kind, time, offset, ..
            } = *head;
            if kind == Kind::Chunk && !piece.is_empty() {
                if offset != self.offset {
                    return Err(Malformed(
                        "a chunk does not begin where the one before ended",
                    ));
                }
                self.offset += piece.len() as u64;
                head.offset = self.offset;
            }
            if complete {
                self.inside = None;
            }
            match kind {
                Kind::Chunk if !piece.is_empty() => {
                    return Ok(Some(Frame::Chunk {
                        time,
                        offset,
                        bytes: piece,
                    }));
                }
                Kind::Limit if complete => return Ok(Some(Frame::Limit)),
                Kind::End => {
                    self.outcome.extend_from_slice(&piece);
                    if complete {
                        return Outcome::decode(&self.outcome).map(Frame::End).map(Some);
                    }
                }
                Kind::Chunk | Kind::Limit | Kind::Alive => {}
            }
            if !complete && self.input.is_empty() {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use autobuilder_runner::protocol::{Exit, MAX_PAYLOAD};

    fn frame(kind: Kind, offset: u64, payload: &[u8]) -> Vec<u8> {
        let head = Head {
            kind,
            payload: payload.len(),
            time: 5,
            offset,
        };
        [&head.encode()[..], payload].concat()
    }

    fn outcome() -> Outcome {
        Outcome {
            exit: Exit::Code(3),
            started: 1,
            ended: 2,
            spool: 11,
            dropped: 0,
            spool_error: None,
            memory_kills: 0,
            pids_hits: 0,
        }
    }

    fn read(pieces: &[&[u8]], offset: u64) -> Result<Vec<Frame>, Malformed> {
        let mut frames = Frames::from(offset);
        let mut read = Vec::new();
        for piece in pieces {
            frames.feed(Bytes::copy_from_slice(piece));
            while let Some(frame) = frames.next()? {
                read.push(frame);
            }
            assert!(
                frames.input.is_empty(),
                "a piece is used up before the next one"
            );
        }
        Ok(read)
    }

    #[test]
    fn frames_are_found_wherever_docker_cuts_them() {
        let stream = [
            frame(Kind::Chunk, 7, b"hello"),
            frame(Kind::Alive, 12, b""),
            frame(Kind::Chunk, 12, b" world"),
            frame(Kind::Limit, 18, b""),
            frame(Kind::End, 18, outcome().encode().as_bytes()),
        ]
        .concat();
        for size in 1..=stream.len() {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let frames = read(&pieces, 7).unwrap();
            let mut text = Vec::new();
            for frame in &frames {
                if let Frame::Chunk {
                    time,
                    offset,
                    bytes,
                } = frame
                {
                    assert_eq!((*time, *offset), (5, 7 + text.len() as u64));
                    text.extend_from_slice(bytes);
                }
            }
            assert_eq!(text, b"hello world", "in pieces of {size}");
            assert_eq!(
                frames[frames.len() - 2..],
                [Frame::Limit, Frame::End(outcome())]
            );
        }
    }

    #[test]
    fn the_payload_is_not_copied() {
        let stream = Bytes::from(frame(Kind::Chunk, 0, &[b'x'; MAX_PAYLOAD]));
        let mut frames = Frames::from(0);
        frames.feed(stream.clone());
        let Some(Frame::Chunk { bytes, .. }) = frames.next().unwrap() else {
            panic!("no chunk")
        };
        assert_eq!(bytes.as_ptr(), stream[Head::LENGTH..].as_ptr());
    }

    #[test]
    fn a_stream_that_makes_no_sense_is_an_error() {
        let gap = frame(Kind::Chunk, 8, b"x");
        let no_outcome = frame(Kind::End, 0, b"nothing");
        for stream in [&gap[..], &no_outcome, &[9; Head::LENGTH]] {
            assert!(read(&[stream], 0).is_err());
        }
    }
}
