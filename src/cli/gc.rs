//! `autobuilder gc`: what may go, shown or removed. A running service does it itself; where none
//! runs, it is done here, under the lock that a service would hold.

use std::path::PathBuf;
use std::process::ExitCode;

use bytesize::ByteSize;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Client};
use super::output::{self, Problem, clean, say};
use super::server;
use crate::serve;

const INCOMPLETE: u8 = 1;

#[derive(Deserialize)]
struct Gc {
    items: Vec<Item>,
    bytes: u64,
    kept: Vec<Kept>,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Item {
    kind: String,
    name: String,
    bytes: Option<u64>,
    reason: String,
}

#[derive(Deserialize)]
struct Kept {
    kind: String,
    name: String,
    reason: String,
}

pub async fn run(config: Option<PathBuf>, dry_run: bool, json: bool) -> Result<ExitCode, Problem> {
    let answer = match answer_here(config.clone(), dry_run).await? {
        Some(answer) => answer,
        None => {
            let client = Client::new(server::find(config.as_deref())?)?;
            let url = client.api(&["gc"])?;
            client::json(client.post(url, &json!({"dry_run": dry_run})).await?).await?
        }
    };
    let gc = Gc::deserialize(&answer).map_err(|error| {
        Problem::new(format!("the service's answer cannot be read: {error}"), "")
    })?;
    match json {
        true => output::json(&answer)?,
        false => print(&gc, dry_run)?,
    }
    Ok(match gc.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(INCOMPLETE),
    })
}

/// `None` where a service is to be asked: one that the environment names, or that runs here.
async fn answer_here(config: Option<PathBuf>, dry_run: bool) -> Result<Option<Value>, Problem> {
    if server::is_named_by_environment() {
        return Ok(None);
    }
    let file = config.unwrap_or_else(|| server::DEFAULT_FILE.into());
    let view = serve::gc(&file, dry_run).await.map_err(|error| {
        Problem::new(
            format!("{error:#}"),
            "name the service file with --config, or a running service with AUTOBUILDER_URL",
        )
    })?;
    let answer = view.map(serde_json::to_value).transpose();
    answer.map_err(|error| Problem::from(std::io::Error::from(error)))
}

fn print(gc: &Gc, dry_run: bool) -> Result<(), Problem> {
    let for_people = output::stdout_is_terminal();
    for item in &gc.items {
        output::line(&item.line(for_people))?;
    }
    for Kept { kind, name, reason } in &gc.kept {
        say(&format!("{kind} {} stays: {}", clean(name), clean(reason)));
    }
    for problem in &gc.problems {
        say(&format!("problem: {}", clean(problem)));
    }
    let things = match gc.items.len() {
        0 => "nothing".to_owned(),
        1 => "one thing".to_owned(),
        count => format!("{count} things"),
    };
    let size = ByteSize(gc.bytes);
    say(&match dry_run {
        true => format!("{things} to remove, {size} as far as sizes are known"),
        false => format!("{things} removed, {size} as far as sizes are known"),
    });
    Ok(())
}

impl Item {
    /// Kind, size, name, reason; a program gets tabs, bytes, and nothing where the size is not known.
    fn line(&self, for_people: bool) -> String {
        let Self { kind, bytes, .. } = self;
        let (name, reason) = (clean(&self.name), clean(&self.reason));
        if for_people {
            let size = bytes.map_or_else(String::new, |bytes| ByteSize(bytes).to_string());
            return format!("{kind:<11}  {size:>10}  {name}: {reason}");
        }
        let bytes = bytes.map_or_else(String::new, |bytes| bytes.to_string());
        format!("{kind}\t{bytes}\t{name}\t{reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_a_line() {
        let mut item = Item {
            kind: "log".to_owned(),
            name: "0123456789ab".to_owned(),
            bytes: Some(2048),
            reason: "old\n".to_owned(),
        };
        assert_eq!(
            item.line(true),
            "log             2.0 KiB  0123456789ab: old\u{fffd}"
        );
        assert_eq!(item.line(false), "log\t2048\t0123456789ab\told\u{fffd}");
        item.bytes = None;
        assert_eq!(item.line(false), "log\t\t0123456789ab\told\u{fffd}");
    }
}
