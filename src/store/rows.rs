//! Between rows and the domain's values.

use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Result, StoreError};
use crate::domain::build::{Artifact, Build, Kind, Step, Work};
use crate::domain::names::RecipeTag;
use crate::domain::recipe::Recipe;
use crate::domain::time::Timestamp;

/// The columns that [`build`] reads, of `builds` joined with its push.
pub const BUILD: &str = "SELECT b.sequence, b.id, b.revision, b.push, p.forced, b.repository, b.ref, b.sha, \
     b.kind, b.recipe, b.cause, b.commits, b.state, b.reason, b.queued, b.started, b.ended, b.attempt, b.exit_code, \
     b.image, b.container, b.log_bytes, b.log_lines, b.base, b.waits_for, nullif(p.before_sha, '') \
     FROM builds b JOIN pushes p ON p.sequence = b.push";

/// Without steps and artifacts, which [`complete`] adds.
pub fn build(row: &Row<'_>) -> rusqlite::Result<Build> {
    let kind: String = row.get(8)?;
    let work = match kind == Kind::Configuration.as_str() {
        true => Work::Configuration,
        false => json::<Recipe>(row, 9)?.into(),
    };
    Ok(Build {
        sequence: row.get(0)?,
        id: parsed(row, 1)?,
        revision: row.get(2)?,
        push: row.get(3)?,
        push_forced: row.get(4)?,
        push_before: optional(row, 25)?,
        repository: parsed(row, 5)?,
        reference: parsed(row, 6)?,
        commit: parsed(row, 7)?,
        work,
        cause: json(row, 10)?,
        commits: json(row, 11)?,
        state: parsed(row, 12)?,
        reason: row.get(13)?,
        queued: time(row, 14)?,
        started: optional_time(row, 15)?,
        ended: optional_time(row, 16)?,
        attempt: row.get(17)?,
        exit_code: row.get(18)?,
        image: row.get(19)?,
        container: row.get(20)?,
        log_bytes: row.get(21)?,
        log_lines: row.get(22)?,
        base: optional_json(row, 23)?,
        waits_for: optional(row, 24)?,
        steps: Vec::new(),
        artifacts: Vec::new(),
    })
}

/// Adds what stands in tables of its own.
pub fn complete(connection: &Connection, mut build: Build) -> Result<Build> {
    build.steps = connection
        .prepare_cached("SELECT state, attempt, started, ended, line FROM steps WHERE build = ?1 ORDER BY number")?
        .query_map([build.sequence], |row| {
            Ok(Step {
                state: parsed(row, 0)?,
                attempt: row.get(1)?,
                started: time(row, 2)?,
                ended: optional_time(row, 3)?,
                line: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    build.artifacts = connection
        .prepare_cached("SELECT name, size, sha256 FROM artifacts WHERE build = ?1 ORDER BY name")?
        .query_map([build.sequence], |row| {
            Ok(Artifact {
                name: parsed(row, 0)?,
                size: row.get(1)?,
                sha256: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(build)
}

/// As the column of builds has it: no tag is an empty text, so that lanes without one are equal.
pub fn tag(tag: Option<&RecipeTag>) -> &str {
    tag.map_or("", RecipeTag::as_str)
}

pub fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: ToString>,
{
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: T::Err| unreadable(column, error.to_string()))
}

pub fn optional<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr<Err: ToString>,
{
    let text: Option<String> = row.get(column)?;
    text.map(|_| parsed(row, column)).transpose()
}

pub fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(column, error.to_string()))
}

fn optional_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|_| json(row, column)).transpose()
}

pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Value(error.to_string()))
}

pub fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.map(Timestamp::from_millis))
}

fn unreadable(column: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, reason.into())
}
