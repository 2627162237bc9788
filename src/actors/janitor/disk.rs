//! Looks again and again at how much room is left, and whether the database can be written.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;

use super::{Readiness, tell};
use crate::service::{Component, DATABASE, Disk, Full, Service};
use crate::store::StoreError;

const LOOK_EVERY: Duration = Duration::from_secs(5);

pub async fn watch(service: Arc<Service>, readiness: Readiness) -> Infallible {
    let mut engine = Engine::NotAsked;
    // As it was found before the first build could start.
    if let Some(full) = &service.disk.borrow().full {
        warn_of(full);
    }
    loop {
        engine = engine.ask(&service).await;
        if let Err(error) = look(&service, engine.folder()).await {
            tracing::warn!(%error, "cannot tell how much room is left");
        }
        let problem = service
            .disk
            .borrow()
            .full
            .as_ref()
            .map(|full| format!("{full}: new builds wait, see `autobuilder gc`"));
        tell(
            &readiness,
            Component {
                name: "disk",
                problem,
            },
        );
        let problem = look_at_database(&service).await;
        tell(
            &readiness,
            Component {
                name: DATABASE,
                problem,
            },
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(service: &Service, docker: Option<PathBuf>) -> Result<(), tokio::task::JoinError> {
    let config = Arc::clone(&service.config.borrow());
    let before = service.disk.borrow().full.clone();
    let was_full = before.is_some();
    let look = move || Disk::look(&config, docker.as_deref(), before.as_ref());
    let disk = tokio::task::spawn_blocking(look).await?;
    match &disk.full {
        Some(full) if !was_full => warn_of(full),
        None if was_full => tracing::info!("there is room again: builds that waited go on"),
        _ => {}
    }
    service.disk.send_replace(disk);
    Ok(())
}

/// Why nothing can be written. What failed before is tried: pushes may be kept away by the answer.
async fn look_at_database(service: &Service) -> Option<String> {
    service.store.problem()?;
    match service.store.try_to_write().await {
        Ok(()) => tracing::info!("the database can be written again"),
        // Which it has said.
        Err(StoreError::NoRoom(_)) => {}
        Err(error) => tracing::warn!(%error, "the database cannot be written"),
    }
    service.store.problem()
}

fn warn_of(full: &Full) {
    tracing::warn!(
        folder = full.folder.name,
        free = %ByteSize(full.folder.free),
        min_free_disk = %ByteSize(full.min),
        "too little room is left: new builds wait"
    );
}

/// Where the engine keeps its own. It says so once; another folder takes a restart of it, after which
/// the old one is looked at until this service is restarted too.
enum Engine {
    NotAsked,
    Said(Option<PathBuf>),
}

impl Engine {
    async fn ask(self, service: &Service) -> Self {
        match self {
            Self::NotAsked => match service.docker.root_here().await {
                Ok(folder) => Self::Said(folder),
                // Whether it is there is another's to tell.
                Err(_) => Self::NotAsked,
            },
            said => said,
        }
    }

    fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::NotAsked => None,
            Self::Said(folder) => folder.clone(),
        }
    }
}
