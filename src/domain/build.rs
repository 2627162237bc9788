//! A build: one script run for one commit, or one load of the configuration, and the states it
//! goes through.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::kernel::Base;
use super::names::{
    ArtifactName, BranchName, BuildId, CommitSha, GitRef, RecipeTag, RepositoryName,
};
use super::push::Commit;
use super::recipe::{Format, Recipe};
use super::time::Timestamp;

/// Where a build stands.
///
/// ```text
/// queued → preparing → building → collecting → publishing → succeeded
/// ```
///
/// (a load of the configuration has nothing to collect) and from each of these to the ends that [`State::may_become`] allows. An end never changes.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    /// Fetching the commit, pulling the image, making the container.
    Preparing,
    /// The script runs, or the configuration's files are read.
    Building,
    /// The script has ended well; its artifact is fetched.
    Collecting,
    /// The artifact is durable; it gets its names.
    Publishing,
    Succeeded,
    /// The script's fault, or its artifact's.
    Failed,
    /// The fault of Docker, git, the hub or this service.
    Errored,
    TimedOut,
    Cancelled,
    Superseded,
    Skipped,
}

use State::{
    Building, Cancelled, Collecting, Errored, Failed, Preparing, Publishing, Queued, Skipped,
    Succeeded, Superseded, TimedOut,
};

impl State {
    pub const ALL: [State; 12] = [
        Queued, Preparing, Building, Collecting, Publishing, Succeeded, Failed, Errored, TimedOut,
        Cancelled, Superseded, Skipped,
    ];

    /// A build has one of these from its admission to its end.
    pub const RUNNING: [State; 4] = [Preparing, Building, Collecting, Publishing];

    pub fn as_str(self) -> &'static str {
        match self {
            Queued => "queued",
            Preparing => "preparing",
            Building => "building",
            Collecting => "collecting",
            Publishing => "publishing",
            Succeeded => "succeeded",
            Failed => "failed",
            Errored => "errored",
            TimedOut => "timed_out",
            Cancelled => "cancelled",
            Superseded => "superseded",
            Skipped => "skipped",
        }
    }

    pub fn is_end(self) -> bool {
        !matches!(
            self,
            Queued | Preparing | Building | Collecting | Publishing
        )
    }

    pub fn is_running(self) -> bool {
        Self::RUNNING.contains(&self)
    }

    /// Back to `queued` is the second attempt of a build that lost its container. What is being
    /// published can no longer be cancelled: a name may already have moved.
    pub fn may_become(self, next: State) -> bool {
        match self {
            Queued => matches!(next, Preparing | Skipped | Cancelled | Superseded | Errored),
            Preparing => matches!(
                next,
                Building | Queued | Failed | Errored | TimedOut | Cancelled | Superseded
            ),
            Building => {
                matches!(
                    next,
                    Collecting
                        | Succeeded
                        | Queued
                        | Failed
                        | Errored
                        | TimedOut
                        | Cancelled
                        | Superseded
                )
            }
            Collecting => matches!(next, Publishing | Failed | Errored | Cancelled | Superseded),
            Publishing => matches!(next, Succeeded | Errored),
            _ => false,
        }
    }

    /// What GitHub shows for it.
    pub fn commit_status(self) -> CommitStatus {
        match self {
            Queued | Preparing | Building | Collecting | Publishing => CommitStatus::Pending,
            Succeeded | Skipped => CommitStatus::Success,
            Failed | TimedOut => CommitStatus::Failure,
            Errored | Cancelled | Superseded => CommitStatus::Error,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
                format!(
                    "{text:?} is not a state; the states are {}",
                    known.join(", ")
                )
            })
    }
}

/// The four states of a commit status on GitHub.
/// Source: <https://docs.github.com/en/rest/commits/statuses>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommitStatus {
    Pending,
    Success,
    Failure,
    Error,
}

impl CommitStatus {
    pub const ALL: [CommitStatus; 4] = [Self::Pending, Self::Success, Self::Failure, Self::Error];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }

    /// What several scripts come to together: nothing while one is not done, then the worst.
    pub fn combined(statuses: impl IntoIterator<Item = Self>) -> Option<Self> {
        let weight = |status: &Self| match status {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Error => 2,
            Self::Pending => 3,
        };
        statuses.into_iter().max_by_key(weight)
    }
}

impl FromStr for CommitStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a commit status"))
    }
}

/// Why a build exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Cause {
    /// A webhook told of a push.
    Push {
        /// Null where it was not told.
        pusher: Option<String>,
        forced: bool,
    },
    /// A branch's head was found to differ from what had been built.
    Reconcile,
    /// A repository that the script depends on was pushed to.
    Dependency {
        #[schema(value_type = String)]
        repository: RepositoryName,
        #[schema(value_type = String)]
        commit: CommitSha,
    },
    /// Another build needs the image that it makes, which is gone from the Docker host.
    Base {
        #[schema(value_type = String)]
        of: BuildId,
    },
    /// A person asked for it.
    Manual,
    /// A person asked for that build once more.
    Rebuild {
        #[schema(value_type = String)]
        of: BuildId,
    },
    /// It was built by the service before this one.
    Imported {
        /// Its id there.
        id: String,
        /// What it published, in that service's words.
        artifact: Option<String>,
        /// When it was imported: what is kept for a time is kept from then on.
        #[schema(value_type = String, format = DateTime)]
        imported: Timestamp,
    },
}

/// What a build does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Runs a script in a container.
    Script(Arc<Recipe>),
    /// Loads the configuration from the commit.
    Configuration,
}

impl From<Recipe> for Work {
    fn from(recipe: Recipe) -> Self {
        Self::Script(Arc::new(recipe))
    }
}

impl Work {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Script(recipe) => match recipe.format {
                Format::Flist => Kind::Flist,
                Format::Binary => Kind::Binary,
                Format::Kernel(_) => Kind::Kernel,
            },
            Self::Configuration => Kind::Configuration,
        }
    }

    /// The script's path in the repository; a load of the configuration has a name in its place.
    pub fn script(&self) -> &str {
        match self {
            Self::Script(recipe) => recipe.script.as_str(),
            Self::Configuration => Kind::Configuration.as_str(),
        }
    }

    pub fn tag(&self) -> Option<&RecipeTag> {
        self.recipe()?.tag.as_ref()
    }

    pub fn recipe(&self) -> Option<&Recipe> {
        match self {
            Self::Script(recipe) => Some(recipe),
            Self::Configuration => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Flist,
    Binary,
    Kernel,
    Configuration,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flist => "flist",
            Self::Binary => "binary",
            Self::Kernel => "kernel",
            Self::Configuration => "configuration",
        }
    }
}

/// A build as the store knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    pub id: BuildId,
    /// Place in the order of creation; the key of pages.
    pub sequence: i64,
    /// Grows with each change of any build.
    pub revision: i64,
    /// Place of its push in the order in which pushes were heard of. A rebuild keeps it.
    pub push: u64,
    pub push_forced: bool,
    /// Where the push says that its ref stood before it, if it did.
    pub push_before: Option<CommitSha>,
    pub repository: RepositoryName,
    pub reference: GitRef,
    pub commit: CommitSha,
    pub work: Work,
    pub cause: Cause,
    pub state: State,
    /// One line for people: why it stands where it stands.
    pub reason: Option<String>,
    pub queued: Timestamp,
    /// When it left the queue (of its newest attempt).
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub attempt: u32,
    pub exit_code: Option<i32>,
    /// The image as asked for, and the container's id, once they are known.
    pub image: Option<String>,
    pub container: Option<String>,
    /// What an incremental kernel is built upon, once that is chosen.
    pub base: Option<Base>,
    /// The build that makes the base of this one. It starts when that has ended.
    pub waits_for: Option<BuildId>,
    pub log_bytes: u64,
    pub log_lines: u64,
    pub steps: Vec<Step>,
    pub artifacts: Vec<Artifact>,
    pub commits: Vec<Commit>,
}

impl Build {
    pub fn branch(&self) -> &BranchName {
        self.reference.short_name()
    }

    pub fn kind(&self) -> Kind {
        self.work.kind()
    }

    pub fn script(&self) -> &str {
        self.work.script()
    }

    pub fn tag(&self) -> Option<&RecipeTag> {
        self.work.tag()
    }

    pub fn recipe(&self) -> Option<&Recipe> {
        self.work.recipe()
    }

    /// Builds of one lane follow each other: they would publish under the same names.
    pub fn lane(&self) -> Lane {
        Lane {
            reference: self.reference.clone(),
            script: self.script().to_owned(),
            tag: self.tag().cloned(),
        }
    }

    /// The name under which GitHub lists its status on the commit.
    pub fn status_context(&self) -> String {
        let mut context = format!("autobuilder/{}", self.script());
        if let Some(tag) = self.tag() {
            context.push_str(&format!(" ({tag})"));
        }
        if let GitRef::Tag(name) = &self.reference {
            context.push_str(&format!(" (tag {name})"));
        }
        context
    }

    /// The line that GitHub shows beside its status.
    pub fn status_description(&self) -> String {
        match (&self.reason, self.state.commit_status()) {
            (Some(reason), _) => one_short_line(reason),
            (None, CommitStatus::Pending) => State::Queued.to_string(),
            (None, _) => self.state.to_string(),
        }
    }

    /// What the pushed commit's message says, if it says that nothing is to be built. Who asks for
    /// a build in another way means it.
    pub fn skip_mark(&self) -> Option<&'static str> {
        match self.cause {
            Cause::Push { .. } | Cause::Reconcile => skip_mark(&self.commits, &self.commit),
            _ => None,
        }
    }

    /// Whether the files that its push changed decide if it is built. What people ask for, and what
    /// another repository causes, is built whatever changed; and so is the second attempt of what
    /// was begun.
    pub fn is_filtered(&self) -> bool {
        let told_by_a_push = matches!(self.cause, Cause::Push { .. } | Cause::Reconcile);
        let has_filter = self
            .recipe()
            .is_some_and(|recipe| recipe.path_filter.is_some());
        told_by_a_push && has_filter && self.attempt == 1
    }

    /// When the script of the newest attempt began.
    pub fn building_since(&self) -> Option<Timestamp> {
        self.steps
            .iter()
            .rev()
            .find(|step| step.state == Building && step.attempt == self.attempt)
            .map(|step| step.started)
    }
}

/// GitHub refuses a longer one: `description is too long (maximum is 140 characters)`.
/// Source: <https://github.com/sclorg/testing-farm-as-github-action/pull/187>.
const LONGEST_DESCRIPTION: usize = 140;

/// The beginning of a text as one line that GitHub takes as a description.
pub fn one_short_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_DESCRIPTION) {
        None => line,
        Some(_) => line
            .chars()
            .take(LONGEST_DESCRIPTION - 1)
            .chain(['…'])
            .collect(),
    }
}

/// As GitHub Actions and others have them.
/// Source: <https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs>.
const SKIP_MARKS: [&str; 2] = ["[skip ci]", "[ci skip]"];

/// The mark in the message of a push's head, if there is one.
pub fn skip_mark(commits: &[Commit], head: &CommitSha) -> Option<&'static str> {
    let head = commits.iter().find(|commit| commit.id == *head)?;
    SKIP_MARKS
        .into_iter()
        .find(|mark| head.message.contains(mark))
}

/// One script of one ref of a repository, whatever the commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    pub reference: GitRef,
    pub script: String,
    pub tag: Option<RecipeTag>,
}

/// One stay in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub state: State,
    pub attempt: u32,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// The line of the log at which it began, counted from 1.
    pub line: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub name: ArtifactName,
    /// Bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_never_changes() {
        for end in State::ALL.into_iter().filter(|state| state.is_end()) {
            assert!(
                State::ALL.into_iter().all(|next| !end.may_become(next)),
                "{end}"
            );
        }
    }

    #[test]
    fn every_state_can_be_reached_from_queued_and_every_other_can_end() {
        let mut reached = vec![Queued];
        let mut position = 0;
        while let Some(&state) = reached.get(position) {
            position += 1;
            for next in State::ALL {
                if state.may_become(next) && !reached.contains(&next) {
                    reached.push(next);
                }
            }
        }
        assert_eq!(reached.len(), State::ALL.len());
        for state in State::ALL.into_iter().filter(|state| !state.is_end()) {
            assert!(state.may_become(Errored), "{state}");
        }
    }

    #[test]
    fn nothing_runs_twice_from_collecting_on() {
        for state in [Collecting, Publishing] {
            assert!(!state.may_become(Queued) && !state.may_become(Building));
        }
    }

    #[test]
    fn a_commit_is_pending_until_all_is_done_and_then_shows_the_worst() {
        use CommitStatus::{Error, Failure, Pending, Success};
        for (statuses, expected) in [
            (vec![], None),
            (vec![Success, Success], Some(Success)),
            (vec![Success, Failure, Success], Some(Failure)),
            (vec![Error, Failure], Some(Error)),
            (vec![Error, Pending, Success], Some(Pending)),
        ] {
            assert_eq!(CommitStatus::combined(statuses), expected);
        }
    }

    #[test]
    fn a_description_is_one_line_that_github_takes() {
        assert_eq!(
            one_short_line("exit code 2\n  after\t41 s "),
            "exit code 2 after 41 s"
        );
        let exact = "é".repeat(LONGEST_DESCRIPTION);
        assert_eq!(one_short_line(&exact), exact);
        let cut = one_short_line(&format!("{exact}!"));
        assert_eq!(cut.chars().count(), LONGEST_DESCRIPTION);
        assert!(cut.ends_with("é…"), "{cut}");
    }

    #[test]
    fn states_read_back_from_their_text() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!("done".parse::<State>().unwrap_err().contains("succeeded"));
    }
}
