//! `make bench`: the same work by a raw Docker client and by autobuilder, side by side.
//!
//! It starts the service as an operator would, as a process of its own with real Docker and real
//! git, and looks at it from outside: HTTP, WebSocket, its files, /proc. Nothing of the service
//! is linked in. `QUICK=1` is a version of one minute; names of sections as arguments run only
//! those.

mod delay;
mod emitter;
mod figures;
mod live;
mod memory;
mod overhead;
mod process;
mod raw;
mod repository;
mod stage;
mod throughput;
mod webhook;

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};

use self::stage::Stage;

/// How much is done. The figures in docs/ are of the full measure.
pub struct Measure {
    /// Of each case of a section.
    pub runs: usize,
    pub lines: u64,
    pub many_lines: u64,
    pub paced_seconds: u64,
    pub small_builds: usize,
    pub webhook_seconds: u64,
}

const FULL: Measure = Measure {
    runs: 3,
    lines: 1_000_000,
    many_lines: 10_000_000,
    paced_seconds: 20,
    small_builds: 12,
    webhook_seconds: 20,
};

const QUICK: Measure = Measure {
    runs: 1,
    lines: 1_000_000,
    many_lines: 2_000_000,
    paced_seconds: 5,
    small_builds: 3,
    webhook_seconds: 3,
};

/// Whatever hangs ends here, and is cleaned up.
const LIMIT: Duration = Duration::from_secs(10 * 60);

type Section = for<'a> fn(&'a Stage, &'a Measure) -> BoxFuture<'a, anyhow::Result<()>>;

const SECTIONS: [(&str, Section); 5] = [
    ("throughput", |stage, measure| {
        Box::pin(throughput::run(stage, measure))
    }),
    ("memory", |stage, measure| {
        Box::pin(memory::run(stage, measure))
    }),
    ("delay", |stage, measure| {
        Box::pin(delay::run(stage, measure))
    }),
    ("overhead", |stage, measure| {
        Box::pin(overhead::run(stage, measure))
    }),
    ("webhook", |stage, measure| {
        Box::pin(webhook::run(stage, measure))
    }),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_known = |name: &String| SECTIONS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
        let known = SECTIONS.map(|(name, _)| name).join(", ");
        bail!("there is no section {unknown}; those there are: {known}");
    }
    let is_quick = std::env::var("QUICK").is_ok_and(|value| !value.is_empty() && value != "0");
    let measure = if is_quick { QUICK } else { FULL };

    let stage = Stage::set_up(&measure).await.context("setting up")?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let outcome = tokio::select! {
        outcome = run(&stage, &measure, &wanted) => outcome,
        _ = interrupted.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated.recv() => Err(anyhow::anyhow!("terminated")),
        () = tokio::time::sleep(LIMIT) => Err(anyhow::anyhow!("not done after {} minutes", LIMIT.as_secs() / 60)),
    };
    if outcome.is_err() {
        eprintln!("---- the last lines of the service's log");
        eprintln!("{}", stage.end_of_log());
    }
    stage.clean_up().await.context("cleaning up")?;
    outcome
}

async fn run(stage: &Stage, measure: &Measure, wanted: &[String]) -> anyhow::Result<()> {
    println!("{}", stage.describe().await?);
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("bench: {name}");
            section(stage, measure).await.context(name)?;
        }
    }
    Ok(())
}
