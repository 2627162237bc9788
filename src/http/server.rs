//! Connections: accepted, served, and ended in good order.
//!
//! warp's own server would do but for what it cannot be told: to send small frames at once
//! (TCP_NODELAY, which the live log needs), to give up on a client that never finishes its headers
//! or takes nothing of its answer, and to bound connections and what is buffered for each.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::allowance::Allowance;
use super::answer::Response;
use super::client::{ANYONE, Peer};
use super::connections::{Place, Places, Socket, open_files};
use super::{LiveTimes, Web, routes};
use crate::actors::Projects;
use crate::service::Service;

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// hyper's default is 400 KiB for each connection; no request line and headers of ours need that.
const CONNECTION_BUFFER: usize = 64 * 1024;

/// The pause after an accept that failed: it may be that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the log says that no connection is left.
const SAY_FULL_EVERY: Duration = Duration::from_secs(60);

/// Serves until `shutdown` is there, then lets requests finish for as long as
/// `shutdown_grace` allows; live connections are closed as going away.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    projects: Projects,
    shutdown: impl Future<Output = ()>,
) {
    let web = Arc::new(Web::new(service, projects, LiveTimes::default()));
    serve_web(listener, web, shutdown).await;
}

/// As [`serve`], with what tests choose differently.
pub async fn serve_web(listener: TcpListener, web: Arc<Web>, shutdown: impl Future<Output = ()>) {
    // Made at the first start, so that the CLI finds it before the first request that needs it.
    if web.service.config.borrow().api_token.is_none()
        && let Err(error) = web.service.directory.api_token()
    {
        tracing::error!(%error, "cannot write the API token; nothing can be changed over HTTP");
    }
    if let Err(error) = web.service.directory.session_key() {
        tracing::error!(%error, "cannot write the key of sessions; nobody can sign in");
    }
    let service = warp::service(routes(&web));
    let mut shutdown = std::pin::pin!(shutdown);
    let places = Places::new(open_files());
    let said_full = Allowance::new(1, SAY_FULL_EVERY);
    loop {
        if places.are_taken() && said_full.spend(ANYONE).is_ok() {
            tracing::warn!("all connections are taken; more clients wait until one is free");
        }
        let place = tokio::select! {
            place = places.free() => place,
            () = &mut shutdown => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let trusted = web.service.config.borrow().trusted_proxies.clone();
        let address = client.ip().to_canonical();
        let is_proxy = trusted.iter().any(|network| network.contains(&address));
        let metrics = &web.service.metrics;
        let Some(place) = places.take(place, address, is_proxy, metrics) else {
            tracing::debug!(%client, "the address has too many connections");
            continue;
        };
        let service = TowerToHyperService::new(service.clone());
        spawn_connection(&web, stream, client, place, service);
    }
    drop(listener);
    let grace = web.service.config.borrow().shutdown_grace;
    web.closing.cancel();
    web.connections.close();
    if tokio::time::timeout(grace, web.connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of shutdown_grace");
    }
}

fn spawn_connection<S>(web: &Web, stream: TcpStream, client: SocketAddr, place: Place, service: S)
where
    S: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = Response,
            Error = Infallible,
        > + Send
        + 'static,
    S::Future: Send,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%client, %error, "cannot set TCP_NODELAY");
    }
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(Peer(client.ip()));
        service.call(request)
    });
    let socket = Socket::new(stream, web.live_times.send_timeout, place);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(CONNECTION_BUFFER)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let closing = web.closing.clone();
    web.connections.spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closing.cancelled() => {
                // The request at hand is answered, and then no other.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // Clients that go away or time out are everyday life.
        if let Err(error) = ended {
            tracing::debug!(%client, %error, "a connection ended");
        }
    });
}
