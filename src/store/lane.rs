//! The builds before and after one: those of the same repository, ref, script and tag.

use rusqlite::{Connection, Row, params};

use super::{Result, Store, builds, rows};
use crate::domain::build::{Build, State};
use crate::domain::names::{BuildId, CommitSha};
use crate::domain::time::Timestamp;

/// A build's neighbours, and the stretch of its lane to show it in.
#[derive(Debug)]
pub struct Neighbours {
    pub older: Option<BuildId>,
    pub newer: Option<BuildId>,
    /// Oldest first; up to the newest there is, or as many before it as after it.
    pub builds: Vec<LaneBuild>,
}

/// What one build of a lane came to.
#[derive(Debug)]
pub struct LaneBuild {
    pub id: BuildId,
    pub commit: CommitSha,
    pub state: State,
    pub queued: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl Store {
    /// A build among at most `limit` of its lane.
    pub async fn neighbours(&self, id: BuildId, limit: usize) -> Result<Neighbours> {
        self.read(move |connection| {
            let build = builds::load(connection, &id)?;
            neighbours(connection, &build, limit)
        })
        .await
    }
}

fn neighbours(connection: &Connection, build: &Build, limit: usize) -> Result<Neighbours> {
    let others = limit.saturating_sub(1);
    let mut newer = beside(
        connection,
        build,
        "b.sequence > ?5 ORDER BY b.sequence",
        limit,
    )?;
    let mut older = beside(
        connection,
        build,
        "b.sequence < ?5 ORDER BY b.sequence DESC",
        limit,
    )?;
    let (next, previous) = (newer.first(), older.first());
    let (next, previous) = (
        next.map(|it| it.id.clone()),
        previous.map(|it| it.id.clone()),
    );
    if newer.len() > others {
        older.truncate(others / 2);
        newer.truncate(others - older.len());
    } else {
        older.truncate(others - newer.len());
    }
    older.reverse();
    let this = LaneBuild {
        id: build.id.clone(),
        commit: build.commit.clone(),
        state: build.state,
        queued: build.queued,
        started: build.started,
        ended: build.ended,
    };
    Ok(Neighbours {
        older: previous,
        newer: next,
        builds: older.into_iter().chain([this]).chain(newer).collect(),
    })
}

/// Those on one side of a build, the nearest first.
fn beside(
    connection: &Connection,
    build: &Build,
    side: &str,
    limit: usize,
) -> Result<Vec<LaneBuild>> {
    let lane = build.lane();
    let found = connection
        .prepare_cached(&format!(
            "SELECT b.id, b.sha, b.state, b.queued, b.started, b.ended FROM builds b \
             INDEXED BY builds_by_lane WHERE b.repository = ?1 AND b.ref = ?2 AND b.script = ?3 \
             AND b.tag = ?4 AND {side} LIMIT ?6"
        ))?
        .query_map(
            params![
                build.repository.as_str(),
                lane.reference.to_string(),
                lane.script,
                rows::tag(lane.tag.as_ref()),
                build.sequence,
                limit
            ],
            lane_build,
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

fn lane_build(row: &Row<'_>) -> rusqlite::Result<LaneBuild> {
    Ok(LaneBuild {
        id: rows::parsed(row, 0)?,
        commit: rows::parsed(row, 1)?,
        state: rows::parsed(row, 2)?,
        queued: rows::time(row, 3)?,
        started: rows::optional_time(row, 4)?,
        ended: rows::optional_time(row, 5)?,
    })
}
