//! How actors and the tasks beside them are started, and what is heard of one that ended though it
//! should not have.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use futures_util::FutureExt;
use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, Message, SupervisionEvent};
use tokio::sync::oneshot;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::domain::panic;

/// Starts an actor below another, which hears of its end.
#[cfg(not(feature = "faults"))]
pub async fn spawn<A: Actor>(
    actor: A,
    arguments: A::Arguments,
    supervisor: ActorCell,
) -> Result<ActorRef<A::Msg>, ractor::SpawnErr> {
    let (actor, ended) = A::spawn_linked(None, actor, arguments, supervisor).await?;
    track(ended);
    Ok(actor)
}

#[cfg(feature = "faults")]
pub use super::faults::spawn;

/// Every actor of this process: one that is killed with its parent has ended only some time later.
static ACTORS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

pub fn track(ended: JoinHandle<()>) {
    ACTORS.spawn(ended);
}

/// Waits until no actor is left, and so nobody who could take the end of the service for the end of
/// what he was at.
pub async fn all_ended() {
    ACTORS.close();
    ACTORS.wait().await;
}

/// Who failed, and why: by an error, a panic, or killed with its parent. `None` for an actor that
/// started, or that came to its own end.
pub fn failure(event: &SupervisionEvent) -> Option<(&ActorCell, String)> {
    match event {
        SupervisionEvent::ActorFailed(who, error) => Some((who, error.to_string())),
        SupervisionEvent::ActorTerminated(who, _, Some(reason)) => Some((who, reason.clone())),
        _ => None,
    }
}

/// Runs a task whose end the actor waits for. It hears of it in any case: by the task's own message
/// or, should the task panic, by the one that is made of the reason.
pub fn run<M: Message>(
    task: Task,
    actor: &ActorRef<M>,
    work: impl Future<Output = M> + Send + 'static,
    panicked: impl FnOnce(String) -> M + Send + 'static,
) -> AbortOnDropHandle<()> {
    let actor = actor.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let work = async {
            #[cfg(feature = "faults")]
            super::faults::strike("task", task.into());
            work.await
        };
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        let message = ended.unwrap_or_else(|panic| {
            let reason = panic::in_words(panic.as_ref());
            tracing::error!(?task, reason, "a task failed");
            panicked(reason)
        });
        let _ = actor.cast(message);
    }))
}

/// What is done beside an actor.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Task {
    // A build's:
    Prepare,
    Pump,
    CollectArtifact,
    Publish,
    // Its project's:
    Decide,
    CompareCommits,
    GiveUpAttempt,
    // The configuration's:
    LoadConfiguration,
    // A watcher's:
    CompareHeads,
    LookAtHooks,
    // The status reporter's:
    SendStatus,
    ShowCommit,
    // The janitor's:
    Sweep,
    Collect,
    Retain,
    WatchDisk,
    // The relay's:
    RelayToRedis,
    // The legacy topics':
    PublishToRedis,
}

/// Above the topmost actor: hears why that ended.
pub struct Above;

impl Actor for Above {
    type Msg = ();
    type State = Option<oneshot::Sender<String>>;
    type Arguments = oneshot::Sender<String>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        failed: oneshot::Sender<String>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(failed))
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        failed: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((_, why)) = failure(&event)
            && let Some(failed) = failed.take()
        {
            let _ = failed.send(why);
        }
        if let SupervisionEvent::ActorFailed(..) | SupervisionEvent::ActorTerminated(..) = event {
            myself.stop(None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    /// Passes on what it hears.
    struct Listener;

    impl Actor for Listener {
        type Msg = String;
        type State = mpsc::UnboundedSender<String>;
        type Arguments = mpsc::UnboundedSender<String>;

        async fn pre_start(
            &self,
            _: ActorRef<String>,
            heard: mpsc::UnboundedSender<String>,
        ) -> Result<Self::State, ActorProcessingErr> {
            Ok(heard)
        }

        async fn handle(
            &self,
            _: ActorRef<String>,
            message: String,
            heard: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            Ok(heard.send(message)?)
        }
    }

    #[tokio::test]
    async fn an_actor_hears_of_its_tasks_end_whatever_that_is() {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let (actor, ended) = Actor::spawn(None, Listener, sender).await.unwrap();
        let mut next = async || {
            let next = tokio::time::timeout(Duration::from_secs(10), heard.recv());
            next.await.expect("it hears of it").unwrap()
        };
        let _task = run(Task::Sweep, &actor, async { "done".to_owned() }, |why| why);
        assert_eq!(next().await, "done");
        let _task = run(Task::Sweep, &actor, async { panic!("no {}", 7) }, |why| why);
        assert_eq!(next().await, "an error of this program: no 7");
        actor.stop(None);
        ended.await.unwrap();
    }
}
