//! The few filters that all rooms build their routes from.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use headers::{ContentLength, HeaderMapExt};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use warp::http::{HeaderMap, Method, StatusCode};
use warp::{Filter, Rejection};

use super::Web;
use super::failure::{Failure, WrongMethod};

/// However large it may be, a body that takes longer than this is not one of GitHub's or ours:
/// GitHub itself gives a delivery ten seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is too large is read on, up to this many times what is allowed, and thrown away:
/// who still sends does not listen, and would meet a closed connection in place of the answer.
const HEARD_OUT: usize = 2;

pub fn given(
    web: &Arc<Web>,
) -> impl Filter<Extract = (Arc<Web>,), Error = std::convert::Infallible> + Clone + use<> {
    let web = Arc::clone(web);
    warp::any().map(move || Arc::clone(&web))
}

/// GET, and HEAD: hyper leaves the body of its answer out.
pub fn reading(
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    method(&[Method::GET, Method::HEAD], allowed)
}

pub fn posting(
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    method(&[Method::POST], allowed)
}

pub fn deleting(
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    method(&[Method::DELETE], allowed)
}

fn method(
    taken: &'static [Method],
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    warp::method()
        .and_then(move |method: Method| async move {
            match taken.contains(&method) {
                true => Ok(()),
                false => Err(warp::reject::custom(WrongMethod { allowed })),
            }
        })
        .untuple_one()
}

/// The query as it stands; parsed by [`parse_query`], which can say what is wrong with it.
pub fn query() -> impl Filter<Extract = (String,), Error = std::convert::Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

pub fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Failure> {
    serde_urlencoded::from_str(query).map_err(|error| {
        Failure::bad_request(
            format!("the query cannot be read: {error}"),
            "the parameters are described in docs/http.md and at /api/v1/openapi.json",
        )
    })
}

/// A parameter that says how many are wanted: at least one.
pub fn checked_count<T: Copy + PartialOrd + From<u8> + Display>(
    name: &str,
    count: Option<T>,
    default: T,
    most: T,
) -> Result<T, Failure> {
    let count = count.unwrap_or(default);
    match (T::from(1)..=most).contains(&count) {
        true => Ok(count),
        false => Err(Failure::bad_request(
            format!("{name} is {count}"),
            format!("it may be 1 to {most}"),
        )),
    }
}

/// The rest of the path, percent-decoded; slashes and all.
pub fn decoded(text: &str) -> Result<String, Failure> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| {
        Failure::bad_request(
            "the path is not UTF-8",
            "encode each byte that is not ASCII as %XX",
        )
    })?;
    Ok(text.into_owned())
}

/// A request's body, and its place among those in memory.
pub struct Body {
    pub bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

/// The body, of at most `limit` bytes.
pub fn body(
    web: &Arc<Web>,
    limit: usize,
) -> impl Filter<Extract = (Result<Body, Failure>,), Error = Rejection> + Clone + use<> {
    given(web)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |web: Arc<Web>, headers: HeaderMap, body| async move {
            let announced = headers.typed_get::<ContentLength>().map(|length| length.0);
            let read = read_body(&web, body, announced, limit);
            match tokio::time::timeout(BODY_TIMEOUT, read).await {
                Ok(body) => body,
                Err(_) => Err(Failure::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not arrive in time",
                    format!("a body has {} seconds", BODY_TIMEOUT.as_secs()),
                )),
            }
        })
}

async fn read_body<B: Buf>(
    web: &Web,
    body: impl Stream<Item = Result<B, warp::Error>>,
    announced: Option<u64>,
    limit: usize,
) -> Result<Body, Failure> {
    let too_large = || {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large",
            format!("at most {limit} bytes are taken"),
        )
    };
    let heard_out = limit.saturating_mul(HEARD_OUT);
    if announced.is_some_and(|length| length > heard_out as u64) {
        return Err(too_large());
    }
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    let place = match announced {
        // None of it is kept.
        Some(length) if length > limit => None,
        announced => web.place_for_body(announced.unwrap_or(limit)).await,
    };
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(piece) = body.next().await {
        let mut piece = piece
            .map_err(|_| Failure::bad_request("the body ended early", "send the request again"))?;
        length += piece.remaining();
        if length > heard_out {
            return Err(too_large());
        }
        if length > limit {
            // Nothing of it is of use any more.
            bytes = BytesMut::new();
            continue;
        }
        bytes.put(&mut piece);
    }
    if length > limit {
        return Err(too_large());
    }
    Ok(Body {
        bytes: bytes.freeze(),
        _place: place,
    })
}
