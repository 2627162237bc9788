//! One repository, looked after: what git says of its heads is compared with what was last heard,
//! and what GitHub says of its webhooks with what they should be. Levels, not edges: a push or a
//! webhook that was lost is found by the next look.

mod heads;
pub mod hooks;

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::root;
use super::supervision::{self, Task};
use crate::domain::names::RepositoryName;
use crate::service::Service;

pub struct Watcher;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    Compare,
    /// With what went wrong.
    Compared(Option<String>),
    LookAtHooks,
    LookedAtHooks(hooks::Memory, Duration),
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub repository: RepositoryName,
    pub root: ActorRef<root::Message>,
    pub turns: Turns,
}

/// A thousand repositories are not asked about at one moment. Apart for each server: a GitHub that
/// does not answer delays no comparison.
#[derive(Clone)]
pub struct Turns {
    pub heads: Arc<Semaphore>,
    pub hooks: Arc<Semaphore>,
}

pub struct State {
    arguments: Arc<Arguments>,
    comparison: Option<AbortOnDropHandle<()>>,
    /// Asked for while a comparison ran, which may have been past what is asked about.
    again: bool,
    /// Why the last comparison failed.
    problem: Option<String>,
    next: Option<AbortOnDropHandle<()>>,
    /// `None` while they are looked at.
    hooks: Option<hooks::Memory>,
    hooks_again: bool,
    looking: Option<AbortOnDropHandle<()>>,
}

impl Actor for Watcher {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Message::Compare)?;
        myself.cast(Message::LookAtHooks)?;
        Ok(State {
            arguments: Arc::new(arguments),
            comparison: None,
            again: false,
            problem: None,
            next: None,
            hooks: Some(hooks::Memory::default()),
            hooks_again: false,
            looking: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Compare if state.comparison.is_some() => state.again = true,
            Message::Compare => {
                let arguments = Arc::clone(&state.arguments);
                let task = async move { Message::Compared(heads::compare(&arguments).await) };
                let panicked = |why| Message::Compared(Some(why));
                state.comparison = Some(supervision::run(
                    Task::CompareHeads,
                    &myself,
                    task,
                    panicked,
                ));
            }
            Message::Compared(problem) => {
                state.comparison = None;
                state.compared(problem);
                if std::mem::take(&mut state.again) {
                    myself.cast(Message::Compare)?;
                    return Ok(());
                }
                let pause = state
                    .arguments
                    .service
                    .config
                    .borrow()
                    .github
                    .reconcile_every;
                state.next = Some(later(pause, &myself, || Message::Compare));
            }
            Message::LookAtHooks => {
                let Some(memory) = state.hooks.take() else {
                    state.hooks_again = true;
                    return Ok(());
                };
                let arguments = Arc::clone(&state.arguments);
                let task = async move {
                    let (memory, pause) = hooks::look(&arguments, memory).await;
                    Message::LookedAtHooks(memory, pause)
                };
                let panicked =
                    |_| Message::LookedAtHooks(hooks::Memory::default(), hooks::LOOK_EVERY);
                state.looking = Some(supervision::run(Task::LookAtHooks, &myself, task, panicked));
            }
            Message::LookedAtHooks(memory, pause) => {
                state.hooks = Some(memory);
                let pause = match std::mem::take(&mut state.hooks_again) {
                    true => Duration::ZERO,
                    false => pause,
                };
                state.looking = Some(later(pause, &myself, || Message::LookAtHooks));
            }
        }
        Ok(())
    }
}

impl State {
    /// Said once, and again when it is another problem.
    fn compared(&mut self, problem: Option<String>) {
        let repository = &self.arguments.repository;
        match &problem {
            _ if problem == self.problem => {}
            Some(problem) => tracing::warn!(%repository, "cannot compare heads: {problem}"),
            None => tracing::info!(%repository, "its heads are compared again"),
        }
        self.problem = problem;
    }
}

fn later(
    pause: Duration,
    myself: &ActorRef<Message>,
    message: fn() -> Message,
) -> AbortOnDropHandle<()> {
    let myself = myself.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        let _ = myself.cast(message());
    }))
}
