//! The program of emitter.rs, compiled, and what it leaves.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Bytes, line end included.
pub const LINE: u64 = 100;

/// The script's own clock: nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub started: i64,
    pub ended: i64,
}

impl Times {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (started, ended) = text
            .trim()
            .split_once(' ')
            .with_context(|| format!("no times: {text:?}"))?;
        Ok(Self {
            started: started.parse()?,
            ended: ended.parse()?,
        })
    }

    pub fn took(self) -> i64 {
        self.ended - self.started
    }
}

/// Returns the program's bytes. Static, so that it runs in an image without any library.
pub fn compile(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let program = folder.join("emitter");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--crate-name=emitter", "-Copt-level=3"])
        .args([
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "-Ctarget-feature=+crt-static",
        ])
        .arg("-o")
        .arg(&program)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/emitter.rs"))
        .output()
        .context("rustc cannot be run")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the emitter did not compile: {error}"
    );
    Ok(std::fs::read(program)?)
}
