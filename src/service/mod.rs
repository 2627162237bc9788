//! What all actors share and HTTP is given: the store, the logs, the adapters, and the newest
//! configuration. Values only; who does something is an actor.

mod clock;
mod configuration;
pub mod directory;
mod disk;
pub mod files;
pub mod follow;
pub mod github;
pub mod hub;
pub mod legacy;
mod logs;
mod obstacles;
#[cfg(test)]
pub mod quiet;
mod turns;
pub mod view;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

pub use configuration::{LoadedConfiguration, Source};
pub use directory::{DataDirectory, DirectoryError, TemporaryFolder};
pub use disk::{Disk, Folder, Full};
pub use legacy::Legacy;
pub use logs::Logs;
pub use obstacles::{Obstacle, Standstill, Whom};
pub use turns::Turns;
pub use webhooks::{WebhookState, Webhooks};

use crate::adapters::docker::Docker;
use crate::adapters::git::Git;
use crate::adapters::github::Github;
use crate::adapters::hub::Hub;
use crate::config::ServiceConfig;
use crate::domain::names::RepositoryName;
use crate::domain::recipe::Catalog;
use crate::metrics::Metrics;
use crate::store::Store;

pub struct Service {
    pub directory: DataDirectory,
    pub store: Store,
    pub logs: Logs,
    pub docker: Docker,
    pub git: Git,
    pub github: Github,
    pub hub: Hub,
    pub metrics: Metrics,
    /// Replaced whole when the service file changes.
    pub config: watch::Receiver<Arc<ServiceConfig>>,
    /// Replaced whole when the configuration changes.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// What the catalog was made of; `None` until that is known.
    pub loaded: watch::Receiver<Option<Arc<LoadedConfiguration>>>,
    /// What the service needs and whether it is there.
    pub readiness: watch::Receiver<Vec<Component>>,
    pub webhooks: Webhooks,
    /// What keeps statuses from GitHub at the moment, by the status reporter.
    pub obstacles: watch::Sender<Vec<Obstacle>>,
    /// Repositories whose queue stands still, by projects.
    pub standstills: watch::Sender<HashMap<RepositoryName, Standstill>>,
    pub publishing: Turns,
    pub legacy: Legacy,
    /// How much room is left, as the janitor found it last.
    pub disk: watch::Sender<Disk>,
}

impl Service {
    /// What no build can begin without and is not there, as what a build waits for.
    pub fn missing_for_builds(&self) -> Option<String> {
        missing_for_builds(&self.disk.borrow(), &self.readiness.borrow())
    }
}

/// The same of what is known of disk and components.
pub fn missing_for_builds(disk: &Disk, components: &[Component]) -> Option<String> {
    if let Some(full) = &disk.full {
        return Some(format!("waits for room on the disk: {full}"));
    }
    components.iter().find_map(|component| {
        let what = match component.name {
            DOCKER => "Docker",
            DATABASE => "the database",
            _ => return None,
        };
        let problem = component.problem.as_ref()?;
        Some(format!("waits for {what}: {problem}"))
    })
}

/// The components without which builds do not begin.
pub const DOCKER: &str = "docker";
pub const DATABASE: &str = "database";

/// Something without which the service does not do all of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub name: &'static str,
    /// Why it is not ready.
    pub problem: Option<String>,
}
