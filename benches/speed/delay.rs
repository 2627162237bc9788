//! From a line written in the container to the client that watches.

use anyhow::{Context, ensure};

use super::Measure;
use super::emitter::LINE;
use super::figures::{Figure, milliseconds, now, row, table};
use super::live::Watcher;
use super::raw;
use super::stage::{PACE, PACED, Stage};

/// The first lines are written before anyone can have asked for them: a build's follower is a
/// process that Docker has to start.
const START: u64 = PACE;

pub async fn run(stage: &Stage, measure: &Measure) -> anyhow::Result<()> {
    let lines = PACE * measure.paced_seconds;

    let container = raw::with_emitter(stage).await?;
    let mut raw = Lines::default();
    let read = |bytes: &[u8]| raw.take(now(), bytes);
    raw::emit(&container, lines, 0, PACE, read).await?;
    container.remove().await?;

    let service = stage.start().await?;
    let delivery = stage.emitters.push(PACED)?;
    let mut watcher = Watcher::connect(service.process.address).await?;
    let processor_time = service.process.processor_time()?;
    let build = service.push(&delivery).await?.build;
    watcher.follow(&build, 0).await?;
    let mut watched = Lines::default();
    watcher
        .watch(|piece| watched.take(piece.came, piece.bytes))
        .await?;
    let processor_time = service.process.processor_time()? - processor_time;
    service.until_succeeded(&build).await?;
    service.stop()?;

    let mut rows = vec![row(["", "p50, ms", "p90, ms", "p99, ms", "most, ms"])];
    for (name, figure) in [
        ("raw exec", raw.delays(lines, 0)?),
        (
            "autobuilder, after the first second",
            watched.delays(lines, START)?,
        ),
        (
            "autobuilder, from the first line on",
            watched.delays(lines, 0)?,
        ),
    ] {
        let mut cells = vec![name.to_owned()];
        for share in [0.5, 0.9, 0.99, 1.0] {
            cells.push(format!("{:.2}", figure.quantile(share)));
        }
        rows.push(cells);
    }
    let title = format!(
        "Delay from a line in the container to the client: {PACE} lines/s for {} s; \
         processor time of the service {processor_time:.2} s",
        measure.paced_seconds
    );
    println!("{}", table(&title, &rows));
    Ok(())
}

/// The lines of the paced emitter, and how late each came.
#[derive(Default)]
struct Lines {
    unfinished: Vec<u8>,
    delays: Vec<i64>,
}

impl Lines {
    fn take(&mut self, came: i64, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                continue;
            }
            if let Some(written) = written(&self.unfinished) {
                self.delays.push(came - written);
            }
            self.unfinished.clear();
        }
    }

    /// Of all lines but the first so many, in milliseconds.
    fn delays(&self, lines: u64, skipped: u64) -> anyhow::Result<Figure> {
        let came = self.delays.len() as u64;
        ensure!(came == lines, "{came} of {lines} lines came");
        let skipped = usize::try_from(skipped).context("a number of lines")?;
        let delays = self.delays[skipped..].iter();
        Ok(delays.map(|&delay| milliseconds(delay)).collect())
    }
}

/// When a line was written, if it is one of the emitter's.
fn written(line: &[u8]) -> Option<i64> {
    if line.len() as u64 != LINE {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.strip_prefix("paced ")?.split(' ');
    words.nth(1)?.parse().ok()
}
