//! `POST /api/v1/gc`: removes what may go, or shows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, StatusCode};

use super::Web;
use super::access::{authorize, expect_json};
use super::answer::{self, Answer, Response, respond};
use super::body::{self, Body};
use super::failure::{ErrorView, Failure};
use super::filters;
use crate::actors::{self, Found};

const POSTING: &str = "POST";
const BODY_LIMIT: usize = 4096;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "gc")
        .and(filters::posting(POSTING))
        .and(filters::given(web))
        .and(warp::header::headers_cloned())
        .and(body::body(web, BODY_LIMIT))
        .then(|web: Arc<Web>, headers: HeaderMap, body| async move {
            respond(gc(&web, &headers, body).await)
        })
        .boxed()
}

/// What to do.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "GcRequest")]
pub struct GcRequest {
    /// Only show what would go.
    #[serde(default)]
    dry_run: bool,
}

/// What went, or would go.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Gc")]
pub struct GcView {
    pub dry_run: bool,
    pub items: Vec<GcItemView>,
    /// The sum, as far as sizes are known.
    pub bytes: u64,
    /// What somebody may expect here, and why it stays.
    pub kept: Vec<GcKeptView>,
    /// What could not be looked at or removed, one sentence each.
    pub problems: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "GcItem")]
pub struct GcItemView {
    /// `container`, `volume`, `network`, `image`, `build_files`, `temporary`, `build`, `artifacts`,
    /// `log` or `published`.
    #[schema(value_type = String, example = "artifacts")]
    pub kind: &'static str,
    /// Docker's name or id, a build's id, or a path.
    #[schema(example = "0v3c5k2m9x1a")]
    pub name: String,
    /// Null where it is not cheap to tell.
    pub bytes: Option<u64>,
    #[schema(example = "its build ended before retention.artifacts (30days)")]
    pub reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "GcKept")]
pub struct GcKeptView {
    #[schema(value_type = String, example = "image")]
    pub kind: &'static str,
    pub name: String,
    pub reason: String,
}

impl GcView {
    pub fn of(found: Found, dry_run: bool) -> Self {
        let leftovers = found.leftovers.into_iter();
        let items: Vec<GcItemView> = leftovers
            .map(|leftover| GcItemView {
                kind: leftover.thing.kind(),
                name: leftover.name,
                bytes: leftover.bytes,
                reason: leftover.reason,
            })
            .collect();
        let kept = found.kept.into_iter().map(|kept| GcKeptView {
            kind: kept.kind,
            name: kept.name,
            reason: kept.reason,
        });
        Self {
            dry_run,
            bytes: items.iter().filter_map(|item| item.bytes).sum(),
            items,
            kept: kept.collect(),
            problems: found.problems,
        }
    }
}

/// Removes what crashes left and what is past its retention, as the service does by itself from
/// time to time; or shows what would go.
#[utoipa::path(
    post,
    path = "/api/v1/gc",
    tag = "operations",
    security(("token" = []), ("session" = [])),
    request_body = GcRequest,
    responses(
        (status = 200, description = "what went, or would go", body = GcView),
        (status = 400, description = "the body cannot be read", body = ErrorView),
        (status = 401, description = "the token is missing or wrong", body = ErrorView),
        (status = 415, description = "the body is not JSON", body = ErrorView),
    )
)]
async fn gc(web: &Web, headers: &HeaderMap, body: Result<Body, Failure>) -> Answer {
    authorize(&web.service, headers)?;
    let body = body?.bytes;
    expect_json(headers, &body)?;
    let request: GcRequest = match body.is_empty() {
        true => GcRequest::default(),
        false => serde_json::from_slice(&body).map_err(|error| {
            Failure::bad_request(
                format!("the body cannot be read: {error}"),
                "send {\"dry_run\": true} or {}",
            )
        })?,
    };
    // A client that goes away does not stop it half-way.
    let (service, dry_run) = (Arc::clone(&web.service), request.dry_run);
    let work = tokio::spawn(async move { actors::gc(&service, dry_run).await });
    let found = work
        .await
        .map_err(|error| Failure::internal("cleaning up failed", &error))?;
    Ok(answer::json(StatusCode::OK, &GcView::of(found, dry_run)))
}
