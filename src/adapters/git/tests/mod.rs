//! Stories with real git: servers are repositories in temporary folders, reached by path and by
//! `file://`, and sockets that never answer.

mod changes;
mod checkout;
mod credential;
mod mirror;
mod server;
mod tree;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

const SILENT: Progress<'static> = &|_| {};

/// A server with repositories at `<folder>/server/<owner>/<name>`, and a service beside it.
struct World {
    folder: TempDir,
    git: Git,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("server").to_str().unwrap().to_owned();
        Self::with_url(folder, &url)
    }

    fn with_url(folder: TempDir, url: &str) -> Self {
        let mut settings = Settings::new(url, folder.path().join("mirrors"));
        settings.retry_after = Duration::from_millis(1);
        let git = Git::new(settings).unwrap();
        Self { folder, git }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, repository: &RepositoryName) -> PathBuf {
        self.path("server").join(repository.as_str())
    }

    fn mirror(&self, repository: &RepositoryName) -> PathBuf {
        self.path("mirrors").join(format!("{repository}.git"))
    }

    fn repository(&self, name: &str) -> RepositoryName {
        let repository: RepositoryName = name.parse().unwrap();
        let folder = self.server(&repository);
        fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet", "--initial-branch=master"]);
        repository
    }

    /// Commits a file on the branch that is checked out on the server.
    fn commit(&self, repository: &RepositoryName, file: &str, content: &str) -> CommitSha {
        let folder = self.server(repository);
        fs::write(folder.join(file), content).unwrap();
        git(&folder, &["add", "--all"]);
        git(
            &folder,
            &["commit", "--quiet", "--message", &format!("add {file}")],
        );
        self.head(repository)
    }

    fn head(&self, repository: &RepositoryName) -> CommitSha {
        git(&self.server(repository), &["rev-parse", "HEAD"])
            .parse()
            .unwrap()
    }
}

/// Runs git as a developer would, with a configuration of its own.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=A Developer",
            "-c",
            "user.email=dev@example.org",
        ])
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .args(arguments)
        .env_remove("GIT_DIR")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn branch(name: &str) -> GitRef {
    GitRef::Branch(name.parse().unwrap())
}

fn tag(name: &str) -> GitRef {
    GitRef::Tag(name.parse().unwrap())
}
