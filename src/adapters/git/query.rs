//! Questions about a repository: its branches, its history.

use super::{ChangedFiles, Commit, Git, GitError, Head, Progress, Refs};
use crate::domain::names::{CommitSha, GitRef, RepositoryName};

/// Fields of a commit in the output of `git log`, each ended by a zero byte.
const LOG_FORMAT: &str = "--format=%H%x00%an%x00%ae%x00%B";
const LOG_FIELDS: usize = 4;

/// A push that changes more files than this is not looked at file by file.
const MAX_CHANGED_FILES: usize = 10_000;

const SILENT: Progress<'static> = &|_| {};

impl Git {
    /// The branches and tags that the server has now. Those whose names this service does not
    /// accept are left out.
    pub async fn refs(&self, repository: &RepositoryName) -> Result<Refs, GitError> {
        let patterns = ["HEAD", "refs/heads/*", "refs/tags/*"];
        let text = self.list(repository, &["--symref"], &patterns).await?;
        let mut default_branch = None;
        let mut heads: Vec<Head> = Vec::new();
        for (object, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            let Ok(object) = object.parse::<CommitSha>() else {
                if let Some(branch) = object.strip_prefix("ref: refs/heads/")
                    && name == "HEAD"
                {
                    default_branch = branch.parse().ok();
                }
                continue;
            };
            // An annotated tag comes twice, the second time as the commit it names.
            if let Some(tag) = name.strip_suffix("^{}") {
                if let Some(last) = heads.last_mut()
                    && last.git_ref.to_string() == tag
                {
                    last.commit = object;
                }
            } else if let Ok(git_ref) = name.parse() {
                heads.push(Head {
                    git_ref,
                    commit: object.clone(),
                    object,
                });
            }
        }
        Ok(Refs {
            default_branch,
            heads,
        })
    }

    /// The commit at which the server has a branch or tag now; `None` where it has none of that name.
    pub async fn head_of(
        &self,
        repository: &RepositoryName,
        reference: &GitRef,
    ) -> Result<Option<CommitSha>, GitError> {
        let name = reference.to_string();
        // An annotated tag is listed twice, the second time with its commit.
        let peeled = format!("{name}^{{}}");
        let text = self.list(repository, &[], &[&name, &peeled]).await?;
        // A pattern also matches refs that end in it.
        let commit_of = |wanted: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('\t'));
            let (commit, _) = lines.find(|(_, found)| *found == wanted)?;
            commit.parse().ok()
        };
        Ok(commit_of(&peeled).or_else(|| commit_of(&name)))
    }

    /// The commit of which only the first hexadecimal digits are known, where the repository has
    /// it. Fetches what is new.
    pub async fn commit_beginning(
        &self,
        repository: &RepositoryName,
        digits: &str,
    ) -> Result<Option<CommitSha>, GitError> {
        let mirror = self.mirror(repository);
        let mut held = self.hold(repository, &mirror).await?;
        held.refresh(SILENT).await?;
        held.find_beginning(digits).await
    }

    /// Whether `ancestor` is `descendant` or is reached from it. Fetches what is not here.
    ///
    /// # Errors
    ///
    /// `CommitGone` where one of them is not to be had.
    pub async fn is_ancestor(
        &self,
        repository: &RepositoryName,
        ancestor: &CommitSha,
        descendant: &CommitSha,
    ) -> Result<bool, GitError> {
        let mirror = self.mirror(repository);
        for commit in [ancestor, descendant] {
            self.hold_with(repository, &mirror, commit, None, SILENT)
                .await?;
        }
        let output = self
            .local("merge-base")
            .inside(&mirror.folder)
            .args(["--is-ancestor", ancestor.as_str(), descendant.as_str()])
            .output()
            .await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.into_failure()),
        }
    }

    /// Up to `max` commits that `after` reaches and `before` does not, newest first. Where
    /// there was nothing before, or it is gone, the newest that `after` reaches.
    pub async fn commits(
        &self,
        repository: &RepositoryName,
        before: Option<&CommitSha>,
        after: &CommitSha,
        max: usize,
    ) -> Result<Vec<Commit>, GitError> {
        let mirror = self.mirror(repository);
        let (held, after) = self
            .hold_with(repository, &mirror, after, None, SILENT)
            .await?;
        let excluded = match before {
            Some(before) => held.find(before).await?.map(|before| format!("^{before}")),
            None => None,
        };
        drop(held);
        let output = self
            .local("log")
            .inside(&mirror.folder)
            .args(["-z", "--no-color", "--encoding=UTF-8", LOG_FORMAT])
            .arg(format!("--max-count={max}"))
            .arg(after.as_str())
            .args(excluded)
            .arg("--")
            .run()
            .await?;

        let text = output.text();
        let mut fields: Vec<&str> = text.split('\0').collect();
        if output.is_cut {
            // The last message may have lost its end.
            fields.pop();
        }
        Ok(fields
            .chunks_exact(LOG_FIELDS)
            .filter_map(|fields| {
                Some(Commit {
                    id: fields[0].parse().ok()?,
                    author_name: fields[1].to_owned(),
                    author_email: fields[2].to_owned(),
                    message: fields[3].trim_end().to_owned(),
                })
            })
            .collect())
    }

    /// The files that differ between two commits: what a push from one to the other changed,
    /// however many commits lie between.
    ///
    /// # Errors
    ///
    /// `CommitGone` where `after` is not to be had.
    pub async fn changed_files(
        &self,
        repository: &RepositoryName,
        before: &CommitSha,
        after: &CommitSha,
    ) -> Result<ChangedFiles, GitError> {
        let mirror = self.mirror(repository);
        let (held, after) = self
            .hold_with(repository, &mirror, after, None, SILENT)
            .await?;
        // Unless history was replaced, it came with `after`.
        let Some(before) = held.find(before).await? else {
            return Ok(ChangedFiles::Any("the commit before the push is gone"));
        };
        drop(held);
        // Not `git diff`, which users configure.
        let output = self
            .local("diff-tree")
            .inside(&mirror.folder)
            .args(["-r", "-z", "--name-only", "--no-renames"])
            .args([before.as_str(), after.as_str(), "--"])
            .run()
            .await?;
        let names: Vec<&[u8]> = output
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .collect();
        if output.is_cut || names.len() > MAX_CHANGED_FILES {
            return Ok(ChangedFiles::Any("more than 10000 files changed"));
        }
        let names = names.into_iter().map(String::from_utf8_lossy);
        Ok(ChangedFiles::These(names.map(Into::into).collect()))
    }

    /// `git ls-remote`.
    async fn list(
        &self,
        repository: &RepositoryName,
        options: &[&str],
        patterns: &[&str],
    ) -> Result<String, GitError> {
        let mut attempts = self.attempts(repository, SILENT);
        let output = loop {
            let access = attempts.access().await;
            let command = self
                .remote("ls-remote", access)
                .args(options)
                .arg("--end-of-options")
                .arg(self.url(repository))
                .args(patterns);
            match self.ask(repository, command).await {
                Err(error) if attempts.again(&error).await => {}
                result => break result?,
            }
        };
        if output.is_cut {
            return Err(GitError::Failed {
                command: "git ls-remote".to_owned(),
                stderr: "the repository has more refs than are read".to_owned(),
            });
        }
        Ok(output.text())
    }
}
