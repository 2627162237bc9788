//! A log from some place on, as it comes: which bytes are next, and what to wait for when there are
//! none. Who follows pulls at its own pace, from its own place in the log file.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::Service;
use crate::domain::build::Build;
use crate::domain::names::BuildId;
use crate::log::{LogReader, Watermark};
use crate::store::StoreError;

pub struct Follower {
    pub build: BuildId,
    /// Where the next byte stands in the log.
    pub offset: u64,
    /// Bytes in one piece at most.
    largest: usize,
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

/// What was known when somebody last looked: a later moment is worth another look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The store's revision.
    pub revision: i64,
    /// How many logs were begun so far.
    pub begun: u64,
}

pub enum Next {
    /// What stood at the follower's place, which is beyond it now.
    Piece { offset: u64, bytes: Vec<u8> },
    /// The build has ended, and this was all.
    End,
    /// Nothing now.
    Nothing,
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the log could not be read: {0}")]
    Log(#[from] io::Error),
    #[error("the log of build {0} is no longer kept")]
    NoLongerKept(BuildId),
    #[error("the log of build {0} is shorter than what was announced")]
    TooShort(BuildId),
}

pub type Result<T, E = FollowError> = std::result::Result<T, E>;

/// The build's log; `None` where nothing was written yet.
pub async fn open(service: &Arc<Service>, build: &Build) -> Result<Option<LogReader>> {
    let (logs, id) = (Arc::clone(service), build.id.clone());
    let opened = service.logs.read(move || match logs.logs.open(&id) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    });
    match opened.await? {
        // Whatever was started has written at least how it ended.
        None if build.state.is_end() && build.started.is_some() => {
            Err(FollowError::NoLongerKept(build.id.clone()))
        }
        opened => Ok(opened),
    }
}

impl Follower {
    /// From the log's beginning, in pieces of at most so many bytes. Returns the log as well, if
    /// anything was written, for whoever wants to begin at another place.
    pub async fn begin(
        service: &Arc<Service>,
        build: &Build,
        largest: usize,
    ) -> Result<(Self, Option<Arc<LogReader>>)> {
        // First how far it is written, then the file: what was announced is there.
        let written = being_written(service, &build.id);
        let log = open(service, build).await?.map(Arc::new);
        let follower = Self {
            build: build.id.clone(),
            offset: 0,
            largest,
            log: log.clone(),
            stage: match written {
                Some(written) => Stage::Written(written),
                None => Stage::Unknown { seen: None },
            },
        };
        Ok((follower, log))
    }

    /// What comes next. `now` is read before anything that is looked at here.
    pub async fn next(&mut self, service: &Arc<Service>, now: Moment) -> Result<Next> {
        loop {
            match &mut self.stage {
                Stage::Written(written) => {
                    let is_closed = written.has_changed().is_err();
                    let mark = *written.borrow_and_update();
                    if self.offset < mark.bytes {
                        return self.piece(service, mark.bytes).await;
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
                    let build = service.store.build(self.build.clone()).await?;
                    if build.state.is_end() {
                        self.stage = Stage::Ended;
                    } else if let Some(written) = being_written(service, &self.build) {
                        self.stage = Stage::Written(written);
                    }
                }
                Stage::Ended => {
                    let Some(log) = self.log(service).await? else {
                        return Ok(Next::End);
                    };
                    let length = service.logs.read(move || log.len()).await?;
                    return match self.offset < length {
                        true => self.piece(service, length).await,
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

    async fn piece(&mut self, service: &Arc<Service>, end: u64) -> Result<Next> {
        let offset = self.offset;
        let wanted = usize::try_from(end - offset).unwrap_or(self.largest);
        let wanted = wanted.min(self.largest);
        let Some(log) = self.log(service).await? else {
            return Err(FollowError::TooShort(self.build.clone()));
        };
        let bytes = service
            .logs
            .read(move || log.read_at(offset, wanted))
            .await?;
        if bytes.is_empty() {
            return Err(FollowError::TooShort(self.build.clone()));
        }
        self.offset += bytes.len() as u64;
        Ok(Next::Piece { offset, bytes })
    }

    async fn log(&mut self, service: &Arc<Service>) -> Result<Option<Arc<LogReader>>> {
        if self.log.is_none() {
            let build = service.store.build(self.build.clone()).await?;
            self.log = open(service, &build).await?.map(Arc::new);
        }
        Ok(self.log.clone())
    }
}

fn being_written(service: &Service, build: &BuildId) -> Option<watch::Receiver<Watermark>> {
    let written = service.logs.watch(build)?;
    let is_over = written.borrow().finished || written.has_changed().is_err();
    (!is_over).then_some(written)
}
