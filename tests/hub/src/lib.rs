//! The hub and the bootstrap server as a model: their state in memory, and as much of their HTTP as
//! this service speaks. What renews tokens is a third server; all three share one address here.
//!
//! A story says which tokens are good and what goes wrong, lets the service upload to
//! [`Model::url`], and then looks at what is stored and linked. An upload counts only if it is a
//! multipart form of exactly one file, whole, shown with the credential in all of its places.

mod failures;
mod multipart;
mod routes;
mod server;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use tokio::runtime::Runtime;

pub use failures::{Route, Wrong};
pub use state::Seen;

use server::Shared;

/// A hub and a bootstrap server without anything in them. Everything ends when it is dropped.
pub struct Model {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Serves however busy the story's own runtime is. Always there, but while the model is dropped.
    runtime: Option<Runtime>,
}

impl Model {
    /// On a free port of this machine.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the listener's address");
        let shared = Arc::new(Shared::default());
        runtime.spawn(server::serve(listener, Arc::clone(&shared)));
        Self {
            shared,
            address,
            runtime: Some(runtime),
        }
    }

    /// The service's `hub.url` and `kernels.bootstrap.url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The service's `hub.refresh_url`.
    pub fn refresh_url(&self) -> String {
        format!("{}/refresh", self.url())
    }

    /// This token is good for everything from now on.
    pub fn accept(&self, token: &str) {
        self.shared.state().tokens.insert(token.to_owned());
    }

    /// This one no longer is, as one that has expired.
    pub fn refuse(&self, token: &str) {
        self.shared.state().tokens.remove(token);
    }

    /// What goes wrong with the next request of this kind; said several times, with as many.
    pub fn next(&self, route: Route, wrong: Wrong) {
        self.shared.state().failures.push(route, wrong);
    }

    /// Lets one request go on that is held, or that will be.
    pub fn release(&self) {
        self.shared.released.add_permits(1);
    }

    /// What an uploaded flist was made of.
    pub fn archive(&self, user: &str, name: &str) -> Option<Bytes> {
        let state = self.shared.state();
        state
            .archives
            .get(&(user.to_owned(), name.to_owned()))
            .cloned()
    }

    /// Where a link of a user's points to.
    pub fn link(&self, user: &str, name: &str) -> Option<String> {
        let state = self.shared.state();
        state
            .links
            .get(&(user.to_owned(), name.to_owned()))
            .cloned()
    }

    /// A kernel of the bootstrap server.
    pub fn kernel(&self, name: &str) -> Option<Bytes> {
        self.shared.state().kernels.get(name).cloned()
    }

    /// Where a link of the bootstrap server points to.
    pub fn symlink(&self, name: &str) -> Option<String> {
        self.shared.state().symlinks.get(name).cloned()
    }

    /// The requests of a kind so far, oldest first, those that went wrong among them.
    pub fn requests(&self, route: Route) -> Vec<Seen> {
        let mut seen = self.shared.state().requests.clone();
        seen.retain(|seen| seen.route == route);
        seen
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // A runtime must not wait for its tasks where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A JWT that ends at this time, in seconds since 1970; `id` tells it from others. Nobody has signed
/// it, as nobody here checks that.
pub fn jwt(id: &str, expires: i64) -> String {
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(serde_json::json!({"alg": "ES384", "typ": "JWT"}));
    let claims = part(serde_json::json!({"exp": expires, "jti": id}));
    format!("{header}.{claims}.c2lnbmF0dXJl")
}
