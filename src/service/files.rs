//! Files that are whole or not there, also after the power failed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

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

/// A copy that has the name only once it is whole and on disk. Makes the folder.
pub fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let folder = folder_of(to);
    fs::create_dir_all(folder)?;
    let mut fresh = tempfile::Builder::new()
        .prefix(".copy-")
        .tempfile_in(folder)?;
    io::copy(&mut File::open(from)?, &mut fresh)?;
    set_readable(fresh.as_file())?;
    fresh.as_file().sync_all()?;
    fresh.persist(to).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Temporary files are for their owner alone; what is published is for everyone.
fn set_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

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
