//! A service and the model of GitHub that it speaks to.

use github_model::{APP_PRIVATE_KEY, Model};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::repository::Repository;
use super::service::{Service, merge, story_folder};

pub const GITHUB_TOKEN: &str = "ghp_token-of-the-story";

pub const APP_ID: u64 = 7;

/// Starts GitHub, whose repositories are those of the story, and a service with a token for it.
/// The service's file differs from that of other stories in these keys.
pub async fn with_github(changes: Value) -> (Model, Service) {
    with_github_in(story_folder(), changes).await
}

/// The same in a folder in which somebody else is already.
pub async fn with_github_in(folder: TempDir, changes: Value) -> (Model, Service) {
    let github = Model::start(&folder.path().join("git")).await;
    github.token(GITHUB_TOKEN).all();
    let mut settings = json!({"github": {"api_url": github.url(), "token": GITHUB_TOKEN}});
    merge(&mut settings, changes);
    let service = Service::start_in(folder, settings);
    (github, service)
}

/// Starts GitHub with private repositories of these names, and a service to which only an App
/// gives access to them, for the API as for git.
pub async fn with_app<const N: usize>(
    names: [&str; N],
    changes: Value,
) -> (Model, Service, [Repository; N]) {
    let folder = story_folder();
    let github = Model::start(&folder.path().join("git")).await;
    let repositories = names.map(|name| Repository::create(folder.path(), name));
    for name in names {
        github.repository(name).await.private();
        let (owner, _) = name.split_once('/').unwrap();
        github.app(APP_ID).installed(owner);
    }
    std::fs::write(folder.path().join("app.pem"), APP_PRIVATE_KEY).unwrap();
    let app = json!({"id": APP_ID, "private_key_file": "./app.pem"});
    let mut settings =
        json!({"github": {"api_url": github.url(), "git_url": github.url(), "app": app}});
    merge(&mut settings, changes);
    let service = Service::start_in(folder, settings);
    (github, service, repositories)
}

impl Service {
    /// Has it set webhooks. The port to which they lead is known only while it runs.
    pub fn manage_webhooks(&mut self) {
        let public_url = self.url("");
        self.change_settings(
            json!({"public_url": public_url, "github": {"manage_webhooks": true}}),
        );
    }

    /// [`tracked`](Self::tracked), and known to GitHub.
    pub async fn tracked_on(&self, github: &Model, name: &str) -> Repository {
        let repository = self.tracked(name).await;
        github.repository(name).await;
        repository
    }
}
