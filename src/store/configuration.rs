//! The last good text of each file of the configuration, kept across restarts.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Result, Store};
use crate::domain::time::Timestamp;

impl Store {
    /// Path inside the configuration → text.
    pub async fn last_good_configuration(&self) -> Result<BTreeMap<String, String>> {
        self.read(|connection| {
            let files = connection
                .prepare_cached("SELECT path, text FROM configuration_files")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(files)
        })
        .await
    }

    /// Replaces all of it.
    pub async fn set_last_good_configuration(&self, files: BTreeMap<String, String>) -> Result<()> {
        self.write(move |connection| {
            connection.execute("DELETE FROM configuration_files", [])?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO configuration_files (path, text, loaded) VALUES (?1, ?2, ?3)",
            )?;
            for (path, text) in &files {
                insert.execute(params![path, text, Timestamp::now().as_millis()])?;
            }
            Ok(())
        })
        .await
    }
}
