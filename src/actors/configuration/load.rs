//! A load of the configuration repository: a build that reads the branches' files of one commit.
//!
//! A round ([`next`]) is a task beside the actor, one at a time. It looks at all loads that wait,
//! ends those that need not be done, and does the one that is left up to the point where its
//! result could be put in force; that is the actor's.
//!
//! An older configuration never takes a newer one's place. Of loads that wait, the one whose
//! commit is not part of another's history is done, whichever was heard of last: a webhook can be
//! late. A forced push counts as newer, whatever the ancestry.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::actors::build;
use crate::actors::log::Log;
use crate::adapters::git::{Content, TreeLimits};
use crate::config::{self, Configuration as Wanted, FileState, Files, Finding, Loaded};
use crate::domain::build::{Build, Cause, State};
use crate::domain::names::{CommitSha, GitRef};
use crate::domain::time::Timestamp;
use crate::log::LogWriter;
use crate::service::Service;
use crate::store::Facts;

/// As for a local directory; all files together must fit into memory.
const LIMITS: TreeLimits = TreeLimits {
    files: config::MAX_FILES,
    file_bytes: config::MAX_BYTES,
    all_bytes: 64 * 1024 * 1024,
};

/// How many broken files a load's reason names: it is to fit into a status on GitHub.
const NAMED: usize = 3;

/// A load that was done, up to its end.
pub struct Reading {
    pub build: Build,
    pub log: Log,
    pub result: Result<Loaded, Ending>,
}

/// Why a load has no result.
#[derive(Debug)]
pub struct Ending {
    pub state: State,
    pub reason: String,
}

impl Ending {
    fn errored(reason: impl fmt::Display) -> Self {
        Self {
            state: State::Errored,
            reason: reason.to_string(),
        }
    }

    /// The service file names another source by now.
    pub fn unwanted(build: &Build) -> Self {
        Self {
            state: State::Cancelled,
            reason: format!(
                "the configuration is no longer read from branch {} of {}",
                build.branch(),
                build.repository
            ),
        }
    }
}

impl From<anyhow::Error> for Ending {
    fn from(error: anyhow::Error) -> Self {
        Self::errored(format_args!("{error:#}"))
    }
}

/// Whether this load is one of what the service file names.
pub fn is_wanted(wanted: &Wanted, load: &Build) -> bool {
    wanted.branch().is_some_and(|wanted| {
        load.repository == wanted.repository
            && load.reference == GitRef::Branch(wanted.branch.clone())
    })
}

/// One round. `None` where nothing waits, or `stop` came before anything was begun.
pub async fn next(
    service: Arc<Service>,
    wanted: Wanted,
    stop: CancellationToken,
) -> anyhow::Result<Option<Reading>> {
    let Some(mut build) = newest(&service, &wanted, &stop).await? else {
        return Ok(None);
    };
    if build.state == State::Queued {
        build =
            build::transition(&service, &build, State::Preparing, None, Facts::default()).await?;
    }
    let log = match Log::open(&service, &build).await {
        Ok(log) => log,
        Err(error) => {
            let reason = format!("it could not start: {error:#}");
            end(&service, &build, None, State::Errored, Some(reason)).await?;
            return Ok(None);
        }
    };
    let mut load = Load {
        service,
        stop,
        build,
        log,
    };
    let result = load.run().await;
    let Load { build, log, .. } = load;
    Ok(Some(Reading { build, log, result }))
}

/// Of all loads that wait or were begun, the one to do; the others are ended.
async fn newest(
    service: &Arc<Service>,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Build>> {
    let mut newest: Option<Build> = None;
    for load in service.store.unfinished_loads().await? {
        if !is_wanted(wanted, &load) {
            let Ending { state, reason } = Ending::unwanted(&load);
            end_unread(service, &load, state, reason).await?;
            continue;
        }
        let Some(other) = newest.take() else {
            newest = Some(load);
            continue;
        };
        let compared = stop.run_until_cancelled(is_older(service, &load, &other.commit));
        let (newer, older) = match compared.await {
            Some(true) => (other, load),
            Some(false) => (load, other),
            None => return Ok(None),
        };
        let reason = format!("a newer push replaced it: {}", newer.commit.short());
        end_unread(service, &older, State::Superseded, reason).await?;
        newest = Some(newer);
    }
    Ok(newest)
}

/// Where git cannot tell, what was heard of later counts as newer.
async fn is_older(service: &Service, load: &Build, than: &CommitSha) -> bool {
    // Of one that was found by a comparison, git itself says that the branch is there.
    let is_there = load.cause == Cause::Reconcile;
    if is_there || load.push_forced || load.commit == *than {
        return false;
    }
    let git = &service.git;
    let compared = git.is_ancestor(&load.repository, &load.commit, than).await;
    compared.unwrap_or_else(|error| {
        tracing::warn!(build = %load.id, %error, "cannot compare two commits of the configuration");
        false
    })
}

struct Load {
    service: Arc<Service>,
    stop: CancellationToken,
    /// Being prepared, or further where an earlier process had come further.
    build: Build,
    log: Log,
}

impl Load {
    async fn run(&mut self) -> Result<Loaded, Ending> {
        if !self.log.is_empty() {
            let line = "the service was restarted: loading from the beginning";
            self.log.note(line).await?;
        }
        let files = self.fetch().await?;
        self.compare().await?;
        if self.build.state == State::Preparing {
            let (to, known) = (State::Building, facts(Some(&self.log)));
            let moved = build::transition(&self.service, &self.build, to, None, known).await;
            self.build = moved.map_err(anyhow::Error::from)?;
        }
        let last_good = self.service.store.configuration().await;
        let last_good = last_good.map_err(anyhow::Error::from)?.last_good;
        let images = self.service.config.borrow().docker.images.clone();
        let resolved = tokio::task::spawn_blocking(move || {
            let loaded = config::resolve(&files, &last_good, &images);
            let lines = lines(&loaded);
            (loaded, lines)
        });
        let (loaded, lines) = resolved
            .await
            .map_err(|_| Ending::errored("an internal error ended it"))?;
        // The part of the log that a script's output is for other builds.
        let append = move |log: &mut LogWriter| {
            let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
            log.append(now, log.spool_offset(), lines.as_bytes())
        };
        self.log.write(append).await?;
        self.log.note(summary(&loaded)).await?;
        Ok(loaded)
    }

    async fn fetch(&mut self) -> Result<Files, Ending> {
        let Build {
            repository, commit, ..
        } = &self.build;
        let line = format!("fetching {repository} at {commit}");
        self.log.note(line).await?;
        let (sender, mut said) = mpsc::unbounded_channel();
        let progress = move |line: &str| {
            let _ = sender.send(line.to_owned());
        };
        let git = &self.service.git;
        let fetching = git.files(
            repository,
            commit,
            config::is_branch_file,
            LIMITS,
            &progress,
        );
        let mut fetching = pin!(self.stop.run_until_cancelled(fetching));
        let fetched = loop {
            tokio::select! {
                biased;
                Some(line) = said.recv() => self.log.note(line).await?,
                fetched = &mut fetching => break fetched,
            }
        };
        match fetched {
            Some(Ok(tree)) => Ok(tree
                .into_iter()
                .map(|(path, content)| (path, text(content)))
                .collect()),
            Some(Err(error)) => Err(Ending::errored(error)),
            None => Err(Ending::unwanted(&self.build)),
        }
    }

    /// The commit may be older than the one in force, of which a push was heard of earlier.
    async fn compare(&self) -> Result<(), Ending> {
        let load = &self.build;
        let in_force = {
            let loaded = self.service.loaded.borrow();
            let commit = loaded
                .as_ref()
                .and_then(|loaded| loaded.commit_of(&load.repository, load.branch()));
            commit.cloned()
        };
        let Some(in_force) = in_force else {
            return Ok(());
        };
        let compared = is_older(&self.service, load, &in_force);
        match self.stop.run_until_cancelled(compared).await {
            Some(false) => Ok(()),
            Some(true) => Err(Ending {
                state: State::Superseded,
                reason: format!("a newer configuration is in force: {}", in_force.short()),
            }),
            None => Err(Ending::unwanted(load)),
        }
    }
}

fn text(content: Content) -> Result<String, String> {
    match content {
        Content::Unread => Ok(String::new()),
        Content::File(bytes) => config::text_of_bytes(bytes),
        Content::TooLarge => Err(config::too_large()),
        Content::Link => Err("is a symbolic link, which is not followed".to_owned()),
        Content::Submodule => Err("is a submodule, not a file".to_owned()),
    }
}

/// What the log says: each file that counts, with what was found in it.
fn lines(loaded: &Loaded) -> String {
    let mut findings: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in loaded.findings.iter() {
        findings.entry(&finding.file).or_default().push(finding);
    }
    let mut lines = String::new();
    for file in &loaded.files {
        let of_file = findings.remove(file.path.as_str()).unwrap_or_default();
        match file.state {
            FileState::Tracked => lines.push_str(&format!("tracked {}\n", file.path)),
            FileState::Unchanged => lines.push_str(&format!("unchanged {}\n", file.path)),
            FileState::Removed => lines.push_str(&format!("removed {}\n", file.path)),
            // The first error's own line begins with the file's name.
            FileState::Broken { .. } => lines.push_str("broken "),
            FileState::Ignored => {}
        }
        let (errors, warnings): (Vec<&Finding>, Vec<&Finding>) =
            of_file.iter().partition(|finding| finding.is_error());
        for finding in errors.into_iter().chain(warnings) {
            lines.push_str(&finding.render(false));
        }
        if let FileState::Broken { in_force } = file.state {
            lines.push_str(match in_force {
                true => "   its last good version stays in force\n",
                false => "   no version of it is in force\n",
            });
        }
    }
    lines
}

fn summary(loaded: &Loaded) -> String {
    let count = |wanted: fn(FileState) -> bool| {
        let files = loaded.files.iter();
        files.filter(|file| wanted(file.state)).count()
    };
    format!(
        "{} tracked, {} unchanged, {} broken, {} removed",
        count(|state| state == FileState::Tracked),
        count(|state| state == FileState::Unchanged),
        count(|state| matches!(state, FileState::Broken { .. })),
        count(|state| state == FileState::Removed),
    )
}

/// How many files are broken, and which the first are; `None` where all are well.
pub fn broken(loaded: &Loaded) -> Option<String> {
    let is_broken = |state| matches!(state, FileState::Broken { .. });
    let files = loaded.files.iter().filter(|file| is_broken(file.state));
    let number = files.clone().count();
    let places: Vec<String> = files
        .take(NAMED)
        .filter_map(|file| {
            let mut findings = loaded.findings.iter();
            findings.find(|finding| finding.is_error() && finding.file == file.path)
        })
        .map(Finding::location)
        .collect();
    let files = match number {
        0 => return None,
        1 => "1 file is broken".to_owned(),
        number => format!("{number} files are broken"),
    };
    let more = match number.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{files}: {}{more}", places.join(", ")))
}

/// Ends a load that is not done. One that an earlier process had begun has a log.
async fn end_unread(
    service: &Arc<Service>,
    load: &Build,
    state: State,
    reason: String,
) -> anyhow::Result<()> {
    let log = match load.state {
        State::Queued => None,
        _ => Log::open(service, load)
            .await
            .inspect_err(|error| tracing::error!(build = %load.id, "cannot open a log: {error:#}"))
            .ok(),
    };
    end(service, load, log, state, Some(reason)).await
}

/// The last line of the log, and the last transition.
pub async fn end(
    service: &Service,
    build: &Build,
    mut log: Option<Log>,
    state: State,
    reason: Option<String>,
) -> anyhow::Result<()> {
    let took = Timestamp::now().since(build.started.unwrap_or(build.queued));
    if let Some(log) = &mut log {
        let seconds = format!("{:.1} s", took.as_secs_f64());
        log.finish(&service.store, state, reason.as_deref(), &seconds)
            .await;
    }
    build::transition(service, build, state, reason, facts(log.as_ref())).await?;
    service.metrics.build_ended(state, took.as_secs_f64());
    service.logs.closed(&build.id);
    Ok(())
}

fn facts(log: Option<&Log>) -> Facts {
    Facts {
        log: log.map(Log::summary),
        ..Facts::default()
    }
}
