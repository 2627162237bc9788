//! Which build a stable name points to, so that an older one can never take it back. Repositories
//! that share a name are told apart, as only commits of one repository can be compared.

use rusqlite::{OptionalExtension, params};

use super::{Result, Store, rows};
use crate::domain::build::Build;
use crate::domain::names::{BuildId, CommitSha, GitRef, RepositoryName};
use crate::domain::time::Timestamp;

/// Where stable names are. Each is unique within its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `artifacts.binaries`.
    Binaries,
    /// `kernels.directory`.
    Kernels,
    /// Images on the Docker host.
    Images,
    /// Links on the hub.
    Hub,
    /// Links on the bootstrap server.
    Bootstrap,
}

impl Place {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Binaries => "binaries",
            Self::Kernels => "kernels",
            Self::Images => "images",
            Self::Hub => "hub",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// What a repository's builds pointed a stable name to last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub name: String,
    pub build: BuildId,
    /// `None`, as the ref: of a build that was forgotten before this was kept.
    pub repository: Option<RepositoryName>,
    pub reference: Option<GitRef>,
    /// Place of the push in the order in which pushes were heard of.
    pub push: u64,
    pub commit: CommitSha,
}

const PUBLISHED: &str =
    "SELECT name, build, nullif(repository, ''), ref, push, sha FROM publications";

fn published(row: &rusqlite::Row<'_>) -> rusqlite::Result<Published> {
    Ok(Published {
        name: row.get(0)?,
        build: rows::parsed(row, 1)?,
        repository: rows::optional(row, 2)?,
        reference: rows::optional(row, 3)?,
        push: row.get(4)?,
        commit: rows::parsed(row, 5)?,
    })
}

impl Store {
    /// What a name points to now, whichever repository's.
    pub async fn published(&self, place: Place, name: String) -> Result<Option<Published>> {
        self.read(move |connection| {
            let found = connection
                .prepare_cached(&format!(
                    "{PUBLISHED} WHERE place = ?1 AND name = ?2 ORDER BY moved DESC LIMIT 1"
                ))?
                .query_row(params![place.as_str(), name], published)
                .optional()?;
            Ok(found)
        })
        .await
    }

    /// What a name pointed to when a build of this repository moved it last; where none did, what
    /// moved it before repositories were kept.
    pub async fn published_last_by(
        &self,
        place: Place,
        name: String,
        repository: RepositoryName,
    ) -> Result<Option<Published>> {
        self.read(move |connection| {
            let found = connection
                .prepare_cached(&format!(
                    "{PUBLISHED} WHERE place = ?1 AND name = ?2 AND repository IN (?3, '') \
                     ORDER BY repository DESC LIMIT 1"
                ))?
                .query_row(
                    params![place.as_str(), name, repository.as_str()],
                    published,
                )
                .optional()?;
            Ok(found)
        })
        .await
    }

    /// What one repository's builds published in a place.
    pub async fn published_by(
        &self,
        place: Place,
        repository: RepositoryName,
    ) -> Result<Vec<Published>> {
        self.read(move |connection| {
            let found = connection
                .prepare_cached(&format!(
                    "{PUBLISHED} WHERE place = ?1 AND repository = ?2 ORDER BY name"
                ))?
                .query_map(params![place.as_str(), repository.as_str()], published)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })
        .await
    }

    /// Later than all that moved the name before, whatever the clock says.
    pub async fn record_published(&self, place: Place, name: String, build: &Build) -> Result<()> {
        let (id, push, commit) = (build.id.clone(), build.push, build.commit.clone());
        let (repository, reference) = (build.repository.clone(), build.reference.to_string());
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO publications (place, name, build, repository, ref, push, sha, moved) \
                     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, max(?8, coalesce(max(moved), 0) + 1) \
                     FROM publications WHERE place = ?1 AND name = ?2",
                )?
                .execute(params![
                    place.as_str(),
                    name,
                    id.as_str(),
                    repository.as_str(),
                    reference,
                    push,
                    commit.as_str(),
                    Timestamp::now().as_millis()
                ])?;
            Ok(())
        })
        .await
    }
}
