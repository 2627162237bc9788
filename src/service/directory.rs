//! The data directory and who owns it.
//!
//! ```text
//! autobuilder.sqlite   builds, pushes, statuses
//! builds/<id>/         log, log.index (or log.zst), artifacts/
//! mirrors/             git
//! tmp/                 what is on its way; emptied at the start
//! api-token            where the service file names none
//! session-key          seals the sessions of browsers, together with the token
//! hub-token            the hub's token, renewed
//! lock                 held by the running service
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::names::BuildId;
use crate::domain::room;
use crate::domain::token::TokenHash;
use crate::store::{Store, StoreError};

const DATABASE: &str = "autobuilder.sqlite";

/// Held for as long as it lives.
#[derive(Debug)]
pub struct DataDirectory {
    root: PathBuf,
    temporary: PathBuf,
    _lock: File,
}

/// Removed when dropped, by a thread that may block: a checkout has many files, and the threads of
/// the runtime serve everyone.
#[derive(Debug)]
pub struct TemporaryFolder(Option<tempfile::TempDir>);

impl TemporaryFolder {
    pub fn path(&self) -> &Path {
        self.0.as_ref().expect("it is there until dropped").path()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let folder = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(folder));
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(
        "data directory {0}: another autobuilder (process {1}) uses it; stop that one, or give this one another data_directory"
    )]
    InUse(PathBuf, String),
    #[error("data directory {0}: no service has used it yet; there is nothing in it")]
    Unused(PathBuf),
    #[error("data directory {}: {}", folder.display(), room::in_words(source, folder))]
    Io { folder: PathBuf, source: io::Error },
    #[error("data directory {0}: {1}")]
    Database(PathBuf, StoreError),
}

/// Our folder among others' temporary files.
const TEMPORARY: &str = "autobuilder";

/// A child of a killed service holds its lock, too, until it has become another program.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How the names begin of folders that hold what it was.
const OLD: &str = "autobuilder.old-";

/// Empties our temporary folder. A git that has outlived a killed service may still write into it:
/// so it is moved first, and what cannot be removed now is removed by a later start.
fn put_aside(folder: &Path) -> io::Result<()> {
    let aside = tempfile::Builder::new().prefix(OLD).tempdir_in(folder)?;
    match fs::rename(folder.join(TEMPORARY), aside.keep().join(TEMPORARY)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(OLD)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::info!(folder = %entry.path().display(), %error, "an old temporary folder stays until the next start");
        }
    }
    Ok(())
}

impl DataDirectory {
    /// Makes the folders that are missing and empties the temporary one.
    ///
    /// # Errors
    /// [`DirectoryError::InUse`] while another process holds it; [`DirectoryError::Database`] of a
    /// newer release, in whose directory nothing is changed.
    pub fn open(root: &Path, temporary: &Path) -> Result<Self, DirectoryError> {
        let failed = |source| DirectoryError::Io {
            folder: root.to_owned(),
            source,
        };
        fs::create_dir_all(root).map_err(failed)?;
        let lock = lock(root, LOCK_PATIENCE)?;
        refuse_newer(root)?;
        fs::create_dir_all(temporary).map_err(failed)?;
        put_aside(temporary).map_err(failed)?;
        let temporary = temporary.join(TEMPORARY);
        for folder in [&root.join("builds"), &root.join("mirrors"), &temporary] {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder);
            made.and_then(|()| close_to_others(folder, 0o700))
                .map_err(|source| DirectoryError::Io {
                    folder: folder.clone(),
                    source,
                })?;
        }
        Ok(Self {
            root: root.to_owned(),
            temporary,
            _lock: lock,
        })
    }

    /// Holds a directory that a service has used, and leaves everything in it as it is.
    ///
    /// # Errors
    /// As [`Self::open`]; [`DirectoryError::Unused`].
    pub fn open_as_it_is(root: &Path, temporary: &Path) -> Result<Self, DirectoryError> {
        if !root.join(DATABASE).exists() {
            return Err(DirectoryError::Unused(root.to_owned()));
        }
        let lock = lock(root, LOCK_PATIENCE)?;
        refuse_newer(root)?;
        Ok(Self {
            root: root.to_owned(),
            temporary: temporary.join(TEMPORARY),
            _lock: lock,
        })
    }

    pub fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    pub fn mirrors(&self) -> PathBuf {
        self.root.join("mirrors")
    }

    /// What is on its way, of all builds.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// A new folder for what a build needs for a while; removed when dropped.
    pub fn temporary_folder(&self, build: &BuildId) -> io::Result<TemporaryFolder> {
        tempfile::Builder::new()
            .prefix(&format!("{build}-"))
            .tempdir_in(&self.temporary)
            .map(|folder| TemporaryFolder(Some(folder)))
    }

    /// Where a build's download is spooled. Not made.
    pub fn temporary_file(&self, build: &BuildId) -> PathBuf {
        self.temporary.join(format!("{build}.artifact"))
    }

    /// Where the hub's token is kept once it was renewed. Not made.
    pub fn hub_token(&self) -> PathBuf {
        self.root.join("hub-token")
    }

    /// Of the token that lets the local CLI change things; made at the first start.
    pub fn api_token(&self) -> io::Result<TokenHash> {
        self.made_once("api-token")
            .map(|token| TokenHash::of(&token))
    }

    /// What sessions are sealed with, together with the token; made at the first start. The hash of
    /// a token may lie where others read it.
    pub fn session_key(&self) -> io::Result<String> {
        self.made_once("session-key")
    }

    /// What a file holds; without one, it is made of random bits.
    fn made_once(&self, name: &str) -> io::Result<String> {
        let file = self.root.join(name);
        match fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let text = random_token()?;
        // For this user only, and whole or not at all.
        let mut fresh = tempfile::NamedTempFile::new_in(&self.root)?;
        writeln!(fresh, "{text}")?;
        fresh.as_file().sync_all()?;
        fresh.persist(&file)?;
        Ok(text)
    }
}

/// 48 hexadecimal digits that nobody guesses.
pub fn random_token() -> io::Result<String> {
    let mut bits = [0_u8; 24];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    Ok(hex::encode(bits))
}

/// Takes from a file or folder whatever others on this machine may do with it: logs, sources and
/// artifacts of private repositories are in there.
fn close_to_others(path: &Path, most: u32) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let mode = permissions.mode() & 0o7777;
    match mode & most {
        same if same == mode => Ok(()),
        less => fs::set_permissions(path, PermissionsExt::from_mode(less)),
    }
}

fn refuse_newer(root: &Path) -> Result<(), DirectoryError> {
    Store::refuse_newer(&root.join(DATABASE))
        .map_err(|error| DirectoryError::Database(root.to_owned(), error))
}

fn lock(root: &Path, patience: Duration) -> Result<File, DirectoryError> {
    let failed = |source| DirectoryError::Io {
        folder: root.to_owned(),
        source,
    };
    let mut lock = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(root.join("lock"))
        .map_err(failed)?;
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = lock.read_to_string(&mut owner);
                return Err(DirectoryError::InUse(
                    root.to_owned(),
                    owner.trim().to_owned(),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    lock.set_len(0).map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_read_what_is_private_and_what_others_serve_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let open_to_all = || PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open_to_all()).unwrap();
        let temporary = folder.path().join("tmp");
        let private = ["builds", "mirrors", "tmp/autobuilder"].map(|name| folder.path().join(name));
        // As an earlier release has made them.
        for name in ["builds", "binaries"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::set_permissions(folder.path().join(name), open_to_all()).unwrap();
        }
        DataDirectory::open(folder.path(), &temporary).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(private.each_ref().map(|path| mode(path)), [0o700; 3]);
        assert_eq!(mode(folder.path()), 0o755);
        assert_eq!(mode(&folder.path().join("binaries")), 0o755);
    }

    #[test]
    fn a_second_owner_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        let first = DataDirectory::open(folder.path(), &temporary).unwrap();
        let error = DataDirectory::open(folder.path(), &temporary)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        DataDirectory::open(folder.path(), &temporary).unwrap();
    }

    #[test]
    fn what_a_killed_owner_has_left_behind_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        let first = DataDirectory::open(folder.path(), &temporary).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("0.3")
            .stdin(first._lock.try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(first);
        assert!(lock(folder.path(), Duration::ZERO).is_err(), "it is held");
        DataDirectory::open(folder.path(), &temporary).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn what_was_on_its_way_is_gone_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        let directory = DataDirectory::open(folder.path(), &temporary).unwrap();
        let spool = directory.temporary_file(&BuildId::from_random(1));
        fs::write(&spool, "half an artifact").unwrap();
        drop(directory);
        DataDirectory::open(folder.path(), &temporary).unwrap();
        assert!(!spool.exists());
    }

    #[test]
    fn whoever_still_writes_there_keeps_nobody_from_starting() {
        use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        let directory = DataDirectory::open(folder.path(), &temporary).unwrap();
        let build = directory
            .temporary_folder(&BuildId::from_random(1))
            .unwrap();
        // By the folder itself, wherever it is moved, as a process does that works in it.
        let inside = File::open(build.path()).unwrap();
        let (written, ended) = (AtomicU32::new(0), AtomicBool::new(false));
        drop(directory);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0.. {
                    let name = format!("{number}");
                    written.store(number, Ordering::Relaxed);
                    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
                    let made = rustix::fs::openat(&inside, name, flags, rustix::fs::Mode::RWXU);
                    if made.is_err() || ended.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            // Enough that removing them takes longer than writing another.
            while written.load(Ordering::Relaxed) < 3000 {
                std::thread::yield_now();
            }
            let opened = DataDirectory::open(folder.path(), &temporary);
            ended.store(true, Ordering::Relaxed);
            assert!(opened.is_ok(), "{opened:?}");
        });
        let left = fs::read_dir(&temporary).unwrap().count();
        DataDirectory::open(folder.path(), &temporary).unwrap();
        let names = fs::read_dir(&temporary)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [TEMPORARY], "of {left}");
    }

    #[test]
    fn what_is_held_as_it_is_was_used_before_and_keeps_what_was_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        let hold = || DataDirectory::open_as_it_is(folder.path(), &temporary);
        assert!(matches!(hold(), Err(DirectoryError::Unused(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let directory = DataDirectory::open(folder.path(), &temporary).unwrap();
        fs::write(directory.database(), "").unwrap();
        let spool = directory.temporary_file(&BuildId::from_random(1));
        fs::write(&spool, "half an artifact").unwrap();
        assert!(matches!(hold(), Err(DirectoryError::InUse(..))));
        drop(directory);
        let directory = hold().unwrap();
        assert!(spool.starts_with(directory.temporary()) && spool.exists());
    }

    #[test]
    fn the_token_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(folder.path(), &folder.path().join("tmp")).unwrap();
        let hash = directory.api_token().unwrap();
        assert_eq!(directory.api_token().unwrap(), hash);
        let key = directory.session_key().unwrap();
        assert_eq!(directory.session_key().unwrap(), key);
        let read = |name: &str| {
            let file = folder.path().join(name);
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            fs::read_to_string(file).unwrap()
        };
        let token = read("api-token");
        assert_eq!(token.trim().len(), 48);
        assert!(hash.is_of(token.trim()));
        assert_eq!(read("session-key").trim(), key);
        assert_ne!(token.trim(), key);
    }
}
