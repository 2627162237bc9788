//! A repository "on GitHub", from which the service fetches, and GitHub telling of its pushes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

pub const WEBHOOK_SECRET: &str = "a-secret-shared-with-github";

/// What GitHub says instead of a commit where there is none.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// GitHub's payload for a push of one commit has some 8 KB, most of them addresses of its API.
const USUAL_PAYLOAD: usize = 8 * 1024;

pub struct Repository {
    name: String,
    folder: PathBuf,
}

impl Repository {
    /// With one commit, of these files, on `main`.
    pub fn create(root: &Path, name: &str, files: &[(&str, &[u8])]) -> anyhow::Result<Self> {
        let repository = Self {
            name: name.to_owned(),
            folder: root.join(name),
        };
        fs::create_dir_all(&repository.folder)?;
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        for (path, content) in files {
            let path = repository.folder.join(path);
            fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            fs::write(&path, content)?;
        }
        repository.git(&["add", "--all"])?;
        repository.git(&["commit", "--quiet", "--message", "The benchmark's files"])?;
        Ok(repository)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a commit to a branch; returns the delivery that tells of it.
    pub fn push(&self, branch: &str) -> anyhow::Result<Delivery> {
        let reference = format!("refs/heads/{branch}");
        let before = self.git(&["for-each-ref", "--format=%(objectname)", &reference])?;
        let parent = if before.is_empty() { "main" } else { &before };
        let message = "A change that is pushed";
        let after = self.git(&["commit-tree", "main^{tree}", "-p", parent, "-m", message])?;
        self.git(&["update-ref", &reference, &after])?;
        let before = if before.is_empty() {
            NO_COMMIT
        } else {
            &before
        };
        Ok(Delivery::of_push(&self.name, branch, before, &after))
    }

    /// A delivery that tells of a commit that need not exist.
    pub fn invented_push(&self, branch: &str, before: &str, after: &str) -> Delivery {
        Delivery::of_push(&self.name, branch, before, after)
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .context("git cannot be run")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {arguments:?}: {error}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// A signed delivery, ready to be sent.
#[derive(Clone)]
pub struct Delivery {
    id: String,
    signature: String,
    body: Vec<u8>,
}

impl Delivery {
    fn of_push(repository: &str, branch: &str, before: &str, after: &str) -> Self {
        let commit = json!({
            "id": after,
            "message": "A change that is pushed",
            "author": {"name": "Ada", "email": "ada@example.org", "username": "ada"},
            "url": format!("https://github.com/{repository}/commit/{after}"),
        });
        let payload = json!({
            "ref": format!("refs/heads/{branch}"),
            "before": before,
            "after": after,
            "created": before == NO_COMMIT,
            "deleted": false,
            "forced": false,
            "repository": {
                "full_name": repository,
                "default_branch": "main",
                "addresses": "x".repeat(USUAL_PAYLOAD - 1024),
            },
            "pusher": {"name": "ada", "email": "ada@example.org"},
            "commits": [commit],
            "head_commit": commit,
        });
        let body = payload.to_string().into_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(&body);
        Self {
            id: format!("delivery-{branch}-{after}"),
            signature: format!("sha256={}", hex::encode(mac.finalize().into_bytes())),
            body,
        }
    }

    pub fn request(&self, http: &reqwest::Client, url: &str) -> reqwest::RequestBuilder {
        http.post(url)
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", &self.id)
            .header("x-hub-signature-256", &self.signature)
            .body(self.body.clone())
    }
}
