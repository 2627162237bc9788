//! GitHub as the service file has it, and git with GitHub's credential.

use std::path::PathBuf;
use std::sync::Arc;

use crate::adapters::git::{self, Credential as GitCredential, CredentialProvider, NoCredential};
use crate::adapters::github::{Credential, Github, Observer, Settings, Token};
use crate::config::{self, ServiceConfig};
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

/// Where git finds repositories, and what it may show for their submodules.
pub fn git_settings(config: &ServiceConfig, mirrors: PathBuf) -> git::Settings {
    git::Settings {
        submodules: match config.github.submodules {
            config::Submodules::None => git::Submodules::None,
            config::Submodules::Owner => git::Submodules::Owner,
            config::Submodules::All => git::Submodules::All,
        },
        ..git::Settings::new(&config.github.git_url, mirrors)
    }
}

/// What git shows to GitHub.
pub fn git_credentials(github: &Github) -> CredentialProvider {
    let github = github.clone();
    Box::new(move |repository, refused| {
        let github = github.clone();
        Box::pin(async move {
            let shown = |token: &Token| GitCredential::basic(TOKEN_USER, token.expose());
            let mut token = github.git_token(&repository).await;
            if let Ok(Some(known)) = &token
                && refused == Some(shown(known))
            {
                github.forget_token(&repository, known).await;
                token = github.git_token(&repository).await;
            }
            let token = token.map_err(|error| NoCredential {
                reason: error.to_string(),
                may_pass: error.may_pass(),
            })?;
            Ok(token.as_ref().map(shown))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::domain::names::RepositoryName;
    use crate::domain::time::Timestamp;

    const KEY: &str = include_str!("../../tests/keys/app.pem");

    /// GitHub with an App, which makes one token after the other.
    async fn github() -> (MockServer, Github) {
        let server = MockServer::start().await;
        let installation = json!({"id": 9, "account": {"login": "acme"}});
        let found = ResponseTemplate::new(200).set_body_json(installation);
        let mock = Mock::given(path("/repos/acme/app/installation"));
        mock.respond_with(found).mount(&server).await;
        let expires_at = Timestamp::now().after(Duration::from_secs(3600));
        for token in ["one", "two", "three"] {
            let body = json!({"token": token, "expires_at": expires_at.to_string()});
            Mock::given(method("POST"))
                .and(path("/app/installations/9/access_tokens"))
                .respond_with(ResponseTemplate::new(201).set_body_json(body))
                .up_to_n_times(1)
                .mount(&server)
                .await;
        }
        let credential = Credential::App {
            id: 42,
            private_key: AppKey::from_pem(KEY).unwrap(),
        };
        let settings = Settings::new(server.uri(), credential);
        (server, Github::new(settings, Arc::new(|_| ())))
    }

    #[tokio::test]
    async fn git_gets_another_token_for_one_that_it_was_refused_with() {
        let (_server, github) = github().await;
        let credential_of = git_credentials(&github);
        let credential = async |refused| {
            let repository: RepositoryName = "acme/app".parse().unwrap();
            credential_of(repository, refused).await.unwrap().unwrap()
        };
        let [one, two] = ["one", "two"].map(|token| GitCredential::basic(TOKEN_USER, token));
        assert!(credential(None).await == one);
        assert!(credential(None).await == one);
        assert!(credential(Some(one.clone())).await == two);
        // Who was refused with the first as well gets the second.
        assert!(credential(Some(one)).await == two);
    }
}
