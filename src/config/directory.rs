//! A configuration repository that lies in a local directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::catalog::{Files, LastGood, Loaded, is_branch_file, resolve};
use super::finding::{Finding, Findings};
use super::load::read_file;
use crate::domain::images::AllowedImages;

/// Names of 240 bytes with a slash at every second: no branch is nested deeper.
const MAX_DEPTH: usize = 125;
/// Files of all kinds in a configuration.
pub const MAX_FILES: usize = 100_000;

/// Reads a configuration directory. An error means that the directory as a whole could not be
/// read: then nothing is known about any file, none counts as removed, and all stays as it is.
pub fn load_directory(
    root: &Path,
    last_good: &LastGood,
    images: &AllowedImages,
) -> Result<Loaded, Findings> {
    let files = read_directory(root).map_err(|finding| Findings::new(vec![*finding]))?;
    Ok(resolve(&files, last_good, images))
}

/// The files below a directory, by path. Only those that are branches' files are read. Links are
/// followed to files inside the directory (as Kubernetes lays out its volumes), never out of it.
pub fn read_directory(root: &Path) -> Result<Files, Box<Finding>> {
    let canonical_root = root
        .canonicalize()
        .map_err(|error| unreadable(root, &error))?;
    let mut walk = Walk {
        root: canonical_root,
        files: BTreeMap::new(),
    };
    walk.folder(&walk.root.clone(), "", 0)?;
    Ok(walk.files)
}

struct Walk {
    root: PathBuf,
    files: Files,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), Box<Finding>> {
        if depth > MAX_DEPTH {
            let message = format!("folders are nested deeper than {MAX_DEPTH} levels");
            return Err(Box::new(Finding::file_error(prefix, message)));
        }
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            // A name that is not UTF-8 can name no branch.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let hidden = name.starts_with('.');
            let path = match prefix {
                "" => name,
                prefix => format!("{prefix}/{name}"),
            };
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&entry.path(), &error))?;
            if kind.is_dir() {
                // `.git` and the like: nothing in there is read, however much it is.
                if !hidden {
                    self.folder(&entry.path(), &path, depth + 1)?;
                }
                continue;
            }
            let text = match is_branch_file(&path) {
                true => self.text(&entry.path(), kind.is_file()),
                false => Ok(String::new()),
            };
            self.files.insert(path, text);
            if self.files.len() > MAX_FILES {
                let message = format!("holds more than {MAX_FILES} files");
                let root = self.root.display().to_string();
                return Err(Box::new(Finding::file_error(root, message)));
            }
        }
        Ok(())
    }

    fn text(&self, path: &Path, is_plain: bool) -> Result<String, String> {
        if is_plain {
            return read_file(path);
        }
        let target = path
            .canonicalize()
            .map_err(|error| format!("cannot be read: {error}"))?;
        if !target.starts_with(&self.root) {
            return Err("is a link that leads out of the configuration directory".to_owned());
        }
        match target.is_file() {
            true => read_file(&target),
            false => Err("is not a file".to_owned()),
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Finding> {
    let message = format!("cannot be read: {error}");
    Box::new(Finding::file_error(path.display().to_string(), message))
}
