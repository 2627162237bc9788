//! GitHub's REST API: the only place that imports octocrab.
//!
//! Requests go out by octocrab's raw client, because what an answer means stands in its headers:
//! how long to wait, how much is left, where the next page is. Nothing is tried again here except
//! what a renewed token or a corrected clock can help; when to ask again is decided by who asked,
//! from the [`GithubError`].

mod check;
mod credential;
mod error;
mod hooks;
mod request;
mod statuses;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use credential::{Credential, CredentialKind, Scope, Token};
pub use error::GithubError;
pub use hooks::WantedHook;
pub use request::List;
pub use statuses::{Shown, Status};

use crate::domain::names::RepositoryName;
use request::Connection;

/// Where GitHub is, what it is shown, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `https://api.github.com`, or `https://<host>/api/v3` of GitHub Enterprise Server; without
    /// a slash at its end.
    pub api_url: String,
    pub credential: Credential,
    pub connect_timeout: Duration,
    /// For a request, until the last byte of its answer.
    pub request_timeout: Duration,
}

impl Settings {
    pub fn new(api_url: impl Into<String>, credential: Credential) -> Self {
        Self {
            api_url: api_url.into(),
            credential,
            connect_timeout: Duration::from_secs(10),
            // GitHub itself ends what takes longer than ten seconds:
            // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// A request that was sent, for who counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// `set_status`, `hooks`, …
    pub kind: &'static str,
    /// `None`: there was no answer.
    pub status: Option<u16>,
    /// How many requests GitHub still allows, where it says so.
    pub remaining: Option<u64>,
}

pub type Observer = Arc<dyn Fn(Observed) + Send + Sync>;

/// GitHub's API. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Github {
    shared: Arc<Shared>,
}

struct Shared {
    connection: RwLock<Arc<Connection>>,
    observer: Observer,
}

impl fmt::Debug for Github {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection().settings.fmt(formatter)
    }
}

impl Github {
    /// Sends nothing. Needs tokio around it.
    pub fn new(settings: Settings, observer: Observer) -> Self {
        let connection = Connection::new(settings, Arc::clone(&observer));
        Self {
            shared: Arc::new(Shared {
                connection: RwLock::new(Arc::new(connection)),
                observer,
            }),
        }
    }

    /// What holds for requests from now on; says whether that is something else. Where it is
    /// not, the tokens of an App stay.
    pub fn configure(&self, settings: Settings) -> bool {
        if self.connection().settings == settings {
            return false;
        }
        let connection = Connection::new(settings, Arc::clone(&self.shared.observer));
        *self
            .shared
            .connection
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(connection);
        true
    }

    pub fn credential(&self) -> CredentialKind {
        self.connection().settings.credential.kind()
    }

    /// What requests for this repository share their limits with.
    pub fn scope(&self, repository: &RepositoryName) -> Scope {
        self.connection().settings.credential.scope(repository)
    }

    /// What git shows for this repository; `None` without a credential. Good for the quarter of
    /// an hour that follows.
    pub async fn git_token(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<Token>, GithubError> {
        match self.connection().token(repository).await {
            Ok(token) => Ok(Some(token)),
            Err(GithubError::NoCredential) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Git was refused with this token: an App has another, unless it has one already.
    pub async fn forget_token(&self, repository: &RepositoryName, refused: &Token) {
        self.connection().forget(repository, refused).await;
    }

    fn connection(&self) -> Arc<Connection> {
        let connection = self.shared.connection.read();
        Arc::clone(&connection.unwrap_or_else(PoisonError::into_inner))
    }
}
