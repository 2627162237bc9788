//! A file on its way: from the disk in pieces, with its progress told and its standstill noticed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use futures_util::TryStreamExt;
use reqwest::multipart::{Form, Part};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::error::Kind;
use super::exchange::Request;
use super::{HubError, Listener, Local, Patience};

/// What is read of a file at once.
const PIECE: usize = 64 * 1024;

/// How often is looked whether something has moved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Upload<'a> {
    pub local: Local<'a>,
    pub field: &'static str,
}

/// How much of a file has gone, in one try.
#[derive(Default)]
pub(super) struct Transfer {
    size: AtomicU64,
    sent: Arc<AtomicU64>,
}

impl Transfer {
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }
}

impl Upload<'_> {
    pub async fn form(&self, transfer: &Transfer) -> Result<Form, HubError> {
        let unreadable = |error: std::io::Error| {
            let path = self.local.path.display();
            HubError::new(Kind::Local, format!("cannot read {path}: {error}"))
        };
        let file = File::open(self.local.path).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        transfer.size.store(size, Ordering::Relaxed);
        let sent = Arc::clone(&transfer.sent);
        let pieces = ReaderStream::with_capacity(file.take(size), PIECE).inspect_ok(move |piece| {
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        });
        let part = Part::stream_with_length(reqwest::Body::wrap_stream(pieces), size)
            .file_name(self.local.name.to_owned())
            .mime_str("application/octet-stream")
            .map_err(|error| HubError::new(Kind::Local, error.to_string()))?;
        // Names as browsers send them: not every server knows `filename*`.
        Ok(Form::new().percent_encode_noop().part(self.field, part))
    }
}

/// Follows one try. Where nothing is uploaded, only the answer is waited for.
pub(super) struct Progress<'a> {
    patience: &'a Patience,
    answer_within: Duration,
    transfer: &'a Transfer,
    /// `None`: nothing is uploaded.
    name: Option<&'a str>,
    listener: Listener<'a>,
    begun: Instant,
    end_is_told: bool,
}

impl<'a> Progress<'a> {
    pub fn new(
        patience: &'a Patience,
        request: &Request<'a>,
        transfer: &'a Transfer,
        listener: Listener<'a>,
    ) -> Self {
        let name = request.upload.as_ref().map(|upload| upload.local.name);
        if let Some(name) = name {
            listener(format!("uploading {name}: {}", ByteSize(transfer.size())));
        }
        Self {
            patience,
            answer_within: request.answer_within,
            transfer,
            name,
            listener,
            begun: Instant::now(),
            end_is_told: false,
        }
    }

    /// Ends when the try is to be given up, and says why.
    pub async fn follow(&mut self) -> (Kind, String) {
        let size = self.transfer.size();
        let mut moved = (0, Instant::now());
        let mut told = Instant::now();
        while self.transfer.sent() < size {
            tokio::time::sleep(LOOK_EVERY.min(self.patience.stall / 4)).await;
            let sent = self.transfer.sent();
            if sent != moved.0 {
                moved = (sent, Instant::now());
            }
            if moved.1.elapsed() >= self.patience.stall {
                let stood = Seconds(self.patience.stall);
                let (sent, size) = (ByteSize(sent), ByteSize(size));
                let problem = format!("took nothing for {stood}, after {sent} of {size}");
                return (Kind::Unavailable, problem);
            }
            if told.elapsed() >= self.patience.progress && sent < size {
                told = Instant::now();
                (self.listener)(format!(
                    "uploaded {} of {}",
                    self.rate(sent),
                    ByteSize(size)
                ));
            }
        }
        self.tell_end();
        tokio::time::sleep(self.answer_within).await;
        let problem = format!("gave no answer within {}", Seconds(self.answer_within));
        match self.name {
            // It may still be at it, and would begin from the beginning.
            Some(_) => (Kind::Malformed, problem),
            None => (Kind::Unavailable, problem),
        }
    }

    /// Once all of the file has gone.
    pub fn tell_end(&mut self) {
        let size = self.transfer.size();
        if self.name.is_some() && self.transfer.sent() == size && !self.end_is_told {
            self.end_is_told = true;
            let took = Seconds(self.begun.elapsed());
            (self.listener)(format!("uploaded {} in {took}", self.rate(size)));
        }
    }

    /// `12.3 MiB (4.1 MiB/s)`
    fn rate(&self, sent: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let speed = ByteSize((sent as f64 / seconds) as u64);
        format!("{} ({speed}/s)", ByteSize(sent))
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1} s", self.0.as_secs_f64())
    }
}
