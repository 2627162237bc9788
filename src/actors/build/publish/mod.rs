//! From a durable artifact to its names. Each step can be done again after a crash amid it: what is
//! versioned has the build's own name, a stable name moves at once, and the record says no more than
//! the name.

mod files;
mod image;

use std::fmt::Display;
use std::sync::Arc;

use ractor::ActorRef;

use super::{Failure, Message};
use crate::domain::build::Build;
use crate::domain::kernel::Kernel;
use crate::domain::publication::{self, Candidate, Names};
use crate::domain::recipe::{Format, Recipe};
use crate::service::Service;
use crate::store::{Place, Published};

pub async fn publish(
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    myself: ActorRef<Message>,
) {
    let publication = Publication {
        service: &service,
        build: &build,
        recipe: &recipe,
        myself: &myself,
    };
    let result = match &recipe.format {
        Format::Binary => publication.binary().await,
        Format::Flist => publication.flist().await,
        Format::Kernel(kernel) => publication.kernel(kernel).await,
    };
    let _ = myself.cast(Message::Published(result));
}

struct Publication<'a> {
    service: &'a Service,
    build: &'a Build,
    recipe: &'a Recipe,
    myself: &'a ActorRef<Message>,
}

impl Publication<'_> {
    async fn binary(&self) -> Result<(), Failure> {
        let Build {
            repository, commit, ..
        } = self.build;
        let (tag, branch) = (self.build.tag(), self.build.branch());
        let names = Names {
            file: publication::archive_name(repository, tag, branch, commit),
            link: publication::link_name(repository, tag, branch),
        };
        let folder = self.service.config.borrow().binaries_directory();
        self.publish_file(Place::Binaries, &folder, &names).await
    }

    async fn flist(&self) -> Result<(), Failure> {
        self.note("no hub is configured: the artifact is kept by this service only");
        Ok(())
    }

    /// The image first: its container is the one thing here that a restart of the machine takes.
    async fn kernel(&self, kernel: &Kernel) -> Result<(), Failure> {
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
        let folder = self.service.config.borrow().kernels_directory();
        self.publish_file(Place::Kernels, &folder, &names).await
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
        if !self.may_move(place, name).await? {
            self.note(format!("{name} stays: it points to a newer commit"));
            return Ok(false);
        }
        change.await?;
        self.service
            .store
            .record_published(place, name.to_owned(), self.build)
            .await
            .map_err(|error| cannot_publish(name, error))?;
        self.note(format!("{name} points to it"));
        Ok(true)
    }

    async fn may_move(&self, place: Place, name: &str) -> Result<bool, Failure> {
        let build = self.build;
        let published = self.service.store.published(place, name.to_owned()).await;
        let published = published.map_err(|error| cannot_publish(name, error))?;
        let Some(published) = published else {
            return Ok(true);
        };
        let is_ancestor = self
            .is_strict_ancestor_of(&published)
            .await
            .map_err(|error| cannot_publish(name, error))?;
        let candidate = Candidate {
            push: build.push,
            forced: build.push_forced,
        };
        Ok(publication::may_move(
            candidate,
            published.push,
            is_ancestor,
        ))
    }

    async fn is_strict_ancestor_of(
        &self,
        published: &Published,
    ) -> Result<bool, crate::adapters::git::GitError> {
        let Build {
            repository, commit, ..
        } = self.build;
        // Several repositories may share a name; their commits cannot be compared.
        let elsewhere = published
            .repository
            .as_ref()
            .is_some_and(|other| other != repository);
        if elsewhere || *commit == published.commit {
            return Ok(false);
        }
        let git = &self.service.git;
        git.is_ancestor(repository, commit, &published.commit).await
    }

    fn note(&self, line: impl Into<String>) {
        let _ = self.myself.cast(Message::Note(line.into()));
    }
}

fn cannot_publish(name: &str, error: impl Display) -> Failure {
    Failure::errored(format!("cannot publish {name}: {error}"))
}
