//! What ran, as the addresses of the old service tell it.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::{Result, Store, builds, rows};
use crate::domain::build::Build;

/// A build that has ended, and the last lines of its log.
#[derive(Debug)]
pub struct Ended {
    pub build: Build,
    pub tail: Vec<String>,
}

impl Store {
    /// Builds that have ended, newest first, of those created before a place.
    pub async fn ended_before(&self, sequence: i64, limit: usize) -> Result<Vec<Ended>> {
        self.read(move |connection| {
            let query = format!(
                "{} WHERE b.ended IS NOT NULL AND b.sequence < ?1 ORDER BY b.sequence DESC LIMIT ?2",
                rows::BUILD
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let values = vec![Value::Integer(sequence), Value::Integer(limit)];
            builds::select(connection, &query, values)?
                .into_iter()
                .map(|build| {
                    let tail = tail(connection, build.sequence)?;
                    Ok(Ended { build, tail })
                })
                .collect()
        })
        .await
    }
}

fn tail(connection: &Connection, sequence: i64) -> Result<Vec<String>> {
    let tail = connection
        .prepare_cached("SELECT tail FROM builds WHERE sequence = ?1")?
        .query_row([sequence], |row| rows::json(row, 0))?;
    Ok(tail)
}
