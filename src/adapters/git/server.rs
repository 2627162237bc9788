//! Asking a server: what its refusals mean, and when to ask again.

use std::time::Duration;

use super::command::{GitCommand, Output, gist};
use super::{Access, Credential, Git, GitError, NoCredential, Progress};
use crate::domain::names::RepositoryName;

/// What git says where a repository is not there, or not for us. GitHub answers for a private
/// repository as if there were none, and git then wants a user's name.
const NOT_FOUND: [&str; 8] = [
    "not found",
    "does not appear to be a git repository",
    "does not exist",
    "could not read Username",
    "Authentication failed",
    "Permission denied",
    "error: 403",
    "error: 401",
];

/// Those of them by which a server refuses a credential. GitHub answers one that may not see a
/// repository as if there were none.
const REFUSED: [&str; 3] = [
    "could not read Username",
    "Authentication failed",
    "error: 401",
];

/// What git and the libraries under it say where the network or the server is at fault.
const UNREACHABLE: [&str; 28] = [
    "Could not resolve",
    "unable to look up",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Failed to connect",
    "unable to connect",
    "Couldn't connect",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "Connection closed",
    "Empty reply from server",
    "transfer closed",
    "Recv failure",
    "Send failure",
    "unexpected eof",
    "SSL_ERROR_SYSCALL",
    "GnuTLS recv error",
    "No route to host",
    "Network is unreachable",
    "hung up unexpectedly",
    "early EOF",
    "unexpected disconnect",
    "RPC failed",
    "Operation too slow",
    "Operation timed out",
    "The requested URL returned error: 5",
    "The requested URL returned error: 429",
];

/// What git and the libraries under it say where there is no memory left for them.
const TOO_MUCH: [&str; 3] = ["Out of memory", "out of memory", "Cannot allocate memory"];

/// What git says where it was sent on and may not follow.
const REDIRECTED: [&str; 4] = ["error: 301", "error: 302", "error: 307", "error: 308"];

impl Git {
    /// Runs a command that asks the server of this repository; it has to succeed.
    pub(super) async fn ask(
        &self,
        repository: &RepositoryName,
        command: GitCommand<'_>,
    ) -> Result<Output, GitError> {
        let url = self.url(repository);
        let mut output = command.output().await.map_err(|error| match error {
            GitError::TimedOut { command, after } => GitError::TimedOut {
                command: format!("{command} of {url}"),
                after,
            },
            error => error,
        })?;
        if output.code == Some(0) {
            return Ok(output);
        }
        // In this order: whoever cannot write what arrives hangs up, and a host that is not found is
        // no repository that is not found.
        if output.lacks_room() {
            Err(output.into_failure())
        } else if is_too_much(&output.stderr) {
            Err(GitError::TooMuch {
                url,
                most: self.shared.settings.most_memory,
            })
        } else if is_unreachable(&output.stderr) {
            Err(GitError::Unreachable {
                url,
                reason: gist(&output.stderr).to_owned(),
            })
        } else if is_redirected(&output.stderr) {
            Err(GitError::Redirected { url })
        } else if output.with_credential && says(&output.stderr, &REFUSED) {
            Err(GitError::CredentialRefused { url })
        } else if says(&output.stderr, &NOT_FOUND) {
            Err(GitError::RepositoryNotFound {
                repository: repository.clone(),
                url,
                anonymous_because: output.anonymous_because,
            })
        } else {
            output.command = format!("{} of {url}", output.command);
            Err(output.into_failure())
        }
    }

    /// For something that is done again while it fails for a reason that may pass.
    pub(super) fn attempts<'a>(
        &'a self,
        repository: &'a RepositoryName,
        progress: Progress<'a>,
    ) -> Attempts<'a> {
        let settings = &self.shared.settings;
        Attempts {
            git: self,
            repository,
            shown: None,
            renewed: false,
            left: settings.attempts.saturating_sub(1),
            left_at_credential: settings.attempts.saturating_sub(1),
            pause: settings.retry_after,
            redirects: 0,
            progress,
        }
    }

    /// The same, for a build: it has minutes for its credential to come, and ends without it. A
    /// question is asked again soon enough by who asked it.
    pub(super) fn patient_attempts<'a>(
        &'a self,
        repository: &'a RepositoryName,
        progress: Progress<'a>,
    ) -> Attempts<'a> {
        let settings = &self.shared.settings;
        Attempts {
            left_at_credential: settings.attempts_at_credential.saturating_sub(1),
            ..self.attempts(repository, progress)
        }
    }
}

/// Tries that are left, and the pause before the next.
///
/// Not a function that takes the attempt: the future of an async closure cannot be shown to be
/// `Send` where it borrows from its caller.
pub(super) struct Attempts<'a> {
    git: &'a Git,
    repository: &'a RepositoryName,
    /// In the last attempt.
    shown: Option<Credential>,
    /// Another credential was asked for, as the server refused the first.
    renewed: bool,
    left: u32,
    left_at_credential: u32,
    pause: Duration,
    redirects: u32,
    progress: Progress<'a>,
}

/// Twice for submodules: of those, some may need the credential and others a redirect; what one
/// attempt fetched, the next finds there.
const MAX_REDIRECTS: u32 = 2;

impl Attempts<'_> {
    /// What the server is shown in this attempt: nothing where git has to follow a redirect.
    pub(super) async fn access(&mut self) -> Access {
        let access = match self.redirects % 2 {
            0 => self.git.access(self.repository, None).await,
            _ => Access {
                credential: None,
                anonymous_because: Some(NoCredential {
                    reason: "the server redirects elsewhere, where the credential is not sent (if \
                             the repository was renamed, use its new name)"
                        .to_owned(),
                    may_pass: false,
                }),
            },
        };
        self.shown.clone_from(&access.credential);
        access
    }

    /// Whether to try again after this error; if so, the pause is over. It doubles each time.
    pub(super) async fn again(&mut self, error: &GitError) -> bool {
        if matches!(error, GitError::Redirected { .. }) && self.redirects < MAX_REDIRECTS {
            self.redirects += 1;
            return true;
        }
        if is_refusal(error)
            && !self.renewed
            && let Some(refused) = self.shown.take()
        {
            self.renewed = true;
            let another = self.git.access(self.repository, Some(refused.clone()));
            return another.await.credential != Some(refused);
        }
        let left = match error.lacks_credential() {
            true => &mut self.left_at_credential,
            false => &mut self.left,
        };
        if *left == 0 || !error.is_transient() {
            return false;
        }
        *left -= 1;
        let pause = self.pause;
        (self.progress)(&format!(
            "{error}; trying again in {} s",
            pause.as_secs_f64()
        ));
        tokio::time::sleep(pause).await;
        self.pause = pause * 2;
        true
    }
}

/// Whether a server did not take what it was shown. A submodule's says so in git's words.
fn is_refusal(error: &GitError) -> bool {
    match error {
        GitError::CredentialRefused { .. } => true,
        GitError::Failed { stderr, .. } => says(stderr, &REFUSED),
        _ => false,
    }
}

/// Whether these are git's words where it may take no more memory.
pub(super) fn is_too_much(stderr: &str) -> bool {
    says(stderr, &TOO_MUCH)
}

/// Whether these are git's words for a network or a server at fault.
pub(super) fn is_unreachable(stderr: &str) -> bool {
    says(stderr, &UNREACHABLE)
}

/// Whether git was sent on and did not follow.
pub(super) fn is_redirected(stderr: &str) -> bool {
    says(stderr, &REDIRECTED)
}

fn says(stderr: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| stderr.contains(phrase))
}
