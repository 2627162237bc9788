//! The files of a commit, read from the mirror without a checkout.
//!
//! Two runs of git do it, however many files there are: one lists them with their sizes, so that
//! nothing is asked for that would not be kept, and one gives the contents. A tree can be made
//! that lists billions of files in a few objects; git is ended where it lists too many.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use super::{Git, GitError, Progress};
use crate::domain::names::{CommitSha, RepositoryName};

/// How much is read of a commit.
#[derive(Debug, Clone, Copy)]
pub struct TreeLimits {
    /// More files than this are an error.
    pub files: usize,
    /// Bytes; a larger file is [`Content::TooLarge`].
    pub file_bytes: usize,
    /// Bytes; more of them in all wanted files together are an error.
    pub all_bytes: usize,
}

/// What a commit has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file that nobody wanted.
    Unread,
    File(Vec<u8>),
    /// A file above [`TreeLimits::file_bytes`].
    TooLarge,
    /// A symbolic link, which is not followed.
    Link,
    Submodule,
}

type Tree = BTreeMap<String, Content>;

/// One line of the list: mode, type, object and size, then a path of up to 250 bytes.
const LISTED_BYTES: usize = 320;

/// Of the list of a commit that is checked out: a million files.
const MOST_LISTED: usize = 128 * 1024 * 1024;

/// What stands before each file's content: object, type and size.
const HEADER_BYTES: usize = 80;

impl Git {
    /// Every path of a commit, by its name, and the content of those that are `wanted`. A path
    /// that is not UTF-8 is left out. Fetches the commit if it is not here.
    ///
    /// # Errors
    ///
    /// All of [`GitError`], `TooLarge` among them.
    pub async fn files(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        wanted: fn(&str) -> bool,
        limits: TreeLimits,
        progress: Progress<'_>,
    ) -> Result<Tree, GitError> {
        let mirror = self.mirror(repository);
        let (held, found) = self
            .hold_with(repository, &mirror, commit, None, progress)
            .await?;
        let commit = &found;
        let read = || self.read_tree(repository, commit, &mirror.folder, wanted, limits);
        let failed = match read().await {
            Err(failed) => failed,
            Ok(tree) => return Ok(tree),
        };
        drop(held);
        self.begin_mirror_again(repository, failed, progress)
            .await?;
        let _held = self
            .hold_with(repository, &mirror, commit, None, progress)
            .await?;
        read().await
    }

    /// Refuses a commit whose files together are larger than so many bytes, or too many to list: a
    /// few objects can stand for billions of files. Fetches the commit if it is not here. What is
    /// broken is left to the checkout to find.
    ///
    /// # Errors
    ///
    /// All of [`GitError`], `TooLarge` among them.
    pub async fn check_size(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        most: u64,
        progress: Progress<'_>,
    ) -> Result<(), GitError> {
        let mirror = self.mirror(repository);
        let (held, commit) = self
            .hold_with(repository, &mirror, commit, None, progress)
            .await?;
        drop(held);
        let too_large = |how| GitError::TooLarge {
            repository: repository.clone(),
            commit: commit.clone(),
            how,
        };
        let listed = self
            .local("ls-tree")
            .inside(&mirror.folder)
            .args(["-r", "-z", "--long", "--full-tree", commit.as_str()])
            .at_most(MOST_LISTED)
            .output()
            .await?;
        if listed.is_cut {
            let most = bytesize::ByteSize(MOST_LISTED as u64);
            return Err(too_large(format!(
                "holds more files than are taken: their list is longer than {most}"
            )));
        }
        let entries = listed.stdout.split(|&byte| byte == 0);
        let bytes = entries.fold(0_u64, |bytes, entry| bytes.saturating_add(size_of(entry)));
        if bytes > most {
            let (bytes, most) = (bytesize::ByteSize(bytes), bytesize::ByteSize(most));
            return Err(too_large(format!(
                "holds files of {bytes}, more than builds.max_source ({most})"
            )));
        }
        Ok(())
    }

    async fn read_tree(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        mirror: &Path,
        wanted: fn(&str) -> bool,
        limits: TreeLimits,
    ) -> Result<Tree, GitError> {
        let too_large = |how| GitError::TooLarge {
            repository: repository.clone(),
            commit: commit.clone(),
            how,
        };
        let too_many = || too_large(format!("holds more than {} files", limits.files));
        let listed = self
            .local("ls-tree")
            .inside(mirror)
            .args(["-r", "-z", "--long", "--full-tree", commit.as_str()])
            .at_most(limits.files.saturating_mul(LISTED_BYTES))
            .output()
            .await?;
        if listed.is_cut {
            return Err(too_many());
        }
        if listed.code != Some(0) {
            return Err(listed.into_failure());
        }

        let mut tree = Tree::new();
        let mut blobs = Vec::new();
        let mut bytes = 0_usize;
        let entries = listed.stdout.split(|&byte| byte == 0);
        for (number, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            if number == limits.files {
                return Err(too_many());
            }
            let Ok(entry) = str::from_utf8(entry) else {
                continue;
            };
            let unreadable = || malformed(entry);
            let (facts, path) = entry.split_once('\t').ok_or_else(unreadable)?;
            let facts: Vec<&str> = facts.split_ascii_whitespace().collect();
            let [mode, kind, object, size] = facts[..] else {
                return Err(unreadable());
            };
            // git-fast-import(1), "filemodify", lists the modes there are.
            let content = match (mode, kind) {
                (_, "commit") => Content::Submodule,
                ("120000", _) => Content::Link,
                _ if !wanted(path) => Content::Unread,
                _ => {
                    // Where the object is missing, its size is "BAD".
                    let size: usize = size.parse().map_err(|_| missing(object))?;
                    if size <= limits.file_bytes {
                        bytes = bytes.saturating_add(size);
                        blobs.push(Blob {
                            path: path.to_owned(),
                            object: object.to_owned(),
                        });
                    }
                    Content::TooLarge
                }
            };
            tree.insert(path.to_owned(), content);
        }
        if bytes > limits.all_bytes {
            let most = bytesize::ByteSize(limits.all_bytes as u64);
            return Err(too_large(format!(
                "holds files of more than {most} to read"
            )));
        }
        self.read_blobs(mirror, blobs, bytes, &mut tree).await?;
        Ok(tree)
    }

    /// `bytes`: how large they are together.
    async fn read_blobs(
        &self,
        mirror: &Path,
        blobs: Vec<Blob>,
        bytes: usize,
        tree: &mut Tree,
    ) -> Result<(), GitError> {
        if blobs.is_empty() {
            return Ok(());
        }
        let asked = question(&blobs).map_err(|source| GitError::Io {
            action: "asking git for files".to_owned(),
            source,
        })?;
        let given = self
            .local("cat-file")
            .inside(mirror)
            .arg("--batch")
            .stdin(asked)
            .at_most(bytes + blobs.len() * HEADER_BYTES)
            .run()
            .await?;
        let mut rest = given.stdout.as_slice();
        for Blob { path, object } in blobs {
            let content = next_file(&mut rest, &object)?;
            tree.insert(path, Content::File(content.to_vec()));
        }
        Ok(())
    }
}

/// Of a line of the list; nothing for a submodule, or an object that is not here.
fn size_of(entry: &[u8]) -> u64 {
    let facts = entry
        .split(|&byte| byte == b'\t')
        .next()
        .unwrap_or_default();
    let mut words = str::from_utf8(facts)
        .unwrap_or_default()
        .split_ascii_whitespace();
    words.nth(3).and_then(|size| size.parse().ok()).unwrap_or(0)
}

/// A file that is wanted.
struct Blob {
    path: String,
    object: String,
}

/// The objects' names, a line for each, in memory: a pipe would need somebody to fill it while
/// the answer is read.
fn question(blobs: &[Blob]) -> io::Result<File> {
    let mut text = String::new();
    for blob in blobs {
        text.push_str(&blob.object);
        text.push('\n');
    }
    let mut file = File::from(memfd_create("objects", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Takes one answer off: `<object> blob <size>`, and the content on lines of its own. Of an
/// object that is not there, git says `<object> missing` (git-cat-file(1), "Batch output").
fn next_file<'a>(rest: &mut &'a [u8], object: &str) -> Result<&'a [u8], GitError> {
    let line_ends = memchr::memchr(b'\n', rest).ok_or_else(|| missing(object))?;
    let header = String::from_utf8_lossy(&rest[..line_ends]);
    let size = header
        .strip_prefix(object)
        .and_then(|facts| facts.strip_prefix(" blob "))
        .and_then(|size| size.parse::<usize>().ok())
        .ok_or_else(|| missing(object))?;
    let after = &rest[line_ends + 1..];
    let content = after.get(..size).ok_or_else(|| missing(object))?;
    *rest = after.get(size + 1..).unwrap_or_default();
    Ok(content)
}

/// In the words by which damage is known.
fn missing(object: &str) -> GitError {
    GitError::Failed {
        command: "git cat-file".to_owned(),
        stderr: format!("missing blob {object}"),
    }
}

fn malformed(entry: &str) -> GitError {
    GitError::Failed {
        command: "git ls-tree".to_owned(),
        stderr: format!("it listed {entry:?}, which cannot be read"),
    }
}
