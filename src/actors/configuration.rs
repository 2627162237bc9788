//! The service file and the configuration directory, watched: what they say becomes one value
//! each, replaced whole. What is broken is reported and changes nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use super::build::plan;
use super::root;
use crate::adapters::github::{CredentialKind, Github};
use crate::config::{self, Configuration as Source, FileState, ServiceConfig};
use crate::domain::mask::SHORTEST_SECRET;
use crate::domain::recipe::Catalog;
use crate::service::Service;
use crate::service::github::github_settings;

pub struct Configuration;

pub enum Message {
    /// A file below one of the watched folders changed.
    Touched,
    /// Nothing has changed for [`QUIET`] since.
    Load,
}

/// Where the newest values go, and where the service file is.
#[derive(Clone)]
pub struct Sources {
    pub service_file: PathBuf,
    pub config: watch::Sender<Arc<ServiceConfig>>,
    pub catalog: watch::Sender<Arc<Catalog>>,
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
    /// What was reported last of each topic, so that no unrelated change repeats it.
    reported: HashMap<&'static str, String>,
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
            reported: HashMap::new(),
        };
        state.report_short_secrets();
        report_credential(state.service.github.clone());
        state.load_catalog().await?;
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
                state.load_catalog().await?;
            }
        }
        Ok(())
    }
}

impl State {
    fn load_service_file(&mut self) {
        let file = self.sources.service_file.clone();
        let (new, warnings) = match ServiceConfig::load(&file, &config::process_environment) {
            Ok(loaded) => loaded,
            Err(findings) => {
                let text = format!(
                    "what it said before stays in force\n{}",
                    findings.render(false)
                );
                self.report("service file", text);
                return;
            }
        };
        self.report("service file", warnings.render(false));
        let (new, fixed) = self.sources.config.borrow().reload(new);
        let text = match fixed.is_empty() {
            true => String::new(),
            false => format!(
                "{} will change only with a restart of the service",
                fixed.join(", ")
            ),
        };
        self.report("service file, keys", text);
        if self
            .sources
            .config
            .send_if_modified(|known| replace(known, new))
        {
            tracing::info!(file = %file.display(), "the service file was loaded again");
            self.report_short_secrets();
            let settings = github_settings(&self.sources.config.borrow());
            if self.service.github.configure(settings) {
                report_credential(self.service.github.clone());
            }
            let _ = self.root.cast(root::Message::ConfigurationChanged);
        }
    }

    fn report_short_secrets(&mut self) {
        let masker = plan::masker(&self.sources.config.borrow());
        let text = match masker.unmasked() {
            [] => String::new(),
            short => format!(
                "{} shorter than {SHORTEST_SECRET} characters and not masked in logs",
                match short {
                    [one] => format!("{one} is"),
                    several => format!("{} are", several.join(", ")),
                }
            ),
        };
        self.report("builds.secrets", text);
    }

    async fn load_catalog(&mut self) -> Result<(), ActorProcessingErr> {
        let source = self.sources.config.borrow().configuration.clone();
        let Source::Directory(directory) = source else {
            let text =
                "configuration.repository is not read by this release: use configuration.path";
            self.report("configuration", text.to_owned());
            return Ok(());
        };
        self.watch(&directory);
        let last_good = self.service.store.last_good_configuration().await?;
        let path = directory.clone();
        let known = last_good.clone();
        let loaded =
            tokio::task::spawn_blocking(move || config::load_directory(&path, &known)).await?;
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(findings) => {
                let text = format!(
                    "what it said before stays in force\n{}",
                    findings.render(false)
                );
                self.report("configuration", text);
                // After a restart: the last good version, so that builds go on.
                let remembered = config::resolve(&as_files(&last_good), &last_good).catalog;
                if *self.sources.catalog.borrow().as_ref() == Catalog::default() {
                    self.sources.catalog.send_replace(Arc::new(remembered));
                }
                return Ok(());
            }
        };
        self.report("configuration", loaded.findings.render(false));
        if loaded.last_good != last_good {
            self.service
                .store
                .set_last_good_configuration(loaded.last_good)
                .await?;
        }
        let count = |wanted: fn(&FileState) -> bool| {
            loaded
                .files
                .iter()
                .filter(|file| wanted(&file.state))
                .count()
        };
        let in_force = count(|state| matches!(state, FileState::Tracked | FileState::Unchanged));
        let broken = count(|state| matches!(state, FileState::Broken { .. }));
        let removed = count(|state| matches!(state, FileState::Removed));
        if self
            .sources
            .catalog
            .send_if_modified(|known| replace(known, loaded.catalog))
        {
            tracing::info!(directory = %directory.display(), in_force, broken, removed, "configuration loaded");
            let _ = self.root.cast(root::Message::ConfigurationChanged);
        }
        Ok(())
    }

    fn watch(&mut self, directory: &Path) {
        if self.watched.as_deref() == Some(directory) {
            return;
        }
        if let Some(old) = self.watched.take() {
            let _ = self.watcher.unwatch(&old);
        }
        match self.watcher.watch(directory, RecursiveMode::Recursive) {
            Ok(()) => self.watched = Some(directory.to_owned()),
            // Tried again with each look.
            Err(error) => tracing::warn!(directory = %directory.display(), %error, "cannot watch"),
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

/// One line that says what the credential is good for; nobody waits for GitHub.
fn report_credential(github: Github) {
    if github.credential() == CredentialKind::None {
        tracing::info!(
            "no GitHub credential: statuses are kept and not sent, webhooks are not managed, \
             private repositories are not fetched; set github.token or github.app"
        );
        return;
    }
    tokio::spawn(async move {
        match github.check().await {
            Ok(credential) => tracing::info!(credential, "GitHub knows the credential"),
            Err(error) => tracing::warn!(%error, "the GitHub credential could not be checked"),
        }
    });
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn as_files(last_good: &config::LastGood) -> config::Files {
    last_good
        .iter()
        .map(|(path, text)| (path.clone(), Ok(text.clone())))
        .collect()
}
