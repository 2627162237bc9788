//! `GET /api/v1/live`: the WebSocket of docs/live-protocol.md.
//!
//! One task for each connection pulls from the store and the log files what its client asked for,
//! at the client's pace. Nothing is queued for a client, so a slow one costs one frame of memory.

mod changes;
mod channel;
mod connection;
pub(super) mod protocol;

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;

pub use self::changes::Changes;
use self::connection::Connection;
pub use self::protocol::{ClientMessage, ServerMessage};
use super::answer::{Answer, Response, respond};
use super::failure::ErrorView;
use super::websocket::accept;
use super::{Web, filters};

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
