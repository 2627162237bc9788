//! Repositories as they stand: the newest build of each script of each ref, and how long the last
//! ones took.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, Store, rows};
use crate::domain::build::State;
use crate::domain::names::{BuildId, GitRef, RecipeTag, RepositoryName};
use crate::domain::time::Timestamp;

/// What is known of a repository's builds.
#[derive(Debug)]
pub struct Standing {
    /// The newest build of each script and tag of each ref, by ref, script and tag. A script whose
    /// newest push skipped it stands as it stood before.
    pub newest: Vec<NewestBuild>,
    /// The last builds that ended after having started, oldest first.
    pub ran: Vec<RanBuild>,
}

#[derive(Debug)]
pub struct NewestBuild {
    pub id: BuildId,
    pub reference: GitRef,
    pub script: String,
    pub tag: Option<RecipeTag>,
    pub state: State,
    pub queued: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

#[derive(Debug)]
pub struct RanBuild {
    pub id: BuildId,
    pub state: State,
    pub started: Timestamp,
    pub ended: Timestamp,
}

impl Store {
    /// Names of repositories with builds, by name: those after a name, up to `limit` of them that
    /// are wanted.
    pub async fn repositories(
        &self,
        after: Option<RepositoryName>,
        limit: usize,
        is_wanted: impl Fn(&RepositoryName) -> bool + Send + 'static,
    ) -> Result<Vec<RepositoryName>> {
        self.read(move |connection| {
            // From one name to the next along the index: what costs is the number of repositories,
            // not that of their builds.
            let mut next = connection.prepare_cached(
                "SELECT repository FROM builds WHERE repository > ?1 ORDER BY repository LIMIT 1",
            )?;
            let mut names = Vec::new();
            let mut place = after.map_or_else(String::new, String::from);
            while names.len() < limit {
                let found = next.query_row([&place], |row| rows::parsed(row, 0));
                let Some(name) = found.optional()? else {
                    break;
                };
                place = RepositoryName::to_string(&name);
                if is_wanted(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        })
        .await
    }

    /// How these repositories stand, in the order asked for.
    pub async fn standings(
        &self,
        repositories: Vec<RepositoryName>,
        durations: usize,
    ) -> Result<Vec<Standing>> {
        self.read(move |connection| {
            let standing = |repository: &RepositoryName| {
                Ok(Standing {
                    newest: newest(connection, repository)?,
                    ran: ran(connection, repository, durations)?,
                })
            };
            repositories.iter().map(standing).collect()
        })
        .await
    }
}

const NEWEST: &str = "SELECT b.id, b.ref, b.script, b.tag, b.state, b.queued, b.started, b.ended \
     FROM builds b";

fn newest(connection: &Connection, repository: &RepositoryName) -> Result<Vec<NewestBuild>> {
    let mut newest: Vec<NewestBuild> = connection
        .prepare_cached(&format!(
            "{NEWEST} WHERE b.sequence IN (SELECT max(sequence) FROM builds \
             INDEXED BY builds_by_lane WHERE repository = ?1 GROUP BY ref, script, tag) \
             ORDER BY b.ref, b.script, b.tag"
        ))?
        .query_map([repository.as_str()], newest_build)?
        .collect::<rusqlite::Result<_>>()?;
    let mut before = connection.prepare_cached(&format!(
        "{NEWEST} INDEXED BY builds_by_lane WHERE b.repository = ?1 AND b.ref = ?2 \
         AND b.script = ?3 AND b.tag = ?4 AND b.state != 'skipped' \
         ORDER BY b.sequence DESC LIMIT 1"
    ))?;
    for build in &mut newest {
        if build.state != State::Skipped {
            continue;
        }
        let lane = params![
            repository.as_str(),
            build.reference.to_string(),
            build.script,
            rows::tag(build.tag.as_ref()),
        ];
        if let Some(built) = before.query_row(lane, newest_build).optional()? {
            *build = built;
        }
    }
    Ok(newest)
}

fn newest_build(row: &Row<'_>) -> rusqlite::Result<NewestBuild> {
    let tag: String = row.get(3)?;
    Ok(NewestBuild {
        id: rows::parsed(row, 0)?,
        reference: rows::parsed(row, 1)?,
        script: row.get(2)?,
        tag: (!tag.is_empty())
            .then(|| rows::parsed(row, 3))
            .transpose()?,
        state: rows::parsed(row, 4)?,
        queued: rows::time(row, 5)?,
        started: rows::optional_time(row, 6)?,
        ended: rows::optional_time(row, 7)?,
    })
}

fn ran(
    connection: &Connection,
    repository: &RepositoryName,
    limit: usize,
) -> Result<Vec<RanBuild>> {
    let mut ran: Vec<RanBuild> = connection
        .prepare_cached(
            "SELECT id, state, started, ended FROM builds WHERE repository = ?1 \
             AND started IS NOT NULL AND ended IS NOT NULL ORDER BY sequence DESC LIMIT ?2",
        )?
        .query_map(params![repository.as_str(), limit], |row| {
            Ok(RanBuild {
                id: rows::parsed(row, 0)?,
                state: rows::parsed(row, 1)?,
                started: rows::time(row, 2)?,
                ended: rows::time(row, 3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    ran.reverse();
    Ok(ran)
}
