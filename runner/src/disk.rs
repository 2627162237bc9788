//! Small questions that the service asks by `docker exec`, where its API has no cheap answer.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes on disk of all files below these folders, on the folders' own file systems only, and of
/// those there, or in the container's own layer, that are open and have no name any more. Symlinks
/// are counted, not followed; a file with many names counts once. What vanishes or cannot be read
/// while we look counts nothing.
pub fn used(folders: &[String]) -> u64 {
    let mut counted = Counted::default();
    let mut pending: Vec<(Way, u64)> = folders
        .iter()
        .filter_map(|folder| {
            let device = fs::symlink_metadata(folder).ok()?.dev();
            Some((Way::to(folder), device))
        })
        .collect();
    let mut devices: HashSet<u64> = pending.iter().map(|(_, device)| *device).collect();
    devices.extend(fs::symlink_metadata("/").map(|root| root.dev()));
    while let Some((way, device)) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&way.path) else {
            continue;
        };
        if metadata.dev() != device {
            continue;
        }
        counted.add(&metadata);
        if metadata.is_dir() {
            let way = way.shortened();
            let entries = fs::read_dir(&way.path).into_iter().flatten().flatten();
            pending.extend(entries.map(|entry| (way.down_to(entry.path()), device)));
        }
    }
    add_deleted(&devices, &mut counted);
    counted.bytes
}

#[derive(Default)]
struct Counted {
    bytes: u64,
    /// Device and inode of files that can be met again.
    seen: HashSet<(u64, u64)>,
}

impl Counted {
    fn add(&mut self, metadata: &Metadata) {
        let can_be_met_again = metadata.nlink() != 1 && !metadata.is_dir();
        if !can_be_met_again || self.seen.insert((metadata.dev(), metadata.ino())) {
            // st_blocks counts units of 512 bytes, whatever the file system's own blocks are.
            self.bytes += metadata.blocks() * 512;
        }
    }
}

/// Files that keep their space because a process has them open. Each thread can have open files of
/// its own.
fn add_deleted(devices: &HashSet<u64>, counted: &mut Counted) {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    for process in below("/proc".into()) {
        for thread in below(process.path().join("task")) {
            for file in below(thread.path().join("fd")) {
                match fs::metadata(file.path()) {
                    Ok(open) if open.nlink() == 0 && devices.contains(&open.dev()) => {
                        counted.add(&open);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A path that the kernel takes however deep it leads: it refuses more than 4096 bytes at once.
struct Way {
    path: PathBuf,
    /// The folder that the path begins with, where that is `/proc/self/fd/<number>`.
    from: Option<Rc<File>>,
}

impl Way {
    /// Leaves room for a name, which has 255 bytes at most.
    const LONGEST: usize = 3000;

    fn to(path: &str) -> Self {
        Self {
            path: path.into(),
            from: None,
        }
    }

    fn down_to(&self, path: PathBuf) -> Self {
        Self {
            path,
            from: self.from.clone(),
        }
    }

    /// The way to the same folder, from itself where it is long.
    fn shortened(self) -> Self {
        if self.path.as_os_str().len() < Self::LONGEST {
            return self;
        }
        match File::open(&self.path) {
            Ok(folder) => Self {
                path: format!("/proc/self/fd/{}", folder.as_raw_fd()).into(),
                from: Some(Rc::new(folder)),
            },
            Err(_) => self,
        }
    }
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
