//! autobuilder: a push comes in, a container builds it, people watch the log live.
//!
//! The program is a library so that fuzzing can be given its parsers ([`fuzz`]); nothing else is for
//! others.

mod actors;
mod adapters;
mod cli;
mod config;
mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
mod import;
mod log;
mod memory;
mod metrics;
mod serve;
mod service;
mod store;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command};

/// Does what the command line says.
pub fn main() -> ExitCode {
    memory::share_between_threads();
    // Compiled in without a default, so that there is one cryptography in the binary and not two.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Arguments {
        json,
        config,
        command,
    } = Arguments::parse();
    match command {
        Command::Serve { log_format } => cli::serve(config, log_format),
        Command::Check { path } => cli::check(path, config, json),
        Command::Import(arguments) => cli::import(arguments, config, json),
        Command::Gc { dry_run } => cli::collect_garbage(config, dry_run, json),
        Command::Client(command) => cli::run_client(command, config, json),
        Command::Token => cli::make_token(json),
        Command::Completions { shell } => cli::print_completions(shell),
    }
}
