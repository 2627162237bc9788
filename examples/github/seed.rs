//! What there is at the first start: the repository and the configuration that the demo has, too.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use github_model::Model;

/// Each with the folder of `examples/` that it is filled from.
const REPOSITORIES: [(&str, &str); 2] = [
    ("acme/configuration", "configuration"),
    ("acme/hello", "hello"),
];

pub async fn repositories(github: &Model) -> anyhow::Result<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (name, folder) in REPOSITORIES {
        github.repository(name).await;
        let bare = github.folder().join(name);
        commit(&bare, &examples.join(folder)).with_context(|| format!("cannot fill {name}"))?;
    }
    Ok(())
}

/// Commits a folder's files to the bare repository's default branch.
fn commit(bare: &Path, files: &Path) -> anyhow::Result<()> {
    let index = tempfile::tempdir()?;
    let git = |arguments: &[&str]| -> anyhow::Result<()> {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .env("GIT_DIR", bare)
            .env("GIT_WORK_TREE", files)
            .env("GIT_INDEX_FILE", index.path().join("index"))
            // Whatever this user's own git is set to (signing, hooks) has no part in this.
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(files)
            .output()
            .context("cannot run git")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    };
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "As in examples/"])
}
