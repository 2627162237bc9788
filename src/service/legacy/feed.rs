//! What happens, for one listener at its own pace.
//!
//! A listener pulls: pictures of the present when something changed, and the output of builds as
//! it stands in their logs, from its own place in each. Nothing is queued for a listener, so a
//! slow one costs a picture and a piece of a log.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::picture::{FRESH, Message, Picture};
use crate::domain::names::BuildId;
use crate::log::{LogReader, Watermark};
use crate::service::Service;
use crate::store::Result;

/// Output gathers for so long.
const OUTPUT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a log in one message; an unfinished line waits for its end unless it is this long.
const LARGEST_PIECE: usize = 32 * 1024;

/// Something that the old service would have told.
pub enum Event {
    History(Message),
    Status(Message),
    Update(Message),
}

pub struct Feed {
    service: Arc<Service>,
    revision: watch::Receiver<i64>,
    begun: watch::Receiver<u64>,
    asked_again: watch::Receiver<u64>,
    /// The revision of the last picture; `None` before the first.
    seen: Option<i64>,
    /// No picture is looked at before.
    look_from: Instant,
    /// What of the last picture is to be told, once the output before it is.
    waiting: VecDeque<Event>,
    history: Option<Message>,
    status: Option<Message>,
    followed: VecDeque<Followed>,
    /// No output is read before.
    read_from: Instant,
}

/// The log of a build that waits or runs, or of one that has ended with output still to tell.
struct Followed {
    build: BuildId,
    /// Up to here it was told.
    offset: u64,
    /// Up to here it is in the picture that waits to be told.
    limit: u64,
    ended: bool,
    written: Option<watch::Receiver<Watermark>>,
    log: Option<Arc<LogReader>>,
}

/// What a listener is told of output.
#[derive(Serialize)]
struct Update<'a> {
    id: &'a BuildId,
    line: &'a str,
}

/// What one look at a log brought.
enum Piece {
    Text(String),
    /// Nothing now.
    Nothing,
    /// Nothing, and nothing will follow.
    End,
}

impl Feed {
    /// Begins with the present: the history, then the status.
    pub fn new(service: &Arc<Service>) -> Self {
        Self {
            revision: service.store.revision(),
            begun: service.logs.begun(),
            asked_again: service.legacy.asked_again(),
            service: Arc::clone(service),
            seen: None,
            look_from: Instant::now(),
            waiting: VecDeque::new(),
            history: None,
            status: None,
            followed: VecDeque::new(),
            read_from: Instant::now(),
        }
    }

    /// What is to be told now, if there is anything.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        self.look().await?;
        if let Some(update) = self.output().await? {
            return Ok(Some(update));
        }
        Ok(self.waiting.pop_front())
    }

    /// Until there may be something to tell. May be given up at any point.
    pub async fn changed(&mut self) {
        if !self.waiting.is_empty() {
            return;
        }
        let (seen, look_from, read_from) = (self.seen, self.look_from, self.read_from);
        let waits_for_log = self.followed.iter().any(|log| log.written.is_none());
        let mut written: Vec<_> = self
            .followed
            .iter_mut()
            .filter_map(|log| log.written.as_mut())
            .map(|written| Box::pin(written.changed()))
            .collect();
        let output = async {
            sleep_until(read_from).await;
            match written.is_empty() {
                true => std::future::pending().await,
                false => drop(select_all(written.iter_mut()).await),
            }
        };
        let picture = async {
            sleep_until(look_from).await;
            let _ = self.revision.wait_for(|now| Some(*now) != seen).await;
        };
        tokio::select! {
            () = output => {}
            () = picture => {}
            _ = self.asked_again.changed() => self.asked_again.mark_changed(),
            _ = self.begun.changed(), if waits_for_log => {}
        }
    }

    /// Takes a new picture if something changed and it is time.
    async fn look(&mut self) -> Result<()> {
        let is_asked = self.asked_again.has_changed().unwrap_or(false);
        let is_new = self.seen != Some(*self.revision.borrow());
        let is_time = Instant::now() >= self.look_from;
        if !self.waiting.is_empty() || !(is_asked || is_new && is_time) {
            return Ok(());
        }
        self.asked_again.mark_unchanged();
        let service = Arc::clone(&self.service);
        let picture = service.legacy.picture(&service).await?;
        self.follow(&picture);
        self.seen = Some(picture.revision);
        self.look_from = Instant::now() + FRESH;
        if is_asked || self.history.as_ref() != Some(&picture.history) {
            self.history = Some(picture.history.clone());
            self.waiting
                .push_back(Event::History(picture.history.clone()));
        }
        if is_asked || self.status.as_ref() != Some(&picture.status) {
            self.status = Some(picture.status.clone());
            self.waiting
                .push_back(Event::Status(picture.status.clone()));
        }
        Ok(())
    }

    /// Follows what is new in a picture: from where the first picture shows it, else from its
    /// beginning.
    fn follow(&mut self, picture: &Picture) {
        for log in &mut self.followed {
            let place = picture.unfinished.get(&log.build);
            log.ended = place.is_none();
            log.limit = place.copied().unwrap_or(u64::MAX);
        }
        for (build, place) in &picture.unfinished {
            if self.followed.iter().any(|log| log.build == *build) {
                continue;
            }
            self.followed.push_back(Followed {
                build: build.clone(),
                offset: if self.seen.is_none() { *place } else { 0 },
                limit: *place,
                ended: false,
                written: None,
                log: None,
            });
        }
    }

    /// The next piece of output, from the logs by turns.
    async fn output(&mut self) -> Result<Option<Event>> {
        let is_time = !self.waiting.is_empty() || Instant::now() >= self.read_from;
        if !is_time {
            return Ok(None);
        }
        for _ in 0..self.followed.len() {
            let Some(mut log) = self.followed.pop_front() else {
                break;
            };
            let piece = log.next(&self.service, !self.waiting.is_empty()).await;
            let piece = piece.unwrap_or_else(|error| {
                tracing::warn!(build = %log.build, %error, "cannot read a log");
                Piece::End
            });
            match piece {
                Piece::End => {}
                Piece::Nothing => self.followed.push_back(log),
                Piece::Text(text) => {
                    let update = Update {
                        id: &log.build,
                        line: &text,
                    };
                    let update = Message::new("update", &update);
                    self.followed.push_back(log);
                    return Ok(Some(Event::Update(update?)));
                }
            }
        }
        self.read_from = Instant::now() + OUTPUT_PAUSE;
        Ok(None)
    }
}

impl Followed {
    async fn next(&mut self, service: &Service, is_limited: bool) -> io::Result<Piece> {
        let Some(end) = self.end(service).await? else {
            return Ok(if self.ended {
                Piece::End
            } else {
                Piece::Nothing
            });
        };
        let end = if is_limited { end.min(self.limit) } else { end };
        let Some(log) = self.log.clone().filter(|_| self.offset < end) else {
            let is_over = self.ended && self.written.is_none();
            return Ok(if is_over { Piece::End } else { Piece::Nothing });
        };
        let offset = self.offset;
        let wanted = usize::try_from(end - offset).unwrap_or(LARGEST_PIECE);
        let wanted = wanted.min(LARGEST_PIECE);
        let read = service.logs.read(move || log.read_at(offset, wanted));
        let bytes = read.await?;
        let is_last = self.ended && self.written.is_none() && offset + bytes.len() as u64 >= end;
        let whole = whole_lines(&bytes, is_last);
        if whole == 0 {
            return Ok(if is_last { Piece::End } else { Piece::Nothing });
        }
        self.offset += whole as u64;
        Ok(Piece::Text(
            String::from_utf8_lossy(&bytes[..whole]).into_owned(),
        ))
    }

    /// How far the log can be read; `None`: there is none.
    async fn end(&mut self, service: &Service) -> io::Result<Option<u64>> {
        if self.written.is_none() {
            self.written = service.logs.watch(&self.build);
        }
        let mark = self.written.as_mut().map(|written| {
            let is_closed = written.has_changed().is_err();
            let mark = *written.borrow_and_update();
            (mark.bytes, mark.finished || is_closed)
        });
        if mark.is_some_and(|(_, is_over)| is_over) {
            self.written = None;
        }
        if self.log.is_none() && (mark.is_some() || self.ended) {
            let folder = service.logs.folder(&self.build);
            let open = move || match LogReader::open(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                log => Ok(Some(Arc::new(log?))),
            };
            self.log = service.logs.read(open).await?;
        }
        match (mark, self.log.clone()) {
            (_, None) => Ok(None),
            (Some((bytes, _)), _) => Ok(Some(bytes)),
            (None, Some(log)) if self.ended => service.logs.read(move || log.len().map(Some)).await,
            (None, Some(_)) => Ok(None),
        }
    }
}

/// How many bytes can be told: whole lines, of a very long line whole characters, at the end of a
/// log everything.
fn whole_lines(bytes: &[u8], is_last: bool) -> usize {
    if is_last {
        return bytes.len();
    }
    match memchr::memrchr(b'\n', bytes) {
        Some(last) => last + 1,
        None if bytes.len() < LARGEST_PIECE => 0,
        None => whole_characters(bytes),
    }
}

fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_between_lines_or_else_between_characters() {
        assert_eq!(whole_lines(b"one\ntwo", false), 4);
        assert_eq!(whole_lines(b"one\ntwo", true), 7);
        assert_eq!(whole_lines(b"two", false), 0);
        let mut long = vec![b'x'; LARGEST_PIECE - 1];
        long.extend("é".bytes().take(1));
        assert_eq!(whole_lines(&long, false), LARGEST_PIECE - 1);
        // What is no UTF-8 at all is told as it is, with what stands for it.
        long[5] = 0xff;
        assert_eq!(whole_lines(&long, false), LARGEST_PIECE);
    }
}
