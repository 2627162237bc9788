//! How a build ends, or leaves for its second attempt: by itself, interrupted, without its
//! container, or without its actor.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::base::Missing;
use super::verdict::{next_attempt, span};
use super::{Interruption, Machine, Message, plan, project, transition};
use crate::actors::log;
use crate::actors::projects::CancelError;
use crate::domain::build::{Build, State};
use crate::domain::kernel::Kernel;
use crate::domain::names::{BuildId, RepositoryName};
use crate::domain::push::Push;
use crate::domain::recipe::{Format, Recipe};
use crate::domain::time::Timestamp;
use crate::service::Service;
use crate::store::{Facts, StoreError};

/// How long after its container was killed a build waits for the rest of the log. A cancelled
/// build is over within two seconds.
const REST_OF_LOG: Duration = Duration::from_millis(1500);

/// How long a build that is to be built once more waits for its lost container to be removed.
const REMOVAL: Duration = Duration::from_secs(10);

impl Machine {
    /// The container is killed; what its script had written is still read.
    pub(super) async fn interrupt(
        &mut self,
        myself: &ActorRef<Message>,
        interruption: Interruption,
    ) -> anyhow::Result<()> {
        let refusal = match self.build.state {
            State::Publishing => Some(CancelError::TooLate(self.build.id.clone())),
            _ if self.interruption.is_some() => {
                Some(CancelError::NotUnfinished(self.build.id.clone()))
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            if let Some(reply) = interruption.reply {
                let _ = reply.send(Err(refusal));
            }
            return Ok(());
        }
        if self.build.state != State::Building {
            return self.end_interrupted(myself, interruption).await;
        }
        self.interruption = Some(interruption);
        myself.send_after(REST_OF_LOG, || Message::StopWaiting);
        let (service, name) = (Arc::clone(&self.service), self.container_name());
        tokio::spawn(async move {
            if let Err(error) = service.docker.kill(&name).await {
                service.metrics.docker_failed("kill");
                tracing::warn!(container = name, %error, "cannot kill a container");
            }
        });
        Ok(())
    }

    pub(super) async fn end_interrupted(
        &mut self,
        myself: &ActorRef<Message>,
        interruption: Interruption,
    ) -> anyhow::Result<()> {
        self.end(myself, interruption.state, interruption.reason)
            .await?;
        if let Some(reply) = interruption.reply {
            let _ = reply.send(Ok(()));
        }
        Ok(())
    }

    pub(super) async fn container_lost(
        &mut self,
        myself: &ActorRef<Message>,
        how: String,
    ) -> anyhow::Result<()> {
        if let Some(interruption) = self.interruption.take() {
            return self.end_interrupted(myself, interruption).await;
        }
        self.work = None;
        self.watchdogs.clear();
        self.log
            .note(format!("attempt {}: {how}", self.build.attempt))
            .await?;
        match next_attempt(&self.build, &how) {
            (State::Queued, reason) => self.queue_again(myself, reason).await,
            // The log's last line tells how it ended, as that of any other build.
            (end, reason) => self.end(myself, end, reason).await,
        }
    }

    async fn queue_again(
        &mut self,
        myself: &ActorRef<Message>,
        reason: Option<String>,
    ) -> anyhow::Result<()> {
        self.log.pause().await;
        // Before the second attempt can make its own, which has the same name.
        let _ = tokio::time::timeout(REMOVAL, self.remove_container()).await;
        self.become_(State::Queued, reason, Facts::default())
            .await?;
        self.leave(myself)
    }

    /// Back to the queue until the base was built again, where that is wanted and was not in vain.
    pub(super) async fn base_is_missing(
        &mut self,
        myself: &ActorRef<Message>,
        Missing {
            repository,
            reference,
            commit,
            problem,
        }: Missing,
    ) -> anyhow::Result<()> {
        let rebuild = matches!(
            self.recipe.format,
            Format::Kernel(Kernel::Incremental {
                rebuild_base: true,
                ..
            })
        );
        if !rebuild {
            let reason = format!(
                "{problem}; push to {repository}, ask for a build of {}, or set rebuild_base: true",
                reference.short_name()
            );
            return self.end(myself, State::Errored, reason).await;
        }
        let store = &self.service.store;
        // One that was replaced before it made anything is followed by another.
        if let Some(awaited) = self.build.waits_for.clone()
            && store.build(awaited.clone()).await?.state == State::Succeeded
        {
            let reason = format!("{problem}, though build {awaited} was to make it again");
            return self.end(myself, State::Errored, reason).await;
        }
        let Some(recipe) = self.recipe_of_base(&repository) else {
            let reason =
                format!("{problem}, and {repository} is no longer among kernels.repositories");
            return self.end(myself, State::Errored, reason).await;
        };
        let by = self.build.id.clone();
        let push = Push::unheard(repository, reference, commit);
        let awaited = store.need_base(by, push, recipe).await?;
        self.log.note(problem).await?;
        let line = format!("building the base first, as build {awaited}");
        self.log.note(line).await?;
        self.log.pause().await;
        let known = Facts {
            waits_for: Some(awaited),
            ..Facts::default()
        };
        self.become_(State::Queued, None, known).await?;
        self.leave(myself)
    }

    fn recipe_of_base(&self, repository: &RepositoryName) -> Option<Recipe> {
        let (catalog, config) = (self.service.catalog.borrow(), self.service.config.borrow());
        config.tracking(&catalog).kernels.remove(repository)
    }

    pub(super) async fn end(
        &mut self,
        myself: &ActorRef<Message>,
        state: State,
        reason: impl Into<Option<String>>,
    ) -> anyhow::Result<()> {
        // Whatever still works for this build would only write into a log that is finished.
        self.work = None;
        self.watchdogs.clear();
        let reason = reason.into();
        // As it is kept: the clock may have been set meanwhile.
        let kept = self.service.store.build(self.build.id.clone()).await?;
        let took = Timestamp::now().since(kept.started.unwrap_or(kept.queued));
        if self.service.store.lacks_room().is_some() {
            // The end cannot be stored before there is room, and the container may take it.
            self.remove_container().await;
        }
        let store = &self.service.store;
        self.log
            .finish(store, state, reason.as_deref(), &span(took))
            .await;
        let known = Facts {
            exit_code: self.build.exit_code,
            ..Facts::default()
        };
        self.become_(state, reason, known).await?;
        self.service.metrics.build_ended(state, took.as_secs_f64());
        tokio::spawn(self.remove_container());
        self.leave(myself)
    }

    /// The last that this actor does for the build, whose last transition is stored.
    fn leave(&mut self, myself: &ActorRef<Message>) -> anyhow::Result<()> {
        self.service.logs.closed(&self.build.id);
        self.project
            .cast(project::Message::Left(Box::new(self.build.clone())))?;
        myself.stop(None);
        Ok(())
    }

    /// By name, as it may have been created without its id being stored. What fails here is done
    /// by the reaper.
    fn remove_container(&self) -> impl Future<Output = ()> + use<> {
        let (service, name) = (Arc::clone(&self.service), self.container_name());
        async move {
            if let Err(error) = service.docker.remove(&name).await {
                service.metrics.docker_failed("remove");
                tracing::warn!(container = name, %error, "cannot remove a container");
            }
        }
    }
}

/// For a build whose actor failed: what it was doing is lost, its container included. That is
/// removed first, before the second attempt can make its own, which has the same name.
pub async fn give_up_attempt(
    service: &Arc<Service>,
    id: &BuildId,
    how: &str,
) -> Result<Build, StoreError> {
    let name = plan::container_name(&service.config.borrow(), id);
    if let Err(error) = service.docker.remove(&name).await {
        service.metrics.docker_failed("remove");
        tracing::warn!(container = name, %error, "cannot remove a container");
    }
    let build = service.store.build(id.clone()).await?;
    let (mut to, mut reason) = next_attempt(&build, how);
    if !build.state.may_become(to) {
        (to, reason) = (State::Errored, Some(how.to_owned()));
    }
    let known = Facts {
        log: log::leave(service, &build, to, reason.as_deref()).await,
        ..Facts::default()
    };
    let changed = transition(service, &build, to, reason, known).await;
    service.logs.closed(id);
    match changed {
        // It had reached its end before it failed.
        Err(StoreError::Refused { .. }) => Ok(build),
        changed => changed,
    }
}
