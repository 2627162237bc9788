//! The mirrors: bare repositories with the branches and tags of those they mirror.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::command::{GitCommand, Output};
use super::{Git, GitError, Progress};
use crate::domain::names::{CommitSha, GitRef, RepositoryName};

/// A mirror's HEAD names no branch that exists, so that a clone of it begins without one.
const NO_BRANCH: &str = "@none";

/// What git says of a repository in which something is missing or broken. A file or a branch may be
/// called that, too: so git is asked before anything is thrown away.
const DAMAGE: [&str; 11] = [
    "corrupt",
    "bad object",
    "missing object",
    "missing blob",
    "unable to read",
    "invalid object",
    "is empty",
    "did not send all necessary objects",
    "not a git repository",
    "inflate: data stream error",
    "SHA1 COLLISION",
];

/// What the log of a build says of a mirror that was damaged.
pub(super) const DAMAGED: &str = "the mirror is damaged, fetching all of it again";

/// A mirror in which git found nothing wrong is not looked through again for so long, whatever is
/// said of it: in a large one that takes minutes.
const WHOLE_FOR: Duration = Duration::from_secs(3600);

/// By these bits of its exit code git-fsck says that something reachable is missing, and that a pack
/// is broken. Others are about objects that somebody made badly, which fetching again does not mend.
const FSCK_DAMAGE: i32 = 2 | 4;

/// With this or more git says that it cannot even look.
const FATAL: i32 = 128;

/// After it could not be tidied, a mirror is left as it is for so long: it takes as long again.
const TIDIED_IN_VAIN: Duration = Duration::from_secs(24 * 3600);

/// How often it is looked whether a git that outlived an earlier service has ended.
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Mirror {
    pub folder: PathBuf,
    lock: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Every command that could write has ended by itself, so that nothing is half done.
    is_clean: bool,
    /// When it could not be tidied.
    tidied_in_vain: Option<Instant>,
    /// When git looked it through and found nothing wrong.
    found_whole: Option<Instant>,
}

/// A mirror that nobody else changes while this lives.
///
/// Within the process a mutex sees to that. Beyond it, a lock on a file does, which git
/// inherits as its standard input: a git that outlives a killed service keeps the lock until
/// it ends, and its successor does not work beside it.
pub(super) struct Held<'a> {
    git: &'a Git,
    repository: &'a RepositoryName,
    pub folder: &'a Path,
    state: MutexGuard<'a, State>,
    lock: File,
}

impl Git {
    /// Fetches what is new in a repository, whether it is needed or not.
    #[cfg(test)]
    pub async fn update(
        &self,
        repository: &RepositoryName,
        progress: Progress<'_>,
    ) -> Result<(), GitError> {
        let mirror = self.mirror(repository);
        self.hold(repository, &mirror)
            .await?
            .refresh(progress)
            .await
    }

    /// Tidies a mirror where that is due: packs are joined, what no branch reaches goes after
    /// two weeks. May take minutes, of a large one an hour, during which the repository's builds
    /// wait: for a quiet moment. Nothing is done where there is no mirror yet, and for a day after
    /// it failed.
    pub async fn maintain(&self, repository: &RepositoryName) -> Result<(), GitError> {
        let mirror = self.mirror(repository);
        if !mirror.folder.exists() {
            return Ok(());
        }
        let mut held = self.hold(repository, &mirror).await?;
        let failed = held.state.tidied_in_vain;
        if failed.is_some_and(|failed| failed.elapsed() < TIDIED_IN_VAIN) {
            return Ok(());
        }
        // Unless it comes to its end.
        held.state.tidied_in_vain = Some(Instant::now());
        let command = self
            .local("gc")
            .timeout(self.shared.settings.tidying_timeout)
            .inside(held.folder)
            .setting("gc.auto", "2000")
            .setting("gc.autoPackLimit", "20")
            .args(["--auto", "--quiet"]);
        let output = held.write(command).await?;
        match output.code {
            Some(0) => {
                held.state.tidied_in_vain = None;
                Ok(())
            }
            _ => Err(output.into_failure()),
        }
    }

    /// Removes what a command left in the mirror that nobody waited for.
    pub async fn clear(&self, repository: &RepositoryName) -> Result<(), GitError> {
        let mirror = self.mirror(repository);
        self.hold(repository, &mirror).await.map(drop)
    }

    /// Waits until nobody works on the mirror, for who holds something that others want meanwhile.
    pub async fn idle(&self, repository: &RepositoryName) {
        let mirror = self.mirror(repository);
        drop(mirror.state.lock().await);
    }

    /// The repositories of which there is a mirror.
    pub async fn mirrored(&self) -> Result<Vec<RepositoryName>, GitError> {
        let folder = self.shared.settings.mirrors.clone();
        let listed = tokio::task::spawn_blocking(move || list(&folder)).await;
        listed
            .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            .map_err(|source| GitError::Io {
                action: "listing the mirrors".to_owned(),
                source,
            })
    }

    /// Removes a mirror. It is fetched again when it is needed.
    pub async fn remove(&self, repository: &RepositoryName) -> Result<(), GitError> {
        let mirror = self.mirror(repository);
        if !mirror.folder.exists() {
            return Ok(());
        }
        let mut held = self.hold(repository, &mirror).await?;
        held.state.is_clean = false;
        tokio::fs::remove_dir_all(held.folder)
            .await
            .map_err(|source| GitError::Io {
                action: format!("removing the mirror of {repository}"),
                source,
            })
    }

    /// Throws a mirror away, if what failed is its fault: whoever holds it lets it go first. Else it
    /// failed for what it says.
    pub(super) async fn begin_mirror_again(
        &self,
        repository: &RepositoryName,
        failed: GitError,
        progress: Progress<'_>,
    ) -> Result<(), GitError> {
        let mirror = self.mirror(repository);
        let mut held = self.hold(repository, &mirror).await?;
        held.begin_again(failed, progress).await
    }

    pub(super) fn mirror(&self, repository: &RepositoryName) -> Arc<Mirror> {
        let mut mirrors = self
            .shared
            .mirrors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mirror = mirrors.entry(repository.clone()).or_insert_with(|| {
            let owner = self.shared.settings.mirrors.join(repository.owner());
            Arc::new(Mirror {
                folder: owner.join(format!("{}.git", repository.name())),
                lock: owner.join(format!("{}.lock", repository.name())),
                state: Mutex::default(),
            })
        });
        Arc::clone(mirror)
    }

    /// Waits until nobody else works on the mirror, and makes sure that there is one.
    pub(super) async fn hold<'a>(
        &'a self,
        repository: &'a RepositoryName,
        mirror: &'a Mirror,
    ) -> Result<Held<'a>, GitError> {
        let state = mirror.state.lock().await;
        let opening = |source| GitError::Io {
            action: format!("opening the mirror of {repository}"),
            source,
        };
        fs::create_dir_all(&mirror.folder).map_err(opening)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&mirror.lock)
            .map_err(opening)?;
        let patience = self.shared.settings.network_timeout;
        let since = Instant::now();
        while let Err(error) = lock.try_lock() {
            match error {
                fs::TryLockError::Error(source) => return Err(opening(source)),
                fs::TryLockError::WouldBlock if since.elapsed() > patience => {
                    return Err(GitError::TimedOut {
                        command: format!("waiting for the mirror of {repository}"),
                        after: patience,
                    });
                }
                fs::TryLockError::WouldBlock => tokio::time::sleep(LOCK_POLL).await,
            }
        }

        let mut held = Held {
            git: self,
            repository,
            folder: &mirror.folder,
            state,
            lock,
        };
        if !held.state.is_clean {
            held.tidy().await?;
            held.init().await?;
        }
        Ok(held)
    }

    /// Makes sure that a commit is in the mirror, with the tag that was pushed. Asks the server
    /// only when it is not there. `commit` may name an annotated tag; the commit is returned.
    pub(super) async fn hold_with<'a>(
        &'a self,
        repository: &'a RepositoryName,
        mirror: &'a Mirror,
        commit: &CommitSha,
        git_ref: Option<&GitRef>,
        progress: Progress<'_>,
    ) -> Result<(Held<'a>, CommitSha), GitError> {
        let mut held = self.hold(repository, mirror).await?;
        if let Some(found) = held.find(commit).await?
            && held.has_tag(git_ref, &found).await?
        {
            return Ok((held, found));
        }
        held.refresh(progress).await?;
        if let Some(found) = held.find(commit).await? {
            return Ok((held, found));
        }
        held.fetch_commit(commit, progress).await?;
        match held.find(commit).await? {
            Some(found) => Ok((held, found)),
            None => Err(held.gone(commit)),
        }
    }
}

impl Held<'_> {
    /// Removes what a git left behind that was killed, or came to the end of the disk.
    async fn tidy(&self) -> Result<(), GitError> {
        let folder = self.folder.to_owned();
        let cleared = tokio::task::spawn_blocking(move || clear_leftovers(&folder, false)).await;
        cleared
            .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            .map_err(|source| GitError::Io {
                action: format!("tidying the mirror of {}", self.repository),
                source,
            })
    }

    /// Begins a mirror, or leaves one as it is.
    async fn init(&mut self) -> Result<(), GitError> {
        let command = self
            .git
            .local("init")
            .args(["--bare", "--quiet", "--template="])
            .arg(format!("--initial-branch={NO_BRANCH}"))
            .arg("--end-of-options")
            .arg(self.folder);
        let output = self.write(command).await?;
        match output.code {
            Some(0) => Ok(()),
            _ => Err(output.into_failure()),
        }
    }

    /// Throws the mirror away and begins it again, if what failed is the mirror's fault. Else it
    /// failed for what it says.
    pub async fn begin_again(
        &mut self,
        failed: GitError,
        progress: Progress<'_>,
    ) -> Result<(), GitError> {
        if !sounds_like_damage(&failed) || !self.is_damaged().await? {
            return Err(failed);
        }
        progress(DAMAGED);
        self.discard().await
    }

    /// Whether git finds that something is missing here, or that a pack is broken.
    async fn is_damaged(&mut self) -> Result<bool, GitError> {
        let whole = self.state.found_whole;
        if whole.is_some_and(|found| found.elapsed() < WHOLE_FOR) {
            return Ok(false);
        }
        let output = self
            .git
            .local("fsck")
            .timeout(self.git.shared.settings.tidying_timeout)
            .inside(self.folder)
            .args(["--no-dangling", "--no-progress", "--no-reflogs"])
            .output()
            .await?;
        let is_damaged = output
            .code
            .is_some_and(|code| code & FSCK_DAMAGE != 0 || code >= FATAL);
        self.state.found_whole = (!is_damaged).then(Instant::now);
        Ok(is_damaged)
    }

    async fn discard(&mut self) -> Result<(), GitError> {
        tokio::fs::remove_dir_all(self.folder)
            .await
            .map_err(|source| GitError::Io {
                action: format!("removing the damaged mirror of {}", self.repository),
                source,
            })?;
        self.init().await
    }

    /// Runs a command that may write to the mirror.
    async fn write(&mut self, command: GitCommand<'_>) -> Result<Output, GitError> {
        self.state.is_clean = false;
        let output = command.stdin(self.inherited_lock()?).output().await?;
        if output.lacks_room() {
            self.tidy().await?;
        }
        // Git removes its own locks whenever it ends by itself.
        self.state.is_clean = output.code.is_some();
        Ok(output)
    }

    fn inherited_lock(&self) -> Result<File, GitError> {
        self.lock.try_clone().map_err(|source| GitError::Io {
            action: "sharing a lock with git".to_owned(),
            source,
        })
    }

    /// Fetches what is new; all of it where the mirror is damaged.
    pub async fn refresh(&mut self, progress: Progress<'_>) -> Result<(), GitError> {
        let Err(failed) = self.fetch_refs(progress).await else {
            return Ok(());
        };
        self.begin_again(failed, progress).await?;
        self.fetch_refs(progress).await
    }

    async fn fetch_refs(&mut self, progress: Progress<'_>) -> Result<(), GitError> {
        let since = Instant::now();
        let refspecs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let output = self.fetch(&["--prune"], &refspecs, progress).await?;
        let refs = output.changed_refs;
        let plural = if refs == 1 { "" } else { "s" };
        let seconds = since.elapsed().as_secs_f64();
        progress(&format!("fetched {refs} ref{plural} in {seconds:.1} s"));
        Ok(())
    }

    /// Fetches a commit that no branch or tag reaches any more: GitHub gives it for a while,
    /// and for longer where a pull request holds it.
    async fn fetch_commit(
        &mut self,
        commit: &CommitSha,
        progress: Progress<'_>,
    ) -> Result<(), GitError> {
        match self.fetch(&[], &[commit.as_str()], progress).await {
            Ok(_) => Ok(()),
            Err(error) if is_refused_commit(&error) => Err(self.gone(commit)),
            Err(error) => Err(error),
        }
    }

    async fn fetch(
        &mut self,
        options: &[&str],
        refspecs: &[&str],
        progress: Progress<'_>,
    ) -> Result<Output, GitError> {
        let mut attempts = self.git.patient_attempts(self.repository, progress);
        loop {
            if !self.state.is_clean {
                self.tidy().await?;
            }
            let access = attempts.access().await;
            let command = self
                .git
                .remote("fetch", access)
                .inside(self.folder)
                .args([
                    "--force",
                    "--no-tags",
                    "--no-progress",
                    "--no-write-fetch-head",
                ])
                .args(options)
                .arg("--end-of-options")
                .arg(self.git.url(self.repository))
                .args(refspecs)
                .stdin(self.inherited_lock()?);
            self.state.is_clean = false;
            let result = self.git.ask(self.repository, command).await;
            self.state.is_clean = result.is_ok();
            if let Err(GitError::Full { .. }) = result {
                // What git began to write takes the last room there is.
                self.tidy().await?;
            }
            match result {
                Err(error) if attempts.again(&error).await => {}
                result => return result,
            }
        }
    }

    /// The commit that this id names, or whose annotated tag it names, where it is here.
    pub async fn find(&self, id: &CommitSha) -> Result<Option<CommitSha>, GitError> {
        self.resolve(&format!("{id}^{{commit}}")).await
    }

    /// The commit that is here whose id begins with these digits; `None` also where several do.
    pub async fn find_beginning(&self, digits: &str) -> Result<Option<CommitSha>, GitError> {
        let found = self.resolve(&format!("{digits}^{{commit}}")).await?;
        // A branch can have such a name.
        Ok(found.filter(|commit| commit.as_str().starts_with(digits)))
    }

    /// Whether the tag that was pushed is here and names this commit.
    async fn has_tag(
        &self,
        git_ref: Option<&GitRef>,
        commit: &CommitSha,
    ) -> Result<bool, GitError> {
        match git_ref {
            Some(tag @ GitRef::Tag(_)) => {
                let tagged = self.resolve(&format!("{tag}^{{commit}}")).await?;
                Ok(tagged.as_ref() == Some(commit))
            }
            _ => Ok(true),
        }
    }

    async fn resolve(&self, revision: &str) -> Result<Option<CommitSha>, GitError> {
        let output = self
            .git
            .local("rev-parse")
            .inside(self.folder)
            .args(["--verify", "--quiet", revision])
            .output()
            .await?;
        Ok(output.text().trim().parse().ok())
    }

    fn gone(&self, commit: &CommitSha) -> GitError {
        GitError::CommitGone {
            repository: self.repository.clone(),
            commit: commit.clone(),
        }
    }
}

fn list(mirrors: &Path) -> io::Result<Vec<RepositoryName>> {
    let mut found = Vec::new();
    // It is made with the first mirror.
    if !mirrors.exists() {
        return Ok(found);
    }
    for owner in fs::read_dir(mirrors)? {
        let owner = owner?;
        for mirror in fs::read_dir(owner.path())? {
            let (owner, mirror) = (owner.file_name(), mirror?.file_name());
            let Some(name) = mirror.to_str().and_then(|name| name.strip_suffix(".git")) else {
                continue;
            };
            // Nobody else writes here, so anything else is not ours to touch.
            if let Ok(repository) = format!("{}/{name}", owner.to_string_lossy()).parse() {
                found.push(repository);
            }
        }
    }
    Ok(found)
}

/// Whether a mirror may be at fault, which can be fetched again.
fn sounds_like_damage(error: &GitError) -> bool {
    match error {
        GitError::Failed { stderr, .. } => DAMAGE.iter().any(|phrase| stderr.contains(phrase)),
        _ => false,
    }
}

fn is_refused_commit(error: &GitError) -> bool {
    match error {
        GitError::Failed { stderr, .. } => {
            stderr.contains("not our ref")
                || stderr.contains("unadvertised object")
                || stderr.contains("couldn't find remote ref")
        }
        _ => false,
    }
}

/// Removes what a killed git left behind: its locks, under which no other would do anything,
/// and objects that it was writing. Only for who holds the mirror.
fn clear_leftovers(folder: &Path, in_objects: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // No ref can end in .lock (git-check-ref-format(1)), but one may begin with tmp_.
        let is_leftover = name.ends_with(".lock")
            || name == "gc.pid"
            || in_objects && (name.starts_with("tmp_") || name.starts_with(".tmp-"));
        let is_folder = entry.file_type()?.is_dir();
        if is_folder && is_leftover {
            fs::remove_dir_all(entry.path())?;
        } else if is_folder {
            clear_leftovers(&entry.path(), in_objects || name == "objects")?;
        } else if is_leftover {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
