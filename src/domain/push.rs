//! A push: a ref of a repository moved to a commit.

use serde::{Deserialize, Serialize};

use super::names::{BranchName, CommitSha, GitRef, RepositoryName};

/// However it was heard of: webhook, reconciliation, or a person who asked for a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub repository: RepositoryName,
    pub reference: GitRef,
    /// Where the ref stood; `None` when it was created.
    pub before: Option<CommitSha>,
    pub after: CommitSha,
    /// History was replaced: the push counts as newer, whatever the ancestry.
    pub forced: bool,
    pub pusher: Option<String>,
    pub default_branch: Option<BranchName>,
    /// Newest last, as GitHub sends them; at most [`MAX_COMMITS`].
    pub commits: Vec<Commit>,
}

impl Push {
    /// A commit of a ref of which no push was heard.
    pub fn unheard(repository: RepositoryName, reference: GitRef, commit: CommitSha) -> Self {
        Self {
            repository,
            reference,
            before: None,
            after: commit,
            forced: false,
            pusher: None,
            default_branch: None,
            commits: Vec::new(),
        }
    }
}

/// GitHub itself sends at most 2048 commits with a push; a page shows a screenful.
pub const MAX_COMMITS: usize = 50;

/// A commit as people want to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Commit {
    #[schema(value_type = String)]
    pub id: CommitSha,
    pub message: String,
    pub author: String,
    /// Its page on GitHub, where there is one.
    pub url: Option<String>,
}
