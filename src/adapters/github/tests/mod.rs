//! Single requests against a server that answers as GitHub does, rightly and wrongly.

mod app;
mod check;
mod errors;
mod lists;
mod redirects;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::domain::app_key::AppKey;
use crate::domain::names::CommitSha;

const TOKEN: &str = "ghp_opensesame";

const SHA: &str = "0123456789012345678901234567890123456789";

/// A server, and a client of it with a credential.
struct World {
    server: MockServer,
    github: Github,
    observed: Arc<Mutex<Vec<Observed>>>,
}

impl World {
    async fn with_token() -> Self {
        Self::with(Credential::Token(Token::new(TOKEN))).await
    }

    async fn with_app() -> Self {
        let private_key = AppKey::from_pem(APP_KEY).unwrap();
        Self::with(Credential::App {
            id: 42,
            private_key,
        })
        .await
    }

    async fn with(credential: Credential) -> Self {
        let server = MockServer::start().await;
        let mut settings = Settings::new(server.uri(), credential);
        settings.request_timeout = Duration::from_secs(5);
        Self::with_settings(server, settings)
    }

    fn with_settings(server: MockServer, settings: Settings) -> Self {
        let observed = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&observed);
        let observer: Observer = Arc::new(move |request| seen.lock().unwrap().push(request));
        Self {
            server,
            github: Github::new(settings, observer),
            observed,
        }
    }

    async fn mount(&self, mock: Mock) {
        mock.mount(&self.server).await;
    }

    /// Every request for a status is answered like this.
    async fn answer_status(&self, answer: ResponseTemplate) {
        self.mount(Mock::given(path(status_path())).respond_with(answer))
            .await;
    }

    async fn set_status(&self) -> Result<(), GithubError> {
        self.github.set_status(&app(), &sha(), &status()).await
    }

    /// Method and path of what was asked.
    async fn asked(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        requests
            .iter()
            .map(|request| format!("{} {}", request.method, request.url.path()))
            .collect()
    }
}

const APP_KEY: &str = include_str!("../../../../tests/keys/app.pem");

fn app() -> RepositoryName {
    "acme/app".parse().unwrap()
}

fn sha() -> CommitSha {
    SHA.parse().unwrap()
}

fn status_path() -> String {
    format!("/repos/acme/app/statuses/{SHA}")
}

fn status() -> Status {
    Status {
        context: "autobuilder/build.sh".to_owned(),
        state: "success".to_owned(),
        description: "built in 3 s".to_owned(),
        target_url: "https://builds.example.org/monitor/builds/1".to_owned(),
    }
}

fn created() -> ResponseTemplate {
    ResponseTemplate::new(201).set_body_json(json!({}))
}
