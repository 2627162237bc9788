//! What a supervisor hears of an actor below it that ended though it should not have, and an actor
//! of a task of its own.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use ractor::{ActorCell, ActorRef, Message, SupervisionEvent};
use tokio_util::task::AbortOnDropHandle;

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
    actor: &ActorRef<M>,
    task: impl Future<Output = M> + Send + 'static,
    panicked: impl FnOnce(String) -> M + Send + 'static,
) -> AbortOnDropHandle<()> {
    let actor = actor.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let ended = AssertUnwindSafe(task).catch_unwind().await;
        let message = ended.unwrap_or_else(|panic| panicked(in_words(panic.as_ref())));
        let _ = actor.cast(message);
    }))
}

fn in_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("an error of this program: {}", text.unwrap_or("a panic"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ractor::{Actor, ActorProcessingErr};
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
        let _task = run(&actor, async { "done".to_owned() }, |why| why);
        assert_eq!(next().await, "done");
        let _task = run(&actor, async { panic!("no {}", 7) }, |why| why);
        assert_eq!(next().await, "an error of this program: no 7");
        actor.stop(None);
        ended.await.unwrap();
    }
}
