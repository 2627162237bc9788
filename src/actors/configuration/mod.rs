//! The service file and the configuration, watched: what they say becomes one value each,
//! replaced whole. What is broken is reported and changes nothing.
//!
//! The configuration is a local directory, looked at when it changes, or a branch of a
//! repository, of which each push is loaded as a build of its own ([`load`]). What was in force
//! last is in the store, so that builds go on after a restart when its source is not there.
//!
//! A load becomes effective in three steps: its last good texts are made durable, the catalog is
//! replaced, the build ends. Whoever sees the end can rely on the catalog. A kill before the
//! first step leaves everything as it was, and a kill after it leaves the new configuration in
//! force; either way the build is unfinished, and is loaded again from its beginning after the
//! restart, which comes to the same result.

mod directory;
mod load;
mod service_file;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::load::{Ending, Reading};
use super::root;
use super::supervision::{self, Task};
use crate::config::{self, Configuration as Wanted, FileState, Loaded, ServiceConfig};
use crate::domain::build::State as BuildState;
use crate::domain::recipe::Catalog;
use crate::domain::time::Timestamp;
use crate::service::{LoadedConfiguration, Service, Source};
use crate::store::StoredConfiguration;

pub struct Configuration;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// A file below one of the watched folders changed.
    Touched,
    /// Nothing has changed for [`QUIET`] since.
    Load,
    /// A load of the configuration was stored.
    Heard,
    /// From a round: the load that it found, if there was one.
    Read(anyhow::Result<Option<Box<Reading>>>),
}

/// Where the newest values go, and where the service file is.
#[derive(Clone)]
pub struct Sources {
    pub service_file: PathBuf,
    pub config: watch::Sender<Arc<ServiceConfig>>,
    pub catalog: watch::Sender<Arc<Catalog>>,
    pub loaded: watch::Sender<Option<Arc<LoadedConfiguration>>>,
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub sources: Sources,
    pub root: ActorRef<root::Message>,
}

pub struct State {
    service: Arc<Service>,
    sources: Sources,
    root: ActorRef<root::Message>,
    watcher: RecommendedWatcher,
    /// The directory that is watched, once it could be.
    watched: Option<PathBuf>,
    loading_soon: bool,
    round: Option<Round>,
    /// More loads may wait than those that the round knows.
    heard: bool,
    /// What was reported last of each topic, so that no unrelated change repeats it.
    reported: HashMap<&'static str, String>,
}

/// One look at the loads that wait, and the load of one of them.
struct Round {
    wanted: Wanted,
    stop: CancellationToken,
    _work: AbortOnDropHandle<()>,
}

/// An editor writes a file in several steps, and a checkout changes many files.
const QUIET: Duration = Duration::from_millis(150);

/// notify tells of changes; a directory that is replaced, or on a file system that tells nothing,
/// is looked at this often all the same.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Actor for Configuration {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments {
            service,
            sources,
            root,
        }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let told = myself.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    let _ = told.cast(Message::Touched);
                }
            })?;
        // The folder, because an editor replaces the file and a watch would stay with the old one.
        watcher.watch(
            folder_of(&sources.service_file),
            RecursiveMode::NonRecursive,
        )?;
        let mut state = State {
            service,
            sources,
            root,
            watcher,
            watched: None,
            loading_soon: false,
            round: None,
            heard: false,
            reported: HashMap::new(),
        };
        service_file::report_credential(state.service.github.clone());
        state.restore().await?;
        state.follow_source(&myself).await?;
        myself.send_interval(LOOK_EVERY, || Message::Load);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Touched if state.loading_soon => {}
            Message::Touched => {
                state.loading_soon = true;
                myself.send_after(QUIET, || Message::Load);
            }
            Message::Load => {
                state.loading_soon = false;
                state.load_service_file();
                state.follow_source(&myself).await?;
            }
            Message::Heard => state.begin_round(&myself),
            Message::Read(result) => {
                state.round = None;
                match result? {
                    Some(reading) => state.conclude(*reading).await?,
                    None if !state.heard => return Ok(()),
                    None => {}
                }
                state.begin_round(&myself);
            }
        }
        Ok(())
    }
}

impl State {
    /// Puts in force what was so last, until its source has been asked.
    async fn restore(&mut self) -> Result<(), ActorProcessingErr> {
        let stored = self.service.store.configuration().await?;
        // What another release wrote may be unreadable, and is written anew by the next load.
        let report = stored.report.as_deref().map(serde_json::from_str);
        if let Some(Ok(report)) = report {
            self.sources.loaded.send_replace(Some(Arc::new(report)));
        }
        let files = stored
            .last_good
            .iter()
            .map(|(path, text)| (path.clone(), Ok(text.clone())))
            .collect();
        let images = self.sources.config.borrow().docker.images.clone();
        let catalog = config::resolve(&files, &stored.last_good, &images).catalog;
        if self.replace_catalog(catalog) {
            tracing::info!(
                files = stored.last_good.len(),
                "the last good configuration is in force again"
            );
        }
        Ok(())
    }

    /// Looks at where the configuration is to come from now.
    async fn follow_source(
        &mut self,
        myself: &ActorRef<Message>,
    ) -> Result<(), ActorProcessingErr> {
        let wanted = self.wanted();
        if let Some(round) = self.round.as_ref().filter(|round| round.wanted != wanted) {
            round.stop.cancel();
        }
        match &wanted {
            Wanted::Directory(directory) => {
                self.watch(directory);
                self.load_directory(directory).await?;
            }
            Wanted::Repository(_) => self.unwatch(),
        }
        // Also where a directory is read: loads that still wait are ended.
        myself.cast(Message::Heard)?;
        Ok(())
    }

    fn wanted(&self) -> Wanted {
        self.sources.config.borrow().configuration.clone()
    }

    fn begin_round(&mut self, myself: &ActorRef<Message>) {
        if self.round.is_some() {
            self.heard = true;
            return;
        }
        self.heard = false;
        let (wanted, stop) = (self.wanted(), CancellationToken::new());
        let next = load::next(Arc::clone(&self.service), wanted.clone(), stop.clone());
        let work = async move { Message::Read(next.await.map(|reading| reading.map(Box::new))) };
        let panicked = |why| Message::Read(Err(anyhow::Error::msg(why)));
        let work = supervision::run(Task::LoadConfiguration, myself, work, panicked);
        self.round = Some(Round {
            wanted,
            stop,
            _work: work,
        });
    }

    /// Makes a load effective and ends its build, in the order that the module's head explains.
    async fn conclude(&mut self, reading: Reading) -> Result<(), ActorProcessingErr> {
        let Reading { build, log, result } = reading;
        let result = match result {
            Ok(_) if !load::is_wanted(&self.wanted(), &build) => Err(Ending::unwanted(&build)),
            result => result,
        };
        let (end, reason) = match result {
            Ok(loaded) => {
                let reason = load::broken(&loaded);
                let source = Source::Commit {
                    repository: build.repository.clone(),
                    branch: build.branch().clone(),
                    commit: build.commit.clone(),
                    build: build.id.clone(),
                };
                self.put_in_force(loaded, source).await?;
                match reason {
                    None => (BuildState::Succeeded, None),
                    Some(reason) => (BuildState::Failed, Some(reason)),
                }
            }
            Err(Ending { state, reason }) => {
                if state == BuildState::Errored {
                    let text = format!("what it said before stays in force: {reason}");
                    self.report("configuration", text);
                }
                (state, Some(reason))
            }
        };
        load::end(&self.service, &build, Some(log), end, reason).await?;
        Ok(())
    }

    async fn put_in_force(
        &mut self,
        loaded: Loaded,
        source: Source,
    ) -> Result<(), ActorProcessingErr> {
        self.report("configuration", loaded.findings.render(false));
        let count = |wanted: fn(&FileState) -> bool| {
            let files = loaded.files.iter();
            files.filter(|file| wanted(&file.state)).count()
        };
        let in_force = count(|state| matches!(state, FileState::Tracked | FileState::Unchanged));
        let broken = count(|state| matches!(state, FileState::Broken { .. }));
        let removed = count(|state| matches!(state, FileState::Removed));
        let from = match &source {
            Source::Directory { path } => path.clone(),
            Source::Commit {
                repository, commit, ..
            } => format!("{repository} at {commit}"),
        };

        let report = LoadedConfiguration {
            source,
            loaded: Timestamp::now(),
            files: loaded.files,
            findings: loaded.findings,
        };
        let stored = StoredConfiguration {
            last_good: loaded.last_good,
            report: Some(serde_json::to_string(&report)?),
        };
        self.service.store.set_configuration(stored).await?;
        self.sources.loaded.send_replace(Some(Arc::new(report)));
        if self.replace_catalog(loaded.catalog) {
            tracing::info!(from, in_force, broken, removed, "configuration loaded");
        }
        Ok(())
    }

    /// Says whether it is another than before.
    fn replace_catalog(&self, catalog: Catalog) -> bool {
        let replaced = self
            .sources
            .catalog
            .send_if_modified(|known| replace(known, catalog));
        if replaced {
            let _ = self.root.cast(root::Message::ConfigurationChanged);
        }
        replaced
    }

    fn watch(&mut self, directory: &Path) {
        if self.watched.as_deref() == Some(directory) {
            return;
        }
        self.unwatch();
        match self.watcher.watch(directory, RecursiveMode::Recursive) {
            Ok(()) => self.watched = Some(directory.to_owned()),
            // Tried again with each look.
            Err(error) => tracing::warn!(directory = %directory.display(), %error, "cannot watch"),
        }
    }

    fn unwatch(&mut self) {
        if let Some(old) = self.watched.take() {
            let _ = self.watcher.unwatch(&old);
        }
    }

    /// Says what is wrong with something; an empty text means nothing.
    fn report(&mut self, topic: &'static str, text: String) {
        if self.reported.get(topic).is_none_or(|known| *known != text) {
            if !text.is_empty() {
                tracing::warn!("{topic}: {text}");
            }
            self.reported.insert(topic, text);
        }
    }
}

/// Puts a value in, and says whether it was another.
fn replace<T: PartialEq>(known: &mut Arc<T>, new: T) -> bool {
    let changed = **known != new;
    if changed {
        *known = Arc::new(new);
    }
    changed
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
