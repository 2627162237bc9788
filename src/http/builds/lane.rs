//! `GET /api/v1/builds/<id>/lane`: the builds before and after one.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::READING;
use super::no_build;
use crate::domain::build::State;
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;
use crate::http::answer::{self, Answer, Response, respond};
use crate::http::failure::ErrorView;
use crate::http::{Web, filters};
use crate::store::LaneBuild;

/// Enough to see a trend in.
const BUILDS: usize = 30;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "builds" / String / "lane")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|id: String, web: Arc<Web>| async move { respond(lane(&web, &id).await) })
        .boxed()
}

/// A build among those of the same repository, ref, script and tag.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Lane")]
pub struct LaneView {
    /// Id of the build before it.
    #[schema(example = "0v3c5k2m9x1a")]
    pub older: Option<String>,
    /// Id of the build after it.
    pub newer: Option<String>,
    /// Oldest first, at most 30, with the one asked for: up to the newest there is, or, where it is
    /// older than those, the ones around it.
    pub builds: Vec<LaneBuildView>,
}

/// What a build came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "LaneBuild")]
pub struct LaneBuildView {
    pub id: String,
    /// 40 hexadecimal digits.
    pub commit: String,
    pub state: State,
    #[schema(value_type = String, format = DateTime)]
    pub queued: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
}

/// The builds before and after one, of the same repository, ref, script and tag.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/lane",
    tag = "builds",
    params(("id" = String, Path, description = "the build's id")),
    responses(
        (status = 200, description = "its neighbours", body = LaneView),
        (status = 404, description = "there is no such build", body = ErrorView),
    )
)]
async fn lane(web: &Web, id: &str) -> Answer {
    let id: BuildId = id.parse().map_err(|_| no_build(id))?;
    let neighbours = web.service.store.neighbours(id, BUILDS).await?;
    answer::ok(&LaneView {
        older: neighbours.older.map(BuildId::into),
        newer: neighbours.newer.map(BuildId::into),
        builds: neighbours.builds.into_iter().map(build).collect(),
    })
}

fn build(build: LaneBuild) -> LaneBuildView {
    LaneBuildView {
        id: build.id.into(),
        commit: build.commit.into(),
        state: build.state,
        queued: build.queued,
        started: build.started,
        ended: build.ended,
    }
}
