//! What may go, found first and then removed, so that it can be shown without being removed. What is
//! found stays true until it is removed: a build that has ended never begins again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{engine, files, not_found_is_fine, retention};
use crate::domain::names::BuildId;
use crate::log;
use crate::service::Service;
use crate::store::PublishedFile;

/// Removed at the same time: the store then writes several changes as one.
const REMOVED_AT_ONCE: usize = 16;

/// Something that may go.
#[derive(Debug, Clone)]
pub struct Leftover {
    pub thing: Thing,
    /// As people know it.
    pub name: String,
    /// What it takes, where that is cheap to tell.
    pub bytes: Option<u64>,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub enum Thing {
    Container {
        id: String,
    },
    Volume {
        name: String,
    },
    Network {
        id: String,
    },
    Image {
        id: String,
    },
    /// Of a build that the store does not know.
    BuildFiles {
        folder: PathBuf,
    },
    Temporary {
        path: PathBuf,
    },
    /// A build past its retention, with its files.
    Build {
        id: BuildId,
        folder: PathBuf,
    },
    Artifacts {
        build: BuildId,
        folder: PathBuf,
    },
    Log {
        build: BuildId,
        folder: PathBuf,
    },
    Published {
        file: PublishedFile,
        path: PathBuf,
    },
}

/// What somebody may expect to go, and does not.
#[derive(Debug, Clone)]
pub struct Kept {
    pub kind: &'static str,
    pub name: String,
    pub reason: String,
}

#[derive(Debug, Default)]
pub struct Found {
    pub leftovers: Vec<Leftover>,
    pub kept: Vec<Kept>,
    /// What could not be looked at or removed, and why.
    pub problems: Vec<String>,
}

/// Looks for everything that may go now, and removes it unless this is only to be shown.
pub async fn gc(service: &Arc<Service>, dry_run: bool) -> Found {
    let mut found = left_over(service).await;
    found.add("what is past its retention", retention::find(service).await);
    found.measure().await;
    match dry_run {
        true => found,
        false => remove(service, found).await,
    }
}

/// What crashes left, and what is of no use since the service file changed.
pub async fn left_over(service: &Arc<Service>) -> Found {
    let mut found = Found::default();
    found.add("containers", engine::containers(service).await);
    found.add("volumes", engine::volumes(service).await);
    found.add("networks", engine::networks(service).await);
    found.add("images", engine::images(service).await);
    found.add("files of builds", files::builds(service).await);
    found.add("temporary files", files::temporary(service).await);
    found
}

/// Returns what was removed; what was not is a problem.
pub async fn remove(service: &Arc<Service>, found: Found) -> Found {
    let Found {
        leftovers,
        kept,
        mut problems,
    } = found;
    let removals = stream::iter(leftovers).map(|leftover| async move {
        let removed = leftover.remove(service).await;
        (leftover, removed)
    });
    let mut removals = removals.buffered(REMOVED_AT_ONCE);
    let mut removed = Vec::new();
    while let Some((leftover, outcome)) = removals.next().await {
        match outcome {
            Ok(()) => {
                leftover.tell();
                removed.push(leftover);
            }
            Err(error) => {
                let (kind, name) = (leftover.thing.kind(), &leftover.name);
                problems.push(format!("{kind} {name} cannot be removed: {error:#}"));
            }
        }
    }
    Found {
        leftovers: removed,
        kept,
        problems,
    }
}

impl Found {
    fn add(&mut self, what: &str, found: anyhow::Result<Self>) {
        match found {
            Ok(found) => {
                self.leftovers.extend(found.leftovers);
                self.kept.extend(found.kept);
                self.problems.extend(found.problems);
            }
            Err(error) => self
                .problems
                .push(format!("{what} cannot be looked for: {error:#}")),
        }
    }

    pub async fn measure(&mut self) {
        let mut leftovers = std::mem::take(&mut self.leftovers);
        let measured = tokio::task::spawn_blocking(move || {
            for leftover in &mut leftovers {
                leftover.bytes = leftover.bytes.or_else(|| leftover.thing.size());
            }
            leftovers
        });
        match measured.await {
            Ok(leftovers) => self.leftovers = leftovers,
            Err(error) => self.problems.push(format!("measuring failed: {error}")),
        }
    }
}

impl From<Vec<Leftover>> for Found {
    fn from(leftovers: Vec<Leftover>) -> Self {
        Self {
            leftovers,
            ..Self::default()
        }
    }
}

impl Leftover {
    async fn remove(&self, service: &Service) -> anyhow::Result<()> {
        let (docker, store) = (&service.docker, &service.store);
        match &self.thing {
            Thing::Container { id } => docker.remove(id).await?,
            Thing::Volume { name } => docker.remove_volume(name).await?,
            Thing::Network { id } => docker.remove_network(id).await?,
            Thing::Image { id } => docker.remove_image(id).await?,
            Thing::BuildFiles { folder } => remove_all(folder).await?,
            Thing::Temporary { path } => remove_all(path).await?,
            // Files first: a row without files shows what is missing, files without a row are lost.
            Thing::Build { id, folder } => {
                remove_all(folder).await?;
                store.forget_builds(vec![id.clone()]).await?;
            }
            Thing::Artifacts { build, folder } => {
                remove_all(folder).await?;
                store.forget_artifacts(build.clone()).await?;
            }
            Thing::Log { build, folder } => {
                let folder = folder.clone();
                tokio::task::spawn_blocking(move || log::delete(&folder)).await??;
                store.forget_log(build.clone()).await?;
            }
            Thing::Published { file, path } => {
                retention::remove_published(service, file, path).await?;
            }
        }
        Ok(())
    }

    fn tell(&self) {
        let Self {
            thing,
            name,
            bytes,
            reason,
        } = self;
        let kind = thing.kind();
        match thing {
            // These are many, and to be expected.
            Thing::Build { .. } | Thing::Artifacts { .. } | Thing::Log { .. } => {
                tracing::debug!(kind, name, bytes, reason, "removed");
            }
            _ => tracing::info!(kind, name, bytes, reason, "removed"),
        }
    }
}

impl Thing {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Container { .. } => "container",
            Self::Volume { .. } => "volume",
            Self::Network { .. } => "network",
            Self::Image { .. } => "image",
            Self::BuildFiles { .. } => "build_files",
            Self::Temporary { .. } => "temporary",
            Self::Build { .. } => "build",
            Self::Artifacts { .. } => "artifacts",
            Self::Log { .. } => "log",
            Self::Published { .. } => "published",
        }
    }

    /// Bytes of the files that would go with it.
    fn size(&self) -> Option<u64> {
        match self {
            Self::BuildFiles { folder }
            | Self::Build { folder, .. }
            | Self::Artifacts { folder, .. } => size(folder).ok(),
            Self::Log { folder, .. } => size_of_files(folder).ok(),
            Self::Temporary { path } | Self::Published { path, .. } => size(path).ok(),
            Self::Container { .. }
            | Self::Volume { .. }
            | Self::Network { .. }
            | Self::Image { .. } => None,
        }
    }
}

async fn remove_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    let removal = move || match fs::symlink_metadata(&path)?.is_dir() {
        true => fs::remove_dir_all(&path),
        false => fs::remove_file(&path),
    };
    let removed = tokio::task::spawn_blocking(removal).await;
    removed
        .map_err(io::Error::other)?
        .or_else(not_found_is_fine)
}

/// A file's, or that of everything in a folder.
fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path).map(Some);
    let Some(metadata) = metadata.or_else(not_found_is_fine)? else {
        return Ok(0);
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

/// Of the files in a folder, without what is in its folders.
fn size_of_files(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let metadata = entry?.metadata()?;
        if metadata.is_file() {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}
