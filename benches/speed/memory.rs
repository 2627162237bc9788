//! How much memory the service needs: idle, for a log of a gigabyte, and for a hundred of them.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;

use super::Measure;
use super::emitter::LINE;
use super::figures::{mebibytes, row, table};
use super::live::Watcher;
use super::process::Process;
use super::stage::{MANY_LINES, Stage};
use super::throughput::emit;

const OPEN_LOGS: u64 = 100;

/// What each of a hundred requests reads.
const RANGE: u64 = 8 * 1024 * 1024;

/// How long the clients stall that have asked for a log and do not read it.
const STALL: Duration = Duration::from_secs(5);

/// After the start, until memory is called idle.
const SETTLE: Duration = Duration::from_secs(3);

pub async fn run(stage: &Stage, measure: &Measure) -> anyhow::Result<()> {
    let mut rows = vec![row(["", "peak, MiB", "of it anonymous, MiB"])];
    let mut line = |name: String, peak: u64, anonymous: u64| {
        rows.push(vec![
            name,
            format!("{:.1}", mebibytes(peak)),
            format!("{:.1}", mebibytes(anonymous)),
        ]);
    };

    let service = stage.start().await?;
    tokio::time::sleep(SETTLE).await;
    let (resident, anonymous) = (service.process.resident()?, service.process.anonymous()?);
    line("idle, now".to_owned(), resident, anonymous);
    service.stop()?;

    let emitted = emit(stage, MANY_LINES, measure.many_lines, 1).await?;
    line(
        format!("{} lines, 1 watcher", measure.many_lines),
        emitted.peak,
        emitted.anonymous,
    );

    // Compressed, as finished logs are.
    let service = stage.start().await?;
    line(
        "the same log compressed at the next start".to_owned(),
        service.process.peak()?,
        service.process.anonymous()?,
    );
    service.stop()?;
    let logs = copy(stage, &emitted.build)?;
    let size = measure.many_lines * LINE;
    let name = |what: &str| {
        format!(
            "{OPEN_LOGS} finished logs of {:.1} GB {what}",
            size as f64 / 1e9
        )
    };

    let service = stage.start().await?;
    let (peak, anonymous) = stalled(&service.process, &logs, size).await?;
    line(name("followed by clients that stall"), peak, anonymous);
    service.stop()?;

    let service = stage.start().await?;
    let memory = service.process.sample();
    let ranges = (0..).zip(&logs).map(async |(number, log)| {
        let offset = distinct_offset(number, size);
        let path = format!("/api/v1/builds/{log}/log?offset={offset}&limit={RANGE}");
        let bytes = service.get(&path).await?.len() as u64;
        // The service's own lines are in the log, too.
        let least = RANGE.min(size - offset);
        ensure!((least..=RANGE).contains(&bytes), "a range of {bytes} bytes");
        anyhow::Ok(())
    });
    try_join_all(ranges).await?;
    line(
        name(&format!(
            "of which {} MiB each are read at once",
            RANGE >> 20
        )),
        service.process.peak()?,
        memory.most(),
    );
    drop(memory);
    service.stop()?;

    println!("{}", table("Memory of the service", &rows));
    Ok(())
}

fn distinct_offset(number: u64, size: u64) -> u64 {
    size / OPEN_LOGS * number + number
}

/// Everybody asks for a log and takes none of it, as a suspended laptop would.
async fn stalled(service: &Process, logs: &[String], size: u64) -> anyhow::Result<(u64, u64)> {
    let memory = service.sample();
    let mut watchers = Vec::new();
    for (number, log) in (0..).zip(logs) {
        let mut watcher = Watcher::connect(service.address).await?;
        watcher.follow(log, distinct_offset(number, size)).await?;
        watcher.take().await?;
        watchers.push(watcher);
    }
    tokio::time::sleep(STALL).await;
    Ok((service.peak()?, memory.most()))
}

/// Gives a finished build's log to 99 more builds. The service does not run. A file under a
/// hundred names is enough: what is asked is how much memory a hundred open logs take.
fn copy(stage: &Stage, build: &str) -> anyhow::Result<Vec<String>> {
    let database = rusqlite::Connection::open(stage.database())?;
    let columns = database
        .prepare(
            "SELECT name FROM pragma_table_info('builds') WHERE name NOT IN ('sequence', 'id')",
        )?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?
        .join(", ");
    let insert = format!(
        "INSERT INTO builds (id, {columns}) SELECT ?1, {columns} FROM builds WHERE id = ?2"
    );
    let mut builds = vec![build.to_owned()];
    for number in 1..OPEN_LOGS {
        let copy = format!("bench{number:07}");
        let (from, to) = (stage.build_folder(build), stage.build_folder(&copy));
        fs::create_dir(&to)?;
        for file in ["log.zst", "log.index"] {
            fs::hard_link(from.join(file), to.join(file))?;
        }
        database.execute(&insert, [&copy, build])?;
        builds.push(copy);
    }
    Ok(builds)
}
