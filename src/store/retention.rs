//! What may go: old builds, the logs and artifacts of old builds, old pushes, and what is known of
//! repositories that no longer matter.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::params;

use super::{Result, Store, WithoutRoom, rows};
use crate::domain::names::{BuildId, RepositoryName};
use crate::domain::time::Timestamp;

/// So long a build is kept for the sake of a status that GitHub has not taken yet.
const STATUS_WAITS: Duration = Duration::from_secs(24 * 3600);

/// So long where GitHub may show `pending`, which only that status ends. These are few: builds that
/// ran when GitHub took statuses and ended when it did not. After that time a status would be given
/// up anyway that its repository refuses (`Patience::refused_for`), and nobody waits for the commit.
const PENDING_WAITS: Duration = Duration::from_secs(30 * 24 * 3600);

/// A push `p` that nothing refers to: it caused no build that is kept, no delivery that may come
/// again told of it, and its ref has moved on since.
///
/// What is lost with it: the same move counts as a new push, as it is by then; and a build of its
/// commit that somebody asks for has the newest place in the order of pushes, so that it is its
/// ancestry alone that keeps it from a stable name.
const UNUSED: &str = "NOT EXISTS (SELECT 1 FROM builds WHERE push = p.sequence OR told_by = p.sequence) \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE push = p.sequence) \
     AND NOT EXISTS (SELECT 1 FROM heads h WHERE h.repository = p.repository AND h.ref = p.ref \
     AND h.push = p.sequence)";

impl Store {
    /// Forgets deliveries that were heard of before `time`: they can no longer come again.
    pub async fn forget_deliveries(&self, time: Timestamp) -> Result<()> {
        self.write_or(WithoutRoom::Write, move |connection| {
            connection
                .prepare_cached("DELETE FROM deliveries WHERE heard < ?1")?
                .execute([time.as_millis()])?;
            Ok(())
        })
        .await
    }

    /// Pushes that were heard of before `time` and that nothing refers to any more.
    pub async fn unused_pushes(&self, time: Timestamp, limit: usize) -> Result<Vec<u64>> {
        self.read(move |connection| {
            let query =
                format!("SELECT p.sequence FROM pushes p WHERE p.heard < ?1 AND {UNUSED} LIMIT ?2");
            let pushes = connection
                .prepare_cached(&query)?
                .query_map(params![time.as_millis(), limit], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(pushes)
        })
        .await
    }

    /// Removes those pushes that nothing has come to refer to meanwhile.
    pub async fn forget_pushes(&self, pushes: Vec<u64>) -> Result<()> {
        self.write_or(WithoutRoom::Write, move |connection| {
            let query = format!("DELETE FROM pushes AS p WHERE p.sequence = ?1 AND {UNUSED}");
            let mut delete = connection.prepare_cached(&query)?;
            for push in &pushes {
                delete.execute([push])?;
            }
            Ok(())
        })
        .await
    }

    /// Notes which repositories are watched now. Of the others that have refs here, or are
    /// `mirrored`, returns those that have nothing to build and were not watched since `time`.
    pub async fn long_unwatched(
        &self,
        watched: BTreeSet<RepositoryName>,
        mirrored: Vec<RepositoryName>,
        time: Timestamp,
    ) -> Result<Vec<RepositoryName>> {
        self.write_or(WithoutRoom::Write, move |connection| {
            let mut known: BTreeSet<RepositoryName> = connection
                .prepare_cached(
                    "SELECT repository FROM heads UNION SELECT repository FROM seen_repositories",
                )?
                .query_map([], |row| rows::parsed(row, 0))?
                .collect::<rusqlite::Result<_>>()?;
            known.extend(mirrored.iter().cloned());
            let mut note = connection.prepare_cached(
                "INSERT OR IGNORE INTO unwatched (repository, since) VALUES (?1, ?2)",
            )?;
            for repository in known.difference(&watched) {
                note.execute(params![repository.as_str(), Timestamp::now().as_millis()])?;
            }
            let mut back =
                connection.prepare_cached("DELETE FROM unwatched WHERE repository = ?1")?;
            for repository in &watched {
                back.execute([repository.as_str()])?;
            }
            let unwatched = connection
                .prepare_cached(
                    "SELECT repository FROM unwatched u WHERE since < ?1 AND NOT EXISTS \
                     (SELECT 1 FROM builds b INDEXED BY builds_unfinished \
                     WHERE b.repository = u.repository AND b.ended IS NULL)",
                )?
                .query_map([time.as_millis()], |row| rows::parsed(row, 0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(unwatched)
        })
        .await
    }

    /// Forgets where the refs of a repository stood: should it be watched again, it is seen for
    /// the first time.
    pub async fn forget_repository(&self, repository: RepositoryName) -> Result<()> {
        self.write_or(WithoutRoom::Write, move |connection| {
            for table in ["heads", "seen_repositories", "unwatched"] {
                connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE repository = ?1"))?
                    .execute([repository.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    /// Ended builds beyond the newest `keep` of each repository, the oldest first. Where
    /// statuses are `reported` at all, a build whose status still waits stays for up to a day: its
    /// page is what GitHub links to. One for which GitHub may show `pending` stays for a month, as
    /// a credential that is missing may come. After that it goes, and its status with it. What was
    /// imported stays until it was imported before `imported_before`.
    pub async fn builds_beyond(
        &self,
        keep: u64,
        reported: bool,
        imported_before: Timestamp,
    ) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let now = Timestamp::now();
            let waits_since = match reported {
                true => now.before(STATUS_WAITS),
                false => now,
            };
            let pending_since = now.before(PENDING_WAITS);
            let builds = connection
                .prepare_cached(
                    "SELECT id FROM (SELECT id, ended, cause, sequence, row_number() OVER \
                     (PARTITION BY repository ORDER BY sequence DESC) AS place FROM builds) \
                     WHERE place > ?1 AND ended IS NOT NULL \
                     AND coalesce(json_extract(cause, '$.imported') < ?4, 1) AND NOT EXISTS (SELECT 1 FROM outbox \
                     WHERE build = id AND reported IS NULL AND given_up = 0 \
                     AND (context != '' AND written > ?2 OR shown = 1 AND written > ?3)) \
                     ORDER BY sequence",
                )?
                .query_map(
                    params![
                        keep,
                        waits_since.as_millis(),
                        pending_since.as_millis(),
                        imported_before.to_string()
                    ],
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
        self.write_or(WithoutRoom::Write, move |connection| {
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
    pub async fn builds_with_artifacts_before(&self, time: Timestamp) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let builds = connection
                .prepare_cached(
                    "SELECT DISTINCT b.id FROM artifacts a JOIN builds b ON b.sequence = a.build \
                     WHERE b.ended < ?1 ORDER BY b.sequence",
                )?
                .query_map([time.as_millis()], |row| rows::parsed(row, 0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(builds)
        })
        .await
    }

    pub async fn forget_artifacts(&self, build: BuildId) -> Result<()> {
        self.write_or(WithoutRoom::Write, move |connection| {
            connection
                .prepare_cached("DELETE FROM artifacts WHERE build = (SELECT sequence FROM builds WHERE id = ?1)")?
                .execute([build.as_str()])?;
            Ok(())
        })
        .await
    }

    /// Builds that ended (or were imported) before `time` and still have a log.
    pub async fn builds_with_logs_before(&self, time: Timestamp) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let builds = connection
                .prepare_cached(
                    "SELECT id FROM builds WHERE ended < ?1 AND log_bytes > 0 \
                     AND coalesce(json_extract(cause, '$.imported') < ?2, 1) ORDER BY sequence",
                )?
                .query_map(params![time.as_millis(), time.to_string()], |row| {
                    rows::parsed(row, 0)
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(builds)
        })
        .await
    }

    pub async fn forget_log(&self, build: BuildId) -> Result<()> {
        self.write_or(WithoutRoom::Write, move |connection| {
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
        let unfinished = "SELECT 1 FROM builds WHERE id = ?1 AND ended IS NULL";
        self.missing(unfinished, builds).await
    }

    /// Of these builds, those that were never heard of, or were forgotten.
    pub async fn not_known(&self, builds: Vec<BuildId>) -> Result<Vec<BuildId>> {
        self.missing("SELECT 1 FROM builds WHERE id = ?1", builds)
            .await
    }

    async fn missing(&self, query: &'static str, builds: Vec<BuildId>) -> Result<Vec<BuildId>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(query)?;
            let mut missing = Vec::new();
            for build in builds {
                if !query.exists([build.as_str()])? {
                    missing.push(build);
                }
            }
            Ok(missing)
        })
        .await
    }
}
