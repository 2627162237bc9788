//! `autobuilder import`: the old service's history into the data directory, with a word on each
//! row that is left out.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::output::{self, Problem, clean, say};
use super::server::DEFAULT_FILE;
use crate::config::{ServiceConfig, process_environment};
use crate::domain::time::Timestamp;
use crate::import::{self, News, Source, Summary};

/// A terminal is told of the progress so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The old service's history.sqlite
    file: PathBuf,
    /// The folder with its logs, one file for each build [default: logs/commits beside FILE]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Read everything, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs it to its exit code.
pub fn run(arguments: ImportArguments, config: Option<PathBuf>, json: bool) -> ExitCode {
    let config = config.unwrap_or_else(|| DEFAULT_FILE.into());
    let result = carry_out(arguments, &config, json);
    result.unwrap_or_else(|problem| output::report(problem, json))
}

fn carry_out(arguments: ImportArguments, config: &Path, json: bool) -> Result<ExitCode, Problem> {
    let config = load(config)?;
    let ImportArguments {
        file,
        logs,
        dry_run,
    } = arguments;
    let beside = || file.parent().unwrap_or(Path::new("")).join("logs/commits");
    let source = Source {
        logs: logs.unwrap_or_else(beside),
        file,
    };
    let mut progress = Progress::new();
    let mut tell = |news: News<'_>| match news {
        News::Progress { done, rows } => progress.show(done, rows),
        News::Problem { row, reason } => {
            progress.clear();
            match json {
                true => say(&json!({"row": row, "reason": reason}).to_string()),
                false => say(&format!("row {row} is left out: {}", clean(reason))),
            }
        }
    };
    let done = match dry_run {
        true => import::rehearse(&source, &mut tell),
        false => {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let runtime =
                runtime.map_err(|error| Problem::new(format!("cannot start: {error}"), ""))?;
            runtime.block_on(import::import(&source, &config, &mut tell))
        }
    };
    progress.clear();
    let summary = done.map_err(|error| {
        Problem::new(
            format!("{error:#}"),
            "what went in before stays; importing again goes on",
        )
    })?;
    let has_logs = source.logs.is_dir();
    if !has_logs {
        let folder = source.logs.display();
        say(&format!(
            "warning: there is no log folder {folder}; name it with --logs and import again"
        ));
    }
    print(&summary, &config, dry_run, json)?;
    Ok(ExitCode::SUCCESS)
}

fn load(file: &Path) -> Result<ServiceConfig, Problem> {
    match ServiceConfig::load(file, &process_environment) {
        Ok((config, _)) => Ok(config),
        Err(findings) => {
            let first = findings.iter().find(|finding| finding.is_error());
            let what = first.map_or_else(String::new, |first| {
                format!(": {}:{}: {}", first.file, first.place.line, first.message)
            });
            Err(Problem::new(
                format!("the service file cannot be used{what}"),
                "`autobuilder check` lists all of its errors",
            ))
        }
    }
}

fn print(
    summary: &Summary,
    config: &ServiceConfig,
    dry_run: bool,
    json: bool,
) -> Result<(), Problem> {
    let kept_until = Timestamp::now().after(config.retention.logs);
    let Summary {
        rows,
        imported,
        known,
        skipped,
        logs,
        log_bytes,
        missing_logs,
    } = *summary;
    if json {
        return output::json(&json!({
            "dry_run": dry_run, "rows": rows, "imported": imported, "known": known, "skipped": skipped,
            "logs": logs, "log_bytes": log_bytes, "missing_logs": missing_logs, "kept_until": kept_until,
        }));
    }
    let verb = if dry_run {
        "would be imported"
    } else {
        "imported"
    };
    let bytes = bytesize::ByteSize(log_bytes).display().iec();
    output::line(&format!(
        "of {rows} rows, {imported} {verb}, {logs} of them with their logs ({bytes}); \
         {missing_logs} without, {known} there already, {skipped} left out"
    ))?;
    if imported > 0 && !dry_run {
        output::line(&format!(
            "they are kept until {kept_until}, as retention.logs says; after that, retention applies to them as to all builds"
        ))?;
    }
    Ok(())
}

/// A line of a terminal that is written over again and again.
struct Progress {
    is_shown: bool,
    next: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_shown: false,
            next: Instant::now() + PROGRESS_EVERY,
        }
    }

    fn show(&mut self, done: u64, rows: u64) {
        if Instant::now() < self.next || !std::io::stderr().is_terminal() {
            return;
        }
        self.next = Instant::now() + PROGRESS_EVERY;
        self.is_shown = true;
        let _ = write!(std::io::stderr().lock(), "\r{done} of {rows} rows\x1b[K");
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
