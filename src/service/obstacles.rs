//! What stands between the service and GitHub at the moment, for those who ask why a status is
//! not there yet; and between a repository and its builds.

use super::Service;
use crate::adapters::github::{CredentialKind, Scope};
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;
use crate::store::{Backlog, StoreError};

/// Why builds of a repository wait: its queue fails again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// One line.
    pub problem: String,
    /// When it is tried again.
    pub until: Timestamp,
}

/// Something that keeps statuses from being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    pub to: Whom,
    /// One line.
    pub problem: String,
    /// When it is tried again.
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// Everything that shares a credential and its limits.
    Scope(Scope),
    Repository(RepositoryName),
}

impl Service {
    /// Whether anything is told to GitHub at all.
    pub fn reports_statuses(&self) -> bool {
        self.github.credential() != CredentialKind::None
    }

    /// Statuses that wait to be sent; none where nothing is sent.
    pub async fn status_backlog(&self) -> Result<Backlog, StoreError> {
        if !self.reports_statuses() {
            return Ok(Backlog::default());
        }
        let combined = self.config.borrow().github.legacy_context.is_some();
        self.store.status_backlog(combined).await
    }

    /// What keeps a repository's statuses from GitHub.
    pub fn obstacle_to(&self, repository: &RepositoryName) -> Option<Obstacle> {
        let scope = self.github.scope(repository);
        let stands_here = |obstacle: &&Obstacle| match &obstacle.to {
            Whom::Scope(blocked) => *blocked == scope,
            Whom::Repository(refused) => refused == repository,
        };
        let obstacles = self.obstacles.borrow();
        obstacles.iter().find(stands_here).cloned()
    }
}
