//! Checking a commit out of its mirror, so that the result needs nothing but itself.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::command::gist;
use super::server::{is_redirected, is_too_much, is_unreachable};
use super::{Access, Git, GitError, Progress, Submodules, branch_ref};
use crate::domain::names::{CommitSha, GitRef, RepositoryName};

impl Git {
    /// Checks a commit out into a folder, which is empty or does not exist. `commit` is what
    /// was pushed: an annotated tag's own id does as well. The commit is returned.
    ///
    /// The folder's `.git` holds all branches (as `origin/…`) and tags with their history, and
    /// refers to nothing outside. Its objects may be hard links to those of the mirror, which
    /// are never changed. HEAD is on the pushed branch, or detached for a tag; `origin` is the
    /// public URL. Submodules are there at their commits.
    ///
    /// # Errors
    ///
    /// All of [`GitError`]. The folder may then be there in part.
    pub async fn checkout(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        git_ref: &GitRef,
        into: &Path,
        progress: Progress<'_>,
    ) -> Result<CommitSha, GitError> {
        let result = self
            .check_out_once(repository, commit, git_ref, into, progress)
            .await;
        let commit = match result {
            Ok(commit) => commit,
            Err(failed) => {
                self.begin_mirror_again(repository, failed, progress)
                    .await?;
                if let Err(source) = tokio::fs::remove_dir_all(into).await
                    && source.kind() != io::ErrorKind::NotFound
                {
                    let action = "removing a checkout that failed".to_owned();
                    return Err(GitError::Io { action, source });
                }
                self.check_out_once(repository, commit, git_ref, into, progress)
                    .await?
            }
        };
        if fs::symlink_metadata(into.join(".gitmodules")).is_ok_and(|found| found.is_file()) {
            self.update_submodules(repository, into, progress).await?;
        }
        Ok(commit)
    }

    async fn check_out_once(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        git_ref: &GitRef,
        into: &Path,
        progress: Progress<'_>,
    ) -> Result<CommitSha, GitError> {
        let commit = self
            .copy_mirror(repository, commit, git_ref, into, progress)
            .await?;
        let since = Instant::now();
        self.configure(repository, git_ref, into).await?;
        let checkout = self
            .local("checkout")
            .inside(into)
            .args(["--quiet", "--force"]);
        let checkout = match git_ref {
            GitRef::Branch(branch) => checkout.args(["-B", branch.as_str()]),
            GitRef::Tag(_) => checkout.arg("--detach"),
        };
        checkout.arg(commit.as_str()).arg("--").run().await?;
        progress(&format!(
            "checked out {} in {:.1} s",
            commit.short(),
            since.elapsed().as_secs_f64()
        ));
        Ok(commit)
    }

    /// Clones the mirror, without a work tree.
    async fn copy_mirror(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        git_ref: &GitRef,
        into: &Path,
        progress: Progress<'_>,
    ) -> Result<CommitSha, GitError> {
        let mirror = self.mirror(repository);
        let (held, found) = self
            .hold_with(repository, &mirror, commit, Some(git_ref), progress)
            .await?;
        // No branch and no work tree yet. Of a path, git links objects where it can, copies them
        // where it cannot, and never refers to them where they are; told --local, it only links.
        self.local("clone")
            .may_read_paths()
            .making(into)
            .args(["--no-checkout", "--quiet", "--template="])
            .arg("--end-of-options")
            .arg(held.folder)
            .arg(into)
            .run()
            .await?;
        Ok(found)
    }

    async fn configure(
        &self,
        repository: &RepositoryName,
        git_ref: &GitRef,
        into: &Path,
    ) -> Result<(), GitError> {
        let mut settings = vec![("remote.origin.url".to_owned(), self.url(repository))];
        if let GitRef::Branch(branch) = git_ref {
            settings.push((format!("branch.{branch}.remote"), "origin".to_owned()));
            settings.push((format!("branch.{branch}.merge"), branch_ref(branch)));
        }
        for (key, value) in settings {
            self.local("config")
                .inside(into)
                .args([key, value])
                .run()
                .await?;
        }
        Ok(())
    }

    /// Fetches submodules, theirs too. Their URLs are the repository's to choose: which protocols
    /// they may use, and which of them are shown the credential, is what bounds them.
    pub(super) async fn update_submodules(
        &self,
        repository: &RepositoryName,
        into: &Path,
        progress: Progress<'_>,
    ) -> Result<(), GitError> {
        let since = Instant::now();
        let git_url = &self.shared.settings.git_url;
        let scope = match self.shared.settings.submodules {
            Submodules::None => None,
            Submodules::Owner => Some(format!("{git_url}/{}", repository.owner())),
            Submodules::All => Some(git_url.clone()),
        };
        let mut attempts = self.patient_attempts(repository, progress);
        loop {
            let access = match scope {
                Some(_) => attempts.access().await,
                None => Access::default(),
            };
            let attempt = async {
                let command = self
                    .remote("submodule", access)
                    .shown_below(scope.clone().unwrap_or_default())
                    .at_once()
                    .inside(into)
                    .args(["--quiet", "update", "--init", "--recursive"])
                    .args(["--jobs", "2"]);
                let output = command.output().await?;
                match output.code {
                    Some(0) => Ok(()),
                    _ if output.lacks_room() => Err(output.into_failure()),
                    // Git's words name the submodule; the repository's own URL would mislead.
                    _ if is_too_much(&output.stderr) => Err(GitError::TooMuch {
                        url: format!("a submodule of {repository}"),
                        most: self.shared.settings.most_memory,
                    }),
                    _ if is_unreachable(&output.stderr) => Err(GitError::Unreachable {
                        url: format!("a submodule of {repository}"),
                        reason: gist(&output.stderr).to_owned(),
                    }),
                    _ if is_redirected(&output.stderr) => Err(GitError::Redirected {
                        url: format!("a submodule of {repository}"),
                    }),
                    _ => Err(output.into_failure()),
                }
            };
            match attempt.await {
                Err(error) if attempts.again(&error).await => {}
                result => break result?,
            }
        }
        progress(&format!(
            "fetched submodules in {:.1} s",
            since.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}
