//! One followed log: which bytes can be sent next, and what to wait for when there are none.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::protocol::{LARGEST_PIECE, Place};
use crate::domain::build::Build;
use crate::domain::names::BuildId;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::log::{LogReader, Watermark};

pub struct Channel {
    pub number: u32,
    pub build: BuildId,
    /// Where the next byte to send stands in the log.
    pub offset: u64,
    /// In line … of the log, when the channel began.
    pub first_line: u64,
    log: Option<Arc<LogReader>>,
    stage: Stage,
}

/// What is known of the log's end.
enum Stage {
    /// It is being written: this tells how far.
    Written(watch::Receiver<Watermark>),
    /// Nobody writes: the build waits, or is about to end. Looked at again when anything changes.
    Unknown { seen: Option<Moment> },
    /// Every byte is there.
    Ended,
}

/// What was known when a channel last looked: a later moment is worth another look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The store's revision.
    pub revision: i64,
    /// How many logs were begun so far.
    pub begun: u64,
}

pub enum Next {
    /// The piece at the channel's offset, which is moved past it.
    Piece { offset: u64, bytes: Vec<u8> },
    /// The build has ended, and everything was sent.
    End,
    /// Nothing now.
    Nothing,
}

impl Channel {
    pub async fn begin(
        web: &Web,
        number: u32,
        build: &Build,
        place: Place,
    ) -> Result<Self, Failure> {
        // First how far it is written, then the file: what was announced is there.
        let written = being_written(web, &build.id);
        let log = web.open_log(build).await?.map(Arc::new);
        let (offset, first_line) = match &log {
            Some(log) => {
                let log = Arc::clone(log);
                let found = web.read_disk(move || find(&log, place)).await?;
                found.map_err(|limit| beyond(&build.id, limit))?
            }
            None => match place {
                Place::Offset(0) | Place::Line(1) | Place::Tail(_) => (0, 1),
                _ => return Err(beyond(&build.id, Limit { bytes: 0, lines: 0 })),
            },
        };
        Ok(Self {
            number,
            build: build.id.clone(),
            offset,
            first_line,
            log,
            stage: match written {
                Some(written) => Stage::Written(written),
                None => Stage::Unknown { seen: None },
            },
        })
    }

    /// What to send next. `now` is read before anything that is looked at here.
    pub async fn next(&mut self, web: &Web, now: Moment) -> Result<Next, Failure> {
        loop {
            match &mut self.stage {
                Stage::Written(written) => {
                    let is_closed = written.has_changed().is_err();
                    let mark = *written.borrow_and_update();
                    if self.offset < mark.bytes {
                        return self.piece(web, mark.bytes).await;
                    }
                    if !mark.finished && !is_closed {
                        return Ok(Next::Nothing);
                    }
                    self.stage = Stage::Unknown { seen: None };
                }
                Stage::Unknown { seen } if *seen == Some(now) => return Ok(Next::Nothing),
                Stage::Unknown { seen } => {
                    *seen = Some(now);
                    // The state first: a build that has ended by now writes no more.
                    let build = web.service.store.build(self.build.clone()).await?;
                    if build.state.is_end() {
                        self.stage = Stage::Ended;
                    } else if let Some(written) = being_written(web, &self.build) {
                        self.stage = Stage::Written(written);
                    }
                }
                Stage::Ended => {
                    let Some(log) = self.log(web).await? else {
                        return Ok(Next::End);
                    };
                    let length = web.read_disk(move || log.len()).await?;
                    return match self.offset < length {
                        true => self.piece(web, length).await,
                        false => Ok(Next::End),
                    };
                }
            }
        }
    }

    /// Whether a new [`Moment`] can bring more.
    pub fn waits_for_change(&self) -> bool {
        matches!(self.stage, Stage::Unknown { .. })
    }

    /// Wakes when more was written; never where only a new [`Moment`] can bring more.
    pub async fn more(&mut self) {
        match &mut self.stage {
            // An error is a writer that has gone: as good a reason to look.
            Stage::Written(written) => drop(written.changed().await),
            _ => std::future::pending().await,
        }
    }

    async fn piece(&mut self, web: &Web, end: u64) -> Result<Next, Failure> {
        let offset = self.offset;
        let wanted = usize::try_from(end - offset).unwrap_or(LARGEST_PIECE);
        let wanted = wanted.min(LARGEST_PIECE);
        let Some(log) = self.log(web).await? else {
            return Err(missing());
        };
        let bytes = web.read_disk(move || log.read_at(offset, wanted)).await?;
        if bytes.is_empty() {
            return Err(missing());
        }
        self.offset += bytes.len() as u64;
        Ok(Next::Piece { offset, bytes })
    }

    async fn log(&mut self, web: &Web) -> Result<Option<Arc<LogReader>>, Failure> {
        if self.log.is_none() {
            let build = web.service.store.build(self.build.clone()).await?;
            self.log = web.open_log(&build).await?.map(Arc::new);
        }
        Ok(self.log.clone())
    }
}

fn being_written(web: &Web, build: &BuildId) -> Option<watch::Receiver<Watermark>> {
    let written = web.service.logs.watch(build)?;
    let is_over = written.borrow().finished || written.has_changed().is_err();
    (!is_over).then_some(written)
}

/// How long a log is.
struct Limit {
    bytes: u64,
    lines: u64,
}

/// Offset and line of a place; the log's length where it lies beyond it.
fn find(log: &LogReader, place: Place) -> io::Result<Result<(u64, u64), Limit>> {
    let offset = match place {
        Place::Offset(offset) => (offset <= log.len()?).then_some(offset),
        Place::Line(line) => log.offset_of_line(line)?,
        Place::Tail(lines) => Some(log.tail_offset(lines)?),
    };
    match offset {
        Some(offset) => Ok(Ok((offset, log.line_at_offset(offset)?))),
        None => Ok(Err(Limit {
            bytes: log.len()?,
            lines: log.lines()?,
        })),
    }
}

fn beyond(build: &BuildId, limit: Limit) -> Failure {
    let Limit { bytes, lines } = limit;
    Failure::bad_request(
        format!("this place is not in the log of build {build}"),
        format!("the log has {bytes} bytes and {lines} lines so far; the first line is 1"),
    )
}

fn missing() -> Failure {
    tracing::error!("a log is shorter than what was announced");
    Failure::new(
        warp::http::StatusCode::INTERNAL_SERVER_ERROR,
        "a part of the log is missing",
        "the service's own log says more",
    )
}
