//! The reporter with a real store and the real adapter, against the model of GitHub.

use std::path::Path;
use std::process::Command;

use github_model::{Answer, Model, Route, Times};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::config::secret::Secret;
use crate::domain::build::{Build, Cause, State as BuildState, Work};
use crate::domain::delivery::Backoff;
use crate::domain::names::{BuildId, CommitSha};
use crate::domain::push::Push;
use crate::domain::recipe::{Catalog, Recipe};
use crate::service::DataDirectory;
use crate::service::github::github_settings;
use crate::service::quiet::Inputs;
use crate::store::{BuildFilter, Facts, NewBuilds, Store, Transition};

const APP: &str = "acme/app";
const TOKEN: &str = "ghp_the-token-of-the-test";
const SCRIPTS: [&str; 2] = ["build.sh", "test.sh"];

/// GitHub, the data directory of a service, and the service while it runs.
struct World {
    github: Model,
    commits: Vec<CommitSha>,
    inputs: Inputs,
    data: TempDir,
    running: Option<Running>,
    _origin: TempDir,
}

struct Running {
    service: Arc<Service>,
    reporter: ActorRef<Message>,
    ended: JoinHandle<()>,
    _scratch: TempDir,
}

/// Milliseconds where the default has minutes.
fn hasty() -> Pace {
    let moment = Backoff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(10),
    };
    Pace {
        patience: Patience {
            credential: moment,
            away: moment,
            repository: moment,
            unstated_limit: moment,
            alone: moment,
            ..Patience::default()
        },
        look_every: Duration::from_millis(50),
        compare_every: Duration::from_millis(40),
        corrections_apart: Duration::ZERO,
    }
}

impl World {
    /// With this many commits on GitHub.
    async fn new(commits: usize) -> Self {
        let origin = tempfile::tempdir().unwrap();
        let github = Model::start(origin.path()).await;
        github.repository(APP).await;
        github.token(TOKEN).all();
        let mut config = ServiceConfig::default();
        config.github.api_url = github.url().try_into().unwrap();
        config.github.token = Some(Secret::new(TOKEN));
        config.github.legacy_context = Some("gig-autobuilder".to_owned());
        Self {
            commits: make_commits(&origin.path().join(APP), commits),
            github,
            inputs: Inputs::new(config, Catalog::default()),
            data: tempfile::tempdir().unwrap(),
            running: None,
            _origin: origin,
        }
    }

    async fn start(&mut self, pace: Pace) {
        let scratch = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(scratch.path(), &scratch.path().join("tmp")).unwrap();
        let store = Store::open(&self.data.path().join("test.sqlite")).unwrap();
        let service = Arc::new(self.inputs.service(directory, store, "/nonexistent"));
        let arguments = Arguments {
            service: Arc::clone(&service),
            pace,
        };
        let (reporter, ended) = Reporter::spawn(None, Reporter, arguments).await.unwrap();
        self.running = Some(Running {
            service,
            reporter,
            ended,
            _scratch: scratch,
        });
    }

    /// As a crash does: nothing is finished, and what was asked of GitHub may be done or not.
    async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.reporter.kill();
        running.ended.await.unwrap();
    }

    fn service(&self) -> &Arc<Service> {
        &self.running.as_ref().unwrap().service
    }

    fn store(&self) -> &Store {
        &self.service().store
    }

    /// As the service does it: the adapter first.
    fn configure(&self, change: impl FnOnce(&mut ServiceConfig)) {
        let mut new = ServiceConfig::clone(&self.inputs.config.borrow());
        change(&mut new);
        self.service().github.configure(github_settings(&new));
        self.inputs.config.send_replace(Arc::new(new));
    }

    async fn push(&self, commit: &CommitSha) -> Vec<BuildId> {
        self.push_to(APP, commit).await
    }

    async fn push_to(&self, repository: &str, commit: &CommitSha) -> Vec<BuildId> {
        let new = NewBuilds {
            push: Push {
                repository: repository.parse().unwrap(),
                reference: format!("refs/heads/of-{}", commit.short()).parse().unwrap(),
                before: None,
                after: commit.clone(),
                forced: false,
                pusher: None,
                default_branch: None,
                commits: Vec::new(),
            },
            work: SCRIPTS
                .map(|script| Work::from(Recipe::of_script(script)))
                .to_vec(),
            cause: Cause::Manual,
            dependents: Vec::new(),
        };
        self.store().ask_for_builds(new).await.unwrap()
    }

    async fn advance(&self, build: &BuildId, to: BuildState) {
        let transition = Transition {
            build: build.clone(),
            to,
            reason: Some(format!("it is {to}")),
            known: Facts::default(),
        };
        self.store().transition(transition).await.unwrap();
    }

    /// All builds of a commit, oldest first.
    async fn builds(&self, commit: &CommitSha) -> Vec<Build> {
        let all = self.store().builds(BuildFilter::default(), 10_000).await;
        let mut builds = all.unwrap().builds;
        builds.retain(|build| build.commit == *commit);
        builds.reverse();
        builds
    }

    /// What differs between GitHub and the newest builds of a commit.
    async fn differences(&self, commit: &CommitSha) -> Vec<String> {
        let mut newest: HashMap<String, Build> = HashMap::new();
        for build in self.builds(commit).await {
            newest.insert(build.status_context(), build);
        }
        let mut differences = Vec::new();
        let mut expect = |context: &str, state: &str, build: Option<&Build>| {
            let shown = self.github.status(APP, commit.as_str(), context);
            let is_state = shown.as_ref().is_some_and(|shown| shown.state == state);
            let leads_there = build.is_none_or(|build| {
                let url = self.inputs.config.borrow().build_url(&build.id);
                shown
                    .as_ref()
                    .is_some_and(|shown| shown.target_url == Some(url))
            });
            if !is_state || !leads_there {
                differences.push(format!("{context} should be {state} and is {shown:?}"));
            }
        };
        for (context, build) in &newest {
            expect(context, build.state.commit_status().as_str(), Some(build));
        }
        let states = newest.values().map(|build| build.state.commit_status());
        let combined = crate::domain::build::CommitStatus::combined(states).unwrap();
        expect("gig-autobuilder", combined.as_str(), None);
        differences
    }

    async fn converges(&self, commit: &CommitSha) {
        let begun = Instant::now();
        loop {
            let differences = self.differences(commit).await;
            let waits = self.store().status_backlog(true).await.unwrap().statuses;
            if differences.is_empty() && waits == 0 {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{waits} wait; {differences:#?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn sent(&self) -> usize {
        self.github.requests_to(Route::Statuses.by("POST")).len()
    }

    fn asked(&self) -> usize {
        self.github.requests_to(Route::Statuses.by("GET")).len()
    }

    /// Waits until the reporter has looked for something to send, more than once. It tells of
    /// obstacles each time.
    async fn looked(&self) {
        let mut looks = self.service().obstacles.subscribe();
        for _ in 0..5 {
            looks.changed().await.unwrap();
        }
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One after the other, in a bare repository.
fn make_commits(repository: &Path, count: usize) -> Vec<CommitSha> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(repository)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let tree = git(&["hash-object", "-w", "-t", "tree", "/dev/null"]);
    let mut commits: Vec<CommitSha> = Vec::new();
    for number in 0..count {
        let message = format!("change {number}");
        let mut arguments = vec!["commit-tree", &tree, "-m", &message];
        if let Some(parent) = commits.last() {
            arguments.extend(["-p", parent.as_str()]);
        }
        let commit = git(&arguments);
        commits.push(commit.parse().unwrap());
    }
    if let Some(newest) = commits.last() {
        git(&["update-ref", "refs/heads/main", newest.as_str()]);
    }
    commits
}

// ---- The property

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// One of the scripts is built once more.
    Rebuild(usize),
    /// One of the builds that are not over goes one state on.
    Advance(usize, usize),
    /// The next so many requests about statuses fail.
    Fail(usize, Failure),
    /// The service is killed and started again.
    Restart,
    /// Time passes.
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Failure {
    Status(u16),
    Cut,
    /// Done, and the answer lost.
    Lost,
    Late,
    Limited,
    LimitedUntil,
    Garbage,
}

impl Failure {
    fn answer(self) -> Answer {
        match self {
            Self::Status(status) => Answer::status(status),
            Self::Cut => Answer::cut(),
            Self::Lost => Answer::lost(),
            Self::Late => Answer::late(Duration::from_millis(20)),
            Self::Limited => Answer::secondary_limit(None),
            Self::LimitedUntil => Answer::secondary_limit(Some(Duration::from_secs(1))),
            Self::Garbage => Answer::garbage(),
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let failure = prop_oneof![
        proptest::sample::select(vec![401, 403, 404, 429, 451, 500, 502, 503])
            .prop_map(Failure::Status),
        Just(Failure::Cut),
        Just(Failure::Lost),
        Just(Failure::Late),
        Just(Failure::Limited),
        Just(Failure::LimitedUntil),
        Just(Failure::Garbage),
    ];
    prop_oneof![
        1 => (0..SCRIPTS.len()).prop_map(Event::Rebuild),
        6 => (any::<usize>(), any::<usize>()).prop_map(|(build, to)| Event::Advance(build, to)),
        3 => (1..6_usize, failure).prop_map(|(count, failure)| Event::Fail(count, failure)),
        1 => Just(Event::Restart),
        3 => (0..25_u64).prop_map(Event::Wait),
    ]
}

impl World {
    async fn happen(&mut self, event: Event, commit: &CommitSha) {
        match event {
            Event::Rebuild(script) => {
                let builds = self.builds(commit).await;
                let old = builds
                    .iter()
                    .find(|build| build.script() == SCRIPTS[script])
                    .unwrap();
                let work = Recipe::of_script(SCRIPTS[script]).into();
                self.store().rebuild(old.id.clone(), work).await.unwrap();
            }
            Event::Advance(build, to) => {
                let mut builds = self.builds(commit).await;
                builds.retain(|build| !build.state.is_end());
                if builds.is_empty() {
                    return;
                }
                let build = &builds[build % builds.len()];
                let mut next = BuildState::ALL.to_vec();
                next.retain(|next| build.state.may_become(*next));
                self.advance(&build.id, next[to % next.len()]).await;
            }
            Event::Fail(count, failure) => {
                let times = Times::Next(count);
                self.github.fail(times, Route::Statuses, failure.answer());
            }
            Event::Restart => {
                self.kill().await;
                self.start(hasty()).await;
            }
            Event::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
    }
}

const CASES: u32 = 32;

#[test]
fn in_the_end_github_holds_the_last_state_of_the_newest_build_of_each_context() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Cases that are made smaller need commits too.
    let mut world = runtime.block_on(World::new(2 * CASES as usize));
    let mut unused = world.commits.clone();
    let world = std::cell::RefCell::new(&mut world);
    let unused = std::cell::RefCell::new(&mut unused);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        // Each waits in vain for a while.
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    });
    let events = proptest::collection::vec(event(), 1..40);
    let outcome = runner.run(&events, |events| {
        let mut world = world.borrow_mut();
        let commit = unused.borrow_mut().pop().unwrap();
        runtime.block_on(async {
            world.start(hasty()).await;
            world.push(&commit).await;
            let was_killed = events.iter().any(|event| matches!(event, Event::Restart));
            for event in events {
                world.happen(event, &commit).await;
            }
            world.github.lift_all();
            world.converges(&commit).await;
            let corrections = world.service().metrics.status_corrections.get();
            assert!(
                was_killed || corrections == 0,
                "the order is kept by itself; the comparison is for what nobody could know"
            );
            world.kill().await;
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

// ---- What a story cannot see from outside

#[tokio::test]
async fn without_a_credential_nothing_is_sent_or_counted_and_one_that_comes_sends_all() {
    let mut world = World::new(1).await;
    world
        .inputs
        .config
        .send_modify(|config| Arc::make_mut(config).github.token = None);
    world.start(hasty()).await;
    let commit = world.commits[0].clone();
    let builds = world.push(&commit).await;
    world.advance(&builds[0], BuildState::Cancelled).await;
    world.looked().await;
    assert_eq!(world.github.requests().len(), 0);
    let delivery = async || {
        let build = world.store().build(builds[0].clone()).await.unwrap();
        world
            .store()
            .deliveries(&[build])
            .await
            .unwrap()
            .remove(&builds[0])
            .unwrap()
    };
    assert_eq!(
        (delivery().await.attempts, delivery().await.problem),
        (0, None)
    );
    assert_eq!(world.service().status_backlog().await.unwrap().statuses, 0);

    world.configure(|config| config.github.token = Some(Secret::new(TOKEN)));
    world.converges(&commit).await;
    assert_eq!(delivery().await.attempts, 1);
}

#[tokio::test]
async fn while_a_limit_holds_github_is_asked_nothing_at_all() {
    let mut world = World::new(1).await;
    world.start(hasty()).await;
    let limit = Answer::secondary_limit(Some(Duration::from_secs(600)));
    world.github.fail(Times::Next(1), Route::Statuses, limit);
    let commit = world.commits[0].clone();
    let builds = world.push(&commit).await;
    until("the limit is met", async || world.sent() == 1).await;
    world.advance(&builds[0], BuildState::Cancelled).await;
    world.looked().await;
    assert_eq!((world.sent(), world.asked()), (1, 0));
    let obstacle = world.service().obstacle_to(&APP.parse().unwrap()).unwrap();
    let wait = obstacle.until.since(Timestamp::now()).as_secs();
    assert!((590..=600).contains(&wait), "{obstacle:?}");

    // Another credential has limits of its own.
    world.github.token("another").all();
    world.configure(|config| config.github.token = Some(Secret::new("another")));
    world.converges(&commit).await;
    assert!(world.service().obstacles.borrow().is_empty());
}

#[test]
fn a_limit_is_news_once_however_long_it_lasts() {
    let (mut pause, now) = (Pause::default(), Instant::now());
    for (seconds, is_news) in [(3, true), (60, false)] {
        let (trouble, problem) = trouble(&GithubError::RateLimited {
            wait: Duration::from_secs(seconds),
            is_stated: true,
        });
        let failure = (trouble, problem.as_str());
        let found = pause.failed(&Patience::default(), failure, now, now, 0.0);
        assert_eq!(found, is_news);
    }
}

#[tokio::test]
async fn a_refusal_of_the_credential_before_says_nothing_of_the_one_that_holds() {
    let mut world = World::new(1).await;
    let mut pace = hasty();
    pace.patience.credential.first = Duration::from_secs(3600);
    pace.patience.credential.longest = Duration::from_secs(3600);
    world.start(pace).await;
    let refusal = Answer::status(401).after(Duration::from_millis(300));
    world.github.fail(Times::Next(1), Route::Statuses, refusal);
    let commit = world.commits[0].clone();
    world.push(&commit).await;
    until("it is asked", async || world.sent() == 1).await;
    world.github.token("another").all();
    world.configure(|config| config.github.token = Some(Secret::new("another")));
    world.converges(&commit).await;
}

#[tokio::test]
async fn what_github_always_fails_at_does_not_go_first_after_each_pause() {
    let mut world = World::new(2).await;
    let mut pace = hasty();
    let hour = Duration::from_secs(3600);
    (pace.patience.alone.first, pace.patience.alone.longest) = (hour, hour);
    world.start(pace).await;
    let failing = Route::Statuses.of("acme/other");
    world
        .github
        .fail(Times::UntilLifted, failing.clone(), Answer::status(502));
    world.push_to("acme/other", &world.commits[0]).await;
    let tried = || world.github.requests_to(failing.clone()).len();
    until("each of its statuses was tried", async || tried() == 3).await;
    for commit in &world.commits {
        world.push(commit).await;
    }
    until("the others are sent", async || {
        world.store().status_backlog(true).await.unwrap().statuses == 3
    })
    .await;
    world.looked().await;
    assert_eq!(tried(), 3);
}

#[tokio::test]
async fn what_waits_by_itself_is_sent_as_soon_as_its_time_has_come() {
    let mut world = World::new(1).await;
    let (moment, hour) = (Duration::from_millis(300), Duration::from_secs(3600));
    let mut pace = hasty();
    (pace.patience.alone.first, pace.patience.alone.longest) = (moment, moment);
    (pace.look_every, pace.compare_every) = (hour, hour);
    world.start(pace).await;
    world
        .github
        .fail(Times::Next(1), Route::Statuses, Answer::status(502));
    let commit = world.commits[0].clone();
    world.push(&commit).await;
    world.converges(&commit).await;
    assert_eq!(world.sent(), 4, "one of three was sent twice");
}

#[tokio::test]
async fn what_is_as_it_should_be_is_asked_for_at_no_cost() {
    let mut world = World::new(1).await;
    world.start(hasty()).await;
    let commit = world.commits[0].clone();
    world.push(&commit).await;
    world.converges(&commit).await;
    let sent = world.sent();
    let unchanged = || {
        let asked = world.github.requests_to(Route::Statuses.by("GET"));
        asked.iter().filter(|seen| seen.status == Some(304)).count()
    };
    until("nothing was modified", async || unchanged() > 3).await;
    assert_eq!(world.sent(), sent, "nothing is sent twice");
}

#[tokio::test]
async fn another_program_with_our_context_is_corrected_once_and_not_fought() {
    let mut world = World::new(1).await;
    let mut pace = hasty();
    pace.corrections_apart = Duration::from_secs(3600);
    world.start(pace.clone()).await;
    let commit = world.commits[0].clone();
    let builds = world.push(&commit).await;
    world.converges(&commit).await;
    let context = "autobuilder/build.sh";
    let statuses = || world.github.statuses(APP, commit.as_str(), context);
    let meddle = async || {
        let meddler = github::Status {
            context: context.to_owned(),
            state: "success".to_owned(),
            description: "not ours".to_owned(),
            target_url: "https://example.org".to_owned(),
        };
        let repository = APP.parse().unwrap();
        let done = world
            .service()
            .github
            .set_status(&repository, &commit, &meddler);
        done.await.unwrap();
    };
    meddle().await;
    world.converges(&commit).await;
    assert_eq!(statuses().len(), 3, "ours, theirs, ours");
    meddle().await;
    let asked = world.asked();
    until("it is compared again", async || world.asked() > asked + 3).await;
    assert_eq!(statuses().len(), 4, "theirs stays");
    world.kill().await;
    world.start(pace).await;
    let asked = world.asked();
    until("it is compared again", async || world.asked() > asked + 3).await;
    let shown = world.github.statuses(APP, commit.as_str(), context);
    assert_eq!(shown.len(), 4, "a restart is no new reason");
    assert_eq!(world.service().metrics.status_corrections.get(), 0);
    // Our next state is another matter.
    world.advance(&builds[0], BuildState::Cancelled).await;
    world.converges(&commit).await;
}

#[tokio::test]
async fn a_refusal_is_given_up_after_its_time_and_said_in_githubs_words() {
    let mut world = World::new(1).await;
    let mut pace = hasty();
    pace.patience.refused_for = Duration::from_millis(100);
    world.start(pace).await;
    world.github.fail(
        Times::UntilLifted,
        Route::Statuses,
        Answer::status(403).message("Resource not accessible"),
    );
    let commit = world.commits[0].clone();
    let builds = world.push(&commit).await;
    let delivery = async || {
        let build = world.store().build(builds[0].clone()).await.unwrap();
        world
            .store()
            .deliveries(&[build])
            .await
            .unwrap()
            .remove(&builds[0])
            .unwrap()
    };
    until("it is given up", async || delivery().await.given_up).await;
    let given_up = delivery().await;
    assert!(given_up.attempts > 1, "{given_up:?}");
    assert!(
        given_up
            .problem
            .unwrap()
            .contains("Resource not accessible")
    );
}

#[tokio::test]
async fn a_refusal_of_old_statuses_gives_up_one_of_them_and_waits() {
    let mut world = World::new(1).await;
    let (mut pace, hour) = (hasty(), Duration::from_secs(3600));
    pace.patience.refused_for = Duration::ZERO;
    (
        pace.patience.repository.first,
        pace.patience.repository.longest,
    ) = (hour, hour);
    world.start(pace).await;
    let refusal = Answer::status(403);
    world
        .github
        .fail(Times::UntilLifted, Route::Statuses, refusal);
    world.push(&world.commits[0]).await;
    let waits = async || world.store().status_backlog(true).await.unwrap().statuses;
    until("one is given up", async || waits().await < 3).await;
    world.looked().await;
    assert_eq!((waits().await, world.sent()), (2, 1));
}

#[tokio::test]
async fn what_github_does_not_take_waits_alone_until_it_is_given_up_or_the_settings_change() {
    let mut world = World::new(1).await;
    world.start(hasty()).await;
    let refusal = Answer::status(422).message("No commit found for SHA");
    let not_taken = Route::Statuses.by("POST");
    let failure = world.github.fail(Times::UntilLifted, not_taken, refusal);
    let commit = world.commits[0].clone();
    world.push(&commit).await;
    until("they are tried more than once", async || world.sent() > 3).await;
    assert_eq!(*world.service().obstacles.borrow(), []);
    world.kill().await;
    let mut pace = hasty();
    pace.patience.unknown_for = Duration::from_millis(300);
    world.start(pace).await;
    let waits = async || world.store().status_backlog(true).await.unwrap().statuses;
    until("they are given up", async || waits().await == 0).await;
    world.github.lift(failure);
    world.configure(|config| config.github.webhook_secret = Some(Secret::new("another")));
    world.converges(&commit).await;
}

#[tokio::test]
async fn a_commit_whose_statuses_github_cannot_list_holds_up_nothing() {
    let mut world = World::new(2).await;
    let (mut pace, hour) = (hasty(), Duration::from_secs(3600));
    (pace.patience.away.first, pace.patience.away.longest) = (hour, hour);
    world.start(pace).await;
    let (first, next) = (world.commits[0].clone(), world.commits[1].clone());
    world.push(&first).await;
    world.converges(&first).await;
    let broken = Answer::status(502);
    let listing = Route::Statuses.by("GET");
    world.github.fail(Times::UntilLifted, listing, broken);
    let failed = || {
        let asked = world.github.requests_to(Route::Statuses.by("GET"));
        asked.iter().filter(|seen| seen.status == Some(502)).count()
    };
    until("it is asked for in each comparison", async || failed() > 2).await;
    world.push(&next).await;
    world.converges(&next).await;
}

#[tokio::test]
async fn links_follow_the_public_url() {
    let mut world = World::new(1).await;
    let mut pace = hasty();
    world.start(pace.clone()).await;
    let commit = world.commits[0].clone();
    world.push(&commit).await;
    world.converges(&commit).await;
    let unchanged = || {
        let asked = world.github.requests_to(Route::Statuses.by("GET"));
        asked.iter().filter(|seen| seen.status == Some(304)).count()
    };
    until("nothing was modified", async || unchanged() > 1).await;
    world.configure(|config| {
        config.public_url = "https://new.example.org".to_owned().try_into().unwrap()
    });
    world.converges(&commit).await;

    // And not only with the next comparison.
    world.kill().await;
    pace.compare_every = Duration::from_secs(3600);
    world.start(pace).await;
    let asked = world.asked();
    until("it is compared at the start", async || {
        world.asked() > asked
    })
    .await;
    world.configure(|config| {
        config.public_url = "https://newest.example.org".to_owned().try_into().unwrap()
    });
    world.converges(&commit).await;
}
