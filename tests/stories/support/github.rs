//! A service and the model of GitHub that it speaks to.

use github_model::Model;
use serde_json::{Value, json};

use super::repository::Repository;
use super::service::{Service, merge, story_folder};

pub const GITHUB_TOKEN: &str = "ghp_token-of-the-story";

/// Starts GitHub, whose repositories are those of the story, and a service with a token for it.
/// The service's file differs from that of other stories in these keys.
pub async fn with_github(changes: Value) -> (Model, Service) {
    let folder = story_folder();
    let github = Model::start(&folder.path().join("git")).await;
    github.token(GITHUB_TOKEN).all();
    let mut settings = json!({"github": {"api_url": github.url(), "token": GITHUB_TOKEN}});
    merge(&mut settings, changes);
    let service = Service::start_in(folder, settings);
    (github, service)
}

impl Service {
    /// [`tracked`](Self::tracked), and known to GitHub.
    pub async fn tracked_on(&self, github: &Model, name: &str) -> Repository {
        let repository = self.tracked(name).await;
        github.repository(name).await;
        repository
    }
}
