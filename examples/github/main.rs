//! GitHub on this machine: the model that the stories use, served to an operator, so that webhooks,
//! statuses and the configuration repository can be seen at work without an account.
//!
//! ```text
//! cargo run --example github -- [--listen 127.0.0.1:5570] [--directory ./github-model] [REPOSITORY…]
//! autobuilder serve --config examples/github/config.yaml
//! git clone ./github-model/acme/hello && cd hello && … && git push
//! ```
//!
//! It prints a line for each thing that happens, and shows what it knows at `GET /`. The bare
//! repositories stay in the directory; hooks and statuses are forgotten when it ends, and a service
//! that runs puts them back.

mod page;
mod seed;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use github_model::Model;

/// The one credential it takes; `config.yaml` beside this file has it.
const TOKEN: &str = "model-token";

/// How soon a push is seen. GitHub's own webhooks take longer.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// GitHub on this machine, for trying autobuilder without an account.
#[derive(Parser)]
#[command(name = "github")]
struct Arguments {
    /// Where its API is served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5570")]
    listen: SocketAddr,
    /// Holds the bare repositories, as <owner>/<name>; what lies there is served
    #[arg(long, value_name = "PATH", default_value = "./github-model")]
    directory: PathBuf,
    /// Makes these repositories, empty, unless they are there
    #[arg(value_name = "OWNER/NAME", value_parser = repository_name)]
    repositories: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    std::fs::create_dir_all(&arguments.directory)
        .with_context(|| format!("cannot make {}", arguments.directory.display()))?;

    let github = Model::serve(listener, &arguments.directory).await;
    github.token(TOKEN).all();
    if github.adopt().is_empty() {
        seed::repositories(&github).await?;
    }
    for name in &arguments.repositories {
        github.repository(name).await;
    }
    github.page(page::html);

    println!("GitHub's API   {}", github.url());
    println!("what it knows  {}/", github.url());
    println!("repositories   {}", github.folder().display());
    for repository in github.view() {
        println!("               {}", repository.name);
    }
    println!("token          {TOKEN}");
    println!("Push to one of the repositories; Ctrl-C ends.\n");

    let mut events = github.events();
    github.watch(LOOK_EVERY);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => println!("{} {}", now(), printable(&event.to_string())),
                None => return Ok(()),
            },
            interrupt = tokio::signal::ctrl_c() => return interrupt.context("cannot wait for Ctrl-C"),
        }
    }
}

/// The time of day, in UTC.
fn now() -> impl std::fmt::Display {
    jiff::Timestamp::now().strftime("%H:%M:%S%.3f")
}

/// Texts come from whoever asks, and must not move a terminal's cursor.
fn printable(line: &str) -> String {
    line.replace(char::is_control, "\u{fffd}")
}

fn repository_name(text: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        let is_known =
            |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        !word.is_empty() && !word.starts_with('.') && word.chars().all(is_known)
    };
    match text.split_once('/') {
        Some((owner, name)) if is_word(owner) && is_word(name) => Ok(text.to_owned()),
        _ => Err("expected <owner>/<name>, such as acme/hello".to_owned()),
    }
}
