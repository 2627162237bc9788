//! A row of the old history as a build of ours. Everything in it is from outside: what cannot be
//! a name, a commit or a time is left out, or makes the row one that cannot be read.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::build::{State, Work};
use crate::domain::kernel::Kernel;
use crate::domain::names::{
    ArtifactName, BranchName, BuildId, CommitSha, ContainerPath, GitRef, NameError, RepositoryName,
    ScriptPath,
};
use crate::domain::push::{Commit, MAX_COMMITS};
use crate::domain::recipe::{Format, Recipe};
use crate::domain::time::Timestamp;
use crate::store::OldRow;

/// Stands for what the old service did not write down: the script, and a load's repository.
const SCRIPT: &str = "imported";
const SYSTEM: &str = "autobuilder/configuration";
const UNKNOWN_COMMIT: &str = "0000000000000000000000000000000000000000";
const UNKNOWN_BRANCH: &str = "unknown";

/// Of the lines that the old service kept with a build.
const MONITOR_LINES: usize = 20;
const LONGEST_LINE: usize = 1024;

#[derive(Debug)]
pub struct OldBuild {
    pub row: i64,
    pub old_id: String,
    pub id: BuildId,
    pub repository: RepositoryName,
    pub reference: GitRef,
    pub commit: CommitSha,
    pub work: Work,
    pub commits: Vec<Commit>,
    pub state: State,
    pub reason: Option<String>,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub image: Option<String>,
    pub container: Option<String>,
    pub artifact: Option<String>,
    pub monitor: Vec<String>,
}

/// The JSON of a row; a field of another kind than expected counts as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    id: Value,
    status: Value,
    name: Value,
    branch: Value,
    monitor: Value,
    docker: Value,
    started: Value,
    ended: Value,
    error: Value,
    commits: Value,
    commit: Value,
    artifact: Value,
    tag: Value,
    baseimage: Value,
}

impl OldBuild {
    /// # Errors
    /// Why the row cannot be read, in one line.
    pub fn read(row: &OldRow) -> Result<Self, String> {
        let text = row.content.as_deref().ok_or("its content is not text")?;
        let content: Content = serde_json::from_str(text)
            .map_err(|error| format!("its content cannot be read as JSON: {error}"))?;
        let push = row
            .push
            .as_deref()
            .and_then(|push| serde_json::from_str(push).ok());
        let push: Value = push.unwrap_or_default();
        let old_id = old_id(&content)?;
        let state = match string(&content.status).as_deref() {
            Some("success") => State::Succeeded,
            Some("error") => State::Errored,
            other => {
                let word = other.unwrap_or("missing").to_owned();
                return Err(format!(
                    "its status is {word:?}, neither \"success\" nor \"error\""
                ));
            }
        };
        let started = time(&content.started).or_else(|| created(row));
        let started = started.ok_or("it does not say when it started")?;
        let is_system = string(&content.docker).as_deref() == Some("system");
        let name = string(&content.name).unwrap_or_default();
        let (repository, branch) = match place(&name, &push) {
            Err(_) if is_system => (known(SYSTEM)?, None),
            place => place.map_err(|error| error.to_string())?,
        };
        let commits = commits(&content.commits);
        Ok(Self {
            row: row.row,
            id: BuildId::of_imported(&old_id),
            reference: reference(&content, &push, branch)?,
            commit: commit(&content, &push, &commits)?,
            work: match is_system {
                true => Work::Configuration,
                false => recipe(&content)?.into(),
            },
            commits,
            state,
            reason: (state == State::Errored)
                .then(|| string(&content.error))
                .flatten(),
            started,
            ended: time(&content.ended).unwrap_or(started).max(started),
            image: string(&content.baseimage),
            container: string(&content.docker).filter(|_| !is_system),
            artifact: string(&content.artifact),
            monitor: monitor(&content.monitor),
            repository,
            old_id,
        })
    }
}

/// It names a file of the log folder.
fn old_id(content: &Content) -> Result<String, String> {
    let id = string(&content.id).ok_or("it has no id")?;
    let is_word = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    match id.len() <= 100 && id.chars().all(is_word) {
        true => Ok(id),
        false => Err("its id is not made of letters, digits and dashes".to_owned()),
    }
}

/// Repository and, where the name has three parts, branch.
fn place(name: &str, push: &Value) -> Result<(RepositoryName, Option<BranchName>), NameError> {
    let told = push
        .pointer("/repository/full_name")
        .and_then(Value::as_str);
    let mut slashes = name.match_indices('/').map(|(at, _)| at).skip(1);
    let (repository, branch) = match slashes.next() {
        Some(at) => (&name[..at], name[at + 1..].parse().ok()),
        None => (name, None),
    };
    match told.map(str::parse) {
        Some(Ok(told)) => Ok((told, branch)),
        _ => Ok((repository.parse()?, branch)),
    }
}

fn reference(
    content: &Content,
    push: &Value,
    branch: Option<BranchName>,
) -> Result<GitRef, String> {
    let pushed = push
        .get("ref")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    if let Some(pushed) = pushed {
        return Ok(pushed);
    }
    let told = string(&content.branch).and_then(|branch| branch.parse().ok());
    let branch = told.or(branch).map_or_else(|| known(UNKNOWN_BRANCH), Ok)?;
    Ok(GitRef::Branch(branch))
}

fn commit(content: &Content, push: &Value, commits: &[Commit]) -> Result<CommitSha, String> {
    let head = push
        .pointer("/head_commit/id")
        .or_else(|| push.get("after"));
    let told = [head, Some(&content.commit)];
    let told = told
        .into_iter()
        .flatten()
        .find_map(|id| id.as_str()?.parse().ok());
    let last = || commits.last().map(|commit| commit.id.clone());
    told.or_else(last).map_or_else(|| known(UNKNOWN_COMMIT), Ok)
}

/// The old service kept no recipe: what is known is what the artifact was.
fn recipe(content: &Content) -> Result<Recipe, String> {
    let artifact = string(&content.artifact).unwrap_or_default();
    let (kind, file) = artifact.split_once('/').unwrap_or(("", &artifact));
    let format = match kind {
        "kernel" => Format::Kernel(Kernel::Base { commit: false }),
        "binary" => Format::Binary,
        // Kernels had no folder at first.
        _ if file.ends_with(".efi") => Format::Kernel(Kernel::Base { commit: false }),
        _ => Format::Flist,
    };
    let file: Result<ArtifactName, _> = file.parse();
    Ok(Recipe {
        script: known::<ScriptPath>(SCRIPT)?,
        artifact: file.or_else(|_| known(SCRIPT))?,
        archives: known::<ContainerPath>("/target")?,
        baseimage: string(&content.baseimage),
        tag: string(&content.tag).and_then(|tag| tag.parse().ok()),
        format,
        dependencies: Vec::new(),
        path_filter: None,
        timeout: None,
        supersede: None,
        memory: None,
        cpus: None,
        environment: Default::default(),
    })
}

fn commits(list: &Value) -> Vec<Commit> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let list = &list[list.len().saturating_sub(MAX_COMMITS)..];
    list.iter()
        .filter_map(|commit| {
            let author = commit
                .pointer("/author/name")
                .or_else(|| commit.get("author"));
            Some(Commit {
                id: commit.get("id")?.as_str()?.parse().ok()?,
                message: commit.get("message").and_then(string).unwrap_or_default(),
                author: author.and_then(string).unwrap_or_default(),
                url: commit
                    .get("url")
                    .and_then(string)
                    .filter(|url| is_web_address(url)),
            })
        })
        .collect()
}

/// Pages make links of it.
fn is_web_address(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn monitor(value: &Value) -> Vec<String> {
    let lines: Vec<&str> = match value {
        Value::String(text) => text.lines().collect(),
        Value::Array(lines) => lines
            .iter()
            .filter_map(Value::as_str)
            .flat_map(str::lines)
            .collect(),
        _ => Vec::new(),
    };
    let last = &lines[lines.len().saturating_sub(MONITOR_LINES)..];
    last.iter()
        .map(|line| line.chars().take(LONGEST_LINE).collect())
        .collect()
}

fn string(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Seconds since 1970.
fn time(value: &Value) -> Option<Timestamp> {
    let seconds = value
        .as_f64()
        .filter(|seconds| (0.0..1e11).contains(seconds))?;
    Some(Timestamp::from_millis((seconds * 1000.0) as i64))
}

/// SQLite's text of a time, in UTC.
fn created(row: &OldRow) -> Option<Timestamp> {
    let text = row.created.as_deref()?;
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(time.timestamp().as_millisecond()))
}

/// One of the constants above.
fn known<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: NameError| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(push: Value, content: Value) -> OldRow {
        OldRow {
            row: 7,
            created: Some("2018-03-04 05:06:07".into()),
            push: Some(push.to_string()),
            content: Some(content.to_string()),
        }
    }

    fn content() -> Value {
        json!({
            "id": "5f0c54b1-a3c1-4f4e-9f39-3f8a3a4f3c55", "status": "error", "name": "acme/app",
            "monitor": "one\ntwo\n", "docker": "0123456789", "started": 1500000000, "ended": 1500000100,
            "error": "no space", "commits": [
                {"id": "a".repeat(40), "message": "m", "author": {"name": "Ada"}, "url": "https://x/1"},
                {"id": "b".repeat(40), "message": "n", "author": "Bob", "url": "javascript:alert(1)"},
                {"id": "hostile", "message": 5},
            ],
            "artifact": "flist/acme-app.flist.md", "tag": "dev", "baseimage": "ubuntu:16.04",
        })
    }

    fn changed(key: &str, value: Value) -> Value {
        let mut content = content();
        content[key] = value;
        content
    }

    #[test]
    fn everything_that_a_row_says_is_taken() {
        let push = json!({"ref": "refs/tags/v1", "repository": {"full_name": "acme/other"},
                          "head_commit": {"id": "c".repeat(40)}});
        let build = OldBuild::read(&row(push, content())).unwrap();
        assert_eq!(build.repository.as_str(), "acme/other");
        assert_eq!(build.reference.to_string(), "refs/tags/v1");
        assert_eq!(build.commit.as_str(), "c".repeat(40));
        assert_eq!(
            (build.state, build.reason.as_deref()),
            (State::Errored, Some("no space"))
        );
        assert_eq!(build.started.as_millis(), 1_500_000_000_000);
        assert_eq!(build.ended.as_millis(), 1_500_000_100_000);
        assert_eq!(build.image.as_deref(), Some("ubuntu:16.04"));
        assert_eq!(build.container.as_deref(), Some("0123456789"));
        assert_eq!(build.monitor, ["one", "two"]);
        assert_eq!(build.work.tag().unwrap().as_str(), "dev");
        let authors: Vec<&str> = build
            .commits
            .iter()
            .map(|commit| commit.author.as_str())
            .collect();
        assert_eq!(authors, ["Ada", "Bob"]);
        assert_eq!(build.commits[0].url.as_deref(), Some("https://x/1"));
        assert_eq!(build.commits[1].url, None);
    }

    #[test]
    fn without_a_push_the_content_has_to_do() {
        let read = |content| OldBuild::read(&row(Value::Null, content)).unwrap();
        let build = read(changed("name", json!("acme/app/feature/x")));
        assert_eq!(build.repository.as_str(), "acme/app");
        assert_eq!(build.reference.to_string(), "refs/heads/feature/x");
        assert_eq!(build.commit.as_str(), "b".repeat(40));
        assert_eq!(read(content()).reference.to_string(), "refs/heads/unknown");
        let created = read(changed("started", Value::Null)).started;
        assert_eq!(created.to_string(), "2018-03-04T05:06:07.000Z");
        let mut system = changed("docker", json!("system"));
        system["name"] = json!("");
        let system = read(system);
        assert_eq!(system.work, Work::Configuration);
        assert_eq!(system.container, None);
    }

    #[test]
    fn a_row_that_cannot_be_read_says_why() {
        let why = |content| OldBuild::read(&row(Value::Null, content)).unwrap_err();
        assert_eq!(why(changed("id", Value::Null)), "it has no id");
        for id in ["../../etc/passwd", "a/b", "a.b"] {
            let reason = why(changed("id", json!(id)));
            assert_eq!(reason, "its id is not made of letters, digits and dashes");
        }
        assert_eq!(
            why(changed("status", json!("building"))),
            "its status is \"building\", neither \"success\" nor \"error\""
        );
        assert!(why(changed("name", json!("app"))).contains("\"app\" is not a repository"));
        let broken = OldRow {
            content: Some("{".into()),
            ..row(Value::Null, content())
        };
        let reason = OldBuild::read(&broken).unwrap_err();
        assert!(
            reason.starts_with("its content cannot be read as JSON: "),
            "{reason}"
        );
        let nothing = OldRow {
            content: None,
            ..broken
        };
        assert_eq!(
            OldBuild::read(&nothing).unwrap_err(),
            "its content is not text"
        );
        let mut timeless = row(Value::Null, changed("started", json!("soon")));
        timeless.created = None;
        assert_eq!(
            OldBuild::read(&timeless).unwrap_err(),
            "it does not say when it started"
        );
    }
}
