//! Panics on demand, for the stories: what becomes of the service when an actor or a task of it
//! fails. `AUTOBUILDER_FAULTS` names a file of lines such as `janitor.Sweep once`; it is read
//! each time that something of these names begins, and a line that says `once` and not `always` is
//! removed when it strikes.

use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use strum::VariantNames;

use super::supervision::Task;

#[cfg(not(debug_assertions))]
compile_error!("the feature `faults` is for tests: a release is built without it");

static FILE: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("AUTOBUILDER_FAULTS").map(PathBuf::from));

/// Of an actor beside its messages.
const START: &str = "start";
const SUPERVISE: &str = "supervise";

/// Everything that can be armed.
fn points() -> Vec<String> {
    fn of<M: VariantNames>(supervises: bool) -> impl Iterator<Item = String> {
        let also = supervises.then_some(SUPERVISE);
        let handlers = M::VARIANTS.iter().copied().chain([START]).chain(also);
        handlers.map(|handler| format!("{}.{handler}", module::<M>()))
    }
    let tasks = Task::VARIANTS.iter().map(|task| format!("task.{task}"));
    of::<super::root::Message>(true)
        .chain(of::<super::configuration::Message>(false))
        .chain(of::<super::watchers::Message>(true))
        .chain(of::<super::watcher::Message>(false))
        .chain(of::<super::projects::Message>(true))
        .chain(of::<super::project::Message>(true))
        .chain(of::<super::build::Message>(false))
        .chain(of::<super::reporter::Message>(false))
        .chain(of::<super::janitor::Message>(false))
        .chain(of::<super::redis::relay::Message>(false))
        .chain(of::<super::redis::legacy_topics::Message>(false))
        .chain(tasks)
        .collect()
}

/// The stories compare this with what they cover.
pub fn announce() {
    if FILE.is_some() {
        tracing::info!(points = points().join(" "), "faults can be armed");
    }
}

/// Panics if that is armed.
pub fn strike(who: &str, what: &str) {
    let Some(file) = &*FILE else { return };
    let point = format!("{who}.{what}");
    assert!(points().contains(&point), "{point} is missing in points()");
    if is_armed(file, &point) {
        panic!("a fault was armed: {point}");
    }
}

fn is_armed(file: &PathBuf, point: &str) -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(file).unwrap_or_default();
    let words = |line: &str| {
        line.split_once(' ')
            .map(|(point, often)| (point.to_owned(), often.to_owned()))
    };
    let armed = text
        .lines()
        .find(|line| words(line).is_some_and(|(armed, _)| armed == point));
    let Some(armed) = armed else { return false };
    if armed.ends_with(" once") {
        let rest: String = text
            .split_inclusive('\n')
            .filter(|line| line.trim_end() != armed)
            .collect();
        fs::write(file, rest).expect("the file of AUTOBUILDER_FAULTS can be written");
    }
    true
}

/// An actor or its message is known by the name of its module.
fn module<T>() -> &'static str {
    std::any::type_name::<T>()
        .rsplit("::")
        .nth(1)
        .unwrap_or_default()
}

pub async fn spawn<A>(
    actor: A,
    arguments: A::Arguments,
    supervisor: ActorCell,
) -> Result<ActorRef<A::Msg>, SpawnErr>
where
    A: Actor,
    for<'a> &'a A::Msg: Into<&'static str>,
{
    let (actor, ended) = Actor::spawn_linked(None, Faulty(actor), arguments, supervisor).await?;
    super::supervision::track(ended);
    Ok(actor)
}

struct Faulty<A>(A);

impl<A> Actor for Faulty<A>
where
    A: Actor,
    for<'a> &'a A::Msg: Into<&'static str>,
{
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        strike(module::<A>(), START);
        self.0.pre_start(myself, arguments).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        strike(module::<A>(), (&message).into());
        self.0.handle(myself, message, state).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        // Not when it hears that an actor has started or ended well.
        if super::supervision::failure(&event).is_some() {
            strike(module::<A>(), SUPERVISE);
        }
        self.0.handle_supervisor_evt(myself, event, state).await
    }
}
