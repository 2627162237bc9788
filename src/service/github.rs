//! GitHub as the service file has it.

use std::sync::Arc;

use crate::adapters::github::{Credential, Observer, Settings, Token};
use crate::config::ServiceConfig;
use crate::domain::app_key::AppKey;
use crate::metrics::Metrics;

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
