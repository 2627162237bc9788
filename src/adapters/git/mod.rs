//! Git repositories, through the git command line.
//!
//! Each repository has a bare mirror under the data directory, so that a build fetches only
//! what is new, and nothing when its commit is there. A checkout is made from the mirror and
//! does not need it afterwards. The mirror is a cache: one that is damaged is fetched again.
//!
//! What comes from outside (names, commits, what a server answers) is hostile. Names are parsed
//! types that cannot begin with a dash and stand behind `--end-of-options` all the same; git
//! runs with an environment and configuration of its own, asks nothing, may use few protocols,
//! and is killed with its children when it takes too long or nobody waits for it any more.

mod checkout;
mod command;
mod mirror;
mod query;
mod server;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use bytesize::ByteSize;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

pub use tree::{Content, TreeLimits};

use crate::domain::names::{BranchName, CommitSha, GitRef, RepositoryName};
use crate::domain::room;

/// Told what git does, in whole lines for people: a few for each checkout.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Where repositories are, where mirrors go, and how long things may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Repositories are at `<git_url>/<owner>/<name>`: a URL (https, http or git) or an absolute
    /// path. A user and a password in a URL become the credential.
    pub git_url: String,
    /// With whose credential submodules are fetched.
    pub submodules: Submodules,
    /// The folder of the mirrors, which nobody else writes to; created when it is missing.
    pub mirrors: PathBuf,
    /// For one try at reaching the server: a fetch, or a submodule's.
    pub network_timeout: Duration,
    /// A transfer that has stood still so long is given up, in whole seconds.
    pub stall: Duration,
    /// How much memory git may take while it asks a server: it keeps all refs that it is told of,
    /// and unpacks what is sent, whatever that grows to. The largest repositories need half of it.
    pub most_memory: ByteSize,
    /// For what needs no network.
    pub local_timeout: Duration,
    /// For joining the packs of a mirror, which takes long where it is large.
    pub tidying_timeout: Duration,
    /// How often the server is tried before a fetch has failed; at least once.
    pub attempts: u32,
    /// The same, where what is missing is a credential that may be had a little later. More, as an
    /// incident of GitHub's API lasts minutes, and nobody else can help a private repository.
    pub attempts_at_credential: u32,
    /// The pause before the second try, doubled with each further one.
    pub retry_after: Duration,
}

impl Settings {
    pub fn new(git_url: impl Into<String>, mirrors: impl Into<PathBuf>) -> Self {
        Self {
            git_url: git_url.into(),
            submodules: Submodules::Owner,
            mirrors: mirrors.into(),
            network_timeout: Duration::from_secs(600),
            stall: Duration::from_secs(60),
            most_memory: ByteSize::gib(4),
            local_timeout: Duration::from_secs(300),
            tidying_timeout: Duration::from_secs(3600),
            attempts: 3,
            // With their pauses, four minutes.
            attempts_at_credential: 8,
            retry_after: Duration::from_secs(2),
        }
    }
}

/// Which submodules below `git_url` are fetched with the credential of the repository that names
/// them. Who may push to it chooses them, and may read in a build what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Submodules {
    /// None: the server is shown nothing.
    None,
    /// Those of the repository's own owner.
    #[default]
    Owner,
    /// All.
    All,
}

/// What a server is shown so that it lets us read. Sent to `git_url` only, never an argument of
/// a process, never written to a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    header: String,
}

impl Credential {
    /// As GitHub takes its tokens, an app's among them, with the user `x-access-token`:
    /// docs.github.com, "Authenticating as a GitHub App installation".
    pub fn basic(user: &str, password: &str) -> Self {
        let encoded =
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self {
            header: format!("Authorization: Basic {encoded}"),
        }
    }
}

/// Asked before each command that reaches the server of a repository, because a GitHub App's
/// token lasts an hour and is of one owner. `None`: the server is shown nothing. After an error
/// git goes on without, as the repository may be public. With a credential that the server has
/// refused, another is asked for; the same again says that there is none.
pub type CredentialProvider = Box<
    dyn Fn(
            RepositoryName,
            Option<Credential>,
        ) -> BoxFuture<'static, Result<Option<Credential>, NoCredential>>
        + Send
        + Sync,
>;

/// Why there is no credential though there should be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCredential {
    pub reason: String,
    /// Whether there may be one a little later.
    pub may_pass: bool,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(…)")
    }
}

/// Why git could not do it. Each is one sentence for the log and the status on GitHub.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error(
        "commit {commit} no longer exists in {repository}, it was probably replaced by a forced push"
    )]
    CommitGone {
        repository: RepositoryName,
        commit: CommitSha,
    },
    /// The files of a commit are more than are read.
    #[error("commit {} of {repository} {how}", commit.short())]
    TooLarge {
        repository: RepositoryName,
        commit: CommitSha,
        how: String,
    },
    #[error(
        "repository {repository} does not exist at {url}, or may not be read from here{}",
        anonymously(anonymous_because)
    )]
    RepositoryNotFound {
        repository: RepositoryName,
        url: String,
        /// Why the server was shown no credential though there should be one.
        anonymous_because: Option<NoCredential>,
    },
    #[error(
        "{url} cannot be read: the server refuses the credential, which has expired, was revoked or is wrong"
    )]
    CredentialRefused { url: String },
    /// Git follows redirects only without a credential.
    #[error("{url} redirects elsewhere; if the repository was renamed, use its new name")]
    Redirected { url: String },
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    /// What a server sends has no end, or there is no memory for it.
    #[error("{url} cannot be read: it sends more than fits into {most} of memory")]
    TooMuch { url: String, most: ByteSize },
    #[error("{command} took longer than {} s", after.as_secs_f64())]
    TimedOut { command: String, after: Duration },
    #[error("{command} failed: {}", room::full(folder))]
    Full { command: String, folder: PathBuf },
    /// `stderr` is the end of what git said.
    #[error("{command} failed: {}", command::gist(stderr))]
    Failed { command: String, stderr: String },
    #[error("{action} failed: {source}")]
    Io { action: String, source: io::Error },
}

impl GitError {
    /// Whether the same may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. }) || self.lacks_credential()
    }

    /// Whether it may be for want of a credential, which may be there a little later.
    fn lacks_credential(&self) -> bool {
        match self {
            Self::RepositoryNotFound {
                anonymous_because, ..
            } => anonymous_because.as_ref().is_some_and(|why| why.may_pass),
            _ => false,
        }
    }
}

fn anonymously(because: &Option<NoCredential>) -> String {
    match because {
        Some(NoCredential { reason, .. }) => {
            format!("; it was asked for without a credential, because {reason}")
        }
        None => String::new(),
    }
}

/// What a server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    /// The branch that HEAD names; `None` in an empty repository.
    pub default_branch: Option<BranchName>,
    pub heads: Vec<Head>,
}

/// A branch or tag as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub git_ref: GitRef,
    /// What the ref names: a commit, or an annotated tag's own object.
    pub object: CommitSha,
    /// The commit, also where `object` is a tag.
    pub commit: CommitSha,
}

/// Which files a push changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedFiles {
    /// The names of all of them, from the repository's root; of a renamed file, both. What is not
    /// UTF-8 in a name is replaced.
    These(Vec<String>),
    /// They cannot be told, for this reason: any file may be among them.
    Any(&'static str),
}

/// A commit, for the history of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: CommitSha,
    pub author_name: String,
    pub author_email: String,
    pub message: String,
}

/// Git with its mirrors. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Git {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    /// Protocols that git may use, as `GIT_ALLOW_PROTOCOL` takes them.
    protocols: String,
    /// Git's home, in which nothing is but a configuration of ours.
    home: PathBuf,
    /// What stood in `git_url`.
    credential: Option<Credential>,
    provider: Option<CredentialProvider>,
    /// For commands that ask a server, and for those that do not.
    places: Places,
    mirrors: Mutex<HashMap<RepositoryName, Arc<mirror::Mirror>>>,
}

/// How many processes of git ask a server at once, and as many work here. Each of a large repository
/// takes a core and hundreds of megabytes, and a burst of pushes asks a thousand questions.
const MOST_AT_ONCE: usize = 4;

/// Apart, so that a server that does not answer holds up nothing that needs none.
struct Places {
    remote: Semaphore,
    local: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            remote: Semaphore::new(MOST_AT_ONCE),
            local: Semaphore::new(MOST_AT_ONCE),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(formatter)
    }
}

impl Git {
    /// Git that shows no server more than what stands in `git_url`.
    #[cfg(test)]
    pub fn new(settings: Settings) -> io::Result<Self> {
        Self::with_provider(settings, None)
    }

    /// Creates the mirrors' folder; looks at no server. The provider's credential is stronger
    /// than that in `git_url`.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn with_provider(
        mut settings: Settings,
        provider: Option<CredentialProvider>,
    ) -> io::Result<Self> {
        // No repository's owner can have this name, as @ is not in GitHub's alphabet.
        let home = std::path::absolute(settings.mirrors.join("@home"))?;
        std::fs::create_dir_all(&home)?;
        // A mirror, or a repository at a path, may belong to another user than the service
        // runs as; git reads this setting from files and its command line only, and the
        // program that serves a path gets no command line of ours (git-config(1)).
        let (file, text) = (home.join(".gitconfig"), "[safe]\n\tdirectory = *\n");
        // On a full disk the one that is there has to do.
        if std::fs::read_to_string(&file).ok().as_deref() != Some(text) {
            std::fs::write(file, text)?;
        }

        let (mut git_url, credential) = split_credential(settings.git_url.trim_end_matches('/'));
        if !git_url.contains(':') {
            // Git is run inside of mirrors, where a relative path would mean another place.
            git_url = std::path::absolute(&git_url)?
                .to_string_lossy()
                .into_owned();
        }
        settings.git_url = git_url;
        let protocols = allowed_protocols(&settings.git_url);
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                protocols,
                home,
                credential,
                provider,
                places: Places::default(),
                mirrors: Mutex::default(),
            }),
        })
    }

    /// Where a repository is, without any credential: what `origin` is in a checkout.
    pub fn url(&self, repository: &RepositoryName) -> String {
        format!("{}/{repository}", self.shared.settings.git_url)
    }

    /// What the server is shown for this repository, or why nothing; `refused` was.
    async fn access(&self, repository: &RepositoryName, refused: Option<Credential>) -> Access {
        let fixed = self.shared.credential.clone();
        let is_http = self.shared.settings.git_url.starts_with("http");
        let Some(provider) = self.shared.provider.as_ref().filter(|_| is_http) else {
            return Access::with(fixed);
        };
        match provider(repository.clone(), refused).await {
            Ok(credential) => Access::with(credential.or(fixed)),
            Err(_) if fixed.is_some() => Access::with(fixed),
            Err(why) => Access {
                credential: None,
                anonymous_because: Some(why),
            },
        }
    }

    fn home(&self) -> &Path {
        &self.shared.home
    }
}

/// What a server is shown in one command.
#[derive(Default)]
struct Access {
    credential: Option<Credential>,
    /// Why there is none though there should be one.
    anonymous_because: Option<NoCredential>,
}

impl Access {
    fn with(credential: Option<Credential>) -> Self {
        Self {
            credential,
            anonymous_because: None,
        }
    }
}

/// Takes user and password out of `https://user:password@host/…`.
fn split_credential(url: &str) -> (String, Option<Credential>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let host_ends = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..host_ends].rfind('@') else {
        return (url.to_owned(), None);
    };
    if !matches!(scheme, "http" | "https") {
        // Of other addresses, the user is a part.
        return (url.to_owned(), None);
    }
    let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
    (
        format!("{scheme}://{}", &rest[at + 1..]),
        Some(Credential::basic(user, password)),
    )
}

/// Submodules name URLs of their own, so only what is safe or needed is allowed: `ext::` runs
/// any command, `file` would read other repositories of this machine, and `ssh` would use the keys
/// of this user and its agent for whoever may push.
fn allowed_protocols(git_url: &str) -> String {
    let own = match git_url.split_once("://") {
        Some((scheme @ ("http" | "git" | "file"), _)) => scheme,
        None if Path::new(git_url).is_absolute() => "file",
        _ => return "https".to_owned(),
    };
    format!("https:{own}")
}

/// The name of a branch or a tag on the server.
fn branch_ref(branch: &BranchName) -> String {
    format!("refs/heads/{branch}")
}
