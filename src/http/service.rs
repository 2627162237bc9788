//! `GET /api/v1/service`: what this service is, and how full.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::answer::{self, Answer, Response, respond};
use super::{Web, filters};
use crate::service::Folder;

const READING: &str = "GET, HEAD";

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "service")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .then(|web: Arc<Web>| async move { respond(service(&web).await) })
        .boxed()
}

/// What this service is, and how full.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Service")]
pub struct ServiceView {
    /// Of autobuilder.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Id of the data directory: another one holds other builds.
    pub instance: String,
    pub places: PlacesView,
    /// What builds write to. One whose room cannot be told is left out.
    pub disk: Vec<DiskView>,
}

/// The places that builds run in. A load of the configuration needs none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Places")]
pub struct PlacesView {
    /// So many builds run at the same time.
    pub total: u64,
    pub running: u64,
    /// Builds in the queue.
    pub waiting: u64,
}

/// A folder, and the file system it is on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Disk")]
pub struct DiskView {
    /// The key of the service file that says where it is; `docker` for what the engine keeps.
    #[schema(value_type = String, example = "data_directory")]
    pub name: &'static str,
    #[schema(example = "/var/lib/autobuilder")]
    pub path: String,
    /// Bytes that are left for this service.
    pub free: u64,
    /// Bytes.
    pub total: u64,
}

/// What this service is, and how full: version, places, disks.
#[utoipa::path(
    get,
    path = "/api/v1/service",
    tag = "operations",
    responses((status = 200, description = "at this moment; disks as at the last look, a few seconds ago", body = ServiceView))
)]
async fn service(web: &Web) -> Answer {
    let service = &web.service;
    let places = service.store.places().await?;
    let total = service.config.borrow().builds.concurrency;
    let folders = service.disk.borrow().folders.clone();
    answer::ok(&ServiceView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: service.store.instance().to_owned(),
        places: PlacesView {
            total,
            running: places.running,
            waiting: places.waiting,
        },
        disk: folders.into_iter().map(disk).collect(),
    })
}

fn disk(folder: Folder) -> DiskView {
    DiskView {
        name: folder.name,
        path: folder.path.display().to_string(),
        free: folder.free,
        total: folder.total,
    }
}
