//! The newest changes of builds, written out once for all live clients.
//!
//! Hundreds of clients that each read a burst of changes from the store would keep it busy with
//! the same rows. Here the first who asks reads what is new and writes it as the message it will
//! be; the others wait for that moment and take the same bytes. A client that is further behind
//! than what is kept reads from the store for itself.

use std::collections::VecDeque;

use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::protocol::{ServerMessage, text};
use crate::domain::names::BuildId;
use crate::http::failure::Failure;
use crate::service::Service;
use crate::service::view::views;

/// Changes are read so many at a time: builds with all their commits, some 10 KiB each.
const BATCH: usize = 16;

/// How much is kept: a page of builds that all change at once, and a bound in bytes, as the
/// commits of a build can be long.
const KEPT: usize = 256;
const KEPT_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub struct Changes {
    recent: Mutex<Option<Recent>>,
}

/// Every change with a revision above `after`, up to `upto`: the newest of each build.
struct Recent {
    after: i64,
    upto: i64,
    changes: VecDeque<Change>,
    bytes: usize,
}

struct Change {
    build: BuildId,
    revision: i64,
    message: Utf8Bytes,
}

/// A few changes for one client.
pub struct Piece {
    /// In the order of their revisions.
    pub messages: Vec<Utf8Bytes>,
    /// With them the client has every change up to this revision.
    pub upto: i64,
}

impl Changes {
    /// What changed after a revision, a piece of it at most.
    pub async fn since(&self, service: &Service, since: i64) -> Result<Piece, Failure> {
        let oldest = {
            let mut recent = self.recent.lock().await;
            let recent = recent.get_or_insert_with(|| Recent::from(since));
            recent.catch_up(service).await?;
            if since >= recent.after {
                return Ok(recent.since(since));
            }
            recent.after
        };
        let (changes, upto) = read(service, since, oldest).await?;
        let messages = changes.into_iter().map(|change| change.message).collect();
        Ok(Piece { messages, upto })
    }
}

/// Up to [`BATCH`] changes after a revision, and the revision up to which these are all. Beyond
/// the last change there may be revisions of builds that were removed since.
async fn read(service: &Service, since: i64, newest: i64) -> Result<(Vec<Change>, i64), Failure> {
    let builds = service.store.changed_since(since, BATCH).await?;
    let places: Vec<(BuildId, i64)> = builds
        .iter()
        .map(|build| (build.id.clone(), build.revision))
        .collect();
    let last = places.last().map_or(since, |(_, revision)| *revision);
    let upto = match places.len() < BATCH {
        true => last.max(newest),
        false => last,
    };
    let changes = places
        .into_iter()
        .zip(views(service, builds).await?)
        .map(|((build, revision), view)| Change {
            build,
            revision,
            message: text(&ServerMessage::Build {
                revision,
                build: Box::new(view),
            }),
        })
        .collect();
    Ok((changes, upto))
}

impl Recent {
    fn from(revision: i64) -> Self {
        Self {
            after: revision,
            upto: revision,
            changes: VecDeque::new(),
            bytes: 0,
        }
    }

    async fn catch_up(&mut self, service: &Service) -> Result<(), Failure> {
        let newest = *service.store.revision().borrow();
        let kept = newest - KEPT as i64;
        if self.upto < kept {
            // Nobody asked for long; what is older would only be read to be dropped.
            *self = Self::from(kept);
        }
        while self.upto < newest {
            let (changes, upto) = read(service, self.upto, newest).await?;
            self.add(changes, upto);
        }
        Ok(())
    }

    fn add(&mut self, changes: Vec<Change>, upto: i64) {
        for change in changes {
            if let Some(place) = self
                .changes
                .iter()
                .position(|old| old.build == change.build)
            {
                self.remove(place);
            }
            self.bytes += change.message.len();
            self.changes.push_back(change);
        }
        self.upto = upto;
        while self.changes.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.changes.front() else {
                break;
            };
            self.after = oldest.revision;
            self.remove(0);
        }
    }

    fn remove(&mut self, place: usize) {
        if let Some(change) = self.changes.remove(place) {
            self.bytes -= change.message.len();
        }
    }

    fn since(&self, since: i64) -> Piece {
        let newer = self.changes.iter().filter(|change| change.revision > since);
        let mut newer = newer.peekable();
        let mut messages = Vec::new();
        let mut upto = since;
        while messages.len() < BATCH
            && let Some(change) = newer.next()
        {
            messages.push(change.message.clone());
            upto = change.revision;
        }
        if newer.peek().is_none() {
            upto = upto.max(self.upto);
        }
        Piece { messages, upto }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(build: u64, revision: i64) -> Change {
        Change {
            build: BuildId::from_random(build),
            revision,
            message: revision.to_string().into(),
        }
    }

    fn shown(piece: &Piece) -> (Vec<&str>, i64) {
        (
            piece.messages.iter().map(Utf8Bytes::as_str).collect(),
            piece.upto,
        )
    }

    #[test]
    fn the_newest_change_of_each_build_is_given() {
        let mut recent = Recent::from(10);
        recent.add(vec![change(1, 11), change(2, 12)], 12);
        recent.add(vec![change(1, 13)], 15);
        assert_eq!(shown(&recent.since(10)), (vec!["12", "13"], 15));
        assert_eq!(shown(&recent.since(12)), (vec!["13"], 15));
        assert_eq!(shown(&recent.since(15)), (vec![], 15));
        assert_eq!(shown(&recent.since(99)), (vec![], 99));
    }

    #[test]
    fn a_piece_is_bounded_and_the_next_goes_on_after_it() {
        let mut recent = Recent::from(0);
        recent.add(
            (1..=20)
                .map(|number| change(number, number as i64))
                .collect(),
            20,
        );
        let first = recent.since(0);
        assert_eq!((first.messages.len(), first.upto), (BATCH, BATCH as i64));
        assert_eq!(
            shown(&recent.since(first.upto)),
            (vec!["17", "18", "19", "20"], 20)
        );
    }

    #[test]
    fn what_is_no_longer_kept_is_known() {
        let mut recent = Recent::from(0);
        recent.add(
            (1..=300)
                .map(|number| change(number, number as i64))
                .collect(),
            300,
        );
        assert_eq!(
            (recent.changes.len(), recent.after),
            (KEPT, 300 - KEPT as i64)
        );
        let long: Utf8Bytes = "x".repeat(KEPT_BYTES).into();
        recent.add(
            vec![Change {
                message: long,
                ..change(301, 301)
            }],
            301,
        );
        assert_eq!((recent.changes.len(), recent.after), (1, 300));
    }
}
