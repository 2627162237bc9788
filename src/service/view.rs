//! A build as the outside sees it: the one place where the domain's build becomes JSON.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Service, Standstill};
use crate::config::ServiceConfig;
use crate::domain::build::{Build, Cause, CommitStatus, Kind, State};
use crate::domain::kernel::Base;
use crate::domain::names::{ArtifactName, BuildId};
use crate::domain::push::Commit;
use crate::domain::time::Timestamp;
use crate::store::{Delivery, Result, Usual, Waiting};

/// A build.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Build")]
pub struct BuildView {
    #[schema(example = "0v3c5k2m9x1a")]
    pub id: String,
    /// `owner/name`.
    #[schema(example = "acme/hello")]
    pub repository: String,
    /// The branch, or the name of the git tag that was pushed.
    #[schema(example = "main")]
    pub branch: String,
    /// `refs/heads/…` or `refs/tags/…`.
    #[serde(rename = "ref")]
    #[schema(example = "refs/heads/main")]
    pub reference: String,
    /// 40 hexadecimal digits.
    pub commit: String,
    /// Path of the script in the repository; `configuration` for a load of the configuration.
    #[schema(example = "autobuild/build.sh")]
    pub script: String,
    /// The recipe's tag.
    pub tag: Option<String>,
    pub kind: Kind,
    pub cause: Cause,
    pub state: State,
    /// Why it stands where it stands, in one line.
    pub reason: Option<String>,
    /// What a queued build waits for, in one line.
    #[schema(example = "waits for a free place (2 of 2)")]
    pub waiting: Option<String>,
    /// Its way so far.
    pub steps: Vec<StepView>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub queued: Timestamp,
    /// When its newest attempt left the queue.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// 2 after it lost its container once.
    pub attempt: u32,
    /// Of the script, once it has ended.
    pub exit_code: Option<i32>,
    pub image: Option<String>,
    /// What an incremental kernel was built upon, and why.
    pub base: Option<Base>,
    /// Id of the container.
    pub container: Option<String>,
    /// Null for a load of the configuration, which runs in no container, and for an imported build,
    /// which ran under limits that are not known.
    pub limits: Option<LimitsView>,
    pub log: LogView,
    pub artifacts: Vec<ArtifactView>,
    /// Newest last.
    pub commits: Vec<Commit>,
    /// How far GitHub has been told. Null where a newer build of the same script and commit speaks
    /// for both, and where the service has no credential for GitHub.
    pub status: Option<StatusView>,
    /// How long its script usually takes. Null where it has never succeeded, and for a load of the
    /// configuration.
    pub usual: Option<UsualView>,
    /// Its page in the monitor.
    pub url: String,
}

/// How far GitHub has been told of a build.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Status")]
pub struct StatusView {
    /// Under which name it is listed on the commit.
    #[schema(example = "autobuilder/build.sh")]
    pub context: String,
    /// What GitHub is to show.
    pub state: CommitStatus,
    /// When GitHub took it; null: it waits, or was given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub reported: Option<Timestamp>,
    /// How often it was sent.
    pub attempts: u32,
    /// Why GitHub does not show it, in one line.
    pub problem: Option<String>,
    /// When it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
    /// GitHub refuses it for good; it is not sent any more.
    pub given_up: bool,
}

/// How long builds of a script usually take: the median over the newest builds, at most 10, of the
/// same repository, ref, script and tag that succeeded; where there is none, of any ref.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Usual")]
pub struct UsualView {
    /// Seconds from when it leaves the queue to its end.
    #[schema(example = 245.0)]
    pub total: f64,
    /// Seconds in each state between the queue and the end.
    pub steps: BTreeMap<State, f64>,
}

impl UsualView {
    fn of(usual: &Usual) -> Self {
        let seconds = |millis: f64| millis / 1000.0;
        let steps = usual.steps.iter();
        Self {
            total: seconds(usual.total),
            steps: steps.map(|&(step, took)| (step, seconds(took))).collect(),
        }
    }
}

/// A stay in one state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Step")]
pub struct StepView {
    /// The state.
    pub name: State,
    pub attempt: u32,
    #[schema(value_type = String, format = DateTime)]
    pub started: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// The line of the log at which it began; the first is 1.
    pub line: u64,
}

/// What the build may use: what its recipe says, else the service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Limits")]
pub struct LimitsView {
    /// Bytes.
    pub memory: u64,
    /// Cores' worth of time; null: all there are.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: u64,
    /// Seconds from the start of the script.
    pub timeout: u64,
}

/// How long the log is so far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "LogLength")]
pub struct LogView {
    pub bytes: u64,
    pub lines: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Artifact")]
pub struct ArtifactView {
    #[schema(example = "result.tar.gz")]
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    pub url: String,
}

/// Builds, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "BuildList")]
pub struct BuildListView {
    pub builds: Vec<BuildView>,
    /// The value of `before` for the next page; null on the last one.
    pub next: Option<String>,
}

/// Builds that a request caused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Caused")]
pub struct CausedView {
    pub builds: Vec<CausedBuildView>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "CausedBuild")]
pub struct CausedBuildView {
    pub id: String,
    pub url: String,
}

impl CausedView {
    pub fn of(builds: &[BuildId], config: &ServiceConfig) -> Self {
        let builds = builds
            .iter()
            .map(|build| CausedBuildView {
                id: build.to_string(),
                url: config.build_url(build),
            })
            .collect();
        Self {
            builds,
            reason: None,
        }
    }

    pub fn none(reason: impl Into<String>) -> Self {
        Self {
            builds: Vec::new(),
            reason: Some(reason.into()),
        }
    }
}

/// Builds as JSON, with what is known of them at this moment beside the store.
pub async fn views(service: &Service, builds: Vec<Build>) -> Result<Vec<BuildView>> {
    let config = Arc::clone(&service.config.borrow());
    let waiting = service.store.waiting(&builds).await?;
    let mut usual = service.store.usual(&builds).await?;
    let missing = service.missing_for_builds();
    let standstills = service.standstills.borrow().clone();
    let mut deliveries = match service.reports_statuses() {
        true => service.store.deliveries(&builds).await?,
        false => HashMap::new(),
    };
    let views = builds
        .into_iter()
        .map(|build| {
            let log = log_length(service, &build);
            let waits_for = standstills
                .get(&build.repository)
                .and_then(|standstill| stands_still(&build, standstill))
                .or_else(|| waits_for(&build, &waiting, missing.as_deref(), &config));
            let status = deliveries
                .remove(&build.id)
                .map(|delivery| status(service, &build, delivery));
            let usual = usual.remove(&build.id).map(|usual| UsualView::of(&usual));
            view(build, &config, log, waits_for, status, usual)
        })
        .collect();
    Ok(views)
}

/// A running build's row tells of the length at its last transition; the log itself knows better.
fn log_length(service: &Service, build: &Build) -> LogView {
    let written = match build.state.is_end() {
        true => None,
        false => service.logs.watch(&build.id).map(|mark| *mark.borrow()),
    };
    match written {
        Some(mark) => LogView {
            bytes: mark.bytes,
            lines: mark.lines,
        },
        None => LogView {
            bytes: build.log_bytes,
            lines: build.log_lines,
        },
    }
}

/// A status that waits need not have been tried: what stopped another stops it too.
fn status(service: &Service, build: &Build, delivery: Delivery) -> StatusView {
    let is_waiting = delivery.reported.is_none() && !delivery.given_up;
    let obstacle = service
        .obstacle_to(&build.repository)
        .filter(|_| is_waiting);
    let (problem, until) = match obstacle {
        Some(obstacle) => (Some(obstacle.problem), Some(obstacle.until)),
        None => (delivery.problem, None),
    };
    let not_before = (is_waiting && delivery.attempts > 0).then_some(delivery.not_before);
    StatusView {
        context: delivery.context,
        state: delivery.state,
        reported: delivery.reported,
        attempts: delivery.attempts,
        problem,
        next_try: until.max(not_before),
        given_up: delivery.given_up,
    }
}

/// Also of one that was running: nobody follows it meanwhile.
fn stands_still(build: &Build, Standstill { problem, until }: &Standstill) -> Option<String> {
    let is_in_its_queue = !build.state.is_end() && build.recipe().is_some();
    is_in_its_queue.then(|| {
        format!("waits until {until}, when its repository's queue is tried again: it failed again and again, at last: {problem}")
    })
}

fn waits_for(
    build: &Build,
    waiting: &Waiting,
    missing: Option<&str>,
    config: &ServiceConfig,
) -> Option<String> {
    if build.state != State::Queued {
        return None;
    }
    match waiting.ahead.get(&build.id) {
        Some(State::Queued) => Some("waits for an earlier push of its branch".to_owned()),
        Some(_) => Some("waits for its branch's running build".to_owned()),
        // A load of the configuration needs no place.
        None if build.recipe().is_none() => None,
        None if let Some(base) = waiting.bases.get(&build.id) => {
            Some(format!("waits for build {base}, which makes its base"))
        }
        None if let Some(missing) = missing => Some(missing.to_owned()),
        None => {
            let places = config.builds.concurrency;
            if waiting.running >= places {
                let running = waiting.running;
                Some(format!("waits for a free place ({running} of {places})"))
            } else {
                // With free places, only this takes time: git may have to fetch.
                let filtered = "waits for git to tell which files its push changed";
                build.is_filtered().then(|| filtered.to_owned())
            }
        }
    }
}

fn view(
    build: Build,
    config: &ServiceConfig,
    log: LogView,
    waiting: Option<String>,
    status: Option<StatusView>,
    usual: Option<UsualView>,
) -> BuildView {
    let is_imported = matches!(build.cause, Cause::Imported { .. });
    let recipe = build.recipe().filter(|_| !is_imported);
    let limits = recipe.map(|recipe| LimitsView {
        memory: recipe.memory.unwrap_or(config.docker.memory),
        cpus: recipe.cpus.or(config.docker.cpus),
        pids: config.docker.pids,
        timeout: recipe.timeout.unwrap_or(config.builds.timeout).as_secs(),
    });
    let steps = build
        .steps
        .iter()
        .map(|step| StepView {
            name: step.state,
            attempt: step.attempt,
            started: step.started,
            ended: step.ended,
            line: step.line,
        })
        .collect();
    let artifacts = artifacts(&build, config);
    BuildView {
        branch: build.branch().to_string(),
        kind: build.kind(),
        reference: build.reference.to_string(),
        commit: build.commit.to_string(),
        script: build.script().to_owned(),
        tag: build.tag().map(ToString::to_string),
        url: config.build_url(&build.id),
        id: build.id.into(),
        repository: build.repository.into(),
        cause: build.cause,
        state: build.state,
        reason: build.reason,
        waiting,
        steps,
        queued: build.queued,
        started: build.started,
        ended: build.ended,
        attempt: build.attempt,
        exit_code: build.exit_code,
        image: build.image,
        base: build.base,
        container: build.container,
        limits,
        log,
        artifacts,
        commits: build.commits,
        status,
        usual,
    }
}

pub fn artifacts(build: &Build, config: &ServiceConfig) -> Vec<ArtifactView> {
    build
        .artifacts
        .iter()
        .map(|artifact| ArtifactView {
            name: artifact.name.to_string(),
            size: artifact.size,
            sha256: artifact.sha256.clone(),
            url: artifact_url(config, &build.id, &artifact.name),
        })
        .collect()
}

/// What stays as it is in a path component.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn artifact_url(config: &ServiceConfig, build: &BuildId, name: &ArtifactName) -> String {
    let name = utf8_percent_encode(name.as_str(), COMPONENT);
    format!(
        "{}/api/v1/builds/{build}/artifacts/{name}",
        config.public_url.as_str()
    )
}

/// `Content-Disposition` for a download of this name, in the form of RFC 6266 that takes any name.
pub fn attachment(name: &ArtifactName) -> String {
    let name = utf8_percent_encode(name.as_str(), COMPONENT);
    format!("attachment; filename*=UTF-8''{name}")
}
