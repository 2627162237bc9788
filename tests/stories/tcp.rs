//! A Docker engine across the network: nothing of a build depends on sharing a machine with it.

use std::time::Duration;

use serde_json::json;

use crate::support::{Engine, RESULT, Service, script_output, within};

#[tokio::test]
async fn a_push_is_built_on_an_engine_across_the_network() {
    let engine = Engine::start().await;
    engine.take_image("autobuilder/busybox:test");
    let service = Service::start_with(json!({"docker": {"host": engine.host, "network": "none"}}));
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho far away\n{RESULT}"))
        .await;
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(script_output(&service.log(&build).await), "far away\n");
    assert_eq!(ended["artifacts"][0]["size"], 5);
    within(
        Duration::from_secs(30),
        "its container is removed",
        async || engine.containers().is_empty().then_some(()),
    )
    .await;
}
