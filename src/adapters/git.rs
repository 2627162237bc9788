//! Stand-in until the git adapter is merged.

use std::collections::BTreeMap;

use crate::domain::names::{CommitSha, GitRef, RepositoryName};

#[derive(Default)]
pub struct Git;

#[derive(Debug, thiserror::Error)]
#[error("git is not merged")]
pub struct GitError;

impl Git {
    pub async fn heads(&self, _: &RepositoryName) -> Result<BTreeMap<GitRef, CommitSha>, GitError> {
        Err(GitError)
    }
}
