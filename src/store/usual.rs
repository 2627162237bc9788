//! How long builds usually take: for an estimate of those that run and a comparison of those that
//! have ended.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{Result, Store, rows};
use crate::domain::build::{Build, Lane, State};
use crate::domain::names::{BuildId, RepositoryName};

/// So many of the newest builds tell what is usual. More would remember a script that has changed
/// since for longer.
const SAMPLES: usize = 10;

/// The median of the newest builds that succeeded, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual {
    /// From when it left the queue to its end.
    pub total: f64,
    /// Of each step but waiting in the queue, in their order.
    pub steps: Vec<(State, f64)>,
}

impl Store {
    /// What is usual for the script and tag of each of these builds: on its own ref, else on any.
    /// A build whose script has never succeeded has none, and neither has a load of the
    /// configuration.
    pub async fn usual(&self, builds: &[Build]) -> Result<HashMap<BuildId, Arc<Usual>>> {
        let wanted: Vec<_> = builds
            .iter()
            .filter(|build| build.recipe().is_some())
            .map(|build| (build.id.clone(), build.repository.clone(), build.lane()))
            .collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        self.read(move |connection| {
            let mut known = Known::default();
            let mut usual = HashMap::new();
            for (build, repository, lane) in wanted {
                if let Some(found) = known.of(connection, repository, lane)? {
                    usual.insert(build, found);
                }
            }
            Ok(usual)
        })
        .await
    }
}

/// The builds of a page are of few scripts: each is looked up once.
#[derive(Default)]
struct Known {
    lanes: HashMap<(RepositoryName, Lane), Option<Arc<Usual>>>,
    scripts: HashMap<(RepositoryName, String, String), Option<Arc<Usual>>>,
}

impl Known {
    fn of(
        &mut self,
        connection: &Connection,
        repository: RepositoryName,
        lane: Lane,
    ) -> Result<Option<Arc<Usual>>> {
        let place = match self.lanes.entry((repository, lane)) {
            Entry::Occupied(known) => return Ok(known.get().clone()),
            Entry::Vacant(place) => place,
        };
        let (repository, lane) = place.key();
        let tag = rows::tag(lane.tag.as_ref());
        let of_lane = samples(
            connection,
            "SELECT sequence, started, ended FROM builds WHERE state = 'succeeded' \
             AND repository = ?1 AND script = ?2 AND tag = ?3 AND ref = ?4 \
             ORDER BY sequence DESC LIMIT ?5",
            params![
                repository.as_str(),
                lane.script,
                tag,
                lane.reference.to_string(),
                SAMPLES
            ],
        )?;
        let mut found = usual(connection, &of_lane)?.map(Arc::new);
        if found.is_none() {
            let script = (repository.clone(), lane.script.clone(), tag.to_owned());
            found = match self.scripts.entry(script) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(place) => {
                    let of_script = samples(
                        connection,
                        "SELECT sequence, started, ended FROM builds WHERE state = 'succeeded' \
                         AND repository = ?1 AND script = ?2 AND tag = ?3 \
                         ORDER BY sequence DESC LIMIT ?4",
                        params![repository.as_str(), lane.script, tag, SAMPLES],
                    )?;
                    let found = usual(connection, &of_script)?.map(Arc::new);
                    place.insert(found).clone()
                }
            };
        }
        Ok(place.insert(found).clone())
    }
}

/// A build that succeeded: its sequence, and how many milliseconds it took.
type Sample = (i64, i64);

fn samples(
    connection: &Connection,
    query: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Sample>> {
    let samples = connection
        .prepare_cached(query)?
        .query_map(values, |row| {
            let (started, ended): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, ended - started))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(samples)
}

fn usual(connection: &Connection, samples: &[Sample]) -> Result<Option<Usual>> {
    let Some(total) = median(samples.iter().map(|(_, took)| *took).collect()) else {
        return Ok(None);
    };
    let mut select = connection.prepare_cached(
        "SELECT state, sum(ended - started) FROM steps s WHERE build = ?1 AND state != 'queued' \
         AND attempt = (SELECT max(attempt) FROM steps WHERE build = s.build) GROUP BY state",
    )?;
    let mut steps: Vec<(State, Vec<i64>)> =
        State::RUNNING.map(|state| (state, Vec::new())).to_vec();
    for (build, _) in samples {
        let mut found = select.query([build])?;
        while let Some(row) = found.next()? {
            let (state, took): (State, Option<i64>) = (rows::parsed(row, 0)?, row.get(1)?);
            if let Some((_, all)) = steps.iter_mut().find(|(step, _)| *step == state) {
                all.extend(took);
            }
        }
    }
    let steps = steps
        .into_iter()
        .filter_map(|(state, all)| Some((state, median(all)?)))
        .collect();
    Ok(Some(Usual { total, steps }))
}

/// The wall clock may have been set back meanwhile: nothing takes less than no time.
fn median(mut values: Vec<i64>) -> Option<f64> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower.max(0) as f64 + upper.max(0) as f64) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        for (values, expected) in [
            (vec![], None),
            (vec![7], Some(7.0)),
            (vec![9, 1], Some(5.0)),
            (vec![100, 1, 3], Some(3.0)),
            (vec![-50, -40, 2], Some(0.0)),
        ] {
            assert_eq!(median(values.clone()), expected, "{values:?}");
        }
    }
}
