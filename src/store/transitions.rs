//! The one place where a build changes its state: as the domain allows, in one transaction with
//! the status it causes.

use rusqlite::{Connection, params};

use super::outbox::report;
use super::{Result, Store, StoreError, builds, rows};
use crate::domain::build::{Artifact, Build, State};
use crate::domain::kernel::Base;
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;

/// A build's next state, and what became known with it.
#[derive(Debug, Clone)]
pub struct Transition {
    pub build: BuildId,
    pub to: State,
    /// One line for people.
    pub reason: Option<String>,
    pub known: Facts,
}

/// Facts to store with a transition. What is `None` stays as it was.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub image: Option<String>,
    pub container: Option<String>,
    pub base: Option<Base>,
    /// With a transition to `queued`: the build goes on after this one, and that is no new attempt.
    pub waits_for: Option<BuildId>,
    pub exit_code: Option<i32>,
    pub artifact: Option<Artifact>,
    /// Length of the log, its lines, and the last few of them.
    pub log: Option<(u64, u64, Vec<String>)>,
}

impl Store {
    /// # Errors
    /// [`StoreError::Refused`] when the build's state does not allow it: somebody else was first.
    pub async fn transition(&self, transition: Transition) -> Result<Build> {
        // It may have to wait until it can be written.
        let now = Timestamp::now();
        self.write(move |connection| apply(connection, &transition, now))
            .await
    }
}

fn apply(connection: &Connection, transition: &Transition, now: Timestamp) -> Result<Build> {
    let old = builds::load(connection, &transition.build)?;
    if !old.state.may_become(transition.to) {
        return Err(StoreError::Refused {
            build: old.id,
            from: old.state,
            to: transition.to,
        });
    }
    let known = &transition.known;
    if let Some((bytes, lines, tail)) = &known.log {
        connection
            .prepare_cached(
                "UPDATE builds SET log_bytes = ?2, log_lines = ?3, tail = ?4 WHERE sequence = ?1",
            )?
            .execute(params![old.sequence, bytes, lines, rows::to_json(tail)?])?;
    }
    if let Some(artifact) = &known.artifact {
        connection
            .prepare_cached("INSERT OR REPLACE INTO artifacts (build, name, size, sha256) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![old.sequence, artifact.name.as_str(), artifact.size, artifact.sha256])?;
    }
    let again = transition.to == State::Queued;
    let is_next = again && known.waits_for.is_none();
    let attempt = old.attempt + u32::from(is_next);
    let base = known.base.as_ref().map(rows::to_json).transpose()?;
    let started = match transition.to {
        State::Queued => None,
        State::Preparing => Some(now),
        _ => old.started,
    };
    connection
        .prepare_cached(
            "UPDATE builds SET revision = ?2, state = ?3, reason = ?4, started = ?5, ended = ?6, attempt = ?7, \
             exit_code = CASE WHEN ?8 THEN NULL ELSE coalesce(?9, exit_code) END, image = coalesce(?10, image), \
             container = CASE WHEN ?8 THEN NULL ELSE coalesce(?11, container) END, \
             base = coalesce(?12, base), waits_for = coalesce(?13, waits_for) WHERE sequence = ?1",
        )?
        .execute(params![
            old.sequence,
            next_revision(connection)?,
            transition.to.as_str(),
            transition.reason,
            started.map(Timestamp::as_millis),
            transition.to.is_end().then_some(now.as_millis()),
            attempt,
            again,
            known.exit_code,
            known.image,
            known.container,
            base,
            known.waits_for.as_ref().map(BuildId::as_str),
        ])?;
    let line = known
        .log
        .as_ref()
        .map_or(old.log_lines, |(_, lines, _)| *lines)
        + 1;
    move_on(connection, old.sequence, transition.to, attempt, now, line)?;
    let build = builds::load(connection, &transition.build)?;
    if transition.to.is_end() {
        report(connection, &build)?;
    }
    Ok(build)
}

/// Ends the step the build was in and begins the next.
fn move_on(
    connection: &Connection,
    build: i64,
    to: State,
    attempt: u32,
    now: Timestamp,
    line: u64,
) -> Result<()> {
    connection
        .prepare_cached("UPDATE steps SET ended = ?2 WHERE build = ?1 AND ended IS NULL")?
        .execute(params![build, now.as_millis()])?;
    if !to.is_end() {
        connection
            .prepare_cached(
                "INSERT INTO steps (build, number, state, attempt, started, line) \
                 SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM steps WHERE build = ?1",
            )?
            .execute(params![build, to.as_str(), attempt, now.as_millis(), line])?;
    }
    Ok(())
}

pub fn next_revision(connection: &Connection) -> Result<i64> {
    let revision = connection
        .prepare_cached("UPDATE instance SET revision = revision + 1 RETURNING revision")?
        .query_row([], |row| row.get(0))?;
    Ok(revision)
}
