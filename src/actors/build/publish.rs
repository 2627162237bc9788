//! From a durable artifact to its names.

use std::io;
use std::sync::Arc;

use ractor::ActorRef;

use super::{Failure, Message};
use crate::domain::build::Build;
use crate::domain::publication::{self, Candidate};
use crate::domain::recipe::{Format, Recipe};
use crate::service::Service;
use crate::service::files::{copy_durably, swap_link};

/// The place of the stable names of format `binary`, as the store lists it.
const BINARIES: &str = "binaries";

pub async fn publish(
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    myself: ActorRef<Message>,
) {
    let result = match recipe.format {
        Format::Binary => {
            Binary {
                service: &service,
                build: &build,
                recipe: &recipe,
                myself: &myself,
            }
            .publish()
            .await
        }
        Format::Flist => {
            let line = "no hub is configured: the artifact is kept by this service only";
            let _ = myself.cast(Message::Note(line.to_owned()));
            Ok(())
        }
    };
    let _ = myself.cast(Message::Published(result));
}

struct Binary<'a> {
    service: &'a Service,
    build: &'a Build,
    recipe: &'a Recipe,
    myself: &'a ActorRef<Message>,
}

impl Binary<'_> {
    /// Each step can be done again after a crash in between: the copy has the build's own name, the
    /// link is swapped at once, and the record says no more than the link.
    async fn publish(&self) -> Result<(), Failure> {
        let folder = self.service.config.borrow().binaries_directory();
        let build = self.build;
        let tag = build.tag();
        let file = publication::archive_name(&build.repository, tag, build.branch(), &build.commit);
        let link = publication::link_name(&build.repository, tag, build.branch());
        let from = self
            .service
            .logs
            .artifacts(&build.id)
            .join(self.recipe.artifact.as_str());
        let to = folder.join(&file);
        blocking(move || copy_durably(&from, &to))
            .await
            .map_err(|error| cannot_publish(&file, &error))?;
        self.note(format!("published as {file}"));

        // Two builds that publish at once take turns, so that what is compared is what is there.
        let _turn = self.service.publishing.lock().await;
        if !self.may_move(&link).await? {
            self.note(format!("{link} stays: it points to a newer commit"));
            return Ok(());
        }
        let (target, name) = (file.clone(), folder.join(&link));
        blocking(move || swap_link(&target, &name))
            .await
            .map_err(|error| cannot_publish(&link, &error))?;
        self.service
            .store
            .record_published(BINARIES, link.clone(), build)
            .await
            .map_err(|error| cannot_publish(&link, &error))?;
        self.note(format!("{link} points to it"));
        Ok(())
    }

    async fn may_move(&self, link: &str) -> Result<bool, Failure> {
        let build = self.build;
        let published = self
            .service
            .store
            .published(BINARIES, link.to_owned())
            .await;
        let Some(published) = published.map_err(|error| cannot_publish(link, &error))? else {
            return Ok(true);
        };
        let is_ancestor = build.commit != published.commit
            && self
                .service
                .git
                .is_ancestor(&build.repository, &build.commit, &published.commit)
                .await
                .map_err(|error| cannot_publish(link, &error))?;
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

    fn note(&self, line: String) {
        let _ = self.myself.cast(Message::Note(line));
    }
}

fn cannot_publish(name: &str, error: &impl std::fmt::Display) -> Failure {
    Failure::errored(format!("cannot publish {name}: {error}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
