//! How much room is left where builds write, and whether it is too little to begin another one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::config::ServiceConfig;

/// What was found at the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    pub folders: Vec<Folder>,
    /// New builds wait until there is room again.
    pub full: Option<Full>,
}

/// A folder that builds write to, and what its file system has left for this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The key that says where it is; `docker` for what the engine keeps.
    pub name: &'static str,
    pub path: PathBuf,
    pub free: u64,
    /// How large the file system is.
    pub total: u64,
}

/// The folder that has less than `min_free_disk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    pub folder: Folder,
    pub min: u64,
}

impl Disk {
    /// Blocks on the disk. `before` is what the last look found, `docker` the engine's folder where
    /// that is on this machine.
    pub fn look(config: &ServiceConfig, docker: Option<&Path>, before: Option<&Full>) -> Self {
        let mut places = vec![
            ("data_directory", config.data_directory.clone()),
            ("temp_directory", config.temp_directory()),
            ("artifacts.binaries", config.binaries_directory()),
            ("kernels.directory", config.kernels_directory()),
        ];
        places.extend(docker.map(|path| ("docker", path.to_owned())));
        let found = places.into_iter().filter_map(|(name, path)| match room(&path) {
            Ok((free, total)) => Some(Folder {
                name,
                path,
                free,
                total,
            }),
            Err(error) => {
                tracing::debug!(folder = name, path = %path.display(), %error, "cannot tell how much room is left");
                None
            }
        });
        let folders: Vec<Folder> = found.collect();
        Self {
            full: full(&folders, config.min_free_disk, before),
            folders,
        }
    }
}

/// What is full becomes free only with a tenth more than needed, so that builds do not start and
/// wait by turns; another `min_free_disk` is judged afresh.
fn full(folders: &[Folder], min: u64, before: Option<&Full>) -> Option<Full> {
    let needed = match before {
        Some(before) if before.min == min => min.saturating_add(min / 10),
        _ => min,
    };
    let least = folders.iter().min_by_key(|folder| folder.free)?;
    (least.free < needed).then(|| Full {
        folder: least.clone(),
        min,
    })
}

impl fmt::Display for Full {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Folder { name, free, .. } = &self.folder;
        let (free, min) = (ByteSize(*free), ByteSize(self.min));
        write!(
            formatter,
            "{name} has {free} left, and min_free_disk is {min}"
        )
    }
}

/// What its file system has left, and how large that is; of a folder that is not made yet, where
/// it will be.
fn room(path: &Path) -> io::Result<(u64, u64)> {
    let mut path = PathBuf::from(path);
    loop {
        match rustix::fs::statvfs(&path) {
            Ok(found) => {
                let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
                return Ok((bytes(found.f_bavail), bytes(found.f_blocks)));
            }
            Err(rustix::io::Errno::NOENT) if path.pop() => {
                if path.as_os_str().is_empty() {
                    path.push(".");
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = bytesize::GIB;

    fn folders(free: [u64; 2]) -> Vec<Folder> {
        let [data, docker] = free;
        [("data_directory", data), ("docker", docker)]
            .map(|(name, free)| Folder {
                name,
                path: PathBuf::from(name),
                free,
                total: free,
            })
            .to_vec()
    }

    #[test]
    fn the_folder_with_the_least_room_decides_and_is_named() {
        assert_eq!(full(&folders([2 * GIB, 3 * GIB]), 2 * GIB, None), None);
        let found = full(&folders([3 * GIB, GIB]), 2 * GIB, None).unwrap();
        assert_eq!(
            found.to_string(),
            "docker has 1.0 GiB left, and min_free_disk is 2.0 GiB"
        );
        assert_eq!(full(&[], 2 * GIB, None), None);
    }

    #[test]
    fn what_was_full_needs_a_tenth_more_unless_less_is_asked_for() {
        let before = full(&folders([9 * GIB, 99 * GIB]), 10 * GIB, None).unwrap();
        let now = |free, min| full(&folders([free, 99 * GIB]), min, Some(&before)).is_some();
        assert!(now(10 * GIB, 10 * GIB));
        assert!(!now(11 * GIB, 10 * GIB));
        assert!(!now(9 * GIB, 9 * GIB));
    }

    #[test]
    fn a_folder_that_is_not_made_yet_has_the_room_of_where_it_will_be() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("not/made/yet");
        let (free, total) = room(&deep).unwrap();
        assert!(free > 0 && free < total);
        assert!(room(Path::new("not-made-yet")).unwrap().0 > 0);
        assert!(room(&folder.path().join("a\0b")).is_err());
    }
}
