//! One watcher for each repository whose pushes matter: started when the repository appears,
//! stopped when it no longer does, started again when it failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::Semaphore;

use super::root;
use super::supervision::{self, failure};
use super::watcher::hooks::{self, HookSettings};
use super::watcher::{self, Watcher};
use crate::domain::names::{BranchName, RepositoryName};
use crate::domain::restart::{RestartPolicy, Retry};
use crate::domain::tracking::ConfigurationBranch;
use crate::service::Service;

pub struct Watchers;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// The service file or the catalog was replaced.
    ConfigurationChanged,
    /// Git is to say how one repository stands.
    Compare(RepositoryName),
    StartAgain(RepositoryName),
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub root: ActorRef<root::Message>,
}

pub struct State {
    arguments: Arguments,
    watchers: HashMap<RepositoryName, Entry>,
    turns: watcher::Turns,
    /// What the watchers were told last of how webhooks should be.
    hooks: Option<HookSettings>,
}

#[derive(Default)]
struct Entry {
    actor: Option<ActorRef<watcher::Message>>,
    policy: RestartPolicy,
    /// It failed, and is not started before its pause is over.
    is_pausing: bool,
    /// What of the catalog its comparison looks at.
    interest: Interest,
}

/// The branches of a repository for which something is built, and those that others follow.
type Interest = BTreeSet<(RepositoryName, BranchName)>;

/// Repositories whose heads are asked for at once, and those whose webhooks are.
const ASKED_AT_ONCE: usize = 4;

impl Actor for Watchers {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Message::ConfigurationChanged)?;
        let turns = watcher::Turns {
            heads: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            hooks: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
        };
        Ok(State {
            arguments,
            watchers: HashMap::new(),
            turns,
            hooks: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::ConfigurationChanged => state.follow_the_configuration(&myself).await,
            Message::Compare(repository) => state.compare(&repository),
            Message::StartAgain(repository) => state.start(&myself, repository).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let Some((who, why)) = failure(&event) else {
            return Ok(());
        };
        let lost = state.watchers.iter().find(|(_, entry)| {
            entry
                .actor
                .as_ref()
                .is_some_and(|actor| actor.get_id() == who.get_id())
        });
        if let Some((repository, _)) = lost {
            let repository = repository.clone();
            state.failed(&myself, repository, &why);
        }
        Ok(())
    }
}

impl State {
    async fn follow_the_configuration(&mut self, myself: &ActorRef<Message>) {
        // Watchers that start look by themselves.
        self.follow_hook_settings();
        let wanted = self.wanted();
        let webhooks = &self.arguments.service.webhooks;
        self.watchers.retain(|repository, entry| {
            let is_wanted = wanted.contains_key(repository);
            if let Some(actor) = entry.actor.as_ref().filter(|_| !is_wanted) {
                actor.stop(None);
                webhooks.forget(repository);
            }
            is_wanted
        });
        for (repository, interest) in wanted {
            let entry = self.watchers.entry(repository.clone()).or_default();
            let has_changed = entry.interest != interest;
            entry.interest = interest;
            if entry.is_pausing {
                continue;
            }
            if entry.actor.is_none() {
                self.start(myself, repository).await;
            } else if has_changed {
                self.compare(&repository);
            }
        }
    }

    fn follow_hook_settings(&mut self) {
        let service = &self.arguments.service;
        let settings = hooks::settings(&service.config.borrow(), &service.github);
        if settings == self.hooks {
            return;
        }
        self.hooks = settings;
        for actor in self
            .watchers
            .values()
            .filter_map(|entry| entry.actor.as_ref())
        {
            let _ = actor.cast(watcher::Message::LookAtHooks);
        }
    }

    /// The repositories to watch.
    fn wanted(&self) -> BTreeMap<RepositoryName, Interest> {
        let service = &self.arguments.service;
        let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
        let tracking = config.tracking(&catalog);
        let mut wanted: BTreeMap<RepositoryName, Interest> = tracking
            .repositories()
            .into_iter()
            .map(|repository| (repository.clone(), Interest::new()))
            .collect();
        let mut note = |repository: &RepositoryName, of: &RepositoryName, branch: &BranchName| {
            if let Some(interest) = wanted.get_mut(repository) {
                interest.insert((of.clone(), branch.clone()));
            }
        };
        for (repository, branch, recipe) in catalog.all() {
            note(repository, repository, branch);
            for dependency in &recipe.dependencies {
                note(dependency, repository, branch);
            }
        }
        if let Some(ConfigurationBranch { repository, branch }) = tracking.configuration {
            note(repository, repository, branch);
        }
        wanted
    }

    fn compare(&self, repository: &RepositoryName) {
        let entry = self.watchers.get(repository);
        if let Some(actor) = entry.and_then(|entry| entry.actor.as_ref()) {
            let _ = actor.cast(watcher::Message::Compare);
        }
    }

    async fn start(&mut self, myself: &ActorRef<Message>, repository: RepositoryName) {
        let service = Arc::clone(&self.arguments.service);
        // It may have been removed while it waited to be started again.
        let Some(entry) = self.watchers.get_mut(&repository) else {
            return;
        };
        entry.is_pausing = false;
        // It may have been removed and added again as well, and runs already.
        if entry.actor.is_some() {
            return;
        }
        let arguments = watcher::Arguments {
            service,
            repository: repository.clone(),
            root: self.arguments.root.clone(),
            turns: self.turns.clone(),
        };
        match supervision::spawn(Watcher, arguments, myself.get_cell()).await {
            Ok(actor) => self.watchers.entry(repository).or_default().actor = Some(actor),
            Err(error) => self.failed(myself, repository, &error.to_string()),
        }
    }

    /// A watcher that keeps failing is left alone, and tried again after longer and longer: the
    /// others, and webhooks for its repository, go on.
    fn failed(&mut self, myself: &ActorRef<Message>, repository: RepositoryName, why: &str) {
        tracing::error!(%repository, reason = why, "a watcher failed");
        self.arguments.service.metrics.actor_restarted("watcher");
        let entry = self.watchers.entry(repository.clone()).or_default();
        entry.actor = None;
        entry.is_pausing = true;
        let Retry {
            after,
            is_left_alone,
        } = entry.policy.failed_alone(Instant::now());
        if is_left_alone {
            let seconds = after.as_secs();
            tracing::error!(
                %repository, reason = why, seconds,
                "its watcher fails again and again: until it is tried again, only webhooks tell of pushes"
            );
        }
        myself.send_after(after, move || Message::StartAgain(repository));
    }
}
