//! What should be, compared with what is, again and again: containers of builds that are over are
//! removed, finished logs compressed, what is past its retention deleted, and it is known whether
//! Docker answers. A crash anywhere else leaves something for the next round, nothing worse.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::adapters::docker::OurContainer;
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;
use crate::log;
use crate::service::{Component, Service};

pub struct Janitor;

pub enum Message {
    Ping,
    Sweep,
    Swept { revision: i64 },
    Retain,
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
    retaining: Option<AbortOnDropHandle<()>>,
    /// The version of the engine that answered last.
    engine: Option<String>,
}

const PING_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(15);
const RETAIN_EVERY: Duration = Duration::from_secs(3600);

/// So long deliveries are known, pushes of which nothing else is left, and repositories that are no
/// longer watched. GitHub delivers again what is up to 3 days old, GitHub Enterprise Server 7.
/// Source: <https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks>.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

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
        for message in [Message::Ping, Message::Sweep, Message::Retain] {
            myself.cast(message)?;
        }
        myself.send_interval(PING_EVERY, || Message::Ping);
        myself.send_interval(SWEEP_EVERY, || Message::Sweep);
        myself.send_interval(RETAIN_EVERY, || Message::Retain);
        Ok(State {
            service,
            readiness,
            revision: 0,
            sweeping: None,
            retaining: None,
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
                    name: "docker",
                    problem,
                };
                state.readiness.send_if_modified(|known| {
                    let changed = known.iter().all(|component| *component != docker);
                    known.retain(|component| component.name != docker.name);
                    known.push(docker);
                    changed
                });
            }
            Message::Sweep if state.sweeping.is_some() => {}
            Message::Sweep => {
                let (service, mut revision) = (Arc::clone(&state.service), state.revision);
                state.sweeping = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                    if let Err(error) = remove_containers(&service).await {
                        tracing::warn!(%error, "cannot remove containers that are over");
                    }
                    match compress_logs(&service, revision).await {
                        Ok(newest) => revision = newest,
                        Err(error) => tracing::warn!(%error, "cannot compress finished logs"),
                    }
                    let _ = myself.cast(Message::Swept { revision });
                })));
            }
            Message::Swept { revision } => {
                state.sweeping = None;
                state.revision = revision;
            }
            Message::Retain => {
                let service = Arc::clone(&state.service);
                state.retaining = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                    if let Err(error) = retain(&service).await {
                        tracing::warn!(%error, "cannot delete what is past its retention");
                    }
                    if let Err(error) = forget_the_unwatched(&service).await {
                        tracing::warn!(%error, "cannot forget repositories that are no longer watched");
                    }
                    maintain_mirrors(&service).await;
                })));
            }
        }
        Ok(())
    }
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

/// Ours, by the label of this data directory; those of builds that wait or run are theirs.
async fn remove_containers(service: &Service) -> anyhow::Result<()> {
    let containers = service.docker.list_ours(service.store.instance()).await?;
    let mut builds = Vec::new();
    for container in containers {
        // Only we set our labels; a container without a build's id is not one of ours after all.
        if let Some(Ok(build)) = container.build.as_deref().map(str::parse::<BuildId>) {
            builds.push((build, container));
        }
    }
    let over = service
        .store
        .not_unfinished(builds.iter().map(|(build, _)| build.clone()).collect())
        .await?;
    for (build, container) in builds.into_iter().filter(|(build, _)| over.contains(build)) {
        let OurContainer {
            name,
            attempt,
            running,
            ..
        } = &container;
        tracing::info!(container = name, %build, attempt, running, "removing a left-over container");
        service.docker.remove(&container.id).await?;
    }
    Ok(())
}

/// Follows the changes of builds; returns how far it came.
async fn compress_logs(service: &Arc<Service>, mut revision: i64) -> anyhow::Result<i64> {
    loop {
        let changed = service.store.changed_since(revision, AT_ONCE).await?;
        let Some(newest) = changed.last().map(|build| build.revision) else {
            return Ok(revision);
        };
        for build in changed.into_iter().filter(|build| build.state.is_end()) {
            let folder = service.logs.folder(&build.id);
            let compressed = tokio::task::spawn_blocking(move || log::compress(&folder)).await?;
            if let Err(error) = compressed.or_else(not_found_is_fine) {
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

async fn retain(service: &Service) -> anyhow::Result<()> {
    let retention = service.config.borrow().retention.clone();
    let reported = service.reports_statuses();
    loop {
        let builds = service
            .store
            .builds_beyond(retention.builds, reported, AT_ONCE)
            .await?;
        if builds.is_empty() {
            break;
        }
        for build in &builds {
            // Files first: a row without files shows what is missing, files without a row are lost.
            tokio::fs::remove_dir_all(service.logs.folder(build))
                .await
                .or_else(not_found_is_fine)?;
        }
        tracing::info!(
            count = builds.len(),
            "builds past their retention were deleted"
        );
        service.store.forget_builds(builds).await?;
    }
    let now = Timestamp::now().as_millis();
    let before =
        |age: Duration| Timestamp::from_millis(now - i64::try_from(age.as_millis()).unwrap_or(now));
    loop {
        let builds = service
            .store
            .builds_with_artifacts_before(before(retention.artifacts), AT_ONCE)
            .await?;
        if builds.is_empty() {
            break;
        }
        for build in builds {
            tokio::fs::remove_dir_all(service.logs.artifacts(&build))
                .await
                .or_else(not_found_is_fine)?;
            service.store.forget_artifacts(build).await?;
        }
    }
    loop {
        let builds = service
            .store
            .builds_with_logs_before(before(retention.logs), AT_ONCE)
            .await?;
        if builds.is_empty() {
            break;
        }
        for build in builds {
            let folder = service.logs.folder(&build);
            tokio::task::spawn_blocking(move || log::delete(&folder)).await??;
            service.store.forget_log(build).await?;
        }
    }
    forget_pushes(service).await
}

async fn forget_pushes(service: &Service) -> anyhow::Result<()> {
    let time = Timestamp::now().before(KNOWN_FOR);
    service.store.forget_deliveries(time).await?;
    loop {
        let pushes = service.store.unused_pushes(time, AT_ONCE).await?;
        if pushes.is_empty() {
            return Ok(());
        }
        service.store.forget_pushes(pushes).await?;
    }
}

/// Heads and mirrors of repositories whose pushes have not mattered for long. Should one come back,
/// `first_sight` is asked about it again: nobody knows what was pushed meanwhile.
async fn forget_the_unwatched(service: &Service) -> anyhow::Result<()> {
    // Until the configuration is known, nothing is known to be unwatched.
    if service.loaded.borrow().is_none() {
        return Ok(());
    }
    let watched = {
        let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
        let tracking = config.tracking(&catalog);
        tracking.repositories().into_iter().cloned().collect()
    };
    let mirrored = service.git.mirrored().await?;
    let time = Timestamp::now().before(KNOWN_FOR);
    let unwatched = service.store.long_unwatched(watched, mirrored, time);
    for repository in unwatched.await? {
        service.git.remove(&repository).await?;
        service.store.forget_repository(repository.clone()).await?;
        tracing::info!(%repository, "not watched for 30 days: its heads and its mirror were removed");
    }
    Ok(())
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
