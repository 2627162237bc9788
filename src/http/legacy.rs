//! The addresses of the service that this one replaces, answered in its shapes. Translation only:
//! everything here is read from where the API reads it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::answer::{self, Answer, Response, respond};
use super::builds::{self, checked, stream_whole_log};
use super::failure::{ErrorView, Failure};
use super::{Web, filters};
use crate::domain::build::{Build, Kind, State};
use crate::domain::names::{BranchName, RepositoryName};
use crate::domain::push::Commit;
use crate::log::LogReader;
use crate::store::BuildFilter;

const READING: &str = "GET, HEAD";

/// The old service kept this many in its history, …
const HISTORY: usize = 25;
/// … and this many lines of each log.
const TAIL: u64 = 20;
/// The last lines of a log may be of any length; old clients want a few of a screen's width.
const LONGEST_TAIL: usize = 64 * 1024;

/// It had no queue; of a long one, the newest are shown.
const QUEUED: usize = 100;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let now = warp::path!("build" / "status")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(status(&web).await) });
    let past = warp::path!("build" / "history")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(history(&web).await) });
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
        .or(log_of_branch)
        .unify()
        .or(log_of_build)
        .unify()
        .boxed()
}

/// A build in the old service's words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "OldBuild")]
pub struct OldBuildView {
    pub id: String,
    /// `creating`, `initializing`, `building`, `committing`, `success` or `error`.
    pub status: &'static str,
    /// `owner/name`.
    pub name: String,
    pub branch: String,
    /// The last 20 lines of the log.
    pub monitor: Vec<String>,
    /// The first 10 characters of the container's id, empty while there is none; `system` for a
    /// load of the configuration.
    pub docker: String,
    /// Seconds since 1970; of a build that waits, when it was asked for.
    pub started: i64,
    /// Seconds since 1970.
    pub ended: Option<i64>,
    pub error: Option<String>,
    pub commits: Vec<Commit>,
    pub artifact: Option<String>,
    pub tag: Option<String>,
    pub baseimage: Option<String>,
}

/// What runs and waits now: an object of builds by their id.
#[utoipa::path(
    get,
    path = "/build/status",
    tag = "the old service's addresses",
    responses((status = 200, description = "builds by id", body = BTreeMap<String, OldBuildView>))
)]
async fn status(web: &Web) -> Answer {
    let running = in_states(web, &State::RUNNING, builds::LARGEST_LIMIT).await?;
    let queued = in_states(web, &[State::Queued], QUEUED).await?;
    let mut views = BTreeMap::new();
    for build in running.into_iter().chain(queued) {
        views.insert(build.id.to_string(), old_view(web, build).await?);
    }
    answer::ok(&views)
}

/// What ran: the newest 25 builds that have ended, newest first.
#[utoipa::path(
    get,
    path = "/build/history",
    tag = "the old service's addresses",
    responses((status = 200, description = "builds, newest first", body = Vec<OldBuildView>))
)]
async fn history(web: &Web) -> Answer {
    let ends: Vec<State> = State::ALL
        .into_iter()
        .filter(|state| state.is_end())
        .collect();
    let mut views = Vec::new();
    for build in in_states(web, &ends, HISTORY).await? {
        views.push(old_view(web, build).await?);
    }
    answer::ok(&views)
}

async fn in_states(web: &Web, states: &[State], limit: usize) -> Result<Vec<Build>, Failure> {
    let filter = BuildFilter {
        states: states.to_vec(),
        ..BuildFilter::default()
    };
    Ok(web.service.store.builds(filter, limit).await?.builds)
}

async fn old_view(web: &Web, build: Build) -> Result<OldBuildView, Failure> {
    let monitor = last_lines(web, &build).await?;
    let status = old_status(build.state);
    let started = build.started.unwrap_or(build.queued);
    let container = match build.kind() {
        Kind::Configuration => "system".to_owned(),
        _ => build.container.clone().unwrap_or_default(),
    };
    Ok(OldBuildView {
        status,
        branch: build.reference.short_name().to_string(),
        monitor,
        docker: container.chars().take(10).collect(),
        started: started.as_millis() / 1000,
        ended: build.ended.map(|ended| ended.as_millis() / 1000),
        error: build.reason.clone().filter(|_| status == "error"),
        artifact: build.recipe().map(|recipe| recipe.artifact.to_string()),
        tag: build.tag().map(ToString::to_string),
        baseimage: build
            .image
            .clone()
            .or_else(|| build.recipe()?.baseimage.clone()),
        commits: build.commits,
        id: build.id.into(),
        name: build.repository.into(),
    })
}

fn old_status(state: State) -> &'static str {
    match state {
        State::Queued => "creating",
        State::Preparing => "initializing",
        State::Building => "building",
        State::Collecting | State::Publishing => "committing",
        State::Succeeded | State::Skipped => "success",
        _ => "error",
    }
}

async fn last_lines(web: &Web, build: &Build) -> Result<Vec<String>, Failure> {
    if build.state.is_end() {
        return Ok(web.service.store.tail(build.id.clone()).await?);
    }
    let Some(log) = web.open_log(build).await? else {
        return Ok(Vec::new());
    };
    web.read_disk(move || read_last_lines(&log)).await
}

fn read_last_lines(log: &LogReader) -> io::Result<Vec<String>> {
    let length = log.len()?;
    let start = log
        .tail_offset(TAIL)?
        .max(length.saturating_sub(LONGEST_TAIL as u64));
    let bytes = log.read_at(start, LONGEST_TAIL)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(str::to_owned).collect())
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
    let build = builds::find(web, id).await?;
    stream_whole_log(web, &build).await
}
