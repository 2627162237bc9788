//! Answers: JSON, text, streams, and the headers that all of them carry.

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use warp::http::{HeaderValue, StatusCode};

use super::failure::Failure;

pub type Response = warp::reply::Response;

/// What a handler returns.
pub type Answer = Result<Response, Failure>;

/// Nothing is loaded from elsewhere, nothing inline runs, and no other site frames the monitor.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; \
     frame-ancestors 'none'; form-action 'self'";

/// Which sites may show an answer in their pages: by default this one.
pub const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub fn respond(answer: Answer) -> Response {
    answer.unwrap_or_else(Failure::into_response)
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = match serde_json::to_vec(value) {
        Ok(body) => body,
        Err(error) => {
            return Failure::internal("the answer could not be written", &error).into_response();
        }
    };
    let mut response = body.into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub fn ok(value: &impl Serialize) -> Answer {
    Ok(json(StatusCode::OK, value))
}

pub fn with_type(content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let bytes: Bytes = body.into();
    let mut response = bytes.to_vec().into_response();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A body whose pieces are fetched as the client takes them. The channel's capacity is all that
/// is ever held of it; when the client goes away, its sender fails.
pub fn stream(pieces: mpsc::Receiver<std::io::Result<Bytes>>) -> Response {
    let mut pieces = pieces;
    let stream = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    warp::reply::stream(stream).into_response()
}

pub fn set(response: &mut Response, name: HeaderName, value: impl ToString) {
    match HeaderValue::try_from(value.to_string()) {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        // All values come from checked names and numbers.
        Err(_) => tracing::error!(header = %name, "a header's value is not one"),
    }
}

/// For what is not for everybody: no proxy keeps it for others, and no browser shows it after its
/// session.
pub fn ask_each_time(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers
        .get(CACHE_CONTROL)
        .is_none_or(|value| value != "no-store")
    {
        let private = HeaderValue::from_static("private, no-cache");
        headers.insert(CACHE_CONTROL, private);
    }
    response
}

/// What every answer carries, whatever it is.
pub fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let every = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // For browsers that do not know `frame-ancestors`.
        (X_FRAME_OPTIONS, "DENY"),
        (OPENER_POLICY, "same-origin"),
    ];
    for (name, value) in every {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let own_site = HeaderValue::from_static("same-origin");
    headers.entry(RESOURCE_POLICY).or_insert(own_site);
    response
}
