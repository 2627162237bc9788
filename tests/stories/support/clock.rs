//! A wall clock of the service's own, which a story sets. The time since the machine's start goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::service::story_folder;

/// What the service's clock shows more than the machine's, as libfaketime reads it: `+3600`.
const FILE: &str = "clock";

/// A folder for a story whose service has such a clock. It shows the machine's time at first.
pub fn folder_with_clock() -> TempDir {
    let folder = story_folder();
    set(folder.path(), 0);
    folder
}

/// Sets the clock of the service in this folder, whether it runs or not.
pub fn set(folder: &Path, seconds: i64) {
    let new = folder.join("clock.new");
    fs::write(&new, format!("{seconds:+}\n")).unwrap();
    fs::rename(new, folder.join(FILE)).unwrap();
}

/// For a command that starts a service with this file.
pub(super) fn give(command: &mut Command, service_file: &Path) {
    let clock = service_file.with_file_name(FILE);
    if clock.exists() {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("NO_FAKE_STAT", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// Debian has it in a folder that is named after the processor.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    let libraries =
        folders.map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|library| library.exists());
    found.expect("scripts/setup faketime installs it")
}
