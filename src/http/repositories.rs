//! `GET /api/v1/repositories`: every repository with the latest state of its branches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::Web;
use super::answer::{self, Answer, Response, respond};
use super::builds::{LARGEST_LIMIT, checked, checked_text};
use super::failure::ErrorView;
use super::filters::{self, checked_count};
use crate::domain::build::State;
use crate::domain::names::{GitRef, RepositoryName};
use crate::domain::time::Timestamp;
use crate::domain::tracking::Tracking;
use crate::store::{NewestBuild, RanBuild, Standing};

const READING: &str = "GET, HEAD";
const DEFAULT_LIMIT: usize = 100;

/// So many of the last builds of a repository show how long they take.
const DURATIONS: usize = 20;

/// The states from the best to the worst. What has gone wrong stands out until it is put right, what
/// waits or runs comes before what went well.
const BY_SEVERITY: [State; 12] = [
    State::Skipped,
    State::Succeeded,
    State::Superseded,
    State::Publishing,
    State::Collecting,
    State::Building,
    State::Preparing,
    State::Queued,
    State::Cancelled,
    State::TimedOut,
    State::Failed,
    State::Errored,
];

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "repositories")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|web: Arc<Web>, query: String| async move {
            respond(list_repositories(&web, &query).await)
        })
        .boxed()
}

/// Which repositories a list holds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RepositoriesQuery {
    /// Found in the repository's name, upper or lower case.
    text: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most; 100 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Repositories, by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "RepositoryList")]
pub struct RepositoryListView {
    pub repositories: Vec<RepositoryView>,
    /// The value of `after` for the next page; null on the last one.
    pub next: Option<String>,
}

/// A repository that was built, or is to be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Repository")]
pub struct RepositoryView {
    /// `owner/name`.
    #[schema(example = "acme/hello")]
    pub name: String,
    /// Whether pushes to some branch of it are built now.
    pub tracked: bool,
    /// By name: those that were built, and those whose pushes are.
    pub branches: Vec<BranchView>,
    /// The last 20 builds that ended after having started, oldest first.
    pub durations: Vec<DurationView>,
}

/// A branch or tag, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Branch")]
pub struct BranchView {
    /// The branch, or the name of the git tag.
    #[schema(example = "main")]
    pub name: String,
    /// `refs/heads/…` or `refs/tags/…`.
    #[serde(rename = "ref")]
    #[schema(example = "refs/heads/main")]
    pub reference: String,
    /// Whether pushes to it are built now.
    pub tracked: bool,
    /// The worst state of `builds`; where it is tracked, of those whose script and tag still are.
    /// Null: none of them was built yet.
    pub state: Option<State>,
    /// When the last of those ended; null where none has.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// The newest build of each script and tag. One that was skipped is not among them where there
    /// is one before it that was not: the script stands as it stood.
    pub builds: Vec<NewestBuildView>,
}

/// The newest build of a script.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "NewestBuild")]
pub struct NewestBuildView {
    pub id: String,
    #[schema(example = "autobuild/build.sh")]
    pub script: String,
    pub tag: Option<String>,
    pub state: State,
    #[schema(value_type = String, format = DateTime)]
    pub queued: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
}

/// How long a build took.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Duration")]
pub struct DurationView {
    pub id: String,
    pub state: State,
    /// From when it left the queue to its end.
    pub seconds: f64,
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
}

/// Repositories that were built or are tracked, by name, each with the latest state of its branches.
#[utoipa::path(
    get,
    path = "/api/v1/repositories",
    tag = "repositories",
    params(RepositoriesQuery),
    responses(
        (status = 200, description = "one page", body = RepositoryListView),
        (status = 400, description = "a parameter is wrong", body = ErrorView),
    )
)]
async fn list_repositories(web: &Web, query: &str) -> Answer {
    let query: RepositoriesQuery = filters::parse_query(query)?;
    let limit = checked_count("limit", query.limit, DEFAULT_LIMIT, LARGEST_LIMIT)?;
    let after: Option<RepositoryName> = checked("after", query.after.as_deref())?;
    let text = checked_text(query.text.as_deref())?.map(|text| text.to_ascii_lowercase());
    let is_wanted = move |name: &RepositoryName| {
        text.as_ref()
            .is_none_or(|text| name.as_str().to_ascii_lowercase().contains(text))
    };

    let service = &web.service;
    let mut names: BTreeSet<RepositoryName> = {
        let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
        config
            .tracking(&catalog)
            .built()
            .into_iter()
            .filter(|name| after.as_ref().is_none_or(|after| *name > after) && is_wanted(name))
            .cloned()
            .collect()
    };
    // One more tells whether there is a next page.
    let with_builds = service.store.repositories(after, limit + 1, is_wanted);
    names.extend(with_builds.await?);
    let more = names.len() > limit;
    let names: Vec<RepositoryName> = names.into_iter().take(limit).collect();
    let next = names.last().filter(|_| more).map(ToString::to_string);

    let standings = service.store.standings(names.clone(), DURATIONS).await?;
    let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
    let tracking = config.tracking(&catalog);
    let repositories = names.into_iter().zip(standings);
    answer::ok(&RepositoryListView {
        repositories: repositories
            .map(|(name, standing)| repository(name, standing, &tracking))
            .collect(),
        next,
    })
}

fn repository(name: RepositoryName, standing: Standing, tracking: &Tracking<'_>) -> RepositoryView {
    let tracked = tracking.branches(&name).into_iter();
    let mut branches: BTreeMap<GitRef, Vec<NewestBuild>> =
        tracked.map(|branch| (branch, Vec::new())).collect();
    for build in standing.newest {
        let reference = build.reference.clone();
        branches.entry(reference).or_default().push(build);
    }
    let branches = branches.into_iter();
    RepositoryView {
        tracked: tracking.is_built(&name),
        branches: branches
            .map(|(reference, builds)| branch(&name, &reference, builds, tracking))
            .collect(),
        durations: standing.ran.into_iter().map(duration).collect(),
        name: name.into(),
    }
}

fn branch(
    repository: &RepositoryName,
    reference: &GitRef,
    builds: Vec<NewestBuild>,
    tracking: &Tracking<'_>,
) -> BranchView {
    let work = tracking.work(repository, reference);
    let counts = |build: &&NewestBuild| {
        let is_of = |script: &str, tag| build.script == script && build.tag.as_ref() == tag;
        work.is_empty() || work.iter().any(|work| is_of(work.script(), work.tag()))
    };
    let counted = || builds.iter().filter(counts);
    BranchView {
        name: reference.short_name().to_string(),
        reference: reference.to_string(),
        tracked: !work.is_empty(),
        state: counted().map(|build| build.state).max_by_key(severity),
        ended: counted().filter_map(|build| build.ended).max(),
        builds: builds.into_iter().map(newest_build).collect(),
    }
}

fn severity(state: &State) -> Option<usize> {
    BY_SEVERITY.iter().position(|known| known == state)
}

fn newest_build(build: NewestBuild) -> NewestBuildView {
    NewestBuildView {
        id: build.id.into(),
        script: build.script,
        tag: build.tag.map(Into::into),
        state: build.state,
        queued: build.queued,
        started: build.started,
        ended: build.ended,
    }
}

fn duration(build: RanBuild) -> DurationView {
    DurationView {
        id: build.id.into(),
        state: build.state,
        seconds: build.ended.since(build.started).as_secs_f64(),
        ended: build.ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_severity() {
        let mut states = BY_SEVERITY.to_vec();
        states.sort_unstable();
        assert_eq!(states, State::ALL);
    }
}
