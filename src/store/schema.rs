//! The schema's history. A migration that was released is never edited; a new one is added.

use rusqlite::Connection;

use super::{Result, StoreError};

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_first.sql"),
    include_str!("migrations/002_github.sql"),
    include_str!("migrations/003_configuration.sql"),
    include_str!("migrations/004_statuses.sql"),
    include_str!("migrations/005_pushes.sql"),
    include_str!("migrations/006_zero_os.sql"),
    include_str!("migrations/007_maintenance.sql"),
    include_str!("migrations/008_shared_names.sql"),
    include_str!("migrations/009_history.sql"),
    include_str!("migrations/010_lists.sql"),
    include_str!("migrations/011_clock.sql"),
];

pub fn migrate(connection: &mut Connection) -> Result<()> {
    migrate_by(connection, MIGRATIONS)
}

/// As an older release left it.
#[cfg(test)]
pub fn migrate_to(connection: &mut Connection, version: usize) -> Result<()> {
    migrate_by(connection, &MIGRATIONS[..version])
}

fn migrate_by(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let (found, _) = versions(connection)?;
    let done =
        usize::try_from(found).map_err(|_| StoreError::Value(format!("user_version {found}")))?;
    for (version, migration) in (found + 1..).zip(&migrations[done..]) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        if version == 1 {
            transaction.execute(
                "INSERT INTO instance (id, revision) VALUES (?1, 0)",
                [new_instance_id()?],
            )?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Whether nothing is to be migrated.
pub fn check(connection: &Connection) -> Result<()> {
    match versions(connection)? {
        (found, known) if found < known => Err(StoreError::OlderSchema { found, known }),
        _ => Ok(()),
    }
}

pub fn refuse_newer(connection: &Connection) -> Result<()> {
    versions(connection).map(drop)
}

/// The database's, and this release's, which is no older.
fn versions(connection: &Connection) -> Result<(i64, i64)> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match found > known {
        true => Err(StoreError::NewerSchema { found, known }),
        false => Ok((found, known)),
    }
}

fn new_instance_id() -> Result<String> {
    let bits = getrandom::u64().map_err(|error| StoreError::Value(error.to_string()))?;
    Ok(format!("{bits:016x}"))
}
