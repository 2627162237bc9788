//! Pushes as they are heard of, and the builds they cause: one transaction, then the answer.

use rusqlite::{Connection, OptionalExtension, params};

use super::transitions::{next_revision, report};
use super::{Result, Store, StoreError, rows};
use crate::domain::build::{Build, Cause, State, Work};
use crate::domain::names::{BuildId, CommitSha, GitRef, RepositoryName};
use crate::domain::push::Push;
use crate::domain::time::Timestamp;

/// What became of a push that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The builds it caused, in the order of its work.
    pub builds: Vec<BuildId>,
    /// It had been heard of before; the builds are those it had then.
    pub known: bool,
}

/// A push, and a build for each piece of work.
#[derive(Debug, Clone)]
pub struct NewBuilds {
    pub push: Push,
    pub work: Vec<Work>,
    pub cause: Cause,
}

impl Store {
    /// Records a push with its builds, unless it is known: by its delivery id, by
    /// its move (ref, before, after), or because the ref was last heard of at that commit.
    pub async fn hear_push(&self, delivery: Option<String>, new: NewBuilds) -> Result<Heard> {
        self.write(move |connection| {
            if let Some(push) = known_push(connection, delivery.as_deref(), &new.push)? {
                remember_delivery(connection, delivery.as_deref(), push)?;
                if new.cause == Cause::Reconcile {
                    // Git itself says that the ref is there again.
                    set_head(
                        connection,
                        &new.push.repository,
                        &new.push.reference,
                        &new.push.after,
                        Some(push),
                    )?;
                }
                return Ok(Heard {
                    builds: builds_of(connection, push)?,
                    known: true,
                });
            }
            let push = insert_push(connection, &new.push, false)?;
            remember_delivery(connection, delivery.as_deref(), push)?;
            set_head(
                connection,
                &new.push.repository,
                &new.push.reference,
                &new.push.after,
                Some(push),
            )?;
            let builds = insert_builds(connection, push, &new)?;
            Ok(Heard {
                builds,
                known: false,
            })
        })
        .await
    }

    /// Builds that a person asked for. A commit that was pushed to this ref keeps the place of
    /// that push in the order of pushes; another gets the newest place.
    pub async fn ask_for_builds(&self, new: NewBuilds) -> Result<Vec<BuildId>> {
        self.write(move |connection| {
            let pushed: Option<u64> = connection
                .prepare_cached(
                    "SELECT max(sequence) FROM pushes WHERE repository = ?1 AND ref = ?2 AND after_sha = ?3",
                )?
                .query_row(
                    params![
                        new.push.repository.as_str(),
                        new.push.reference.to_string(),
                        new.push.after.as_str()
                    ],
                    |row| row.get(0),
                )?;
            let push = match pushed {
                Some(push) => push,
                None => insert_push(connection, &new.push, true)?,
            };
            insert_builds(connection, push, &new)
        })
        .await
    }

    /// The same script of the same commit once more, after the recipe given.
    pub async fn rebuild(&self, of: BuildId, work: Work) -> Result<BuildId> {
        self.write(move |connection| {
            let old = super::builds::load(connection, &of)?;
            let cause = Cause::Rebuild { of };
            let build = BuildRow {
                work: &work,
                cause: &cause,
                told_by: None,
                commits: rows::to_json(&old.commits)?,
            };
            insert_build(
                connection,
                old.push,
                &old.repository,
                &old.reference,
                &old.commit,
                &build,
            )
        })
        .await
    }

    /// Where its ref stood before a push, if that is where the push heard before it had left it.
    /// Else a comparison would not tell all that is new to this service: the ref was created, this
    /// is the first that is heard of it, or a push between was missed or is late.
    pub async fn comparable_with(&self, push: u64) -> Result<Option<CommitSha>> {
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT p.before_sha FROM pushes p WHERE p.sequence = ?1 AND p.before_sha = \
                     (SELECT earlier.after_sha FROM pushes earlier WHERE earlier.repository = p.repository \
                      AND earlier.ref = p.ref AND earlier.asked = 0 AND earlier.sequence < p.sequence \
                      ORDER BY earlier.sequence DESC LIMIT 1)",
                )?
                .query_row([push], |row| rows::parsed(row, 0))
                .optional()
                .map_err(StoreError::from)
        })
        .await
    }

    /// Where the ref was last heard of.
    pub async fn head(
        &self,
        repository: RepositoryName,
        reference: GitRef,
    ) -> Result<Option<CommitSha>> {
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT sha FROM heads WHERE repository = ?1 AND ref = ?2")?
                .query_row(params![repository.as_str(), reference.to_string()], |row| {
                    rows::parsed(row, 0)
                })
                .optional()
                .map_err(StoreError::from)
        })
        .await
    }

    /// Notes where a ref stands without building it.
    pub async fn record_head(
        &self,
        repository: RepositoryName,
        reference: GitRef,
        commit: CommitSha,
    ) -> Result<()> {
        self.write(move |connection| set_head(connection, &repository, &reference, &commit, None))
            .await
    }
}

fn known_push(connection: &Connection, delivery: Option<&str>, push: &Push) -> Result<Option<u64>> {
    if let Some(delivery) = delivery {
        let seen: Option<u64> = connection
            .prepare_cached("SELECT push FROM deliveries WHERE id = ?1")?
            .query_row([delivery], |row| row.get(0))
            .optional()?;
        if seen.is_some() {
            return Ok(seen);
        }
    }
    let reference = push.reference.to_string();
    let before = push.before.as_ref().map_or("", CommitSha::as_str);
    let moved: Option<u64> = connection
        .prepare_cached(
            "SELECT max(sequence) FROM pushes WHERE repository = ?1 AND ref = ?2 AND before_sha = ?3 \
             AND after_sha = ?4 AND asked = 0",
        )?
        .query_row(params![push.repository.as_str(), reference, before, push.after.as_str()], |row| row.get(0))?;
    if moved.is_some() {
        return Ok(moved);
    }
    let head = connection
        .prepare_cached(
            "SELECT push FROM heads WHERE repository = ?1 AND ref = ?2 AND sha = ?3 AND push IS NOT NULL",
        )?
        .query_row(params![push.repository.as_str(), reference, push.after.as_str()], |row| row.get(0))
        .optional()?;
    Ok(head)
}

fn remember_delivery(connection: &Connection, delivery: Option<&str>, push: u64) -> Result<()> {
    if let Some(delivery) = delivery {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO deliveries (id, push, heard) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![delivery, push, Timestamp::now().as_millis()])?;
    }
    Ok(())
}

fn builds_of(connection: &Connection, push: u64) -> Result<Vec<BuildId>> {
    let builds = connection
        .prepare_cached("SELECT id FROM builds WHERE told_by = ?1 ORDER BY sequence")?
        .query_map([push], |row| rows::parsed(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(builds)
}

fn insert_push(connection: &Connection, push: &Push, asked: bool) -> Result<u64> {
    connection
        .prepare_cached(
            "INSERT INTO pushes (repository, ref, before_sha, after_sha, forced, heard, asked) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            push.repository.as_str(),
            push.reference.to_string(),
            push.before.as_ref().map_or("", CommitSha::as_str),
            push.after.as_str(),
            push.forced,
            Timestamp::now().as_millis(),
            asked,
        ])?;
    Ok(connection.last_insert_rowid().unsigned_abs())
}

fn set_head(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &GitRef,
    commit: &CommitSha,
    push: Option<u64>,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO heads (repository, ref, sha, push) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            repository.as_str(),
            reference.to_string(),
            commit.as_str(),
            push
        ])?;
    Ok(())
}

fn insert_builds(connection: &Connection, push: u64, new: &NewBuilds) -> Result<Vec<BuildId>> {
    let commits = rows::to_json(&new.push.commits)?;
    let told_by = (new.cause != Cause::Manual).then_some(push);
    let mut builds = Vec::with_capacity(new.work.len());
    for work in &new.work {
        let build = BuildRow {
            work,
            cause: &new.cause,
            told_by,
            commits: commits.clone(),
        };
        let Push {
            repository,
            reference,
            after,
            ..
        } = &new.push;
        builds.push(insert_build(
            connection, push, repository, reference, after, &build,
        )?);
    }
    Ok(builds)
}

struct BuildRow<'a> {
    work: &'a Work,
    cause: &'a Cause,
    /// The push that caused it.
    told_by: Option<u64>,
    commits: String,
}

fn insert_build(
    connection: &Connection,
    push: u64,
    repository: &RepositoryName,
    reference: &GitRef,
    commit: &CommitSha,
    new: &BuildRow<'_>,
) -> Result<BuildId> {
    let id = new_build_id()?;
    let now = Timestamp::now().as_millis();
    connection
        .prepare_cached(
            "INSERT INTO builds (id, revision, push, repository, ref, branch, sha, script, tag, kind, recipe, \
             cause, commits, state, queued, told_by, attempt) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 1)",
        )?
        .execute(params![
            id.as_str(),
            next_revision(connection)?,
            push,
            repository.as_str(),
            reference.to_string(),
            reference.short_name().as_str(),
            commit.as_str(),
            new.work.script(),
            new.work.tag().map_or("", |tag| tag.as_str()),
            new.work.kind().as_str(),
            rows::to_json(&new.work.recipe())?,
            rows::to_json(new.cause)?,
            new.commits,
            State::Queued.as_str(),
            now,
            new.told_by,
        ])?;
    let sequence = connection.last_insert_rowid();
    connection
        .prepare_cached(
            "INSERT INTO steps (build, number, state, attempt, started, line) VALUES (?1, 1, 'queued', 1, ?2, 1)",
        )?
        .execute(params![sequence, now])?;
    let build: Build = super::builds::load(connection, &id)?;
    report(connection, &build)?;
    Ok(id)
}

fn new_build_id() -> Result<BuildId> {
    let bits = getrandom::u64().map_err(|error| StoreError::Value(error.to_string()))?;
    Ok(BuildId::from_random(bits))
}
