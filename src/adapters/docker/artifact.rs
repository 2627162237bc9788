//! What a build leaves behind: one plain file, out of a container whose script may have made
//! anything of that name.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::archive::{Bounded, MOST_HEADERS};
use super::connection::Docker;
use super::error::DockerError;

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Why there is no artifact. All but the last two are the build's own fault.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// `found`: up to 20 names that are in the folder instead, folders with a slash.
    #[error("there is no {path}{}", describe(.found))]
    Missing { path: String, found: Vec<String> },
    #[error("{path} is {what}, not a regular file")]
    NotAFile { path: String, what: &'static str },
    #[error("{path} is larger than the limit of {max} bytes")]
    TooLarge { path: String, max: u64 },
    /// A tar stream that no Docker engine sends.
    #[error("{path} cannot be taken: {reason}")]
    Malformed { path: String, reason: String },
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// Of our own disk.
    #[error("the artifact cannot be kept: {0}")]
    Disk(#[source] std::io::Error),
}

fn describe(found: &[String]) -> String {
    if found.is_empty() {
        return "; the folder is empty".to_owned();
    }
    format!("; the folder holds {}", found.join(", "))
}

impl Docker {
    /// Fetches `name` below the folder `archives`, and writes it to `into`, synced to disk. On any
    /// error there is nothing at `into` that was not there before.
    ///
    /// Docker resolves links in a path, within the container, but not a path's last part. So each
    /// part below `archives` is looked at: none may be a link.
    ///
    /// # Errors
    /// [`ArtifactError`]; of Docker's: `NotFound`, `Unreachable`, `Stalled`, `Nonsense`.
    pub async fn fetch_artifact(
        &self,
        id: &str,
        archives: &str,
        name: &str,
        into: &Path,
        max_bytes: u64,
    ) -> Result<Fetched, ArtifactError> {
        let path = format!("{}/{name}", archives.trim_end_matches('/'));
        self.check_way(id, archives, name, max_bytes).await?;
        let (into, asked) = (into.to_owned(), path.clone());
        self.read_archive(id, &path, move |stream| {
            take(stream, &asked, &into, max_bytes)
        })
        .await
    }

    /// Looks at each part of the way and at the file, before anything is sent.
    async fn check_way(
        &self,
        id: &str,
        archives: &str,
        name: &str,
        max: u64,
    ) -> Result<(), ArtifactError> {
        let mut path = archives.trim_end_matches('/').to_owned();
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            if matches!(part, "" | "." | "..") {
                let reason = "it is no plain name".to_owned();
                return Err(ArtifactError::Malformed {
                    path: format!("{path}/{part}"),
                    reason,
                });
            }
            let below = format!("{path}/{part}");
            let folder = std::mem::replace(&mut path, below);
            let options = ContainerArchiveInfoOptionsBuilder::new()
                .path(&path)
                .build();
            let engine = self.engine()?;
            let stat = engine.get_container_archive_info(id, Some(options));
            let stat = match self.answer("tell of a file in a container", stat).await {
                Ok(stat) => stat,
                Err(error) => return Err(self.missing(id, &folder, &path, error).await),
            };
            match (kind(stat.file_mode), parts.peek().is_some()) {
                (FOLDER, true) => {}
                (FILE, false) if u64::try_from(stat.size).is_ok_and(|size| size <= max) => {}
                (FILE, false) => return Err(ArtifactError::TooLarge { path, max }),
                (FILE, true) => {
                    return Err(self
                        .missing(
                            id,
                            &folder,
                            &format!("{path}/"),
                            DockerError::NotFound(String::new()),
                        )
                        .await);
                }
                (what, _) => return Err(ArtifactError::NotAFile { path, what }),
            }
        }
        Ok(())
    }

    /// `error` as it is, unless it says that there is no such file: then with what is there.
    async fn missing(
        &self,
        id: &str,
        folder: &str,
        path: &str,
        error: DockerError,
    ) -> ArtifactError {
        if !matches!(error, DockerError::NotFound(_)) {
            return error.into();
        }
        // Docker answers 404 for a container that is gone, too.
        match self.inspect(id).await {
            Ok(Some(_)) => {}
            Ok(None) => return error.into(),
            Err(error) => return error.into(),
        }
        // The names are a help, not the answer; a container that was killed cannot say them.
        let listed = self
            .ask_runner(id, &["list", folder], self.patience().stall)
            .await
            .unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed);
        // A name may hold line breaks and escape sequences, and this goes into a sentence.
        let found = listed
            .split_terminator('\0')
            .map(|name| name.escape_debug().to_string())
            .collect();
        ArtifactError::Missing {
            path: path.to_owned(),
            found,
        }
    }
}

const FILE: &str = "a regular file";
const FOLDER: &str = "a folder";
const LINK: &str = "a symbolic link";
const DEVICE: &str = "a device";
const PIPE: &str = "a pipe";
const SOCKET: &str = "a socket";

/// The engine describes files by the bits of Go's os.FileMode, whose values its documentation fixes.
fn kind(mode: u32) -> &'static str {
    const KINDS: [(u32, &str); 6] = [
        (1 << 31, FOLDER),
        (1 << 27, LINK),
        (1 << 26, DEVICE),
        (1 << 25, PIPE),
        (1 << 24, SOCKET),
        (1 << 19, DEVICE),
    ];
    KINDS
        .iter()
        .find(|(bit, _)| mode & bit != 0)
        .map_or(FILE, |(_, kind)| kind)
}

/// A file is followed by what fills its last block, and two blocks of zeros.
const BLOCK: u64 = 512;
/// Some programs fill up more than that.
const MOST_END: u64 = 64 * 1024;

/// Takes one plain file out of a tar stream. Nothing that the stream says about names reaches our
/// file system, and none of its extensions but the file's name and size is heeded.
pub(super) fn take(
    stream: impl Read,
    path: &str,
    into: &Path,
    max: u64,
) -> Result<Fetched, ArtifactError> {
    let malformed = |reason: String| ArtifactError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let unreadable = |error: std::io::Error| malformed(format!("a tar stream: {error}"));
    let left = Cell::new(MOST_HEADERS);
    let mut archive = tar::Archive::new(Bounded::new(stream, &left));
    let mut entries = archive.entries().map_err(unreadable)?;
    let Some(entry) = entries.next() else {
        return Err(malformed("the stream is empty".to_owned()));
    };
    let mut entry = entry.map_err(unreadable)?;
    let what = match entry.header().entry_type() {
        EntryType::Regular => FILE,
        EntryType::Directory => FOLDER,
        EntryType::Symlink => LINK,
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => DEVICE,
        EntryType::Fifo => PIPE,
        _ => "of a kind that is not known",
    };
    if what != FILE {
        return Err(ArtifactError::NotAFile {
            path: path.to_owned(),
            what,
        });
    }
    if entry.path_bytes().as_ref()
        != Path::new(path)
            .file_name()
            .unwrap_or_default()
            .as_encoded_bytes()
    {
        return Err(malformed("the stream holds another name".to_owned()));
    }
    for extension in entry
        .pax_extensions()
        .map_err(unreadable)?
        .into_iter()
        .flatten()
    {
        let extension = extension.map_err(unreadable)?;
        if extension.key_bytes().starts_with(b"GNU.sparse") {
            return Err(malformed("the stream holds a file with holes".to_owned()));
        }
    }
    // An extension says the size where the header has no room for it, and then that says 0.
    let (size, own_size) = (entry.size(), entry.header().entry_size());
    let own_size = own_size.map_err(unreadable)?;
    if own_size != size && own_size != 0 {
        return Err(malformed("the stream tells two sizes of it".to_owned()));
    }
    if size > max {
        return Err(ArtifactError::TooLarge {
            path: path.to_owned(),
            max,
        });
    }

    left.set(size);
    let folder = into.parent().map_or_else(PathBuf::new, Path::to_owned);
    let draft = tempfile::Builder::new()
        .prefix(".fetching-")
        .tempfile_in(&folder)
        .map_err(ArtifactError::Disk)?;
    let mut file = draft.as_file();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut taken = 0;
    loop {
        let length = entry.read(&mut buffer).map_err(unreadable)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        file.write_all(&buffer[..length])
            .map_err(ArtifactError::Disk)?;
        taken += length as u64;
    }
    if taken != size {
        return Err(malformed(format!("it ends after {taken} of {size} bytes")));
    }
    left.set(MOST_END);
    let filler = size.next_multiple_of(BLOCK) - size;
    if zeros(archive.into_inner()).map_err(unreadable)? < filler + 2 * BLOCK {
        return Err(malformed("the stream ends too early".to_owned()));
    }
    keep(draft, into, &folder).map_err(ArtifactError::Disk)?;
    Ok(Fetched {
        size,
        sha256: hex::encode(hash.finalize()),
    })
}

/// How many zeros there are until the end.
fn zeros(mut stream: impl Read) -> std::io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if buffer[..length].iter().any(|byte| *byte != 0) {
            return Err(std::io::Error::other("it goes on after the file"));
        }
        if length == 0 {
            return Ok(count);
        }
        count += length as u64;
    }
}

/// Durable, under its name: the file first, then the folder that names it.
fn keep(draft: tempfile::NamedTempFile, into: &Path, folder: &Path) -> std::io::Result<()> {
    draft.as_file().sync_all()?;
    draft.persist(into)?;
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}
