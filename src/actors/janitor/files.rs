//! Files in the data directory that belong to no build. The service never makes one before its
//! build is stored, so that what is here was left by a crash, or came with a restored backup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::gc::{Found, Leftover, Thing};
use super::not_found_is_fine;
use crate::domain::names::BuildId;
use crate::service::Service;

/// What was touched since is left alone: somebody may be at work on it, like a person who restores
/// a backup.
const GRACE: Duration = Duration::from_secs(3600);

/// Folders of builds that the store does not know.
pub async fn builds(service: &Arc<Service>) -> anyhow::Result<Found> {
    let found = in_folder(service.directory.builds(), |name| name.parse().ok()).await?;
    let ids = found.iter().map(|(build, _)| build.clone()).collect();
    let unknown = service.store.not_known(ids).await?;
    let of_unknown = found.into_iter();
    let of_unknown = of_unknown.filter(|(build, _)| unknown.contains(build));
    let leftovers = of_unknown.map(|(build, folder)| Leftover {
        name: format!("builds/{build}"),
        bytes: None,
        reason: format!("there is no build {build} in the database"),
        thing: Thing::BuildFiles { folder },
    });
    Ok(untouched(leftovers.collect()).await?.into())
}

/// Checkouts and downloads of builds that neither wait nor run.
pub async fn temporary(service: &Arc<Service>) -> anyhow::Result<Found> {
    let found = in_folder(service.directory.temporary().to_owned(), of_temporary).await?;
    let ids = found.iter().map(|(build, _)| build.clone()).collect();
    let over = service.store.not_unfinished(ids).await?;
    let of_over = found.into_iter();
    let of_over = of_over.filter(|(build, _)| over.contains(build));
    let leftovers = of_over.map(|(build, path)| Leftover {
        name: name_of(&path),
        bytes: None,
        reason: format!("build {build} neither waits nor runs"),
        thing: Thing::Temporary { path },
    });
    Ok(untouched(leftovers.collect()).await?.into())
}

/// As the data directory names them: `<id>-…` and `<id>.artifact`.
fn of_temporary(name: &str) -> Option<BuildId> {
    let end = name.find(['-', '.'])?;
    name[..end].parse().ok()
}

/// What in a folder has a name of ours, whoever the build is.
async fn in_folder(
    folder: PathBuf,
    build: impl Fn(&str) -> Option<BuildId> + Send + 'static,
) -> io::Result<Vec<(BuildId, PathBuf)>> {
    let list = move || {
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(build) = entry.file_name().to_str().and_then(&build) {
                found.push((build, entry.path()));
            }
        }
        Ok(found)
    };
    let listed = tokio::task::spawn_blocking(list).await;
    listed.map_err(io::Error::other)?.or_else(not_found_is_fine)
}

async fn untouched(leftovers: Vec<Leftover>) -> io::Result<Vec<Leftover>> {
    let since = SystemTime::now() - GRACE;
    let filter = move || {
        let is_old = |leftover: &Leftover| match &leftover.thing {
            Thing::BuildFiles { folder: path } | Thing::Temporary { path } => {
                touched(path).is_ok_and(|touched| touched < since)
            }
            _ => true,
        };
        leftovers.into_iter().filter(is_old).collect()
    };
    tokio::task::spawn_blocking(filter)
        .await
        .map_err(io::Error::other)
}

/// When a file, or something directly in a folder, was changed last.
fn touched(path: &Path) -> io::Result<SystemTime> {
    let metadata = fs::symlink_metadata(path)?;
    let mut newest = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(entry?.metadata()?.modified()?);
        }
    }
    Ok(newest)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_service_gives_are_of_builds() {
        let id = BuildId::from_random(7);
        for (name, expected) in [
            (format!("{id}-Xy12"), Some(&id)),
            (format!("{id}.artifact"), Some(&id)),
            (format!("{id}"), None),
            (format!("x{id}-Xy12"), None),
            ("-".to_owned(), None),
            ("notes.txt".to_owned(), None),
        ] {
            assert_eq!(of_temporary(&name).as_ref(), expected, "{name}");
        }
    }

    #[test]
    fn a_folder_is_as_young_as_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        fs::write(&file, "").unwrap();
        let long_ago = SystemTime::now() - 2 * GRACE;
        let set = |path: &Path| {
            fs::File::open(path)
                .unwrap()
                .set_modified(long_ago)
                .unwrap()
        };
        set(folder.path());
        assert!(touched(folder.path()).unwrap() > long_ago);
        set(&file);
        assert_eq!(touched(folder.path()).unwrap(), long_ago);
    }
}
