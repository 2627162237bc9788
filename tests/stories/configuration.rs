//! The service file and the configuration directory, edited while the service runs.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Delivery, HOLD, RECIPE, RESULT, Service, until};

/// Waits for a text in the service's own log.
async fn says(service: &Service, text: &str) {
    until(&format!("the service says {text:?}"), async || {
        service.own_log().contains(text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_edited_service_file_is_taken_over() {
    let mut service = Service::start_with(json!({"builds": {"concurrency": 1}}));
    let (app, other) = (
        service.tracked("acme/app").await,
        service.tracked("acme/other").await,
    );
    let script = format!("#!/bin/sh\necho $FRESH\n{HOLD}{RESULT}");
    let first = service.push_script(&app, &script).await;
    service.wait_for_log(&first, "holding").await;
    let second = service.push_script(&other, &script).await;
    assert_eq!(service.state(&second).await, "queued");

    service.change_settings(json!({"builds": {"concurrency": 2, "environment": {"FRESH": "new"}}}));
    service.wait_for_log(&second, "holding").await;
    assert!(service.log(&second).await.contains("\nnew\n"));
    for build in [first, second] {
        service.release(&build);
        service.wait_for(&build, "succeeded").await;
    }
}

#[tokio::test]
async fn what_needs_a_restart_is_said_and_left_as_it_is() {
    let mut service = Service::start();
    let listen = service.url("");
    service
        .change_settings(json!({"listen": "127.0.0.1:9", "public_url": "https://ci.example.org"}));
    says(&service, "restart").await;
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let answer = service.deliver(&Delivery::of(&app.push("main"))).await;
    assert_eq!(service.url(""), listen);
    let url = answer.json()["builds"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        url.starts_with("https://ci.example.org/monitor/builds/"),
        "{url}"
    );
    let build = crate::support::builds_in(&answer).remove(0);
    service.wait_for(&build, "succeeded").await;
    service.change_settings(json!({"listen": "127.0.0.1:0"}));
}

#[tokio::test]
async fn a_broken_service_file_changes_nothing() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    service.change_settings(json!({"builds": {"concurency": 7}}));
    says(&service, "concurency").await;
    says(&service, "concurrency").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
}

#[tokio::test]
async fn a_branch_that_is_added_is_built_from_then_on() {
    let service = Service::start();
    let app = service.repository("acme/app");
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let push = app.push("main");
    assert_eq!(service.deliver(&Delivery::of(&push)).await.status, 200);
    service.configure("acme/app", "main", RECIPE).await;
    let build = service.pushed(&push).await;
    service.wait_for(&build, "succeeded").await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_version_in_force_also_after_a_restart() {
    let mut service = Service::start();
    let (app, other) = (
        service.tracked("acme/app").await,
        service.repository("acme/other"),
    );
    service.write_configuration(
        "acme/app",
        "main",
        "buildscripts: [build.sh]\nbuild.sh: {artefact: x}\n",
    );
    says(&service, "artefact").await;
    // The others are taken in all the same.
    service.configure("acme/other", "main", RECIPE).await;
    for _ in 0..2 {
        for repository in [&app, &other] {
            let build = service
                .push_script(repository, &format!("#!/bin/sh\n{RESULT}"))
                .await;
            let ended = service.wait_for(&build, "succeeded").await;
            assert_eq!(ended["artifacts"][0]["name"], "result.tar.gz");
        }
        service.terminate();
        service.start_again();
    }
}

#[tokio::test]
async fn a_removed_file_stops_its_builds() {
    let service = Service::start_with(json!({"builds": {"concurrency": 1, "supersede": false}}));
    let (app, other) = (
        service.tracked("acme/app").await,
        service.tracked("acme/other").await,
    );
    let running = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&running, "holding").await;
    let waiting = service
        .push_script(&other, &format!("#!/bin/sh\n{RESULT}"))
        .await;

    service.remove_configuration("acme/other", "main");
    let ended = service.wait_for(&waiting, "cancelled").await;
    assert!(
        ended["reason"].as_str().unwrap().contains("configuration"),
        "{}",
        ended["reason"]
    );
    let answer = service
        .deliver(&Delivery::of(&other.force_push("main")))
        .await;
    assert_eq!(
        answer.status, 200,
        "it is not tracked any more: {}",
        answer.text
    );
    service.release(&running);
    service.wait_for(&running, "succeeded").await;
}

#[tokio::test]
async fn what_was_removed_is_not_built_either_when_a_kill_came_in_between() {
    let mut service = Service::start_with(json!({"builds": {"concurrency": 1}}));
    let (app, other) = (
        service.tracked("acme/app").await,
        service.tracked("acme/other").await,
    );
    let running = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&running, "holding").await;
    let waiting = service
        .push_script(&other, &format!("#!/bin/sh\n{RESULT}"))
        .await;

    // The empty configuration is in force already, and nothing was cancelled yet.
    service.kill();
    for name in ["acme/app", "acme/other"] {
        service.remove_configuration(name, "main");
    }
    let database = rusqlite::Connection::open(service.path("data/autobuilder.sqlite")).unwrap();
    database
        .execute("DELETE FROM configuration_files", [])
        .unwrap();
    drop(database);
    service.start_again();
    service.release(&running);
    service.wait_for(&running, "succeeded").await;
    let ended = service.wait_for(&waiting, "cancelled").await;
    assert_eq!(ended["reason"], "the configuration no longer names it");

    // Who asks for it all the same gets it as it was.
    let again = service.rebuild(&waiting).await;
    service.wait_for(&again, "succeeded").await;
}

#[tokio::test]
async fn check_prints_every_mistake_with_its_place_and_exits_with_one() {
    let service = Service::start();
    let good = service.cli(&[
        "check",
        "--config",
        service.service_file().to_str().unwrap(),
    ]);
    assert_eq!(good.code, 0, "{good:?}");

    let folder = service.path("to-check");
    fs::create_dir_all(folder.join("acme/app")).unwrap();
    fs::write(
        folder.join("acme/app/main.yaml"),
        "buildscripts: [build.sh]\nbuild.sh: {artefact: x}\n",
    )
    .unwrap();
    fs::write(
        folder.join("acme/app/next.yaml"),
        "buildscripts:\n  - missing.sh\n",
    )
    .unwrap();
    fs::write(folder.join("README.md"), "not YAML: [").unwrap();
    let folder = folder.to_str().unwrap();

    let text = service.cli(&["check", folder]);
    assert_eq!(text.code, 1, "{text:?}");
    let said = text.stdout + &text.stderr;
    for expected in [
        "acme/app/main.yaml:2",
        "artefact",
        "`artifact`",
        "acme/app/next.yaml:2",
        "missing.sh",
    ] {
        assert!(
            said.contains(expected),
            "{expected} is missing from:\n{said}"
        );
    }
    assert!(!said.contains("README"), "{said}");

    let json = service.cli(&["check", folder, "--json"]);
    assert_eq!(json.code, 1);
    let findings: Value = serde_json::from_str(&json.stdout).unwrap();
    let findings = findings
        .as_array()
        .or_else(|| findings["findings"].as_array())
        .expect("a list of findings");
    let places: Vec<(String, u64)> = findings
        .iter()
        .map(|finding| {
            (
                finding["file"].as_str().unwrap().to_owned(),
                finding["line"].as_u64().unwrap(),
            )
        })
        .collect();
    assert!(
        places
            .iter()
            .any(|(file, line)| file.ends_with("acme/app/main.yaml") && *line == 2),
        "{places:?}"
    );
}
