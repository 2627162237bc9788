//! A small disk: a file system in memory, which a story fills and empties.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use super::process::{as_root, output};
use super::service::story_folder;

pub struct SmallDisk {
    folder: TempDir,
}

const MIB: u64 = 1 << 20;

impl SmallDisk {
    pub fn new(mib: u64) -> Self {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        disk.mount(&format!("size={mib}m"));
        disk
    }

    /// A folder for a story, in which this lies on a disk of its own.
    pub fn in_a_story(mib: u64, name: &str) -> (Self, TempDir) {
        let (disk, folder) = (Self::new(mib), story_folder());
        let link = folder.path().join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(disk.path(), link).unwrap();
        (disk, folder)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// It is another size from now on, with what is on it.
    pub fn resize(&self, mib: u64) {
        self.mount(&format!("remount,size={mib}m"));
    }

    fn mount(&self, options: &str) {
        let owner = rustix::process::geteuid().as_raw();
        let options = format!("{options},mode=755,uid={owner}");
        let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        let mounted = output(as_root("mount").args(mount).arg(self.path()));
        let error = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "mount: {error}");
    }

    /// Another program takes all but so many KiB of what is left.
    pub fn fill_but(&self, kib: u64) {
        let file = File::create(self.ballast()).unwrap();
        let free = self.free();
        let take = free.checked_sub(kib << 10).expect("there is as much");
        fallocate(file.as_fd(), FallocateFlags::empty(), 0, take).unwrap();
    }

    /// What [`Self::fill_but`] took is free again.
    pub fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    pub fn free(&self) -> u64 {
        let found = statvfs(self.path()).unwrap();
        found.f_bavail * found.f_frsize
    }

    pub fn is_full(&self) -> bool {
        self.free() < MIB / 4
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has something open there keeps nobody from it.
        output(as_root("umount").arg("--lazy").arg(self.path()));
    }
}
