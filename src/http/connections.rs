//! How many connections there may be, and how long one of them may take nothing of its answer.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use super::client::network;
use crate::metrics::Metrics;

/// However many files may be open: each connection has memory of its own, too.
const MOST: usize = 4096;

/// Of one network: more than any browser, script or office behind one address needs.
const MOST_OF_ONE: usize = 256;

/// The places for connections.
pub struct Places {
    all: Arc<Semaphore>,
    of_one: usize,
    taken: Arc<Taken>,
}

/// By network.
type Taken = Mutex<HashMap<IpAddr, usize>>;

impl Places {
    /// Half of the files that may be open are for clients; a stranger has a quarter of those at
    /// most.
    pub fn new(open_files: usize) -> Self {
        let all = (open_files / 2).clamp(4, MOST);
        Self {
            all: Arc::new(Semaphore::new(all)),
            of_one: MOST_OF_ONE.min(all / 4),
            taken: Arc::default(),
        }
    }

    pub fn are_taken(&self) -> bool {
        self.all.available_permits() == 0
    }

    /// One of them, once there is one.
    pub async fn free(&self) -> OwnedSemaphorePermit {
        let all = Arc::clone(&self.all);
        all.acquire_owned().await.expect("it is never closed")
    }

    /// The place for a client, unless it has too many. Proxies speak for many.
    pub fn take(
        &self,
        place: OwnedSemaphorePermit,
        client: IpAddr,
        is_proxy: bool,
        metrics: &Metrics,
    ) -> Option<Place> {
        let network = network(client);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = taken.get(&network).copied().unwrap_or(0);
        if of_network >= self.of_one && !is_proxy {
            metrics.connections_refused.inc();
            return None;
        }
        taken.insert(network, of_network + 1);
        metrics.connections.inc();
        Some(Place {
            network,
            taken: Arc::clone(&self.taken),
            open: metrics.connections.clone(),
            _place: place,
        })
    }
}

/// A connection's place, held until its socket is closed.
pub struct Place {
    network: IpAddr,
    taken: Arc<Taken>,
    open: prometheus_client::metrics::gauge::Gauge,
    _place: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_network) = taken.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// How many files may be open: as many as the system lets this process have, from now on.
pub fn open_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.current = limit.maximum,
            Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
        }
    }
    let unlimited = usize::MAX;
    limit.current.map_or(unlimited, |files| {
        usize::try_from(files).unwrap_or(unlimited)
    })
}

/// A socket whose client takes something of what is sent from time to time, or is disconnected.
pub struct Socket {
    stream: TcpStream,
    patience: Duration,
    /// Runs while nothing of what is to be sent can be.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Socket {
    pub fn new(stream: TcpStream, patience: Duration, place: Place) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
            _place: place,
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of its answer",
        )))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The system would go on for minutes with what this client does not take.
        if self.stalled.is_some() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = self.stream().poll_write(context, bytes);
        self.watch(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = self.stream().poll_write_vectored(context, pieces);
        self.watch(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
