//! Bodies of requests: how large they may be, how slow, and how much of them is in memory.
//!
//! Nothing is set aside for what was only announced, and no body waits for another: one that finds
//! no room is refused. Whoever holds room and lets the service wait for the rest loses it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use headers::{ContentLength, HeaderMapExt};
use tokio::time::{Instant, timeout_at};
use warp::http::{HeaderMap, StatusCode};
use warp::{Filter, Rejection};

use super::failure::Failure;
use super::filters::given;
use super::{Web, client};

/// What a body may have in memory without a share: all of almost every delivery of GitHub. Larger
/// ones take their share in steps of this.
const STEP: usize = 64 * 1024;

/// Steps that larger bodies have in memory together.
const ALL_STEPS: usize = 64 * 1024 * 1024 / STEP;

/// Steps of those from one network: one of the largest bodies that GitHub sends, and a little. So
/// no single one takes the room of all others.
const STEPS_OF_ONE: usize = 26 * 1024 * 1024 / STEP;

/// How long a body may take: so long, and a second more for each 64 KiB that have arrived. GitHub
/// itself gives a delivery ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: usize = 64 * 1024;

/// When to come again where there was no room.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// A body that is refused is read on, up to this many times what is allowed, and thrown away: who
/// still sends does not listen, and would meet a closed connection in place of the answer.
const HEARD_OUT: usize = 2;

/// A request's body, and its share of the memory for bodies.
pub struct Body {
    pub bytes: Bytes,
    _share: Share,
}

/// A body that has not been read yet.
pub struct Incoming {
    pieces: BoxStream<'static, Result<Bytes, warp::Error>>,
    announced: Option<u64>,
    /// Whose it is.
    from: IpAddr,
}

/// The body, of at most `limit` bytes.
pub fn body(
    web: &Arc<Web>,
    limit: usize,
) -> impl Filter<Extract = (Result<Body, Failure>,), Error = Rejection> + Clone + use<> {
    given(web)
        .and(incoming(web))
        .then(move |web: Arc<Web>, incoming: Incoming| async move { incoming.read(&web, limit).await })
}

pub fn incoming(
    web: &Arc<Web>,
) -> impl Filter<Extract = (Incoming,), Error = Rejection> + Clone + use<> {
    given(web)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional())
        .and(warp::body::stream())
        .map(|web: Arc<Web>, headers: HeaderMap, peer, pieces| {
            let trusted = &web.service.config.borrow().trusted_proxies;
            Incoming {
                pieces: whole_pieces(pieces),
                announced: headers.typed_get::<ContentLength>().map(|length| length.0),
                from: client::client(peer, &headers, trusted),
            }
        })
}

fn whole_pieces<B: Buf>(
    pieces: impl futures_util::Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> BoxStream<'static, Result<Bytes, warp::Error>> {
    let whole = |mut piece: B| piece.copy_to_bytes(piece.remaining());
    pieces.map(move |piece| piece.map(whole)).boxed()
}

impl Incoming {
    pub fn from(&self) -> IpAddr {
        self.from
    }

    /// All of it, at most `limit` bytes.
    pub async fn read(mut self, web: &Web, limit: usize) -> Result<Body, Failure> {
        let heard_out = limit.saturating_mul(HEARD_OUT);
        if self
            .announced
            .is_some_and(|length| length > heard_out as u64)
        {
            return Err(too_large(limit));
        }
        let begun = Instant::now();
        let mut share = Share::none(&web.body_memory, self.from);
        let mut bytes = BytesMut::new();
        let mut length = 0;
        let mut refusal = None;
        loop {
            let earned = Duration::from_secs((length / BYTES_PER_SECOND) as u64);
            let piece = timeout_at(begun + PATIENCE + earned, self.pieces.next()).await;
            let Some(piece) = piece.map_err(|_| too_slow())? else {
                break;
            };
            let piece = piece.map_err(|_| {
                Failure::bad_request("the body ended early", "send the request again")
            })?;
            length += piece.len();
            if length > heard_out {
                return Err(too_large(limit));
            }
            if refusal.is_none() {
                refusal = match length > limit {
                    true => Some(too_large(limit)),
                    false => share.grow(length.saturating_sub(1) / STEP).err(),
                };
            }
            match refusal {
                None => bytes.extend_from_slice(&piece),
                // Nothing of it is of use any more.
                Some(_) => {
                    bytes = BytesMut::new();
                    share = Share::none(&web.body_memory, self.from);
                }
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Body {
                bytes: bytes.freeze(),
                _share: share,
            }),
        }
    }
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large",
        format!("at most {limit} bytes are taken"),
    )
}

fn too_slow() -> Failure {
    Failure::new(
        StatusCode::REQUEST_TIMEOUT,
        "the body did not arrive in time",
        format!(
            "a body has {} seconds, and one more for each 64 KiB",
            PATIENCE.as_secs()
        ),
    )
}

/// The memory that large bodies take.
#[derive(Debug, Default)]
pub struct BodyMemory(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    steps: usize,
    by: HashMap<IpAddr, usize>,
}

/// What one body has of it.
struct Share {
    memory: Arc<BodyMemory>,
    network: IpAddr,
    steps: usize,
}

impl Share {
    fn none(memory: &Arc<BodyMemory>, from: IpAddr) -> Self {
        Self {
            memory: Arc::clone(memory),
            network: client::network(from),
            steps: 0,
        }
    }

    /// Until it is of so many steps.
    fn grow(&mut self, steps: usize) -> Result<(), Failure> {
        let more = steps.saturating_sub(self.steps);
        if more == 0 {
            return Ok(());
        }
        let mut taken = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = taken.by.get(&self.network).copied().unwrap_or(0) + more;
        if taken.steps + more > ALL_STEPS || of_network > STEPS_OF_ONE {
            return Err(Failure::unavailable(
                "too many large bodies arrive at the same time",
                "send the request again in a moment",
            )
            .again_after(COME_AGAIN));
        }
        taken.steps += more;
        taken.by.insert(self.network, of_network);
        self.steps = steps;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.steps == 0 {
            return;
        }
        let mut taken = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.steps -= self.steps;
        if let Some(of_network) = taken.by.get_mut(&self.network) {
            *of_network -= self.steps;
            if *of_network == 0 {
                taken.by.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_network_takes_the_room_of_all_others() {
        let memory = Arc::new(BodyMemory::default());
        let from = |number: u8| IpAddr::from([10, 0, 0, number]);
        let mut first = Share::none(&memory, from(1));
        assert!(first.grow(STEPS_OF_ONE).is_ok());
        let refused = Share::none(&memory, from(1)).grow(1).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            refused
                .into_response()
                .headers()
                .contains_key("retry-after")
        );
        let mut second = Share::none(&memory, from(2));
        assert!(second.grow(STEPS_OF_ONE).is_ok());
        let mut third = Share::none(&memory, from(3));
        assert!(third.grow(STEPS_OF_ONE).is_err(), "there is an end to all");
        assert!(third.grow(ALL_STEPS - 2 * STEPS_OF_ONE).is_ok());
        drop((first, second, third));
        let taken = memory.0.lock().unwrap();
        assert!(taken.steps == 0 && taken.by.is_empty(), "{taken:?}");
    }
}
