//! Requests as they come, and answers as they shall go out.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use crate::failures::Wrong;
use crate::routes;
use crate::state::{Seen, State};

pub(crate) struct Shared {
    state: Mutex<State>,
    /// For requests that are held.
    pub released: Semaphore,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            released: Semaphore::new(0),
        }
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no handler panicked")
    }
}

pub(crate) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    listener
        .set_nonblocking(true)
        .expect("a listener that tokio takes");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| exchange(Arc::clone(&shared), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

/// An error closes the connection without an answer.
async fn exchange(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    let seen = Seen {
        route: routes::route(&method, &path),
        method,
        path,
        headers: headers.collect(),
    };
    let wrong = {
        let mut state = shared.state();
        state.requests.push(seen.clone());
        state.failures.take(seen.route)
    };
    if let Some(Wrong::Held) = wrong {
        let permit = shared.released.acquire().await;
        permit.expect("a semaphore that stays open").forget();
    }
    let body = read(body, wrong.as_ref()).await?;
    let (status, text) = routes::answer(&mut shared.state(), &seen, &body, wrong.as_ref());
    if let Some(Wrong::Late(delay)) = wrong {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::builder().status(status);
    if let Some(Wrong::Answer { headers, .. }) = &wrong {
        for (name, value) in headers {
            response = response.header(name, value);
        }
    }
    let response = response.body(Full::from(text));
    Ok(response.expect("a status and headers that exist"))
}

async fn read(mut body: Incoming, wrong: Option<&Wrong>) -> io::Result<Bytes> {
    let mut read = BytesMut::new();
    loop {
        match wrong {
            Some(Wrong::CutAfter(limit)) if read.len() >= *limit => {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            Some(Wrong::SilentAfter(limit)) if read.len() >= *limit => {
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        match body.frame().await {
            None => return Ok(read.freeze()),
            Some(frame) => {
                let frame = frame.map_err(io::Error::other)?;
                read.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
            }
        }
    }
}
