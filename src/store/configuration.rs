//! The configuration that is in force, kept across restarts, and the loads that are to be done.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::{Result, Store, builds, rows};
use crate::domain::build::Build;
use crate::domain::time::Timestamp;

/// What is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredConfiguration {
    /// The last good text of each file, by its path inside the configuration.
    pub last_good: BTreeMap<String, String>,
    /// Where they come from and what was said of them, as JSON; `None` where an earlier release
    /// stored them.
    pub report: Option<String>,
}

impl Store {
    pub async fn configuration(&self) -> Result<StoredConfiguration> {
        self.read(|connection| {
            let last_good = connection
                .prepare_cached("SELECT path, text FROM configuration_files")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let report = connection
                .prepare_cached("SELECT report FROM configuration")?
                .query_row([], |row| row.get(0))
                .optional()?;
            Ok(StoredConfiguration { last_good, report })
        })
        .await
    }

    /// Replaces all of it.
    pub async fn set_configuration(&self, configuration: StoredConfiguration) -> Result<()> {
        self.write(move |connection| {
            connection.execute("DELETE FROM configuration_files", [])?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO configuration_files (path, text, loaded) VALUES (?1, ?2, ?3)",
            )?;
            for (path, text) in &configuration.last_good {
                insert.execute(params![path, text, Timestamp::now().as_millis()])?;
            }
            connection.execute("DELETE FROM configuration", [])?;
            if let Some(report) = &configuration.report {
                connection.execute("INSERT INTO configuration (report) VALUES (?1)", [report])?;
            }
            Ok(())
        })
        .await
    }

    /// Loads of the configuration that wait or were begun, in the order in which they were asked
    /// for.
    pub async fn unfinished_loads(&self) -> Result<Vec<Build>> {
        self.read(|connection| {
            let condition = "b.ended IS NULL AND b.kind = 'configuration'";
            let query = format!("{} WHERE {condition} ORDER BY b.sequence", rows::BUILD);
            builds::select(connection, &query, Vec::new())
        })
        .await
    }
}
