//! Where each build's log and artifacts are, and which logs are being written right now.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, Semaphore, watch};

use super::Turns;
use crate::domain::build::{Build, State};
use crate::domain::mask::Masker;
use crate::domain::names::BuildId;
use crate::log::{LogReader, LogWriter, Watermark};

/// Reads at the same time. More wait: a slow disk must not take a thread for each of hundreds of
/// clients.
const READS: usize = 16;

pub struct Logs {
    root: PathBuf,
    reads: Semaphore,
    written: Mutex<HashMap<BuildId, watch::Receiver<Watermark>>>,
    begun: watch::Sender<u64>,
    turns: Turns,
}

impl Logs {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            reads: Semaphore::new(READS),
            written: Mutex::default(),
            begun: watch::Sender::new(0),
            turns: Turns::default(),
        }
    }

    /// What is kept of a build on disk.
    pub fn folder(&self, build: &BuildId) -> PathBuf {
        self.root.join(build.as_str())
    }

    pub fn artifacts(&self, build: &BuildId) -> PathBuf {
        self.folder(build).join("artifacts")
    }

    /// Runs what blocks on the disk where blocking is allowed.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let _place = self.reads.acquire().await;
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(io::Error::other)?
    }

    /// Blocks on the disk.
    pub fn open(&self, build: &BuildId) -> io::Result<LogReader> {
        LogReader::open(&self.folder(build))
    }

    /// How far a log is written, while it is.
    pub fn watch(&self, build: &BuildId) -> Option<watch::Receiver<Watermark>> {
        self.lock().get(build).cloned()
    }

    /// Whether anything was written of it. Blocks on the disk.
    pub fn is_begun(&self, build: &BuildId) -> bool {
        self.folder(build).exists()
    }

    /// Waits for who writes this log, who may be a thread that outlived its actor.
    pub async fn turn(&self, build: &BuildId) -> OwnedMutexGuard<()> {
        self.turns.take_log(build).await
    }

    /// Begins a build's log, or goes on with it where the last record left it. Blocks on the disk.
    pub fn write(&self, build: &Build, masker: Masker) -> io::Result<LogWriter> {
        let folder = self.folder(&build.id);
        let begun = match build.state {
            // A container of this attempt has not written yet: nothing of what is there is repeated.
            State::Preparing => LogWriter::reopen_for_next_attempt(&folder, masker.clone()),
            _ => LogWriter::reopen(&folder, masker.clone()).map(|(writer, _)| writer),
        };
        let writer = match begun {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                LogWriter::create(&folder, masker)?
            }
            begun => begun?,
        };
        self.lock().insert(build.id.clone(), writer.watermark());
        self.begun.send_modify(|begun| *begun += 1);
        Ok(writer)
    }

    /// How many logs were begun or gone on with: wakes whoever waits for one to begin.
    pub fn begun(&self) -> watch::Receiver<u64> {
        self.begun.subscribe()
    }

    /// Nothing more is written to this log for now.
    pub fn closed(&self, build: &BuildId) {
        self.lock().remove(build);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BuildId, watch::Receiver<Watermark>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
