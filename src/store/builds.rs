//! Reading builds: one, a page of them, those that changed.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{Result, Store, StoreError, rows};
use crate::domain::build::{Build, State};
use crate::domain::names::{BranchName, BuildId, GitRef, RecipeTag, RepositoryName, ScriptPath};

/// Which builds a page holds. What is left empty does not filter.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    pub repository: Option<RepositoryName>,
    /// A branch or a tag of this name.
    pub branch: Option<BranchName>,
    pub reference: Option<GitRef>,
    pub script: Option<ScriptPath>,
    pub tag: Option<RecipeTag>,
    pub states: Vec<State>,
    /// Found in repository, branch, script, tag, commit id, or in a commit's message or author;
    /// without regard to the case of ASCII letters.
    pub text: Option<String>,
    /// Only builds older than this one.
    pub before: Option<BuildId>,
}

/// Builds, newest first, and whether there are more.
#[derive(Debug)]
pub struct Page {
    pub builds: Vec<Build>,
    pub more: bool,
}

impl Store {
    pub async fn build(&self, id: BuildId) -> Result<Build> {
        self.read(move |connection| load(connection, &id)).await
    }

    pub async fn builds(&self, filter: BuildFilter, limit: usize) -> Result<Page> {
        self.read(move |connection| page(connection, &filter, limit))
            .await
    }

    /// What a short name stands for: the branch, unless only a tag of that name was ever built.
    pub async fn named(&self, repository: RepositoryName, name: BranchName) -> Result<GitRef> {
        self.read(move |connection| {
            let branch = GitRef::Branch(name.clone());
            let is_branch = connection
                .prepare_cached(
                    "SELECT 1 FROM builds WHERE repository = ?1 AND branch = ?2 AND ref = ?3",
                )?
                .exists([repository.as_str(), name.as_str(), &branch.to_string()])?;
            Ok(match is_branch {
                true => branch,
                false => GitRef::Tag(name),
            })
        })
        .await
    }

    /// A repository's builds of scripts that wait or run, of those created after a place; oldest
    /// first.
    pub async fn unfinished_after(
        &self,
        repository: RepositoryName,
        sequence: i64,
    ) -> Result<Vec<Build>> {
        self.read(move |connection| {
            let condition = "b.repository = ?1 AND b.sequence > ?2 AND b.ended IS NULL \
                             AND b.kind != 'configuration'";
            let query = format!("{} WHERE {condition} ORDER BY b.sequence", rows::BUILD);
            let values = vec![text(repository.as_str()), Value::Integer(sequence)];
            select(connection, &query, values)
        })
        .await
    }

    /// Repositories with builds of scripts that wait or run.
    pub async fn unfinished_repositories(&self) -> Result<Vec<RepositoryName>> {
        self.read(|connection| {
            let repositories = connection
                .prepare_cached(
                    "SELECT DISTINCT repository FROM builds WHERE ended IS NULL AND kind != 'configuration'",
                )?
                .query_map([], |row| rows::parsed(row, 0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(repositories)
        })
        .await
    }

    /// Builds changed after a revision, in the order of their changes.
    pub async fn changed_since(&self, revision: i64, limit: usize) -> Result<Vec<Build>> {
        self.read(move |connection| {
            let query = format!(
                "{} WHERE b.revision > ?1 ORDER BY b.revision LIMIT ?2",
                rows::BUILD
            );
            select(
                connection,
                &query,
                vec![Value::Integer(revision), limit_value(limit)],
            )
        })
        .await
    }

    /// How many builds are in each state that is not an end.
    pub async fn unfinished_counts(&self) -> Result<Vec<(State, u64)>> {
        self.read(|connection| {
            let counts = connection
                .prepare_cached(
                    "SELECT state, count(*) FROM builds WHERE ended IS NULL GROUP BY state",
                )?
                .query_map([], |row| Ok((rows::parsed(row, 0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(counts)
        })
        .await
    }
}

pub fn load(connection: &Connection, id: &BuildId) -> Result<Build> {
    let build = connection
        .prepare_cached(&format!("{} WHERE b.id = ?1", rows::BUILD))?
        .query_row([id.as_str()], rows::build)
        .optional()?
        .ok_or_else(|| StoreError::NoBuild(id.clone()))?;
    rows::complete(connection, build)
}

pub fn select(connection: &Connection, query: &str, values: Vec<Value>) -> Result<Vec<Build>> {
    connection
        .prepare_cached(query)?
        .query_map(params_from_iter(values), rows::build)?
        .map(|build| rows::complete(connection, build?))
        .collect()
}

fn page(connection: &Connection, filter: &BuildFilter, limit: usize) -> Result<Page> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut equal = |column: &str, value: Option<&str>| {
        if let Some(value) = value {
            values.push(text(value));
            conditions.push(format!("b.{column} = ?{}", values.len()));
        }
    };
    equal(
        "repository",
        filter.repository.as_ref().map(RepositoryName::as_str),
    );
    let reference = filter.reference.as_ref();
    // The index has the short name.
    let branch = filter.branch.as_ref().or(reference.map(GitRef::short_name));
    equal("branch", branch.map(BranchName::as_str));
    equal("ref", reference.map(GitRef::to_string).as_deref());
    equal("script", filter.script.as_ref().map(ScriptPath::as_str));
    equal("tag", filter.tag.as_ref().map(RecipeTag::as_str));
    if !filter.states.is_empty() {
        let states: Vec<String> = filter
            .states
            .iter()
            .map(|state| format!("'{state}'"))
            .collect();
        conditions.push(format!("b.state IN ({})", states.join(", ")));
    }
    if let Some(wanted) = &filter.text {
        values.push(text(&format!("%{}%", escape_like(wanted))));
        let place = values.len();
        conditions.push(format!(
            "(b.repository || ' ' || b.branch || ' ' || b.script || ' ' || b.tag || ' ' || b.sha || ' ' || \
             b.commits) LIKE ?{place} ESCAPE '\\'"
        ));
    }
    if let Some(before) = &filter.before {
        values.push(text(before.as_str()));
        conditions.push(format!(
            "b.sequence < (SELECT sequence FROM builds WHERE id = ?{})",
            values.len()
        ));
    }
    let condition = if conditions.is_empty() {
        "1".to_owned()
    } else {
        conditions.join(" AND ")
    };
    values.push(limit_value(limit + 1));
    let query = format!(
        "{} WHERE {condition} ORDER BY b.sequence DESC LIMIT ?{}",
        rows::BUILD,
        values.len()
    );
    let mut builds = select(connection, &query, values)?;
    let more = builds.len() > limit;
    builds.truncate(limit);
    Ok(Page { builds, more })
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn limit_value(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}
