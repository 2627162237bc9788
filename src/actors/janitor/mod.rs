//! What should be, compared with what is, again and again: containers of builds that are over are
//! removed, and whatever else is left over, finished logs compressed, what is past its retention
//! deleted; and it is known whether Docker answers and whether there is room. A crash anywhere else
//! leaves something for the next round, nothing worse.

mod disk;
mod engine;
mod files;
mod gc;
mod retention;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use self::gc::{Found, gc};
use super::supervision::{self, Task};
use crate::domain::room;
use crate::log;
use crate::service::{Component, DOCKER, Service};

pub struct Janitor;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    Ping,
    Sweep,
    Swept {
        revision: i64,
    },
    /// Remove what crashes left.
    Collect,
    Collected,
    Retain,
    Retained,
    /// Nobody looks any more at how much room is left.
    DiskUnwatched(String),
}

pub type Readiness = watch::Sender<Vec<Component>>;

pub struct Arguments {
    pub service: Arc<Service>,
    pub readiness: Readiness,
}

pub struct State {
    service: Arc<Service>,
    readiness: Readiness,
    /// Changes up to here were seen.
    revision: i64,
    sweeping: Option<AbortOnDropHandle<()>>,
    collecting: Option<AbortOnDropHandle<()>>,
    retaining: Option<AbortOnDropHandle<()>>,
    #[expect(dead_code, reason = "held to be aborted")]
    watching_disk: AbortOnDropHandle<()>,
    /// The version of the engine that answered last.
    engine: Option<String>,
}

const PING_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(15);
const COLLECT_EVERY: Duration = Duration::from_secs(5 * 60);
const RETAIN_EVERY: Duration = Duration::from_secs(3600);

/// Builds looked at in one step; the rest follows at once.
const AT_ONCE: usize = 200;

impl Actor for Janitor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { service, readiness }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        for message in [
            Message::Ping,
            Message::Sweep,
            Message::Collect,
            Message::Retain,
        ] {
            myself.cast(message)?;
        }
        myself.send_interval(PING_EVERY, || Message::Ping);
        myself.send_interval(SWEEP_EVERY, || Message::Sweep);
        myself.send_interval(COLLECT_EVERY, || Message::Collect);
        myself.send_interval(RETAIN_EVERY, || Message::Retain);
        let disk = disk::watch(Arc::clone(&service), readiness.clone());
        let disk = async { match disk.await {} };
        let disk = supervision::run(Task::WatchDisk, &myself, disk, Message::DiskUnwatched);
        Ok(State {
            service,
            readiness,
            revision: 0,
            sweeping: None,
            collecting: None,
            retaining: None,
            watching_disk: disk,
            engine: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Ping => {
                let problem = look_at_docker(&state.service, &mut state.engine)
                    .await
                    .err();
                if problem.is_some() {
                    state.service.metrics.docker_failed("ping");
                }
                let docker = Component {
                    name: DOCKER,
                    problem,
                };
                tell(&state.readiness, docker);
                state.service.look_at_the_clock().await;
            }
            Message::Sweep if state.sweeping.is_some() => {}
            Message::Sweep => {
                let (service, before) = (Arc::clone(&state.service), state.revision);
                let sweep = async move {
                    let mut revision = before;
                    match engine::containers(&service).await {
                        Ok(over) => warn_of(gc::remove(&service, over).await),
                        Err(error) => {
                            tracing::warn!(%error, "cannot look for containers that are over")
                        }
                    }
                    match compress_logs(&service, revision).await {
                        Ok(newest) => revision = newest,
                        Err(error) => tracing::warn!(%error, "cannot compress finished logs"),
                    }
                    Message::Swept { revision }
                };
                let panicked = move |_| Message::Swept { revision: before };
                state.sweeping = Some(supervision::run(Task::Sweep, &myself, sweep, panicked));
            }
            Message::Swept { revision } => {
                state.sweeping = None;
                state.revision = revision;
            }
            Message::Collect if state.collecting.is_some() => {}
            Message::Collect => {
                let service = Arc::clone(&state.service);
                let collect = async move {
                    let mut left_over = gc::left_over(&service).await;
                    left_over.measure().await;
                    let removed = gc::remove(&service, left_over).await;
                    let things = removed.leftovers.len();
                    tracing::debug!(things, "looked for what is left over");
                    warn_of(removed);
                    Message::Collected
                };
                let panicked = |_| Message::Collected;
                state.collecting =
                    Some(supervision::run(Task::Collect, &myself, collect, panicked));
            }
            Message::Collected => state.collecting = None,
            Message::Retain if state.retaining.is_some() => {}
            Message::Retain => {
                let service = Arc::clone(&state.service);
                let retain = async move {
                    retain(&service).await;
                    Message::Retained
                };
                let panicked = |_| Message::Retained;
                state.retaining = Some(supervision::run(Task::Retain, &myself, retain, panicked));
            }
            Message::Retained => state.retaining = None,
            Message::DiskUnwatched(why) => return Err(why.into()),
        }
        Ok(())
    }
}

fn warn_of(Found { problems, .. }: Found) {
    for problem in problems {
        tracing::warn!("{problem}");
    }
}

/// Replaces what was told of the same component before.
fn tell(readiness: &Readiness, component: Component) {
    readiness.send_if_modified(|known| {
        match known.iter_mut().find(|each| each.name == component.name) {
            Some(each) if *each == component => return false,
            Some(each) => *each = component,
            None => known.push(component),
        }
        true
    });
}

async fn retain(service: &Arc<Service>) {
    match retention::find(service).await {
        Ok(past) => {
            let removed = gc::remove(service, past).await;
            let things = removed.leftovers.len();
            if things > 0 {
                tracing::info!(things, "what was past its retention was deleted");
            }
            warn_of(removed);
        }
        Err(error) => tracing::warn!(%error, "cannot look for what is past its retention"),
    }
    if let Err(error) = retention::forget_pushes(service).await {
        tracing::warn!(%error, "cannot forget pushes that matter no more");
    }
    if let Err(error) = retention::forget_the_unwatched(service).await {
        tracing::warn!(%error, "cannot forget repositories that are no longer watched");
    }
    maintain_mirrors(service).await;
}

/// Says once which engine it is. One that was away may come back as another.
async fn look_at_docker(service: &Service, known: &mut Option<String>) -> Result<(), String> {
    if known.is_some() {
        let answer = service.docker.ping().await;
        return answer.map_err(|error| {
            *known = None;
            error.to_string()
        });
    }
    let engine = service
        .docker
        .version()
        .await
        .map_err(|error| error.to_string())?;
    if !is_new_enough(&engine.api) {
        return Err(format!(
            "docker {} is too old: 20.10 is needed, with API 1.41",
            engine.version
        ));
    }
    tracing::info!(
        version = engine.version,
        api = engine.api,
        platform = engine.platform,
        "docker answers"
    );
    if let Ok(false) = service.docker.has_seccomp().await {
        tracing::warn!(
            "docker filters no system calls: a build can reach more of the kernel than it should; \
             see `docker info`, under security options"
        );
    }
    *known = Some(engine.version);
    Ok(())
}

/// API 1.41 came with Docker 20.10. One that cannot be read is a newer one's way to write it.
/// Source: <https://docs.docker.com/reference/api/engine/#api-version-matrix>.
fn is_new_enough(api: &str) -> bool {
    let mut parts = api.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (1, 41),
        _ => true,
    }
}

/// Follows the changes of builds; returns up to where it need not look again.
async fn compress_logs(service: &Arc<Service>, mut revision: i64) -> anyhow::Result<i64> {
    if service.store.lacks_room().is_some() {
        return Ok(revision);
    }
    // The first that had no room: it is looked at again, and what comes after it may need less.
    let mut left = None;
    loop {
        let changed = service.store.changed_since(revision, AT_ONCE).await?;
        let Some(newest) = changed.last().map(|build| build.revision) else {
            return Ok(left.unwrap_or(revision));
        };
        for build in changed.into_iter().filter(|build| build.state.is_end()) {
            let folder = service.logs.folder(&build.id);
            let compressed = tokio::task::spawn_blocking(move || log::compress(&folder)).await?;
            if let Err(error) = compressed.or_else(not_found_is_fine) {
                if room::is_lacking(&error) {
                    left.get_or_insert(build.revision - 1);
                    continue;
                }
                tracing::warn!(build = %build.id, %error, "cannot compress a log");
            }
        }
        revision = newest;
    }
}

/// A build that never left the queue has no log, and one past its retention has none any more.
fn not_found_is_fine<T: Default>(error: io::Error) -> io::Result<T> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(T::default())
    } else {
        Err(error)
    }
}

/// Git packs what fetches leave behind, once there is enough of it.
async fn maintain_mirrors(service: &Service) {
    let mirrored = match service.git.mirrored().await {
        Ok(mirrored) => mirrored,
        Err(error) => return tracing::warn!(%error, "cannot maintain the mirrors"),
    };
    for repository in mirrored {
        if let Err(error) = service.git.maintain(&repository).await {
            tracing::warn!(%repository, %error, "cannot maintain a mirror");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_before_20_10_are_too_old() {
        for (api, expected) in [
            ("1.40", false),
            ("1.41", true),
            ("1.48", true),
            ("2.0", true),
            ("unknown", true),
        ] {
            assert_eq!(is_new_enough(api), expected, "{api}");
        }
    }
}
