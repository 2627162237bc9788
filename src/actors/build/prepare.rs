//! From a commit to a container that only has to be started.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::{Failure, Message, base, plan};
use crate::adapters::docker::{DockerError, Upload};
use crate::adapters::git::GitError;
use crate::config::ServiceConfig;
use crate::domain::build::Build;
use crate::domain::kernel::{Base, Kernel};
use crate::domain::names::{CommitSha, RepositoryName};
use crate::domain::recipe::{Format, Recipe};
use crate::domain::room;
use crate::service::{Disk, Full, Service, TemporaryFolder};
use crate::store::StoreError;

/// How often a name that a left-over container holds is tried, and the pause between.
const NAME_TRIES: u32 = 40;
const NAME_PAUSE: Duration = Duration::from_millis(250);

/// How often it is looked how much room a checkout has left, and where it writes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const WRITTEN_TO: [&str; 2] = ["data_directory", "temp_directory"];

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
    /// Docker went away in the middle of it.
    Lost(String),
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
        Err(Obstacle::Lost(how)) => Message::ContainerLost(how),
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
        if let Some(problem) = plan::no_place_for_source(self.build, self.recipe) {
            return Err(Failure::failed(problem).into());
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
                        created.map_err(|error| docker_failed(self.service, "create", &error))?;
                    break (image, base, container);
                }
            }
        };
        self.upload(&container, source.as_ref().map(TemporaryFolder::path))
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
            // The list may be newer than the recipe.
            if !self.config.docker.images.allows(&image) {
                let allowed = &self.config.docker.images;
                let reason = format!("image {image} is not allowed: docker.images lists {allowed}");
                return Err(Failure::errored(reason).into());
            }
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

    async fn check_out(&self) -> Result<TemporaryFolder, Failure> {
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
            .map_err(|error| {
                let words = room::in_words(&error, self.service.directory.temporary());
                Failure::errored(format!("cannot make a folder for the source: {words}"))
            })?;
        let progress = |line: &str| self.note(line.to_owned());
        let (git, max_source) = (&self.service.git, self.config.builds.max_source);
        let checkout = async {
            git.check_size(repository, commit, max_source, &progress)
                .await?;
            git.checkout(repository, commit, reference, folder.path(), &progress)
                .await
        };
        tokio::select! {
            checked_out = checkout => checked_out.map_err(|error| match error {
                GitError::TooLarge { .. } => Failure::failed(error),
                error => Failure::errored(error),
            })?,
            full = self.room_is_used_up() => {
                if let Err(error) = git.clear(repository).await {
                    tracing::warn!(%repository, %error, "cannot tidy a mirror");
                }
                return Err(Failure::errored(format!("stopped while it was checked out: {full}")));
            }
        };
        find_script(folder.path(), self.recipe.script.as_str()).map_err(|why| {
            Failure::failed(format!(
                "{} is not a file of commit {}: {why}",
                self.build.script(),
                commit.short()
            ))
        })?;
        Ok(folder)
    }

    /// Ends when a checkout has come too near to the end of the disk. What was full before it began
    /// is not its fault.
    async fn room_is_used_up(&self) -> Full {
        let mut began_full = None;
        loop {
            let config = Arc::clone(&self.service.config.borrow());
            let look = move || Disk::look(&config, None, None).full;
            let full = tokio::task::spawn_blocking(look).await.ok().flatten();
            let full = full.filter(|full| WRITTEN_TO.contains(&full.folder.name));
            match full {
                Some(full) if began_full == Some(false) => return full,
                full => began_full = began_full.or(Some(full.is_some())),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn make_sure_of_the_image(&self, image: &str) -> Result<String, Obstacle> {
        let (pull, registries) = (plan::pull(&self.config), plan::registries(&self.config));
        let progress = |line: String| self.note(line);
        let image = self
            .service
            .docker
            .ensure_image(image, pull, &registries, progress)
            .await;
        image
            .map(|image| image.id)
            .map_err(|error| docker_failed(self.service, "image", &error))
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

    async fn upload(&self, container: &str, source: Option<&Path>) -> Result<(), Obstacle> {
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
            .map_err(|error| docker_failed(self.service, "upload", &error))?;
        tracing::debug!(build = %self.build.id, seconds = begun.elapsed().as_secs_f64(), "source uploaded");
        Ok(())
    }

    fn note(&self, line: String) {
        let _ = self.myself.cast(Message::Note(line));
    }
}

pub fn docker_failed(service: &Service, operation: &'static str, error: &DockerError) -> Obstacle {
    service.metrics.docker_failed(operation);
    match error.is_away() {
        true => Obstacle::Lost(error.to_string()),
        false => Failure::errored(error).into(),
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

/// Whether there is a script at all, which the runner makes executable. Links between folders are
/// the commit's to choose, and followed only within it: what is told must not depend on what else
/// this machine holds. The script's own link is the container's to follow.
fn find_script(checkout: &Path, script: &str) -> Result<(), String> {
    let look = || -> rustix::io::Result<FileType> {
        let checkout = open(checkout, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let (flags, within) = (
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        );
        let found = openat2(checkout, script, flags, Mode::empty(), within)?;
        Ok(FileType::from_raw_mode(fstat(found)?.st_mode))
    };
    match look() {
        Ok(FileType::Directory) => Err("it is a folder".to_owned()),
        Ok(_) => Ok(()),
        Err(Errno::XDEV) => Err("a link on its way leads out of the repository".to_owned()),
        // Linux before 5.6, or a sandbox that does not know the call: the runner will say it.
        Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(error) => Err(std::io::Error::from(error).to_string()),
    }
}
