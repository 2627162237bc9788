//! What may go: old builds, and the logs and artifacts of old builds.

use std::time::Duration;

use rusqlite::params;

use super::{Result, Store, rows};
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;

/// So long a build is kept for the sake of a status that GitHub has not taken yet.
const STATUS_WAITS: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Ended builds beyond the newest `keep` of each repository, at most `limit` of them. Where
    /// statuses are `reported` at all, a build whose status still waits stays for up to a day: its
    /// page is what GitHub links to. After that it goes, and its status with it. What was imported
    /// stays until it was imported before `imported_before`.
    pub async fn builds_beyond(
        &self,
        keep: u64,
        reported: bool,
        imported_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let now = Timestamp::now();
            let waits_since = match reported {
                true => now.before(STATUS_WAITS),
                false => now,
            };
            let builds = connection
                .prepare_cached(
                    "SELECT id FROM (SELECT id, ended, cause, sequence, row_number() OVER \
                     (PARTITION BY repository ORDER BY sequence DESC) AS place FROM builds) \
                     WHERE place > ?1 AND ended IS NOT NULL \
                     AND coalesce(json_extract(cause, '$.imported') < ?4, 1) AND NOT EXISTS (SELECT 1 FROM outbox \
                     WHERE build = id AND reported IS NULL AND given_up = 0 AND context != '' AND written > ?3) \
                     ORDER BY sequence LIMIT ?2",
                )?
                .query_map(
                    params![keep, limit, waits_since.as_millis(), imported_before.to_string()],
                    |row| rows::parsed(row, 0),
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok(builds)
        })
        .await
    }

    /// Removes builds and what hangs on them. A push stays known, so that a late redelivery of it
    /// does not build again.
    pub async fn forget_builds(&self, builds: Vec<BuildId>) -> Result<()> {
        self.write(move |connection| {
            let mut delete_status =
                connection.prepare_cached("DELETE FROM outbox WHERE build = ?1")?;
            let mut delete = connection
                .prepare_cached("DELETE FROM builds WHERE id = ?1 AND ended IS NOT NULL")?;
            for build in &builds {
                delete_status.execute([build.as_str()])?;
                delete.execute([build.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    /// Builds that ended before `time` and still list artifacts.
    pub async fn builds_with_artifacts_before(
        &self,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let builds = connection
                .prepare_cached(
                    "SELECT DISTINCT b.id FROM artifacts a JOIN builds b ON b.sequence = a.build \
                     WHERE b.ended < ?1 LIMIT ?2",
                )?
                .query_map(params![time.as_millis(), limit], |row| rows::parsed(row, 0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(builds)
        })
        .await
    }

    pub async fn forget_artifacts(&self, build: BuildId) -> Result<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM artifacts WHERE build = (SELECT sequence FROM builds WHERE id = ?1)")?
                .execute([build.as_str()])?;
            Ok(())
        })
        .await
    }

    /// Builds that ended (or were imported) before `time` and still have a log.
    pub async fn builds_with_logs_before(
        &self,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let builds = connection
                .prepare_cached(
                    "SELECT id FROM builds WHERE ended < ?1 AND log_bytes > 0 \
                     AND coalesce(json_extract(cause, '$.imported') < ?3, 1) LIMIT ?2",
                )?
                .query_map(params![time.as_millis(), limit, time.to_string()], |row| {
                    rows::parsed(row, 0)
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(builds)
        })
        .await
    }

    pub async fn forget_log(&self, build: BuildId) -> Result<()> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE builds SET log_bytes = 0, log_lines = 0, tail = '[]' WHERE id = ?1",
                )?
                .execute([build.as_str()])?;
            Ok(())
        })
        .await
    }

    /// Of these builds, those that are not waiting or running: ended, or never heard of.
    pub async fn not_unfinished(&self, builds: Vec<BuildId>) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let mut unfinished = connection
                .prepare_cached("SELECT 1 FROM builds WHERE id = ?1 AND ended IS NULL")?;
            let mut gone = Vec::new();
            for build in builds {
                if !unfinished.exists([build.as_str()])? {
                    gone.push(build);
                }
            }
            Ok(gone)
        })
        .await
    }
}
