//! Asking for a build, cancelling one, building one again. All need the API token.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, StatusCode};

use super::find;
use crate::actors::CancelError;
use crate::domain::build::{Build, Cause, State, Work};
use crate::domain::names::{
    BranchName, CommitSha, GitRef, NameError, RecipeTag, RepositoryName, ScriptPath,
};
use crate::domain::push::Push;
use crate::domain::recipe::Recipe;
use crate::http::access::{authorize, expect_json};
use crate::http::answer::{self, Answer, Response, respond};
use crate::http::body::{self, Body};
use crate::http::failure::{ErrorView, Failure};
use crate::http::{Web, filters};
use crate::service::view::{BuildView, CausedView, views};
use crate::store::NewBuilds;

const LARGEST_BODY: usize = 64 * 1024;

pub fn routes(
    web: &Arc<Web>,
    all: BoxedFilter<()>,
    allowed: &'static str,
) -> BoxedFilter<(Response,)> {
    let changing = |allowed: &'static str| {
        filters::posting(allowed)
            .and(filters::given(web))
            .and(warp::header::headers_cloned())
            .and(body::body(web, LARGEST_BODY))
    };
    let ask_for =
        all.and(changing(allowed))
            .then(|web: Arc<Web>, headers: HeaderMap, body| async move {
                respond(ask(&web, &headers, body).await)
            });
    let cancel_one = warp::path!("api" / "v1" / "builds" / String / "cancel")
        .and(changing("POST"))
        .then(
            |id: String, web: Arc<Web>, headers: HeaderMap, body| async move {
                respond(cancel(&web, &id, &headers, body).await)
            },
        );
    let rebuild_one = warp::path!("api" / "v1" / "builds" / String / "rebuild")
        .and(changing("POST"))
        .then(
            |id: String, web: Arc<Web>, headers: HeaderMap, body| async move {
                respond(rebuild(&web, &id, &headers, body).await)
            },
        );
    ask_for
        .or(cancel_one)
        .unify()
        .or(rebuild_one)
        .unify()
        .boxed()
}

/// Who may, and with what: the token first, so that a stranger learns nothing.
fn permitted(
    web: &Web,
    headers: &HeaderMap,
    body: Result<Body, Failure>,
) -> Result<Bytes, Failure> {
    authorize(&web.service, headers)?;
    let body = body?.bytes;
    expect_json(headers, &body)?;
    Ok(body)
}

/// A build that a person asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedBuild {
    /// `owner/name`; it must be in the configuration.
    #[schema(value_type = String, example = "acme/hello")]
    repository: RepositoryName,
    /// A branch, or `refs/tags/<name>` for a tag.
    #[schema(value_type = String, example = "main")]
    branch: AskedRef,
    /// 40 hexadecimal digits; left out: the head of the branch.
    #[schema(value_type = Option<String>)]
    commit: Option<CommitSha>,
    /// Only this script; left out: all that the configuration lists.
    #[schema(value_type = Option<String>)]
    script: Option<ScriptPath>,
    /// Only recipes with this tag.
    #[schema(value_type = Option<String>)]
    tag: Option<RecipeTag>,
}

/// `main` as well as `refs/heads/main` and `refs/tags/v1`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct AskedRef(GitRef);

impl TryFrom<String> for AskedRef {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        match text.starts_with("refs/") {
            true => text.parse().map(Self),
            false => text.parse().map(GitRef::Branch).map(Self),
        }
    }
}

/// Asks for the builds of a branch.
#[utoipa::path(
    post,
    path = "/api/v1/builds",
    tag = "changes",
    security(("token" = []), ("session" = [])),
    request_body = AskedBuild,
    responses(
        (status = 202, description = "the builds are stored", body = CausedView),
        (status = 400, description = "the body cannot be read", body = ErrorView),
        (status = 401, description = "the token is missing or wrong", body = ErrorView),
        (status = 404, description = "the branch or script is not in the configuration", body = ErrorView),
        (status = 415, description = "the body is not JSON", body = ErrorView),
        (status = 502, description = "git could not tell the head of the branch", body = ErrorView),
        (status = 503, description = "there is too little room on the disk to store them; see `Retry-After`", body = ErrorView),
    )
)]
async fn ask(web: &Web, headers: &HeaderMap, body: Result<Body, Failure>) -> Answer {
    let body = permitted(web, headers, body)?;
    let asked: AskedBuild = serde_json::from_slice(&body).map_err(|error| {
        Failure::bad_request(
            format!("the body cannot be read: {error}"),
            "it needs repository and branch; commit, script and tag may be given",
        )
    })?;
    let recipes = recipes_for(web, &asked)?;
    let commit = match asked.commit {
        Some(commit) => commit,
        None => head(web, &asked.repository, &asked.branch.0).await?,
    };
    let new = NewBuilds {
        push: Push::unheard(asked.repository.clone(), asked.branch.0, commit),
        work: recipes.into_iter().map(Work::from).collect(),
        dependents: Vec::new(),
        cause: Cause::Manual,
    };
    let builds = web.service.store.ask_for_builds(new).await?;
    web.projects.asked(&asked.repository);
    let caused = CausedView::of(&builds, &web.service.config.borrow());
    Ok(answer::json(StatusCode::ACCEPTED, &caused))
}

fn recipes_for(web: &Web, asked: &AskedBuild) -> Result<Vec<Recipe>, Failure> {
    let (catalog, config) = (web.service.catalog.borrow(), web.service.config.borrow());
    let tracking = config.tracking(&catalog);
    let AskedBuild {
        repository, branch, ..
    } = asked;
    let branch = branch.0.short_name();
    let recipes = tracking.recipes(repository, branch);
    if recipes.is_empty() {
        let hint = match catalog.is_tracked(repository) {
            true => {
                let branches: Vec<&str> = catalog
                    .branches(repository)
                    .take(20)
                    .map(BranchName::as_str)
                    .collect();
                format!(
                    "its branches in the configuration are {}",
                    branches.join(", ")
                )
            }
            false => format!("add {repository}/{branch}.yaml to the configuration"),
        };
        let error = format!("branch {branch} of {repository} is not tracked");
        return Err(Failure::not_found(error, hint));
    }
    let chosen: Vec<Recipe> = recipes
        .iter()
        .copied()
        .filter(|recipe| {
            asked
                .script
                .as_ref()
                .is_none_or(|script| *script == recipe.script)
        })
        .filter(|recipe| asked.tag.is_none() || asked.tag == recipe.tag)
        .cloned()
        .collect();
    if chosen.is_empty() {
        let scripts: Vec<&str> = recipes
            .iter()
            .map(|recipe| recipe.script.as_str())
            .collect();
        return Err(Failure::not_found(
            format!("branch {branch} of {repository} has no such script"),
            format!("its scripts are {}", scripts.join(", ")),
        ));
    }
    Ok(chosen)
}

async fn head(
    web: &Web,
    repository: &RepositoryName,
    reference: &GitRef,
) -> Result<CommitSha, Failure> {
    let found = web.service.git.head_of(repository, reference).await;
    let head = found.map_err(|error| {
        tracing::warn!(%repository, %error, "cannot ask for a head");
        Failure::new(
            StatusCode::BAD_GATEWAY,
            format!("git could not tell where {reference} is: {error}"),
            "name the commit, or see whether the repository can be reached",
        )
    })?;
    head.ok_or_else(|| {
        Failure::not_found(
            format!("{repository} has no {reference}"),
            "see whether it was pushed",
        )
    })
}

/// Cancels a build that waits or runs; answers when it has ended.
#[utoipa::path(
    post,
    path = "/api/v1/builds/{id}/cancel",
    tag = "changes",
    security(("token" = []), ("session" = [])),
    params(("id" = String, Path, description = "the build's id")),
    responses(
        (status = 200, description = "the build as it is now", body = BuildView),
        (status = 401, description = "the token is missing or wrong", body = ErrorView),
        (status = 404, description = "there is no such build", body = ErrorView),
        (status = 409, description = "it has ended, is being published, or is a load of the configuration", body = ErrorView),
        (status = 503, description = "the service starts or stops, or there is too little room on the disk to store it; see `Retry-After`", body = ErrorView),
    )
)]
async fn cancel(web: &Web, id: &str, headers: &HeaderMap, body: Result<Body, Failure>) -> Answer {
    permitted(web, headers, body)?;
    let build = find(web, id).await?;
    if build.state.is_end() {
        return Err(has_ended(&build));
    }
    if build.recipe().is_none() {
        return Err(Failure::conflict(
            "a load of the configuration cannot be cancelled",
            "it ends by itself; a newer push to its branch replaces one that waits",
        ));
    }
    if let Some(why) = web.service.store.lacks_room() {
        return Err(Failure::no_room(why));
    }
    if let Err(error) = web.projects.cancel(&build.repository, &build.id).await {
        return Err(match error {
            CancelError::NotUnfinished(_) => has_ended(&find(web, id).await?),
            CancelError::TooLate(_) => Failure::conflict(
                error.to_string(),
                "wait for its end; a name may already have moved",
            ),
            CancelError::Unavailable => Failure::unavailable(error.to_string(), "try again soon"),
        });
    }
    let build = find(web, id).await?;
    tracing::info!(build = %build.id, repository = %build.repository, "cancelled on request");
    answer::ok(&views(&web.service, vec![build]).await?.pop())
}

fn has_ended(build: &Build) -> Failure {
    Failure::conflict(
        format!("build {} has already {}", build.id, ended_how(build.state)),
        "an end never changes; a rebuild makes a new build",
    )
}

fn ended_how(state: State) -> &'static str {
    match state {
        State::TimedOut => "timed out",
        State::Cancelled => "been cancelled",
        State::Superseded => "been superseded",
        State::Skipped => "been skipped",
        state => state.as_str(),
    }
}

/// Builds the same script of the same commit once more, as the configuration says now.
#[utoipa::path(
    post,
    path = "/api/v1/builds/{id}/rebuild",
    tag = "changes",
    security(("token" = []), ("session" = [])),
    params(("id" = String, Path, description = "the build's id")),
    responses(
        (status = 202, description = "the new build is stored", body = CausedView),
        (status = 401, description = "the token is missing or wrong", body = ErrorView),
        (status = 404, description = "there is no such build", body = ErrorView),
        (status = 409, description = "it is a load of the configuration, or was imported", body = ErrorView),
        (status = 503, description = "there is too little room on the disk to store it; see `Retry-After`", body = ErrorView),
    )
)]
async fn rebuild(web: &Web, id: &str, headers: &HeaderMap, body: Result<Body, Failure>) -> Answer {
    permitted(web, headers, body)?;
    let old = find(web, id).await?;
    if let Cause::Imported { .. } = old.cause {
        return Err(Failure::conflict(
            "the service that built this did not say how",
            "ask for a build of its branch",
        ));
    }
    let Some(then) = old.recipe() else {
        return Err(Failure::conflict(
            "the configuration is loaded by itself whenever its branch changes",
            "push to its repository; what could not be loaded is tried again by itself",
        ));
    };
    let work = Work::from(recipe_now(web, &old, then));
    let repository = old.repository.clone();
    let build = web.service.store.rebuild(old.id, work).await?;
    web.projects.asked(&repository);
    let caused = CausedView::of(&[build], &web.service.config.borrow());
    Ok(answer::json(StatusCode::ACCEPTED, &caused))
}

/// What the configuration says today of that script and tag; where it no longer says anything,
/// what it said then.
fn recipe_now(web: &Web, old: &Build, then: &Recipe) -> Recipe {
    let (catalog, config) = (web.service.catalog.borrow(), web.service.config.borrow());
    let tracking = config.tracking(&catalog);
    let recipes = tracking.recipes(&old.repository, old.branch());
    let same = |recipe: &&Recipe| recipe.script == then.script && recipe.tag == then.tag;
    recipes.into_iter().find(same).unwrap_or(then).clone()
}
