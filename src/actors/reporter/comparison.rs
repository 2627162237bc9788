//! What GitHub shows, compared with what it was told: at the start of the service and every hour,
//! for commits of the last day. A status that was lost on its way, arrived late, or was changed
//! behind our back is sent again.
//!
//! It costs one request for each commit, and nothing of the rate limit where nothing has changed
//! since the last comparison: GitHub answers 304 then.
//! Source: <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate>.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;

use super::{Message, State, context_on_github, supervision, trouble};
use crate::adapters::github::{CredentialKind, GithubError, List, Shown};
use crate::config::ServiceConfig;
use crate::domain::delivery::{Trouble, Verdict};
use crate::domain::names::{CommitSha, RepositoryName};
use crate::domain::time::Timestamp;
use crate::store::{Status, StoreError};

/// How far back is compared.
const WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Commits compared in one round, the newest of them: a tenth of the requests that GitHub allows
/// in an hour, if every one of them had changed.
const COMMITS: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit {
    pub repository: RepositoryName,
    pub id: CommitSha,
}

#[derive(Default)]
pub struct Comparison {
    /// Still to be compared in this round, newest first.
    left: VecDeque<Commit>,
    /// One at a time.
    running: Option<Asked>,
    /// What GitHub gave with an answer that was as it should be.
    good: HashMap<Commit, Good>,
}

struct Asked {
    commit: Commit,
    at: Timestamp,
}

struct Good {
    etag: String,
    /// When it was asked: what was reported later is not in that answer.
    at: Timestamp,
}

impl State {
    /// Begins a round. One that is not through yet is replaced.
    pub(super) async fn begin_comparison(&mut self) -> Result<(), StoreError> {
        if self.service.github.credential() == CredentialKind::None {
            return Ok(());
        }
        let store = &self.service.store;
        let commits = store.commits_with_statuses(WITHIN, COMMITS).await?;
        let commits = commits
            .into_iter()
            .map(|(repository, id)| Commit { repository, id });
        let comparison = &mut self.comparison;
        comparison.left = commits.collect();
        let current = &comparison.left;
        comparison.good.retain(|commit, _| current.contains(commit));
        Ok(())
    }

    /// What was as it should be leads to where the service is no longer.
    pub(super) async fn links_changed(&mut self) -> Result<(), StoreError> {
        self.comparison.good.clear();
        self.begin_comparison().await
    }

    /// Asks for the next commit whose repository can be asked now.
    pub(super) async fn compare_next(
        &mut self,
        myself: &ActorRef<Message>,
    ) -> Result<(), StoreError> {
        while self.comparison.running.is_none() && self.busy.len() < super::AT_ONCE {
            let mut is_free = self.free_repositories();
            let left = &mut self.comparison.left;
            let next = left.iter().position(|commit| is_free(&commit.repository));
            let Some(commit) = next.and_then(|next| left.remove(next)) else {
                break;
            };
            let reported = self.reported(&commit).await?;
            let good = self.comparison.good.get(&commit);
            let good = good.filter(|good| reported.iter().all(|(_, at)| *at < good.at));
            let etag = good.map(|good| good.etag.clone());
            if !reported.is_empty() {
                self.ask(myself, commit, etag);
            }
        }
        Ok(())
    }

    fn ask(&mut self, myself: &ActorRef<Message>, commit: Commit, etag: Option<String>) {
        let github = self.service.github.clone();
        let (repository, at) = (commit.repository.clone(), Timestamp::now());
        self.comparison.running = Some(Asked {
            commit: commit.clone(),
            at,
        });
        let (asked, begun) = (commit.clone(), Instant::now());
        let task = async move {
            let answer = github
                .statuses(&asked.repository, &asked.id, etag.as_deref())
                .await;
            Message::Shown {
                commit: asked,
                begun,
                answer,
            }
        };
        let panicked = move |reason| Message::Shown {
            commit,
            begun,
            answer: Err(GithubError::Malformed { reason }),
        };
        let request = supervision::run(supervision::Task::ShowCommit, myself, task, panicked);
        self.busy.insert(repository, request);
    }

    /// GitHub has answered, or has not.
    pub(super) async fn shown(
        &mut self,
        commit: Commit,
        begun: Instant,
        answer: Result<Option<List<Shown>>, GithubError>,
    ) -> Result<(), StoreError> {
        self.busy.remove(&commit.repository);
        let asked = self.comparison.running.take();
        let Some(asked) = asked.filter(|asked| asked.commit == commit) else {
            return Ok(());
        };
        match answer {
            Ok(shown) => {
                self.well(&commit.repository, begun);
                match shown {
                    Some(shown) => self.correct(asked, shown).await,
                    None => Ok(()),
                }
            }
            Err(error) => {
                self.not_shown(commit, begun, &error);
                Ok(())
            }
        }
    }

    async fn correct(&mut self, asked: Asked, shown: List<Shown>) -> Result<(), StoreError> {
        let Asked { commit, at } = asked;
        let config = Arc::clone(&self.service.config.borrow());
        let mut all_good = true;
        for (status, _) in self.reported(&commit).await? {
            if is_shown(&status, &shown.items, &config) {
                continue;
            }
            all_good = false;
            let (build, context) = (status.build.clone(), status.context.clone());
            let apart = self.pace.corrections_apart;
            if self.service.store.put_back(status, apart).await? {
                self.service.metrics.status_corrections.inc();
                tracing::info!(
                    repository = %commit.repository, sha = %commit.id, context, %build,
                    "GitHub does not show the status that it was told; it is sent again"
                );
            }
        }
        match shown.etag.filter(|_| all_good) {
            Some(etag) => self.comparison.good.insert(commit, Good { etag, at }),
            None => self.comparison.good.remove(&commit),
        };
        Ok(())
    }

    /// What keeps a status from being read keeps others from being sent; unless it may lie with this
    /// commit alone, which is then left to the next round.
    fn not_shown(&mut self, commit: Commit, begun: Instant, error: &GithubError) {
        let (trouble, problem) = trouble(error);
        if begun < self.settings_since || trouble == Trouble::Away {
            return;
        }
        match self.pace.patience.judge(trouble, Duration::ZERO) {
            Verdict::ScopeWaits => {
                self.scope_failed(&commit.repository, begun, trouble, &problem);
                // It can be asked again once the others are.
                self.comparison.left.push_back(commit);
            }
            // The rest of this repository would be refused as well.
            Verdict::RepositoryWaits => self
                .comparison
                .left
                .retain(|other| other.repository != commit.repository),
            Verdict::StatusWaits | Verdict::GiveUp => {}
        }
    }

    /// What GitHub has taken and therefore ought to show.
    async fn reported(&self, commit: &Commit) -> Result<Vec<(Status, Timestamp)>, StoreError> {
        let config = Arc::clone(&self.service.config.borrow());
        let store = &self.service.store;
        let mut statuses = store
            .reported_statuses(commit.repository.clone(), commit.id.clone())
            .await?;
        statuses.retain(|(status, _)| context_on_github(status, &config).is_some());
        Ok(statuses)
    }
}

fn is_shown(status: &Status, shown: &[Shown], config: &ServiceConfig) -> bool {
    let context = context_on_github(status, config);
    let url = config.build_url(&status.build);
    shown.iter().any(|shown| {
        Some(&shown.context) == context.as_ref()
            && shown.state == status.state.as_str()
            && shown.target_url.as_ref() == Some(&url)
    })
}
