//! GitHub as the service file has it, and git with GitHub's credential.

use std::sync::Arc;

use crate::adapters::git::{Credential as GitCredential, CredentialProvider, NoCredential};
use crate::adapters::github::{Credential, Github, Observer, Settings, Token};
use crate::config::ServiceConfig;
use crate::domain::app_key::AppKey;
use crate::metrics::Metrics;

/// The user that GitHub expects beside a token.
/// Source: <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>.
const TOKEN_USER: &str = "x-access-token";

/// Where GitHub is and what it is shown.
pub fn github_settings(config: &ServiceConfig) -> Settings {
    let github = &config.github;
    let credential = match (&github.token, &github.app) {
        (Some(token), _) => Credential::Token(Token::new(token.expose())),
        (None, Some(app)) => Credential::App {
            id: app.id,
            private_key: AppKey::from_pem(app.private_key.expose())
                .expect("the rules of the service file refuse what is no key"),
        },
        (None, None) => Credential::None,
    };
    Settings::new(github.api_url.as_str(), credential)
}

/// Counts the requests to GitHub.
pub fn github_observer(metrics: &Metrics) -> Observer {
    let github = metrics.github.clone();
    Arc::new(move |seen| github.asked(seen.kind, seen.status, seen.remaining))
}

/// What git shows to GitHub.
pub fn git_credentials(github: &Github) -> CredentialProvider {
    let github = github.clone();
    Box::new(move |repository| {
        let github = github.clone();
        Box::pin(async move {
            let token = github.git_token(&repository).await;
            let token = token.map_err(|error| NoCredential {
                reason: error.to_string(),
                may_pass: error.may_pass(),
            })?;
            Ok(token.map(|token| GitCredential::basic(TOKEN_USER, token.expose())))
        })
    })
}
