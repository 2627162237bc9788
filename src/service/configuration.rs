//! What the configuration in force is made of, for those who show it and for those who compare it
//! with what should be in force.

use serde::{Deserialize, Serialize};

use crate::config::{FileOutcome, Findings};
use crate::domain::names::{BranchName, BuildId, CommitSha, RepositoryName};
use crate::domain::time::Timestamp;

/// The newest load of the configuration that came to an end: the catalog is what it left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadedConfiguration {
    pub source: Source,
    pub loaded: Timestamp,
    /// Each file there is, and those that were removed, by path.
    pub files: Vec<FileOutcome>,
    pub findings: Findings,
}

/// Where a configuration was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    Directory {
        path: String,
    },
    Commit {
        repository: RepositoryName,
        branch: BranchName,
        commit: CommitSha,
        /// The load.
        build: BuildId,
    },
}

impl LoadedConfiguration {
    /// The commit of this branch that is in force; `None` where something else is.
    pub fn commit_of(
        &self,
        repository: &RepositoryName,
        branch: &BranchName,
    ) -> Option<&CommitSha> {
        match &self.source {
            Source::Commit {
                repository: of,
                branch: at,
                commit,
                ..
            } if of == repository && at == branch => Some(commit),
            _ => None,
        }
    }
}
