//! The Docker engine dies, hangs and comes back while there are builds.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Engine, RESULT, Service, script_output, until};

async fn on(engine: &Engine) -> Service {
    engine.take_image("autobuilder/busybox:test");
    Service::start_with(json!({"docker": {"host": engine.host, "network": "none"}}))
}

async fn waits_for_docker(service: &Service, build: &str) {
    until("it waits for Docker", async || {
        let waiting = service.build(build).await["waiting"].clone();
        waiting
            .as_str()?
            .starts_with("waits for Docker: ")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_dies_costs_what_runs_one_attempt_and_what_waits_nothing() {
    let mut engine = Engine::start().await;
    let service = on(&engine).await;
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let script = format!("#!/bin/sh\necho holding; sleep 5\necho through\n{RESULT}");
    let running = service.push_script(&app, &script).await;
    service.wait_for_log(&running, "holding").await;
    let process = service.process_id();

    engine.kill();
    until("it is not ready", async || {
        (service.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    let waiting = service
        .push_script(&other, &format!("#!/bin/sh\necho other\n{RESULT}"))
        .await;
    waits_for_docker(&service, &waiting).await;
    engine.start_again().await;

    let ended = service.wait_for(&running, "succeeded").await;
    assert!(
        [1, 2].contains(&ended["attempt"].as_u64().unwrap()),
        "{ended}"
    );
    let output = script_output(&service.log(&running).await);
    assert!(output.ends_with("holding\nthrough\n"), "{output}");
    let ended = service.wait_for(&waiting, "succeeded").await;
    assert_eq!(ended["attempt"], 1);
    assert_eq!(service.process_id(), process);
    until("no container is left", async || {
        engine.containers().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_live_restore_an_engine_that_dies_costs_nothing() {
    let mut engine = Engine::start_with_live_restore().await;
    let service = on(&engine).await;
    let app = service.tracked("acme/app").await;
    // Longer than the ten seconds that an engine without it would leave a container to end.
    let script = format!(
        "#!/bin/sh\ni=0; while [ $i -lt 170 ]; do i=$((i+1)); echo line $i; sleep 0.1; done\n{RESULT}"
    );
    let running = service.push_script(&app, &script).await;
    service.wait_for_log(&running, "line 5\n").await;

    engine.kill();
    until("it is not ready", async || {
        (service.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    engine.start_again().await;

    let ended = service.wait_for(&running, "succeeded").await;
    assert_eq!(ended["attempt"], 1, "{ended}");
    let expected: String = (1..=170).map(|line| format!("line {line}\n")).collect();
    assert_eq!(script_output(&service.log(&running).await), expected);
    until("no container is left", async || {
        engine.containers().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_waited_for() {
    let engine = Engine::start().await;
    let service = on(&engine).await;
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let script = format!(
        "#!/bin/sh\ni=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done\necho holding; sleep 3\necho through\n{RESULT}"
    );
    let running = service.push_script(&app, &script).await;
    service.wait_for_log(&running, "holding").await;

    engine.freeze(true);
    until("it is not ready", async || {
        (service.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    let waiting = service
        .push_script(&other, &format!("#!/bin/sh\necho other\n{RESULT}"))
        .await;
    waits_for_docker(&service, &waiting).await;
    let asked = Instant::now();
    assert_eq!(service.get("/healthz").await.status, 200);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "nothing else waits"
    );
    engine.freeze(false);

    let ended = service.wait_for(&running, "succeeded").await;
    assert_eq!(ended["attempt"], 1);
    let expected: String = (1..=2000).map(|line| format!("line {line}\n")).collect();
    let output = script_output(&service.log(&running).await);
    assert_eq!(output, format!("{expected}holding\nthrough\n"));
    assert_eq!(service.wait_for(&waiting, "succeeded").await["attempt"], 1);
}

#[tokio::test]
async fn an_image_is_published_once_docker_is_back() {
    let mut engine = Engine::start().await;
    engine.take_image("autobuilder/busybox:test");
    let service = Service::start_with(json!({
        "docker": {"host": engine.host, "network": "none"},
        "kernels": {
            "directory": "./kernels",
            "repositories": {"acme/base": {"script": "build.sh", "commit": true}},
        },
    }));
    let base = service.repository("acme/base");
    // So much that Docker takes a while for it.
    let script = "#!/bin/sh\nhead -c 300000000 /dev/zero > /large\n\
                  echo a kernel > /target/vmlinuz.efi\n";
    base.commit(&[("build.sh", script)]);
    let build = service.pushed(&base.push("main")).await;
    service
        .wait_for_log(&build, "committing the container")
        .await;

    engine.kill();
    service
        .wait_for_log(&build, "this is done again when Docker is back")
        .await;
    assert_eq!(service.state(&build).await, "publishing");
    engine.start_again().await;

    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["attempt"], 1);
    let of_a_container = ["run", "--rm", "--network", "none", "acme/base:main"];
    let size = engine.docker(&[&of_a_container[..], &["wc", "-c", "/large"]].concat());
    assert_eq!(size.trim(), "300000000 /large");
    assert!(service.path("kernels/zero-os-main-generic.efi").exists());
    until("no container is left", async || {
        engine.containers().is_empty().then_some(())
    })
    .await;
}
