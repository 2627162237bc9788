//! Statuses of commits: setting one, and reading what GitHub shows.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::request::{List, Request};
use super::{Github, GithubError};
use crate::domain::names::{CommitSha, RepositoryName};

/// A status to be set.
/// Source: <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub context: String,
    /// One of GitHub's four, see [`CommitStatus`](crate::domain::build::CommitStatus).
    pub state: String,
    /// Cut to what GitHub takes.
    pub description: String,
    pub target_url: String,
}

/// A status as GitHub shows it: the newest of its context.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shown {
    pub context: String,
    pub state: String,
    pub target_url: Option<String>,
}

/// Source: <https://docs.github.com/en/rest/commits/statuses#get-the-combined-status-for-a-specific-reference>.
#[derive(Deserialize)]
struct Combined {
    statuses: Vec<Shown>,
}

/// What GitHub takes of a description; more is refused.
const DESCRIPTION_LIMIT: usize = 140;

impl Github {
    /// Sets a status, which replaces an older one of the same context.
    pub async fn set_status(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        status: &Status,
    ) -> Result<(), GithubError> {
        let path = format!("/repos/{repository}/statuses/{commit}");
        let request = Request::new("set_status", Method::POST, path).body(json!({
            "state": status.state,
            "context": status.context,
            "description": shortened(&status.description),
            "target_url": status.target_url,
        }));
        let answer = self.connection().ask(repository, &request).await?;
        // A proxy's page may say 200.
        match answer.status {
            StatusCode::CREATED => Ok(()),
            status => Err(GithubError::malformed(format!("its status is {status}"))),
        }
    }

    /// The newest status of each context of a commit, all pages; `None` when that is what it was
    /// when GitHub gave `etag`.
    pub async fn statuses(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        etag: Option<&str>,
    ) -> Result<Option<List<Shown>>, GithubError> {
        let path = format!("/repos/{repository}/commits/{commit}/status");
        self.connection()
            .ask_for_list("statuses", repository, path, etag, |page: Combined| {
                page.statuses
            })
            .await
    }
}

fn shortened(description: &str) -> String {
    if description.chars().count() <= DESCRIPTION_LIMIT {
        return description.to_owned();
    }
    let kept: String = description.chars().take(DESCRIPTION_LIMIT - 1).collect();
    format!("{}…", kept.trim_end())
}
