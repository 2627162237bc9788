//! Small questions that the service asks by `docker exec`, where its API has no cheap answer.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes on disk of all files below these folders, on the folders' own file systems only. Symlinks
/// are counted, not followed; a file with many names counts once. What vanishes or cannot be read
/// while we look counts nothing.
pub fn used(folders: &[String]) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut pending: Vec<(PathBuf, u64)> = folders
        .iter()
        .filter_map(|folder| {
            Some((
                PathBuf::from(folder),
                fs::symlink_metadata(folder).ok()?.dev(),
            ))
        })
        .collect();
    while let Some((path, device)) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.dev() != device {
            continue;
        }
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((device, metadata.ino())) {
            continue;
        }
        // st_blocks counts units of 512 bytes, whatever the file system's own blocks are.
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            pending.extend(entries.map(|entry| (entry.path(), device)));
        }
    }
    bytes
}

/// Writes the names in a folder to stdout, in order, each ended by a NUL, folders with a slash.
pub fn list(folder: &Path, most: usize) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let mut name = entry.file_name().as_bytes().to_vec();
        if entry.file_type()?.is_dir() {
            name.push(b'/');
        }
        name.push(0);
        names.push(name);
    }
    names.sort();
    names.truncate(most);
    io::stdout().write_all(&names.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_once_and_are_not_followed() {
        let folder = std::env::temp_dir().join(format!("runner-disk-{}", std::process::id()));
        fs::create_dir_all(folder.join("in/ner")).unwrap();
        fs::write(folder.join("in/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(folder.join("in/file"), folder.join("again")).unwrap();
        std::os::unix::fs::symlink("/", folder.join("root")).unwrap();
        let bytes = used(&[
            folder.to_str().unwrap().to_owned(),
            "/no/such/folder".to_owned(),
        ]);
        fs::remove_dir_all(&folder).unwrap();
        assert!((100_000..150_000).contains(&bytes), "{bytes}");
    }
}
