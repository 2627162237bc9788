//! The queue of the whole service: supervises one project actor for each repository that has
//! builds to do, and gives the places there are to repositories by turns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

use super::project::{self, Project};
use super::supervision::{self, failure};
use crate::domain::admission::Admission;
use crate::domain::names::{BuildId, RepositoryName};
use crate::domain::restart::{RestartPolicy, Retry};
use crate::domain::time::Timestamp;
use crate::service::{Component, Disk, Service, Standstill, missing_for_builds};

pub struct Projects;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// Builds of this repository were stored.
    Heard(RepositoryName),
    /// A build waits for nothing but a place.
    Ready(RepositoryName, BuildId),
    /// The builds that a repository's queue found running when it was started; they have their
    /// places already.
    TakenOver(RepositoryName, Vec<BuildId>),
    /// A build of the repository goes on when this one, of another, has ended.
    Awaits(BuildId, RepositoryName),
    /// A build needs no place, or no longer.
    Gone(RepositoryName, BuildId),
    Cancel(
        RepositoryName,
        BuildId,
        RpcReplyPort<Result<(), CancelError>>,
    ),
    /// The service file or the catalog was replaced.
    ConfigurationChanged,
    StartAgain(RepositoryName),
    /// There is room on the disk again, or no longer.
    RoomChanged,
}

/// Why a build was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    #[error("there is no build {0} that waits or runs")]
    NotUnfinished(BuildId),
    #[error("build {0} is being published and can no longer be cancelled")]
    TooLate(BuildId),
    #[error("the service is starting or stopping")]
    Unavailable,
}

pub struct State {
    service: Arc<Service>,
    admission: Admission,
    questions: Arc<Semaphore>,
    projects: HashMap<RepositoryName, Entry>,
    /// Builds that builds of these repositories wait for.
    awaited: HashMap<BuildId, HashSet<RepositoryName>>,
    #[expect(dead_code, reason = "held to be aborted")]
    following_needs: AbortOnDropHandle<()>,
}

/// Questions about builds that wait, asked of git at once by all repositories together. Fewer than
/// git's places: a build that has a place does not wait behind a thousand that have none.
const ASKED_AT_ONCE: usize = 2;

#[derive(Default)]
struct Entry {
    actor: Option<ActorRef<project::Message>>,
    policy: RestartPolicy,
    /// It failed, and is not started before its pause is over, whatever is heard meanwhile.
    is_pausing: bool,
}

impl Actor for Projects {
    type Msg = Message;
    type State = State;
    type Arguments = Arc<Service>;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        service: Arc<Service>,
    ) -> Result<State, ActorProcessingErr> {
        for repository in service.store.unfinished_repositories().await? {
            myself.cast(Message::Heard(repository))?;
        }
        // What the one before this one knew.
        service.standstills.send_replace(HashMap::new());
        let places = places(&service);
        let following_needs = tokio::spawn(follow_needs(
            service.disk.subscribe(),
            service.readiness.clone(),
            myself,
        ));
        Ok(State {
            following_needs: AbortOnDropHandle::new(following_needs),
            service,
            admission: Admission::new(places),
            questions: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            projects: HashMap::new(),
            awaited: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Heard(repository) => {
                state
                    .tell(&myself, &repository, project::Message::Look)
                    .await?
            }
            // Of one that failed meanwhile.
            Message::Ready(repository, _) if state.is_pausing(&repository) => {}
            Message::Ready(repository, build) => state.admission.ready(&repository, build),
            Message::TakenOver(repository, builds) => {
                state.admission.taken_over(&repository, builds);
            }
            Message::Awaits(build, repository) => {
                state.awaited.entry(build).or_default().insert(repository);
            }
            Message::Gone(repository, build) => {
                state.admission.gone(&repository, &build);
                for repository in state.awaited.remove(&build).unwrap_or_default() {
                    let left = project::Message::AwaitedLeft(build.clone());
                    state.tell(&myself, &repository, left).await?;
                }
            }
            Message::Cancel(repository, build, reply) => {
                let cancel = project::Message::Cancel(build, reply);
                state.tell(&myself, &repository, cancel).await?;
            }
            Message::ConfigurationChanged => state.configuration_changed(),
            Message::StartAgain(repository) => {
                state.pause_is_over(&repository);
                state
                    .tell(&myself, &repository, project::Message::Look)
                    .await?;
            }
            // Whoever may start now does so below.
            Message::RoomChanged => {}
        }
        state.admit(&myself).await
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
        let lost = state.projects.iter_mut().find(|(_, entry)| {
            entry
                .actor
                .as_ref()
                .is_some_and(|actor| actor.get_id() == who.get_id())
        });
        let Some((repository, entry)) = lost else {
            return Ok(());
        };
        entry.actor = None;
        let repository = repository.clone();
        state.failed(&myself, repository, &why);
        // Others may have the places that it no longer holds.
        state.admit(&myself).await
    }
}

impl State {
    /// Sends a message to a repository's project, which is started if need be. While it is not to be
    /// started, the message is dropped: all that it tells of is found in the store afterwards.
    async fn tell(
        &mut self,
        myself: &ActorRef<Message>,
        repository: &RepositoryName,
        message: project::Message,
    ) -> Result<(), ActorProcessingErr> {
        let entry = self.projects.entry(repository.clone()).or_default();
        if entry.is_pausing {
            return Ok(());
        }
        if entry.actor.is_none() {
            let arguments = project::Arguments {
                service: Arc::clone(&self.service),
                repository: repository.clone(),
                projects: myself.clone(),
                questions: Arc::clone(&self.questions),
            };
            match supervision::spawn(Project, arguments, myself.get_cell()).await {
                Ok(actor) => entry.actor = Some(actor),
                // A failing start sends no supervision event.
                Err(error) => {
                    self.failed(myself, repository.clone(), &error.to_string());
                    return Ok(());
                }
            }
        }
        if let Some(actor) = &entry.actor {
            // One that stops at this moment is looked after when its event arrives.
            let _ = actor.cast(message);
        }
        Ok(())
    }

    /// One that keeps failing is left alone, and tried again after longer and longer: nothing else
    /// ends for its sake.
    fn failed(&mut self, myself: &ActorRef<Message>, repository: RepositoryName, why: &str) {
        tracing::error!(%repository, reason = why, "a repository's queue failed");
        self.service.metrics.actor_restarted("project");
        let entry = self.projects.entry(repository.clone()).or_default();
        entry.is_pausing = true;
        let Retry {
            after,
            is_left_alone,
        } = entry.policy.failed_alone(Instant::now());
        if is_left_alone {
            self.admission.forget(&repository);
            let until = Timestamp::now().after(after);
            tracing::error!(
                %repository, reason = why, %until,
                "its queue fails again and again: its builds wait until it is tried again, others go on"
            );
            let standstill = Standstill {
                problem: why.to_owned(),
                until,
            };
            self.service.standstills.send_modify(|known| {
                known.insert(repository.clone(), standstill);
            });
        } else {
            self.admission.lost(&repository);
        }
        myself.send_after(after, move || Message::StartAgain(repository));
    }

    fn is_pausing(&self, repository: &RepositoryName) -> bool {
        let entry = self.projects.get(repository);
        entry.is_some_and(|entry| entry.is_pausing)
    }

    fn pause_is_over(&mut self, repository: &RepositoryName) {
        if let Some(entry) = self.projects.get_mut(repository) {
            entry.is_pausing = false;
        }
        self.service
            .standstills
            .send_if_modified(|known| known.remove(repository).is_some());
    }

    fn configuration_changed(&mut self) {
        self.admission.set_places(places(&self.service));
        for actor in self
            .projects
            .values()
            .filter_map(|entry| entry.actor.as_ref())
        {
            let _ = actor.cast(project::Message::CatalogChanged);
        }
    }

    async fn admit(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        while self.service.missing_for_builds().is_none()
            && let Some((repository, build)) = self.admission.admit()
        {
            self.tell(myself, &repository, project::Message::Admitted(build))
                .await?;
        }
        Ok(())
    }
}

/// Tells when what builds need is there again, or is not.
async fn follow_needs(
    mut disk: watch::Receiver<Disk>,
    mut components: watch::Receiver<Vec<Component>>,
    myself: ActorRef<Message>,
) {
    let mut was_missing = None;
    loop {
        let missing =
            missing_for_builds(&disk.borrow_and_update(), &components.borrow_and_update());
        if was_missing.replace(missing.is_some()) != Some(missing.is_some())
            && myself.cast(Message::RoomChanged).is_err()
        {
            return;
        }
        let changed = tokio::select! {
            changed = disk.changed() => changed,
            changed = components.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn places(service: &Service) -> usize {
    usize::try_from(service.config.borrow().builds.concurrency).unwrap_or(usize::MAX)
}
