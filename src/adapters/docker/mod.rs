//! The Docker engine: the only place that imports bollard.
//!
//! The life of a build's container, by its verbs:
//!
//! 1. [`Docker::ensure_image`], [`Docker::ensure_network`], [`Docker::create`]
//! 2. [`Docker::upload`], into the container as it is created
//! 3. [`Docker::start`], then [`Docker::follow`] until [`Frame::End`]; a follower that is lost is
//!    started again at the offset where it stopped. After a [`Docker::kill`] the rest comes from
//!    [`Docker::spool_of_stopped`]
//! 4. [`Docker::fetch_artifact`] and [`Docker::commit`] while the container still stands, and
//!    [`Docker::remove`]
//!
//! Nothing is bind-mounted and nothing is read from this machine's own file system, so the engine
//! may be anywhere.
//!
//! No transfer has a time limit: each is given up when it has not moved for a while. Requests that
//! have a short answer are given up after [`ANSWER`].

mod archive;
mod artifact;
mod commit;
mod connection;
mod container;
mod disk;
mod error;
mod exec;
mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod image;
mod leftovers;
mod network;
mod reference;
mod upload;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use artifact::ArtifactError;
pub use autobuilder_runner::protocol::{Exit, FOLDER, Job, Outcome};
pub use commit::TaggedImage;
pub use connection::{Docker, DockerSettings};
pub use container::{ContainerSpec, LABEL_ATTEMPT, LABEL_BUILD, LABEL_INSTANCE, OurContainer};
pub use error::DockerError;
pub use follow::Frame;
pub use image::{Credentials, Pull};
pub use leftovers::LabelledImage;
pub use upload::Upload;

/// How long an engine may take for an answer that is no transfer. Generous, because creating and
/// removing containers on a busy disk takes many seconds, and giving up changes nothing there.
const ANSWER: Duration = Duration::from_secs(120);

/// How long a transfer may stand still. An engine that starts to write back its cache can be silent
/// for many seconds; none was seen to be silent for a minute and then to go on.
const STALL: Duration = Duration::from_secs(60);
