//! The service in a container, as deploy/ has it. Its builds run beside it and not in it, and
//! share nothing with it but the engine.

use serde_json::json;

use crate::support::{
    Creations, Engine, HOLD, Nest, RESULT, Service, docker, inspect, script_output, story_folder,
    until,
};

const LINES: usize = 100_000;

/// A stream of output, a stop, and as much again.
fn long_script() -> String {
    let count = |word: &str| {
        format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo {word} $i; done\n")
    };
    format!(
        "#!/bin/sh\n{}{HOLD}{}{RESULT}",
        count("before"),
        count("after")
    )
}

fn long_output() -> String {
    let count = |word| (1..=LINES).map(move |number| format!("{word} {number}\n"));
    let holding = ["holding\n".to_owned()];
    count("before")
        .chain(holding)
        .chain(count("after"))
        .collect()
}

/// Waits until some of the output is in the log, so that what comes next is amid it.
async fn log_begins(service: &Service, build: &str) {
    service.wait_for_log(build, "before 1\n").await;
}

#[tokio::test]
async fn a_service_in_a_container_builds_on_the_docker_of_its_host() {
    let folder = story_folder();
    let nest = Nest::with_socket(&folder);
    let container = nest.container.clone();
    let mut service = Service::start_nested(folder, nest, json!({}));
    let (own, creations) = (
        inspect(&container)["Id"].clone(),
        Creations::of_instance(service.instance()),
    );
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &long_script()).await;
    log_begins(&service, &build).await;
    assert!(service.terminate().success());
    service.start_again();
    service.kill();
    service.start_again();

    service.wait_for_log(&build, "holding").await;
    let of_build = inspect(&service.container_of(&build));
    assert_eq!(of_build["HostConfig"]["Binds"], json!(null));
    let mounts = of_build["Mounts"].as_array().unwrap();
    assert!(mounts.iter().all(|mount| mount["Type"] == "volume"));
    service.kill();
    service.release(&build);
    service.start_again();

    let ended = service.wait_for(&build, "succeeded").await;
    // Thousands of lines are not to be printed.
    assert!(script_output(&service.log(&build).await) == long_output());
    assert_eq!((&ended["attempt"], creations.of(&build)), (&json!(1), 1));
    let path = format!("/api/v1/builds/{build}/artifacts/result.tar.gz");
    assert_eq!(service.get(&path).await.text, "done\n");
    assert_eq!(
        inspect(&container)["Id"],
        own,
        "its own container is no build's"
    );
}

#[tokio::test]
async fn the_container_of_a_service_needs_no_care() {
    let folder = story_folder();
    let nest = Nest::with_socket(&folder);
    let container = nest.container.clone();
    let service = Service::start_nested(folder, nest, json!({}));
    let inside = |script: &str| docker(&["exec", &container, "sh", "-c", script]);

    // The command that its health is asked with, found by Docker where the image has it.
    let check = inspect(&container)["Config"]["Healthcheck"]["Test"].clone();
    assert_eq!(check[0], "CMD-SHELL");
    inside(check[1].as_str().unwrap());

    // It is not root, and yet may write where downloads go.
    assert_eq!(inside("id -u"), "5560");
    inside("test -w /var/lib/autobuilder/tmp/autobuilder");

    // A process that has lost its parent is reaped. Docker itself would not show one that is not.
    inside("sleep 0.2 >/dev/null 2>&1 & true");
    until("the orphan is gone", async || {
        let processes = inside("cat /proc/[0-9]*/stat 2>/dev/null || true");
        (!processes.contains("(sleep)")).then_some(())
    })
    .await;
    until("the engine may be used", async || {
        (service.get("/readyz").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_in_a_container_builds_on_an_engine_across_the_network() {
    let engine = Engine::start_with_tls().await;
    engine.take_image("autobuilder/busybox:test");
    let folder = story_folder();
    let nest = Nest::with_engine(&folder, &engine);
    let settings = json!({"listen": "127.0.0.1:0", "docker": {"network": "none"}});
    let mut service = Service::start_nested(folder, nest, settings);
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &long_script()).await;
    service.wait_for_log(&build, "holding").await;
    service.kill();
    engine.docker(&["exec", &service.container_of(&build), "touch", "/released"]);
    service.start_again();

    let ended = service.wait_for(&build, "succeeded").await;
    assert!(script_output(&service.log(&build).await) == long_output());
    assert_eq!(ended["attempt"], 1);
    let path = format!("/api/v1/builds/{build}/artifacts/result.tar.gz");
    assert_eq!(service.get(&path).await.text, "done\n");
    until("its container is removed", async || {
        engine.containers().is_empty().then_some(())
    })
    .await;
}
