//! What is past its retention: builds, logs, artifacts, published files, pushes, and what is known of
//! repositories that are no longer watched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::gc::{Found, Kept, Leftover, Thing};
use super::not_found_is_fine;
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;
use crate::service::Service;
use crate::store::{Place, PublishedFile};

/// So long deliveries are known, pushes of which nothing else is left, and repositories that are no
/// longer watched. GitHub delivers again what is up to 3 days old, GitHub Enterprise Server 7.
/// Source: <https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks>.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Pushes looked at in one step; the rest follows at once.
const AT_ONCE: usize = 200;

/// Builds, artifacts, logs and published files that `retention` no longer keeps.
pub async fn find(service: &Arc<Service>) -> anyhow::Result<Found> {
    let retention = service.config.borrow().retention.clone();
    let (store, logs) = (&service.store, &service.logs);
    let mut leftovers = Vec::new();

    let ended = |age: Duration| Timestamp::now().before(age);
    let reported = service.reports_statuses();
    let beyond = store
        .builds_beyond(retention.builds, reported, ended(retention.logs))
        .await?;
    let going: BTreeSet<BuildId> = beyond.iter().cloned().collect();
    for id in beyond {
        leftovers.push(Leftover {
            name: id.to_string(),
            bytes: None,
            reason: format!(
                "its repository has {} newer builds, as retention.builds keeps",
                retention.builds
            ),
            thing: Thing::Build {
                folder: logs.folder(&id),
                id,
            },
        });
    }
    let reason = |key: &str, age: Duration| {
        let age = humantime::format_duration(age);
        format!("its build ended before retention.{key} ({age})")
    };
    let stays = |build: &BuildId| !going.contains(build);
    let artifacts = store.builds_with_artifacts_before(ended(retention.artifacts));
    for build in artifacts.await?.into_iter().filter(stays) {
        leftovers.push(Leftover {
            name: build.to_string(),
            bytes: None,
            reason: reason("artifacts", retention.artifacts),
            thing: Thing::Artifacts {
                folder: logs.artifacts(&build),
                build,
            },
        });
    }
    let with_logs = store.builds_with_logs_before(ended(retention.logs));
    for build in with_logs.await?.into_iter().filter(stays) {
        leftovers.push(Leftover {
            name: build.to_string(),
            bytes: None,
            reason: reason("logs", retention.logs),
            thing: Thing::Log {
                folder: logs.folder(&build),
                build,
            },
        });
    }
    let mut found = Found::from(leftovers);
    if let Some(age) = retention.published {
        find_published(service, age, &mut found).await?;
    }
    Ok(found)
}

/// Files that this service published. What a link in their folder points to stays.
async fn find_published(service: &Service, age: Duration, found: &mut Found) -> anyhow::Result<()> {
    let time = Timestamp::now().before(age);
    for place in [Place::Binaries, Place::Kernels] {
        let folder = folder_of(service, place);
        let files = service.store.files_before(place, time).await?;
        if files.is_empty() {
            continue;
        }
        let links = linked(folder.clone()).await?;
        for file in files {
            let path = folder.join(&file.name);
            if let Some(link) = real(&path).and_then(|real| links.get(&real)) {
                found.kept.push(Kept {
                    kind: "published",
                    name: path.display().to_string(),
                    reason: format!("{link} points to it"),
                });
                continue;
            }
            found.leftovers.push(Leftover {
                name: path.display().to_string(),
                bytes: None,
                reason: format!(
                    "published on {}, before retention.published ({}), and no link points to it",
                    file.published,
                    humantime::format_duration(age)
                ),
                thing: Thing::Published { file, path },
            });
        }
    }
    Ok(())
}

/// A rebuild may have published the file again since it was found, and a link may point to it.
pub async fn remove_published(
    service: &Service,
    file: &PublishedFile,
    path: &Path,
) -> anyhow::Result<()> {
    let _turn = service.publishing.take_file(file.place, &file.name).await;
    if !service.store.is_still(file.clone()).await? {
        anyhow::bail!("it was published again");
    }
    let links = linked(folder_of(service, file.place)).await?;
    if let Some(link) = real(path).and_then(|real| links.get(&real)) {
        anyhow::bail!("{link} points to it");
    }
    tokio::fs::remove_file(path)
        .await
        .or_else(not_found_is_fine)?;
    service.store.forget_file(file.clone()).await?;
    Ok(())
}

fn folder_of(service: &Service, place: Place) -> PathBuf {
    let config = service.config.borrow();
    match place {
        Place::Kernels => config.kernels_directory(),
        _ => config.binaries_directory(),
    }
}

/// What the links of a folder point to in the end, each with a link's name.
async fn linked(folder: PathBuf) -> io::Result<BTreeMap<PathBuf, String>> {
    let look = move || {
        let mut links = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_symlink()
                && let Some(target) = real(&entry.path())
            {
                links.insert(target, entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(links)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(io::Error::other)?.or_else(not_found_is_fine)
}

/// `None` where there is nothing.
fn real(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

pub async fn forget_pushes(service: &Service) -> anyhow::Result<()> {
    let time = Timestamp::now().before(KNOWN_FOR);
    service.store.forget_deliveries(time).await?;
    loop {
        let pushes = service.store.unused_pushes(time, AT_ONCE).await?;
        if pushes.is_empty() {
            return Ok(());
        }
        service.store.forget_pushes(pushes).await?;
    }
}

/// Heads and mirrors of repositories whose pushes have not mattered for long. Should one come back,
/// `first_sight` is asked about it again: nobody knows what was pushed meanwhile.
pub async fn forget_the_unwatched(service: &Service) -> anyhow::Result<()> {
    // Until the configuration is known, nothing is known to be unwatched.
    if service.loaded.borrow().is_none() {
        return Ok(());
    }
    let watched = {
        let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
        let tracking = config.tracking(&catalog);
        tracking.repositories().into_iter().cloned().collect()
    };
    let mirrored = service.git.mirrored().await?;
    let time = Timestamp::now().before(KNOWN_FOR);
    let unwatched = service.store.long_unwatched(watched, mirrored, time);
    for repository in unwatched.await? {
        service.git.remove(&repository).await?;
        service.store.forget_repository(repository.clone()).await?;
        tracing::info!(%repository, "not watched for 30 days: its heads and its mirror were removed");
    }
    Ok(())
}
