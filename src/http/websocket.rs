//! WebSockets: how a request becomes one, and what holds for whoever is at its other end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use warp::Reply;
use warp::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::Web;
use super::access::{Pass, check_origin};
use super::answer::{Answer, Response};
use super::failure::Failure;

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Messages of clients are at most this long, in bytes.
const LARGEST_MESSAGE: usize = 4096;

/// A farewell is worth no longer wait.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a conversation ends.
#[derive(Debug)]
pub enum Gone {
    /// The network, or the client without a word.
    Left,
    /// The client said so.
    Closed,
    TooSlow,
    /// The service stops.
    Closing,
    /// The client broke the protocol of WebSockets, sent too long a message, or may not watch any
    /// more; or we cannot go on.
    Refused(CloseCode, &'static str),
}

impl Gone {
    pub const INTERNAL: Self = Self::Refused(CloseCode::Error, "an internal error");
}

/// Makes the connection of a request a WebSocket, for `converse` in a task of its own.
pub fn accept<C: Future<Output = ()> + Send>(
    web: Arc<Web>,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
    converse: impl FnOnce(Arc<Web>, Socket, Pass) -> C + Send + 'static,
) -> Answer {
    check_origin(headers, &web.service.config.borrow())?;
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

/// Whether the client may still watch.
pub fn check(web: &Web, pass: &Pass) -> Result<(), Gone> {
    match pass.holds(&web.service) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Gone::Refused(
            CloseCode::Policy,
            "builds are shown only to who has the API token or a session",
        )),
        Err(_) => Err(Gone::INTERNAL),
    }
}

/// Sends a message, to a client that takes it in time.
pub async fn send(web: &Web, socket: &mut Socket, message: Message) -> Result<(), Gone> {
    let sent = timeout(web.live_times.send_timeout, socket.send(message));
    tokio::select! {
        sent = sent => match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::TooSlow),
        },
        () = web.closing.cancelled() => Err(Gone::Closing),
    }
}

/// Says why the conversation ends, to a client that can still hear it.
pub async fn part(mut socket: Socket, gone: Gone) {
    let frame = match gone {
        Gone::Left | Gone::TooSlow => return,
        // The library has an answer ready, which goes out while the rest is read.
        Gone::Closed => None,
        Gone::Closing => Some((CloseCode::Away, "the service stops")),
        Gone::Refused(code, reason) => Some((code, reason)),
    };
    let farewell = async {
        if let Some((code, reason)) = frame {
            let reason = reason.into();
            let _ = socket.close(Some(CloseFrame { code, reason })).await;
        }
        // Whoever is told goes on to close its side; that it did is what the wait is for.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// Ticks, the first after this time. One that came late moves those after it.
pub fn every(time: Duration) -> Interval {
    let mut ticks = interval(time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}
