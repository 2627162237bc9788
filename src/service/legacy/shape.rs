//! A build in the old service's shape.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::build::{Build, Cause, Kind, State};
use crate::domain::kernel::Kernel;
use crate::domain::publication::{archive_name, base_kernel, hub_name, incremental_kernel};
use crate::domain::push::Commit;
use crate::domain::recipe::Format;
use crate::domain::time::Timestamp;
use crate::service::Service;

/// A build in the old service's words.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(title = "OldBuild")]
pub struct OldBuild {
    pub id: String,
    /// `creating`, `initializing`, `building`, `committing`, `success` or `error`.
    pub status: &'static str,
    /// `owner/name/branch`.
    pub name: String,
    pub repository: String,
    pub branch: String,
    /// The last 20 lines of the log, as one text.
    pub monitor: String,
    /// The first 10 characters of the container's id, empty while there is none; `system` for a
    /// load of the configuration.
    pub docker: String,
    /// Seconds since 1970; of a build that waits, when it was asked for.
    pub started: i64,
    /// Seconds since 1970.
    pub ended: Option<i64>,
    /// Why its status is `error`.
    pub error: Option<String>,
    /// Newest last.
    pub commits: Vec<OldCommit>,
    /// What was published: `kernel/<file>`, `flist/<page of the hub>` or `binary/<file>`.
    pub artifact: Option<String>,
    pub tag: Option<String>,
    pub baseimage: Option<String>,
}

/// A commit as GitHub's webhook tells it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OldCommit {
    pub id: String,
    pub message: String,
    /// Empty where it is not known.
    pub url: String,
    pub author: OldAuthor,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OldAuthor {
    pub name: String,
}

impl From<Commit> for OldCommit {
    fn from(commit: Commit) -> Self {
        Self {
            id: commit.id.into(),
            message: commit.message,
            url: commit.url.unwrap_or_default(),
            author: OldAuthor {
                name: commit.author,
            },
        }
    }
}

impl OldBuild {
    pub fn new(service: &Service, build: Build, monitor: String) -> Self {
        let status = status_word(build.state);
        let container = match build.kind() {
            Kind::Configuration => "system",
            _ => build.container.as_deref().unwrap_or(""),
        };
        let error = (status == "error").then(|| {
            let reason = build.reason.clone();
            reason.unwrap_or_else(|| build.state.to_string())
        });
        let asked_image = || build.recipe()?.baseimage.clone();
        Self {
            status,
            branch: build.reference.short_name().to_string(),
            monitor,
            docker: container.chars().take(10).collect(),
            started: seconds(build.started.unwrap_or(build.queued)),
            ended: build.ended.map(seconds),
            error,
            artifact: artifact(service, &build),
            tag: build.tag().map(ToString::to_string),
            baseimage: build.image.clone().or_else(asked_image),
            commits: build.commits.into_iter().map(OldCommit::from).collect(),
            id: build.id.into(),
            name: format!("{}/{}", build.repository, build.reference.short_name()),
            repository: build.repository.into(),
        }
    }
}

/// The last lines of a log as one text.
pub fn joined(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

fn seconds(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1000)
}

fn status_word(state: State) -> &'static str {
    match state {
        State::Queued => "creating",
        State::Preparing => "initializing",
        State::Building => "building",
        State::Collecting | State::Publishing => "committing",
        State::Succeeded | State::Skipped => "success",
        State::Failed | State::Errored | State::TimedOut | State::Cancelled | State::Superseded => {
            "error"
        }
    }
}

/// The old page leads the first part to where its kind is published.
fn artifact(service: &Service, build: &Build) -> Option<String> {
    if let Cause::Imported { artifact, .. } = &build.cause {
        return artifact.clone();
    }
    if build.state != State::Succeeded {
        return None;
    }
    let (repository, branch, commit) = (&build.repository, build.branch(), &build.commit);
    let archive = || archive_name(repository, build.tag(), branch, commit);
    match &build.recipe()?.format {
        Format::Flist if service.config.borrow().hub.is_none() => None,
        Format::Flist => Some(format!("flist/{}.md", hub_name(&archive()))),
        Format::Binary => Some(format!("binary/{}", archive())),
        Format::Kernel(kernel) => {
            let names = match kernel {
                Kernel::Base { .. } => base_kernel(branch, commit),
                Kernel::Incremental { .. } => incremental_kernel(repository, branch, commit),
            };
            Some(format!("kernel/{}", names.file))
        }
    }
}
