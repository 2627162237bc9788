//! Files that are whole or not there, also after the power failed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Puts a file in its place; a rename where both are on one file system, else a copy.
pub fn move_durably(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Ok(()) => sync_folder(folder_of(to)),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_durably(from, to)?;
            fs::remove_file(from)
        }
        Err(error) => Err(error),
    }
}

/// A copy that has the name only once it is whole and on disk, and that everybody may read. Makes
/// the folder. Only one at a time may copy to the same place; one that was cut short by a crash is
/// written over by the next.
pub fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let folder = folder_of(to);
    make_folder(folder)?;
    let fresh = unfinished(to);
    let copied = copy_and_sync(from, &fresh).and_then(|()| fs::rename(&fresh, to));
    if copied.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    copied?;
    sync_folder(folder)
}

fn copy_and_sync(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::create(to)?;
    io::copy(&mut from, &mut to)?;
    to.set_permissions(fs::Permissions::from_mode(0o644))?;
    to.sync_all()
}

/// Makes a folder, and those above it, that everybody may read, whatever the umask.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder
        .parent()
        .filter(|above| !above.as_os_str().is_empty())
    {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o755)),
        // Another build was quicker.
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether files can be written to a folder, or it could be made. Leaves nothing behind.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    let there = folder.ancestors().find(|above| above.exists());
    tempfile::tempfile_in(there.unwrap_or(Path::new("."))).map(drop)
}

/// Makes a name point to a file of its folder: to the old one or to the new one, at every moment.
pub fn swap_link(target: &str, name: &Path) -> io::Result<()> {
    let fresh = unfinished(name);
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    symlink(target, &fresh)?;
    if let Err(error) = fs::rename(&fresh, name) {
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    sync_folder(folder_of(name))
}

/// Where something is made before it takes its place: always the same, so that what a crash
/// leaves there is found again.
fn unfinished(to: &Path) -> PathBuf {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    folder_of(to).join(format!(".new-{name}"))
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(unfinished(&to), "half of something longer").unwrap();
        copy_durably(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        let link = folder.path().join("link");
        symlink("nowhere", unfinished(&link)).unwrap();
        swap_link("to", &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("to"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn everybody_may_read_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (from, made) = (folder.path().join("from"), folder.path().join("made"));
        let to = made.join("deep/to");
        fs::write(&from, "").unwrap();
        let secret = unfinished(&to);
        fs::create_dir(&made).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o700)).unwrap();
        copy_durably(&from, &to).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&to), 0o644);
        assert_eq!(mode(&made.join("deep")), 0o755);
        assert_eq!(mode(&made), 0o700, "what was there stays as it was");

        fs::write(&secret, "").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        copy_durably(&from, &to).unwrap();
        assert_eq!(mode(&to), 0o644);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        check_writable(&folder.path().join("to/be/made")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        check_writable(&file.join("below")).unwrap_err();
        check_writable(&file).unwrap_err();
    }

    #[test]
    fn a_copy_replaces_what_was_there_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("deep/to"));
        for content in ["old", "new"] {
            fs::write(&from, content).unwrap();
            copy_durably(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
    }
}
