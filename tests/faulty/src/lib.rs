//! A proxy in front of a server that is well, and that fails when a story says so: by the byte,
//! whatever protocol is spoken, as networks and machines do. Without a server behind it, it is one
//! that only fails.
//!
//! ```no_run
//! use faulty::{Fault, Faulty};
//!
//! let proxy = Faulty::before("127.0.0.1:5000".parse().unwrap());
//! proxy.fail(Fault::passes(1000).resets());
//! // … the service speaks to proxy.url() …
//! assert!(proxy.met() > 0);
//! proxy.heal();
//! ```

mod connection;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

/// What becomes of a connection.
#[derive(Debug, Clone)]
pub struct Fault {
    first: First,
    then: Then,
}

#[derive(Debug, Clone)]
enum First {
    /// Nobody listens.
    Refuses,
    /// This instead of what the server would say, once something was asked.
    Says(Vec<u8>),
    /// So many bytes of what the server says.
    Passes(usize),
}

/// What comes after that. Whatever is sent is taken in any case.
#[derive(Debug, Clone)]
enum Then {
    Ends,
    /// Nothing, and the connection stays.
    Hangs,
    /// By the network's word for it, as of a machine that was started again.
    Resets,
    /// The same bytes, again and again.
    Repeats(Vec<u8>),
}

impl Fault {
    /// Nobody listens.
    pub fn refuses() -> Self {
        Self {
            first: First::Refuses,
            then: Then::Ends,
        }
    }

    /// Says this, and ends the connection.
    pub fn says(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            first: First::Says(bytes.into()),
            then: Then::Ends,
        }
    }

    /// Says nothing at all, and keeps the connection.
    pub fn silent() -> Self {
        Self::says("").hangs()
    }

    /// What no protocol is.
    pub fn garbage() -> Self {
        Self::says(b"\x00\x17\xff\xfenothing that anybody speaks\r\n\r\n".repeat(10))
    }

    /// The page of somebody in between, with the status of a success.
    pub fn page() -> Self {
        Self::http(
            "200 OK",
            "text/html",
            "<html><body>one moment, please</body></html>",
        )
    }

    /// A whole answer of HTTP.
    pub fn http(status: &str, content_type: &str, body: &str) -> Self {
        let length = body.len();
        Self::says(format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    }

    /// Elsewhere, for everything.
    pub fn redirects(to: &str) -> Self {
        Self::says(format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    }

    /// An answer of HTTP that is announced, begun, and not ended.
    pub fn begins(content_type: &str, body: &str) -> Self {
        Self::says(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 1000000\r\n\r\n{body}"
        ))
        .hangs()
    }

    /// An answer of HTTP whose body has no end: these bytes, again and again.
    pub fn endless(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::says(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n"
        ))
        .repeats(body)
    }

    /// So many bytes of what the server says, and ends the connection.
    pub fn passes(bytes: usize) -> Self {
        Self {
            first: First::Passes(bytes),
            then: Then::Ends,
        }
    }

    /// And says nothing more then.
    pub fn hangs(self) -> Self {
        self.then(Then::Hangs)
    }

    /// And resets the connection then.
    pub fn resets(self) -> Self {
        self.then(Then::Resets)
    }

    /// And says this without end then.
    pub fn repeats(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Then::Repeats(bytes.into()))
    }

    fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }
}

/// The proxy. Everything ends when it is dropped.
pub struct Faulty {
    shared: Arc<Shared>,
    address: SocketAddr,
    door: Mutex<Door>,
    /// Works however busy the story's own runtime is. Always there, but while this is dropped.
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Shared {
    server: Option<SocketAddr>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with the text that the beginning of what is asked has to hold; the first counts.
    faults: Vec<(String, Fault)>,
    /// Those texts, of each connection that has come to where it fails.
    met: Vec<String>,
    connections: Vec<AbortHandle>,
}

enum Door {
    Open(AbortHandle),
    /// The port is kept, and nobody listens.
    Shut(TcpSocket),
    Moving,
}

/// How long a listener may take to be gone.
const LONGEST_CLOSE: Duration = Duration::from_secs(10);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Faulty {
    /// A server that says nothing as long as it is not told to fail in another way.
    pub fn alone() -> Self {
        let faulty = Self::start(None);
        faulty.fail(Fault::silent());
        faulty
    }

    /// In front of this server.
    pub fn before(server: SocketAddr) -> Self {
        Self::start(Some(server))
    }

    /// In front of what is at an address like `http://127.0.0.1:80`.
    pub fn before_url(url: &str) -> Self {
        let (_, rest) = url.split_once("://").expect("an address with a scheme");
        let host = rest.rsplit('@').next().unwrap_or(rest);
        Self::before(host.trim_end_matches('/').parse().expect("IP and port"))
    }

    fn start(server: Option<SocketAddr>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
        });
        let socket = socket(([127, 0, 0, 1], 0).into());
        let address = socket.local_addr().expect("it is bound");
        let door = open(&runtime, &shared, socket);
        Self {
            shared,
            address,
            door: Mutex::new(door),
            runtime: Some(runtime),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything fails like this from now on. Connections that are open end.
    pub fn fail(&self, fault: Fault) {
        self.set(vec![(String::new(), fault)]);
    }

    /// Only connections whose first words hold this fail, each for the first that fits.
    pub fn fail_where(&self, faults: impl IntoIterator<Item = (impl Into<String>, Fault)>) {
        let faults = faults.into_iter();
        self.set(faults.map(|(text, fault)| (text.into(), fault)).collect());
    }

    /// All is well from now on. Connections that are open end.
    pub fn heal(&self) {
        self.set(Vec::new());
    }

    /// How many connections have come to where they fail, since that was said last.
    pub fn met(&self) -> usize {
        self.shared.state().met.len()
    }

    /// How many of them held this text of [`Self::fail_where`].
    pub fn met_where(&self, text: &str) -> usize {
        let state = self.shared.state();
        state.met.iter().filter(|met| *met == text).count()
    }

    fn set(&self, faults: Vec<(String, Fault)>) {
        let refuses = |(_, fault): &(String, Fault)| matches!(fault.first, First::Refuses);
        let shut = faults.iter().any(refuses);
        {
            let mut state = self.shared.state();
            state.faults = faults;
            state.met.clear();
            for connection in state.connections.drain(..) {
                connection.abort();
            }
        }
        let runtime = self.runtime.as_ref().expect("it is not dropped");
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        *door = match std::mem::replace(&mut *door, Door::Moving) {
            Door::Open(listening) if shut => {
                listening.abort();
                Door::Shut(socket(self.address))
            }
            Door::Shut(socket) if !shut => open(runtime, &self.shared, socket),
            as_it_is => as_it_is,
        };
    }
}

/// Bound, and listening to nobody: who connects is refused.
fn socket(address: SocketAddr) -> TcpSocket {
    let begun = Instant::now();
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of sockets");
        match socket.bind(address) {
            Ok(()) => return socket,
            Err(error) => assert!(begun.elapsed() < LONGEST_CLOSE, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn open(runtime: &Runtime, shared: &Arc<Shared>, socket: TcpSocket) -> Door {
    let _inside = runtime.enter();
    let listener = socket.listen(1024).expect("the port was kept");
    Door::Open(
        runtime
            .spawn(serve(listener, Arc::clone(shared)))
            .abort_handle(),
    )
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let serving = tokio::spawn(connection::serve(client, Arc::clone(&shared)));
        let mut state = shared.state();
        state
            .connections
            .retain(|connection| !connection.is_finished());
        state.connections.push(serving.abort_handle());
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // A runtime must not wait for its tasks where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
