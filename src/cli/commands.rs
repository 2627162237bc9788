//! What each client command does.

use std::process::ExitCode;

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Client};
use super::follow::{self, From};
use super::list::{self, Row};
use super::output::{self, LogOutput, Problem, clean, say};
use super::{ClientCommand, ListArguments};
use crate::domain::build::State;
use crate::domain::time::Timestamp;

pub async fn run(client: &Client, command: ClientCommand, json: bool) -> Result<ExitCode, Problem> {
    match command {
        ClientCommand::Build {
            repository,
            branch,
            sha,
            script,
            tag,
            follow,
        } => {
            let asked = json!({
                "repository": repository, "branch": branch, "commit": sha, "script": script, "tag": tag,
            });
            let url = client.api(&["builds"])?;
            caused(client, client.post(url, &asked).await?, follow, json).await
        }
        ClientCommand::Rebuild { id, follow } => {
            let url = client.api(&["builds", &id, "rebuild"])?;
            caused(client, client.post(url, &json!({})).await?, follow, json).await
        }
        ClientCommand::Logs {
            id,
            follow,
            from,
            tail,
        } => {
            let from = match (from, tail) {
                (Some(line), _) => From::Line(line),
                (_, Some(lines)) => From::Tail(lines),
                _ => From::Offset(0),
            };
            logs(client, &id, follow, from, json).await
        }
        ClientCommand::List(arguments) => list(client, &arguments, json).await,
        ClientCommand::Cancel { id } => cancel(client, &id, json).await,
    }
}

#[derive(Deserialize)]
struct Caused {
    builds: Vec<CausedBuild>,
}

#[derive(Deserialize)]
struct CausedBuild {
    id: String,
    url: String,
}

/// Tells of the builds that a request caused, and follows them one after the other.
async fn caused(
    client: &Client,
    response: reqwest::Response,
    follow: bool,
    json: bool,
) -> Result<ExitCode, Problem> {
    let answer: Value = client::json(response).await?;
    let caused = Caused::deserialize(&answer).map_err(|error| {
        Problem::new(format!("the service's answer cannot be read: {error}"), "")
    })?;
    if !follow {
        match json {
            true => output::json(&answer)?,
            false => {
                for build in &caused.builds {
                    output::line(&format!("{}\t{}", clean(&build.id), clean(&build.url)))?;
                }
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut ends = Vec::new();
    for build in &caused.builds {
        say(&format!("build {} {}", clean(&build.id), clean(&build.url)));
        ends.push(follow_to_end(client, &build.id, From::Offset(0), json).await?);
    }
    if json {
        let builds: Vec<&Value> = ends.iter().map(|(_, build)| build).collect();
        output::json(&json!({ "builds": builds }))?;
    }
    Ok(exit_code(ends.iter().map(|(state, _)| *state)))
}

/// Prints the log until the build ends, then says how it did. With `--json` stdout is for the
/// build, and the log goes to stderr.
async fn follow_to_end(
    client: &Client,
    id: &str,
    from: From,
    json: bool,
) -> Result<(State, Value), Problem> {
    let mut log = match json {
        true => LogOutput::stderr(),
        false => LogOutput::stdout(),
    };
    follow::follow(client, id, from, &mut |bytes| log.write(bytes)).await?;
    log.end()?;
    let build: Value = client::json(client.get(client.api(&["builds", id])?).await?).await?;
    let end = End::deserialize(&build).map_err(|error| {
        Problem::new(format!("the service's answer cannot be read: {error}"), "")
    })?;
    say(&end.sentence());
    Ok((end.state, build))
}

#[derive(Deserialize)]
struct End {
    id: String,
    state: State,
    reason: Option<String>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    artifacts: Vec<ArtifactUrl>,
}

#[derive(Deserialize)]
struct ArtifactUrl {
    url: String,
}

impl End {
    fn sentence(&self) -> String {
        let mut text = format!("build {} {}", clean(&self.id), self.state);
        if let (Some(started), Some(ended)) = (self.started, self.ended) {
            text.push_str(&format!(" after {}", list::duration(ended.since(started))));
        }
        if let Some(reason) = &self.reason {
            text.push_str(&format!(": {}", clean(reason)));
        }
        for artifact in &self.artifacts {
            text.push_str(&format!("\n{}", clean(&artifact.url)));
        }
        text
    }
}

/// The worst of the ends.
fn exit_code(states: impl Iterator<Item = State>) -> ExitCode {
    let code = states.map(|state| match state {
        State::Succeeded | State::Skipped => 0,
        State::Failed | State::TimedOut => 1,
        _ => 3,
    });
    // A build that failed says more than one that was cancelled beside it.
    let worst = code.max_by_key(|code| [0, 3, 1].iter().position(|known| known == code));
    ExitCode::from(worst.unwrap_or(0))
}

async fn logs(
    client: &Client,
    id: &str,
    follow: bool,
    from: From,
    json: bool,
) -> Result<ExitCode, Problem> {
    if follow {
        let (state, build) = follow_to_end(client, id, from, json).await?;
        if json {
            output::json(&build)?;
        }
        return Ok(exit_code([state].into_iter()));
    }
    let mut url = client.api(&["builds", id, "log"])?;
    let offset = match from {
        From::Offset(offset) => offset,
        From::Line(line) => begin(client, id, line).await?,
        From::Tail(lines) => {
            let build: Value =
                client::json(client.get(client.api(&["builds", id])?).await?).await?;
            let all = build["log"]["lines"].as_u64().unwrap_or(0);
            begin(client, id, all.saturating_sub(lines) + 1).await?
        }
    };
    url.query_pairs_mut()
        .append_pair("offset", &offset.to_string());
    let mut pieces = client.get(url).await?.bytes_stream();
    let mut log = LogOutput::stdout();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            Problem::new(
                format!("the log ended early: {error}"),
                "run the command again",
            )
        })?;
        log.write(&piece)?;
    }
    log.end()?;
    Ok(ExitCode::SUCCESS)
}

/// Where a line begins in the log.
async fn begin(client: &Client, id: &str, line: u64) -> Result<u64, Problem> {
    let mut url = client.api(&["builds", id, "log"])?;
    url.query_pairs_mut()
        .append_pair("line", &line.to_string())
        .append_pair("lines", "0");
    let response = client.get(url).await?;
    let offset = response.headers().get("x-log-offset");
    let offset = offset.and_then(|offset| offset.to_str().ok()?.parse().ok());
    offset.ok_or_else(|| Problem::new("the log has not begun", "wait until the build has started"))
}

async fn list(client: &Client, arguments: &ListArguments, json: bool) -> Result<ExitCode, Problem> {
    let mut url = client.api(&["builds"])?;
    let filters = [
        ("repository", &arguments.repository),
        ("branch", &arguments.branch),
        ("state", &arguments.state),
        ("text", &arguments.text),
    ];
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("limit", &arguments.limit.to_string());
        for (name, value) in filters {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
    }
    let answer: Value = client::json(client.get(url).await?).await?;
    if json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Row> = serde_json::from_value(answer["builds"].clone()).map_err(|error| {
        Problem::new(format!("the service's answer cannot be read: {error}"), "")
    })?;
    let text = match output::stdout_is_terminal() {
        true => list::table(&rows, Timestamp::now(), output::wants_colour()),
        false => list::tab_separated(&rows),
    };
    output::raw(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn cancel(client: &Client, id: &str, json: bool) -> Result<ExitCode, Problem> {
    let url = client.api(&["builds", id, "cancel"])?;
    let build: Value = client::json(client.post(url, &json!({})).await?).await?;
    match json {
        true => output::json(&build)?,
        false => say(&format!(
            "build {} is {}",
            clean(id),
            build["state"].as_str().unwrap_or("cancelled")
        )),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_build() {
        let code = |states: &[State]| format!("{:?}", exit_code(states.iter().copied()));
        let exit = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(&[State::Succeeded, State::Skipped]), exit(0));
        assert_eq!(code(&[State::Succeeded, State::Cancelled]), exit(3));
        assert_eq!(
            code(&[State::Errored, State::Failed, State::Succeeded]),
            exit(1)
        );
        assert_eq!(code(&[State::TimedOut]), exit(1));
        assert_eq!(code(&[]), exit(0));
    }
}
