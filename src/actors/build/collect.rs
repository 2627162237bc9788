//! From the container to a durable artifact.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::{Failure, Message, plan};
use crate::adapters::docker::{ArtifactError, DockerError};
use crate::domain::build::{Artifact, Build};
use crate::domain::recipe::Recipe;
use crate::domain::room;
use crate::service::Service;
use crate::service::files::move_durably;

/// Pauses between tries while Docker is away.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub async fn collect(
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    _: ActorRef<Message>,
) -> Message {
    Message::Collected(fetch(&service, &build, &recipe).await)
}

async fn fetch(service: &Service, build: &Build, recipe: &Recipe) -> Result<Artifact, Failure> {
    let container = plan::container_name(&service.config.borrow(), &build.id);
    let folder = service.logs.artifacts(&build.id);
    std::fs::create_dir_all(&folder).map_err(|error| cannot_keep(&error, &folder))?;
    let spool = service.directory.temporary_file(&build.id);
    let limit = service.config.borrow().builds.max_artifact;
    let mut pause = FIRST_PAUSE;
    let fetched = loop {
        let (archives, artifact) = (recipe.archives.as_str(), recipe.artifact.as_str());
        let docker = &service.docker;
        let fetched = docker.fetch_artifact(&container, archives, artifact, &spool, limit);
        match fetched.await {
            // The container keeps it until Docker is back.
            Err(ArtifactError::Docker(error)) if error.is_away() => {
                service.metrics.docker_failed("artifact");
                tracing::warn!(container, %error, "fetching the artifact again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            fetched => break fetched,
        }
    };
    let fetched = fetched.map_err(|error| {
        match error {
            ArtifactError::Docker(DockerError::NotFound(_)) => {
                Failure::errored("its container was lost before the artifact could be collected")
            }
            ArtifactError::Docker(error) => {
                service.metrics.docker_failed("artifact");
                Failure::errored(error)
            }
            ArtifactError::Disk(error) => cannot_keep(&error, service.directory.temporary()),
            // What the script left is not what the recipe names.
            error => Failure::failed(error),
        }
    })?;
    let file = folder.join(recipe.artifact.as_str());
    let moved = tokio::task::spawn_blocking(move || move_durably(&spool, &file)).await;
    moved
        .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        .map_err(|error| cannot_keep(&error, &folder))?;
    Ok(Artifact {
        name: recipe.artifact.clone(),
        size: fetched.size,
        sha256: fetched.sha256,
    })
}

fn cannot_keep(error: &io::Error, folder: &Path) -> Failure {
    let words = room::in_words(error, folder);
    Failure::errored(format!("cannot keep the artifact: {words}"))
}
