//! The queue: superseding, order, places, cancelling.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{RESULT, Repository, Service, docker_answers, script_output};

/// A script that waits until the story lets it go on.
const HOLDING: &str = "#!/bin/sh\necho > /target/result.tar.gz\necho holding; until [ -e /released ]; do sleep 0.05; done\n";

async fn with(settings: Value) -> (Service, Repository) {
    let service = Service::start_with(json!({"builds": settings}));
    let app = service.tracked("acme/app").await;
    (service, app)
}

/// The next commit of `main`, which waits.
async fn push_holding(service: &Service, app: &Repository) -> String {
    service.push_script(app, HOLDING).await
}

async fn release_and_wait(service: &Service, build: &str) {
    service.wait_for_log(build, "holding").await;
    service.release(build);
    service.wait_for(build, "succeeded").await;
}

#[tokio::test]
async fn a_newer_push_takes_the_place_of_running_and_queued_builds() {
    let (service, app) = with(json!({"supersede": true})).await;
    let running = push_holding(&service, &app).await;
    service.wait_for_log(&running, "holding").await;
    let newer = push_holding(&service, &app).await;
    let ended = service.wait_for(&running, "superseded").await;
    assert!(
        ended["reason"]
            .as_str()
            .unwrap()
            .contains(&app.head()[..10]),
        "{}",
        ended["reason"]
    );
    assert!(!docker_answers(&[
        "exec",
        &service.container_of(&running),
        "true"
    ]));

    let newest = push_holding(&service, &app).await;
    service.wait_for(&newer, "superseded").await;
    release_and_wait(&service, &newest).await;
}

#[tokio::test]
async fn with_queued_only_what_waits_is_superseded() {
    let (service, app) = with(json!({"supersede": "queued"})).await;
    let running = push_holding(&service, &app).await;
    service.wait_for_log(&running, "holding").await;
    let waiting = push_holding(&service, &app).await;
    let newest = push_holding(&service, &app).await;
    service.wait_for(&waiting, "superseded").await;
    assert_eq!(service.state(&running).await, "building");
    release_and_wait(&service, &running).await;
    release_and_wait(&service, &newest).await;
}

#[tokio::test]
async fn without_superseding_every_push_is_built_in_order() {
    let (service, app) = with(json!({"supersede": false, "concurrency": 4})).await;
    let first = push_holding(&service, &app).await;
    service.wait_for_log(&first, "holding").await;
    let second = push_holding(&service, &app).await;
    let third = push_holding(&service, &app).await;

    // There are free places, but builds of one branch would publish under one name.
    let waiting = service.build(&second).await;
    assert_eq!(waiting["state"], "queued");
    assert!(
        waiting["waiting"].as_str().unwrap().contains("branch"),
        "{}",
        waiting["waiting"]
    );
    for build in [&first, &second, &third] {
        release_and_wait(&service, build).await;
    }
    let mut builds = service.builds().await;
    builds.reverse();
    let ended = |build: &Value| build["ended"].as_str().unwrap().to_owned();
    let started = |build: &Value| build["started"].as_str().unwrap().to_owned();
    assert!(ended(&builds[0]) <= started(&builds[1]) && ended(&builds[1]) <= started(&builds[2]));
}

#[tokio::test]
async fn other_branches_are_built_beside() {
    let (service, app) = with(json!({"concurrency": 2})).await;
    service
        .configure("acme/app", "next", crate::support::RECIPE)
        .await;
    let main = push_holding(&service, &app).await;
    let next = service.pushed(&app.push("next")).await;
    service.wait_for_log(&main, "holding").await;
    service.wait_for_log(&next, "holding").await;
    assert_eq!(service.state(&main).await, "building");
    for build in [main, next] {
        release_and_wait(&service, &build).await;
    }
}

#[tokio::test]
async fn with_one_place_builds_wait_and_say_for_what() {
    let (service, app) = with(json!({"concurrency": 1})).await;
    let other = service.tracked("acme/other").await;
    let first = push_holding(&service, &app).await;
    service.wait_for_log(&first, "holding").await;
    let second = push_holding(&service, &other).await;
    let waiting = service.build(&second).await;
    assert_eq!(
        (&waiting["state"], &waiting["started"]),
        (&json!("queued"), &Value::Null)
    );
    assert!(
        waiting["waiting"].as_str().unwrap().contains("place"),
        "{}",
        waiting["waiting"]
    );
    release_and_wait(&service, &first).await;
    release_and_wait(&service, &second).await;
    assert_eq!(service.build(&second).await["waiting"], Value::Null);
}

#[tokio::test]
async fn a_rebuild_supersedes_nothing() {
    let (service, app) = with(json!({"supersede": true})).await;
    let old = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&old, "succeeded").await;
    let running = push_holding(&service, &app).await;
    service.wait_for_log(&running, "holding").await;
    let again = service.rebuild(&old).await;
    assert_eq!(service.state(&again).await, "queued");
    release_and_wait(&service, &running).await;
    let ended = service.wait_for(&again, "succeeded").await;
    assert_eq!(ended["commit"], service.build(&old).await["commit"]);
}

#[tokio::test]
async fn a_running_build_is_cancelled_within_two_seconds() {
    let (service, app) = with(json!({})).await;
    let build = push_holding(&service, &app).await;
    service.wait_for_log(&build, "holding").await;

    let asked = Instant::now();
    let answer = service.cancel(&build).await;
    assert!(answer.status < 300, "{}", answer.text);
    let ended = service.wait_for(&build, "cancelled").await;
    // Two seconds are promised; a machine busy with other stories gets some more.
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        asked.elapsed()
    );
    assert!(ended["reason"].as_str().unwrap().contains("cancelled"));
    assert_eq!(script_output(&service.log(&build).await), "holding\n");
    assert!(!docker_answers(&[
        "exec",
        &service.container_of(&build),
        "true"
    ]));

    let again = service.cancel(&build).await;
    assert_eq!(again.status, 409, "{}", again.text);
    again.error();
}

#[tokio::test]
async fn a_queued_build_is_cancelled_at_once_and_leaves_its_place() {
    let (service, app) = with(json!({"concurrency": 1, "supersede": false})).await;
    let running = push_holding(&service, &app).await;
    service.wait_for_log(&running, "holding").await;
    let queued = push_holding(&service, &app).await;
    let last = push_holding(&service, &app).await;

    let answer = service.cancel(&queued).await;
    assert!(answer.status < 300, "{}", answer.text);
    let ended = service.build(&queued).await;
    assert_eq!(
        (&ended["state"], &ended["started"]),
        (&json!("cancelled"), &Value::Null)
    );
    release_and_wait(&service, &running).await;
    release_and_wait(&service, &last).await;
}

#[tokio::test]
async fn what_is_being_prepared_can_be_cancelled() {
    // A server that takes connections and never answers: git waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let service = Service::start_with(json!({"github": {"git_url": url}}));
    let app = service.tracked("acme/app").await;
    let build = push_holding(&service, &app).await;
    service.wait_for(&build, "preparing").await;
    let asked = Instant::now();
    assert!(service.cancel(&build).await.status < 300);
    service.wait_for(&build, "cancelled").await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn what_is_being_published_can_no_longer_be_cancelled() {
    let service = Service::start();
    let app = service.repository("acme/app");
    let recipe = "buildscripts: [build.sh]\nbuild.sh: {artifact: a, format: binary}\n";
    service.configure("acme/app", "main", recipe).await;
    let script = "#!/bin/sh\ndd if=/dev/zero of=/target/a bs=1048576 count=64 2>/dev/null\n";
    for _ in 0..8 {
        let build = service.push_script(&app, script).await;
        service.catch_in("publishing", &build);
        let answer = service.cancel(&build).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        service.wait_for(&build, "succeeded").await;
        // It may have been too late even for that.
        if answer.error().contains("being published") {
            return;
        }
    }
    panic!("no build was caught while it was published");
}

#[tokio::test]
async fn changes_need_the_token() {
    let (service, app) = with(json!({})).await;
    let build = push_holding(&service, &app).await;
    service.wait_for_log(&build, "holding").await;
    for path in ["/cancel", "/rebuild"] {
        let path = format!("/api/v1/builds/{build}{path}");
        for token in [None, Some("a-token-for-change"), Some("")] {
            let mut request = service.request(reqwest::Method::POST, &path);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = crate::support::Answer::of(request).await;
            assert_eq!(answer.status, 401, "{}", answer.text);
            answer.error();
        }
    }
    assert_eq!(service.cancel("nosuchbuild1").await.status, 404);
    assert_eq!(service.builds().await.len(), 1);
    release_and_wait(&service, &build).await;
}

#[tokio::test]
async fn a_person_can_ask_for_a_build_of_a_branch() {
    let (service, app) = with(json!({})).await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.push("main");
    let asked = json!({"repository": "acme/app", "branch": "main"});
    let answer = service.post("/api/v1/builds", asked).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let build = crate::support::builds_in(&answer).remove(0);
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["commit"], app.head().as_str());
    assert_eq!(ended["cause"]["type"], "manual");

    let unknown = json!({"repository": "acme/app", "branch": "nowhere"});
    let answer = service.post("/api/v1/builds", unknown).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    assert!(answer.error().contains("nowhere"));
}

#[tokio::test]
async fn a_script_leaves_no_process_behind_that_keeps_its_build_waiting() {
    let (service, app) = with(json!({})).await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\nsleep 600 &\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
}
