//! Builds outlive the service, however it ends and wherever they stand.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::{
    Creations, HOLD, RESULT, Repository, Service, docker, docker_answers, notes, remove_all_of,
    run, script_output, until,
};

/// Lines that the script writes before and after it is released, so that a lost or repeated byte
/// would show on either side.
const BEFORE: usize = 2000;
const AFTER: usize = 2000;

fn counting_script(exit_code: u8) -> String {
    format!(
        "#!/bin/sh
i=0; while [ $i -lt {BEFORE} ]; do i=$((i+1)); echo before $i; done
{HOLD}
i=0; while [ $i -lt {AFTER} ]; do i=$((i+1)); echo after $i; done
{RESULT}
exit {exit_code}
"
    )
}

fn counted() -> String {
    let before = (1..=BEFORE).map(|number| format!("before {number}\n"));
    let after = (1..=AFTER).map(|number| format!("after {number}\n"));
    before
        .chain(["holding\n".to_owned()])
        .chain(after)
        .collect()
}

/// Compares without printing thousands of lines.
fn assert_same(found: &str, expected: &str) {
    if found != expected {
        let at = found
            .lines()
            .zip(expected.lines())
            .position(|(one, other)| one != other);
        panic!(
            "the log differs from what the script wrote at line {at:?}: {} instead of {} bytes",
            found.len(),
            expected.len()
        );
    }
}

/// A script whose artifact is large enough for a story to step in while it is moved.
fn large_script() -> String {
    "#!/bin/sh\ncat /proc/sys/kernel/random/uuid\ndd if=/dev/zero of=/target/result.tar.gz bs=1048576 count=64 2>/dev/null\n"
        .to_owned()
}

const BINARY: &str =
    "buildscripts: [build.sh]\nbuild.sh: {artifact: result.tar.gz, format: binary}\n";

/// Pushes until a build was seen in this state by the store itself, and kills the service at that
/// moment. States that pass quickly may be missed, so there are several tries.
async fn killed_in(state: &str, service: &mut Service, app: &Repository, script: &str) -> String {
    for number in 0..8 {
        app.commit(&[("build.sh", script), ("number", &number.to_string())]);
        let build = service.pushed(&app.push("main")).await;
        if service.kill_in(state, &build) {
            return build;
        }
        service.start_again();
        service.wait_for(&build, "succeeded").await;
    }
    panic!("no build was caught while it was {state}");
}

#[tokio::test]
async fn killed_while_building_and_started_again_the_log_is_whole() {
    let mut service = Service::start();
    let creations = Creations::of_instance(service.instance());
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &counting_script(0)).await;
    service.wait_for_log(&build, "holding").await;
    service.kill();

    // While nobody reads, the script goes on and comes to its end.
    service.release(&build);
    service.start_again();
    let ended = service.wait_for(&build, "succeeded").await;
    assert_same(&script_output(&service.log(&build).await), &counted());
    assert_eq!(
        (&ended["attempt"], &ended["exit_code"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(creations.of(&build), 1, "it was compiled once");
}

#[tokio::test]
async fn killed_amid_a_stream_of_output_nothing_is_lost_or_repeated() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let lines = 300_000;
    let script = format!(
        "#!/bin/sh\ni=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i of a long output; done\n{RESULT}exit 0\n"
    );
    let build = service.push_script(&app, &script).await;
    let mut seen = 0;
    for _ in 0..4 {
        // Each time a little further into the stream.
        let length = async || {
            let log = service.build(&build).await["log"]["bytes"]
                .as_u64()
                .unwrap();
            (log > seen).then_some(log)
        };
        seen = until("the log grows", length).await + 50_000;
        service.kill();
        service.start_again();
    }
    let ended = service.wait_for(&build, "succeeded").await;
    let expected: String = (1..=lines)
        .map(|number| format!("line {number} of a long output\n"))
        .collect();
    assert_same(&script_output(&service.log(&build).await), &expected);
    assert_eq!(ended["attempt"], 1);
}

#[tokio::test]
async fn stopped_while_building_the_exit_code_is_still_right() {
    let mut service = Service::start();
    let creations = Creations::of_instance(service.instance());
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &counting_script(9)).await;
    service.wait_for_log(&build, "holding").await;
    assert!(service.terminate().success());
    service.start_again();
    assert_eq!(service.state(&build).await, "building");
    service.release(&build);
    let ended = service.wait_for(&build, "failed").await;
    assert_eq!(
        (&ended["attempt"], &ended["exit_code"]),
        (&json!(1), &json!(9))
    );
    assert_same(&script_output(&service.log(&build).await), &counted());
    assert_eq!(creations.of(&build), 1);
}

#[tokio::test]
async fn killed_with_builds_in_the_queue_they_are_still_queued() {
    let mut service =
        Service::start_with(json!({"builds": {"concurrency": 1, "supersede": false}}));
    let app = service.tracked("acme/app").await;
    let running = service.push_script(&app, &counting_script(0)).await;
    service.wait_for_log(&running, "holding").await;
    let second = service
        .push_script(&app, &format!("#!/bin/sh\necho second\n{RESULT}"))
        .await;
    let third = service
        .push_script(&app, &format!("#!/bin/sh\necho third\n{RESULT}"))
        .await;
    service.kill();
    service.start_again();

    assert_eq!(service.state(&second).await, "queued");
    assert_eq!(service.state(&third).await, "queued");
    service.release(&running);
    for build in [&running, &second, &third] {
        service.wait_for(build, "succeeded").await;
    }
    let started = |build: serde_json::Value| build["started"].as_str().unwrap().to_owned();
    assert!(started(service.build(&second).await) < started(service.build(&third).await));
}

#[tokio::test]
async fn killed_while_preparing_it_is_prepared_again() {
    let mut service = Service::start();
    let creations = Creations::of_instance(service.instance());
    let app = service.tracked("acme/app").await;
    let build = killed_in(
        "preparing",
        &mut service,
        &app,
        &format!("#!/bin/sh\necho once\n{RESULT}"),
    )
    .await;
    service.start_again();
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["attempt"], 1);
    let log = service.log(&build).await;
    assert_eq!(script_output(&log), "once\n");
    let told = "the service was restarted: preparing from the beginning";
    assert!(log.contains(told), "{log}");
    // One that was made before the kill is left aside, but never two at once.
    assert!(creations.of(&build) <= 2);
}

#[tokio::test]
async fn killed_while_collecting_the_artifact_is_fetched_and_nothing_is_compiled_again() {
    let mut service = Service::start();
    let creations = Creations::of_instance(service.instance());
    let app = service.repository("acme/app");
    service.configure("acme/app", "main", BINARY).await;
    let build = killed_in("collecting", &mut service, &app, &large_script()).await;
    service.start_again();
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["artifacts"][0]["size"], 64 << 20);
    assert_eq!((&ended["attempt"], creations.of(&build)), (&json!(1), 1));
    assert_eq!(script_output(&service.log(&build).await).lines().count(), 1);
}

#[tokio::test]
async fn killed_while_publishing_the_names_are_there_afterwards() {
    let mut service = Service::start();
    let creations = Creations::of_instance(service.instance());
    let app = service.repository("acme/app");
    service.configure("acme/app", "main", BINARY).await;
    let build = killed_in("publishing", &mut service, &app, &large_script()).await;
    service.start_again();
    service.wait_for(&build, "succeeded").await;
    let versioned = format!("acme-app-main-{}.tar.gz", &app.head()[..10]);
    let file = service.path("binaries").join(&versioned);
    assert_eq!(std::fs::metadata(file).unwrap().len(), 64 << 20);
    let target = std::fs::read_link(service.path("binaries/acme-app-main.flist")).unwrap();
    assert_eq!(target.to_str(), Some(versioned.as_str()));
    assert_eq!(creations.of(&build), 1);
    // Nothing half-made is left beside them.
    let others = std::fs::read_dir(service.path("binaries"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            (!name.starts_with("acme-app-main")).then_some(name)
        });
    assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn a_container_that_vanished_meanwhile_means_a_second_attempt() {
    let mut service = Service::start();
    let creations = Creations::of_instance(service.instance());
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;
    service.kill();
    docker(&["rm", "--force", "--volumes", &service.container_of(&build)]);
    service.start_again();

    until("the second attempt holds", async || {
        (script_output(&service.log(&build).await) == "holding\nholding\n").then_some(())
    })
    .await;
    service.release(&build);
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["attempt"], 2);
    let log = service.log(&build).await;
    assert!(
        notes(&log).iter().any(|note| note.contains("attempt 1")),
        "{log}"
    );
    until("Docker told of both containers", async || {
        (creations.of(&build) == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_container_killed_meanwhile_still_gives_the_rest_of_its_log() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(
            &app,
            &format!("#!/bin/sh\n{HOLD}echo unread\n{HOLD}{RESULT}"),
        )
        .await;
    service.wait_for_log(&build, "holding").await;
    let container = service.container_of(&build);
    service.kill();
    docker(&["exec", &container, "touch", "/released"]);
    until("the script has ended", async || {
        docker_answers(&["exec", &container, "test", "-e", "/target/result.tar.gz"]).then_some(())
    })
    .await;
    docker(&["kill", &container]);
    service.start_again();
    let log = async || script_output(&service.log(&build).await);
    until("all of the first attempt is in the log", async || {
        log()
            .await
            .starts_with("holding\nunread\nholding\n")
            .then_some(())
    })
    .await;
    // Either the script's end was found too, or there is a second attempt.
    if service.build(&build).await["attempt"] == 2 {
        service.wait_for(&build, "building").await;
        until("the second attempt holds", async || {
            log().await.ends_with("holding\n").then_some(())
        })
        .await;
        service.release(&build);
    }
    service.wait_for(&build, "succeeded").await;
}

#[tokio::test]
async fn the_timeout_counts_from_the_scripts_start_across_a_restart() {
    let mut service = Service::start();
    let app = service.repository("acme/app");
    let recipe = "buildscripts: [build.sh]\nbuild.sh: {artifact: result.tar.gz, timeout: 6s}\n";
    service.configure("acme/app", "main", recipe).await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;
    let begun = std::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    service.kill();
    service.start_again();
    service.wait_for(&build, "timed_out").await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(8),
        "it ran for {took:?}: the clock was started anew"
    );
}

#[tokio::test]
async fn only_our_own_left_over_containers_are_removed() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    service.kill();

    // What a crash between a build's end and the removal leaves, and what must not be touched:
    // somebody's own container of such a name, one of another data directory, and one that a user
    // started from something of ours, with only half of our labels.
    let instance = format!("autobuilder.instance={}", service.instance());
    let label = format!("autobuilder.build={build}");
    let prefix = service.container_prefix().to_owned();
    let create = |name: &str, labels: &[&str]| {
        let name = format!("{prefix}{name}");
        let mut arguments = vec!["create", "--name", &name];
        arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
        arguments.extend(["autobuilder/busybox:test", "true"]);
        docker(&arguments)
    };
    let left_over = create("left-over", &[&instance, &label]);
    let strangers = [
        create("same-prefix", &[]),
        create("other-instance", &["autobuilder.instance=another", &label]),
        create("half-labelled", &[&label]),
    ];
    service.start_again();
    until("the left-over is removed", async || {
        (!docker_answers(&["inspect", &left_over])).then_some(())
    })
    .await;
    for stranger in strangers {
        assert!(
            docker_answers(&["inspect", &stranger]),
            "a container of somebody else was removed"
        );
        docker(&["rm", &stranger]);
    }
}

#[tokio::test]
async fn a_second_service_on_the_same_data_directory_is_refused() {
    let service = Service::start();
    let mut second = service.cli_command();
    second
        .args(["serve", "--config"])
        .arg(service.service_file());
    let output = run(second);
    assert_ne!(output.code, 0, "{output:?}");
    let said = output.stderr + &output.stdout;
    let owner = service.process_id().to_string();
    assert!(
        said.contains("another autobuilder") && said.contains(&owner),
        "{said}"
    );
    assert_eq!(
        service.get("/healthz").await.status,
        200,
        "the first is not disturbed"
    );
}

/// What a git leaves behind that a reboot cut short.
fn leave_stale_locks(mirror: &Path) {
    let stale = [
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "shallow.lock",
        "gc.pid",
        "gc.pid.lock",
        "refs/heads/main.lock",
        "objects/info/commit-graph.lock",
        "objects/pack/tmp_pack_a1b2c3",
        "objects/pack/.tmp-1-pack-a1b2c3.pack",
        "objects/ab/tmp_obj_a1b2c3",
    ];
    for name in stale {
        let path = mirror.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // The process of this number is another now.
        std::fs::write(path, "1 a-machine\n").unwrap();
    }
}

/// The same of a service, of which a checkout and a download were on their way.
fn leave_stale_files(data: &Path) {
    std::fs::write(data.join("lock"), "1\n").unwrap();
    for folder in [
        "tmp/autobuilder/b-checkout/src",
        "tmp/autobuilder.old-a1b2c3/x",
    ] {
        std::fs::create_dir_all(data.join(folder)).unwrap();
        std::fs::write(data.join(folder).join("file"), "half").unwrap();
    }
    std::fs::write(data.join("tmp/autobuilder/b.artifact"), "half").unwrap();
    drop(std::os::unix::net::UnixListener::bind(data.join("tmp/autobuilder/socket")).unwrap());
}

#[tokio::test]
async fn after_the_machine_was_restarted_what_ran_is_built_once_more_and_nothing_is_left_over() {
    let mut service =
        Service::start_with(json!({"builds": {"concurrency": 2, "supersede": false}}));
    let mut apps = Vec::new();
    for name in ["acme/one", "acme/two", "acme/three"] {
        apps.push(service.tracked(name).await);
    }
    let holding = format!("#!/bin/sh\n{HOLD}{RESULT}");
    let mut builds = Vec::new();
    for app in &apps {
        builds.push(service.push_script(app, &holding).await);
    }
    for build in &builds[..2] {
        service.wait_for_log(build, "holding").await;
    }
    // Another waits behind one that runs.
    builds.push(service.push_script(&apps[0], &holding).await);
    service.kill();
    remove_all_of(service.instance());
    for app in &apps {
        leave_stale_locks(&service.path(&format!("data/mirrors/{}.git", app.name)));
    }
    leave_stale_files(&service.path("data"));
    let left = service.left_over().len();
    assert!(left > 30, "{left} files");
    // Room for all that may run, whoever has his turn first.
    service.change_settings(json!({"builds": {"concurrency": 3}}));

    service.start_again();
    for (number, build) in builds.iter().enumerate() {
        let (attempt, output) = match number < 2 {
            true => (2, "holding\nholding\n"),
            false => (1, "holding\n"),
        };
        until(&format!("attempt {attempt} holds"), async || {
            (script_output(&service.log(build).await) == output).then_some(())
        })
        .await;
        service.release(build);
        let ended = service.wait_for(build, "succeeded").await;
        assert_eq!(ended["attempt"], attempt, "{ended}");
    }
    // The mirrors take what is new.
    for app in &apps {
        let build = service
            .push_script(app, &format!("#!/bin/sh\necho new\n{RESULT}"))
            .await;
        service.wait_for(&build, "succeeded").await;
    }
    until("nothing is left over", async || {
        service.left_over().is_empty().then_some(())
    })
    .await;
}
