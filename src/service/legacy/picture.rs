//! The present as the old service told it: what runs, and what ran last.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::HISTORY;
use super::shape::{OldBuild, joined};
use crate::domain::build::{Build, State};
use crate::domain::names::BuildId;
use crate::log::LogReader;
use crate::service::Service;
use crate::store::{BuildFilter, Result, StoreError};

/// The old service had no queue; of a long one, the newest are shown.
const QUEUED: usize = 100;
/// No service runs so many builds at once.
const RUNNING: usize = 1000;

/// Lines of a log in a picture.
const TAIL: u64 = 20;
/// These lines may be of any length; clients want a few of a screen's width.
const LONGEST_TAIL: usize = 64 * 1024;

/// A picture is made at most so often.
pub const FRESH: Duration = Duration::from_millis(500);

/// What those who ask share.
pub struct Legacy {
    newest: Mutex<Option<Arc<Picture>>>,
    asked_again: watch::Sender<u64>,
}

impl Default for Legacy {
    fn default() -> Self {
        Self {
            newest: Mutex::default(),
            asked_again: watch::Sender::new(0),
        }
    }
}

/// What was at one moment.
pub struct Picture {
    pub revision: i64,
    pub status: Message,
    pub history: Message,
    /// Builds that wait or run, and up to where of its log each is in the picture.
    pub unfinished: BTreeMap<BuildId, u64>,
    made: Instant,
}

/// `{"event": …, "payload": …}`, written once for everybody.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    text: Bytes,
    payload_at: usize,
}

impl Message {
    pub fn new(event: &str, payload: &impl Serialize) -> Result<Self> {
        let mut text = format!("{{\"event\":\"{event}\",\"payload\":").into_bytes();
        let payload_at = text.len();
        serde_json::to_writer(&mut text, payload)
            .map_err(|error| StoreError::Value(error.to_string()))?;
        text.push(b'}');
        Ok(Self {
            text: text.into(),
            payload_at,
        })
    }

    /// All of it, as JSON.
    pub fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// The payload alone, as JSON.
    pub fn payload(&self) -> Bytes {
        self.text.slice(self.payload_at..self.text.len() - 1)
    }
}

impl Legacy {
    /// The newest picture, made anew if it is older than [`FRESH`].
    pub async fn picture(&self, service: &Service) -> Result<Arc<Picture>> {
        let mut newest = self.newest.lock().await;
        if let Some(picture) = newest.as_ref()
            && picture.made.elapsed() < FRESH
        {
            return Ok(Arc::clone(picture));
        }
        let picture = Arc::new(Picture::make(service).await?);
        *newest = Some(Arc::clone(&picture));
        Ok(picture)
    }

    /// Everybody who listens is told the present once more.
    pub async fn tell_again(&self, service: &Service) -> Result<()> {
        *self.newest.lock().await = None;
        self.picture(service).await?;
        self.asked_again.send_modify(|times| *times += 1);
        Ok(())
    }

    pub fn asked_again(&self) -> watch::Receiver<u64> {
        self.asked_again.subscribe()
    }
}

impl Picture {
    async fn make(service: &Service) -> Result<Self> {
        // First how new it is, then what it holds.
        let revision = *service.store.revision().borrow();
        let builds = unfinished(service).await?;
        let mut views = BTreeMap::new();
        let mut places = BTreeMap::new();
        for build in builds {
            let (monitor, place) = monitor(service, &build).await;
            places.insert(build.id.clone(), place);
            views.insert(build.id.to_string(), OldBuild::new(service, build, monitor));
        }
        let history = history(service).await?;
        Ok(Self {
            revision,
            status: Message::new("status", &views)?,
            history: Message::new("history", &history)?,
            unfinished: places,
            made: Instant::now(),
        })
    }
}

/// What runs and waits, by id.
pub async fn status(service: &Service) -> Result<BTreeMap<String, OldBuild>> {
    let mut views = BTreeMap::new();
    for build in unfinished(service).await? {
        let (monitor, _) = monitor(service, &build).await;
        views.insert(build.id.to_string(), OldBuild::new(service, build, monitor));
    }
    Ok(views)
}

async fn unfinished(service: &Service) -> Result<Vec<Build>> {
    let mut builds = Vec::new();
    for (states, limit) in [(&State::RUNNING[..], RUNNING), (&[State::Queued], QUEUED)] {
        let filter = BuildFilter {
            states: states.to_vec(),
            ..BuildFilter::default()
        };
        builds.extend(service.store.builds(filter, limit).await?.builds);
    }
    Ok(builds)
}

async fn history(service: &Service) -> Result<Vec<OldBuild>> {
    let ended = service.store.ended_before(i64::MAX, HISTORY).await?;
    Ok(ended
        .into_iter()
        .map(|ended| OldBuild::new(service, ended.build, joined(&ended.tail)))
        .collect())
}

/// The last lines of the log of a build that has not ended, and where they end. A log that cannot
/// be read is an empty one here: whoever asks for the log itself is told why.
async fn monitor(service: &Service, build: &Build) -> (String, u64) {
    // First how far it is written: what was announced is there.
    let written = service.logs.watch(&build.id);
    let written = written.map(|mark| mark.borrow().bytes);
    let folder = service.logs.folder(&build.id);
    let read = move || match LogReader::open(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((String::new(), 0)),
        log => last_lines(&log?, written),
    };
    match service.logs.read(read).await {
        Ok(lines) => lines,
        Err(error) => {
            tracing::warn!(build = %build.id, %error, "cannot read the end of a log");
            (String::new(), 0)
        }
    }
}

/// Ends with a whole line, where there is one: what is not whole comes with the rest of it.
fn last_lines(log: &LogReader, written: Option<u64>) -> io::Result<(String, u64)> {
    let end = written.map_or_else(|| log.len(), Ok)?;
    let start = log
        .tail_offset(TAIL + 1)?
        .max(end.saturating_sub(LONGEST_TAIL as u64))
        .min(end);
    let wanted = usize::try_from(end - start).unwrap_or(LONGEST_TAIL);
    let mut bytes = log.read_at(start, wanted)?;
    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |last| last + 1);
    bytes.truncate(whole);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = lines.len().saturating_sub(TAIL as usize);
    Ok((lines[first..].concat(), start + whole as u64))
}
