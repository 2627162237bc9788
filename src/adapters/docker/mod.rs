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
//! No transfer has a time limit: each is given up when it has not moved for a while. A short answer
//! has one for all of it, and work that is silent goes on while the engine answers beside it; see
//! [`Patience`].

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

/// How long an engine may take.
#[derive(Debug, Clone)]
struct Patience {
    /// For a question about health: who asks `/readyz` does not wait longer.
    health: Duration,
    /// For an answer that is no transfer, to its last byte. Generous, because creating and removing
    /// containers on a busy disk takes many seconds, and giving up changes nothing there.
    answer: Duration,
    /// A transfer may stand still so long. An engine that starts to write back its cache can be
    /// silent for many seconds; none was seen to be silent for a minute and then to go on.
    stall: Duration,
    /// The same of a pull: Docker tries a registry that does not answer several times, and unpacks
    /// without a word a layer that it has.
    pull_stall: Duration,
    /// For work that copies or removes gigabytes and says nothing before it is done. It is given up
    /// after `stall` where the engine answers nothing else either.
    labour: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            health: Duration::from_secs(3),
            answer: Duration::from_secs(120),
            stall: Duration::from_secs(60),
            pull_stall: Duration::from_secs(300),
            labour: Duration::from_secs(2 * 3600),
        }
    }
}
