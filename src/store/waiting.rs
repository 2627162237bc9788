//! What the builds of a page wait for, without reading the queue they stand in.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, Store, rows};
use crate::domain::build::{Build, State};
use crate::domain::names::BuildId;

/// How full the service is, and who stands before whom.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Builds that have a place. A load of the configuration needs none.
    pub running: u64,
    /// For a build that is not the first of its lane, the state of the one that is.
    pub ahead: HashMap<BuildId, State>,
    /// For a build whose base is to be built first, the unfinished build that does so.
    pub bases: HashMap<BuildId, BuildId>,
}

/// Builds of scripts that are not over. A load of the configuration needs no place.
#[derive(Debug, Default)]
pub struct Places {
    pub running: u64,
    pub waiting: u64,
}

impl Store {
    /// How many builds have a place, and how many wait for one.
    pub async fn places(&self) -> Result<Places> {
        self.read(|connection| {
            let waiting = connection
                .prepare_cached(
                    "SELECT count(*) FROM builds \
                     WHERE state = 'queued' AND kind != 'configuration'",
                )?
                .query_row([], |row| row.get(0))?;
            let running = running(connection)?;
            Ok(Places { running, waiting })
        })
        .await
    }

    /// For those of the builds that are queued; asks nothing where none is.
    pub async fn waiting(&self, builds: &[Build]) -> Result<Waiting> {
        let queued: Vec<_> = builds
            .iter()
            .filter(|build| build.state == State::Queued)
            .map(|build| {
                let lane = build.lane();
                (
                    build.id.clone(),
                    build.repository.clone(),
                    build.sequence,
                    lane,
                    build.waits_for.clone(),
                )
            })
            .collect();
        if queued.is_empty() {
            return Ok(Waiting::default());
        }
        self.read(move |connection| {
            let mut first_of_lane = connection.prepare_cached(
                "SELECT state FROM builds INDEXED BY builds_unfinished \
                 WHERE ended IS NULL AND repository = ?1 AND ref = ?2 \
                 AND script = ?3 AND tag = ?4 AND sequence < ?5 ORDER BY sequence LIMIT 1",
            )?;
            let mut unfinished = connection
                .prepare_cached("SELECT 1 FROM builds WHERE id = ?1 AND ended IS NULL")?;
            let (mut ahead, mut bases) = (HashMap::new(), HashMap::new());
            for (id, repository, sequence, lane, base) in queued {
                if let Some(base) = base
                    && unfinished.exists([base.as_str()])?
                {
                    bases.insert(id.clone(), base);
                }
                let found = first_of_lane
                    .query_row(
                        params![
                            repository.as_str(),
                            lane.reference.to_string(),
                            lane.script.as_str(),
                            rows::tag(lane.tag.as_ref()),
                            sequence
                        ],
                        |row| rows::parsed(row, 0),
                    )
                    .optional()?;
                if let Some(state) = found {
                    ahead.insert(id, state);
                }
            }
            Ok(Waiting {
                running: running(connection)?,
                ahead,
                bases,
            })
        })
        .await
    }
}

/// How many builds have a place.
fn running(connection: &Connection) -> Result<u64> {
    let running = connection
        .prepare_cached(
            "SELECT count(*) FROM builds WHERE state IN \
             ('preparing', 'building', 'collecting', 'publishing') AND kind != 'configuration'",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(running)
}
