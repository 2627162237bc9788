//! A repository "on GitHub": a bare one that the service fetches from, and somebody's clone of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::process::output;

/// What GitHub says instead of a commit where there is none.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

pub struct Repository {
    pub name: String,
    pub bare: PathBuf,
    clone: PathBuf,
}

/// A push that git has taken and of which nobody has told the service.
#[derive(Clone)]
pub struct Push {
    pub payload: Value,
    pub commit: String,
}

impl Repository {
    /// `folder/git` is what the service takes for GitHub.
    pub fn create(folder: &Path, name: &str) -> Self {
        let (bare, clone) = (
            folder.join("git").join(name),
            folder.join("clones").join(name),
        );
        for path in [&bare, &clone] {
            fs::create_dir_all(path).unwrap();
        }
        git(
            &bare,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
        );
        // GitHub, too, gives any commit that a ref ever pointed to, until it is collected.
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(&clone, &["init", "--quiet", "--initial-branch=main"]);
        git(&clone, &["remote", "add", "origin", bare.to_str().unwrap()]);
        Self {
            name: name.to_owned(),
            bare,
            clone,
        }
    }

    /// Runs git in the clone.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.clone, arguments)
    }

    /// Writes files and commits everything. Scripts need not be executable: the service sees to
    /// that. Returns the commit's id.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.clone.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&[
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "A change",
        ]);
        self.head()
    }

    /// A place in the clone.
    pub fn path(&self, path: &str) -> PathBuf {
        self.clone.join(path)
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes HEAD to a branch, as a fast-forward.
    pub fn push(&self, branch: &str) -> Push {
        self.push_ref(&format!("refs/heads/{branch}"), false)
    }

    /// Pushes HEAD to a branch, whatever was there.
    pub fn force_push(&self, branch: &str) -> Push {
        self.push_ref(&format!("refs/heads/{branch}"), true)
    }

    /// Makes a tag of HEAD and pushes it.
    pub fn push_tag(&self, tag: &str) -> Push {
        self.git(&["tag", "--annotate", "--message", "A release", tag]);
        self.push_ref(&format!("refs/tags/{tag}"), false)
    }

    fn push_ref(&self, reference: &str, forced: bool) -> Push {
        let before = git(
            &self.bare,
            &["for-each-ref", "--format=%(objectname)", reference],
        );
        let source = reference.strip_prefix("refs/tags/").unwrap_or("HEAD");
        let refspec = format!("{}{source}:{reference}", if forced { "+" } else { "" });
        self.git(&["push", "--quiet", "origin", &refspec]);
        self.told(reference, &before, forced)
    }

    /// What GitHub would tell of a push of HEAD.
    /// Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>.
    fn told(&self, reference: &str, before: &str, forced: bool) -> Push {
        let commit = self.head();
        let (owner, name) = self.name.split_once('/').unwrap();
        let head = json!({
            "id": commit,
            "message": self.git(&["log", "-1", "--format=%B"]),
            "timestamp": self.git(&["log", "-1", "--format=%cI"]),
            "url": format!("https://github.com/{}/commit/{commit}", self.name),
            "author": {"name": "Ada", "email": "ada@example.org", "username": "ada"},
        });
        let payload = json!({
            "ref": reference,
            "before": if before.is_empty() { NO_COMMIT } else { before },
            "after": commit,
            "created": before.is_empty(),
            "deleted": false,
            "forced": forced,
            "repository": {
                "id": 1,
                "name": name,
                "full_name": self.name,
                "owner": {"login": owner, "name": owner},
                "default_branch": "main",
            },
            "pusher": {"name": "ada", "email": "ada@example.org"},
            "sender": {"login": "ada"},
            "commits": [head],
            "head_commit": head,
        });
        Push { payload, commit }
    }
}

/// Runs git, without whatever this user or machine has set.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = output(&mut command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "git {arguments:?} in {}: {error}",
        folder.display()
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
