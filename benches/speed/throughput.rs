//! A million lines: how fast they are in the log and with every watcher, and what that costs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Measure;
use super::emitter::{LINE, Times};
use super::figures::{Figure, mebibytes, now, row, seconds, table};
use super::live::Watcher;
use super::raw;
use super::stage::{BLOCKS, BLOCKWISE, LINES, LINEWISE, Stage};

/// How a script writes, and with how many watchers that is measured.
struct Way {
    name: &'static str,
    branch: &'static str,
    block: u64,
    watchers: &'static [usize],
}

const WAYS: [Way; 2] = [
    Way {
        name: "each written alone",
        branch: LINES,
        block: LINEWISE,
        watchers: &[0, 1, 20],
    },
    Way {
        name: "written in blocks of 4 KiB",
        branch: BLOCKS,
        block: BLOCKWISE,
        watchers: &[0, 1, 20],
    },
];

pub async fn run(stage: &Stage, measure: &Measure) -> anyhow::Result<()> {
    for way in &WAYS {
        run_way(stage, measure, way).await?;
    }
    Ok(())
}

async fn run_way(stage: &Stage, measure: &Measure, way: &Way) -> anyhow::Result<()> {
    let lines = measure.lines;
    let bytes = lines * LINE;
    let mut raw = Case::default();
    let mut cases: Vec<Case> = way.watchers.iter().map(|_| Case::default()).collect();
    // By turns: whatever else the machine does meets all of them.
    for _ in 0..measure.runs {
        let container = raw::with_emitter(stage).await?;
        let (times, last) = raw::emit(&container, lines, way.block, 0, |_| ()).await?;
        container.remove().await?;
        raw.whole.add(seconds(last - times.started));
        raw.script.add(seconds(times.took()));
        for (case, &watchers) in cases.iter_mut().zip(way.watchers) {
            case.add(&emit(stage, way.branch, lines, watchers).await?);
        }
    }

    let speed = |case: &Case| {
        let took = case.whole.median();
        [
            format!("{:.0}", lines as f64 / took),
            format!("{:.0}", bytes as f64 / 1e6 / took),
            format!("{:.2}", raw.whole.median() / took),
        ]
    };
    let mut rows = vec![row([
        "",
        "in the log, s",
        "lines/s",
        "MB/s",
        "of raw",
        "script's own time, s",
        "log synced, s",
    ])];
    let mut line = |name: String, case: &Case| {
        let mut cells = vec![name, case.whole.show(2)];
        cells.extend(speed(case));
        cells.extend([case.script.show(2), case.synced.show(2)]);
        rows.push(cells);
    };
    line("raw exec, read and thrown away".to_owned(), &raw);
    for (case, watchers) in cases.iter().zip(way.watchers) {
        line(format!("autobuilder, {watchers} watchers"), case);
    }
    let title = format!(
        "Log throughput: {lines} lines of {LINE} bytes, {}, from the script's start; median (least–most) of {} runs",
        way.name, measure.runs
    );
    println!("{}", table(&title, &rows));

    let mut rows = vec![row([
        "",
        "first watcher has all, s",
        "last watcher has all, s",
        "peak memory, MiB",
        "of it anonymous, MiB",
        "processor time, s",
    ])];
    for (case, watchers) in cases.iter().zip(way.watchers) {
        rows.push(vec![
            format!("{watchers} watchers"),
            case.first_watcher.show(2),
            case.last_watcher.show(2),
            case.peak.show(1),
            case.anonymous.show(1),
            case.processor.show(2),
        ]);
    }
    println!(
        "{}",
        table("The same runs: watchers, and the service itself", &rows)
    );
    Ok(())
}

#[derive(Default)]
struct Case {
    whole: Figure,
    script: Figure,
    synced: Figure,
    first_watcher: Figure,
    last_watcher: Figure,
    peak: Figure,
    anonymous: Figure,
    processor: Figure,
}

impl Case {
    fn add(&mut self, emitted: &Emitted) {
        let since_start = |time: i64| seconds(time - emitted.times.started);
        self.whole.add(since_start(emitted.in_log));
        self.script.add(seconds(emitted.times.took()));
        self.synced.add(since_start(emitted.ended));
        if let (Some(&first), Some(&last)) =
            (emitted.watched.iter().min(), emitted.watched.iter().max())
        {
            self.first_watcher.add(since_start(first));
            self.last_watcher.add(since_start(last));
        }
        self.peak.add(mebibytes(emitted.peak));
        self.anonymous.add(mebibytes(emitted.anonymous));
        self.processor.add(emitted.processor_time);
    }
}

/// One build of the emitter. Moments in nanoseconds since 1970, memory in bytes.
pub struct Emitted {
    pub build: String,
    pub times: Times,
    /// The log file had every byte of the script.
    pub in_log: i64,
    /// The build had ended; before that its log is synced.
    pub ended: i64,
    /// When each watcher had every byte of the script.
    pub watched: Vec<i64>,
    pub peak: u64,
    pub anonymous: u64,
    /// Seconds.
    pub processor_time: f64,
}

/// Builds one push to this branch of the emitter, which writes so many lines, by a service that
/// was started for it.
pub async fn emit(
    stage: &Stage,
    branch: &str,
    lines: u64,
    watchers: usize,
) -> anyhow::Result<Emitted> {
    let service = stage.start().await?;
    // Not before: at its start, the service looks for pushes that nobody told of.
    let delivery = stage.emitters.push(branch)?;
    let mut connected = Vec::new();
    for _ in 0..watchers {
        connected.push(Watcher::connect(service.process.address).await?);
    }
    let memory = service.process.sample();
    let processor_time = service.process.processor_time()?;

    let build = service.push(&delivery).await?.build;
    let growth = Growth::watch(stage.build_folder(&build).join("log"));
    let mut watching = Vec::new();
    for mut watcher in connected {
        watcher.follow(&build, 0).await?;
        watching.push(tokio::spawn(async move {
            let mut growth = Vec::new();
            let watched = watcher.watch(|piece| {
                growth.push((piece.came, piece.offset + piece.bytes.len() as u64));
            });
            watched.await?;
            anyhow::Ok(growth)
        }));
    }
    let ended = service.until_succeeded(&build).await?;
    let log_growth = growth.so_far();
    let processor_time = service.process.processor_time()? - processor_time;
    let mut watched = Vec::new();
    for watcher in watching {
        watched.push(watcher.await??);
    }
    let peak = service.process.peak()?;

    let end = end_of_output(&service, &build, lines).await?;
    let reached = |growth: &[(i64, u64)]| {
        let moment = growth.iter().find(|(_, length)| *length >= end);
        moment.map(|(time, _)| *time).context("not every byte came")
    };
    let emitted = Emitted {
        times: service.times(&build).await?,
        in_log: reached(&log_growth)?,
        ended: super::stage::moment(&ended["ended"])?,
        watched: watched
            .iter()
            .map(|growth| reached(growth))
            .collect::<anyhow::Result<_>>()?,
        peak,
        anonymous: memory.most(),
        processor_time,
        build,
    };
    service.stop()?;
    Ok(emitted)
}

/// Where the script's output ends in the log, of which the last line is looked at.
async fn end_of_output(
    service: &super::stage::Service<'_>,
    build: &str,
    lines: u64,
) -> anyhow::Result<u64> {
    let log = format!("/api/v1/builds/{build}/log");
    let first = service.get(&format!("{log}?offset=0&limit=65536")).await?;
    let first_line = b"line 0000000001: ";
    let start = first
        .windows(first_line.len())
        .position(|window| window == first_line)
        .context("the log does not have the first line")? as u64;
    let end = start + lines * LINE;
    let last = format!("{log}?offset={}&limit={LINE}", end - LINE);
    let last = service.get(&last).await?;
    let expected = format!("line {lines:010}: ");
    ensure!(
        last.starts_with(expected.as_bytes()) && last.ends_with(b"\n"),
        "the log does not have the last line at its place"
    );
    Ok(end)
}

/// Looks at a file's length all the time.
struct Growth {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Vec<(i64, u64)>>>,
}

impl Growth {
    fn watch(file: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut growth = Vec::new();
            let mut known = 0;
            while !stopped.load(Ordering::Relaxed) {
                let length = fs::metadata(&file).map_or(0, |metadata| metadata.len());
                if length != known {
                    growth.push((now(), length));
                    known = length;
                }
                thread::sleep(Duration::from_millis(1));
            }
            growth
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    fn so_far(mut self) -> Vec<(i64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().and_then(|thread| thread.join().ok());
        thread.unwrap_or_default()
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
