//! From a durable artifact to its names. Each step can be done again after a crash amid it: what is
//! versioned has the build's own name, a stable name moves at once, and the record says no more than
//! the name.

mod bootstrap;
mod files;
mod hub;
mod image;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use ractor::ActorRef;

use super::prepare::head_elsewhere;
use super::{Failure, Message};
use crate::adapters::git::GitError;
use crate::domain::build::Build;
use crate::domain::kernel::Kernel;
use crate::domain::names::CommitSha;
use crate::domain::publication::{self, Candidate, Names};
use crate::domain::recipe::{Format, Recipe};
use crate::service::Service;
use crate::service::hub::{bootstrap_settings, hub_settings};
use crate::store::{Place, Published};

pub async fn publish(
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    myself: ActorRef<Message>,
) -> Message {
    let mut publication = Publication {
        service: &service,
        build: &build,
        recipe: &recipe,
        myself: &myself,
        made_of: None,
    };
    let result = match &recipe.format {
        Format::Binary => publication.binary().await,
        Format::Flist => publication.flist().await,
        Format::Kernel(kernel) => publication.kernel(kernel).await,
    };
    Message::Published(result)
}

struct Publication<'a> {
    service: &'a Service,
    build: &'a Build,
    recipe: &'a Recipe,
    myself: &'a ActorRef<Message>,
    /// The commit that an incremental kernel was made of, by a script that fetches by itself, where
    /// that is not the build's: then a file that has the build's name already is the right one.
    made_of: Option<CommitSha>,
}

impl Publication<'_> {
    async fn binary(&self) -> Result<(), Failure> {
        let folder = self.service.config.borrow().binaries_directory();
        self.publish_file(Place::Binaries, &folder, &self.names())
            .await
    }

    async fn flist(&self) -> Result<(), Failure> {
        let hub = hub_settings(&self.service.config.borrow());
        let Some(hub) = hub else {
            self.note("no hub is configured: the artifact is kept by this service only");
            return Ok(());
        };
        self.publish_flist(&hub, &self.names()).await
    }

    fn names(&self) -> Names {
        let Build {
            repository, commit, ..
        } = self.build;
        let (tag, branch) = (self.build.tag(), self.build.branch());
        Names {
            file: publication::archive_name(repository, tag, branch, commit),
            link: publication::link_name(repository, tag, branch),
        }
    }

    /// The image first: its container is the one thing here that a restart of the machine takes.
    async fn kernel(&mut self, kernel: &Kernel) -> Result<(), Failure> {
        let Build {
            repository, commit, ..
        } = self.build;
        let branch = self.build.branch();
        if let Kernel::Base { commit: true } = kernel {
            self.commit_image().await?;
        }
        let names = match kernel {
            Kernel::Base { .. } => publication::base_kernel(branch, commit),
            Kernel::Incremental { .. } => {
                publication::incremental_kernel(repository, branch, commit)
            }
        };
        if let Kernel::Incremental { .. } = kernel {
            self.made_of = head_elsewhere(self.service, self.build)
                .await
                .map_err(|error| cannot_publish(&names.file, error))?;
        }
        let config = Arc::clone(&self.service.config.borrow());
        let folder = config.kernels_directory();
        self.publish_file(Place::Kernels, &folder, &names).await?;
        if let Some(hub) = hub_settings(&config) {
            let names = publication::kernel_flist(&names);
            self.publish_kernel_flist(&hub, &names).await?;
        }
        if let Some(bootstrap) = bootstrap_settings(&config) {
            self.publish_on_bootstrap(&bootstrap, &names).await?;
        }
        Ok(())
    }

    fn artifact(&self) -> PathBuf {
        let artifacts = self.service.logs.artifacts(&self.build.id);
        artifacts.join(self.recipe.artifact.as_str())
    }

    /// Uploads under a versioned name, and returns the name that it got. One that was finished is
    /// not repeated after a restart of the service.
    async fn upload_once(
        &self,
        place: Place,
        name: &str,
        upload: impl Future<Output = Result<String, Failure>>,
    ) -> Result<String, Failure> {
        let _turn = self.service.publishing.take_file(place, name).await;
        if let Some(known) = self.published(place, name).await? {
            if known.build == self.build.id {
                self.note(format!("{name} was uploaded before"));
                return Ok(name.to_owned());
            }
            if self.is_kept(name) {
                return Ok(name.to_owned());
            }
        }
        let stored = upload.await?;
        if stored == name {
            self.record(place, name).await?;
        }
        Ok(stored)
    }

    /// Whether a versioned file that is there already is not replaced.
    fn is_kept(&self, name: &str) -> bool {
        if let Some(made_of) = &self.made_of {
            self.note(format!(
                "{name} is kept as it is: this kernel was made of {}, not of {}",
                made_of.short(),
                self.build.commit.short()
            ));
        }
        self.made_of.is_some()
    }

    /// Moves a stable name to what this build published, unless it points to something newer. Of two
    /// builds that publish at once, one waits here for the other.
    async fn move_name(
        &self,
        place: Place,
        name: &str,
        change: impl Future<Output = Result<(), Failure>>,
    ) -> Result<bool, Failure> {
        let _turn = self.service.publishing.take(place, name).await;
        if let Some(newer) = self.newer(place, name).await? {
            self.note(self.why_it_stays(place, name, &newer).await?);
            return Ok(false);
        }
        change.await?;
        self.record(place, name).await?;
        self.note(format!("{name} points to it"));
        Ok(true)
    }

    async fn published(&self, place: Place, name: &str) -> Result<Option<Published>, Failure> {
        let published = self.service.store.published(place, name.to_owned()).await;
        published.map_err(|error| cannot_publish(name, error))
    }

    async fn record(&self, place: Place, name: &str) -> Result<(), Failure> {
        let store = &self.service.store;
        store
            .record_published(place, name.to_owned(), self.build)
            .await
            .map_err(|error| cannot_publish(name, error))
    }

    /// What the build's own repository published under the name, if that is newer. Commits and
    /// pushes of another repository that shares the name cannot be compared.
    async fn newer(&self, place: Place, name: &str) -> Result<Option<Published>, Failure> {
        let build = self.build;
        let (store, repository) = (&self.service.store, build.repository.clone());
        let published = store.published_last_by(place, name.to_owned(), repository);
        let published = published
            .await
            .map_err(|error| cannot_publish(name, error))?;
        let Some(published) = published else {
            return Ok(None);
        };
        let candidate = Candidate {
            push: build.push,
            forced: build.push_forced,
        };
        let may_move = match publication::may_move(candidate, published.push) {
            Some(may_move) => may_move,
            // Git may have to fetch.
            None => !self
                .is_strict_ancestor_of(&published.commit)
                .await
                .map_err(|error| cannot_publish(name, error))?,
        };
        Ok((!may_move).then_some(published))
    }

    async fn why_it_stays(
        &self,
        place: Place,
        name: &str,
        newer: &Published,
    ) -> Result<String, Failure> {
        let newer = newer.commit.short();
        Ok(match self.published(place, name).await? {
            Some(Published {
                repository: Some(other),
                commit,
                ..
            }) if other != self.build.repository => format!(
                "{name} stays at {} of {other}: {newer} of {}, which is newer, was published before",
                commit.short(),
                self.build.repository
            ),
            _ => format!("{name} stays at {newer}, which is newer"),
        })
    }

    async fn is_strict_ancestor_of(&self, published: &CommitSha) -> Result<bool, GitError> {
        let Build {
            repository, commit, ..
        } = self.build;
        if commit == published {
            return Ok(false);
        }
        let git = &self.service.git;
        git.is_ancestor(repository, commit, published).await
    }

    fn note(&self, line: impl Into<String>) {
        let _ = self.myself.cast(Message::Note(line.into()));
    }
}

fn cannot_publish(name: &str, error: impl Display) -> Failure {
    Failure::errored(format!("cannot publish {name}: {error}"))
}
