//! One build, from its place to its end: a state machine that owns the build's container and its
//! log. Whatever takes long runs in a task beside it that casts its result back, so that a
//! cancellation is heard at once. The task dies with the actor.
//!
//! ```text
//! state        its task   the message that ends it
//! preparing    prepare    Prepared: the container is created
//! building     pump       ScriptEnded, after a Chunk for each piece of output
//! collecting   collect    Collected: the artifact is on the disk
//! publishing   publish    Published: its names are there, and the build has succeeded
//! ```
//!
//! A task that fails, a lost container, and an [`Interruption`] (which comes too late for what is
//! being published) lead to an end or back to the queue, as [`ending`] tells.
//!
//! The actor is never restarted. What it has done is in the store, the log and the container, and
//! [`go_on`](Machine::go_on) begins from there, after a restart of the service as well.

mod away;
mod base;
mod collect;
mod ending;
pub mod plan;
mod prepare;
mod publish;
mod pump;
pub mod verdict;

use std::fmt;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio_util::task::AbortOnDropHandle;

use self::pump::Chunk;
use super::log::Log;
use super::project;
use super::projects::CancelError;
use super::supervision::{self, Task};
use crate::adapters::docker::Outcome;
use crate::domain::build::{Artifact, Build, State, Work};
use crate::domain::recipe::Recipe;
use crate::domain::time::Timestamp;
use crate::log::LogWriter;
use crate::service::Service;
use crate::store::{Facts, StoreError, Transition};

pub use self::ending::give_up_attempt;

pub struct BuildActor;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// A line of the service's own for the log.
    Note(String),
    Prepared(Result<prepare::Prepared, Failure>),
    /// The image that it is to be built upon is gone.
    NoBase(base::Missing),
    Chunk(Chunk),
    /// The spool is full: what the script writes from now on is counted and dropped.
    LimitReached,
    /// The script has ended and all its output has come before this.
    ScriptEnded(Outcome),
    /// The container no longer runs, and its script's end is not known.
    ContainerLost(String),
    Collected(Result<Artifact, Failure>),
    Published(Result<(), Failure>),
    /// By hand, by a newer push, or by a watchdog.
    Interrupt(Interruption),
    /// A killed container has had its time to give the rest of its log.
    StopWaiting,
    /// A task of it panicked: the attempt is lost, as when the actor does.
    TaskFailed(String),
}

/// A build that is to end before it would by itself.
pub struct Interruption {
    pub state: State,
    pub reason: String,
    pub reply: Option<RpcReplyPort<Result<(), CancelError>>>,
}

/// Why a build cannot go on: whose fault, and one line for people.
#[derive(Debug)]
pub struct Failure {
    /// [`State::Failed`] or [`State::Errored`].
    pub state: State,
    pub reason: String,
}

impl Failure {
    pub fn failed(reason: impl fmt::Display) -> Self {
        Self {
            state: State::Failed,
            reason: reason.to_string(),
        }
    }

    pub fn errored(reason: impl fmt::Display) -> Self {
        Self {
            state: State::Errored,
            reason: reason.to_string(),
        }
    }
}

pub struct Arguments {
    pub service: Arc<Service>,
    /// In `preparing`, unless it is taken over.
    pub build: Build,
    /// What the log is to say first.
    pub note: Option<String>,
    pub project: ActorRef<project::Message>,
}

pub struct Machine {
    service: Arc<Service>,
    build: Build,
    recipe: Arc<Recipe>,
    project: ActorRef<project::Message>,
    log: Log,
    /// Preparing, following, collecting or publishing.
    work: Option<AbortOnDropHandle<()>>,
    watchdogs: Vec<AbortOnDropHandle<()>>,
    interruption: Option<Interruption>,
}

impl Actor for BuildActor {
    type Msg = Message;
    type State = Machine;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments {
            service,
            build,
            note,
            project,
        }: Arguments,
    ) -> Result<Machine, ActorProcessingErr> {
        let log = Log::open(&service, &build).await?;
        let Work::Script(recipe) = &build.work else {
            return Err(format!("build {} runs no script", build.id).into());
        };
        let mut machine = Machine {
            service,
            recipe: Arc::clone(recipe),
            build,
            project,
            log,
            work: None,
            watchdogs: Vec::new(),
            interruption: None,
        };
        if let Some(note) = note {
            machine.log.note(note).await?;
        }
        machine.go_on(&myself)?;
        Ok(machine)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        machine: &mut Machine,
    ) -> Result<(), ActorProcessingErr> {
        if !machine.build.state.is_running() {
            // It has left; what was still under way comes too late.
            return Ok(());
        }
        if let Message::TaskFailed(why) = message {
            return Err(why.into());
        }
        if let Err(error) = machine.handle(&myself, message).await {
            let reason = format!("{error:#}");
            tracing::error!(build = %machine.build.id, error = %reason, "a build cannot go on");
            machine.end(&myself, State::Errored, reason).await?;
        }
        Ok(())
    }
}

impl Machine {
    /// Begins the work of the state that the build is in: when it has come there, and again after
    /// a restart of the service.
    fn go_on(&mut self, myself: &ActorRef<Message>) -> anyhow::Result<()> {
        match self.build.state {
            State::Preparing => self.run(Task::Prepare, myself, prepare::prepare),
            State::Building => {
                let offset = self.log.spool_offset();
                self.run(Task::Pump, myself, move |service, build, _, myself| {
                    pump::pump(service, build, offset, myself)
                });
                self.watchdogs = pump::watchdogs(&self.service, &self.build, &self.recipe, myself);
            }
            State::Collecting => self.run(Task::CollectArtifact, myself, collect::collect),
            State::Publishing => self.run(Task::Publish, myself, publish::publish),
            other => anyhow::bail!("a build that is {other} has nothing to do"),
        }
        Ok(())
    }

    fn run<Work: Future<Output = Message> + Send + 'static>(
        &mut self,
        task: Task,
        myself: &ActorRef<Message>,
        work: impl FnOnce(Arc<Service>, Build, Arc<Recipe>, ActorRef<Message>) -> Work,
    ) {
        let work = work(
            Arc::clone(&self.service),
            self.build.clone(),
            Arc::clone(&self.recipe),
            myself.clone(),
        );
        self.work = Some(supervision::run(task, myself, work, Message::TaskFailed));
    }

    async fn handle(&mut self, myself: &ActorRef<Message>, message: Message) -> anyhow::Result<()> {
        match message {
            Message::Note(line) => self.log.note(line).await,
            Message::Prepared(Ok(prepared)) => self.start_script(myself, prepared).await,
            Message::NoBase(missing) => self.base_is_missing(myself, missing).await,
            Message::Chunk(chunk) => self.append(chunk).await,
            Message::LimitReached => self.note_limit().await,
            Message::ScriptEnded(end) => self.script_ended(myself, end).await,
            Message::ContainerLost(how) => self.container_lost(myself, how).await,
            Message::Collected(Ok(artifact)) => self.collected(myself, artifact).await,
            Message::Published(Ok(())) => self.end(myself, State::Succeeded, None).await,
            Message::Prepared(Err(failure))
            | Message::Collected(Err(failure))
            | Message::Published(Err(failure)) => {
                self.end(myself, failure.state, failure.reason).await
            }
            Message::Interrupt(interruption) => self.interrupt(myself, interruption).await,
            Message::StopWaiting => match self.interruption.take() {
                Some(interruption) => self.end_interrupted(myself, interruption).await,
                None => Ok(()),
            },
            Message::TaskFailed(why) => anyhow::bail!(why),
        }
    }

    async fn start_script(
        &mut self,
        myself: &ActorRef<Message>,
        prepared: prepare::Prepared,
    ) -> anyhow::Result<()> {
        self.log
            .note(format!("running {}", self.build.script()))
            .await?;
        // From here on the container counts: after a crash it is looked for and followed, and
        // started if that did not happen yet.
        let known = Facts {
            image: Some(prepared.image),
            container: Some(prepared.container),
            base: prepared.base,
            ..Facts::default()
        };
        self.become_(State::Building, None, known).await?;
        self.go_on(myself)
    }

    /// The runner keeps to `max_log`, but the script is root beside it and can write to the spool.
    async fn append(&mut self, mut chunk: Chunk) -> anyhow::Result<()> {
        let max_log = self.service.config.borrow().builds.max_log;
        let room = max_log.saturating_sub(chunk.offset);
        if (chunk.bytes.len() as u64) > room {
            chunk
                .bytes
                .truncate(usize::try_from(room).unwrap_or(usize::MAX));
            if chunk.bytes.is_empty() {
                return self.note_limit().await;
            }
        }
        self.service
            .metrics
            .log_bytes
            .inc_by(chunk.bytes.len() as u64);
        // The permit is dropped with the chunk, once its bytes are in the log.
        let append = move |log: &mut LogWriter| log.append(chunk.time, chunk.offset, &chunk.bytes);
        self.log.write(append).await
    }

    /// Said again by each follower that comes to the end of a full spool.
    async fn note_limit(&mut self) -> anyhow::Result<()> {
        let limit = bytesize::ByteSize(self.service.config.borrow().builds.max_log);
        let line = format!(
            "max_log ({limit}) is reached: the script goes on, its further output is not kept"
        );
        self.log.write(move |log| log.note_once(&line)).await
    }

    async fn script_ended(
        &mut self,
        myself: &ActorRef<Message>,
        end: Outcome,
    ) -> anyhow::Result<()> {
        if let Some(interruption) = self.interruption.take() {
            return self.end_interrupted(myself, interruption).await;
        }
        self.watchdogs.clear();
        if let Some(error) = end.spool_error {
            // Whatever the script came to, nobody could see how.
            let reason = verdict::without_output(error, self.build.script());
            return self.end(myself, State::Errored, reason).await;
        }
        if end.dropped > 0 {
            self.log
                .note(format!(
                    "max_log was reached: {} of the script's output are not kept",
                    bytesize::ByteSize(end.dropped)
                ))
                .await?;
        }
        let took = self.building_for();
        let verdict = verdict::of(
            &end,
            &plan::Limits::of(&self.service.config.borrow(), &self.recipe),
        );
        let code = verdict::exit_code(end.exit);
        self.build.exit_code = Some(code);
        match verdict {
            Ok(()) => {
                self.log
                    .note(format!("{} ended well after {took}", self.build.script()))
                    .await?;
                let known = Facts {
                    exit_code: Some(code),
                    ..Facts::default()
                };
                self.become_(State::Collecting, None, known).await?;
                self.go_on(myself)
            }
            Err(why) => {
                let reason = format!("{why} after {took}, in {}", self.build.script());
                self.end(myself, State::Failed, reason).await
            }
        }
    }

    async fn collected(
        &mut self,
        myself: &ActorRef<Message>,
        artifact: Artifact,
    ) -> anyhow::Result<()> {
        let size = bytesize::ByteSize(artifact.size);
        self.log
            .note(format!(
                "artifact {}: {size}, sha256 {}",
                artifact.name, artifact.sha256
            ))
            .await?;
        let known = Facts {
            artifact: Some(artifact),
            ..Facts::default()
        };
        self.become_(State::Publishing, None, known).await?;
        self.go_on(myself)
    }

    async fn become_(
        &mut self,
        to: State,
        reason: Option<String>,
        known: Facts,
    ) -> anyhow::Result<()> {
        let known = Facts {
            log: Some(self.log.summary()),
            ..known
        };
        self.build = transition(&self.service, &self.build, to, reason, known).await?;
        Ok(())
    }

    fn container_name(&self) -> String {
        plan::container_name(&self.service.config.borrow(), &self.build.id)
    }

    fn building_for(&self) -> String {
        verdict::span(
            Timestamp::now().since(self.build.building_since().unwrap_or(self.build.queued)),
        )
    }
}

/// Stores that a build has come to its next state, and says so. From here the reason goes to pages,
/// to GitHub and to Redis: a script that names a file after a secret would put it there.
///
/// # Errors
/// Those of [`Store::transition`](crate::store::Store::transition).
pub async fn transition(
    service: &Service,
    build: &Build,
    to: State,
    reason: Option<String>,
    known: Facts,
) -> Result<Build, StoreError> {
    let masker = plan::masker(&service.config.borrow(), Some(build));
    let masked = |reason: String| masker.mask_text(&reason);
    let transition = Transition {
        build: build.id.clone(),
        to,
        reason: reason.map(masked),
        known,
    };
    let build = service.store.transition(transition).await?;
    let Build {
        id,
        repository,
        commit,
        state,
        reason,
        attempt,
        ..
    } = &build;
    let kind = build.kind().as_str();
    tracing::info!(build = %id, kind, %repository, sha = %commit, %state, reason, attempt, "build moved on");
    Ok(build)
}
