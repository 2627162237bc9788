//! From a commit to a container that only has to be started.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use tempfile::TempDir;

use super::{Failure, Message, base, plan};
use crate::adapters::docker::{DockerError, Upload};
use crate::adapters::git::GitError;
use crate::config::ServiceConfig;
use crate::domain::build::Build;
use crate::domain::kernel::{Base, Kernel};
use crate::domain::names::{CommitSha, RepositoryName};
use crate::domain::recipe::{Format, Recipe};
use crate::service::Service;
use crate::store::StoreError;

/// How often a name that a left-over container holds is tried, and the pause between.
const NAME_TRIES: u32 = 40;
const NAME_PAUSE: Duration = Duration::from_millis(250);

/// A container that holds the runner and the source, created and not started.
pub struct Prepared {
    /// The image's name, as it was asked for.
    pub image: String,
    /// Docker's id of the container.
    pub container: String,
    /// What an incremental kernel is built upon.
    pub base: Option<Base>,
}

/// Why there is no container yet.
pub enum Obstacle {
    Failure(Failure),
    /// The base's image is to be built first.
    NoBase(base::Missing),
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// An image that had just lost its name may be removed before the container is made of it.
const IMAGE_TRIES: u32 = 3;

pub async fn prepare(
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    myself: ActorRef<Message>,
) -> Message {
    let config = Arc::clone(&service.config.borrow());
    let preparation = Preparation {
        service: &service,
        config,
        build: &build,
        recipe: &recipe,
        myself: &myself,
    };
    match preparation.run().await {
        Ok(prepared) => Message::Prepared(Ok(prepared)),
        Err(Obstacle::Failure(failure)) => Message::Prepared(Err(failure)),
        Err(Obstacle::NoBase(missing)) => Message::NoBase(missing),
    }
}

struct Preparation<'a> {
    service: &'a Service,
    config: Arc<ServiceConfig>,
    build: &'a Build,
    recipe: &'a Recipe,
    myself: &'a ActorRef<Message>,
}

impl Preparation<'_> {
    async fn run(&self) -> Result<Prepared, Obstacle> {
        for unmasked in plan::masker(&self.config, Some(self.build)).unmasked() {
            self.note(unmasked.to_string());
        }
        // An incremental kernel's source is in its image; what it needs more its script fetches.
        let source = match self.base_repository() {
            Some(_) => {
                self.tell_what_is_fetched().await?;
                None
            }
            None => Some(self.check_out().await?),
        };
        let mut tries = 1;
        let (image, base, container) = loop {
            let (image, id, base) = self.choose_image().await?;
            match self.create(id).await {
                Err(DockerError::NotFound(_)) if tries < IMAGE_TRIES => tries += 1,
                created => {
                    let container =
                        created.map_err(|error| self.docker_failed("create", &error))?;
                    break (image, base, container);
                }
            }
        };
        self.upload(&container, source.as_ref().map(TempDir::path))
            .await?;
        Ok(Prepared {
            image,
            container,
            base,
        })
    }

    fn base_repository(&self) -> Option<&RepositoryName> {
        match &self.recipe.format {
            Format::Kernel(Kernel::Incremental { base, .. }) => Some(base),
            _ => None,
        }
    }

    /// The script of an incremental kernel builds the tip of the branch, whatever was pushed.
    async fn tell_what_is_fetched(&self) -> Result<(), Failure> {
        let head = head_elsewhere(self.service, self.build).await;
        if let Some(head) = head.map_err(Failure::errored)? {
            self.note(format!(
                "the script fetches {} itself, which is now at {}, not at this build's {}",
                self.build.branch(),
                head.short(),
                self.build.commit.short()
            ));
        }
        Ok(())
    }

    /// The image's name and its id, because a name can move at any moment.
    async fn choose_image(&self) -> Result<(String, String, Option<Base>), Obstacle> {
        let Some(repository) = self.base_repository() else {
            let image = plan::image(&self.config, self.recipe);
            let id = self.make_sure_of_the_image(&image).await?;
            return Ok((image, id, None));
        };
        let (base, id) = base::choose(self.service, self.build, repository).await?;
        self.note(format!(
            "building upon {}{}: {}",
            base.image,
            base.commit
                .as_ref()
                .map(|commit| format!(", built from {} at {}", base.branch, commit.short()))
                .unwrap_or_default(),
            base.how.reason()
        ));
        Ok((base.image.clone(), id, Some(base)))
    }

    async fn check_out(&self) -> Result<TempDir, Failure> {
        let Build {
            repository,
            reference,
            commit,
            ..
        } = self.build;
        self.note(format!("fetching {repository} at {commit}"));
        let folder = self
            .service
            .directory
            .temporary_folder(&self.build.id)
            .map_err(Failure::errored)?;
        let progress = |line: &str| self.note(line.to_owned());
        self.service
            .git
            .checkout(repository, commit, reference, folder.path(), &progress)
            .await
            .map_err(|error: GitError| Failure::errored(error))?;
        let script = folder.path().join(self.recipe.script.as_str());
        make_executable(&script).map_err(|error| {
            Failure::failed(format!(
                "{} is not a file of commit {}: {error}",
                self.build.script(),
                commit.short()
            ))
        })?;
        Ok(folder)
    }

    async fn make_sure_of_the_image(&self, image: &str) -> Result<String, Failure> {
        let (pull, registries) = (plan::pull(&self.config), plan::registries(&self.config));
        let progress = |line: String| self.note(line);
        let image = self
            .service
            .docker
            .ensure_image(image, pull, &registries, progress)
            .await;
        image
            .map(|image| image.id)
            .map_err(|error| self.docker_failed("image", &error))
    }

    async fn create(&self, image: String) -> Result<String, DockerError> {
        let docker = &self.service.docker;
        let instance = self.service.store.instance();
        let network = match &self.config.docker.network {
            Some(network) => network.clone(),
            None => {
                docker
                    .ensure_network(&plan::own_network(&self.config, instance), instance)
                    .await?
            }
        };
        let spec = &plan::container(
            &self.config,
            instance,
            self.build,
            self.recipe,
            image,
            network,
        );
        let mut tries = 1;
        let created = loop {
            let taken = match docker.create(spec).await {
                // Left over by an attempt at this build that was interrupted.
                Err(error @ DockerError::NameTaken { .. }) => error,
                // It was, and has gone between two looks.
                Err(error @ DockerError::Conflict(_)) => error,
                created => break created,
            };
            if tries == NAME_TRIES {
                break Err(taken);
            }
            tries += 1;
            if let DockerError::NameTaken { by, .. } = &taken {
                // One that is being removed already keeps its name until that is done.
                docker.remove(by).await?;
            }
            tokio::time::sleep(NAME_PAUSE).await;
        };
        let created = created?;
        for warning in created.warnings {
            self.note(format!("docker warns: {warning}"));
        }
        Ok(created.id)
    }

    async fn upload(&self, container: &str, source: Option<&Path>) -> Result<(), Failure> {
        let begun = Instant::now();
        let docker = &self.service.docker;
        let source = source.map(|from| Upload::Folder {
            from: from.to_owned(),
            to: plan::source_folder(self.build, self.recipe),
        });
        // Last, so that no source can take the runner's place.
        let job = Upload::Job(plan::job(&self.config, self.build, self.recipe));
        docker
            .upload(container, source.into_iter().chain([job]).collect())
            .await
            .map_err(|error| self.docker_failed("upload", &error))?;
        tracing::debug!(build = %self.build.id, seconds = begun.elapsed().as_secs_f64(), "source uploaded");
        Ok(())
    }

    fn docker_failed(&self, operation: &'static str, error: &DockerError) -> Failure {
        self.service.metrics.docker_failed(operation);
        Failure::errored(error)
    }

    fn note(&self, line: String) {
        let _ = self.myself.cast(Message::Note(line));
    }
}

/// Where the build's ref is known to be, if not at the build's commit.
pub async fn head_elsewhere(
    service: &Service,
    build: &Build,
) -> Result<Option<CommitSha>, StoreError> {
    let mut known = service.store.known_heads(build.repository.clone()).await?;
    let head = known.heads.remove(&build.reference);
    Ok(head
        .map(|head| head.commit)
        .filter(|head| *head != build.commit))
}

/// `chmod +x`, and a check that there is a script at all. A link is followed only by the
/// container, never here: it could point anywhere on this machine.
fn make_executable(script: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::symlink_metadata(script)?;
    if metadata.is_dir() {
        return Err(std::io::Error::other("it is a folder"));
    }
    if metadata.is_file() {
        let mut permissions = metadata.permissions();
        permissions.set_mode(permissions.mode() | 0o111);
        std::fs::set_permissions(script, permissions)?;
    }
    Ok(())
}
