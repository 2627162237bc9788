//! Statuses that the world has not been told yet.

use rusqlite::params;

use super::{Result, Store, rows};
use crate::domain::names::{BuildId, CommitSha, RepositoryName};
use crate::domain::time::Timestamp;

/// The newest status of one context of one commit.
#[cfg_attr(not(test), expect(dead_code, reason = "as below"))]
#[derive(Debug, Clone)]
pub struct WaitingStatus {
    pub repository: RepositoryName,
    pub commit: CommitSha,
    pub context: String,
    pub build: BuildId,
    /// One of GitHub's four.
    pub state: String,
    pub description: String,
    written: i64,
    sequence: i64,
}

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the status reporter comes with GitHub's API")
)]
impl Store {
    /// Statuses that wait to be reported, oldest first.
    pub async fn waiting_statuses(&self, limit: usize) -> Result<Vec<WaitingStatus>> {
        self.read(move |connection| {
            let waiting = connection
                .prepare_cached(
                    "SELECT repository, sha, context, build, state, description, written, sequence FROM outbox \
                     WHERE reported IS NULL ORDER BY written LIMIT ?1",
                )?
                .query_map([limit], |row| {
                    Ok(WaitingStatus {
                        repository: rows::parsed(row, 0)?,
                        commit: rows::parsed(row, 1)?,
                        context: row.get(2)?,
                        build: rows::parsed(row, 3)?,
                        state: row.get(4)?,
                        description: row.get(5)?,
                        written: row.get(6)?,
                        sequence: row.get(7)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(waiting)
        })
        .await
    }

    /// Unless a newer status has taken its place in between.
    pub async fn status_reported(&self, status: WaitingStatus) -> Result<()> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE outbox SET reported = ?6 WHERE repository = ?1 AND sha = ?2 AND context = ?3 \
                     AND state = ?4 AND sequence = ?5 AND written = ?7",
                )?
                .execute(params![
                    status.repository.as_str(),
                    status.commit.as_str(),
                    status.context,
                    status.state,
                    status.sequence,
                    Timestamp::now().as_millis(),
                    status.written,
                ])?;
            Ok(())
        })
        .await
    }
}
