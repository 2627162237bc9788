//! Disks that become full: what is at work there ends with a sentence, everything else goes on, and
//! when there is room again all of it works.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Delivery, Engine, HOLD, RECIPE, RESULT, Service, SmallDisk, docker_answers,
    files_below, notes, script_output, until,
};

/// Builds begin, however little room there is.
fn without_reserve() -> Value {
    json!({"min_free_disk": "1"})
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// That the disk of this folder is full, as the build's page and the end of its log say.
async fn says_full(service: &Service, build: &str, folder: &str) {
    let ended = service.wait_for(build, "errored").await;
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("the disk of "), "{reason}");
    assert!(
        reason.contains(&format!("{folder} is full: free some of it")),
        "{reason}"
    );
    let log = service.log(build).await;
    assert_eq!(
        notes(&log).last(),
        Some(&format!("errored: {reason}").as_str())
    );
}

async fn refused(answer: Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(
        answer.error().contains("are kept for the database"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("retry-after"), "60");
}

async fn not_ready(service: &Service) {
    until("it says that the database cannot be written", async || {
        let answer = service.get("/readyz").await;
        let says = answer.text.contains("are kept for the database");
        (answer.status == 503 && says).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_room_for_the_database_pushes_are_refused_and_what_runs_waits() {
    let (disk, folder) = SmallDisk::in_a_story(64, "data");
    let mut service = Service::start_in(folder, without_reserve());
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let script = format!("#!/bin/sh\n{HOLD}echo through\n{RESULT}");
    let running = service.push_script(&app, &script).await;
    service.wait_for_log(&running, "holding").await;
    let process = service.process_id();
    disk.fill_but(8 << 10);

    other.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let delivery = Delivery::of(&other.push("main"));
    let asked = Instant::now();
    refused(service.deliver(&delivery).await).await;
    // GitHub waits for ten seconds.
    assert!(asked.elapsed() < Duration::from_secs(5));
    let wanted = json!({"repository": "acme/other", "branch": "main"});
    refused(service.post("/api/v1/builds", wanted).await).await;
    let rebuild = format!("/api/v1/builds/{running}/rebuild");
    refused(service.post(&rebuild, json!({})).await).await;
    refused(service.cancel(&running).await).await;
    not_ready(&service).await;

    service.release(&running);
    service.wait_for_log(&running, "ended well").await;
    // The thread that writes has come by meanwhile.
    refused(service.deliver(&delivery).await).await;
    refused(service.deliver(&delivery).await).await;
    assert_eq!(service.state(&running).await, "building");
    assert_eq!(service.process_id(), process);
    let log = service.own_log();
    assert_eq!(log.matches("nothing is written to the database").count(), 1);

    assert!(service.terminate().success());
    // What is to be put in force waits as well, and keeps nobody from starting.
    service.write_configuration("acme/third", "main", RECIPE);
    disk.fill_but(64);
    service.start_again();
    not_ready(&service).await;
    refused(service.deliver(&delivery).await).await;
    assert_eq!(service.state(&running).await, "building");

    disk.empty();
    let ended = service.wait_for(&running, "succeeded").await;
    assert_eq!(ended["attempt"], 1);
    service.write_configuration("acme/third", "main", &format!("# Again\n{RECIPE}"));
    until("the configuration is in force", async || {
        service.own_log().contains("\"in_force\":3").then_some(())
    })
    .await;
    let output = script_output(&service.log(&running).await);
    assert_eq!(output, "holding\nthrough\n");
    let answer = service.deliver(&delivery).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let build = answer.json()["builds"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    service.wait_for(&build, "succeeded").await;
    until("it is ready", async || {
        (service.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let log = service.own_log();
    assert_eq!(log.matches("nothing is written to the database").count(), 2);
    assert_eq!(log.matches("there is room for the database").count(), 1);
    assert_eq!(service.integrity(), "ok");
}

#[tokio::test]
async fn a_log_that_fills_the_disk_ends_its_build_and_no_other() {
    const LINE: &str = "one of very many lines";
    let (disk, folder) = SmallDisk::in_a_story(32, "data");
    let mut service = Service::start_in(folder, without_reserve());
    service.expect_errors(&["a build cannot go on"]);
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let script = format!("#!/bin/sh\n{HOLD}echo through\n{RESULT}");
    let silent = service.push_script(&other, &script).await;
    service.wait_for_log(&silent, "holding").await;
    let process = service.process_id();

    let script = format!("#!/bin/sh\nyes '{LINE}' | head -c 100000000\n{RESULT}");
    let loud = service.push_script(&app, &script).await;
    let container = service.container_of(&loud);
    until("its disk is full, and its container removed", async || {
        let is_gone = !docker_answers(&["container", "inspect", &container]);
        (disk.is_full() && is_gone).then_some(())
    })
    .await;
    not_ready(&service).await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let next = Delivery::of(&app.push("main"));
    refused(service.deliver(&next).await).await;

    disk.resize(96);
    says_full(&service, &loud, "/data/builds").await;
    let log = service.log(&loud).await;
    let output = script_output(&log);
    assert!(output.len() > 10 << 20, "{} bytes", output.len());
    let whole = output
        .strip_suffix('\n')
        .unwrap()
        .rsplit_once('\n')
        .unwrap()
        .0;
    assert!(whole.lines().all(|line| line == LINE));
    let kept = service.build(&loud).await["log"].clone();
    assert_eq!(kept["bytes"], log.len());
    assert_eq!(kept["lines"], log.lines().count());
    let line = log.lines().count() / 2;
    let part = format!("/api/v1/builds/{loud}/log?line={line}&lines=1");
    assert!(service.get(&part).await.text.contains(LINE));

    service.release(&silent);
    service.wait_for(&silent, "succeeded").await;
    let output = script_output(&service.log(&silent).await);
    assert_eq!(output, "holding\nthrough\n");
    let answer = service.deliver(&next).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let next = answer.json()["builds"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    service.wait_for(&next, "succeeded").await;
    assert_eq!(service.process_id(), process);
}

#[tokio::test]
async fn a_mirror_that_fills_the_disk_keeps_what_it_had_and_leaves_nothing_more() {
    let (disk, folder) = SmallDisk::in_a_story(16, "data/mirrors");
    let service = Service::start_in(folder, json!({}));
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let script = format!("#!/bin/sh\n{RESULT}");
    let small = service.push_script(&app, &script).await;
    service.wait_for(&small, "succeeded").await;
    let free = disk.free();

    let mut large = vec![0; 24 << 20];
    getrandom::fill(&mut large).unwrap();
    fs::write(app.path("large"), large).unwrap();
    let large = service.push_script(&app, &script).await;
    says_full(&service, &large, "/mirrors/acme/app.git").await;
    let log = service.log(&large).await;
    assert!(
        !log.contains("damaged") && !log.contains("trying again"),
        "{log}"
    );
    let mirror = disk.path().join("acme/app.git");
    let left = files_below(&mirror);
    assert!(
        !left.iter().any(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("tmp_") || name.ends_with(".lock")
        }),
        "{left:?}"
    );
    assert!(disk.free() > free - (1 << 20), "{left:?}");

    // What was there needs no fetch, and others have the room.
    let again = service.rebuild(&small).await;
    service.wait_for(&again, "succeeded").await;
    assert!(!service.log(&again).await.contains("fetched"));
    let build = service.push_script(&other, &script).await;
    service.wait_for(&build, "succeeded").await;

    disk.resize(64);
    let again = service.rebuild(&large).await;
    service.wait_for(&again, "succeeded").await;
}

#[tokio::test]
async fn without_room_for_an_artifact_its_build_says_so_and_leaves_nothing() {
    let (disk, folder) = SmallDisk::in_a_story(48, "data");
    let service = Service::start_in(folder, without_reserve());
    let app = service.tracked("acme/app").await;
    let script = "#!/bin/sh\ndd if=/dev/zero of=/target/result.tar.gz bs=1048576 count=60\n";
    let build = service.push_script(&app, script).await;
    says_full(&service, &build, "/data/tmp/autobuilder").await;
    assert_eq!(service.build(&build).await["artifacts"], json!([]));
    assert!(files_below(&service.path("data/tmp")).is_empty());
    let kept = service.path("data/builds").join(&build).join("artifacts");
    assert!(names(&kept).is_empty());

    disk.resize(160);
    let again = service.rebuild(&build).await;
    service.wait_for(&again, "succeeded").await;
}

#[tokio::test]
async fn without_room_to_publish_the_names_stay_as_they_were() {
    let (disk, folder) = SmallDisk::in_a_story(8, "binaries");
    let service = Service::start_in(folder, without_reserve());
    let app = service.repository("acme/app");
    let recipe = "buildscripts: [build.sh]\nbuild.sh: {artifact: a, format: binary}\n";
    service.configure("acme/app", "main", recipe).await;
    let build = service
        .push_script(&app, "#!/bin/sh\necho one > /target/a\n")
        .await;
    service.wait_for(&build, "succeeded").await;
    let before = names(disk.path());
    assert_eq!(before.len(), 2, "{before:?}");

    let script = "#!/bin/sh\ndd if=/dev/zero of=/target/a bs=1048576 count=10\n";
    let large = service.push_script(&app, script).await;
    says_full(&service, &large, "/binaries").await;
    assert_eq!(names(disk.path()), before);
    let stable = disk.path().join("acme-app-main.flist");
    assert_eq!(fs::read_to_string(&stable).unwrap(), "one\n");

    disk.resize(32);
    let again = service.rebuild(&large).await;
    service.wait_for(&again, "succeeded").await;
    assert_eq!(fs::metadata(&stable).unwrap().len(), 10 << 20);
    assert_eq!(names(disk.path()).len(), 3);
}

#[tokio::test]
async fn a_script_whose_output_docker_has_no_room_for_is_ended_and_says_so() {
    let disk = SmallDisk::new(64);
    let engine = Engine::start_on(&disk).await;
    engine.take_image("autobuilder/busybox:test");
    let settings = json!({"docker": {"host": engine.host, "network": "none"}});
    let service = Service::start_with(settings);
    let app = service.tracked("acme/app").await;
    let script = format!(
        "#!/bin/sh\n\
         echo before\n\
         dd if=/dev/zero of=/target/large bs=65536 2>/dev/null\n\
         trap '' PIPE TERM\n\
         i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo much more than fits into what is left; done\n\
         rm /target/large\n\
         {HOLD}{RESULT}"
    );
    let build = service.push_script(&app, &script).await;
    let ended = service.wait_for(&build, "errored").await;
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.starts_with("Docker's disk is full, "), "{reason}");
    let log = service.log(&build).await;
    assert!(script_output(&log).starts_with("before\n"), "{log}");
    assert!(!log.contains("max_log"), "{log}");
    assert_eq!(
        notes(&log).last(),
        Some(&format!("errored: {reason}").as_str())
    );

    let script = format!("#!/bin/sh\necho again\n{RESULT}");
    let build = service.push_script(&app, &script).await;
    service.wait_for(&build, "succeeded").await;
}
