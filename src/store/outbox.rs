//! What GitHub is to show on commits, and how far it has been told: one row for each context of a
//! commit, with its newest state. A transition writes the row in its own transaction; a newer
//! state takes the place of an older one that still waits, so the order of a context is kept by
//! there being nothing to put in order.
//!
//! Context `''` is the verdict of all scripts of the commit together. It is kept whether it has a
//! name on GitHub (`github.legacy_context`) or not.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::transitions::next_revision;
use super::{Result, Store, rows};
use crate::domain::build::{Build, CommitStatus, Kind, one_short_line};
use crate::domain::names::{BuildId, CommitSha, RepositoryName};
use crate::domain::time::Timestamp;

/// The newest status of one context of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub repository: RepositoryName,
    pub commit: CommitSha,
    /// Empty: the verdict of all scripts.
    pub context: String,
    /// The build that the status leads to.
    pub build: BuildId,
    pub state: CommitStatus,
    pub description: String,
    pub written: Timestamp,
    /// How often it was tried to send this state.
    pub attempts: u32,
}

/// What became of a try to send a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// GitHub took it.
    Reported,
    /// It is tried again, but not before this time.
    Waits {
        problem: String,
        not_before: Timestamp,
        /// GitHub may have taken it all the same.
        may_be_shown: bool,
    },
    /// No further try can help.
    GivenUp { problem: String },
}

/// How much waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    pub statuses: u64,
    /// When the one that waits longest was written.
    pub oldest: Option<Timestamp>,
}

/// Statuses of this age and older wait behind newer ones: after GitHub was away for a night, or
/// with the first credential after months without, what people look at now is not held up.
const NEWS: Duration = Duration::from_secs(3600);

/// A combined verdict older than this is not sent any more, so that a name given to it does not
/// send those of years; unless GitHub shows one of its commit, which may be `pending`.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What was given up is tried again under other settings where it is younger than this: an address
/// or a proxy that was wrong is found within days.
const WORTH_ANOTHER_TRY: Duration = Duration::from_secs(7 * 24 * 3600);

const WAITS: &str = "reported IS NULL AND given_up = 0";

/// The row still holds the status that was read.
pub const SAME: &str = "repository = ?1 AND sha = ?2 AND context = ?3 AND build = ?4 AND state = ?5 \
                    AND description = ?6 AND written = ?7";

pub const STATUS: &str = "SELECT repository, sha, context, build, state, description, written, attempts, reported \
                          FROM outbox";

/// What may be sent, in the order in which it goes: conditions with the time that is their `?1`. The
/// combined verdicts are among it if they have a name.
fn queues(combined: bool, now: Timestamp) -> Vec<(&'static str, i64)> {
    let (news, day) = (now.before(NEWS).as_millis(), now.before(DAY).as_millis());
    let mut queues = vec![("context != '' AND written >= ?1", news)];
    if combined {
        queues.push(("context = '' AND written >= ?1", day));
    }
    queues.push(("context != '' AND written < ?1", news));
    if combined {
        queues.push(("context = '' AND shown = 1 AND written < ?1", day));
    }
    queues
}

pub fn status(row: &Row<'_>) -> rusqlite::Result<Status> {
    Ok(Status {
        repository: rows::parsed(row, 0)?,
        commit: rows::parsed(row, 1)?,
        context: row.get(2)?,
        build: rows::parsed(row, 3)?,
        state: rows::parsed(row, 4)?,
        description: row.get(5)?,
        written: Timestamp::from_millis(row.get(6)?),
        attempts: row.get(7)?,
    })
}

impl Store {
    /// Statuses to send now, one of each repository for which `is_free` says so, at most `limit`:
    /// first the news, then the rest, each oldest first.
    pub async fn due_statuses(
        &self,
        combined: bool,
        limit: usize,
        mut is_free: impl FnMut(&RepositoryName) -> bool + Send + 'static,
    ) -> Result<Vec<Status>> {
        self.read(move |connection| {
            let now = Timestamp::now();
            let mut asked = HashSet::new();
            let mut due = Vec::new();
            for (queue, time) in queues(combined, now) {
                let query = format!(
                    "{STATUS} WHERE {WAITS} AND {queue} AND not_before <= ?2 ORDER BY written"
                );
                let mut select = connection.prepare_cached(&query)?;
                let mut found = select.query([time, now.as_millis()])?;
                while due.len() < limit
                    && let Some(row) = found.next()?
                {
                    // Many may wait for a repository that is not free.
                    if !asked.insert(row.get::<_, String>(0)?) {
                        continue;
                    }
                    let status = status(row)?;
                    if is_free(&status.repository) {
                        due.push(status);
                    }
                }
            }
            Ok(due)
        })
        .await
    }

    /// Notes what became of sending a status; unless a newer one has its place in between.
    pub async fn status_tried(&self, status: Status, outcome: Outcome) -> Result<()> {
        self.write(move |connection| {
            let now = Timestamp::now();
            let key = params![
                status.repository.as_str(),
                status.commit.as_str(),
                status.context
            ];
            let may_be_shown = match &outcome {
                Outcome::Reported => true,
                Outcome::Waits { may_be_shown, .. } => *may_be_shown,
                Outcome::GivenUp { .. } => false,
            };
            if may_be_shown {
                // Also where a newer state has its place in between.
                connection
                    .prepare_cached(
                        "UPDATE outbox SET shown = 1 WHERE repository = ?1 AND sha = ?2 AND context = ?3",
                    )?
                    .execute(key)?;
            }
            let (reported, not_before, problem, given_up) = match &outcome {
                Outcome::Reported => (Some(now.as_millis()), 0, None, false),
                Outcome::Waits {
                    problem,
                    not_before,
                    ..
                } => (None, not_before.as_millis(), Some(problem), false),
                Outcome::GivenUp { problem } => (None, 0, Some(problem), true),
            };
            let changed = connection
                .prepare_cached(&format!(
                    "UPDATE outbox SET attempts = attempts + 1, reported = ?8, not_before = ?9, problem = ?10, \
                     given_up = ?11 WHERE {SAME} AND {WAITS}"
                ))?
                .execute(params![
                    status.repository.as_str(),
                    status.commit.as_str(),
                    status.context,
                    status.build.as_str(),
                    status.state.as_str(),
                    status.description,
                    status.written.as_millis(),
                    reported,
                    not_before,
                    problem,
                    given_up,
                ])?;
            show_change(connection, &status, changed)
        })
        .await
    }

    /// Nothing waits for its time any more, nor is given up: under other settings it may be taken at
    /// once.
    pub async fn statuses_wait_no_longer(&self) -> Result<()> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "UPDATE outbox SET not_before = 0, given_up = 0 WHERE reported IS NULL \
                     AND (not_before > 0 OR given_up = 1 AND written >= ?1)",
                )?
                .execute([Timestamp::now().before(WORTH_ANOTHER_TRY).as_millis()])?;
            Ok(())
        })
        .await
    }

    /// The combined verdicts have another name: those of the last day are sent under it.
    pub async fn send_combined_again(&self) -> Result<()> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "UPDATE outbox SET reported = NULL, attempts = 0, not_before = 0, problem = NULL, given_up = 0 \
                     WHERE context = '' AND written >= ?1",
                )?
                .execute([Timestamp::now().before(DAY).as_millis()])?;
            Ok(())
        })
        .await
    }

    /// What waits to be sent, the combined verdicts only if they have a name.
    pub async fn status_backlog(&self, combined: bool) -> Result<Backlog> {
        self.read(move |connection| {
            let (mut statuses, mut oldest) = (0, None);
            for (queue, time) in queues(combined, Timestamp::now()) {
                let (more, oldest_of_them): (u64, Option<i64>) = connection
                    .prepare_cached(&format!(
                        "SELECT count(*), min(written) FROM outbox WHERE {WAITS} AND {queue}"
                    ))?
                    .query_row([time], |row| Ok((row.get(0)?, row.get(1)?)))?;
                statuses += more;
                oldest = [oldest, oldest_of_them].into_iter().flatten().min();
            }
            let oldest = oldest.map(Timestamp::from_millis);
            Ok(Backlog { statuses, oldest })
        })
        .await
    }
}

/// Whoever watches the build learns how far its status is.
pub fn show_change(connection: &Connection, status: &Status, changed: usize) -> Result<()> {
    if changed > 0 && !status.context.is_empty() {
        connection
            .prepare_cached("UPDATE builds SET revision = ?2 WHERE id = ?1")?
            .execute(params![status.build.as_str(), next_revision(connection)?])?;
    }
    Ok(())
}

/// Puts the build's status into the outbox, and the verdict that follows for its commit. The
/// newest build of a context speaks for it: an older one that ends late says nothing.
pub fn report(connection: &Connection, build: &Build) -> Result<()> {
    let written = connection
        .prepare_cached(&format!(
            "{UPSERT} WHERE excluded.sequence >= outbox.sequence AND {CHANGED}"
        ))?
        .execute(params![
            build.repository.as_str(),
            build.commit.as_str(),
            build.status_context(),
            build.id.as_str(),
            build.sequence,
            build.state.commit_status().as_str(),
            build.status_description(),
            Timestamp::now().as_millis(),
        ])?;
    if written > 0 && build.kind() != Kind::Configuration {
        combine(connection, build)?;
    }
    Ok(())
}

/// Something that GitHub shows is another. What is the same was reported already, or waits.
const CHANGED: &str = "(excluded.build, excluded.state, excluded.description) IS NOT \
                       (outbox.build, outbox.state, outbox.description)";

/// Another state begins anew. `shown` stays: what GitHub took, it shows until it takes another.
const UPSERT: &str = "INSERT INTO outbox (repository, sha, context, build, sequence, state, description, written) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
     ON CONFLICT (repository, sha, context) DO UPDATE SET build = excluded.build, \
     sequence = excluded.sequence, state = excluded.state, description = excluded.description, \
     written = excluded.written, reported = NULL, attempts = 0, not_before = 0, problem = NULL, \
     given_up = 0";

/// The verdict of all scripts of the build's commit. It leads to the newest build that decides it.
fn combine(connection: &Connection, build: &Build) -> Result<()> {
    let (repository, commit) = (build.repository.as_str(), build.commit.as_str());
    let of_scripts = "context NOT IN ('', 'autobuilder/configuration')";
    let statuses: Vec<CommitStatus> = connection
        .prepare_cached(&format!(
            "SELECT state FROM outbox WHERE repository = ?1 AND sha = ?2 AND {of_scripts}"
        ))?
        .query_map([repository, commit], |row| rows::parsed(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    let Some(verdict) = CommitStatus::combined(statuses.iter().copied()) else {
        return Ok(());
    };
    let decides: Option<(String, i64, String, String)> = connection
        .prepare_cached(&format!(
            "SELECT build, sequence, context, description FROM outbox \
             WHERE repository = ?1 AND sha = ?2 AND {of_scripts} AND state = ?3 ORDER BY sequence DESC LIMIT 1"
        ))?
        .query_row([repository, commit, verdict.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((decider, sequence, context, reason)) = decides else {
        return Ok(());
    };
    let description = match (statuses.len(), verdict) {
        (1, _) => reason,
        (count, CommitStatus::Success) => format!("all {count} scripts are well"),
        _ => {
            let script = context.trim_start_matches("autobuilder/");
            one_short_line(&format!("{script}: {reason}"))
        }
    };
    connection
        .prepare_cached(&format!("{UPSERT} WHERE {CHANGED}"))?
        .execute(params![
            repository,
            commit,
            "",
            decider,
            sequence,
            verdict.as_str(),
            description,
            Timestamp::now().as_millis(),
        ])?;
    Ok(())
}
