//! Pushes that no webhook told of are found by asking git, and are one push with what a webhook
//! tells later.

use serde_json::json;

use crate::support::{Delivery, HOLD, RECIPE, RESULT, Service, builds_in, until};

#[tokio::test]
async fn a_push_that_nobody_told_of_is_found_at_the_next_start_and_built_once() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let first = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&first, "succeeded").await;

    service.terminate();
    app.commit(&[("more", "")]);
    app.commit(&[("and more", "")]);
    let push = app.push("main");
    service.start_again();
    let found = until("the push is found", async || {
        let builds = service.builds().await;
        (builds.len() == 2).then(|| builds[0].clone())
    })
    .await;
    assert_eq!(
        (&found["cause"]["type"], &found["commit"]),
        (&json!("reconcile"), &json!(push.commit))
    );
    assert_eq!(found["commits"].as_array().unwrap().len(), 2);

    // The webhook comes after all.
    let late = service.deliver(&Delivery::of(&push)).await;
    assert_eq!(late.status, 202);
    assert_eq!(builds_in(&late), [found["id"].as_str().unwrap()]);
    service
        .wait_for(found["id"].as_str().unwrap(), "succeeded")
        .await;
    assert_eq!(service.builds().await.len(), 2);
}

#[tokio::test]
async fn a_branch_seen_for_the_first_time_is_built_or_only_recorded_as_configured() {
    for (first_sight, builds) in [("build", 1), ("record", 0)] {
        let mut service = Service::start_with(json!({"github": {"first_sight": first_sight}}));
        let app = service.repository("acme/app");
        app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
        app.push("main");
        service.configure("acme/app", "main", RECIPE).await;
        until("the head is known", async || {
            service.knows_head_of(&app).then_some(())
        })
        .await;
        // What is known stays known.
        service.terminate();
        service.start_again();
        let found = service.builds().await;
        assert_eq!(found.len(), builds, "{first_sight}");
        for build in found {
            service
                .wait_for(build["id"].as_str().unwrap(), "succeeded")
                .await;
        }
    }
}

#[tokio::test]
async fn a_branch_that_was_forced_back_meanwhile_counts_as_newer() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let old = app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let build = service.pushed(&app.push("main")).await;
    service.wait_for(&build, "succeeded").await;
    let running = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&running, "holding").await;

    service.kill();
    app.git(&["reset", "--quiet", "--hard", &old]);
    app.force_push("main");
    service.start_again();
    service.wait_for(&running, "superseded").await;
    let back = service.builds().await[0].clone();
    assert_eq!(
        (&back["commit"], &back["cause"]["type"]),
        (&json!(old), &json!("reconcile"))
    );
    service
        .wait_for(back["id"].as_str().unwrap(), "succeeded")
        .await;
}

#[tokio::test]
async fn webhooks_that_come_late_and_one_by_one_build_nothing_twice() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let first = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&first, "succeeded").await;

    service.terminate();
    app.commit(&[("more", "")]);
    let middle = app.push("main");
    app.commit(&[("and more", "")]);
    let last = app.push("main");
    service.start_again();
    let found = until("the last push is found", async || {
        let builds = service.builds().await;
        (builds.len() == 2).then(|| builds[0]["id"].as_str().unwrap().to_owned())
    })
    .await;
    service.wait_for(&found, "succeeded").await;

    // The push between was never found; its webhook builds it, once, and moves nothing back.
    let between = builds_in(&service.deliver(&Delivery::of(&middle)).await);
    let known = builds_in(&service.deliver(&Delivery::of(&last)).await);
    assert_eq!(known, [found.as_str()]);
    service.wait_for(&between[0], "succeeded").await;
    service.terminate();
    service.start_again();
    app.commit(&[("at last", "")]);
    let next = service.pushed(&app.push("main")).await;
    service.wait_for(&next, "succeeded").await;
    assert_eq!(service.builds().await.len(), 4);
}

#[tokio::test]
async fn refs_that_appear_without_a_webhook_are_pushes_whatever_first_sight_says() {
    // GitHub tells nothing of more than three tags that are pushed at once.
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    for tag in ["v1", "v4"] {
        service.configure("acme/app", tag, RECIPE).await;
    }
    let first = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&first, "succeeded").await;
    until("all refs have been seen", async || {
        service.has_seen(&app).then_some(())
    })
    .await;
    service.terminate();
    for tag in ["v1", "v2", "v3", "v4"] {
        app.push_tag(tag);
    }
    app.push("v4");
    service.start_again();
    let found = until("the tags are found", async || {
        let builds = service.builds().await;
        (builds.len() == 4).then_some(builds)
    })
    .await;
    let mut refs = Vec::new();
    for build in &found[..3] {
        let id = build["id"].as_str().unwrap();
        refs.push(service.wait_for(id, "succeeded").await["ref"].clone());
    }
    refs.sort_by_key(|it| it.to_string());
    // A branch of a tag's name is another ref.
    assert_eq!(refs, ["refs/heads/v4", "refs/tags/v1", "refs/tags/v4"]);
}

#[tokio::test]
async fn a_commit_that_asks_for_it_is_skipped() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.git(&[
        "commit",
        "--quiet",
        "--allow-empty",
        "--message",
        "Only words [skip ci]",
    ]);
    let build = service.pushed(&app.push("main")).await;
    let ended = service.wait_for(&build, "skipped").await;
    assert!(
        ended["reason"].as_str().unwrap().contains("skip"),
        "{}",
        ended["reason"]
    );
    // A person who asks for it gets it all the same.
    let again = service.rebuild(&build).await;
    service.wait_for(&again, "succeeded").await;
}

#[tokio::test]
async fn a_repository_that_is_not_watched_for_a_month_is_forgotten_and_seen_anew() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let first = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&first, "succeeded").await;
    let mirror = service.path("data/mirrors/acme/app.git");
    const IS_KNOWN: &str = "SELECT 1 FROM heads WHERE repository = ?1";
    const HAS_DELIVERY: &str = "SELECT 1 FROM deliveries JOIN pushes ON sequence = push \
                                WHERE repository = ?1";

    service.terminate();
    service.remove_configuration("acme/app", "main");
    service.start_again();
    until("it is noted as not watched", async || {
        let noted = service.finds("SELECT 1 FROM unwatched WHERE repository = ?1", &app.name);
        noted.then_some(())
    })
    .await;
    assert!(mirror.exists() && service.finds(IS_KNOWN, &app.name));
    assert!(service.finds(HAS_DELIVERY, &app.name));

    service.terminate();
    let database = rusqlite::Connection::open(service.path("data/autobuilder.sqlite")).unwrap();
    database
        .execute_batch("UPDATE unwatched SET since = 0; UPDATE deliveries SET heard = 0")
        .unwrap();
    drop(database);
    app.commit(&[("more", "")]);
    app.push("main");
    service.start_again();
    until("it is forgotten", async || {
        (!mirror.exists() && !service.finds(IS_KNOWN, &app.name)).then_some(())
    })
    .await;
    assert!(!service.finds(HAS_DELIVERY, &app.name));

    // What was pushed meanwhile is recorded, as of any other that is seen for the first time.
    service.configure("acme/app", "main", RECIPE).await;
    until("its head is known", async || {
        service.knows_head_of(&app).then_some(())
    })
    .await;
    assert_eq!(service.builds().await.len(), 1);
    let next = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&next, "succeeded").await;
}

#[tokio::test]
async fn a_repository_counts_as_seen_once_all_of_its_refs_could_be_looked_at() {
    let mut service = Service::start_with(json!({
        "github": {"reconcile_every": "1s", "first_sight": "build"}
    }));
    let app = service.repository("acme/app");
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.push("main");
    // A tag of a file, which no build can check out.
    let file = app.git(&["rev-parse", "HEAD:build.sh"]);
    app.git(&["tag", "v1", file.trim()]);
    app.git(&["push", "--quiet", "origin", "v1"]);
    service.write_configuration("acme/app", "v1", RECIPE);
    service.configure("acme/app", "main", RECIPE).await;
    let build = until("the branch is built", async || {
        let builds = service.builds().await;
        Some(builds.first()?["id"].as_str()?.to_owned())
    })
    .await;
    service.wait_for(&build, "succeeded").await;
    // So that two more comparisons have ended.
    let said = || {
        let log = service.own_log();
        let lines = log.lines().filter(|line| line.contains("refs/tags/v1"));
        lines.count()
    };
    until("the tag is told of", async || (said() > 0).then_some(())).await;
    assert!(!service.has_seen(&app));

    app.git(&["push", "--quiet", "origin", ":v1"]);
    until("the rest of it is seen", async || {
        service.has_seen(&app).then_some(())
    })
    .await;
    assert_eq!(said(), 1, "it is said once");
    assert_eq!(service.builds().await.len(), 1);
    service.terminate();
}
