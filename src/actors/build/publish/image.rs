//! The image that a base kernel's container becomes, for incremental kernels to start from.

use std::collections::BTreeMap;

use bytesize::ByteSize;

use super::{Failure, Publication, cannot_publish};
use crate::actors::build::{away, plan};
use crate::adapters::docker::DockerError;
use crate::domain::build::Build;
use crate::domain::kernel::{ImageName, LABEL_BUILD, LABEL_COMMIT, LABEL_REF, LABEL_REPOSITORY};
use crate::store::Place;

impl Publication<'_> {
    pub(super) async fn commit_image(&self) -> Result<(), Failure> {
        let ImageName { repository, tag } =
            ImageName::of_base(&self.build.repository, self.build.branch());
        let name = format!("{repository}:{tag}");
        let container = plan::container_name(&self.service.config.borrow(), &self.build.id);
        let moved = self
            .move_name(Place::Images, &name, async {
                self.note(format!("committing the container as image {name}"));
                let docker = &self.service.docker;
                let mut tries = away::Tries::new(self.service, self.myself, "commit");
                let made = loop {
                    let made = docker.commit(&container, &repository, &tag, self.labels());
                    match made.await {
                        Err(error) if tries.again(&error).await => {}
                        made => break made.map_err(|error| not_committed(&name, error))?,
                    }
                };
                self.note(format!("image {name} ({made})"));
                Ok(())
            })
            .await?;
        if moved {
            self.remove_dangling_images().await;
        }
        Ok(())
    }

    /// Which build made the image, so that it can be told from one of the same name.
    fn labels(&self) -> BTreeMap<String, String> {
        let Build {
            id,
            repository,
            reference,
            commit,
            ..
        } = self.build;
        [
            (LABEL_REPOSITORY, repository.to_string()),
            (LABEL_REF, reference.to_string()),
            (LABEL_COMMIT, commit.to_string()),
            (LABEL_BUILD, id.to_string()),
        ]
        .map(|(label, value)| (label.to_owned(), value))
        .into()
    }

    /// What had the image's name before has none now. That it stays is no reason to fail.
    async fn remove_dangling_images(&self) {
        match self.service.docker.remove_dangling_images().await {
            Ok(removed) if removed.images.is_empty() => {}
            Ok(removed) => self.note(format!(
                "removed {} images without a name, which freed {}: {}",
                removed.images.len(),
                ByteSize(removed.bytes),
                removed.images.join(", ")
            )),
            // Somebody else is at it.
            Err(DockerError::Conflict(_)) => {}
            Err(error) => {
                self.service.metrics.docker_failed("prune");
                self.note(format!("images without a name stay: {error}"));
            }
        }
    }
}

fn not_committed(name: &str, error: DockerError) -> Failure {
    match error {
        DockerError::NotFound(_) => cannot_publish(name, "the build's container was lost"),
        error => cannot_publish(name, error),
    }
}
