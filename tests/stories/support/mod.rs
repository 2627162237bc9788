//! A whole autobuilder to tell stories about: the real program as a process of its own, with the
//! real Docker and git, everything else in a temporary folder.
//!
//! A story says what it needs and what it expects; the rest is held for all of them here. When a
//! story is over, the process is ended, and the story fails if the service has left a container
//! behind, has panicked, or has logged an error.

mod api;
pub mod clock;
mod containers;
mod disk;
mod engine;
mod github;
mod live;
mod nest;
mod process;
mod redis;
mod registry;
mod repository;
mod sampler;
mod service;
mod watch;
mod webhook;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

pub use api::{Answer, HOLD, RECIPE, RESULT};
pub use containers::{Creations, docker, docker_answers, inspect, remove_all_of};
pub use disk::SmallDisk;
pub use engine::Engine;
pub use github::{APP_ID, GITHUB_TOKEN, with_app, with_github, with_github_in};
pub use live::{Follower, From};
pub use nest::Nest;
pub use process::{Output, command, command_lines, end, output, run};
pub use redis::{PASSWORD as REDIS_PASSWORD, Redis};
pub use registry::{Pulled, Registry};
pub use repository::{Push, Repository, git};
pub use service::{Service, files_below, merge, story_folder};
pub use webhook::{Delivery, builds_in, signature};

/// Long enough for a small build on a machine with two busy cores. Nothing waits this long when
/// all is well.
pub const SOON: Duration = Duration::from_secs(60);

/// How often something that cannot tell of its changes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Whether stories are told in their long form: `make chaos`.
pub fn in_full() -> bool {
    std::env::var("AUTOBUILDER_FULL_LOAD").is_ok_and(|value| !value.is_empty())
}

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(SOON, what, look).await
}

/// Waits at most `limit` until `look` finds something.
pub async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the script wrote: the log without the service's own lines.
pub fn script_output(log: &str) -> String {
    log.split_inclusive('\n')
        .filter(|line| !line.starts_with("==> "))
        .collect()
}

/// The service's own lines, without what marks them.
pub fn notes(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.strip_prefix("==> "))
        .collect()
}

/// SHA-256, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// A port of this machine that is given to nobody else as long as this is kept, but to a server that
/// is told to listen there.
fn keep_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket
}

/// For a user in a container, who is nobody on this machine.
fn readable_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
