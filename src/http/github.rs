//! How things stand with GitHub.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::answer::{self, Answer, Response, respond};
use super::{Web, filters};
use crate::adapters::github::CredentialKind;
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;
use crate::service::{WebhookState, Whom};

const READING: &str = "GET, HEAD";

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "github")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(github(&web).await) })
        .boxed()
}

/// How things stand with GitHub.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "GitHub")]
pub struct GithubView {
    pub credential: CredentialView,
    pub statuses: StatusesView,
    /// Of each watched repository; empty where this service does not manage them.
    pub webhooks: Vec<WebhookView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialView {
    /// Nothing is told to GitHub.
    None,
    Token,
    App,
}

/// The webhook of a repository, as the last look at it found it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Webhook")]
pub struct WebhookView {
    #[schema(example = "acme/app")]
    pub repository: String,
    #[schema(value_type = String, format = DateTime)]
    pub looked: Timestamp,
    /// Why it is not as it should be, and what to do; null where all is well.
    pub problem: Option<String>,
}

/// The delivery of commit statuses.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "StatusDelivery")]
pub struct StatusesView {
    /// How many GitHub has not been told of yet. Zero without a credential.
    pub waiting: u64,
    /// When the one that waits longest was written.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest: Option<Timestamp>,
    /// What keeps them, in one line; null when GitHub takes them.
    #[schema(example = "GitHub cannot be reached: 503 Service Unavailable")]
    pub problem: Option<String>,
    /// When it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub blocked_until: Option<Timestamp>,
}

/// How things stand with GitHub: the credential, and the statuses that wait.
#[utoipa::path(
    get,
    path = "/api/v1/github",
    tag = "operations",
    responses((status = 200, description = "how things stand", body = GithubView))
)]
async fn github(web: &Web) -> Answer {
    let service = &web.service;
    let backlog = service.status_backlog().await?;
    let obstacles = service.obstacles.borrow().clone();
    // What stands before all comes before what stands before one repository.
    let in_the_way = obstacles
        .into_iter()
        .min_by_key(|obstacle| matches!(obstacle.to, Whom::Repository(_)));
    let (problem, blocked_until) = match in_the_way {
        Some(obstacle) => {
            let problem = match &obstacle.to {
                Whom::Scope(_) => obstacle.problem,
                Whom::Repository(name) => format!("{name}: {}", obstacle.problem),
            };
            (Some(problem), Some(obstacle.until))
        }
        None => (None, None),
    };
    answer::ok(&GithubView {
        credential: match service.github.credential() {
            CredentialKind::None => CredentialView::None,
            CredentialKind::Token => CredentialView::Token,
            CredentialKind::App => CredentialView::App,
        },
        statuses: StatusesView {
            waiting: backlog.statuses,
            oldest: backlog.oldest,
            problem,
            blocked_until,
        },
        webhooks: service.webhooks.all().into_iter().map(webhook).collect(),
    })
}

fn webhook((repository, state): (RepositoryName, WebhookState)) -> WebhookView {
    WebhookView {
        repository: repository.into(),
        looked: state.looked,
        problem: state.problem,
    }
}
