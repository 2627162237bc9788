//! Which build a stable name points to, so that an older one can never take it back.

use rusqlite::{OptionalExtension, params};

use super::{Result, Store, rows};
use crate::domain::build::Build;
use crate::domain::names::CommitSha;
use crate::domain::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Place of the push in the order in which pushes were heard of.
    pub push: u64,
    pub commit: CommitSha,
}

impl Store {
    /// `place` is a kind of destination, such as `binaries`; names are unique within it.
    pub async fn published(&self, place: &'static str, name: String) -> Result<Option<Published>> {
        self.read(move |connection| {
            let published = connection
                .prepare_cached(
                    "SELECT push, sha FROM publications WHERE place = ?1 AND name = ?2",
                )?
                .query_row(params![place, name], |row| {
                    Ok(Published {
                        push: row.get(0)?,
                        commit: rows::parsed(row, 1)?,
                    })
                })
                .optional()?;
            Ok(published)
        })
        .await
    }

    pub async fn record_published(
        &self,
        place: &'static str,
        name: String,
        build: &Build,
    ) -> Result<()> {
        let (id, push, commit) = (build.id.clone(), build.push, build.commit.clone());
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO publications (place, name, build, push, sha, moved) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    place,
                    name,
                    id.as_str(),
                    push,
                    commit.as_str(),
                    Timestamp::now().as_millis()
                ])?;
            Ok(())
        })
        .await
    }
}
