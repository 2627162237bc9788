//! From the container to a durable artifact.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ractor::ActorRef;

use super::{Failure, Message, away, plan};
use crate::adapters::docker::{ArtifactError, DockerError};
use crate::domain::build::{Artifact, Build};
use crate::domain::recipe::Recipe;
use crate::domain::room;
use crate::service::Service;
use crate::service::files::move_durably;

pub async fn collect(
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    myself: ActorRef<Message>,
) -> Message {
    Message::Collected(fetch(&service, &build, &recipe, &myself).await)
}

async fn fetch(
    service: &Service,
    build: &Build,
    recipe: &Recipe,
    myself: &ActorRef<Message>,
) -> Result<Artifact, Failure> {
    let container = plan::container_name(&service.config.borrow(), &build.id);
    let folder = service.logs.artifacts(&build.id);
    std::fs::create_dir_all(&folder).map_err(|error| cannot_keep(&error, &folder))?;
    let spool = service.directory.temporary_file(&build.id);
    let limit = service.config.borrow().builds.max_artifact;
    let mut tries = away::Tries::new(service, myself, "artifact");
    let fetched = loop {
        let (archives, artifact) = (recipe.archives.as_str(), recipe.artifact.as_str());
        let docker = &service.docker;
        let fetched = docker.fetch_artifact(&container, archives, artifact, &spool, limit);
        match fetched.await {
            Err(ArtifactError::Docker(error)) if tries.again(&error).await => {}
            fetched => break fetched,
        }
    };
    let fetched = fetched.map_err(|error| {
        match error {
            ArtifactError::Docker(DockerError::NotFound(_)) => {
                Failure::errored("its container was lost before the artifact could be collected")
            }
            ArtifactError::Docker(error) => Failure::errored(error),
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
