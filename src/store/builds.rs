//! Reading builds: one, a page of them, those that changed.

use memchr::memmem::Finder;
use rusqlite::functions::FunctionFlags;
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
            let query = format!(
                "{} WHERE b.sequence IN (SELECT sequence FROM builds INDEXED BY builds_unfinished \
                 WHERE repository = ?1 AND sequence > ?2 AND ended IS NULL \
                 AND kind != 'configuration') ORDER BY b.sequence",
                rows::BUILD
            );
            let values = vec![text(repository.as_str()), Value::Integer(sequence)];
            select(connection, &query, values)
        })
        .await
    }

    /// All builds that wait or run, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<Build>> {
        self.read(|connection| {
            let query = format!(
                "{} WHERE b.sequence IN (SELECT sequence FROM builds INDEXED BY builds_unfinished \
                 WHERE ended IS NULL) ORDER BY b.sequence",
                rows::BUILD
            );
            select(connection, &query, Vec::new())
        })
        .await
    }

    /// Repositories with builds of scripts that wait or run.
    pub async fn unfinished_repositories(&self) -> Result<Vec<RepositoryName>> {
        self.read(|connection| {
            let repositories = connection
                .prepare_cached(
                    "SELECT DISTINCT repository FROM builds INDEXED BY builds_unfinished \
                     WHERE ended IS NULL AND kind != 'configuration'",
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
                    "SELECT state, count(*) FROM builds INDEXED BY builds_unfinished \
                     WHERE ended IS NULL GROUP BY state",
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
        values.push(text(&wanted.to_ascii_lowercase()));
        conditions.push(format!("holds(t.text, ?{})", values.len()));
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
    // First which builds these are, by what is short; their rows are long.
    let query = format!(
        "{} WHERE b.sequence IN (SELECT b.sequence FROM {} WHERE {condition} \
         ORDER BY b.sequence DESC LIMIT ?{}) ORDER BY b.sequence DESC",
        rows::BUILD,
        listed(filter),
        values.len()
    );
    let mut builds = select(connection, &query, values)?;
    let more = builds.len() > limit;
    builds.truncate(limit);
    Ok(Page { builds, more })
}

/// Where a page's builds are looked up. What an index leads to at once is taken from there; all
/// else is looked for in the list of what builds are filtered by.
fn listed(filter: &BuildFilter) -> &'static str {
    let by_branch = filter.branch.is_some() || filter.reference.is_some();
    let by_script = filter.script.is_some() || filter.tag.is_some();
    let has_index = filter.repository.is_some()
        && filter.states.is_empty()
        && (filter.reference.is_some() || !by_script);
    let by_state_only = filter.repository.is_none() && !by_branch && !by_script;
    let only_running = !filter.states.is_empty() && filter.states.iter().all(|it| !it.is_end());
    match &filter.text {
        Some(_) => {
            "builds b INDEXED BY builds_listed CROSS JOIN build_texts t ON t.build = b.sequence"
        }
        None if has_index || filter.reference.is_some() || (by_state_only && only_running) => {
            "builds b"
        }
        None => "builds b INDEXED BY builds_listed",
    }
}

/// `holds(text, part)`: many bytes at once, where `LIKE` and `instr` go one by one.
pub fn add_functions(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("holds", 2, flags, |context| {
        let part = context.get_or_create_aux(1, |value| {
            value.as_str().map(|part| Finder::new(part).into_owned())
        })?;
        let text = context.get_raw(0).as_bytes()?;
        Ok(part.find(text).is_some())
    })?;
    Ok(())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn limit_value(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}
