//! Names in a folder of this machine: the file under its own, and a link that is stable.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Failure, Publication, cannot_publish};
use crate::domain::names::CommitSha;
use crate::domain::publication::{self, Names};
use crate::domain::room;
use crate::service::files::{copy_durably, swap_link};
use crate::store::Place;

impl Publication<'_> {
    pub(super) async fn publish_file(
        &self,
        place: Place,
        folder: &Path,
        names: &Names,
    ) -> Result<(), Failure> {
        let _turn = self.service.publishing.take_file(place, &names.file).await;
        self.copy(place, folder, &names.file).await?;
        if let Some(newer) = self.newer_of_others(place, folder, &names.link).await? {
            self.note(format!(
                "{} stays at {}, which others published and which is newer",
                names.link,
                newer.short()
            ));
            return Ok(());
        }
        self.move_name(place, &names.link, self.link(place, folder, names))
            .await?;
        Ok(())
    }

    /// Whatever has the name was made of the same commit, or is none of this service's.
    async fn copy(&self, place: Place, folder: &Path, file: &str) -> Result<(), Failure> {
        let (from, to) = (self.artifact(), folder.join(file));
        let there = Found::at(&to).map_err(|error| cannot_publish(file, error))?;
        match &there {
            Found::Nothing => {}
            Found::File | Found::Link(_) if self.is_kept(file) => return Ok(()),
            Found::File | Found::Link(_) => self.note(format!("{there} {file} is replaced")),
            Found::Other => return Err(in_the_way(&to, &there)),
        }
        blocking(move || copy_durably(&from, &to))
            .await
            .map_err(|error| cannot_publish(file, room::in_words(&error, folder)))?;
        let store = &self.service.store;
        let recorded = store
            .record_file(place, file.to_owned(), &self.build.id)
            .await;
        recorded.map_err(|error| cannot_publish(file, error))?;
        self.note(format!("published as {file}"));
        Ok(())
    }

    /// The commit that a link was made for which is not this service's, most likely by the older
    /// one, if it is newer. Of that, no more than the file's name is known.
    async fn newer_of_others(
        &self,
        place: Place,
        folder: &Path,
        link: &str,
    ) -> Result<Option<CommitSha>, Failure> {
        let there = Found::at(&folder.join(link)).map_err(|error| cannot_publish(link, error))?;
        let Found::Link(target) = there else {
            return Ok(None);
        };
        let target = target.file_name().unwrap_or_default().to_string_lossy();
        let Some(commit) = publication::commit_in(&target) else {
            return Ok(None);
        };
        if self.build.push_forced || self.published(place, link).await?.is_some() {
            return Ok(None);
        }
        let git = &self.service.git;
        let known = git.commit_beginning(&self.build.repository, commit).await;
        let Some(commit) = known.map_err(|error| cannot_publish(link, error))? else {
            return Ok(None);
        };
        let is_newer = self.is_strict_ancestor_of(&commit).await;
        let is_newer = is_newer.map_err(|error| cannot_publish(link, error))?;
        Ok(is_newer.then_some(commit))
    }

    async fn link(&self, place: Place, folder: &Path, names: &Names) -> Result<(), Failure> {
        let Names { file, link } = names;
        let failed = |error: io::Error| cannot_publish(link, room::in_words(&error, folder));
        let name = folder.join(link);
        let there = Found::at(&name).map_err(failed)?;
        match &there {
            Found::Nothing => {}
            // A crash came between the link and its record.
            Found::Link(target) if target == Path::new(file) => {}
            // The older service, or somebody by hand.
            Found::Link(_) if self.published(place, link).await?.is_none() => {
                self.note(format!("{there} {link} is replaced, which others made"));
            }
            Found::Link(_) => {}
            Found::File | Found::Other => return Err(in_the_way(&name, &there)),
        }
        let target = file.clone();
        blocking(move || swap_link(&target, &name))
            .await
            .map_err(failed)
    }
}

/// What has a name already.
enum Found {
    Nothing,
    File,
    Link(PathBuf),
    /// A folder, most likely.
    Other,
}

impl Found {
    fn at(path: &Path) -> io::Result<Self> {
        let kind = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(error),
        };
        Ok(match kind.is_symlink() {
            true => Self::Link(fs::read_link(path)?),
            false if kind.is_file() => Self::File,
            false => Self::Other,
        })
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("nothing at"),
            Self::File => formatter.write_str("the file"),
            Self::Link(target) => write!(formatter, "the link to {} at", target.display()),
            Self::Other => formatter.write_str("the folder"),
        }
    }
}

fn in_the_way(path: &Path, there: &Found) -> Failure {
    Failure::errored(format!(
        "cannot publish: {there} {} is in the way, and is not this service's: move it elsewhere, \
         and rebuild",
        path.display()
    ))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
