//! The command line: what can be typed, and the commands that speak to a running service.
//!
//! Output that programs may read goes to stdout, words for people to stderr. Exit codes:
//!
//! | code | |
//! | --- | --- |
//! | 0 | done; a build that was followed succeeded or was skipped |
//! | 1 | a build that was followed failed or timed out; `check` found errors; `gc` left something |
//! | 2 | the command could not be carried out: wrong arguments, no service, no such build, no token |
//! | 3 | a build that was followed errored, was cancelled or superseded |

mod client;
mod commands;
mod follow;
mod gc;
mod import;
mod list;
mod local;
mod output;
mod server;
mod terminal;
mod token;

#[cfg(test)]
#[path = "tests.rs"]
mod stories;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::import::{ImportArguments, run as import};
pub use self::local::{check, serve};
pub use self::token::run as make_token;

/// A self-hosted build service: a push comes in, a container builds it, people watch the log live.
#[derive(Debug, Parser)]
#[command(name = "autobuilder", version, about, propagate_version = true, after_help = EXIT_CODES)]
pub struct Arguments {
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,

    /// The service file [default: config.yaml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Client commands speak to AUTOBUILDER_URL with AUTOBUILDER_TOKEN; without them, to the service
that the service file describes, else to http://127.0.0.1:5560.

Exit codes: 0 done, or the followed build succeeded; 1 the build failed or timed out, `check`
found errors, or `gc` could not do all; 2 the command could not be carried out; 3 the build
errored, was cancelled or superseded.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service: everything in one process
    Serve {
        /// How log lines are written
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// Check the service file, or a configuration directory; every error with file and line
    Check {
        /// A configuration directory, or a service file
        path: Option<PathBuf>,
    },
    /// Take over the history and the logs of the service before this one
    Import(ImportArguments),
    /// Remove what is left over and what is past its retention
    Gc {
        /// Only show what would go
        #[arg(long)]
        dry_run: bool,
    },
    #[command(flatten)]
    Client(ClientCommand),
    /// Make an API token, and the hash of it for the service file
    Token,
    /// Print shell completions
    Completions { shell: Shell },
}

/// Commands for a running service.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Ask for the builds of a branch
    Build {
        /// owner/name
        repository: String,
        /// A branch, or refs/tags/<name> for a tag
        branch: String,
        /// 40 hexadecimal digits [default: the head of the branch]
        sha: Option<String>,
        /// Only this script
        #[arg(long)]
        script: Option<String>,
        /// Only recipes with this tag
        #[arg(long)]
        tag: Option<String>,
        /// Print the log as it is written; the exit code is the build's
        #[arg(long, short)]
        follow: bool,
    },
    /// Print a build's log
    Logs {
        id: String,
        /// Go on as it is written; the exit code is the build's
        #[arg(long, short)]
        follow: bool,
        /// Begin at this line; the first is 1
        #[arg(long, value_name = "LINE", conflicts_with = "tail")]
        from: Option<u64>,
        /// Begin at the last so many lines
        #[arg(long, value_name = "LINES")]
        tail: Option<u64>,
    },
    /// List builds, newest first
    List(ListArguments),
    /// Cancel a build that waits or runs
    Cancel { id: String },
    /// Build the same script of the same commit once more
    Rebuild {
        id: String,
        /// Print the log as it is written; the exit code is the build's
        #[arg(long, short)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// owner/name
    #[arg(long, short)]
    pub repository: Option<String>,
    #[arg(long, short)]
    pub branch: Option<String>,
    /// States, separated by commas; also `running` and `finished`
    #[arg(long, short)]
    pub state: Option<String>,
    /// Found in repository, branch, script, commit, message or author
    #[arg(long)]
    pub text: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

/// Runs a client command to its exit code.
pub fn run_client(command: ClientCommand, config: Option<PathBuf>, json: bool) -> ExitCode {
    run(json, async move {
        let client = client::Client::new(server::find(config.as_deref())?)?;
        commands::run(&client, command, json).await
    })
}

/// Removes what may go, or shows it.
pub fn collect_garbage(config: Option<PathBuf>, dry_run: bool, json: bool) -> ExitCode {
    run(json, gc::run(config, dry_run, json))
}

fn run(json: bool, command: impl Future<Output = Result<ExitCode, output::Problem>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let problem = output::Problem::new(format!("cannot start: {error}"), "");
            return output::report(problem, json);
        }
    };
    let result = runtime.block_on(command);
    result.unwrap_or_else(|problem| output::report(problem, json))
}

/// Prints completions for a shell.
pub fn print_completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "autobuilder", &mut script);
    match output::raw(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => output::report(problem, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_contracts_commands_parse() {
        for line in [
            "serve --config config.yaml --log-format json",
            "check",
            "check examples/configuration --json",
            "check --config config.yaml",
            "build acme/app main",
            "build acme/app main 6113728f27ae82c7b1a177c8d03f9e96e0adf246 --follow",
            "logs 0123456789ab --follow",
            "list --repository acme/app --branch main --state queued,running --json",
            "cancel 0123456789ab",
            "rebuild 0123456789ab",
            "import history.sqlite --logs logs/commits --config config.yaml --dry-run",
            "gc --dry-run --json",
            "token --json",
            "completions bash",
        ] {
            let words = std::iter::once("autobuilder").chain(line.split(' '));
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
