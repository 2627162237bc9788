//! What GitHub shows, beside what it was told: for the comparison that finds a status which was
//! lost or changed behind our back, and for people who look at a build.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::outbox::{SAME, STATUS, Status, show_change, status};
use super::{Result, Store, rows};
use crate::domain::build::{Build, CommitStatus};
use crate::domain::names::{BuildId, CommitSha, RepositoryName};
use crate::domain::time::Timestamp;

/// How far GitHub has been told of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub context: String,
    pub state: CommitStatus,
    /// When GitHub took it.
    pub reported: Option<Timestamp>,
    pub attempts: u32,
    /// It is not tried again before.
    pub not_before: Timestamp,
    /// Why the last try failed.
    pub problem: Option<String>,
    /// No further try is made.
    pub given_up: bool,
}

impl Store {
    /// How far the status of each of these builds is. A build whose context a newer build speaks
    /// for has none.
    pub async fn deliveries(&self, builds: &[Build]) -> Result<HashMap<BuildId, Delivery>> {
        let wanted: Vec<_> = builds
            .iter()
            .map(|build| {
                (
                    build.id.clone(),
                    build.repository.clone(),
                    build.commit.clone(),
                    build.status_context(),
                )
            })
            .collect();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT context, state, reported, attempts, not_before, problem, given_up FROM outbox \
                 WHERE repository = ?1 AND sha = ?2 AND context = ?3 AND build = ?4",
            )?;
            let mut deliveries = HashMap::new();
            for (build, repository, commit, context) in wanted {
                let key = params![repository.as_str(), commit.as_str(), context, build.as_str()];
                let delivery = select.query_row(key, |row| {
                    let reported: Option<i64> = row.get(2)?;
                    Ok(Delivery {
                        context: row.get(0)?,
                        state: rows::parsed(row, 1)?,
                        reported: reported.map(Timestamp::from_millis),
                        attempts: row.get(3)?,
                        not_before: Timestamp::from_millis(row.get(4)?),
                        problem: row.get(5)?,
                        given_up: row.get(6)?,
                    })
                });
                if let Some(delivery) = delivery.optional()? {
                    deliveries.insert(build, delivery);
                }
            }
            Ok(deliveries)
        })
        .await
    }

    /// Commits with statuses written within this time, newest first.
    pub async fn commits_with_statuses(
        &self,
        within: Duration,
        limit: usize,
    ) -> Result<Vec<(RepositoryName, CommitSha)>> {
        self.read(move |connection| {
            let since = Timestamp::now().before(within).as_millis();
            let commits = connection
                .prepare_cached(
                    "SELECT repository, sha FROM outbox WHERE written >= ?1 \
                     GROUP BY repository, sha ORDER BY max(written) DESC LIMIT ?2",
                )?
                .query_map(params![since, limit], |row| {
                    Ok((rows::parsed(row, 0)?, rows::parsed(row, 1)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(commits)
        })
        .await
    }

    /// The statuses of a commit that GitHub took, and when.
    pub async fn reported_statuses(
        &self,
        repository: RepositoryName,
        commit: CommitSha,
    ) -> Result<Vec<(Status, Timestamp)>> {
        self.read(move |connection| {
            let statuses = connection
                .prepare_cached(&format!(
                    "{STATUS} WHERE repository = ?1 AND sha = ?2 AND reported IS NOT NULL"
                ))?
                .query_map([repository.as_str(), commit.as_str()], |row| {
                    Ok((status(row)?, Timestamp::from_millis(row.get(8)?)))
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(statuses)
        })
        .await
    }

    /// GitHub shows something else: the status waits again, unless it has changed since, or was
    /// put back less than `apart` ago. Says whether it waits.
    pub async fn put_back(&self, status: Status, apart: Duration) -> Result<bool> {
        self.write(move |connection| {
            let now = Timestamp::now();
            let changed = connection
                .prepare_cached(&format!(
                    "UPDATE outbox SET reported = NULL, attempts = 0, corrected = ?8 \
                     WHERE {SAME} AND reported IS NOT NULL AND corrected <= ?9"
                ))?
                .execute(params![
                    status.repository.as_str(),
                    status.commit.as_str(),
                    status.context,
                    status.build.as_str(),
                    status.state.as_str(),
                    status.description,
                    status.written.as_millis(),
                    now.as_millis(),
                    now.before(apart).as_millis(),
                ])?;
            show_change(connection, &status, changed)?;
            Ok(changed > 0)
        })
        .await
    }
}
