//! Webhooks of repositories.

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{List, Request};
use super::{Github, GithubError, Token};
use crate::domain::names::RepositoryName;
use crate::domain::webhooks::{self, Hook};

/// A webhook as it should be: pushes as JSON, active, with certificates checked.
#[derive(Clone, PartialEq, Eq)]
pub struct WantedHook {
    pub url: String,
    pub secret: Option<Token>,
}

impl fmt::Debug for WantedHook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WantedHook")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl WantedHook {
    fn settings(&self) -> Value {
        let mut config = json!({
            "url": self.url,
            "content_type": webhooks::CONTENT_TYPE,
            "insecure_ssl": "0",
        });
        // Without one, GitHub removes the secret that was there.
        if let Some(secret) = &self.secret {
            config["secret"] = secret.expose().into();
        }
        json!({ "active": true, "events": [webhooks::EVENT], "config": config })
    }
}

/// Source: <https://docs.github.com/en/rest/repos/webhooks#list-repository-webhooks>.
#[derive(Deserialize)]
struct FoundHook {
    id: u64,
    active: bool,
    events: Vec<String>,
    config: FoundConfig,
}

#[derive(Deserialize)]
struct FoundConfig {
    /// Services of old have none.
    #[serde(default)]
    url: String,
    /// GitHub's default.
    #[serde(default = "form")]
    content_type: String,
    /// A text or a number.
    #[serde(default)]
    insecure_ssl: Value,
    #[serde(default)]
    secret: Option<String>,
}

fn form() -> String {
    "form".to_owned()
}

impl From<FoundHook> for Hook {
    fn from(found: FoundHook) -> Self {
        let config = found.config;
        Self {
            id: found.id,
            url: config.url,
            content_type: config.content_type,
            insecure_ssl: config.insecure_ssl == "1" || config.insecure_ssl == 1,
            has_secret: config.secret.is_some_and(|secret| !secret.is_empty()),
            events: found.events,
            active: found.active,
        }
    }
}

impl Github {
    /// A repository's webhooks, all pages; `None` when they are what they were when GitHub gave
    /// `etag`.
    pub async fn hooks(
        &self,
        repository: &RepositoryName,
        etag: Option<&str>,
    ) -> Result<Option<List<Hook>>, GithubError> {
        let path = format!("/repos/{repository}/hooks");
        self.connection()
            .ask_for_list("hooks", repository, path, etag, |page: Vec<FoundHook>| {
                page.into_iter().map(Hook::from).collect()
            })
            .await
    }

    /// Makes a webhook. GitHub refuses (422) one whose address and events are there already.
    pub async fn create_hook(
        &self,
        repository: &RepositoryName,
        wanted: &WantedHook,
    ) -> Result<Hook, GithubError> {
        let mut body = wanted.settings();
        body["name"] = "web".into();
        let path = format!("/repos/{repository}/hooks");
        let request = Request::new("create_hook", Method::POST, path).body(body);
        let answer = self.connection().ask(repository, &request).await?;
        Ok(answer.json::<FoundHook>()?.into())
    }

    /// Puts a webhook right, its secret too.
    pub async fn update_hook(
        &self,
        repository: &RepositoryName,
        id: u64,
        wanted: &WantedHook,
    ) -> Result<Hook, GithubError> {
        let path = format!("/repos/{repository}/hooks/{id}");
        let request = Request::new("update_hook", Method::PATCH, path).body(wanted.settings());
        let answer = self.connection().ask(repository, &request).await?;
        Ok(answer.json::<FoundHook>()?.into())
    }

    /// # Errors
    ///
    /// `NotFound` also where the hook is gone already.
    pub async fn delete_hook(
        &self,
        repository: &RepositoryName,
        id: u64,
    ) -> Result<(), GithubError> {
        let path = format!("/repos/{repository}/hooks/{id}");
        let request = Request::new("delete_hook", Method::DELETE, path);
        self.connection().ask(repository, &request).await?;
        Ok(())
    }
}
