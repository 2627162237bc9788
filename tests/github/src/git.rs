//! The real git behind the model: bare repositories, asked by git's command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// GitHub lists at most so many commits of a push.
/// Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>.
const MOST_COMMITS: &str = "--max-count=2048";

/// What `git log` prints of a commit: a mark that begins it, then fields, each ended by NUL.
const COMMIT_FORMAT: &str = "--format=%x01%H%x00%T%x00%cI%x00%an%x00%ae%x00%cn%x00%ce%x00%B";

#[derive(Clone, Debug)]
pub(crate) struct Bare(pub PathBuf);

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Commit {
    pub id: String,
    pub tree: String,
    pub time: String,
    pub author: (String, String),
    pub committer: (String, String),
    pub message: String,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub modified: Vec<String>,
}

impl Bare {
    /// Opens the repository; makes it unless it is there.
    pub fn open(path: PathBuf) -> Self {
        let bare = Self(path);
        if bare.is_gone() {
            std::fs::create_dir_all(&bare.0).expect("a folder for the repository");
            bare.must(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        }
        assert!(
            bare.gives_any_commit(),
            "{} is no repository",
            bare.0.display()
        );
        bare
    }

    /// Opens a repository that somebody else makes; none until that is done.
    pub fn adopt(path: PathBuf) -> Option<Self> {
        let bare = Self(path);
        let output = bare.run(&["rev-parse", "--is-bare-repository"]);
        let is_whole = text(&output.stdout) == "true" && bare.gives_any_commit();
        is_whole.then_some(bare)
    }

    /// GitHub gives any commit that a ref ever pointed to, until it is collected.
    fn gives_any_commit(&self) -> bool {
        self.asks(&["config", "uploadpack.allowAnySHA1InWant", "true"])
    }

    pub fn default_branch(&self) -> String {
        self.read(&["symbolic-ref", "--short", "HEAD"])
    }

    pub fn set_default_branch(&self, branch: &str) {
        self.must(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
    }

    /// Whether this is the full id of a commit that git has.
    pub fn has_commit(&self, id: &str) -> bool {
        is_id(id) && self.asks(&["cat-file", "-e", &format!("{id}^{{commit}}")])
    }

    /// The commit behind an id, a branch or a tag.
    pub fn commit_of(&self, reference: &str) -> Option<String> {
        let candidates = [
            reference.to_owned(),
            format!("refs/heads/{reference}"),
            format!("refs/tags/{reference}"),
        ];
        candidates.iter().find_map(|candidate| {
            let commit = format!("{candidate}^{{commit}}");
            let output = self.run(&[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &commit,
            ]);
            output.status.success().then(|| text(&output.stdout))
        })
    }

    /// Branches and tags, and what they point to: for an annotated tag that is the tag's own object.
    pub fn refs(&self) -> BTreeMap<String, String> {
        let format = "--format=%(refname) %(objectname)";
        self.read(&["for-each-ref", format, "refs/heads", "refs/tags"])
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    /// Whether somebody has removed the repository.
    pub fn is_gone(&self) -> bool {
        !self.0.join("HEAD").exists()
    }

    /// Branches and tags with the commits they lead to.
    pub fn commits_of_refs(&self) -> Vec<(String, String)> {
        // What an annotated tag points to stands in the last field, which is empty for other refs.
        let format = "--format=%(refname) %(objectname) %(*objectname)";
        self.read(&["for-each-ref", format, "refs/heads", "refs/tags"])
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next()?.to_owned();
                Some((name, words.next_back()?.to_owned()))
            })
            .collect()
    }

    pub fn is_ancestor(&self, older: &str, newer: &str) -> bool {
        self.asks(&["merge-base", "--is-ancestor", older, newer])
    }

    /// The commits that `newer` has and none of `older`, oldest first, with the files they changed.
    pub fn commits(&self, newer: &str, older: &[String]) -> Vec<Commit> {
        let mut arguments = vec![
            "log",
            "-z",
            MOST_COMMITS,
            COMMIT_FORMAT,
            "--name-status",
            "--no-renames",
            "--diff-merges=first-parent",
            newer,
            "--not",
        ];
        arguments.extend(older.iter().map(String::as_str));
        arguments.push("--");
        let output = self.must_bytes(&arguments);
        let mut commits = parse_log(&String::from_utf8_lossy(&output));
        commits.reverse();
        commits
    }

    /// One commit with the files it changed.
    pub fn commit(&self, id: &str) -> Option<Commit> {
        let output = self.must_bytes(&[
            "log",
            "-z",
            "--max-count=1",
            COMMIT_FORMAT,
            "--name-status",
            "--no-renames",
            "--diff-merges=first-parent",
            id,
            "--",
        ]);
        parse_log(&String::from_utf8_lossy(&output)).pop()
    }

    /// The newest commits of all branches, as id and first line.
    pub fn newest(&self, count: usize) -> Vec<(String, String)> {
        let count = format!("--max-count={count}");
        self.read(&["log", "--branches", "--tags", &count, "--format=%H %s"])
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(id, subject)| (id.to_owned(), subject.to_owned()))
            .collect()
    }

    fn asks(&self, arguments: &[&str]) -> bool {
        self.run(arguments).status.success()
    }

    /// What is shown of a repository; nothing while somebody removes it.
    fn read(&self, arguments: &[&str]) -> String {
        text(&self.run(arguments).stdout)
    }

    fn must(&self, arguments: &[&str]) -> String {
        text(&self.must_bytes(arguments))
    }

    fn must_bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        let folder = self.0.display();
        assert!(
            output.status.success(),
            "git {arguments:?} in {folder}: {error}"
        );
        output.stdout
    }

    fn run(&self, arguments: &[&str]) -> Output {
        git_in(&self.0, arguments)
    }
}

/// Runs git without whatever this user or machine has set.
fn git_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git can be run")
}

pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn parse_log(log: &str) -> Vec<Commit> {
    let mut commits: Vec<Commit> = Vec::new();
    let mut fields = log.split('\0').peekable();
    while let Some(field) = fields.next() {
        // Between the fields and the names of files stands a newline.
        let field = field.trim_start_matches('\n');
        if let Some(id) = field.strip_prefix('\u{1}') {
            let mut next = || fields.next().unwrap_or_default().to_owned();
            commits.push(Commit {
                id: id.to_owned(),
                tree: next(),
                time: next(),
                author: (next(), next()),
                committer: (next(), next()),
                message: next().trim_end_matches('\n').to_owned(),
                ..Commit::default()
            });
        } else if let (Some(commit), false) = (commits.last_mut(), field.is_empty()) {
            let path = fields.next().unwrap_or_default().to_owned();
            match field {
                "A" => commit.added.push(path),
                "D" => commit.removed.push(path),
                _ => commit.modified.push(path),
            }
        }
    }
    commits
}
