//! One build's log, told to Redis as far as it is written and as fast as it is taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::adapters::redis::{EntryId, Keep, Redis, RedisError};
use crate::config;
use crate::domain::build::Build;
use crate::domain::names::BuildId;
use crate::service::Service;
use crate::service::follow::{FollowError, Follower, Moment, Next};

/// Bytes of a log in one entry.
const LARGEST_PIECE: usize = 64 * 1024;

/// Output gathers for so long.
const PAUSE: Duration = Duration::from_millis(10);

/// How long the log of a build lasts whose end nobody tells.
const LASTS_UNFINISHED: Duration = Duration::from_secs(7 * 24 * 3600);

fn stream(build: &BuildId) -> String {
    format!("autobuilder:log:{build}")
}

/// Returns once all of it was told and the build has ended. A log that cannot be read is left as it
/// is: the service's own log says so.
pub async fn tell(
    service: &Arc<Service>,
    redis: &Redis,
    settings: &config::Redis,
    pieces: &Semaphore,
    build: Build,
) -> Result<BuildId, RedisError> {
    let id = build.id.clone();
    match try_to_tell(service, redis, settings, pieces, build).await {
        Err(Stop::Redis(error)) => return Err(error),
        Err(Stop::Log(error)) => tracing::warn!(build = %id, %error, "a log is not told to redis"),
        Ok(()) => {}
    }
    Ok(id)
}

enum Stop {
    Redis(RedisError),
    Log(FollowError),
}

impl From<RedisError> for Stop {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl<E: Into<FollowError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Log(error.into())
    }
}

async fn try_to_tell(
    service: &Arc<Service>,
    redis: &Redis,
    settings: &config::Redis,
    pieces: &Semaphore,
    build: Build,
) -> Result<(), Stop> {
    let stream = stream(&build.id);
    let known = redis.newest(&stream).await?;
    if known.is_some_and(|EntryId(_, part)| part == END) {
        return Ok(());
    }
    let (mut log, reader) = Follower::begin(service, &build, LARGEST_PIECE).await?;
    let length = match reader {
        Some(reader) => service.logs.read(move || reader.len()).await?,
        None => 0,
    };
    let known = match known {
        // The log lost its end with the machine's power, or was restored.
        Some(EntryId(told, _)) if told > length => {
            redis.delete(&stream).await?;
            None
        }
        known => known,
    };
    let kept = |end: u64| end.saturating_sub(settings.log_size);
    log.offset = known.map_or(0, |EntryId(told, _)| told).max(kept(length));
    let mut has_expiry = known.is_some();
    let (mut revision, mut begun) = (service.store.revision(), service.logs.begun());
    loop {
        let now = Moment {
            revision: *revision.borrow_and_update(),
            begun: *begun.borrow_and_update(),
        };
        let place = pieces.acquire().await;
        let next = log.next(service, now).await?;
        match next {
            Next::Piece { offset, bytes } => {
                let again = Instant::now() + PAUSE;
                let is_full = bytes.len() == LARGEST_PIECE;
                let id = EntryId(log.offset, PIECE);
                let fields = vec![("offset", number(offset)), ("data", bytes.into())];
                let keep = Keep::From(kept(log.offset));
                redis.append(&stream, id, fields, keep).await?;
                drop(place);
                if !has_expiry {
                    redis.expire(&stream, LASTS_UNFINISHED).await?;
                    has_expiry = true;
                }
                if !is_full {
                    sleep_until(again).await;
                }
            }
            Next::Nothing => {
                drop(place);
                let is_idle = log.waits_for_change();
                tokio::select! {
                    () = log.more() => {}
                    _ = revision.changed(), if is_idle => {}
                    _ = begun.changed(), if is_idle => {}
                }
            }
            Next::End => {
                let id = EntryId(log.offset, END);
                let fields = vec![("end", number(log.offset))];
                let keep = Keep::From(kept(log.offset));
                redis.append(&stream, id, fields, keep).await?;
                redis.expire(&stream, settings.log_expiry).await?;
                return Ok(());
            }
        }
    }
}

/// The second half of an entry's id: a piece ends at the place in its first half, and so does a log.
const PIECE: u64 = 0;
const END: u64 = 1;

fn number(number: u64) -> Bytes {
    number.to_string().into()
}
