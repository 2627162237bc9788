//! The history of the old service, and its builds as rows of ours.
//!
//! Imported builds come before all of our own: their sequence is negative and grows with the time
//! they began at, so that histories can be imported one after the other in any order. All of them
//! hang on one push with the number 0, which is older than any that was heard. They have no
//! statuses and no publications. Their revision is their sequence: nobody who follows changes is
//! told of a hundred thousand of them.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::{Result, Store, StoreError, WithoutRoom, rows};
use crate::domain::build::{Cause, State, Work};
use crate::domain::names::{BuildId, CommitSha, GitRef, RepositoryName};
use crate::domain::push::Commit;
use crate::domain::time::Timestamp;

/// The push that all imported builds hang on.
const PUSH: i64 = 0;

/// Seconds since 1970 take less than 36 bits for two thousand years, the row 16.
const FIRST_SEQUENCE: i64 = -(1 << 52);
const SECONDS: std::ops::RangeInclusive<i64> = 0..=(1 << 36) - 2;

/// The database of the old service.
pub struct OldHistory(Connection);

/// A row of its table, as it stands there. What is no text is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldRow {
    pub row: i64,
    pub created: Option<String>,
    pub push: Option<String>,
    pub content: Option<String>,
}

/// A build of the old service.
#[derive(Debug, Clone)]
pub struct ImportedBuild {
    pub id: BuildId,
    /// Of the old table.
    pub row: i64,
    pub repository: RepositoryName,
    pub reference: GitRef,
    pub commit: CommitSha,
    pub work: Work,
    pub cause: Cause,
    pub commits: Vec<Commit>,
    pub state: State,
    pub reason: Option<String>,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub image: Option<String>,
    pub container: Option<String>,
    pub log: ImportedLog,
}

/// What a build's row says of its log.
#[derive(Debug, Clone, Default)]
pub struct ImportedLog {
    pub bytes: u64,
    pub lines: u64,
    pub tail: Vec<String>,
}

impl OldHistory {
    /// Opens it to be read only.
    ///
    /// # Errors
    /// [`StoreError::NoHistory`] where it is no such database.
    pub fn open(file: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        let columns = "SELECT rowid, created, push, content FROM history LIMIT 0";
        connection
            .prepare(columns)
            .map_err(|error| StoreError::NoHistory(error.to_string()))?;
        Ok(Self(connection))
    }

    pub fn count(&self) -> Result<u64> {
        let count = "SELECT count(*) FROM history";
        Ok(self.0.query_row(count, [], |row| row.get(0))?)
    }

    /// Rows after a place, in their order.
    pub fn rows(&self, after: i64, limit: usize) -> Result<Vec<OldRow>> {
        let rows = self
            .0
            .prepare_cached(
                "SELECT rowid, created, push, content FROM history WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
            )?
            .query_map(params![after, limit], |row| {
                Ok(OldRow {
                    row: row.get(0)?,
                    created: text(row, 1)?,
                    push: text(row, 2)?,
                    content: text(row, 3)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        ValueRef::Integer(number) => Some(number.to_string()),
        _ => None,
    })
}

impl Store {
    /// Of these builds those that are there, and whether each has a log.
    pub async fn with_logs(&self, builds: Vec<BuildId>) -> Result<HashMap<BuildId, bool>> {
        self.read(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT log_bytes > 0 FROM builds WHERE id = ?1")?;
            let mut found = HashMap::new();
            for build in builds {
                let has_log = select
                    .query_row([build.as_str()], |row| row.get(0))
                    .optional()?;
                if let Some(has_log) = has_log {
                    found.insert(build, has_log);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Adds builds of the old service; of one that is there already, only what its row says of its
    /// log and its import is replaced.
    pub async fn import(&self, builds: Vec<ImportedBuild>) -> Result<()> {
        self.write_or(WithoutRoom::Refuse, move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO pushes (sequence, repository, ref, before_sha, after_sha, forced, heard, asked) \
                     VALUES (?1, '', '', '', '', 0, ?2, 1)",
                )?
                .execute(params![PUSH, Timestamp::now().as_millis()])?;
            for build in &builds {
                if !replace_log(connection, build)? {
                    insert(connection, build)?;
                }
            }
            Ok(())
        })
        .await
    }
}

fn replace_log(connection: &Connection, build: &ImportedBuild) -> Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE builds SET log_bytes = ?2, log_lines = ?3, tail = ?4, cause = ?5 WHERE id = ?1",
        )?
        .execute(params![
            build.id.as_str(),
            build.log.bytes,
            build.log.lines,
            rows::to_json(&build.log.tail)?,
            rows::to_json(&build.cause)?,
        ])?;
    Ok(changed > 0)
}

fn insert(connection: &Connection, build: &ImportedBuild) -> Result<()> {
    let sequence = free_sequence(connection, build)?;
    let (started, ended) = (build.started.as_millis(), build.ended.as_millis());
    connection
        .prepare_cached(
            "INSERT INTO builds (sequence, id, revision, push, repository, ref, branch, sha, script, tag, kind, \
             recipe, cause, commits, state, reason, queued, started, ended, attempt, image, container, \
             log_bytes, log_lines, tail) \
             VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16, ?17, 1, \
             ?18, ?19, ?20, ?21, ?22)",
        )?
        .execute(params![
            sequence,
            build.id.as_str(),
            PUSH,
            build.repository.as_str(),
            build.reference.to_string(),
            build.reference.short_name().as_str(),
            build.commit.as_str(),
            build.work.script(),
            rows::tag(build.work.tag()),
            build.work.kind().as_str(),
            rows::to_json(&build.work.recipe())?,
            rows::to_json(&build.cause)?,
            rows::to_json(&build.commits)?,
            build.state.as_str(),
            build.reason,
            started,
            ended,
            build.image,
            build.container,
            build.log.bytes,
            build.log.lines,
            rows::to_json(&build.log.tail)?,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO steps (build, number, state, attempt, started, ended, line) \
             VALUES (?1, 1, ?2, 1, ?3, ?4, 1)",
        )?
        .execute(params![sequence, State::Building.as_str(), started, ended])?;
    Ok(())
}

/// By the time of its begin, then by its row; the next one where two histories meet in one.
fn free_sequence(connection: &Connection, build: &ImportedBuild) -> Result<i64> {
    let seconds = build.started.as_millis().div_euclid(1000);
    let seconds = seconds.clamp(*SECONDS.start(), *SECONDS.end());
    let mut sequence = FIRST_SEQUENCE + (seconds << 16) + (build.row & 0xffff);
    let mut taken = connection.prepare_cached("SELECT 1 FROM builds WHERE sequence = ?1")?;
    while taken.exists([Value::Integer(sequence)])? {
        sequence += 1;
    }
    Ok(sequence)
}
