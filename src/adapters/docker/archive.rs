//! Out of a container, as tar streams.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use autobuilder_runner::protocol::{MAX_PAYLOAD, Outcome, RESULT, SPOOL};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::connection::Docker;
use super::error::{DockerError, within};
use super::follow::Frame;

/// Pieces between the engine's stream and the thread that takes the tar apart.
const PIECES_AHEAD: usize = 8;

/// An outcome is ten short lines.
const MOST_OUTCOME: u64 = 4096;

/// What may stand before a file's bytes: its header and, where its name is long, what extends that.
/// It is kept in memory, and says by itself how long it is.
pub(super) const MOST_HEADERS: u64 = 64 * 1024;

impl Docker {
    /// The rest of the log of a container that was killed, and its outcome if the runner still got
    /// to write one. The spool is whole even then: the runner keeps nothing back. What lies beyond
    /// `max_log` is not read: a script can make a file of terabytes of it that takes no room.
    ///
    /// # Errors
    /// `NotFound`: no container, or it never got as far as a spool. `Unreachable`, `Stalled`,
    /// `Refused`, `Nonsense`.
    pub fn spool_of_stopped(
        &self,
        id: &str,
        offset: u64,
        max_log: u64,
    ) -> impl Stream<Item = Result<Frame, DockerError>> + Send + use<> {
        let (docker, id) = (self.clone(), id.to_owned());
        let (frames, received) = mpsc::channel(PIECES_AHEAD);
        let read = async move {
            let spool = frames.clone();
            let all = docker
                .read_file(&id, SPOOL, move |file| {
                    send_spool(file, offset..max_log, &spool)
                })
                .await;
            let outcome = match all {
                Ok(()) => docker.outcome_of_stopped(&id).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Some(outcome)) => drop(frames.send(Ok(Frame::End(outcome))).await),
                Ok(None) => {}
                Err(error) => drop(frames.send(Err(error)).await),
            }
        };
        // The reading runs as long as somebody takes what it reads, and not beside it.
        let read = stream::once(read).filter_map(async |()| None);
        let received = stream::unfold(received, |mut received| async move {
            Some((received.recv().await?, received))
        });
        stream::select(Box::pin(received), Box::pin(read))
    }

    async fn outcome_of_stopped(&self, id: &str) -> Result<Option<Outcome>, DockerError> {
        let read = |file: Result<&mut dyn Read, DockerError>| {
            let mut text = Vec::new();
            file?
                .take(MOST_OUTCOME)
                .read_to_end(&mut text)
                .map_err(broken)?;
            Outcome::decode(&text).map_err(|error| DockerError::Nonsense(error.to_string()))
        };
        match self.read_file(id, RESULT, read).await {
            Ok(outcome) => Ok(Some(outcome)),
            Err(DockerError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a plain file's content to `work`, on a thread where it may block.
    async fn read_file<T: Send + 'static>(
        &self,
        id: &str,
        path: &str,
        work: impl FnOnce(Result<&mut dyn Read, DockerError>) -> Result<T, DockerError> + Send + 'static,
    ) -> Result<T, DockerError> {
        let name = path.to_owned();
        self.read_archive(id, path, move |stream| {
            let left = Cell::new(MOST_HEADERS);
            let mut archive = tar::Archive::new(Bounded::new(stream, &left));
            let mut entries = archive.entries().map_err(broken)?;
            let Some(entry) = entries.next() else {
                return Err(DockerError::NotFound(name));
            };
            let mut entry = entry.map_err(broken)?;
            left.set(u64::MAX);
            if !entry.header().entry_type().is_file() {
                return Err(DockerError::Nonsense(format!("{name} is no file")));
            }
            work(Ok(&mut entry))
        })
        .await
    }

    /// Downloads the tar of one path, and gives it to `work` on a thread where it may block. When
    /// the caller goes away, `work` sees an error at its next read.
    pub(super) async fn read_archive<T, E>(
        &self,
        id: &str,
        path: &str,
        work: impl FnOnce(Pieces) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DockerError> + Send + 'static,
    {
        let stall = self.patience().stall;
        let engine = self.engine()?;
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let mut download = Box::pin(engine.download_from_container(id, Some(options)));
        // The first piece tells whether there is anything; its error is the engine's own answer.
        let first = next_piece(&mut download, stall).await?;

        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        let worker = tokio::task::spawn_blocking(move || {
            work(Pieces {
                received,
                piece: Bytes::new(),
                over: false,
            })
        });
        let pass_on = async move {
            let mut piece = first;
            loop {
                let last = matches!(&piece, Piece::End);
                if pieces.send(piece).await.is_err() || last {
                    return Ok(());
                }
                piece = next_piece(&mut download, stall).await?;
            }
        };
        finish(pass_on, worker).await
    }
}

/// An error of the download is what happened; the worker only sees its stream break off.
async fn finish<T, E: From<DockerError>>(
    pass_on: impl Future<Output = Result<(), DockerError>>,
    worker: tokio::task::JoinHandle<Result<T, E>>,
) -> Result<T, E> {
    let passed = pass_on.await;
    let worked = worker
        .await
        .map_err(|error| DockerError::Nonsense(error.to_string()))?;
    passed?;
    worked
}

pub(super) enum Piece {
    Bytes(Bytes),
    End,
}

async fn next_piece<S, E>(download: &mut S, stall: Duration) -> Result<Piece, DockerError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    DockerError: From<E>,
{
    match within(stall, "send a file", download.next()).await? {
        Some(bytes) => Ok(Piece::Bytes(bytes?)),
        None => Ok(Piece::End),
    }
}

/// A download as blocking bytes.
pub(super) struct Pieces {
    received: mpsc::Receiver<Piece>,
    piece: Bytes,
    over: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.over {
            match self.received.blocking_recv() {
                Some(Piece::Bytes(piece)) => self.piece = piece,
                Some(Piece::End) => self.over = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the download broke off",
                    ));
                }
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// A stream of which no more than `left` is read; then it fails.
pub(super) struct Bounded<'a, R> {
    stream: R,
    left: &'a Cell<u64>,
}

impl<'a, R> Bounded<'a, R> {
    pub(super) fn new(stream: R, left: &'a Cell<u64>) -> Self {
        Self { stream, left }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("it is longer than it may be"));
        }
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = self.stream.read(&mut buffer[..most])?;
        self.left.set(left - length as u64);
        Ok(length)
    }
}

pub(super) fn broken(error: io::Error) -> DockerError {
    DockerError::Nonsense(format!("a tar stream: {error}"))
}

fn send_spool(
    file: Result<&mut dyn Read, DockerError>,
    wanted: Range<u64>,
    frames: &mpsc::Sender<Result<Frame, DockerError>>,
) -> Result<(), DockerError> {
    let file = file?;
    let mut offset = wanted.start;
    if offset > wanted.end {
        return Ok(());
    }
    io::copy(&mut file.take(offset), &mut io::sink()).map_err(broken)?;
    loop {
        let left = wanted.end.saturating_sub(offset);
        let mut bytes = BytesMut::zeroed(MAX_PAYLOAD);
        let length = (&mut *file).take(left).read(&mut bytes).map_err(broken)?;
        if length == 0 {
            if left == 0 && file.read(&mut [0]).map_err(broken)? > 0 {
                let _ = frames.blocking_send(Ok(Frame::Limit));
            }
            return Ok(());
        }
        bytes.truncate(length);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let chunk = Frame::Chunk {
            time: now.as_millis() as u64,
            offset,
            bytes: bytes.freeze(),
        };
        offset += length as u64;
        if frames.blocking_send(Ok(chunk)).is_err() {
            // Nobody wants the rest.
            return Ok(());
        }
    }
}
