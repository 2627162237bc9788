//! Into a container, as tar streams. Works before it is started: Docker then mounts its file system
//! and volumes for the time of the upload (tried on 20.10).

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autobuilder_runner::protocol::{JOB, Job, PROGRAM};
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tar::{Builder, EntryType, Header};
use tokio::sync::{mpsc, watch};

use super::connection::Docker;
use super::error::{DockerError, within};

/// The runner, as build.rs compiled it for this target.
static RUNNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runner"));

/// The tar is made in pieces of this size, of which so many wait to be sent: disk and network both
/// have something to do, and an upload takes half a MiB of memory.
const PIECE: usize = 64 * 1024;
const PIECES_AHEAD: usize = 8;

/// What goes into a container.
pub enum Upload {
    /// The runner and its job. The job's secrets are in no place but the file, which the runner
    /// removes when it has read it.
    Job(Job),
    /// A folder's content, at an absolute path, which is made if it is not there. Modes and times
    /// are kept, symlinks stay links and are never followed, everything belongs to root. What is
    /// no file, folder or link (a socket, say) is left out.
    Folder { from: PathBuf, to: String },
}

impl Docker {
    /// Puts all this into a container that is not started yet, later ones over earlier ones. In
    /// one request: for each, Docker mounts the container's file system and its volumes anew,
    /// which took 45 ms on 20.10.
    ///
    /// # Errors
    /// `Settings` for a job that no program could be given; `File` if a folder cannot be read;
    /// `NotFound`, `Unreachable`, `Stalled`, `Refused`.
    pub async fn upload(&self, id: &str, uploads: Vec<Upload>) -> Result<(), DockerError> {
        let parts = uploads
            .into_iter()
            .map(Part::of)
            .collect::<Result<Vec<_>, _>>()?;
        self.send_tar(id, move |tar| {
            parts.iter().try_for_each(|part| part.append(tar))
        })
        .await
    }

    /// Sends the tar that `make` writes, to be unpacked at `/`.
    async fn send_tar(
        &self,
        id: &str,
        make: impl FnOnce(&mut Builder<Pieces>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), DockerError> {
        let engine = self.engine()?;
        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        let (moved, movement) = watch::channel(());
        let maker = tokio::task::spawn_blocking(move || {
            let mut tar = Builder::new(Pieces {
                filling: BytesMut::with_capacity(PIECE),
                pieces,
            });
            make(&mut tar).and_then(|()| tar.into_inner()?.finish())
        });
        // The engine sees the body end only where the tar is whole: on an error in the middle the
        // stream ends with one too, and the request is broken off.
        let body = stream::unfold((received, moved), |(mut received, moved)| async move {
            let piece: io::Result<Bytes> = received.recv().await?;
            moved.send_replace(());
            Some((piece, (received, moved)))
        });
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let sent = engine.upload_to_container(id, Some(options), bollard::body_try_stream(body));
        let sent = while_moving(sent, movement, self.patience().stall).await;
        // The channel is gone by now, so the maker ends at the latest with its next piece.
        let made = maker
            .await
            .map_err(|error| DockerError::Nonsense(error.to_string()))?;
        match (made, sent) {
            // A maker that cannot send only echoes what went wrong with the request.
            (Err(error), Ok(_) | Err(_)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(DockerError::File {
                    doing: "reading what is to be uploaded".to_owned(),
                    error,
                })
            }
            (_, sent) => Ok(sent??),
        }
    }
}

/// An [`Upload`] that is checked and ready for a tar, whose paths are relative to `/`.
enum Part {
    Job(Vec<u8>),
    Folder { from: PathBuf, inside: PathBuf },
}

impl Part {
    fn of(upload: Upload) -> Result<Self, DockerError> {
        match upload {
            Upload::Job(job) => job.encode().map(Self::Job).map_err(|error| {
                DockerError::Settings(format!("the build's environment: {error}"))
            }),
            Upload::Folder { from, to } => {
                let inside = PathBuf::from(to.trim_start_matches('/'));
                Ok(Self::Folder { from, inside })
            }
        }
    }

    fn append(&self, tar: &mut Builder<impl Write>) -> io::Result<()> {
        let job = match self {
            Self::Folder { from, inside } => return append_folder(tar, from, inside),
            Self::Job(job) => job,
        };
        for (path, mode, bytes) in [(PROGRAM, 0o755, RUNNER), (JOB, 0o600, job)] {
            let mut header = header(EntryType::Regular, mode, now());
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path.trim_start_matches('/'), bytes)?;
        }
        Ok(())
    }
}

/// Waits for `work` as long as `movement` tells of some now and then.
async fn while_moving<T>(
    work: impl Future<Output = T>,
    mut movement: watch::Receiver<()>,
    stall: Duration,
) -> Result<T, DockerError> {
    let doing = "take an upload";
    tokio::pin!(work);
    let mut deadline = tokio::time::Instant::now() + stall;
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep_until(deadline) => return Err(DockerError::Stalled { doing, after: stall }),
            moved = movement.changed() => {
                deadline = tokio::time::Instant::now() + stall;
                if moved.is_err() {
                    // All is sent; the engine has the same time to say that it is unpacked.
                    return within(stall, doing, work).await;
                }
            }
        }
    }
}

/// Collects what the tar builder writes into pieces, and waits where the engine is slower.
struct Pieces {
    filling: BytesMut,
    pieces: mpsc::Sender<io::Result<Bytes>>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.filling, BytesMut::with_capacity(PIECE)).freeze();
        self.pieces
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn finish(mut self) -> io::Result<()> {
        self.send()
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.filling.len());
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

fn header(kind: EntryType, mode: u32, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn append_folder(tar: &mut Builder<impl Write>, folder: &Path, inside: &Path) -> io::Result<()> {
    let mut pending = vec![(folder.to_owned(), inside.to_owned())];
    while let Some((path, name)) = pending.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        let time = u64::try_from(metadata.mtime()).unwrap_or(0);
        let mode = metadata.mode() & 0o7777;
        if metadata.is_dir() {
            tar.append_data(
                &mut header(EntryType::Directory, mode, time),
                &name,
                io::empty(),
            )?;
            for entry in fs::read_dir(&path)? {
                let entry = entry?.file_name();
                pending.push((path.join(&entry), name.join(&entry)));
            }
        } else if metadata.is_symlink() {
            tar.append_link(
                &mut header(EntryType::Symlink, 0o777, time),
                &name,
                fs::read_link(&path)?,
            )?;
        } else if metadata.is_file() {
            let file = fs::File::open(&path)?;
            let mut header = header(EntryType::Regular, mode, time);
            header.set_size(metadata.len());
            tar.append_data(
                &mut header,
                &name,
                Exactly {
                    file,
                    left: metadata.len(),
                },
            )?;
        }
    }
    Ok(())
}

/// Reads as many bytes as the header has promised, or fails: a tar whose entry has another length
/// is a different tar from there on.
struct Exactly {
    file: fs::File,
    left: u64,
}

impl io::Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.file.read(&mut buffer[..room])?;
        if length == 0 && room > 0 {
            return Err(io::Error::other("a file became shorter while it was read"));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_stay_links_and_long_names_stay_whole() {
        let folder = tempfile::tempdir().unwrap();
        let long = "n".repeat(200);
        fs::create_dir_all(folder.path().join("deep").join(&long)).unwrap();
        let script = folder.path().join("deep").join(&long).join("build.sh");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        symlink("/etc/passwd", folder.path().join("link")).unwrap();
        symlink("x".repeat(300), folder.path().join("long-link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();

        let mut tar = Builder::new(Vec::new());
        append_folder(&mut tar, folder.path(), Path::new("app")).unwrap();
        let bytes = tar.into_inner().unwrap();

        let mut found = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                (entry.header().uid().unwrap(), entry.header().gid().unwrap()),
                (0, 0)
            );
            let link = entry.link_name().unwrap().map(|link| link.into_owned());
            let mode = entry.header().mode().unwrap();
            found.insert(
                entry.path().unwrap().into_owned(),
                (entry.header().entry_type(), mode, link),
            );
        }
        let script = &found[&Path::new("app/deep").join(&long).join("build.sh")];
        assert_eq!(script, &(EntryType::Regular, 0o755, None));
        assert_eq!(
            found[Path::new("app/link")].2.as_deref(),
            Some(Path::new("/etc/passwd"))
        );
        assert_eq!(
            found[Path::new("app/long-link")].2.as_deref(),
            Some(Path::new(&"x".repeat(300)))
        );
        assert!(!found.contains_key(Path::new("app/socket")));
    }
}
