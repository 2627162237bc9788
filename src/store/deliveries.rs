//! Pushes as they are heard of, and the builds they cause: one transaction, then the answer.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::heads::{self, KnownHead};
use super::outbox::report;
use super::transitions::next_revision;
use super::{Result, Store, StoreError, WithoutRoom, rows};
use crate::domain::build::{Build, Cause, State, Work, skip_mark};
use crate::domain::names::{BranchName, BuildId, CommitSha, GitRef, RepositoryName};
use crate::domain::push::Push;
use crate::domain::recipe::Recipe;
use crate::domain::time::Timestamp;
use crate::domain::tracking::Dependent;

/// So long a commit is left alone at most that the configuration could not be loaded from.
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

/// With so many, an interval of a millisecond has become more than [`LONGEST_REST`].
const MOST_DOUBLINGS: usize = 32;

/// What became of a push that was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The builds it caused: its own in the order of its work, then those of dependents.
    pub builds: Vec<BuildId>,
    /// It had been heard of before; the builds are those it had then.
    pub known: bool,
    /// Repositories that have new builds of scripts.
    pub queues: BTreeSet<RepositoryName>,
    /// The configuration is to be loaded.
    pub load: bool,
    /// It does not begin where the ref was known to stand: a push before it was not heard of, or
    /// it is late itself. Git knows which.
    pub out_of_order: bool,
}

/// A push, and a build for each piece of work.
#[derive(Debug, Clone)]
pub struct NewBuilds {
    pub push: Push,
    pub work: Vec<Work>,
    /// Scripts of other repositories that depend on the one that was pushed to.
    pub dependents: Vec<Dependent>,
    pub cause: Cause,
}

impl Store {
    /// Records a push with its builds, unless it is known: by its delivery id, by its move (ref,
    /// before, after), or because the ref was last heard of at that commit.
    ///
    /// A push that was found by comparing heads begins where its ref was known to stand; if that
    /// has changed meanwhile, nothing is recorded.
    pub async fn hear_push(&self, delivery: Option<String>, new: NewBuilds) -> Result<Heard> {
        self.write_or(WithoutRoom::Refuse, move |connection| {
            let found_by_git = new.cause == Cause::Reconcile;
            let Push {
                repository,
                reference,
                before,
                after,
                ..
            } = &new.push;
            // One with no work of its own is news only to those who depend on its ref.
            let decides = !new.work.is_empty();
            let head = heads::head(connection, repository, reference)?
                .filter(|head| head.decided || !decides);
            let is_next = head.as_ref().map(|head| &head.commit) == before.as_ref();
            if found_by_git && !is_next {
                return Ok(Heard {
                    known: true,
                    ..Heard::default()
                });
            }
            let known = match found_by_git {
                true => told_since(connection, &new.push, head.as_ref(), decides)?,
                false => known_push(connection, delivery.as_deref(), &new.push, head.as_ref())?,
            };
            let is_there = head.as_ref().is_some_and(|head| head.commit == *after);
            if let Some(push) = known {
                remember_delivery(connection, delivery.as_deref(), push)?;
                if found_by_git {
                    // Git itself says that the ref is there.
                    heads::moved(connection, repository, reference, after, push, decides)?;
                }
                return Ok(Heard {
                    builds: builds_of(connection, push)?,
                    known: true,
                    // The same move once more, or the same news: git knows where the ref is.
                    out_of_order: !found_by_git && !is_there,
                    ..Heard::default()
                });
            }
            let out_of_order = head.is_some() && !is_next && !is_there;
            let push = insert_push(
                connection,
                &new.push,
                Told::Pushed {
                    out_of_order,
                    decides,
                },
            )?;
            remember_delivery(connection, delivery.as_deref(), push)?;
            if !out_of_order {
                heads::moved(connection, repository, reference, after, push, decides)?;
            }
            let mut heard = Heard {
                out_of_order,
                ..Heard::default()
            };
            heard.builds = insert_builds(connection, push, &new)?;
            heard.load = new.work.contains(&Work::Configuration);
            if new.work.iter().any(|work| work.recipe().is_some()) {
                heard.queues.insert(repository.clone());
            }
            if skip_mark(&new.push.commits, after).is_none() {
                insert_dependents(connection, push, &new, &mut heard)?;
            }
            Ok(heard)
        })
        .await
    }

    /// Asks for a load of the configuration from where git says that its branch stands, unless one
    /// has not ended, or a push was heard of since git was asked, which has its own.
    ///
    /// A commit whose loads error again and again is left alone for longer each time: for one
    /// interval between comparisons, then two, four, and so on up to a day.
    pub async fn ask_for_load(
        &self,
        repository: RepositoryName,
        branch: BranchName,
        commit: CommitSha,
        interval: Duration,
    ) -> Result<Option<BuildId>> {
        let reference = GitRef::Branch(branch);
        let new = NewBuilds {
            push: Push::unheard(repository, reference, commit),
            work: vec![Work::Configuration],
            dependents: Vec::new(),
            cause: Cause::Reconcile,
        };
        self.write(move |connection| {
            let Push {
                repository,
                reference,
                after: commit,
                ..
            } = &new.push;
            let is_unfinished = connection
                .prepare_cached(
                    "SELECT 1 FROM builds INDEXED BY builds_unfinished \
                     WHERE ended IS NULL AND kind = 'configuration' \
                     AND repository = ?1 AND ref = ?2",
                )?
                .exists(params![repository.as_str(), reference.to_string()])?;
            let head = heads::head(connection, repository, reference)?;
            let is_late = head.as_ref().is_some_and(|head| head.commit != *commit);
            if is_unfinished
                || is_late
                || rests(connection, repository, reference, commit, interval)?
            {
                return Ok(None);
            }
            let number = known_or_asked(connection, head.and_then(|head| head.push), &new.push)?;
            Ok(insert_builds(connection, number, &new)?.pop())
        })
        .await
    }

    /// Builds that a person asked for. A commit that was pushed to this ref keeps the place of
    /// that push in the order of pushes; another gets the newest place.
    pub async fn ask_for_builds(&self, new: NewBuilds) -> Result<Vec<BuildId>> {
        self.write_or(WithoutRoom::Refuse, move |connection| {
            let pushed: Option<u64> = connection
                .prepare_cached(
                    "SELECT max(sequence) FROM pushes WHERE repository = ?1 AND ref = ?2 AND after_sha = ?3",
                )?
                .query_row(
                    params![
                        new.push.repository.as_str(),
                        new.push.reference.to_string(),
                        new.push.after.as_str()
                    ],
                    |row| row.get(0),
                )?;
            let push = known_or_asked(connection, pushed, &new.push)?;
            insert_builds(connection, push, &new)
        })
        .await
    }

    /// The same script of the same commit once more, after the recipe given.
    pub async fn rebuild(&self, of: BuildId, work: Work) -> Result<BuildId> {
        self.write_or(WithoutRoom::Refuse, move |connection| {
            let old = super::builds::load(connection, &of)?;
            let cause = Cause::Rebuild { of: of.clone() };
            let build = BuildRow {
                work: &work,
                cause: &cause,
                told_by: None,
                commits: rows::to_json(&old.commits)?,
            };
            insert_build(
                connection,
                old.push,
                &old.repository,
                &old.reference,
                &old.commit,
                &build,
            )
        })
        .await
    }

    /// The build that makes a base again: one that waits or runs already, of where its ref was heard
    /// to be or git says that it is, else a new one. Of an older push it would not do: a newer one
    /// may take its place, and it gives its names to nothing newer.
    pub async fn need_base(&self, of: BuildId, push: Push, recipe: Recipe) -> Result<BuildId> {
        let work = Work::from(recipe);
        let new = NewBuilds {
            push,
            work: vec![work.clone()],
            dependents: Vec::new(),
            cause: Cause::Base { of },
        };
        self.write(move |connection| {
            let Push {
                repository,
                reference,
                after,
                ..
            } = &new.push;
            let head = heads::head(connection, repository, reference)?;
            let newest = head.as_ref().and_then(|head| head.push).unwrap_or(0);
            let heard = head.as_ref().map_or(after, |head| &head.commit);
            let unfinished: Option<BuildId> = connection
                .prepare_cached(
                    "SELECT id FROM builds INDEXED BY builds_unfinished \
                     WHERE ended IS NULL AND repository = ?1 AND ref = ?2 \
                     AND script = ?3 AND kind = ?4 AND push >= ?5 AND sha IN (?6, ?7) \
                     ORDER BY push DESC, sequence DESC LIMIT 1",
                )?
                .query_row(
                    params![
                        repository.as_str(),
                        reference.to_string(),
                        work.script(),
                        work.kind().as_str(),
                        newest,
                        after.as_str(),
                        heard.as_str()
                    ],
                    |row| rows::parsed(row, 0),
                )
                .optional()?;
            if let Some(build) = unfinished {
                return Ok(build);
            }
            let head = head.filter(|head| head.commit == *after);
            let number = known_or_asked(connection, head.and_then(|head| head.push), &new.push)?;
            let build = insert_builds(connection, number, &new)?.pop();
            build.ok_or_else(|| StoreError::Value("a build that was not inserted".to_owned()))
        })
        .await
    }

    /// Where its ref stood before a push, if that is where the push heard before it had left it.
    /// Else a comparison would not tell all that is new to this service: the ref was created, this
    /// is the first for which something is built, or a push between was missed or is late.
    pub async fn comparable_with(&self, push: u64) -> Result<Option<CommitSha>> {
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT p.before_sha FROM pushes p WHERE p.sequence = ?1 AND p.before_sha = \
                     (SELECT earlier.after_sha FROM pushes earlier WHERE earlier.repository = p.repository \
                      AND earlier.ref = p.ref AND earlier.decided = 1 AND earlier.sequence < p.sequence \
                      ORDER BY earlier.sequence DESC LIMIT 1)",
                )?
                .query_row([push], |row| rows::parsed(row, 0))
                .optional()
                .map_err(StoreError::from)
        })
        .await
    }
}

/// Whether it is too early to load a commit again whose last loads have errored.
fn rests(
    connection: &Connection,
    repository: &RepositoryName,
    reference: &GitRef,
    commit: &CommitSha,
    interval: Duration,
) -> Result<bool> {
    let newest_first: Vec<Option<i64>> = connection
        .prepare_cached(
            "SELECT CASE WHEN state = 'errored' AND sha = ?3 THEN ended END FROM builds \
             WHERE repository = ?1 AND branch = ?2 AND kind = 'configuration' \
             ORDER BY sequence DESC LIMIT ?4",
        )?
        .query_map(
            params![
                repository.as_str(),
                reference.short_name().as_str(),
                commit.as_str(),
                MOST_DOUBLINGS
            ],
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let errored: Vec<i64> = newest_first.into_iter().map_while(|ended| ended).collect();
    let Some(newest) = errored.first() else {
        return Ok(false);
    };
    let doublings = u32::try_from(errored.len() - 1).unwrap_or(u32::MAX);
    let pause = interval.saturating_mul(2_u32.saturating_pow(doublings));
    // The comparison that falls due after that pause is a little early: the load took its time.
    let pause = pause.min(LONGEST_REST).saturating_sub(interval / 2);
    let (now, newest) = (Timestamp::now(), Timestamp::from_millis(*newest));
    // One that ends in the future ended before the clock was set back.
    Ok(newest <= now && now.since(newest) < pause)
}

fn known_push(
    connection: &Connection,
    delivery: Option<&str>,
    push: &Push,
    head: Option<&KnownHead>,
) -> Result<Option<u64>> {
    if let Some(delivery) = delivery {
        let seen: Option<u64> = connection
            .prepare_cached("SELECT push FROM deliveries WHERE id = ?1")?
            .query_row([delivery], |row| row.get(0))
            .optional()?;
        if seen.is_some() {
            return Ok(seen);
        }
    }
    let before = push.before.as_ref().map_or("", CommitSha::as_str);
    let moved: Option<u64> = connection
        .prepare_cached(
            "SELECT max(sequence) FROM pushes WHERE repository = ?1 AND ref = ?2 AND before_sha = ?3 \
             AND after_sha = ?4 AND asked = 0",
        )?
        .query_row(
            params![
                push.repository.as_str(),
                push.reference.to_string(),
                before,
                push.after.as_str()
            ],
            |row| row.get(0),
        )?;
    let there = head.filter(|head| head.commit == push.after);
    Ok(moved.or_else(|| there.and_then(|head| head.push)))
}

/// A push to where git says that the ref is, told since the one that brought it to its known head,
/// or before it because the two were told in the wrong order. Where it has `work` of its own, one
/// that had none does not count.
fn told_since(
    connection: &Connection,
    push: &Push,
    head: Option<&KnownHead>,
    work: bool,
) -> Result<Option<u64>> {
    let since = head.and_then(|head| head.push).unwrap_or(0);
    let told = connection
        .prepare_cached(
            "SELECT max(sequence) FROM pushes WHERE repository = ?1 AND ref = ?2 AND after_sha = ?3 \
             AND asked = 0 AND decided >= ?6 AND (sequence > ?4 OR out_of_order = 1 AND before_sha = ?5)",
        )?
        .query_row(
            params![
                push.repository.as_str(),
                push.reference.to_string(),
                push.after.as_str(),
                since,
                push.before.as_ref().map_or("", CommitSha::as_str),
                work,
            ],
            |row| row.get(0),
        )?;
    Ok(told)
}

fn remember_delivery(connection: &Connection, delivery: Option<&str>, push: u64) -> Result<()> {
    if let Some(delivery) = delivery {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO deliveries (id, push, heard) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![delivery, push, Timestamp::now().as_millis()])?;
    }
    Ok(())
}

fn builds_of(connection: &Connection, push: u64) -> Result<Vec<BuildId>> {
    let builds = connection
        .prepare_cached("SELECT id FROM builds WHERE told_by = ?1 ORDER BY sequence")?
        .query_map([push], |row| rows::parsed(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(builds)
}

/// How a commit of a ref came to be known.
enum Told {
    /// It was pushed.
    Pushed { out_of_order: bool, decides: bool },
    /// A build of it was asked for, which says nothing about the ref.
    Asked,
}

fn insert_push(connection: &Connection, push: &Push, told: Told) -> Result<u64> {
    let (asked, out_of_order, decided) = match told {
        Told::Pushed {
            out_of_order,
            decides,
        } => (false, out_of_order, decides),
        Told::Asked => (true, false, false),
    };
    connection
        .prepare_cached(
            "INSERT INTO pushes (repository, ref, before_sha, after_sha, forced, heard, asked, out_of_order, decided) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            push.repository.as_str(),
            push.reference.to_string(),
            push.before.as_ref().map_or("", CommitSha::as_str),
            push.after.as_str(),
            push.forced,
            Timestamp::now().as_millis(),
            asked,
            out_of_order,
            decided,
        ])?;
    Ok(connection.last_insert_rowid().unsigned_abs())
}

/// The place of a commit among the pushes: that of the push that is known, else the newest.
fn known_or_asked(connection: &Connection, known: Option<u64>, push: &Push) -> Result<u64> {
    match known {
        Some(number) => Ok(number),
        None => insert_push(connection, push, Told::Asked),
    }
}

fn insert_builds(connection: &Connection, push: u64, new: &NewBuilds) -> Result<Vec<BuildId>> {
    let commits = rows::to_json(&new.push.commits)?;
    let is_asked = matches!(new.cause, Cause::Manual | Cause::Base { .. });
    let told_by = (!is_asked).then_some(push);
    let mut builds = Vec::with_capacity(new.work.len());
    for work in &new.work {
        let build = BuildRow {
            work,
            cause: &new.cause,
            told_by,
            commits: commits.clone(),
        };
        let Push {
            repository,
            reference,
            after,
            ..
        } = &new.push;
        builds.push(insert_build(
            connection, push, repository, reference, after, &build,
        )?);
    }
    Ok(builds)
}

/// Builds of scripts that depend on what was pushed: each at the known head of its own branch. One
/// whose branch has not been seen yet is built at first sight, or not at all.
fn insert_dependents(
    connection: &Connection,
    told_by: u64,
    new: &NewBuilds,
    heard: &mut Heard,
) -> Result<()> {
    let cause = Cause::Dependency {
        repository: new.push.repository.clone(),
        commit: new.push.after.clone(),
    };
    for dependent in &new.dependents {
        let reference = GitRef::Branch(dependent.branch.clone());
        if !is_followed(connection, &new.push, &reference)? {
            continue;
        }
        let Some(head) = heads::head(connection, &dependent.repository, &reference)? else {
            continue;
        };
        let seen = Push::unheard(
            dependent.repository.clone(),
            reference.clone(),
            head.commit.clone(),
        );
        let push = known_or_asked(connection, head.push, &seen)?;
        let work = dependent.recipe.clone().into();
        let build = BuildRow {
            work: &work,
            cause: &cause,
            told_by: Some(told_by),
            commits: commits_of(connection, push)?,
        };
        heard.builds.push(insert_build(
            connection,
            push,
            &dependent.repository,
            &reference,
            &head.commit,
            &build,
        )?);
        heard.queues.insert(dependent.repository.clone());
    }
    Ok(())
}

/// Whether a script of this branch depends on what was pushed: on the branch of the same name, or
/// on the default branch where there is none.
fn is_followed(connection: &Connection, push: &Push, branch: &GitRef) -> Result<bool> {
    if push.reference.is_tag() {
        return Ok(false);
    }
    if push.reference == *branch {
        return Ok(true);
    }
    let is_default = push.default_branch.as_ref() == Some(push.reference.short_name());
    Ok(is_default && heads::head(connection, &push.repository, branch)?.is_none())
}

/// What a push brought, as an earlier build of it shows.
fn commits_of(connection: &Connection, push: u64) -> Result<String> {
    let commits = connection
        .prepare_cached("SELECT commits FROM builds WHERE push = ?1 LIMIT 1")?
        .query_row([push], |row| row.get(0))
        .optional()?;
    Ok(commits.unwrap_or_else(|| "[]".to_owned()))
}

struct BuildRow<'a> {
    work: &'a Work,
    cause: &'a Cause,
    /// The push that caused it.
    told_by: Option<u64>,
    commits: String,
}

fn insert_build(
    connection: &Connection,
    push: u64,
    repository: &RepositoryName,
    reference: &GitRef,
    commit: &CommitSha,
    new: &BuildRow<'_>,
) -> Result<BuildId> {
    let id = new_build_id()?;
    let now = Timestamp::now().as_millis();
    connection
        .prepare_cached(
            "INSERT INTO builds (id, revision, push, repository, ref, branch, sha, script, tag, kind, recipe, \
             cause, commits, state, queued, told_by, attempt) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 1)",
        )?
        .execute(params![
            id.as_str(),
            next_revision(connection)?,
            push,
            repository.as_str(),
            reference.to_string(),
            reference.short_name().as_str(),
            commit.as_str(),
            new.work.script(),
            rows::tag(new.work.tag()),
            new.work.kind().as_str(),
            rows::to_json(&new.work.recipe())?,
            rows::to_json(new.cause)?,
            new.commits,
            State::Queued.as_str(),
            now,
            new.told_by,
        ])?;
    let sequence = connection.last_insert_rowid();
    connection
        .prepare_cached(
            "INSERT INTO steps (build, number, state, attempt, started, line) VALUES (?1, 1, 'queued', 1, ?2, 1)",
        )?
        .execute(params![sequence, now])?;
    let build: Build = super::builds::load(connection, &id)?;
    report(connection, &build)?;
    Ok(id)
}

fn new_build_id() -> Result<BuildId> {
    let bits = getrandom::u64().map_err(|error| StoreError::Value(error.to_string()))?;
    Ok(BuildId::from_random(bits))
}
