//! For machines that watch over this one: is it alive, is it ready, what does it count.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, StatusCode};

use super::answer::{self, Answer, Response, TEXT, respond};
use super::{Web, filters};
use crate::domain::time::Timestamp;
use crate::metrics::Moment;

const READING: &str = "GET, HEAD";

/// Source: <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let alive = warp::path!("healthz")
        .and(filters::reading(READING))
        .map(healthz);
    let ready = warp::path!("readyz")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .map(|web: Arc<Web>| readyz(&web));
    let counted = warp::path!("metrics")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(metrics(&web).await) });
    alive.or(ready).unify().or(counted).unify().boxed()
}

/// Answers while the process does.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"))
)]
fn healthz() -> Response {
    answer::with_type(TEXT, "ok\n")
}

/// Whether the service can do all of its work.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Readiness")]
pub struct ReadinessView {
    pub ready: bool,
    pub components: Vec<ComponentView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Component")]
pub struct ComponentView {
    #[schema(example = "docker")]
    pub name: &'static str,
    pub ready: bool,
    /// Why it is not.
    pub problem: Option<String>,
}

/// Whether everything that builds need is there.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "ready", body = ReadinessView),
        (status = 503, description = "not ready, and what is missing", body = ReadinessView),
    )
)]
fn readyz(web: &Web) -> Response {
    let components: Vec<ComponentView> = web
        .service
        .readiness
        .borrow()
        .iter()
        .map(|component| ComponentView {
            name: component.name,
            ready: component.problem.is_none(),
            problem: component.problem.clone(),
        })
        .collect();
    let ready = components.iter().all(|component| component.ready);
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer::json(status, &ReadinessView { ready, components })
}

/// What the service counts, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"))
)]
async fn metrics(web: &Web) -> Answer {
    let service = &web.service;
    let backlog = service.status_backlog().await?;
    let disk = service.disk.borrow().clone();
    let waits = |since: Timestamp| Timestamp::now().since(since).as_secs_f64();
    let text = service.metrics.encode(&Moment {
        unfinished: service.store.unfinished_counts().await?,
        statuses_waiting: backlog.statuses,
        standing_still: service.standstills.borrow().len() as u64,
        oldest_status: backlog.oldest.map_or(0.0, waits),
        free_disk: (disk.folders.iter())
            .map(|folder| (folder.name, folder.free))
            .collect(),
    });
    Ok(answer::with_type(OPEN_METRICS, text))
}
