//! Starts the actors at the top, and starts again one that fails, after a pause and not for ever.
//! When it gives up, it fails itself, and the process ends with an error: whoever supervises the
//! process starts afresh from what is on disk.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent,
};
use tokio::sync::{oneshot, watch};

use super::configuration::{self, Configuration};
use super::janitor::{self, Janitor};
use super::projects::{self, CancelError};
use super::redis::legacy_topics::LegacyTopics;
use super::redis::relay::Relay;
use super::reporter::{self, Pace, Reporter};
use super::supervision::{self, Above, failure};
use super::watchers::{self, Watchers};
use crate::domain::names::{BuildId, RepositoryName};
use crate::domain::restart::{RestartPolicy, Verdict};
use crate::service::Service;
use crate::store::Heard;

pub struct Root;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    Start(Child),
    /// From the configuration: the service file or the catalog was replaced.
    ConfigurationChanged,
    /// A push of this repository was stored.
    Heard(RepositoryName, Heard),
}

/// The actors at the top, in the order in which they start: projects ask the catalog, which the
/// configuration restores in its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Child {
    Configuration,
    Projects,
    Watchers,
    StatusReporter,
    Janitor,
    /// Only with a Redis.
    Relay,
    /// Only where the service file wants it.
    LegacyTopics,
}

impl Child {
    const ALL: [Child; 7] = [
        Child::Configuration,
        Child::Projects,
        Child::Watchers,
        Child::StatusReporter,
        Child::Janitor,
        Child::Relay,
        Child::LegacyTopics,
    ];

    fn name(self) -> &'static str {
        match self {
            Child::Projects => "projects",
            Child::Configuration => "configuration",
            Child::Watchers => "watchers",
            Child::StatusReporter => "status reporter",
            Child::Janitor => "janitor",
            Child::Relay => "relay",
            Child::LegacyTopics => "legacy topics",
        }
    }
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub configuration: configuration::Sources,
    pub readiness: janitor::Readiness,
    projects: watch::Sender<Option<ActorRef<projects::Message>>>,
}

pub struct State {
    arguments: Arguments,
    running: Vec<(Child, ActorCell)>,
    policies: HashMap<Child, RestartPolicy>,
    watchers: Option<ActorRef<watchers::Message>>,
    configuration_actor: Option<ActorRef<configuration::Message>>,
}

/// Speaks to the actors at the top, whichever they are at the moment.
#[derive(Clone)]
pub struct Projects {
    root: Option<ActorRef<Message>>,
    current: watch::Receiver<Option<ActorRef<projects::Message>>>,
}

/// A cancellation kills a container and waits for the rest of its log; this is far beyond both.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

impl Projects {
    /// Speaks to nobody: for tests of those who are given one.
    #[cfg(test)]
    pub fn absent() -> Self {
        let (_, current) = watch::channel(None);
        Self {
            root: None,
            current,
        }
    }

    /// A push was stored. Whoever is not there at the moment to be told finds what it caused in
    /// the store when it starts.
    pub fn heard(&self, repository: RepositoryName, heard: Heard) {
        if let Some(root) = &self.root {
            let _ = root.cast(Message::Heard(repository, heard));
        }
    }

    /// Git is to say where this repository's refs are.
    pub fn look_at(&self, repository: RepositoryName) {
        let heard = Heard {
            out_of_order: true,
            ..Heard::default()
        };
        self.heard(repository, heard);
    }

    /// Somebody has asked for builds of this repository, and they were stored.
    pub fn asked(&self, repository: &RepositoryName) {
        let queues = BTreeSet::from([repository.clone()]);
        let heard = Heard {
            queues,
            ..Heard::default()
        };
        self.heard(repository.clone(), heard);
    }

    /// Answers when the build has ended.
    pub async fn cancel(
        &self,
        repository: &RepositoryName,
        build: &BuildId,
    ) -> Result<(), CancelError> {
        let projects = self
            .current
            .borrow()
            .clone()
            .ok_or(CancelError::Unavailable)?;
        let message = |reply: RpcReplyPort<_>| {
            projects::Message::Cancel(repository.clone(), build.clone(), reply)
        };
        match projects.call(message, Some(CANCEL_TIMEOUT)).await {
            Ok(ractor::rpc::CallResult::Success(answer)) => answer,
            _ => Err(CancelError::Unavailable),
        }
    }
}

/// The actors, from the root down.
pub struct Tree {
    pub projects: Projects,
    root: ActorRef<Message>,
    failed: oneshot::Receiver<String>,
}

impl Tree {
    /// Waits until the root fails, for ever while all is well; says why it did.
    pub async fn failed(&mut self) -> String {
        let why = (&mut self.failed).await;
        why.unwrap_or_else(|_| "the actors have ended by themselves".to_owned())
    }

    /// Ends all of them, and waits for it no longer than this.
    pub async fn stop(self, limit: Duration) {
        self.root.stop(None);
        if tokio::time::timeout(limit, supervision::all_ended())
            .await
            .is_err()
        {
            tracing::warn!("some actors did not end within shutdown_grace");
        }
    }
}

/// Starts the whole tree.
pub async fn start(
    service: Arc<Service>,
    configuration: configuration::Sources,
    readiness: janitor::Readiness,
) -> Result<Tree, SpawnErr> {
    #[cfg(feature = "faults")]
    super::faults::announce();
    let (sender, current) = watch::channel(None);
    let arguments = Arguments {
        service,
        configuration,
        readiness,
        projects: sender,
    };
    let (sender, failed) = oneshot::channel();
    let (above, _) = Above::spawn(None, Above, sender).await?;
    let root = supervision::spawn(Root, arguments, above.get_cell()).await?;
    let projects = Projects {
        root: Some(root.clone()),
        current,
    };
    Ok(Tree {
        projects,
        root,
        failed,
    })
}

impl Actor for Root {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State {
            arguments,
            running: Vec::new(),
            policies: HashMap::new(),
            watchers: None,
            configuration_actor: None,
        };
        for child in Child::ALL {
            state.start(&myself, child).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Start(child) => {
                if let Err(error) = state.start(&myself, child).await {
                    // A failing start sends no supervision event.
                    return state.failed(&myself, child, &error.to_string());
                }
            }
            Message::ConfigurationChanged => {
                if let Some(projects) = state.arguments.projects.borrow().as_ref() {
                    let _ = projects.cast(projects::Message::ConfigurationChanged);
                }
                if let Some(watchers) = &state.watchers {
                    let _ = watchers.cast(watchers::Message::ConfigurationChanged);
                }
            }
            Message::Heard(repository, heard) => state.pass_on(repository, heard),
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
        let lost = state
            .running
            .iter()
            .position(|(_, cell)| cell.get_id() == who.get_id());
        let Some(lost) = lost else { return Ok(()) };
        let (child, _) = state.running.swap_remove(lost);
        state.failed(&myself, child, &why)
    }
}

impl State {
    async fn start(&mut self, myself: &ActorRef<Message>, child: Child) -> Result<(), SpawnErr> {
        let (cell, service) = (myself.get_cell(), Arc::clone(&self.arguments.service));
        let started = match child {
            Child::Relay => {
                let Some(redis) = service.config.borrow().redis.clone() else {
                    return Ok(());
                };
                let actor = supervision::spawn(Relay, (service, redis), cell).await?;
                actor.get_cell()
            }
            Child::LegacyTopics => {
                let redis = service.config.borrow().redis.clone();
                let Some(redis) = redis.filter(|redis| redis.legacy_topics) else {
                    return Ok(());
                };
                let arguments = (service, redis.url);
                let actor = supervision::spawn(LegacyTopics, arguments, cell).await?;
                actor.get_cell()
            }
            Child::Projects => {
                let actor = supervision::spawn(projects::Projects, service, cell).await?;
                self.arguments.projects.send_replace(Some(actor.clone()));
                actor.get_cell()
            }
            Child::Configuration => {
                let arguments = configuration::Arguments {
                    service,
                    sources: self.arguments.configuration.clone(),
                    root: myself.clone(),
                };
                let actor = supervision::spawn(Configuration, arguments, cell).await?;
                self.configuration_actor = Some(actor.clone());
                actor.get_cell()
            }
            Child::Watchers => {
                let arguments = watchers::Arguments {
                    service,
                    root: myself.clone(),
                };
                let actor = supervision::spawn(Watchers, arguments, cell).await?;
                self.watchers = Some(actor.clone());
                actor.get_cell()
            }
            Child::StatusReporter => {
                let arguments = reporter::Arguments {
                    service,
                    pace: Pace::default(),
                };
                let actor = supervision::spawn(Reporter, arguments, cell).await?;
                actor.get_cell()
            }
            Child::Janitor => {
                let arguments = janitor::Arguments {
                    service,
                    readiness: self.arguments.readiness.clone(),
                };
                let actor = supervision::spawn(Janitor, arguments, cell).await?;
                actor.get_cell()
            }
        };
        self.running.push((child, started));
        Ok(())
    }

    fn pass_on(&self, repository: RepositoryName, heard: Heard) {
        if let Some(projects) = self.arguments.projects.borrow().as_ref() {
            for queue in heard.queues {
                let _ = projects.cast(projects::Message::Heard(queue));
            }
        }
        if heard.load
            && let Some(configuration) = &self.configuration_actor
        {
            let _ = configuration.cast(configuration::Message::Heard);
        }
        if heard.out_of_order
            && let Some(watchers) = &self.watchers
        {
            let _ = watchers.cast(watchers::Message::Compare(repository));
        }
    }

    fn failed(
        &mut self,
        myself: &ActorRef<Message>,
        child: Child,
        why: &str,
    ) -> Result<(), ActorProcessingErr> {
        tracing::error!(actor = child.name(), reason = why, "an actor failed");
        if child == Child::Projects {
            self.arguments.projects.send_replace(None);
        }
        match self
            .policies
            .entry(child)
            .or_default()
            .failed(Instant::now())
        {
            Verdict::RestartAfter(pause) => {
                self.arguments.service.metrics.actor_restarted(child.name());
                myself.send_after(pause, move || Message::Start(child));
                Ok(())
            }
            Verdict::GiveUp => {
                Err(format!("{} fails again and again, at last: {why}", child.name()).into())
            }
        }
    }
}
