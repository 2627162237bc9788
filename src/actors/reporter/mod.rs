//! Tells GitHub the state of builds: takes from the outbox what is due and sends it, for as long
//! as it takes. Nothing else waits for this. What waits lies in the store; only what is known of
//! GitHub's mood is kept here, and found out anew after a restart.
//!
//! One request at a time for each repository, and few in all: GitHub asks for that, and the order
//! of a context's states follows from it. What GitHub's answers mean is decided by
//! [`delivery`](crate::domain::delivery).

mod comparison;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::comparison::{Commit, Comparison};
use super::supervision::{self, Task};
use crate::adapters::github::{self, CredentialKind, GithubError, List, Scope, Shown};
use crate::config::{Github as GithubConfig, ServiceConfig};
use crate::domain::delivery::{Patience, Pause, Trouble, Verdict};
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;
use crate::service::{Obstacle, Service, Whom};
use crate::store::{Outcome, Status, StoreError};

pub struct Reporter;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// Something may be due: a build changed, a pause is over, the service file was replaced.
    Look,
    Sent {
        status: Status,
        begun: Instant,
        answer: Result<(), GithubError>,
    },
    /// Begin to compare what GitHub shows.
    Compare,
    Shown {
        commit: Commit,
        begun: Instant,
        /// `None`: as it was when it was asked last.
        answer: Result<Option<List<Shown>>, GithubError>,
    },
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub pace: Pace,
}

/// How often and how patiently. Only tests have another than the default.
#[derive(Debug, Clone)]
pub struct Pace {
    pub patience: Patience,
    /// When nothing else happens, the outbox is looked at this often.
    pub look_every: Duration,
    pub compare_every: Duration,
    /// A status that another program sets too is corrected no more often.
    pub corrections_apart: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            look_every: Duration::from_secs(30),
            compare_every: Duration::from_secs(3600),
            corrections_apart: Duration::from_secs(3600),
        }
    }
}

/// Requests to GitHub at the same time, for different repositories.
const AT_ONCE: usize = 4;

pub struct State {
    service: Arc<Service>,
    pace: Pace,
    config: watch::Receiver<Arc<ServiceConfig>>,
    revision: watch::Receiver<i64>,
    /// Repositories with a request under way.
    busy: HashMap<RepositoryName, AbortOnDropHandle<()>>,
    scopes: HashMap<Scope, Pause>,
    repositories: HashMap<RepositoryName, Pause>,
    /// When statuses that failed may be tried again.
    retries: Vec<Instant>,
    comparison: Comparison,
    /// The part of the service file that holds, and since when. What fails though it was begun
    /// before says nothing of what holds now.
    settings: GithubConfig,
    settings_since: Instant,
    /// Where the links of statuses lead.
    public_url: String,
    waker: Option<AbortOnDropHandle<()>>,
}

impl Actor for Reporter {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { service, pace }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Message::Compare)?;
        myself.send_interval(pace.compare_every, || Message::Compare);
        let config = service.config.clone();
        let settings = config.borrow().github.clone();
        let public_url = config.borrow().public_url.as_str().to_owned();
        Ok(State {
            public_url,
            settings,
            settings_since: Instant::now(),
            revision: service.store.revision(),
            busy: HashMap::new(),
            scopes: HashMap::new(),
            repositories: HashMap::new(),
            retries: Vec::new(),
            comparison: Comparison::default(),
            waker: None,
            config,
            pace,
            service,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let done = match message {
            Message::Look => Ok(()),
            Message::Sent {
                status,
                begun,
                answer,
            } => state.sent(status, begun, answer).await,
            Message::Compare => state.begin_comparison().await,
            Message::Shown {
                commit,
                begun,
                answer,
            } => state.shown(commit, begun, answer).await,
        };
        let done = match done {
            Ok(()) => state.look(&myself).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            // What was not written is found as it was, and done again.
            tracing::error!(%error, "cannot read or write the outbox");
        }
        state.wake_up_later(&myself);
        Ok(())
    }
}

impl State {
    /// Sends what is due and can be sent now, then goes on comparing.
    async fn look(&mut self, myself: &ActorRef<Message>) -> Result<(), StoreError> {
        self.revision.borrow_and_update();
        let config = Arc::clone(&self.config.borrow_and_update());
        if config.github != self.settings {
            self.settings_changed(config.github.clone()).await?;
        }
        if config.public_url.as_str() != self.public_url {
            self.public_url = config.public_url.as_str().to_owned();
            self.links_changed().await?;
        }
        self.tell_obstacles();
        if self.service.github.credential() == CredentialKind::None {
            return Ok(());
        }
        let places = AT_ONCE.saturating_sub(self.busy.len());
        if places > 0 {
            let combined = config.github.legacy_context.is_some();
            let is_free = self.free_repositories();
            let store = &self.service.store;
            for status in store.due_statuses(combined, places, is_free).await? {
                self.send(myself, status, &config);
            }
        }
        self.compare_next(myself).await
    }

    /// Whether a request for a repository may begin now.
    fn free_repositories(&self) -> impl FnMut(&RepositoryName) -> bool + Send + 'static {
        let (github, now) = (self.service.github.clone(), Instant::now());
        let refused = waiting(&self.repositories, now);
        let mut taken: HashSet<RepositoryName> = self.busy.keys().cloned().collect();
        taken.extend(refused);
        let blocked = waiting(&self.scopes, now);
        move |repository| {
            !taken.contains(repository) && !blocked.contains(&github.scope(repository))
        }
    }

    fn send(&mut self, myself: &ActorRef<Message>, status: Status, config: &ServiceConfig) {
        let Some(context) = context_on_github(&status, config) else {
            return;
        };
        let wanted = github::Status {
            context,
            state: status.state.as_str().to_owned(),
            description: status.description.clone(),
            target_url: config.build_url(&status.build),
        };
        let (github, repository) = (self.service.github.clone(), status.repository.clone());
        let (sent, begun) = (status.clone(), Instant::now());
        let task = async move {
            let answer = github
                .set_status(&sent.repository, &sent.commit, &wanted)
                .await;
            Message::Sent {
                status: sent,
                begun,
                answer,
            }
        };
        let panicked = move |reason| Message::Sent {
            status,
            begun,
            answer: Err(GithubError::Malformed { reason }),
        };
        let request = supervision::run(Task::SendStatus, myself, task, panicked);
        self.busy.insert(repository, request);
    }

    async fn sent(
        &mut self,
        status: Status,
        begun: Instant,
        answer: Result<(), GithubError>,
    ) -> Result<(), StoreError> {
        self.busy.remove(&status.repository);
        let (counted, outcome) = match answer {
            Ok(()) => {
                self.well(&status.repository, begun);
                ("reported", Outcome::Reported)
            }
            Err(GithubError::NoCredential) => return Ok(()),
            Err(error) => self.failed(&status, begun, &error),
        };
        self.service.metrics.status_tried(counted);
        self.service.store.status_tried(status, outcome).await
    }

    /// What becomes of a status that GitHub did not take.
    fn failed(
        &mut self,
        status: &Status,
        begun: Instant,
        error: &GithubError,
    ) -> (&'static str, Outcome) {
        let (trouble, problem) = trouble(error);
        let now = Timestamp::now();
        // A credential that was refused before is not the one that holds now.
        let mut pause = Duration::ZERO;
        if begun >= self.settings_since {
            let patience = &self.pace.patience;
            pause = patience.pause_of_status(trouble, status.attempts.saturating_add(1));
            match patience.judge(trouble, now.since(status.written)) {
                Verdict::ScopeWaits => {
                    self.scope_failed(&status.repository, begun, trouble, &problem);
                }
                Verdict::RepositoryWaits => {
                    self.repository_failed(&status.repository, begun, trouble, &problem);
                }
                Verdict::StatusWaits => {}
                Verdict::GiveUp => {
                    // Its others, which may be as old, are not refused one after the other.
                    if trouble == Trouble::Repository {
                        self.repository_failed(&status.repository, begun, trouble, &problem);
                    }
                    tracing::warn!(
                        repository = %status.repository, sha = %status.commit, context = status.context,
                        build = %status.build, problem, "GitHub will not take this status; it is not sent"
                    );
                    return ("given_up", Outcome::GivenUp { problem });
                }
            }
        }
        self.retries.push(Instant::now() + pause);
        let outcome = Outcome::Waits {
            problem,
            not_before: now.after(pause),
            may_be_shown: trouble == Trouble::Away,
        };
        ("failed", outcome)
    }

    fn scope_failed(
        &mut self,
        repository: &RepositoryName,
        begun: Instant,
        trouble: Trouble,
        problem: &str,
    ) {
        let scope = self.service.github.scope(repository);
        let pause = self.scopes.entry(scope.clone()).or_default();
        let (patience, now) = (&self.pace.patience, Instant::now());
        if pause.failed(patience, (trouble, problem), begun, now, chance()) {
            let seconds = seconds_to(pause.until(now), now);
            tracing::warn!(%scope, problem, seconds, "statuses wait, as GitHub takes none");
        }
    }

    fn repository_failed(
        &mut self,
        repository: &RepositoryName,
        begun: Instant,
        trouble: Trouble,
        problem: &str,
    ) {
        let pause = self.repositories.entry(repository.clone()).or_default();
        let (patience, now) = (&self.pace.patience, Instant::now());
        if pause.failed(patience, (trouble, problem), begun, now, chance()) {
            tracing::warn!(
                %repository, problem,
                "statuses of a repository wait: the credential needs to write its commit statuses, \
                 see docs/github.md"
            );
        }
    }

    /// GitHub did what it was asked for this repository.
    fn well(&mut self, repository: &RepositoryName, begun: Instant) {
        let scope = self.service.github.scope(repository);
        if let Some(pause) = self.scopes.get_mut(&scope)
            && let Some(problem) = pause.well(begun)
        {
            tracing::info!(%scope, before = problem, "GitHub takes statuses again");
            self.scopes.remove(&scope);
        }
        if let Some(pause) = self.repositories.get_mut(repository)
            && let Some(problem) = pause.well(begun)
        {
            tracing::info!(%repository, before = problem, "GitHub takes statuses of a repository again");
            self.repositories.remove(repository);
        }
    }

    /// What was blocked may be possible now.
    async fn settings_changed(&mut self, new: GithubConfig) -> Result<(), StoreError> {
        let old = std::mem::replace(&mut self.settings, new);
        self.settings_since = Instant::now();
        self.scopes.clear();
        self.repositories.clear();
        self.retries.clear();
        self.service.store.statuses_wait_no_longer().await?;
        if old.legacy_context != self.settings.legacy_context {
            self.service.store.send_combined_again().await?;
        }
        if old.api_url != self.settings.api_url {
            self.begin_comparison().await?;
        }
        Ok(())
    }

    /// For who asks why a status is not there yet.
    fn tell_obstacles(&self) {
        let now = (Instant::now(), Timestamp::now());
        let scopes = self.scopes.iter();
        let scopes =
            scopes.filter_map(|(scope, pause)| obstacle(Whom::Scope(scope.clone()), pause, now));
        let repositories = self.repositories.iter();
        let repositories = repositories
            .filter_map(|(name, pause)| obstacle(Whom::Repository(name.clone()), pause, now));
        self.service
            .obstacles
            .send_replace(scopes.chain(repositories).collect());
    }

    /// Looks again when something changes, when the next pause is over, or after a while.
    fn wake_up_later(&mut self, myself: &ActorRef<Message>) {
        let now = Instant::now();
        let pauses = self.scopes.values().chain(self.repositories.values());
        self.retries.retain(|&retry| retry > now);
        let next = pauses.filter_map(|pause| pause.until(now));
        let next = next.chain(self.retries.iter().copied()).min();
        let later = now + self.pace.look_every;
        let next = next.map_or(later, |next| next.min(later));
        let (mut revision, mut config) = (self.revision.clone(), self.config.clone());
        let sends = self.service.github.credential() != CredentialKind::None;
        let myself = myself.clone();
        self.waker = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::select! {
                _ = revision.changed(), if sends => {}
                _ = config.changed() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
            let _ = myself.cast(Message::Look);
        })));
    }
}

/// Those that are to be left alone.
fn waiting<K: Clone + Eq + std::hash::Hash>(
    pauses: &HashMap<K, Pause>,
    now: Instant,
) -> HashSet<K> {
    let waiting = pauses
        .iter()
        .filter(|(_, pause)| pause.until(now).is_some());
    waiting.map(|(key, _)| key.clone()).collect()
}

/// The combined verdict is shown under the name that the operator gave it, if any.
fn context_on_github(status: &Status, config: &ServiceConfig) -> Option<String> {
    match status.context.is_empty() {
        true => config.github.legacy_context.clone(),
        false => Some(status.context.clone()),
    }
}

/// What GitHub's refusal means, and how to put it where it says something else each time.
fn trouble(error: &GithubError) -> (Trouble, String) {
    let trouble = match error {
        GithubError::NoCredential | GithubError::Unauthorized { .. } => Trouble::Credential,
        GithubError::RateLimited { wait, is_stated } => {
            let trouble = match is_stated {
                true => Trouble::RateLimit(*wait),
                false => Trouble::UnstatedLimit,
            };
            return (trouble, "GitHub's rate limit is reached".to_owned());
        }
        GithubError::Unavailable { .. } | GithubError::Malformed { .. } => Trouble::Away,
        GithubError::Forbidden { .. }
        | GithubError::NotFound
        | GithubError::NotInstalled { .. } => Trouble::Repository,
        GithubError::Refused { .. } => Trouble::Status,
    };
    (trouble, error.to_string())
}

fn obstacle(to: Whom, pause: &Pause, now: (Instant, Timestamp)) -> Option<Obstacle> {
    let problem = pause.problem()?.to_owned();
    let wait = pause
        .until(now.0)
        .map_or(Duration::ZERO, |until| until.duration_since(now.0));
    Some(Obstacle {
        to,
        problem,
        until: now.1.after(wait),
    })
}

fn seconds_to(until: Option<Instant>, now: Instant) -> u64 {
    until.map_or(0, |until| until.duration_since(now).as_secs())
}

/// From 0 to 1.
fn chance() -> f64 {
    let bits = getrandom::u32().unwrap_or(u32::MAX);
    f64::from(bits) / f64::from(u32::MAX)
}
