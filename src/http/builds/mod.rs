//! `/api/v1/builds`: reading builds, and asking for changes.

mod artifacts;
mod changes;
mod lane;
mod log;

use std::sync::Arc;

use serde::Deserialize;
use utoipa::IntoParams;
use warp::Filter;
use warp::filters::BoxedFilter;

pub use self::artifacts::__path_artifact;
pub use self::artifacts::__path_list_artifacts;
pub use self::changes::{__path_ask, __path_cancel, __path_rebuild};
pub use self::lane::__path_lane;
pub use self::log::{__path_log, __path_marks, __path_search, __path_times, stream_whole_log};
use super::Web;
use super::answer::{self, Answer, Response, respond};
use super::failure::{ErrorView, Failure};
use super::filters::{self, checked_count};
use crate::domain::build::{Build, State};
use crate::domain::names::BuildId;
use crate::service::view::{BuildListView, BuildView, views};
use crate::store::BuildFilter;

const DEFAULT_LIMIT: usize = 50;
pub const LARGEST_LIMIT: usize = 200;

/// Longer texts are not looked for in one line of a person's typing.
const LONGEST_TEXT: usize = 200;

const READING: &str = "GET, HEAD";
const READING_AND_ASKING: &str = "GET, HEAD, POST";

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let all = warp::path!("api" / "v1" / "builds");
    let list_builds = all
        .and(filters::reading(READING_AND_ASKING))
        .and(filters::given(web))
        .and(filters::query())
        .then(
            |web: Arc<Web>, query: String| async move { respond(list_builds(&web, &query).await) },
        );
    let one_build = warp::path!("api" / "v1" / "builds" / String)
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|id: String, web: Arc<Web>| async move { respond(one(&web, &id).await) });
    list_builds
        .or(one_build)
        .unify()
        .or(changes::routes(web, all.boxed(), READING_AND_ASKING))
        .unify()
        .or(lane::routes(web))
        .unify()
        .or(log::routes(web))
        .unify()
        .or(artifacts::routes(web))
        .unify()
        .boxed()
}

/// Which builds a list holds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    before: Option<String>,
    /// `owner/name`.
    repository: Option<String>,
    branch: Option<String>,
    /// Path of the script in the repository; `configuration` for loads of the configuration.
    script: Option<String>,
    /// The recipe's tag.
    tag: Option<String>,
    /// States, separated by commas; also `running` (preparing to publishing) and `finished` (every end).
    state: Option<String>,
    /// Found in repository, branch, script, tag, commit id, or a commit's message or author.
    text: Option<String>,
}

/// Builds, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/builds",
    tag = "builds",
    params(ListQuery),
    responses(
        (status = 200, description = "one page", body = BuildListView),
        (status = 400, description = "a parameter is wrong", body = ErrorView),
    )
)]
async fn list_builds(web: &Web, query: &str) -> Answer {
    let query: ListQuery = filters::parse_query(query)?;
    let limit = checked_count("limit", query.limit, DEFAULT_LIMIT, LARGEST_LIMIT)?;
    let filter = filter_of(&query)?;
    let page = web.service.store.builds(filter, limit).await?;
    let next = match page.more {
        true => page.builds.last().map(|build| build.id.to_string()),
        false => None,
    };
    let builds = views(&web.service, page.builds).await?;
    answer::ok(&BuildListView { builds, next })
}

fn filter_of(query: &ListQuery) -> Result<BuildFilter, Failure> {
    Ok(BuildFilter {
        repository: checked("repository", query.repository.as_deref())?,
        branch: checked("branch", query.branch.as_deref())?,
        script: checked("script", query.script.as_deref())?,
        tag: checked("tag", query.tag.as_deref())?,
        before: checked("before", query.before.as_deref())?,
        states: states(query.state.as_deref().unwrap_or(""))?,
        text: checked_text(query.text.as_deref())?.map(str::to_owned),
        ..BuildFilter::default()
    })
}

/// An optional parameter as the domain's type for it; empty counts as left out, as forms send it.
pub fn checked<T>(name: &str, value: Option<&str>) -> Result<Option<T>, Failure>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match value.filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value.parse().map(Some).map_err(|error: T::Err| {
            Failure::bad_request(format!("{name}: {error}"), "correct it, or leave it out")
        }),
    }
}

/// A text to look for, without the space around it; empty counts as left out.
pub fn checked_text(text: Option<&str>) -> Result<Option<&str>, Failure> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.len() > LONGEST_TEXT => Err(Failure::bad_request(
            "the text is too long",
            format!("it may have at most {LONGEST_TEXT} bytes"),
        )),
        text => Ok(text),
    }
}

fn states(list: &str) -> Result<Vec<State>, Failure> {
    let mut states = Vec::new();
    for word in list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        match word {
            "running" => states.extend(State::RUNNING),
            "finished" => states.extend(State::ALL.into_iter().filter(|state| state.is_end())),
            word => states.push(word.parse().map_err(|error: String| {
                Failure::bad_request(
                    format!("state: {error}"),
                    "`running` and `finished` stand for several; commas separate states",
                )
            })?),
        }
    }
    Ok(states)
}

/// One build.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}",
    tag = "builds",
    params(("id" = String, Path, description = "the build's id")),
    responses(
        (status = 200, description = "the build", body = BuildView),
        (status = 404, description = "there is no such build", body = ErrorView),
    )
)]
async fn one(web: &Web, id: &str) -> Answer {
    let build = find(web, id).await?;
    let mut builds = views(&web.service, vec![build]).await?;
    let Some(build) = builds.pop() else {
        return Err(no_build(id));
    };
    answer::ok(&build)
}

/// The build of an address.
pub async fn find(web: &Web, id: &str) -> Result<Build, Failure> {
    let id: BuildId = id.parse().map_err(|_| no_build(id))?;
    Ok(web.service.store.build(id).await?)
}

pub fn no_build(id: &str) -> Failure {
    let id: String = id.chars().take(40).collect();
    Failure::not_found(
        format!("there is no build {id}"),
        "the ids of builds are listed at /api/v1/builds",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_several_states_mix_with_states() {
        assert_eq!(
            states("queued, running").unwrap(),
            [
                State::Queued,
                State::Preparing,
                State::Building,
                State::Collecting,
                State::Publishing
            ]
        );
        assert_eq!(states("finished").unwrap().len(), 7);
        assert_eq!(states("").unwrap(), []);
        assert!(
            states("queued,done")
                .unwrap_err()
                .error
                .contains("\"done\"")
        );
    }
}
