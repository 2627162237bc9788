//! `paths` and `paths_ignore`: which pushes a script is built for, by the files that they change.

use serde_json::{Value, json};

use crate::support::{HOLD, RESULT, Repository, Service, notes, until};

const ONLY_SRC: &str = "
buildscripts: [build.sh]
build.sh:
  artifact: result.tar.gz
  paths: [build.sh, 'src/**', '!**.md']
";

const NOT_DOCS: &str = "
buildscripts: [build.sh]
build.sh:
  artifact: result.tar.gz
  paths_ignore: ['docs/**', '**.md']
";

/// A service with `acme/app` after a first push, which is built whatever it changes.
async fn with(recipe: &str) -> (Service, Repository) {
    let service = Service::start();
    let app = service.repository("acme/app");
    service.configure("acme/app", "main", recipe).await;
    let first = push(
        &service,
        &app,
        &[("build.sh", &format!("#!/bin/sh\n{RESULT}"))],
    )
    .await;
    service.wait_for(&first, "succeeded").await;
    let log = service.log(&first).await;
    assert!(notes(&log)[0].contains("the branch is new"), "{log}");
    (service, app)
}

/// Commits files, each by itself, and pushes them at once.
async fn push(service: &Service, app: &Repository, files: &[(&str, &str)]) -> String {
    for file in files {
        app.commit(&[*file]);
    }
    service.pushed(&app.push("main")).await
}

/// What its log says first, once it has succeeded.
async fn built_because(service: &Service, build: &str) -> String {
    service.wait_for(build, "succeeded").await;
    notes(&service.log(build).await)[0].to_owned()
}

#[tokio::test]
async fn a_push_is_built_where_one_of_its_commits_changed_a_file_of_paths() {
    let (service, app) = with(ONLY_SRC).await;
    let build = push(
        &service,
        &app,
        &[("docs/a", "1"), ("src/deep/a", "1"), ("b", "1")],
    )
    .await;
    let why = built_because(&service, &build).await;
    assert!(
        why.contains("path filter: \"src/deep/a\" matches `paths`"),
        "{why}"
    );

    let none = push(
        &service,
        &app,
        &[("docs/b", "1"), ("src/a.md", "1"), ("c", "1")],
    )
    .await;
    let ended = service.wait_for(&none, "skipped").await;
    assert_eq!(
        (&ended["reason"], &ended["started"]),
        (
            &json!("no changed file matches `paths` (3 files changed)"),
            &Value::Null
        )
    );

    // The old name of a file that was moved away counts.
    app.git(&["mv", "src/deep/a", "elsewhere"]);
    let moved = push(&service, &app, &[("d", "1")]).await;
    let why = built_because(&service, &moved).await;
    assert!(why.contains("\"src/deep/a\""), "{why}");
}

#[tokio::test]
async fn a_push_that_touches_only_ignored_files_is_skipped_and_a_person_can_still_build_it() {
    let (service, app) = with(NOT_DOCS).await;
    let skipped = push(&service, &app, &[("docs/a", "1"), ("README.md", "1")]).await;
    let ended = service.wait_for(&skipped, "skipped").await;
    assert_eq!(
        ended["reason"],
        "every changed file matches `paths_ignore` (2 files changed)"
    );
    let again = service.rebuild(&skipped).await;
    service.wait_for(&again, "succeeded").await;
    let asked = json!({"repository": "acme/app", "branch": "main"});
    let answer = service.post("/api/v1/builds", asked).await;
    let asked = crate::support::builds_in(&answer).remove(0);
    service.wait_for(&asked, "succeeded").await;

    let built = push(&service, &app, &[("docs/b", "1"), ("code", "1")]).await;
    let why = built_because(&service, &built).await;
    assert!(
        why.contains("\"code\" does not match `paths_ignore`"),
        "{why}"
    );
}

#[tokio::test]
async fn forced_pushes_tags_new_branches_and_empty_commits_are_built() {
    let (service, app) = with(NOT_DOCS).await;
    let first = app.head();
    let skipped = push(&service, &app, &[("docs/a", "1")]).await;
    service.wait_for(&skipped, "skipped").await;

    app.git(&["reset", "--quiet", "--hard", &first]);
    app.commit(&[("docs/b", "1")]);
    let forced = service.pushed(&app.force_push("main")).await;
    let why = built_because(&service, &forced).await;
    assert!(why.contains("a forced push"), "{why}");

    let empty = push(&service, &app, &[("docs/b", "1")]).await;
    let why = built_because(&service, &empty).await;
    assert!(why.contains("changes no file"), "{why}");

    for name in ["next", "1.0"] {
        service.configure("acme/app", name, NOT_DOCS).await;
    }
    app.commit(&[("docs/c", "1")]);
    let branch = service.pushed(&app.push("next")).await;
    let why = built_because(&service, &branch).await;
    assert!(why.contains("the branch is new"), "{why}");
    let tag = service.pushed(&app.push_tag("1.0")).await;
    let why = built_because(&service, &tag).await;
    assert!(why.contains("a tag was pushed"), "{why}");
}

#[tokio::test]
async fn a_skipped_push_supersedes_nothing() {
    let (service, app) = with(NOT_DOCS).await;
    let holding = format!("#!/bin/sh\n{HOLD}{RESULT}");
    let running = push(&service, &app, &[("build.sh", &holding)]).await;
    service.wait_for_log(&running, "holding").await;
    let skipped = push(&service, &app, &[("docs/a", "1")]).await;
    service.wait_for(&skipped, "skipped").await;
    assert_eq!(service.state(&running).await, "building");

    // One that is built still takes its place.
    let newer = push(
        &service,
        &app,
        &[("build.sh", &format!("#!/bin/sh\n{RESULT}"))],
    )
    .await;
    let replaced = service.wait_for(&running, "superseded").await;
    let reason = replaced["reason"].as_str().unwrap();
    assert!(reason.contains(&app.head()[..10]), "{reason}");
    service.wait_for(&newer, "succeeded").await;
}

#[tokio::test]
async fn what_was_pushed_while_the_service_was_down_is_decided_too() {
    let (mut service, app) = with(NOT_DOCS).await;
    for (file, state) in [("docs/a", "skipped"), ("code", "succeeded")] {
        let known = service.builds().await.len();
        service.kill();
        app.commit(&[(file, "1")]);
        app.push("main");
        service.start_again();
        let found = until("the push is found", async || {
            let builds = service.builds().await;
            (builds.len() > known).then(|| builds[0].clone())
        })
        .await;
        assert_eq!(found["cause"]["type"], "reconcile");
        service.wait_for(found["id"].as_str().unwrap(), state).await;
    }
}

#[tokio::test]
async fn what_a_missed_push_changed_is_built_with_the_next_one() {
    let (service, app) = with(NOT_DOCS).await;
    app.commit(&[("code", "1")]);
    app.push("main");
    let build = push(&service, &app, &[("docs/a", "1")]).await;
    let why = built_because(&service, &build).await;
    assert!(why.contains("a push before this one was missed"), "{why}");
}

#[tokio::test]
async fn where_git_cannot_tell_the_build_is_made_and_its_log_says_why() {
    let (service, app) = with(NOT_DOCS).await;
    app.commit(&[("docs/a", "1")]);
    let pushed = app.push("main");
    std::fs::rename(service.path("git/acme/app"), service.path("away")).unwrap();
    let build = service.pushed(&pushed).await;
    // Without its commit it comes to nothing, but that is another matter.
    service.wait_for(&build, "errored").await;
    let log = service.log(&build).await;
    let why = notes(&log)[0];
    assert!(
        why.starts_with("path filter: not applied: git cannot tell which files changed: "),
        "{log}"
    );
}

#[tokio::test]
async fn what_is_undecided_is_not_overtaken_can_be_cancelled_and_is_decided_after_a_kill() {
    let (mut service, app) = with(NOT_DOCS).await;
    let first = service.builds().await[0]["id"].as_str().unwrap().to_owned();
    // A server that takes connections and never answers: git waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let git_url = service.path("git");
    service.terminate();
    service.change_settings(json!({"github": {"git_url": url}}));
    service.start_again();
    let undecided = push(&service, &app, &[("docs/a", "1")]).await;
    let cancelled = push(&service, &app, &[("docs/b", "1")]).await;
    assert!(service.cancel(&cancelled).await.status < 300);
    service.wait_for(&cancelled, "cancelled").await;
    // It needs no git to be decided, but is not to overtake.
    let behind = service.rebuild(&first).await;
    let waiting = service.build(&undecided).await;
    assert_eq!(
        (&waiting["state"], &waiting["waiting"]),
        (
            &json!("queued"),
            &json!("waits for git to tell which files its push changed")
        )
    );

    service.kill();
    // The git that it left behind ends with its connection.
    drop(silent);
    service.change_settings(json!({"github": {"git_url": git_url}}));
    service.start_again();
    let skipped = service.wait_for(&undecided, "skipped").await;
    let behind = service.wait_for(&behind, "succeeded").await;
    let time = |time: &Value| time.as_str().unwrap().to_owned();
    assert!(time(&skipped["ended"]) <= time(&behind["started"]));
}
