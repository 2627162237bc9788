//! The commands that need no service: running one, and checking its files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::LogFormat;
use super::output::{self, Problem};
use super::server::DEFAULT_FILE;
use crate::config::{self, process_environment};

const FAILED: u8 = 1;

/// What is to be written last, and on a disk that does not answer never is.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// Runs the service until it is told to stop.
pub fn serve(config: Option<PathBuf>, log_format: LogFormat) -> ExitCode {
    start_logging(log_format);
    let service_file = config.unwrap_or_else(|| DEFAULT_FILE.into());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(crate::serve::serve(&service_file));
    // Writes that wait for a disk are waited for, but not for ever.
    runtime.shutdown_timeout(LAST_WRITES);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Alternate: with its causes.
            tracing::error!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// To stderr; `RUST_LOG` chooses what.
fn start_logging(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,ractor=warn"));
    // It tells of each failure again and again; whoever uses it says it once.
    let filter = match "fred=off".parse() {
        Ok(silent) => filter.add_directive(silent),
        Err(_) => filter,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::stderr_wants_colour())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.init(),
    }
}

/// Prints everything wrong with a service file or a configuration directory.
pub fn check(path: Option<PathBuf>, config: Option<PathBuf>, json: bool) -> ExitCode {
    let path = path.or(config).unwrap_or_else(|| DEFAULT_FILE.into());
    match print_findings(&path, json) {
        Ok(code) => code,
        Err(problem) => output::report(problem, json),
    }
}

fn print_findings(path: &Path, json: bool) -> Result<ExitCode, Problem> {
    let findings = config::check(path, &process_environment);
    if json {
        output::line(&serde_json::to_string_pretty(&findings).map_err(std::io::Error::from)?)?;
    } else {
        output::raw(findings.render(output::wants_colour()).as_bytes())?;
        let (errors, warnings) = (findings.errors(), findings.warnings());
        output::say(&match (errors, warnings) {
            (0, 0) => format!("{}: nothing to complain about", path.display()),
            _ => format!("{}: {errors} errors, {warnings} warnings", path.display()),
        });
    }
    Ok(match findings.has_errors() {
        true => ExitCode::from(FAILED),
        false => ExitCode::SUCCESS,
    })
}
