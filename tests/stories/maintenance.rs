//! What is left over and what is past its retention goes, and nothing else; new builds wait for
//! room on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{Answer, HOLD, RESULT, Service, docker, docker_answers, notes, run, until};

/// Ids as builds have them, of builds that never were.
const UNKNOWN: &str = "0000000000zz";
const FRESH: &str = "1111111111zz";

/// As if nobody had touched it, or what is in it, for two hours.
fn make_old(path: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            make_old(&entry.unwrap().path());
        }
    }
    let file = fs::File::open(path).unwrap();
    file.set_modified(long_ago).unwrap();
}

/// Things on Docker and in the data directory that a crash may have left, and things that look
/// like them and are others'.
struct Things {
    ours: Vec<[String; 2]>,
    others: Vec<[String; 2]>,
    /// Dangling. Whoever comes first removes it: this service or that of another story.
    image: String,
    holder: String,
}

impl Things {
    fn put(service: &Service) -> Self {
        let instance = service.instance();
        let label = format!("--label=autobuilder.instance={instance}");
        let foreign = "--label=autobuilder.instance=another";
        let build = format!("--label=autobuilder.build={UNKNOWN}");
        let name = |what: &str| format!("{}{what}", service.container_prefix());
        let run = |arguments: &[&str]| drop(docker(arguments));
        let image = "autobuilder/busybox:test";

        run(&["create", "--name", &name("left"), &label, &build, image]);
        run(&["create", "--name", &name("foreign"), foreign, &build, image]);
        for (what, labels) in [
            ("volume-left", [label.as_str(), &build]),
            ("volume-used", [&label, &build]),
            ("volume-foreign", [foreign, &build]),
            ("volume-unlabelled", ["--label=x", "--label=y"]),
        ] {
            let volume = name(what);
            run(&[&["volume", "create"], &labels[..], &[&volume]].concat());
        }
        let used = format!("{}:/x", name("volume-used"));
        let holder = name("holder");
        run(&["network", "create", &label, &name("network-used")]);
        let network = format!("--network={}", name("network-used"));
        run(&["create", "--name", &holder, "-v", &used, &network, image]);
        run(&["network", "create", &label, &name("network-left")]);
        run(&["network", "create", &name("network-foreign")]);
        let change = format!("LABEL autobuilder.kernel.build={UNKNOWN}");
        let dangling = docker(&["commit", "--change", &change, &holder]);

        for folder in [
            format!("data/builds/{UNKNOWN}"),
            format!("data/builds/{FRESH}"),
            "data/builds/notes".to_owned(),
            format!("data/tmp/autobuilder/{UNKNOWN}-Ab12"),
            format!("data/tmp/autobuilder/{FRESH}-Ab12"),
        ] {
            let folder = service.path(&folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("log"), "0123456789").unwrap();
            if !folder.to_str().unwrap().contains(FRESH) {
                make_old(&folder);
            }
        }
        let things = |of: &[(&str, String)]| {
            let things = of.iter();
            things
                .map(|(kind, name)| [(*kind).to_owned(), name.clone()])
                .collect()
        };
        Self {
            ours: things(&[
                ("container", name("left")),
                ("volume", name("volume-left")),
                ("network", name("network-left")),
                ("build_files", format!("builds/{UNKNOWN}")),
                ("temporary", format!("{UNKNOWN}-Ab12")),
            ]),
            others: things(&[
                ("container", name("foreign")),
                ("container", holder.clone()),
                ("volume", name("volume-used")),
                ("volume", name("volume-foreign")),
                ("volume", name("volume-unlabelled")),
                ("network", name("network-used")),
                ("network", name("network-foreign")),
                ("network", name(instance)),
                ("build_files", format!("builds/{FRESH}")),
                ("build_files", "builds/notes".to_owned()),
                ("temporary", format!("{FRESH}-Ab12")),
            ]),
            image: dangling,
            holder,
        }
    }

    fn is_there(service: &Service, [kind, name]: &[String; 2]) -> bool {
        match kind.as_str() {
            "build_files" => service.path("data").join(name).exists(),
            "temporary" => service.path("data/tmp/autobuilder").join(name).exists(),
            kind => docker_answers(&[kind, "inspect", name]),
        }
    }

    fn there<'a>(service: &Service, things: &'a [[String; 2]]) -> Vec<&'a [String; 2]> {
        let there = things.iter().filter(|thing| Self::is_there(service, thing));
        there.collect()
    }

    fn tidy(&self) {
        for kind in ["container", "volume", "network"] {
            for [_, name] in self.others.iter().filter(|[of, _]| of == kind) {
                docker_answers(&[kind, "rm", name]);
            }
        }
    }
}

/// Kind and name of each thing, images apart.
fn items(gc: &Value) -> BTreeSet<[String; 2]> {
    let items = gc["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = items.map(|item| [text(&item["kind"]), text(&item["name"])]);
    items.filter(|[kind, _]| kind != "image").collect()
}

fn gc(service: &Service, arguments: &[&str]) -> Value {
    let output = service.cli_with_file(&[&["gc", "--json"], arguments].concat());
    assert_eq!(output.code, 0, "{output:?}");
    let answer: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(answer["problems"], json!([]));
    answer
}

#[tokio::test]
async fn leftovers_are_shown_and_then_removed_and_what_is_others_stays() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    let running = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&running, "holding").await;
    service.kill();

    let things = Things::put(&service);
    let ours: BTreeSet<_> = things.ours.iter().cloned().collect();
    let shown = gc(&service, &["--dry-run"]);
    assert_eq!(shown["dry_run"], true);
    assert_eq!(items(&shown), ours, "{shown:#}");
    if docker_answers(&["image", "inspect", &things.image]) {
        assert!(shown["items"].to_string().contains(&things.image));
    }
    assert!(shown["bytes"].as_u64().unwrap() >= 20, "{shown:#}");
    assert_eq!(Things::there(&service, &things.ours).len(), ours.len());
    assert_eq!(items(&gc(&service, &["--dry-run"])), ours);

    assert_eq!(items(&gc(&service, &[])), ours);
    assert!(Things::there(&service, &things.ours).is_empty());
    assert!(!docker_answers(&["image", "inspect", &things.image]));
    assert_eq!(
        Things::there(&service, &things.others).len(),
        things.others.len()
    );
    assert!(items(&gc(&service, &[])).is_empty());
    // Its network is another's from now on, and so is that of whoever was on it.
    docker(&["rm", &things.holder]);
    service.change_settings(json!({"docker": {"network": "bridge"}}));
    let networks = items(&gc(&service, &["--dry-run"]));
    let network = |name: &str| {
        let name = format!("{}{name}", service.container_prefix());
        ["network".to_owned(), name]
    };
    assert!(networks.contains(&network("network-used")), "{networks:?}");
    // The build that runs is still on this one.
    assert!(!networks.contains(&network(service.instance())));
    service.change_settings(json!({"docker": {"network": null}}));
    things.tidy();

    service.start_again();
    service.release(&running);
    service.wait_for(&running, "succeeded").await;
}

#[tokio::test]
async fn a_service_that_starts_removes_what_a_crash_left() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    service.kill();
    let things = Things::put(&service);
    service.start_again();
    until("what was left is gone", async || {
        let left = Things::there(&service, &things.ours);
        (left.is_empty() && !docker_answers(&["image", "inspect", &things.image])).then_some(())
    })
    .await;
    // Its start empties this folder.
    let others = things.others.iter().filter(|[kind, _]| kind != "temporary");
    for other in others {
        assert!(Things::is_there(&service, other), "{other:?}");
    }
    things.tidy();
}

#[tokio::test]
async fn a_running_service_is_asked_and_wants_the_token() {
    let service = Service::start();
    let folder = service.path(&format!("data/builds/{UNKNOWN}"));
    // It has looked at its start already, and does so again only in minutes.
    until("it has looked", async || {
        let looked = service.own_log().contains("looked for what is left over");
        looked.then_some(())
    })
    .await;
    fs::create_dir(&folder).unwrap();
    make_old(&folder);
    let asked = service.request(reqwest::Method::POST, "/api/v1/gc");
    assert_eq!(Answer::of(asked).await.status, 401);
    assert!(folder.exists());
    let wrong = service.post("/api/v1/gc", json!({"dry": true})).await;
    assert_eq!(wrong.status, 400);
    wrong.error();

    let shown = service.cli(&["gc", "--dry-run"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let line = format!("build_files\t0\tbuilds/{UNKNOWN}\t");
    assert!(shown.stdout.starts_with(&line), "{shown:?}");
    assert!(shown.stderr.contains("one thing to remove"), "{shown:?}");
    assert!(folder.exists());
    let removed = service.cli(&["gc"]);
    assert_eq!(removed.stdout, shown.stdout);
    assert!(removed.stderr.contains("one thing removed"), "{removed:?}");
    assert!(!folder.exists());

    let mut nowhere = service.cli_command();
    nowhere.args(["gc"]).env_remove("AUTOBUILDER_URL");
    assert_eq!(run(nowhere).code, 2);
}

const BINARY: &str = "buildscripts: [build.sh]\nbuild.sh: {artifact: a, format: binary}\n";

#[tokio::test]
async fn published_files_past_their_retention_go_and_what_a_link_points_to_stays() {
    let mut service = Service::start();
    let app = service.repository("acme/app");
    service.configure("acme/app", "main", BINARY).await;
    let mut builds = Vec::new();
    for version in ["one", "two"] {
        let script = format!("#!/bin/sh\necho {version} > /target/a\n");
        let build = service.push_script(&app, &script).await;
        let ended = service.wait_for(&build, "succeeded").await;
        let commit = ended["commit"].as_str().unwrap()[..10].to_owned();
        builds.push((build, format!("binaries/acme-app-main-{commit}.tar.gz")));
    }
    let [(older, older_file), (newer, newer_file)] = &builds[..] else {
        panic!("two builds");
    };
    let foreign = service.path("binaries/acme-app-main-0000000000.tar.gz");
    fs::write(&foreign, "by hand").unwrap();
    assert_eq!(
        items(&gc_of(&service).await),
        BTreeSet::new(),
        "kept for ever"
    );

    service.terminate();
    service.change_settings(json!({"retention": {"published": "1s", "artifacts": "1s"}}));
    let path = |file: &str| service.path(file).to_str().unwrap().to_owned();
    let expected: BTreeSet<_> = [
        ["artifacts".to_owned(), older.clone()],
        ["artifacts".to_owned(), newer.clone()],
        ["published".to_owned(), path(older_file)],
    ]
    .into();
    let shown = until("a second is over", async || {
        let shown = gc(&service, &["--dry-run"]);
        (items(&shown) == expected).then_some(shown)
    })
    .await;
    let kept = shown["kept"].as_array().unwrap();
    assert!(
        kept.iter()
            .any(|kept| kept["name"] == path(newer_file).as_str()),
        "{shown:#}"
    );
    // What a restart applies by itself.
    service.start_again();
    until("the older file is gone", async || {
        (!service.path(older_file).exists()).then_some(())
    })
    .await;
    until("the artifacts are gone", async || {
        let build = service.build(newer).await;
        (build["artifacts"] == json!([])).then_some(())
    })
    .await;
    let link = service.path("binaries/acme-app-main.flist");
    assert_eq!(fs::read_to_string(link).unwrap(), "two\n");
    assert!(foreign.exists());

    // Published once more, its time begins anew.
    service.terminate();
    service.change_settings(json!({"retention": {"published": "1h"}}));
    service.start_again();
    let again = service.rebuild(older).await;
    service.wait_for(&again, "succeeded").await;
    assert!(service.path(older_file).exists());
    let items = items(&gc_of(&service).await);
    assert!(
        !items.iter().any(|[kind, _]| kind == "published"),
        "{items:?}"
    );
}

/// What a running service would remove. It may just be at the containers of builds that have ended.
async fn gc_of(service: &Service) -> Value {
    until("no container is there", async || {
        docker(&[
            "ps",
            "-aq",
            "--filter",
            &format!("name={}", service.container_prefix()),
        ])
        .is_empty()
        .then_some(())
    })
    .await;
    let answer = service.post("/api/v1/gc", json!({"dry_run": true})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn builds_beyond_their_retention_are_shown_once_and_go_whole() {
    let service = Service::start_with(json!({"retention": {"builds": 1, "logs": "1s"}}));
    let app = service.tracked("acme/app").await;
    let mut builds = Vec::new();
    for _ in 0..2 {
        let build = service
            .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
            .await;
        service.wait_for(&build, "succeeded").await;
        builds.push(build);
    }
    let expected: BTreeSet<_> = [
        ["build".to_owned(), builds[0].clone()],
        ["log".to_owned(), builds[1].clone()],
    ]
    .into();
    let shown = until("a second is over", async || {
        let shown = gc_of(&service).await;
        (items(&shown) == expected).then_some(shown)
    })
    .await;
    assert!(shown["bytes"].as_u64().unwrap() > 0, "{shown:#}");
    let removed = service.post("/api/v1/gc", json!({})).await.json();
    assert_eq!(items(&removed), expected);
    let gone = service.get(&format!("/api/v1/builds/{}", builds[0])).await;
    assert_eq!(gone.status, 404);
    assert!(!service.path(&format!("data/builds/{}", builds[0])).exists());
    let kept = service.build(&builds[1]).await;
    assert_eq!(kept["log"]["bytes"], 0);
    for part in ["", "?line=1", "/search?q=x", "/search/marks?q=x", "/times"] {
        let log = service
            .get(&format!("/api/v1/builds/{}/log{part}", builds[1]))
            .await;
        assert_eq!(log.status, 404, "{part}: {}", log.text);
        assert!(
            log.error().contains("no longer kept"),
            "{part}: {}",
            log.text
        );
    }
    assert_eq!(kept["artifacts"][0]["name"], "result.tar.gz");
    assert!(items(&gc_of(&service).await).is_empty());
}

#[tokio::test]
async fn without_room_on_the_disk_new_builds_wait_and_say_so() {
    let mut service = Service::start();
    let (app, other) = (
        service.tracked("acme/app").await,
        service.tracked("acme/other").await,
    );
    let running = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&running, "holding").await;
    service.change_settings(json!({"min_free_disk": "1PiB"}));
    let not_ready = until("there is too little room", async || {
        let answer = service.get("/readyz").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert!(
        not_ready.text.contains("min_free_disk is 1.0 PiB"),
        "{}",
        not_ready.text
    );

    let waits = service
        .push_script(&other, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    let waiting = service.build(&waits).await["waiting"].clone();
    let waiting = waiting.as_str().unwrap();
    assert!(
        waiting.starts_with("waits for room on the disk: "),
        "{waiting}"
    );
    assert!(waiting.ends_with("min_free_disk is 1.0 PiB"), "{waiting}");
    service.release(&running);
    service.wait_for(&running, "succeeded").await;
    let docker_root = docker(&["info", "--format", "{{.DockerRootDir}}"]);
    let metrics = until("it has looked at Docker's folder", async || {
        let metrics = service.get("/metrics").await.text;
        let is_here = Path::new(&docker_root).is_dir();
        (metrics.contains("{folder=\"docker\"}") == is_here).then_some(metrics)
    })
    .await;
    for folder in [
        "data_directory",
        "temp_directory",
        "artifacts.binaries",
        "kernels.directory",
    ] {
        let gauge = format!("autobuilder_disk_free_bytes{{folder=\"{folder}\"}} ");
        assert!(metrics.contains(&gauge), "{metrics}");
    }
    assert_eq!(service.state(&waits).await, "queued");

    // A restart changes nothing.
    service.terminate();
    service.start_again();
    let waiting = service.build(&waits).await;
    assert!(
        waiting["waiting"]
            .as_str()
            .unwrap()
            .contains("min_free_disk")
    );

    service.change_settings(json!({"min_free_disk": "1MiB"}));
    service.wait_for(&waits, "succeeded").await;
    until("it is ready", async || {
        (service.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let log = service.own_log();
    assert_eq!(
        log.matches("too little room is left").count(),
        2,
        "once for each start, not at each look"
    );
    assert_eq!(log.matches("there is room again").count(), 1);
}

#[tokio::test]
async fn a_script_that_ended_in_time_while_the_service_was_away_succeeds() {
    let mut service = Service::start();
    let app = service.repository("acme/app");
    let recipe = "buildscripts: [build.sh]\nbuild.sh: {artifact: result.tar.gz, timeout: 3s}\n";
    service.configure("acme/app", "main", recipe).await;
    let [ended, endless] =
        ["", "sleep 600\n"].map(|last| format!("#!/bin/sh\n{HOLD}{RESULT}{last}"));
    for (script, state) in [(ended, "succeeded"), (endless, "timed_out")] {
        let build = service.push_script(&app, &script).await;
        service.wait_for_log(&build, "holding").await;
        service.kill();
        service.release(&build);
        // Its deadline passes.
        tokio::time::sleep(Duration::from_secs(4)).await;
        service.start_again();
        service.wait_for(&build, state).await;
        let log = service.log(&build).await;
        assert!(
            notes(&log)
                .last()
                .unwrap()
                .contains(&state.replace('_', " ")),
            "{log}"
        );
    }
}
