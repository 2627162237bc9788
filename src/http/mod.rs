//! The front door: webhook, API, live connections, badges and the monitor's files.
//!
//! Each room is a file with its routes and handlers. A handler returns an answer or a
//! [`failure::Failure`]; nothing else leaves this service as an error. What a handler knows comes
//! from the store, the logs and the newest configuration at that moment: no state is kept here.

mod access;
mod allowance;
mod answer;
mod badge;
mod body;
mod builds;
mod client;
mod configuration;
mod connections;
mod failure;
mod filters;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gc;
mod github;
mod health;
mod hosts;
mod legacy;
mod live;
mod monitor;
mod openapi;
mod repositories;
mod server;
mod service;
mod session;
mod webhook;
mod websocket;

#[cfg(test)]
pub mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use warp::Filter;
use warp::filters::BoxedFilter;

use self::allowance::Allowance;
use self::answer::Response;
use self::body::BodyMemory;
use self::failure::Failure;
pub use self::gc::GcView;
pub use self::live::Changes;
pub use self::server::serve;
use crate::actors::Projects;
use crate::domain::build::Build;
use crate::log::LogReader;
use crate::service::{Service, follow};

/// Searches of logs at the same time, each of which may take several processors for seconds; more
/// wait for their turn. They have none of the places for reads of a moment.
const SEARCHES: usize = 2;

/// What every route is given.
pub struct Web {
    pub service: Arc<Service>,
    pub projects: Projects,
    /// Told when the service stops: live connections end.
    pub closing: CancellationToken,
    /// The tasks of all connections. A live one's outlives that of the request it began as.
    pub connections: TaskTracker,
    pub live_times: LiveTimes,
    pub changes: Changes,
    deliveries: webhook::Limits,
    /// Presents told again to all who listen, whoever asks for it.
    told_again: Allowance,
    /// Wrong tokens: more than anybody mistypes in a row.
    tries: Allowance,
    searches: Arc<Semaphore>,
    body_memory: Arc<BodyMemory>,
}

/// How patient connections are, live ones above all.
#[derive(Debug, Clone, Copy)]
pub struct LiveTimes {
    /// A client that takes nothing for so long is disconnected, one that only reads an answer, too.
    pub send_timeout: Duration,
    pub ping_every: Duration,
    /// A client hears something at least this often, in a form that a page can see.
    pub alive_every: Duration,
    /// How often what a client proved its right with is looked at again.
    pub check_every: Duration,
}

impl Default for LiveTimes {
    fn default() -> Self {
        Self {
            send_timeout: Duration::from_secs(30),
            ping_every: Duration::from_secs(20),
            alive_every: Duration::from_secs(5),
            check_every: Duration::from_secs(5),
        }
    }
}

impl Web {
    pub fn new(service: Arc<Service>, projects: Projects, live_times: LiveTimes) -> Self {
        Self {
            service,
            projects,
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
            live_times,
            changes: Changes::default(),
            deliveries: webhook::Limits::default(),
            told_again: Allowance::new(1, Duration::from_secs(5)),
            tries: Allowance::new(10, Duration::from_secs(6)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            body_memory: Arc::default(),
        }
    }

    /// Runs what blocks on the disk where blocking is allowed.
    async fn read_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let read = self.service.logs.read(read).await;
        read.map_err(|error| Failure::internal("the log could not be read", &error))
    }

    /// The build's log; `None` where nothing was written yet.
    async fn open_log(&self, build: &Build) -> Result<Option<LogReader>, Failure> {
        Ok(follow::open(&self.service, build).await?)
    }
}

/// Everything this service answers.
pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    access::guard(web)
        .and(rooms(web))
        .map(|may_be_stored, response| match may_be_stored {
            true => response,
            false => answer::ask_each_time(response),
        })
        .recover(failure::recover)
        .unify()
        .map(answer::harden)
        .boxed()
}

fn rooms(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    builds::routes(web)
        .or(live::routes(web))
        .unify()
        .or(webhook::routes(web))
        .unify()
        .or(monitor::routes())
        .unify()
        .or(legacy::routes(web))
        .unify()
        .or(badge::routes(web))
        .unify()
        .or(configuration::routes(web))
        .unify()
        .or(github::routes(web))
        .unify()
        .or(repositories::routes(web))
        .unify()
        .or(service::routes(web))
        .unify()
        .or(gc::routes(web))
        .unify()
        .or(health::routes(web))
        .unify()
        .or(openapi::routes())
        .unify()
        .or(session::routes(web))
        .unify()
        .boxed()
}
