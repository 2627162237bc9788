//! What a clock that was set does to times that are kept: those of what has not ended are moved with
//! it, so that how long a build runs and when a status is tried again stay what they are.

use rusqlite::{Connection, OptionalExtension, params};

use super::transitions::next_revision;
use super::{Result, Store, WithoutRoom};

/// What is less is the inaccuracy of reading two clocks one after the other, or a leap second. NTP
/// does not jump but for more than 128 ms, and a build is not measured that closely.
const NO_JUMP_MS: i64 = 1_500;

impl Store {
    /// Takes note of how far (in milliseconds) the wall clock is ahead of the time since `boot`, the
    /// machine's start. Returns by how much it was set since that was last noted.
    pub async fn clock_is_ahead(&self, boot: String, offset: i64) -> Result<Option<i64>> {
        let asked = boot.clone();
        let known = self
            .read(move |connection| known(connection, &asked))
            .await?;
        let jump = known.map(|known| offset - known);
        if jump.is_some_and(|jump| jump.abs() < NO_JUMP_MS) {
            return Ok(None);
        }
        self.write_or(WithoutRoom::Refuse, move |connection| {
            if let Some(jump) = jump {
                move_times(connection, jump)?;
            }
            connection.execute("DELETE FROM clock", [])?;
            connection.execute(
                "INSERT INTO clock (boot, offset) VALUES (?1, ?2)",
                params![boot, offset],
            )?;
            Ok(jump)
        })
        .await
    }
}

fn known(connection: &Connection, boot: &str) -> Result<Option<i64>> {
    let known = connection
        .query_row("SELECT offset FROM clock WHERE boot = ?1", [boot], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(known)
}

fn move_times(connection: &Connection, jump: i64) -> Result<()> {
    let revision = next_revision(connection)?;
    connection.execute(
        "UPDATE builds SET queued = queued + ?1, started = started + ?1, revision = ?2 WHERE ended IS NULL",
        [jump, revision],
    )?;
    connection.execute(
        "UPDATE steps SET started = started + ?1, ended = ended + ?1 \
         WHERE build IN (SELECT sequence FROM builds WHERE ended IS NULL)",
        [jump],
    )?;
    connection.execute(
        "UPDATE outbox SET not_before = not_before + ?1 WHERE reported IS NULL AND not_before > 0",
        [jump],
    )?;
    Ok(())
}
