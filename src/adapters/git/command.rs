//! Running git: its environment, its limits, and its end.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytesize::ByteSize;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{Access, Git, GitError, NoCredential};
use crate::domain::room;

/// What git writes to its standard output is kept up to here, unless a command says otherwise:
/// the refs of a repository with 200,000 of them.
const OUTPUT_LIMIT: usize = 16 * 1024 * 1024;

/// How much is kept of the end of what git says on its standard error.
const STDERR_TAIL: usize = 8 * 1024;

/// What git and the programs it starts may know of our environment: where programs are, how
/// the network is reached.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "TMPDIR",
    "TZ",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
];

/// Configuration for every command. In the environment it is stronger than any file, and is
/// handed on to the commands that work on submodules.
const CONFIGURATION: [(&str, &str); 16] = [
    ("advice.detachedHead", "false"),
    ("core.askPass", ""),
    ("core.fsmonitor", "false"),
    // No hook runs, whatever a template put there.
    ("core.hooksPath", "/dev/null"),
    ("credential.helper", ""),
    ("fetch.recurseSubmodules", "false"),
    // What arrives stays in one pack: it is there whole or not at all, and quick to link.
    ("fetch.unpackLimit", "1"),
    // Housekeeping is asked for, and never goes on behind our back.
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    // Bytes in a second; with fewer, a connection stands still.
    ("http.lowSpeedLimit", "100"),
    ("init.defaultBranch", "master"),
    ("maintenance.auto", "false"),
    ("protocol.version", "2"),
    ("safe.directory", "*"),
    ("submodule.recurse", "false"),
    // Commits are ours to judge, not the user's keyring's.
    ("log.showSignature", "false"),
];

/// One run of git.
pub(super) struct GitCommand<'a> {
    git: &'a Git,
    arguments: Vec<OsString>,
    /// Where it works, or what it makes.
    folder: PathBuf,
    configuration: Vec<(String, String)>,
    protocols: &'a str,
    access: Access,
    /// Below which URL the server is shown its credential.
    scope: String,
    place: Option<&'a Semaphore>,
    stdin: Option<File>,
    timeout: Duration,
    most_output: usize,
    ends_at_most: bool,
    most_memory: Option<ByteSize>,
}

/// How git ended and what it said.
#[derive(Debug)]
pub(super) struct Output {
    pub command: String,
    folder: PathBuf,
    /// `None` when it was killed by a signal.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    /// There was more than is kept.
    pub is_cut: bool,
    /// The end of it.
    pub stderr: String,
    /// How many refs git said it changed: `old -> new`, in all of its standard error.
    pub changed_refs: usize,
    /// The server was shown a credential.
    pub with_credential: bool,
    /// Why the server was shown no credential though there should be one.
    pub anonymous_because: Option<NoCredential>,
}

impl Git {
    /// `git <subcommand>`, which needs no network.
    pub(super) fn local(&self, subcommand: &str) -> GitCommand<'_> {
        GitCommand {
            git: self,
            arguments: vec![subcommand.into()],
            folder: self.shared.settings.mirrors.clone(),
            configuration: Vec::new(),
            protocols: &self.shared.protocols,
            access: Access::default(),
            scope: self.shared.settings.git_url.clone(),
            place: Some(&self.shared.places.local),
            stdin: None,
            timeout: self.shared.settings.local_timeout,
            most_output: OUTPUT_LIMIT,
            ends_at_most: false,
            most_memory: None,
        }
    }

    /// `git <subcommand>`, which asks a server and shows it this.
    pub(super) fn remote(&self, subcommand: &str, access: Access) -> GitCommand<'_> {
        GitCommand {
            access,
            place: Some(&self.shared.places.remote),
            timeout: self.shared.settings.network_timeout,
            most_memory: Some(self.shared.settings.most_memory),
            ..self.local(subcommand)
        }
    }
}

impl GitCommand<'_> {
    /// Runs in this folder: a work tree, or a bare repository.
    pub fn inside(mut self, folder: &Path) -> Self {
        self.arguments.insert(0, folder.into());
        self.arguments.insert(0, "-C".into());
        self.making(folder)
    }

    /// Writes to this folder.
    pub fn making(mut self, folder: &Path) -> Self {
        self.folder = folder.to_owned();
        self
    }

    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A setting for this command alone.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.configuration.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Lets git read from paths of this machine.
    pub fn may_read_paths(mut self) -> Self {
        self.protocols = "file";
        self
    }

    /// Shows its credential only below this URL: a submodule's may be any.
    pub fn shown_below(mut self, url: String) -> Self {
        self.scope = url;
        self
    }

    /// Waits for nobody: for what a build does once, as there are few builds at a time, and which
    /// server it asks is the commit's to choose.
    pub fn at_once(mut self) -> Self {
        self.place = None;
        self
    }

    /// Git's standard input. With an empty file under a lock, git holds the lock as long as it
    /// lives, also when this service does not.
    pub fn stdin(mut self, file: File) -> Self {
        self.stdin = Some(file);
        self
    }

    /// Another limit than that of its kind.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Keeps so many bytes of the standard output, and ends git where there are more.
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.most_output = bytes;
        self.ends_at_most = true;
        self
    }

    /// Runs git to its end, whatever that is.
    ///
    /// # Errors
    ///
    /// `TimedOut`, and `Io` when git cannot be run. Git and its children are then gone, as they
    /// are when the returned future is dropped.
    pub async fn output(mut self) -> Result<Output, GitError> {
        let _place = match self.place.take() {
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        let (name, folder) = (self.name(), std::mem::take(&mut self.folder));
        let with_credential = self.access.credential.is_some();
        let anonymous_because = self.access.anonymous_because.take();
        let running = |source| GitError::Io {
            action: format!("running {name}"),
            source,
        };
        let (timeout, most, ends_at_most) = (self.timeout, self.most_output, self.ends_at_most);
        let mut child = self.command().spawn().map_err(running)?;
        // Dropped before the child is, whose id is still its own then.
        let group = ProcessGroup::of(&child);
        let stdout = child.stdout.take().expect("it is piped");
        let mut stderr = child.stderr.take().expect("it is piped");

        let ended = tokio::time::timeout(timeout, async {
            tokio::try_join!(
                read_beginning(stdout, most, ends_at_most),
                read_end(&mut stderr, STDERR_TAIL),
                child.wait(),
            )
        });
        let Ok(ended) = ended.await else {
            drop(group);
            let _ = child.wait().await;
            return Err(GitError::TimedOut {
                command: name,
                after: timeout,
            });
        };
        let ((stdout, is_cut), (stderr, changed_refs), status) = ended.map_err(running)?;
        group.disarm();
        Ok(Output {
            command: name,
            folder,
            code: status.code(),
            stdout,
            is_cut,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            changed_refs,
            with_credential,
            anonymous_because,
        })
    }

    /// Runs git, which has to succeed.
    ///
    /// # Errors
    ///
    /// Like [`GitCommand::output`], and `Failed`.
    pub async fn run(self) -> Result<Output, GitError> {
        let output = self.output().await?;
        if output.code == Some(0) {
            Ok(output)
        } else {
            Err(output.into_failure())
        }
    }

    /// `git fetch`, for messages.
    fn name(&self) -> String {
        let subcommand = match self.arguments.first() {
            Some(first) if first == "-C" => self.arguments.get(2),
            first => first,
        };
        let subcommand = subcommand.map(|name| name.to_string_lossy());
        format!("git {}", subcommand.unwrap_or_default())
    }

    fn command(self) -> Command {
        let mut command = match self.most_memory {
            None => Command::new("git"),
            // The programs that git starts have the same limit, each for itself. A lower one, which
            // somebody else has set, stays.
            Some(most) => {
                let mut shell = Command::new("sh");
                let limited = "ulimit -d \"$0\" 2>/dev/null; exec git \"$@\"";
                shell.args(["-c", limited, &most.as_u64().div_ceil(1024).to_string()]);
                shell
            }
        };
        command.args(&self.arguments).env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let home = self.git.home();
        command
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home)
            .env("GIT_CONFIG_GLOBAL", home.join(".gitconfig"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("GIT_ALLOW_PROTOCOL", self.protocols)
            // Who reflogs say it was.
            .env("GIT_COMMITTER_NAME", "autobuilder")
            .env("GIT_COMMITTER_EMAIL", "autobuilder@localhost")
            // Reading must not write: no lock of ours is held while a checkout is looked at.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C");

        let stall = self.git.shared.settings.stall;
        let scope = &self.scope;
        let access = self.access.credential.into_iter().flat_map(|credential| {
            [
                (format!("http.{scope}/.extraHeader"), credential.header),
                // Behind a redirect to another host, git's second request would show it there:
                // curl leaves such a header out only where it follows the redirect itself.
                (format!("http.{scope}/.followRedirects"), "false".to_owned()),
            ]
        });
        let configuration = CONFIGURATION
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            // Long before the whole fetch would be given up.
            .chain([("http.lowSpeedTime".to_owned(), stall.as_secs().to_string())])
            .chain(access)
            .chain(self.configuration);
        let mut count = 0;
        for (key, value) in configuration {
            command
                .env(format!("GIT_CONFIG_KEY_{count}"), key)
                .env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());

        command
            .stdin(self.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

impl Output {
    /// It came to the end of a disk.
    pub fn lacks_room(&self) -> bool {
        self.code != Some(0) && room::says_lacking(&self.stderr)
    }

    pub fn into_failure(self) -> GitError {
        if self.lacks_room() {
            return GitError::Full {
                command: self.command,
                folder: self.folder,
            };
        }
        let stderr = match self.code {
            Some(_) => self.stderr,
            None => format!("{}\nit was killed by a signal", self.stderr),
        };
        GitError::Failed {
            command: self.command,
            stderr,
        }
    }

    /// Standard output as text, invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The line that says why, of all that git said: the first that is fatal or an error, else the
/// last.
pub(super) fn gist(stderr: &str) -> &str {
    let lines = || {
        stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let reason = lines()
        .find(|line| line.starts_with("fatal: ") || line.starts_with("error: "))
        .or_else(|| lines().next_back())
        .unwrap_or("it gave no reason");
    reason
        .strip_prefix("fatal: ")
        .or_else(|| reason.strip_prefix("error: "))
        .unwrap_or(reason)
}

/// Kills git and the programs it started (git-remote-https, index-pack, …) unless it ended
/// by itself: they form a process group.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &tokio::process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may just have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Keeps the first `limit` bytes; says whether there was more. What is more is read and dropped,
/// or never read: then whoever writes it gets a broken pipe.
async fn read_beginning(
    mut source: impl AsyncRead + Unpin,
    limit: usize,
    ends_there: bool,
) -> std::io::Result<(Vec<u8>, bool)> {
    let mut kept = Vec::new();
    (&mut source)
        .take(limit as u64)
        .read_to_end(&mut kept)
        .await?;
    let is_cut = match ends_there {
        true => source.read(&mut [0]).await? > 0,
        false => tokio::io::copy(&mut source, &mut tokio::io::sink()).await? > 0,
    };
    Ok((kept, is_cut))
}

/// Reads to the end and keeps the last `limit` bytes or so; counts the arrows on the way.
async fn read_end(
    source: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> std::io::Result<(Vec<u8>, usize)> {
    const ARROW: &[u8] = b" -> ";
    let mut kept = Vec::new();
    let mut arrows = 0;
    let mut block = [0; 4096];
    loop {
        let length = source.read(&mut block).await?;
        if length == 0 {
            return Ok((kept, arrows));
        }
        // With what could be the beginning of one that was cut in two.
        let fresh = kept.len().saturating_sub(ARROW.len() - 1);
        kept.extend_from_slice(&block[..length]);
        arrows += memchr::memmem::find_iter(&kept[fresh..], ARROW).count();
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
}
