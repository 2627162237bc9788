//! `GET /api/v1/live`: the WebSocket of docs/live-protocol.md.
//!
//! One task for each connection pulls from the store and the log files what its client asked for,
//! at the client's pace. Nothing is queued for a client, so a slow one costs one frame of memory.

mod changes;
mod channel;
mod connection;
mod protocol;

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use warp::filters::BoxedFilter;
use warp::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::{Filter, Reply};

pub use self::changes::Changes;
use self::connection::Connection;
pub use self::connection::{FAREWELL, NO_LONGER, Socket};
pub use self::protocol::{ClientMessage, ServerMessage};
use super::access::{Pass, check_origin};
use super::answer::{Answer, Response, respond};
use super::failure::{ErrorView, Failure};
use super::{Web, filters};

/// Messages of clients are at most this long, in bytes.
const LARGEST_MESSAGE: usize = 4096;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    // Not warp's own WebSocket filter: it takes 256 KiB of buffers for each client.
    warp::path!("api" / "v1" / "live")
        .and(filters::reading("GET"))
        .and(filters::given(web))
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(|web, headers, upgrade| respond(live(web, &headers, upgrade)))
        .boxed()
}

/// Changes of builds and logs as they are written, over a WebSocket.
///
/// The messages are described in docs/live-protocol.md.
#[utoipa::path(
    get,
    path = "/api/v1/live",
    tag = "live",
    responses(
        (status = 101, description = "the connection is a WebSocket now"),
        (status = 403, description = "a page of another site asked", body = ErrorView),
        (status = 426, description = "the request was no WebSocket's", body = ErrorView),
    )
)]
fn live(web: Arc<Web>, headers: &HeaderMap, upgrade: Option<OnUpgrade>) -> Answer {
    accept(web, headers, upgrade, |web, socket, pass| {
        Connection::new(web, socket, pass).run()
    })
}

/// Makes the connection of a request a WebSocket, for `converse` in a task of its own.
pub fn accept<C: Future<Output = ()> + Send>(
    web: Arc<Web>,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
    converse: impl FnOnce(Arc<Web>, Socket, Pass) -> C + Send + 'static,
) -> Answer {
    let public_url = web.service.config.borrow().public_url.clone();
    check_origin(headers, public_url.as_str())?;
    let (Some(key), Some(upgrade)) = (websocket_key(headers), upgrade) else {
        return Ok(upgrade_required());
    };
    let pass = Pass::of(headers);
    let tasks = web.connections.clone();
    tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let config = WebSocketConfig::default()
                    .read_buffer_size(LARGEST_MESSAGE)
                    .write_buffer_size(0)
                    .max_message_size(Some(LARGEST_MESSAGE))
                    .max_frame_size(Some(LARGEST_MESSAGE));
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
                converse(web, socket, pass).await;
            }
            Err(error) => tracing::debug!(%error, "a live connection could not begin"),
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

/// The key of a request that wants a WebSocket of the one version there is (RFC 6455, 4.2.1).
fn websocket_key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let lists = |name: HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    let wants_websocket = lists(CONNECTION, "upgrade")
        && lists(UPGRADE, "websocket")
        && lists(SEC_WEBSOCKET_VERSION, "13");
    headers.get(SEC_WEBSOCKET_KEY).filter(|_| wants_websocket)
}

fn upgrade_required() -> Response {
    let failure = Failure::new(
        StatusCode::UPGRADE_REQUIRED,
        "this address speaks WebSocket",
        "connect with a WebSocket client of version 13; see docs/live-protocol.md",
    );
    let mut response = failure.into_response();
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}
