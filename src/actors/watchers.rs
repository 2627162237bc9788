//! One watcher for each repository of the catalog: started when the repository appears, stopped
//! when it is gone, started again when it failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{Semaphore, watch};

use super::projects;
use super::supervision::failure;
use super::watcher::{self, Watcher};
use crate::domain::names::RepositoryName;
use crate::domain::restart::{RestartPolicy, Verdict};
use crate::service::Service;

pub struct Watchers;

pub enum Message {
    CatalogChanged,
    StartAgain(RepositoryName),
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub projects: watch::Receiver<Option<ActorRef<projects::Message>>>,
}

pub struct State {
    arguments: Arguments,
    watchers: HashMap<RepositoryName, Entry>,
    /// A thousand repositories are not asked for their heads at one moment.
    turns: Arc<Semaphore>,
}

#[derive(Default)]
struct Entry {
    actor: Option<ActorRef<watcher::Message>>,
    policy: RestartPolicy,
}

/// Repositories whose heads are asked for at once.
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
        myself.cast(Message::CatalogChanged)?;
        let turns = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        Ok(State {
            arguments,
            watchers: HashMap::new(),
            turns,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::CatalogChanged => state.follow_the_catalog(&myself).await,
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
    async fn follow_the_catalog(&mut self, myself: &ActorRef<Message>) {
        let catalog = Arc::clone(&self.arguments.service.catalog.borrow());
        self.watchers.retain(|repository, entry| {
            let tracked = catalog.is_tracked(repository);
            if let Some(actor) = entry.actor.as_ref().filter(|_| !tracked) {
                actor.stop(None);
            }
            tracked
        });
        for repository in catalog.repositories() {
            match self
                .watchers
                .get(repository)
                .and_then(|entry| entry.actor.as_ref())
            {
                Some(actor) => {
                    let _ = actor.cast(watcher::Message::Compare);
                }
                None => self.start(myself, repository.clone()).await,
            }
        }
    }

    async fn start(&mut self, myself: &ActorRef<Message>, repository: RepositoryName) {
        let service = Arc::clone(&self.arguments.service);
        if !service.catalog.borrow().is_tracked(&repository) {
            return;
        }
        let arguments = watcher::Arguments {
            service,
            repository: repository.clone(),
            projects: self.arguments.projects.clone(),
            turns: Arc::clone(&self.turns),
        };
        match Watcher::spawn_linked(None, Watcher, arguments, myself.get_cell()).await {
            Ok((actor, _)) => self.watchers.entry(repository).or_default().actor = Some(actor),
            Err(error) => self.failed(myself, repository, &error.to_string()),
        }
    }

    /// A watcher that keeps failing is left alone until the catalog changes: the others, and
    /// webhooks for its repository, go on.
    fn failed(&mut self, myself: &ActorRef<Message>, repository: RepositoryName, why: &str) {
        tracing::error!(%repository, reason = why, "a watcher failed");
        self.arguments.service.metrics.actor_restarted("watcher");
        let entry = self.watchers.entry(repository.clone()).or_default();
        entry.actor = None;
        if let Verdict::RestartAfter(pause) = entry.policy.failed(Instant::now()) {
            myself.send_after(pause, move || Message::StartAgain(repository));
        }
    }
}
