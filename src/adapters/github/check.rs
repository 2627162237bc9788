//! Whether the credential works, found out when the service starts.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use super::credential::Credential;
use super::request::{Answer, Request};
use super::{Github, GithubError};

/// What an App needs; `docs/github.md` says what for.
const PERMISSIONS: [(&str, &str); 3] = [
    ("contents", "read"),
    ("repository_hooks", "write"),
    ("statuses", "write"),
];

/// Source: <https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app>.
#[derive(Deserialize)]
struct App {
    name: String,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

/// Source: <https://docs.github.com/en/rest/rate-limit/rate-limit>.
#[derive(Deserialize)]
struct Limits {
    resources: Resources,
}

#[derive(Deserialize)]
struct Resources {
    core: Limit,
}

#[derive(Deserialize)]
struct Limit {
    limit: u64,
    remaining: u64,
}

impl Github {
    /// Asks GitHub whose the credential is, by a request that counts against no limit. A line for
    /// the operator.
    pub async fn check(&self) -> Result<String, GithubError> {
        let connection = self.connection();
        match &connection.settings.credential {
            Credential::None => Err(GithubError::NoCredential),
            Credential::Token(token) => {
                let request = Request::new("rate_limit", Method::GET, "/rate_limit");
                let answer = connection.exchange(&request, token).await?;
                match answer.succeeded() {
                    Ok(answer) => Ok(describe_token(&answer)?),
                    // A GitHub of one's own may have no limits.
                    // https://docs.github.com/en/enterprise-server@latest/admin/configuration/configuring-user-applications-for-your-enterprise/configuring-rate-limits
                    Err(GithubError::NotFound) => Ok("a token, without a rate limit".to_owned()),
                    Err(error) => Err(error),
                }
            }
            Credential::App { .. } => {
                let request = Request::new("app", Method::GET, "/app");
                let app: App = connection.ask_as_app(&request).await?.json()?;
                Ok(describe_app(&app))
            }
        }
    }
}

fn describe_token(answer: &Answer) -> Result<String, GithubError> {
    let limits: Limits = answer.json()?;
    let Limit { limit, remaining } = limits.resources.core;
    // Only classic tokens have scopes.
    // https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
    let scopes = answer.headers.get("x-oauth-scopes");
    let kind = match scopes.and_then(|scopes| scopes.to_str().ok()) {
        Some("") => "a classic token without any scope".to_owned(),
        Some(scopes) => format!("a classic token with the scopes {scopes}"),
        None => "a token".to_owned(),
    };
    Ok(format!(
        "{kind}, {remaining} of {limit} requests an hour are left"
    ))
}

fn describe_app(app: &App) -> String {
    let lacking: Vec<String> = PERMISSIONS
        .iter()
        .filter(|(name, needed)| {
            let given = app.permissions.get(*name).map(String::as_str);
            given != Some(needed) && given != Some("write")
        })
        .map(|(name, needed)| format!("{name}: {needed}"))
        .collect();
    match lacking.is_empty() {
        true => format!("the App {}", app.name),
        false => format!(
            "the App {}, which lacks the permissions {}",
            app.name,
            lacking.join(", ")
        ),
    }
}
