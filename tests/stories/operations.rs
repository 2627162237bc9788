//! What whoever runs the service looks at.

use serde_json::{Value, json};

use crate::support::{HOLD, RESULT, Service, until};

#[tokio::test]
async fn a_service_without_docker_says_so_and_still_takes_pushes() {
    let mut service =
        Service::start_with(json!({"docker": {"host": "unix:///nowhere/docker.sock"}}));
    assert_eq!(service.get("/healthz").await.status, 200);
    let not_ready = until("it is not ready", async || {
        let answer = service.get("/readyz").await;
        (answer.status == 503 && answer.text.contains("nowhere")).then_some(answer)
    })
    .await;
    assert!(not_ready.text.contains("docker"), "{}", not_ready.text);

    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    until("the build says what it waits for", async || {
        let waiting = service.build(&build).await["waiting"].clone();
        let waiting = waiting.as_str()?.to_owned();
        waiting.starts_with("waits for Docker: ").then_some(())
    })
    .await;
    assert_eq!(service.state(&build).await, "queued");

    // With another host it is whole again.
    service.terminate();
    service.change_settings(json!({"docker": {"host": null}}));
    service.start_again();
    until("it is ready", async || {
        (service.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    service.wait_for(&build, "succeeded").await;
}

#[tokio::test]
async fn numbers_and_badges_tell_what_happened() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let good = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&good, "holding").await;
    let running: Value = service.get("/build/status").await.json();
    assert_eq!(running[&good]["status"], "building");
    assert!(
        running[&good]["monitor"].to_string().contains("holding"),
        "{running}"
    );
    service.release(&good);
    service.wait_for(&good, "succeeded").await;
    let badge = service.get("/badge/acme/app/main.svg").await;
    assert!(badge.header("content-type").starts_with("image/svg+xml"));
    assert!(
        badge.text.contains("succeeded") || badge.text.contains("passing"),
        "{}",
        badge.text
    );

    let bad = service.push_script(&app, "#!/bin/sh\nexit 1\n").await;
    service.wait_for(&bad, "failed").await;
    let history = service.get("/build/history").await.json();
    let statuses: Vec<&str> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|build| build["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["error", "success"]);
    assert_eq!(service.get("/build/status").await.json(), json!({}));
    assert_eq!(
        service.get(&format!("/report/{bad}")).await.text,
        service.log(&bad).await
    );

    let metrics = service.get("/metrics").await.text;
    for state in ["succeeded", "failed"] {
        let counted =
            |line: &str| line.contains(&format!("state=\"{state}\"")) && line.contains("_count");
        let line = metrics.lines().find(|line| counted(line));
        assert!(
            line.is_some_and(|line| line.ends_with(" 1")),
            "{state}: {line:?} in\n{metrics}"
        );
    }
    let api = service.get("/api/v1/openapi.json").await.json();
    assert!(api["paths"]["/api/v1/builds/{id}/log"].is_object());
}

#[tokio::test]
async fn what_is_not_there_is_told_as_json_and_never_as_a_trace() {
    let service = Service::start();
    for path in [
        "/nothing/here",
        "/api/v1/builds/nosuchbuild1",
        "/api/v1/builds/nosuchbuild1/log",
        "/api/v1/builds/..%2f..%2fetc/log",
        "/api/v1/builds/nosuchbuild1/artifacts/..%2f..%2fautobuilder.sqlite",
        "/build/logs/acme/app/main",
    ] {
        let answer = service.get(path).await;
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        answer.error();
    }
    let wrong = service.get("/api/v1/builds?limit=lots").await;
    assert_eq!(wrong.status, 400);
    wrong.error();
    let method = service.request(reqwest::Method::DELETE, "/api/v1/builds");
    assert_eq!(crate::support::Answer::of(method).await.status, 405);
}
