//! Files that were published in folders of this machine, under names of their own.

use rusqlite::{Connection, params};

use super::{Place, Result, Store, WithoutRoom};
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;

/// A file in `artifacts.binaries` or `kernels.directory`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    pub place: Place,
    pub name: String,
    pub published: Timestamp,
}

impl Store {
    /// A file was published, perhaps once more: its time begins anew.
    pub async fn record_file(&self, place: Place, name: String, build: &BuildId) -> Result<()> {
        let build = build.clone();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO published_files (place, name, build, published) \
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    place.as_str(),
                    name,
                    build.as_str(),
                    Timestamp::now().as_millis()
                ])?;
            Ok(())
        })
        .await
    }

    /// Files of a place that were published before `time`, the oldest first.
    pub async fn files_before(&self, place: Place, time: Timestamp) -> Result<Vec<PublishedFile>> {
        self.read(move |connection| {
            let files = connection
                .prepare_cached(
                    "SELECT name, published FROM published_files \
                     WHERE place = ?1 AND published < ?2 ORDER BY published, name",
                )?
                .query_map(params![place.as_str(), time.as_millis()], |row| {
                    Ok(PublishedFile {
                        place,
                        name: row.get(0)?,
                        published: Timestamp::from_millis(row.get(1)?),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(files)
        })
        .await
    }

    /// Whether the file was not published again since it was found.
    pub async fn is_still(&self, file: PublishedFile) -> Result<bool> {
        self.read(move |connection| is_still(connection, &file))
            .await
    }

    /// The file is gone, unless it was published again.
    pub async fn forget_file(&self, file: PublishedFile) -> Result<()> {
        self.write_or(WithoutRoom::Write, move |connection| {
            if is_still(connection, &file)? {
                connection
                    .prepare_cached("DELETE FROM published_files WHERE place = ?1 AND name = ?2")?
                    .execute([file.place.as_str(), &file.name])?;
            }
            Ok(())
        })
        .await
    }
}

fn is_still(connection: &Connection, file: &PublishedFile) -> Result<bool> {
    let found = connection
        .prepare_cached(
            "SELECT 1 FROM published_files WHERE place = ?1 AND name = ?2 AND published = ?3",
        )?
        .exists(params![
            file.place.as_str(),
            file.name,
            file.published.as_millis()
        ])?;
    Ok(found)
}
