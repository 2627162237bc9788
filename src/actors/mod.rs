//! The service at work: a tree of actors. Messages go down the tree and results come back up;
//! what must not be lost is in the store before anyone is told.
//!
//! ```text
//! root                 starts and restarts the rest
//! ├─ configuration     service file, and configuration from a directory or repository → one catalog
//! ├─ watchers          one watcher for each repository of the catalog
//! │   └─ watcher       what git says of its heads, compared with what was built
//! ├─ projects          the queue and the places
//! │   └─ project       one repository's queue
//! │       └─ build     one build; beside it the pump, a task
//! ├─ status reporter   tells GitHub what is in the outbox
//! ├─ janitor           what may go; is Docker there, is there room
//! ├─ relay             changes and logs to Redis, where there is one
//! └─ legacy topics     the old service's messages to Redis, where they are wanted
//! ```

pub mod build;
mod configuration;
#[cfg(feature = "faults")]
mod faults;
mod filter;
mod janitor;
mod log;
mod project;
mod projects;
mod redis;
mod reporter;
mod root;
mod supervision;
mod watcher;
mod watchers;

pub use configuration::Sources;
pub use janitor::{Found, gc};
pub use projects::CancelError;
pub use root::{Projects, start};
