//! A build's artifacts: listed, and downloaded whole or in part.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headers::{
    AcceptRanges, ContentLength, ContentRange, ETag, HeaderMapExt, IfNoneMatch, IfRange, Range,
};
use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;
use warp::filters::BoxedFilter;
use warp::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::{Filter, Reply};

use super::{READING, find};
use crate::domain::build::{Artifact, Build};
use crate::http::answer::{self, Answer, Response, respond};
use crate::http::failure::{ErrorView, Failure};
use crate::http::{Web, filters};
use crate::service::view::{self, ArtifactView};

const BLOCK: usize = 64 * 1024;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let list = warp::path!("api" / "v1" / "builds" / String / "artifacts")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|id: String, web: Arc<Web>| async move { respond(list_artifacts(&web, &id).await) });
    let one = warp::path!("api" / "v1" / "builds" / String / "artifacts" / String)
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(warp::header::headers_cloned())
        .then(
            |id: String, name: String, web: Arc<Web>, headers: HeaderMap| async move {
                respond(artifact(&web, &id, &name, &headers).await)
            },
        );
    list.or(one).unify().boxed()
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ArtifactList")]
pub struct ArtifactListView {
    pub artifacts: Vec<ArtifactView>,
}

/// The artifacts of a build.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/artifacts",
    tag = "artifacts",
    params(("id" = String, Path, description = "the build's id")),
    responses(
        (status = 200, description = "its artifacts, by name", body = ArtifactListView),
        (status = 404, description = "there is no such build", body = ErrorView),
    )
)]
async fn list_artifacts(web: &Web, id: &str) -> Answer {
    let build = find(web, id).await?;
    let artifacts = view::artifacts(&build, &web.service.config.borrow());
    answer::ok(&ArtifactListView { artifacts })
}

/// One artifact.
///
/// Takes `Range` with one range, `If-Range` and `If-None-Match`; the ETag is the SHA-256.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/artifacts/{name}",
    tag = "artifacts",
    params(
        ("id" = String, Path, description = "the build's id"),
        ("name" = String, Path, description = "the artifact's name"),
        ("Range" = Option<String>, Header, description = "such as `bytes=1000-`"),
    ),
    responses(
        (status = 200, description = "the whole file", body = Vec<u8>, content_type = "application/octet-stream", headers(
            ("ETag" = String, description = "the SHA-256 in hexadecimal"),
            ("Repr-Digest" = String, description = "`sha-256=:<base64>:`, RFC 9530"),
        )),
        (status = 206, description = "the range asked for", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "the client has it already"),
        (status = 404, description = "no such build or artifact, or it is no longer kept", body = ErrorView),
        (status = 416, description = "the range lies outside the file", body = ErrorView),
    )
)]
async fn artifact(web: &Web, id: &str, name: &str, headers: &HeaderMap) -> Answer {
    let build = find(web, id).await?;
    let name = filters::decoded(name)?;
    // Only names that the build is known to have reach the file system.
    let artifact = build
        .artifacts
        .iter()
        .find(|artifact| artifact.name.as_str() == name);
    let Some(artifact) = artifact else {
        return Err(Failure::not_found(
            format!("build {} has no such artifact", build.id),
            format!(
                "its artifacts are listed at /api/v1/builds/{}/artifacts",
                build.id
            ),
        ));
    };
    serve(web, &build, artifact, headers).await
}

async fn serve(web: &Web, build: &Build, artifact: &Artifact, headers: &HeaderMap) -> Answer {
    let etag: ETag = format!("\"{}\"", artifact.sha256).parse().map_err(|_| {
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the artifact's checksum is damaged",
            "the service's own log says more",
        )
    })?;
    if let Some(known) = headers.typed_get::<IfNoneMatch>()
        && !known.precondition_passes(&etag)
    {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().typed_insert(etag);
        return Ok(response);
    }
    let (mut file, size) = open(web, build, artifact).await?;
    let range = match wanted_range(headers, &etag, size) {
        Ok(range) => range,
        Err(()) => return Ok(out_of_range(size)),
    };
    let (start, length) = match range {
        Some((first, last)) => (first, last - first + 1),
        None => (0, size),
    };
    if start > 0 {
        let sought = file.seek(io::SeekFrom::Start(start)).await;
        sought.map_err(|error| Failure::internal("the artifact could not be read", &error))?;
    }
    let body = ReaderStream::with_capacity(file.take(length), BLOCK);
    let mut response = warp::reply::stream(body).into_response();
    describe(response.headers_mut(), artifact);
    response.headers_mut().typed_insert(etag);
    response.headers_mut().typed_insert(ContentLength(length));
    if let Some((first, last)) = range
        && let Ok(content_range) = ContentRange::bytes(first..=last, size)
    {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response.headers_mut().typed_insert(content_range);
    }
    Ok(response)
}

async fn open(web: &Web, build: &Build, artifact: &Artifact) -> Result<(File, u64), Failure> {
    let path = web
        .service
        .logs
        .artifacts(&build.id)
        .join(artifact.name.as_str());
    let opened = async {
        let file = File::open(path).await?;
        let metadata = file.metadata().await?;
        match metadata.is_file() {
            true => Ok((file, metadata.len())),
            false => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    };
    opened.await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::not_found(
            format!("{} is no longer kept", artifact.name),
            "artifacts are removed after `retention.artifacts`; a rebuild makes it again",
        ),
        _ => Failure::internal("the artifact could not be opened", &error),
    })
}

/// First and last byte, where a part was asked for. Several ranges at once get the whole, as RFC
/// 9110 allows. An error is a range outside the file.
fn wanted_range(headers: &HeaderMap, etag: &ETag, size: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some(range) = headers.typed_get::<Range>() else {
        return Ok(None);
    };
    let changed = headers
        .typed_get::<IfRange>()
        .is_some_and(|condition| condition.is_modified(Some(etag), None));
    if changed {
        return Ok(None);
    }
    let mut ranges = range.satisfiable_ranges(size);
    let bounds = match (ranges.next(), ranges.next()) {
        (None, _) => return Err(()),
        (Some(bounds), None) => bounds,
        (Some(_), Some(_)) => return Ok(None),
    };
    let first = match bounds.0 {
        std::ops::Bound::Included(first) => first,
        _ => 0,
    };
    let last = match bounds.1 {
        std::ops::Bound::Included(last) => last.min(size.saturating_sub(1)),
        _ => size.saturating_sub(1),
    };
    match first <= last && first < size {
        true => Ok(Some((first, last))),
        false => Err(()),
    }
}

fn out_of_range(size: u64) -> Response {
    let failure = Failure::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "the range lies outside the file",
        format!("it has {size} bytes"),
    );
    let mut response = failure.into_response();
    let headers = response.headers_mut();
    headers.typed_insert(ContentRange::unsatisfied_bytes(size));
    response
}

/// Always a download: what a build made is never shown as a page of this service.
fn describe(headers: &mut HeaderMap, artifact: &Artifact) {
    headers.typed_insert(AcceptRanges::bytes());
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    let digest = hex::decode(&artifact.sha256).map(|digest| STANDARD.encode(digest));
    let digest = digest.unwrap_or_default();
    let texts = [
        // RFC 9530, and the older RFC 3230 that more clients know.
        (
            HeaderName::from_static("repr-digest"),
            format!("sha-256=:{digest}:"),
        ),
        (
            HeaderName::from_static("digest"),
            format!("sha-256={digest}"),
        ),
        (CONTENT_DISPOSITION, view::attachment(&artifact.name)),
    ];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
