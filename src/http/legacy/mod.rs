//! The addresses of the service that this one replaces, answered in its shapes. Translation only:
//! everything here is read from where the API reads it.

mod buildio;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};

pub use self::buildio::__path_buildio;
use super::answer::{self, Answer, Response, respond};
use super::builds::{checked, find, no_build, stream_whole_log};
use super::failure::{ErrorView, Failure};
use super::{Web, client, filters};
use crate::domain::build::Build;
use crate::domain::names::{BranchName, BuildId, RepositoryName};
use crate::service::Service;
use crate::service::legacy::{self, HISTORY, OldBuild};
use crate::store::{BuildFilter, StoreError};

const READING: &str = "GET, HEAD";

/// Builds of the full history that are in memory at once.
const PAGE: usize = 50;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let now = warp::path!("build" / "status")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(status(&web).await) });
    let past = warp::path!("build" / "history")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(history(&web).await) });
    let all_past = warp::path!("build" / "history" / "full")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .map(|web: Arc<Web>| full_history(&web));
    let again = warp::path!("build" / "sync")
        .and(filters::reading("GET"))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(sync(&web).await) });
    let log_of_branch = warp::path!("build" / "logs" / String / String / ..)
        .and(warp::path::tail())
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(
            |owner: String,
             name: String,
             branch: warp::path::Tail,
             web: Arc<Web>,
             query: String| async move {
                let branch = branch.as_str();
                respond(branch_log(&web, &owner, &name, branch, &query).await)
            },
        );
    let log_of_build = warp::path!("report" / String)
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|id: String, web: Arc<Web>| async move { respond(report(&web, &id).await) });
    now.or(past)
        .unify()
        .or(all_past)
        .unify()
        .or(again)
        .unify()
        .or(buildio::routes(web))
        .unify()
        .or(log_of_branch)
        .unify()
        .or(log_of_build)
        .unify()
        .boxed()
}

/// What runs and waits now: an object of builds by their id.
#[utoipa::path(
    get,
    path = "/build/status",
    tag = "the old service's addresses",
    responses((status = 200, description = "builds by id", body = BTreeMap<String, OldBuild>))
)]
async fn status(web: &Web) -> Answer {
    answer::ok(&legacy::status(&web.service).await?)
}

/// What ran: the newest 25 builds that have ended, newest first.
#[utoipa::path(
    get,
    path = "/build/history",
    tag = "the old service's addresses",
    responses((status = 200, description = "builds, newest first", body = Vec<OldBuild>))
)]
async fn history(web: &Web) -> Answer {
    answer::ok(&past(&web.service, i64::MAX, HISTORY).await?.builds)
}

/// A part of what ran.
struct Past {
    builds: Vec<OldBuild>,
    /// The place of the oldest, if there may be older ones.
    before: Option<i64>,
}

async fn past(service: &Service, before: i64, limit: usize) -> Result<Past, StoreError> {
    let ended = service.store.ended_before(before, limit).await?;
    let last = ended.last().map(|ended| ended.build.sequence);
    Ok(Past {
        before: last.filter(|_| ended.len() == limit),
        builds: ended
            .into_iter()
            .map(|ended| OldBuild::new(service, ended.build, legacy::joined(&ended.tail)))
            .collect(),
    })
}

/// All that ran, newest first.
#[utoipa::path(
    get,
    path = "/build/history/full",
    tag = "the old service's addresses",
    responses((status = 200, description = "builds, newest first", body = Vec<OldBuild>))
)]
fn full_history(web: &Web) -> Response {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(send_history(Arc::clone(&web.service), sender));
    let mut response = answer::stream(pieces);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Ends early when the client has gone, or with an error, which cuts the connection: a part of the
/// history must not look like all of it.
async fn send_history(service: Arc<Service>, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut before = Some(i64::MAX);
    let mut separator = "[";
    while let Some(place) = before {
        // A place first: nothing is read for a client that is not ready for it.
        let Ok(free) = sender.reserve().await else {
            return;
        };
        let page = match past(&service, place, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "the history could not be read to its end");
                free.send(Err(io::Error::other(error)));
                return;
            }
        };
        let mut text = String::new();
        for build in &page.builds {
            text.push_str(separator);
            separator = ",\n";
            text.push_str(&serde_json::to_string(build).unwrap_or_default());
        }
        if page.before.is_none() {
            text.push_str(if separator == "[" { "[]" } else { "]" });
        }
        before = page.before;
        free.send(Ok(text.into()));
    }
}

/// Tells everybody who listens to `/buildio` or Redis the present once more.
#[utoipa::path(
    get,
    path = "/build/sync",
    tag = "the old service's addresses",
    responses(
        (status = 200, description = "`OK`", body = String, content_type = "text/plain"),
        (status = 429, description = "it was told less than five seconds ago; see `Retry-After`", body = ErrorView),
    )
)]
async fn sync(web: &Web) -> Answer {
    let spent = web.told_again.spend(client::ANYONE);
    spent.map_err(|wait| Failure::too_many("everybody was told just now", wait))?;
    web.service.legacy.tell_again(&web.service).await?;
    Ok(answer::with_type(answer::TEXT, "OK"))
}

/// Which of a branch's builds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChoiceQuery {
    /// Path of the script.
    script: Option<String>,
    /// The recipe's tag.
    tag: Option<String>,
}

/// The log of a branch's newest build.
#[utoipa::path(
    get,
    path = "/build/logs/{owner}/{name}/{branch}",
    tag = "the old service's addresses",
    params(
        ("owner" = String, Path),
        ("name" = String, Path),
        ("branch" = String, Path, description = "may contain slashes"),
        ChoiceQuery,
    ),
    responses(
        (status = 200, description = "log bytes", body = String, content_type = "text/plain"),
        (status = 404, description = "that branch was never built", body = ErrorView),
    )
)]
async fn branch_log(web: &Web, owner: &str, name: &str, branch: &str, query: &str) -> Answer {
    let builds = builds_of_branch(web, [owner, name, branch], query, 1).await?;
    match builds.first() {
        Some(build) => stream_whole_log(web, build).await,
        None => {
            let (repository, branch) = branch_of([owner, name, branch])?;
            Err(Failure::not_found(
                format!("there is no such build of branch {branch} of {repository}"),
                "see /api/v1/builds for what was built",
            ))
        }
    }
}

/// The newest builds of a branch, at most `limit`, of which the query may choose.
pub async fn builds_of_branch(
    web: &Web,
    path: [&str; 3],
    query: &str,
    limit: usize,
) -> Result<Vec<Build>, Failure> {
    let (repository, branch) = branch_of(path)?;
    let choice: ChoiceQuery = filters::parse_query(query)?;
    let store = &web.service.store;
    let filter = BuildFilter {
        reference: Some(store.named(repository.clone(), branch).await?),
        repository: Some(repository),
        script: checked("script", choice.script.as_deref())?,
        tag: checked("tag", choice.tag.as_deref())?,
        ..BuildFilter::default()
    };
    Ok(store.builds(filter, limit).await?.builds)
}

/// Repository and branch as they stand percent-encoded in a path.
fn branch_of([owner, name, branch]: [&str; 3]) -> Result<(RepositoryName, BranchName), Failure> {
    let not_a_name = |error: crate::domain::names::NameError| {
        Failure::not_found(error.to_string(), "the path is <owner>/<name>/<branch>")
    };
    let repository = format!("{}/{}", filters::decoded(owner)?, filters::decoded(name)?);
    let branch = filters::decoded(branch)?;
    Ok((
        repository.parse().map_err(not_a_name)?,
        branch.parse().map_err(not_a_name)?,
    ))
}

/// The log of one build; old statuses on GitHub link here.
#[utoipa::path(
    get,
    path = "/report/{id}",
    tag = "the old service's addresses",
    params(("id" = String, Path, description = "the build's id")),
    responses(
        (status = 200, description = "log bytes", body = String, content_type = "text/plain"),
        (status = 404, description = "there is no such build", body = ErrorView),
    )
)]
async fn report(web: &Web, id: &str) -> Answer {
    let build = of_any_id(web, id).await?;
    stream_whole_log(web, &build).await
}

/// By our id, or by that of the old service, from which the build was imported.
async fn of_any_id(web: &Web, id: &str) -> Result<Build, Failure> {
    if id.parse::<BuildId>().is_ok() {
        return find(web, id).await;
    }
    let imported = web.service.store.build(BuildId::of_imported(id)).await;
    imported.map_err(|error| match error {
        StoreError::NoBuild(_) => no_build(id),
        error => error.into(),
    })
}
