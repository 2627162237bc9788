//! `/buildio`: what happens, as messages that the old service's browser page knows.
//!
//! Like the other live connections, a client is told at its own pace, and nothing is queued for
//! one. What it says is not listened to.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;

use crate::http::access::Pass;
use crate::http::answer::{Answer, Response, respond};
use crate::http::failure::ErrorView;
use crate::http::websocket::{self, Gone, Socket, accept, every};
use crate::http::{Web, filters};
use crate::service::legacy::{Event, Feed};

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("buildio")
        .and(filters::reading("GET"))
        .and(filters::given(web))
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(|web, headers, upgrade| respond(buildio(web, &headers, upgrade)))
        .boxed()
}

/// A WebSocket with the old service's messages, which docs/legacy.md describes.
#[utoipa::path(
    get,
    path = "/buildio",
    tag = "the old service's addresses",
    responses(
        (status = 101, description = "the connection is a WebSocket now"),
        (status = 403, description = "a page of another site asked", body = ErrorView),
        (status = 426, description = "the request was no WebSocket's", body = ErrorView),
    )
)]
fn buildio(web: Arc<Web>, headers: &HeaderMap, upgrade: Option<OnUpgrade>) -> Answer {
    accept(web, headers, upgrade, converse)
}

async fn converse(web: Arc<Web>, mut socket: Socket, pass: Pass) {
    web.service.metrics.live_clients.inc();
    let gone = match tell(&web, &mut socket, &pass).await {
        Ok(never) => match never {},
        Err(gone) => gone,
    };
    web.service.metrics.live_clients.dec();
    websocket::part(socket, gone).await;
}

async fn tell(web: &Web, socket: &mut Socket, pass: &Pass) -> Result<Infallible, Gone> {
    let mut feed = Feed::new(&web.service);
    let mut ping = every(web.live_times.ping_every);
    let mut check = every(web.live_times.check_every);
    loop {
        if check.tick().now_or_never().is_some() {
            websocket::check(web, pass)?;
        }
        while let Some(heard) = socket.next().now_or_never() {
            hear(heard)?;
        }
        let event = feed.next().await.map_err(|error| {
            tracing::error!(%error, "a client of /buildio could not be told what happens");
            Gone::INTERNAL
        })?;
        if let Some(Event::History(message) | Event::Status(message) | Event::Update(message)) =
            event
        {
            let text = Utf8Bytes::try_from(message.text()).map_err(|_| Gone::INTERNAL)?;
            websocket::send(web, socket, Message::Text(text)).await?;
            continue;
        }
        tokio::select! {
            () = feed.changed() => {}
            heard = socket.next() => hear(heard)?,
            _ = check.tick() => websocket::check(web, pass)?,
            _ = ping.tick() => websocket::send(web, socket, Message::Ping(Bytes::new())).await?,
            () = web.closing.cancelled() => return Err(Gone::Closing),
        }
    }
}

fn hear(heard: Option<Result<Message, SocketError>>) -> Result<(), Gone> {
    match heard {
        None | Some(Err(_)) => Err(Gone::Left),
        Some(Ok(Message::Close(_))) => Err(Gone::Closed),
        Some(Ok(_)) => Ok(()),
    }
}
