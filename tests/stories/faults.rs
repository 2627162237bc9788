//! Each handler of each actor, and each task beside one, panics: once over a stream of pushes, and
//! always. The service heals what it can, and ends with its reason where it cannot.
//!
//! Needs a service that was built with the feature `faults`; see src/actors/faults.rs. A few of
//! them are told each time, `AUTOBUILDER_ALL_FAULTS=1` tells of all: `make chaos`.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use github_model::Model;
use serde_json::{Value, json};

use self::Always::{Ends, Stays};
use self::By::{
    Cancel, Catalog, Disorder, Full, Kernels, Late, Lost, Push, Redis as WithRedis, Supersede,
    Verbose,
};
use self::Once::{Again, Errored, Unreached, Whole};
use crate::support::{
    GITHUB_TOKEN, HOLD, RESULT, Redis, Repository, Service, docker, docker_answers, files_below,
    notes, script_output, story_folder, until, within,
};

/// What brings a fault about, beside the pushes of every story here.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Push,
    /// It is armed when builds have ended and GitHub has heard of them.
    Late,
    /// A build is cancelled.
    Cancel,
    /// A branch's file is written while there are builds.
    Catalog,
    /// A push comes of which the one before was not heard.
    Disorder,
    /// There is no room on the disk for a moment.
    Full,
    /// A kernel is to be built upon one whose image is gone.
    Kernels,
    /// A build's container is removed.
    Lost,
    /// A newer push comes while a build runs.
    Supersede,
    /// A script writes more than is kept.
    Verbose,
    Redis,
}

/// What becomes of the builds when it happens once.
#[derive(Clone, Copy, PartialEq)]
enum Once {
    /// All are as if nothing had been.
    Whole,
    /// One of them is built once more.
    Again,
    /// One of them ends, and says why.
    Errored,
    /// The service ends, and the next one does all that is left.
    Over,
    /// No story brings it about; why.
    Unreached(&'static str),
}

/// What becomes of the service when it happens each time.
#[derive(Clone, Copy, PartialEq)]
enum Always {
    Stays,
    /// It ends, and names what failed.
    Ends(&'static str),
}

/// What fails; what fails once before it, where it is not reached otherwise.
type Row = (&'static str, &'static str, By, Once, Always);

const TABLE: &[Row] = &[
    ("root.start", "", Push, Once::Over, Ends("root.start")),
    (
        "root.Start",
        "janitor.Ping",
        Push,
        Once::Over,
        Ends("root.Start"),
    ),
    (
        "root.ConfigurationChanged",
        "",
        Push,
        Once::Over,
        Ends("root.ConfigurationChanged"),
    ),
    ("root.Heard", "", Push, Once::Over, Ends("root.Heard")),
    (
        "root.supervise",
        "janitor.Ping",
        Push,
        Once::Over,
        Ends("root.supervise"),
    ),
    (
        "configuration.start",
        "configuration.Heard",
        Push,
        Whole,
        Ends("configuration fails"),
    ),
    ("configuration.Touched", "", Push, Whole, Stays),
    ("configuration.Load", "", Push, Whole, Stays),
    (
        "configuration.Heard",
        "",
        Push,
        Whole,
        Ends("configuration fails"),
    ),
    (
        "configuration.Read",
        "",
        Push,
        Whole,
        Ends("configuration fails"),
    ),
    (
        "watchers.start",
        "watchers.ConfigurationChanged",
        Push,
        Whole,
        Ends("watchers fails"),
    ),
    (
        "watchers.ConfigurationChanged",
        "",
        Push,
        Whole,
        Ends("watchers fails"),
    ),
    ("watchers.Compare", "", Disorder, Whole, Stays),
    ("watchers.StartAgain", "watcher.Compare", Push, Whole, Stays),
    ("watchers.supervise", "watcher.Compare", Push, Whole, Stays),
    ("watcher.start", "", Push, Whole, Stays),
    ("watcher.Compare", "", Push, Whole, Stays),
    ("watcher.Compared", "", Push, Whole, Stays),
    ("watcher.LookAtHooks", "", Push, Whole, Stays),
    ("watcher.LookedAtHooks", "", Push, Whole, Stays),
    (
        "projects.start",
        "projects.Heard",
        Push,
        Whole,
        Ends("projects fails"),
    ),
    ("projects.Heard", "", Push, Whole, Ends("projects fails")),
    ("projects.Ready", "", Push, Whole, Ends("projects fails")),
    (
        "projects.TakenOver",
        "",
        Push,
        Whole,
        Ends("projects fails"),
    ),
    ("projects.Awaits", "", Kernels, Whole, Stays),
    ("projects.Gone", "", Push, Whole, Stays),
    ("projects.Cancel", "", Cancel, Whole, Ends("projects fails")),
    ("projects.ConfigurationChanged", "", Push, Whole, Stays),
    ("projects.StartAgain", "project.Look", Push, Whole, Stays),
    ("projects.RoomChanged", "", Full, Whole, Stays),
    ("projects.supervise", "project.Look", Push, Whole, Stays),
    ("project.start", "", Push, Whole, Stays),
    ("project.Look", "", Push, Whole, Stays),
    ("project.Admitted", "", Push, Whole, Stays),
    ("project.Cancel", "", Cancel, Whole, Stays),
    ("project.CatalogChanged", "", Catalog, Whole, Stays),
    ("project.Decided", "", Push, Whole, Stays),
    ("project.Compared", "", Supersede, Whole, Stays),
    ("project.AwaitedLeft", "", Kernels, Whole, Stays),
    ("project.Left", "", Push, Whole, Stays),
    ("project.GivenUp", "build.Note", Push, Again, Stays),
    ("project.supervise", "build.Note", Push, Whole, Stays),
    ("build.start", "", Push, Errored, Stays),
    ("build.Note", "", Push, Again, Stays),
    ("build.Prepared", "", Push, Again, Stays),
    ("build.NoBase", "", Kernels, Again, Stays),
    ("build.Chunk", "", Push, Again, Stays),
    ("build.LimitReached", "", Verbose, Again, Stays),
    ("build.ScriptEnded", "", Push, Again, Stays),
    ("build.ContainerLost", "", Lost, Again, Stays),
    ("build.Collected", "", Push, Errored, Stays),
    ("build.Published", "", Push, Errored, Stays),
    ("build.Interrupt", "", Cancel, Whole, Stays),
    (
        "build.StopWaiting",
        "",
        Push,
        Unreached("the rest of a log always comes in time"),
        Stays,
    ),
    ("build.TaskFailed", "task.Pump", Push, Again, Stays),
    (
        "reporter.start",
        "reporter.Look",
        Push,
        Whole,
        Ends("status reporter fails"),
    ),
    (
        "reporter.Look",
        "",
        Push,
        Whole,
        Ends("status reporter fails"),
    ),
    (
        "reporter.Sent",
        "",
        Push,
        Whole,
        Ends("status reporter fails"),
    ),
    (
        "reporter.Compare",
        "",
        Push,
        Whole,
        Ends("status reporter fails"),
    ),
    (
        "reporter.Shown",
        "reporter.Look",
        Late,
        Whole,
        Ends("status reporter fails"),
    ),
    (
        "janitor.start",
        "janitor.Ping",
        Push,
        Whole,
        Ends("janitor fails"),
    ),
    ("janitor.Ping", "", Push, Whole, Ends("janitor fails")),
    ("janitor.Sweep", "", Push, Whole, Ends("janitor fails")),
    ("janitor.Swept", "", Push, Whole, Ends("janitor fails")),
    ("janitor.Collect", "", Push, Whole, Ends("janitor fails")),
    ("janitor.Collected", "", Push, Whole, Ends("janitor fails")),
    ("janitor.Retain", "", Push, Whole, Ends("janitor fails")),
    ("janitor.Retained", "", Push, Whole, Ends("janitor fails")),
    (
        "janitor.DiskUnwatched",
        "task.WatchDisk",
        Push,
        Whole,
        Stays,
    ),
    ("relay.start", "", WithRedis, Whole, Ends("relay fails")),
    ("relay.Ended", "task.RelayToRedis", WithRedis, Whole, Stays),
    (
        "legacy_topics.start",
        "",
        WithRedis,
        Whole,
        Ends("legacy topics fails"),
    ),
    (
        "legacy_topics.Ended",
        "task.PublishToRedis",
        WithRedis,
        Whole,
        Stays,
    ),
    ("task.Prepare", "", Push, Again, Stays),
    ("task.Pump", "", Push, Again, Stays),
    ("task.CollectArtifact", "", Push, Errored, Stays),
    ("task.Publish", "", Push, Errored, Stays),
    ("task.Decide", "", Push, Whole, Stays),
    ("task.CompareCommits", "", Supersede, Whole, Stays),
    ("task.GiveUpAttempt", "build.Note", Push, Whole, Stays),
    (
        "task.LoadConfiguration",
        "",
        Push,
        Whole,
        Ends("configuration fails"),
    ),
    ("task.CompareHeads", "", Push, Whole, Stays),
    ("task.LookAtHooks", "", Push, Whole, Stays),
    ("task.SendStatus", "", Push, Whole, Stays),
    ("task.ShowCommit", "reporter.Look", Late, Whole, Stays),
    ("task.Sweep", "", Push, Whole, Stays),
    ("task.Collect", "", Push, Whole, Stays),
    ("task.Retain", "", Push, Whole, Stays),
    ("task.WatchDisk", "", Push, Whole, Ends("janitor fails")),
    (
        "task.RelayToRedis",
        "",
        WithRedis,
        Whole,
        Ends("relay fails"),
    ),
    (
        "task.PublishToRedis",
        "",
        WithRedis,
        Whole,
        Ends("legacy topics fails"),
    ),
];

/// One of each kind, for the gate.
const SOME_ONCE: [&str; 7] = [
    "root.Heard",
    "configuration.Read",
    "projects.Ready",
    "project.Left",
    "build.Chunk",
    "reporter.Sent",
    "task.Sweep",
];
const SOME_ALWAYS: [&str; 3] = ["janitor.Ping", "watcher.Compare", "build.Note"];

/// Nothing lets these start again while the service runs: it does not start.
const AT_THE_START: [&str; 2] = ["root.start", "legacy_topics.start"];

/// Stories at once. They wait most of the time.
const AT_ONCE: usize = 6;

/// Until what fails always has ended the service. Its pauses add up to 23 s.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

const LINES: usize = 2000;

fn script(name: &str) -> String {
    format!(
        "#!/bin/sh\ni=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo {name} $i; done\n{RESULT}"
    )
}

fn output(name: &str) -> String {
    (1..=LINES).map(|line| format!("{name} {line}\n")).collect()
}

struct Story {
    service: Service,
    github: Model,
    _redis: Option<Redis>,
    by: By,
    app: Repository,
    filtered: Repository,
    /// A base kernel and what is built upon it.
    kernels: [Repository; 2],
    /// By build: what its script writes, if that is looked at.
    pushed: HashMap<String, (String, Option<&'static str>)>,
}

impl Story {
    async fn begin(by: By, faults: &str) -> Self {
        let folder = story_folder();
        std::fs::write(folder.path().join("faults"), faults).unwrap();
        let github = Model::start(&folder.path().join("git")).await;
        github.token(GITHUB_TOKEN).all();
        github.limit(GITHUB_TOKEN, 1_000_000, Duration::from_secs(24 * 3600));
        let redis = (by == WithRedis).then(Redis::start);
        let app = Repository::create(folder.path(), "acme/app");
        let filtered = Repository::create(folder.path(), "acme/filtered");
        // Docker's images, which base kernels become, are everybody's.
        let owner = folder.path().file_name().unwrap().to_str().unwrap();
        let owner = owner.to_lowercase().replace('.', "");
        let kernels = ["base", "core"]
            .map(|name| Repository::create(folder.path(), &format!("{owner}/{name}")));
        for repository in [&app, &filtered].into_iter().chain(&kernels) {
            github.repository(&repository.name).await;
        }
        let settings = json!({
            "github": {"api_url": github.url(), "token": GITHUB_TOKEN},
            // Docker has room for some thirty networks, and here are many services.
            "docker": {"network": "bridge"},
            "builds": {
                "concurrency": 3,
                "supersede": by == Supersede,
                "max_log": (by == Verbose).then_some("10KiB"),
            },
            "kernels": (by == Kernels).then(|| json!({
                "directory": "./kernels",
                "repositories": {
                    &kernels[0].name: {"script": "build.sh", "commit": true},
                    &kernels[1].name: {
                        "script": "core.sh", "base": kernels[0].name, "rebuild_base": true,
                    },
                },
            })),
            "redis": redis.as_ref().map(|redis| json!({"url": redis.url(), "legacy_topics": true})),
        });
        let mut service = Service::start_in(folder, settings);
        service.expect_errors(&["a fault was armed: "]);
        Self {
            service,
            github,
            _redis: redis,
            by,
            app,
            filtered,
            kernels,
            pushed: HashMap::new(),
        }
    }

    fn faults(&self) -> std::path::PathBuf {
        self.service.path("faults")
    }

    fn arm(&self, faults: &str) {
        // In one step, as it may be read at this moment.
        let fresh = self.service.path("fresh-faults");
        std::fs::write(&fresh, faults).unwrap();
        std::fs::rename(fresh, self.faults()).unwrap();
    }

    async fn push(&mut self, filtered: bool, script: &str, writes: Option<&'static str>) -> String {
        let repository = if filtered { &self.filtered } else { &self.app };
        repository.commit(&[("build.sh", script)]);
        let told = self.service.webhook(&repository.push("main")).await;
        assert_eq!(told.builds.len(), 1, "{:?}", told.builds);
        self.pushed
            .insert(told.builds[0].clone(), (repository.head(), writes));
        told.builds[0].clone()
    }

    /// What every story does, and what this one does beside it.
    async fn go(&mut self) {
        for (name, more) in [("acme/app", ""), ("acme/filtered", ", paths: ['**']")] {
            let text =
                format!("buildscripts: [build.sh]\nbuild.sh: {{artifact: result.tar.gz{more}}}\n");
            self.service.write_configuration(name, "main", &text);
        }
        until("both are configured", async || {
            let known = self.service.get("/api/v1/repositories").await;
            (known.status == 200
                && known.text.contains("acme/filtered")
                && known.text.contains("acme/app"))
            .then_some(())
        })
        .await;
        self.push(true, &script("one"), Some("one")).await;
        self.push(true, &script("two"), Some("two")).await;
        self.push(false, &script("three"), Some("three")).await;
        match self.by {
            Push | Late | WithRedis | Verbose => {}
            Catalog => {
                let held = self.hold().await;
                let loads = self.service.configurations_loaded();
                let text = "buildscripts: [build.sh, more.sh]\nbuild.sh: {artifact: result.tar.gz}\nmore.sh: {artifact: more.tar.gz, tag: more}\n";
                self.service.write_configuration("acme/app", "main", text);
                until("the catalog is another", async || {
                    (self.service.configurations_loaded() > loads).then_some(())
                })
                .await;
                self.service.release(&held);
            }
            Cancel => {
                let held = self.hold().await;
                // Where it always fails, nobody may be left to ask.
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(30) && self.service.is_running() {
                    self.service.cancel(&held).await;
                    if self.service.build(&held).await["ended"].is_string() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            Disorder => {
                self.app.commit(&[("build.sh", &script("unheard"))]);
                self.app.push("main");
                self.push(false, &script("four"), Some("four")).await;
            }
            Full => {
                for room in ["1PiB", "1MiB"] {
                    self.service.change_settings(json!({"min_free_disk": room}));
                    let full = room == "1PiB";
                    until("it is noticed", async || {
                        let ready = self.service.get("/readyz").await;
                        (ready.text.contains("min_free_disk") == full).then_some(())
                    })
                    .await;
                }
            }
            Kernels => {
                let [base, core] = &self.kernels;
                let script = "#!/bin/sh\necho a kernel > /target/vmlinuz.efi\n";
                let mut push = async |of: &Repository, path| {
                    of.commit(&[(path, script)]);
                    let build = self.service.pushed(&of.push("main")).await;
                    self.pushed.insert(build.clone(), (of.head(), None));
                    build
                };
                base.commit(&[("core.sh", script)]);
                let made = push(base, "build.sh").await;
                self.service.wait_for(&made, "succeeded").await;
                docker(&["rmi", &format!("{}:main", base.name)]);
                push(core, "core.c").await;
            }
            Lost => {
                let held = self.hold().await;
                docker(&[
                    "rm",
                    "--force",
                    "--volumes",
                    &self.service.container_of(&held),
                ]);
                // Its second attempt, where there is one.
                for _ in 0..2 {
                    self.service.wait_for_log(&held, "holding").await;
                }
                within(Duration::from_secs(60), "it is over", async || {
                    let now = self.service.build(&held).await;
                    if now["state"] == "building" {
                        self.service.try_release(&held);
                    }
                    now["ended"].is_string().then_some(())
                })
                .await;
            }
            Supersede => {
                self.hold().await;
                self.push(false, &script("newest"), Some("newest")).await;
            }
        }
    }

    /// A build that waits in its script.
    async fn hold(&mut self) -> String {
        let held = self
            .push(false, &format!("#!/bin/sh\n{HOLD}{RESULT}"), None)
            .await;
        self.service.wait_for_log(&held, "holding").await;
        held
    }

    /// Every build has ended, by itself.
    async fn all_over(&self) -> Vec<Value> {
        within(Duration::from_secs(90), "everything is over", async || {
            let answer = self.service.get("/api/v1/builds?limit=200").await;
            let builds = answer.json()["builds"].as_array()?.clone();
            builds
                .iter()
                .all(|build| build["ended"].is_string())
                .then_some(builds)
        })
        .await
    }

    /// Each build has ended once and well, but for what this outcome says.
    async fn check(&mut self, once: Once) {
        let builds = self.all_over().await;
        if self.by == Kernels {
            // The base once more, which nobody pushed.
            let base = (self.kernels[0].head(), None);
            let builds = builds.iter().map(|build| build["id"].as_str().unwrap());
            let unheard = builds.filter(|build| !self.pushed.contains_key(*build));
            let unheard: Vec<String> = unheard.map(str::to_owned).collect();
            assert_eq!(unheard.len(), 1, "{unheard:?}");
            let unheard = unheard.into_iter().map(|build| (build, base.clone()));
            self.pushed.extend(unheard);
        }
        assert_eq!(builds.len(), self.pushed.len(), "{builds:#?}");
        let (mut again, mut errored) = (0, 0);
        for build in &builds {
            let id = build["id"].as_str().unwrap();
            let (commit, writes) = &self.pushed[id];
            let log = self.service.log(id).await;
            again += usize::from(build["attempt"] == 2);
            let last = notes(&log).last().copied().unwrap_or_default().to_owned();
            let context = format!("autobuilder/{}", build["script"].as_str().unwrap());
            let (ended_well, shown) = match build["state"].as_str().unwrap() {
                "succeeded" => (true, "success"),
                "cancelled" if self.by == Cancel => (false, "error"),
                "superseded" if self.by == Supersede => (false, "error"),
                "errored" if once == Errored => {
                    errored += 1;
                    (false, "error")
                }
                other => panic!("{other}: {build:#}\n---- its log\n{log}----"),
            };
            let state = build["state"].as_str().unwrap();
            assert!(
                last.starts_with(state) || log.is_empty(),
                "the last line of {id}, {state}, is {last:?}"
            );
            if let Some(name) = writes.filter(|_| ended_well && self.by != Verbose) {
                let (found, expected) = (script_output(&log), output(name));
                let is_whole = match build["attempt"] == 1 {
                    true => found == expected,
                    false => found.ends_with(&expected),
                };
                assert!(
                    is_whole,
                    "the log of {id} is not what its script wrote:\n{log}"
                );
            }
            let repository = build["repository"].as_str().unwrap();
            until(&format!("GitHub shows {shown} for {id}"), async || {
                let status = self.github.status(repository, commit, &context)?;
                (status.state == shown).then_some(())
            })
            .await;
        }
        match once {
            Again => assert!(again > 0, "none was built once more: {builds:#?}"),
            Errored => assert_eq!((again, errored), (0, 1), "{builds:#?}"),
            // Its first attempt or its second, whichever the cancellation meets.
            _ if self.by == Cancel => {}
            _ => assert_eq!(again, 0, "{builds:#?}"),
        }
        let tmp = self.service.path("data/tmp");
        until("nothing is left in tmp", async || {
            files_below(&tmp).is_empty().then_some(())
        })
        .await;
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if self.by != Kernels {
            return;
        }
        let images = docker(&["images", "--quiet", "--no-trunc", &self.kernels[0].name]);
        for image in images.lines() {
            docker_answers(&["rmi", "--force", image]);
        }
    }
}

/// Some handlers run as the service starts; others are to fail only when it has.
fn is_armed_late(point: &str, by: By) -> bool {
    by == Late || point.ends_with(".start") || point.starts_with("root.")
}

fn lines(point: &str, before: &str, often: &str) -> String {
    let before = match before {
        "" => String::new(),
        before => format!("{before} once\n"),
    };
    format!("{before}{point} {often}\n")
}

async fn fails_once(&(point, before, by, once, _): &Row) {
    if matches!(once, Unreached(_)) {
        return;
    }
    let armed = lines(point, before, "once");
    let is_late = is_armed_late(point, by);
    let mut story = Story::begin(by, if is_late { "" } else { &armed }).await;
    let process = story.service.process_id();
    if by == Late {
        story.go().await;
        story.all_over().await;
        story.check(Whole).await;
    }
    if AT_THE_START.contains(&point) {
        story.service.terminate();
        story.arm(&armed);
        let said = story.service.try_start_again().unwrap_err();
        assert!(
            said.contains(&format!("a fault was armed: {point}")),
            "{said}"
        );
        story.service.start_again();
        story.go().await;
        return story.check(Whole).await;
    }
    if is_late {
        story.arm(&armed);
    }
    if once == Once::Over {
        // A push may be what ends it, and is not answered for then.
        let pushed = story.app.name.clone();
        story.service.write_configuration(
            &pushed,
            "main",
            "buildscripts: [build.sh]\nbuild.sh: {artifact: result.tar.gz}\n",
        );
        if point == "root.Heard" {
            story.app.commit(&[("build.sh", &script("heard"))]);
            until("it is configured", async || {
                (story.service.configurations_loaded() > 0).then_some(())
            })
            .await;
            let build = story.service.pushed(&story.app.push("main")).await;
            story
                .pushed
                .insert(build, (story.app.head(), Some("heard")));
        }
        ends(&mut story.service, point).await;
        story.service.start_again();
        story.go().await;
        return story.check(Whole).await;
    }
    story.go().await;
    until(&format!("{point} has failed"), async || {
        let left = std::fs::read_to_string(story.faults()).unwrap();
        left.is_empty().then_some(())
    })
    .await;
    story.check(once).await;
    assert_eq!(story.service.process_id(), process);
    let heals_itself = point.starts_with("task.") || point == "build.start";
    let metrics = story.service.get("/metrics").await.text;
    let counted = metrics.contains("autobuilder_actor_restarts_total{");
    assert!(counted || heals_itself, "{metrics}");
}

async fn fails_always(&(point, before, by, once, always): &Row) {
    if matches!(once, Unreached(_)) {
        return;
    }
    let armed = lines(point, before, "always");
    let is_late = is_armed_late(point, by);
    let mut story = Story::begin(by, if is_late { "" } else { &armed }).await;
    if AT_THE_START.contains(&point) {
        story.service.terminate();
        story.arm(&armed);
        let said = story.service.try_start_again().unwrap_err();
        assert!(
            said.contains(&format!("a fault was armed: {point}")),
            "{said}"
        );
    } else if let Ends(what) = always {
        if by == Late {
            story.go().await;
            story.check(Whole).await;
        }
        if is_late {
            story.arm(&armed);
        }
        // It may end at any moment, whatever is asked of it.
        let _ = AssertUnwindSafe(story.go()).catch_unwind().await;
        ends(&mut story.service, what).await;
    } else {
        let process = story.service.process_id();
        if by == Late {
            story.go().await;
            story.check(Whole).await;
        }
        if is_late {
            story.arm(&armed);
        }
        // Some of its builds may wait for ever.
        let _ = AssertUnwindSafe(story.go()).catch_unwind().await;
        assert!(story.service.is_running(), "it has ended");
        assert_eq!(story.service.process_id(), process);
        for path in ["/healthz", "/api/v1/builds", "/monitor"] {
            assert_eq!(story.service.get(path).await.status, 200, "{path}");
        }
        assert!(story.service.terminate().success());
    }
    // Whatever it was, the next one goes on from what is on the disk.
    story.arm("");
    story.service.start_again();
    for build in story.service.builds().await {
        if build["ended"].is_null() {
            story.service.cancel(build["id"].as_str().unwrap()).await;
        }
    }
    story.all_over().await;
}

/// The service ends by itself, with an exit code that is no panic's, and says why at last.
async fn ends(service: &mut Service, why: &str) {
    let status = service.wait_for_end(ENDS_WITHIN).await;
    assert_eq!(status.code(), Some(1), "{status}");
    let log = service.own_log();
    let last = log
        .lines()
        .rfind(|line| line.contains("\"ERROR\""))
        .unwrap_or_default();
    assert!(
        last.contains(why),
        "its last error says nothing of {why}: {last}"
    );
}

/// Tells a story of each of these rows, some at a time, and names all that failed.
fn tell(rows: Vec<&'static Row>, story: impl AsyncFn(&Row) + Sync) {
    let left = Mutex::new(rows.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread();
                let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
                loop {
                    let Some(row) = left.lock().unwrap().next() else {
                        return;
                    };
                    let told =
                        std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(story(row))));
                    println!("{} {}", if told.is_ok() { "ok" } else { "FAILED" }, row.0);
                    if told.is_err() {
                        failed.lock().unwrap().push(row.0);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Those of the gate; all of them, or those that are named, where the environment says so.
fn chosen(some: &[&str]) -> Vec<&'static Row> {
    let wanted = std::env::var("AUTOBUILDER_ALL_FAULTS").unwrap_or_default();
    let is_wanted = |point: &str| match wanted.as_str() {
        "" => some.contains(&point),
        "1" => true,
        wanted => wanted.split(',').any(|begin| point.starts_with(begin)),
    };
    TABLE.iter().filter(|row| is_wanted(row.0)).collect()
}

#[test]
fn what_fails_once_is_healed_and_each_push_is_built() {
    tell(chosen(&SOME_ONCE), fails_once);
}

#[test]
fn what_fails_always_ends_the_service_with_its_reason_or_leaves_the_rest_of_it_alone() {
    tell(chosen(&SOME_ALWAYS), fails_always);
}

#[tokio::test]
async fn every_handler_and_every_task_has_its_row() {
    let story = Story::begin(Push, "").await;
    let log = story.service.own_log();
    let line = log
        .lines()
        .find(|line| line.contains("faults can be armed"));
    let line: Value =
        serde_json::from_str(line.expect("it was built with the feature faults")).unwrap();
    let mut points: Vec<&str> = line["fields"]["points"]
        .as_str()
        .unwrap()
        .split(' ')
        .collect();
    let mut rows: Vec<&str> = TABLE.iter().map(|row| row.0).collect();
    points.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, points);
    let some = SOME_ONCE.iter().chain(&SOME_ALWAYS);
    assert!(some.clone().all(|point| points.contains(point)));
}

/// One repository has a path filter, and what decides by it fails always.
#[tokio::test]
async fn a_repository_whose_queue_always_fails_is_left_alone_and_others_go_on() {
    let mut story = Story::begin(Push, "project.Decided always\n").await;
    let process = story.service.process_id();
    story.go().await;
    let stuck = "acme/filtered";
    let waiting = until("its builds say why they wait", async || {
        let builds = story.service.builds().await;
        let of_it = builds.iter().find(|build| build["repository"] == stuck)?;
        let waiting = of_it["waiting"].as_str().unwrap_or_default().to_owned();
        waiting
            .contains("failed again and again")
            .then_some(waiting)
    })
    .await;
    assert!(
        waiting.contains("a fault was armed: project.Decided"),
        "{waiting}"
    );
    let metrics = story.service.get("/metrics").await.text;
    assert!(
        metrics.contains("autobuilder_repositories_standing_still 1\n"),
        "{metrics}"
    );
    // Whatever is heard of it, it is not tried before its time.
    let failures = |story: &Story| {
        story
            .service
            .own_log()
            .matches("a repository's queue failed")
            .count()
    };
    let failed = failures(&story);
    assert_eq!(failed, 9, "eight tries, and the one that was too many");
    story.push(true, &script("three"), Some("three")).await;
    let other = story.push(false, &script("four"), Some("four")).await;
    story.service.wait_for(&other, "succeeded").await;
    assert_eq!(failures(&story), failed);
    assert_eq!(story.service.process_id(), process);
    assert!(story.service.terminate().success());
    story.arm("");
    story.service.start_again();
    story.check(Whole).await;
}
