//! Where the refs of watched repositories stood when they were last heard of. Watchers compare
//! them with what git says.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, Store, rows};
use crate::domain::names::{CommitSha, GitRef, RepositoryName};

/// What is known of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    pub commit: CommitSha,
    /// The push that brought it there; `None` where it was only seen.
    pub push: Option<u64>,
    /// Whether `first_sight` was asked about it. It is not while nothing is built for the ref
    /// itself, also where other repositories follow it.
    pub decided: bool,
}

/// What is known of a repository.
#[derive(Debug, Clone, Default)]
pub struct KnownHeads {
    /// All its refs have been looked at once: one that is not among them is new.
    pub seen: bool,
    pub heads: HashMap<GitRef, KnownHead>,
}

/// A ref that is only noted: nothing is built for where it stands.
#[derive(Debug, Clone)]
pub struct HeadNote {
    pub reference: GitRef,
    /// Where it was known to stand. If that has changed meanwhile, a push was heard, which knows
    /// better.
    pub before: Option<CommitSha>,
    /// `None`: it is gone.
    pub now: Option<CommitSha>,
    pub decided: bool,
}

impl Store {
    pub async fn known_heads(&self, repository: RepositoryName) -> Result<KnownHeads> {
        self.read(move |connection| {
            let seen = connection
                .prepare_cached("SELECT 1 FROM seen_repositories WHERE repository = ?1")?
                .exists([repository.as_str()])?;
            let heads = connection
                .prepare_cached("SELECT ref, sha, push, decided FROM heads WHERE repository = ?1")?
                .query_map([repository.as_str()], |row| {
                    let head = KnownHead {
                        commit: rows::parsed(row, 1)?,
                        push: row.get(2)?,
                        decided: row.get(3)?,
                    };
                    Ok((rows::parsed(row, 0)?, head))
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(KnownHeads { seen, heads })
        })
        .await
    }

    /// Notes refs; `all_seen`: after that all of the repository's have been looked at.
    pub async fn note_heads(
        &self,
        repository: RepositoryName,
        notes: Vec<HeadNote>,
        all_seen: bool,
    ) -> Result<()> {
        self.write(move |connection| {
            for note in &notes {
                let head = head(connection, &repository, &note.reference)?;
                if head.as_ref().map(|head| &head.commit) != note.before.as_ref() {
                    continue;
                }
                match &note.now {
                    Some(commit) => set(
                        connection,
                        &repository,
                        &note.reference,
                        commit,
                        head.filter(|head| head.commit == *commit)
                            .and_then(|head| head.push),
                        note.decided,
                    )?,
                    None => forget(connection, &repository, &note.reference)?,
                }
            }
            if all_seen {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO seen_repositories (repository) VALUES (?1)",
                    )?
                    .execute([repository.as_str()])?;
            }
            Ok(())
        })
        .await
    }
}

pub fn head(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &GitRef,
) -> Result<Option<KnownHead>> {
    let head = connection
        .prepare_cached("SELECT sha, push, decided FROM heads WHERE repository = ?1 AND ref = ?2")?
        .query_row(params![repository.as_str(), reference.to_string()], |row| {
            Ok(KnownHead {
                commit: rows::parsed(row, 0)?,
                push: row.get(1)?,
                decided: row.get(2)?,
            })
        })
        .optional()?;
    Ok(head)
}

/// The ref stands where this push brought it; `decided` says whether anything is built for it.
pub fn moved(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &GitRef,
    commit: &CommitSha,
    push: u64,
    decided: bool,
) -> Result<()> {
    let push = Some(push);
    set(connection, repository, reference, commit, push, decided)
}

fn set(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &GitRef,
    commit: &CommitSha,
    push: Option<u64>,
    decided: bool,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO heads (repository, ref, sha, push, decided) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            repository.as_str(),
            reference.to_string(),
            commit.as_str(),
            push,
            decided
        ])?;
    Ok(())
}

fn forget(connection: &Connection, repository: &RepositoryName, reference: &GitRef) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM heads WHERE repository = ?1 AND ref = ?2")?
        .execute(params![repository.as_str(), reference.to_string()])?;
    Ok(())
}
