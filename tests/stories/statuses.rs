//! What GitHub shows on a commit: the state of its builds, however GitHub and the service do.

use std::time::{Duration, Instant};

use github_model::{Answer, Model, Route, Times};
use serde_json::{Value, json};

use crate::support::{GITHUB_TOKEN, HOLD, RESULT, Service, until, with_github};

const APP: &str = "acme/app";
const CONTEXT: &str = "autobuilder/build.sh";

fn script(does: &str) -> String {
    format!("#!/bin/sh\n{does}\n{RESULT}")
}

/// The states that a context had, in their order.
fn states(github: &Model, commit: &str, context: &str) -> Vec<String> {
    let statuses = github.statuses(APP, commit, context);
    statuses.into_iter().map(|status| status.state).collect()
}

async fn github_shows(github: &Model, commit: &str, context: &str, state: &str) {
    until(&format!("GitHub shows {state} for {context}"), async || {
        let shown = github.status(APP, commit, context)?;
        (shown.state == state).then_some(())
    })
    .await;
}

/// How far the service says that GitHub was told of a build.
async fn delivery(service: &Service, build: &str) -> Value {
    service.build(build).await["status"].clone()
}

async fn delivered(service: &Service, build: &str) {
    until("the service knows that GitHub was told", async || {
        let status = delivery(service, build).await;
        status["reported"].is_string().then_some(())
    })
    .await;
}

/// What waits, and why, as the service tells of it.
async fn standing(service: &Service) -> Value {
    service.get("/api/v1/github").await.json()["statuses"].clone()
}

async fn metric(service: &Service, line: &str) -> bool {
    let metrics = service.get("/metrics").await.text;
    metrics.lines().any(|found| found == line)
}

#[tokio::test]
async fn a_commit_is_pending_at_once_and_then_shows_the_end_and_where_its_log_is() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let build = service.push_script(&app, &script(HOLD)).await;
    github_shows(&github, &app.head(), CONTEXT, "pending").await;
    service.wait_for_log(&build, "holding").await;
    assert_eq!(states(&github, &app.head(), CONTEXT), ["pending"]);
    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    github_shows(&github, &app.head(), CONTEXT, "success").await;

    let page = format!("http://127.0.0.1:5560/monitor/builds/{build}");
    let statuses = github.statuses(APP, &app.head(), CONTEXT);
    assert_eq!(statuses.len(), 2, "nothing is told twice: {statuses:?}");
    for status in statuses {
        assert_eq!(status.target_url.as_deref(), Some(page.as_str()));
    }
    delivered(&service, &build).await;
    let told = delivery(&service, &build).await;
    assert_eq!(told["context"], CONTEXT);
    assert_eq!(
        (&told["state"], &told["attempts"]),
        (&json!("success"), &json!(1))
    );
    assert!(
        metric(
            &service,
            "autobuilder_statuses_total{outcome=\"reported\"} 2"
        )
        .await
    );
    assert!(metric(&service, "autobuilder_statuses_waiting 0").await);
}

#[tokio::test]
async fn each_end_has_its_state_and_its_reason() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let shown = async |build: &str, commit: &str| {
        delivered(&service, build).await;
        let shown = github.status(APP, commit, CONTEXT).unwrap();
        (shown.state, shown.description.unwrap())
    };
    let failing = service.push_script(&app, "#!/bin/sh\nexit 3\n").await;
    let ended = service.wait_for(&failing, "failed").await;
    let (state, description) = shown(&failing, &app.head()).await;
    assert_eq!(state, "failure");
    assert_eq!(description, ended["reason"].as_str().unwrap());
    assert!(description.contains("exit code 3"), "{description}");

    let held = service.push_script(&app, &script(HOLD)).await;
    service.wait_for_log(&held, "holding").await;
    service.cancel(&held).await;
    delivered(&service, &held).await;
    let (state, description) = shown(&held, &app.head()).await;
    assert_eq!(state, "error");
    assert!(description.contains("cancel"), "{description}");

    app.commit(&[("build.sh", &script("true"))]);
    app.git(&[
        "commit",
        "--quiet",
        "--amend",
        "--message",
        "Words [skip ci]",
    ]);
    let skipped = service.pushed(&app.push("main")).await;
    service.wait_for(&skipped, "skipped").await;
    let (state, description) = shown(&skipped, &app.head()).await;
    assert_eq!(state, "success", "a required check does not hang");
    assert!(description.contains("[skip ci]"), "{description}");
}

#[tokio::test]
async fn scripts_recipe_tags_and_git_tags_have_contexts_of_their_own() {
    let (github, service) = with_github(json!({})).await;
    let app = service.repository(APP);
    github.repository(APP).await;
    let recipes = "
buildscripts: [build.sh, test.sh]
build.sh: {artifact: result.tar.gz, tag: special}
test.sh: {artifact: result.tar.gz}
";
    service.configure(APP, "main", recipes).await;
    service.configure(APP, "v1", crate::support::RECIPE).await;
    app.commit(&[
        ("build.sh", &script("true")),
        ("test.sh", "#!/bin/sh\nexit 1\n"),
    ]);
    let branch = service.webhook(&app.push("main")).await.builds;
    let tag = service.pushed(&app.push_tag("v1")).await;
    for build in branch.iter().chain([&tag]) {
        delivered(&service, build).await;
    }
    for (context, state) in [
        ("autobuilder/build.sh (special)", "success"),
        ("autobuilder/test.sh", "failure"),
        ("autobuilder/build.sh (tag v1)", "success"),
    ] {
        github_shows(&github, &app.head(), context, state).await;
    }
    assert_eq!(github.shown(APP, &app.head()).len(), 3);
}

#[tokio::test]
async fn github_may_be_away_for_the_whole_build() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    github.down().await;
    let build = service.push_script(&app, &script("true")).await;
    service.wait_for(&build, "succeeded").await;
    until("the service says why it waits", async || {
        let status = delivery(&service, &build).await;
        status["problem"]
            .as_str()?
            .contains("cannot be reached")
            .then_some(())
    })
    .await;
    let waits = standing(&service).await;
    assert_eq!(waits["waiting"], 1, "{waits}");
    assert!(
        waits["oldest"].is_string() && waits["blocked_until"].is_string(),
        "{waits}"
    );
    assert!(metric(&service, "autobuilder_statuses_waiting 1").await);

    github.up().await;
    github_shows(&github, &app.head(), CONTEXT, "success").await;
    assert_eq!(
        states(&github, &app.head(), CONTEXT),
        ["success"],
        "what is over by then is not told any more"
    );
    until("nothing stands in the way", async || {
        standing(&service).await["problem"].is_null().then_some(())
    })
    .await;
    let said = |text: &str| service.own_log().matches(text).count();
    assert_eq!(
        said("statuses wait, as GitHub takes none"),
        1,
        "once, not for each try"
    );
    assert_eq!(said("GitHub takes statuses again"), 1);
}

#[tokio::test]
async fn a_limit_is_kept_to_the_second() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let limit = Answer::status(429).header("Retry-After", 3);
    github.fail(Times::Next(1), Route::Statuses, limit);
    let build = service.push_script(&app, &script("true")).await;
    service.wait_for(&build, "succeeded").await;
    github_shows(&github, &app.head(), CONTEXT, "success").await;
    let requests = github.requests_to(Route::Statuses);
    assert_eq!(requests[0].status, Some(429));
    let pause = requests[1].at.duration_since(requests[0].at).unwrap();
    assert!(pause >= Duration::from_secs(3), "{pause:?}");
}

#[tokio::test]
async fn a_refused_token_is_replaced_without_a_restart() {
    let (github, mut service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    github.revoke(GITHUB_TOKEN);
    let build = service.push_script(&app, &script("true")).await;
    service.wait_for(&build, "succeeded").await;
    until("the service says that the token is refused", async || {
        let status = delivery(&service, &build).await;
        status["problem"]
            .as_str()?
            .contains("refuses the credential")
            .then_some(())
    })
    .await;
    github.token("ghp_the-next-token").all();
    service.change_settings(json!({"github": {"token": "ghp_the-next-token"}}));
    github_shows(&github, &app.head(), CONTEXT, "success").await;
    let refused = github.requests_to(Route::Statuses);
    let refused = refused.iter().filter(|seen| seen.status == Some(401));
    assert!(refused.count() <= 4, "it is not tried again and again");
}

#[tokio::test]
async fn a_status_that_github_does_not_take_waits_and_others_are_not_held_up() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let gone = Answer::status(422).message("No commit found for SHA");
    github.fail(Times::Next(1), Route::Statuses.by("POST"), gone.clone());
    let build = service.push_script(&app, &script("true")).await;
    service.wait_for(&build, "succeeded").await;
    github_shows(&github, &app.head(), CONTEXT, "success").await;

    // A commit of which GitHub never hears.
    let commit = app.commit(&[("build.sh", &script("echo more"))]);
    let route = Route::Statuses.by("POST").of(APP);
    github.fail(Times::UntilLifted, route, gone);
    let build = service.pushed(&app.push("main")).await;
    service.wait_for(&build, "succeeded").await;
    let status = until("it is not taken again and again", async || {
        let status = delivery(&service, &build).await;
        let attempts = status["attempts"].as_u64()?;
        (status["state"] == "success" && attempts > 1).then_some(status)
    })
    .await;
    let problem = status["problem"].as_str().unwrap();
    assert!(problem.contains("No commit found"), "{problem}");
    assert_eq!(status["given_up"], false);
    assert!(status["next_try"].is_string(), "{status}");
    assert!(github.status(APP, &commit, CONTEXT).is_none());
    let other = service.tracked_on(&github, "acme/other").await;
    let next = service.push_script(&other, &script("true")).await;
    service.wait_for(&next, "succeeded").await;
    let shown = async || github.status("acme/other", &other.head(), CONTEXT);
    until("another repository's is taken", async || {
        (shown().await?.state == "success").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_repository_that_refuses_waits_alone() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let other = service.tracked("acme/other").await;
    let unseen = service.push_script(&other, &script("true")).await;
    until(
        "the service says that GitHub knows no such repository",
        async || {
            let status = delivery(&service, &unseen).await;
            status["problem"].as_str().map(drop)
        },
    )
    .await;
    let seen = service.push_script(&app, &script("true")).await;
    service.wait_for(&seen, "succeeded").await;
    github_shows(&github, &app.head(), CONTEXT, "success").await;
    service.wait_for(&unseen, "succeeded").await;
    let waits = delivery(&service, &unseen).await;
    assert_eq!(
        (&waits["reported"], &waits["given_up"]),
        (&Value::Null, &json!(false))
    );
    assert!(waits["next_try"].is_string(), "{waits}");
    let problem = standing(&service).await["problem"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(problem.starts_with("acme/other: "), "{problem}");
}

#[tokio::test]
async fn killed_between_a_builds_end_and_its_report_it_is_reported_by_the_next() {
    let (github, mut service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let build = service.push_script(&app, &script(HOLD)).await;
    github_shows(&github, &app.head(), CONTEXT, "pending").await;
    service.wait_for_log(&build, "holding").await;
    github.down().await;
    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    service.kill();
    github.up().await;
    assert_eq!(states(&github, &app.head(), CONTEXT), ["pending"]);
    service.start_again();
    github_shows(&github, &app.head(), CONTEXT, "success").await;
}

#[tokio::test]
async fn killed_at_any_moment_no_commit_stays_pending_whose_build_has_ended() {
    let (github, mut service) = with_github(json!({"builds": {"supersede": false}})).await;
    let app = service.tracked_on(&github, APP).await;
    // Half of the answers get lost, so that a kill meets requests in every stage.
    for _ in 0..20 {
        github.fail(Times::Next(1), Route::Statuses.by("POST"), Answer::lost());
        github.fail(
            Times::Next(1),
            Route::Statuses.by("POST"),
            Answer::late(Duration::from_millis(100)),
        );
    }
    let mut random = 0x5eed_u64;
    let mut builds = Vec::new();
    for number in 0..8 {
        let build = service
            .push_script(&app, &script(&format!("echo {number}")))
            .await;
        builds.push((build, app.head()));
        // Another moment each time, and the same moments each time the story is told.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(random >> 54)).await;
        service.kill();
        service.start_again();
    }
    github.lift_all();
    for (build, commit) in &builds {
        service.wait_for(build, "succeeded").await;
        github_shows(&github, commit, CONTEXT, "success").await;
    }
}

#[tokio::test]
async fn one_name_shows_the_verdict_of_all_scripts() {
    let settings = json!({"github": {"legacy_context": "gig-autobuilder"}});
    let (github, mut service) = with_github(settings).await;
    let app = service.repository(APP);
    github.repository(APP).await;
    let recipes = "
buildscripts: [build.sh, test.sh]
build.sh: {artifact: result.tar.gz}
test.sh: {artifact: result.tar.gz, tag: checks}
";
    service.configure(APP, "main", recipes).await;
    app.commit(&[
        ("build.sh", &script("true")),
        ("test.sh", "#!/bin/sh\nexit 1\n"),
    ]);
    let builds = service.webhook(&app.push("main")).await.builds;
    service.wait_for(&builds[0], "succeeded").await;
    service.wait_for(&builds[1], "failed").await;
    github_shows(&github, &app.head(), "gig-autobuilder", "failure").await;
    let verdicts = github.statuses(APP, &app.head(), "gig-autobuilder");
    let page = format!("http://127.0.0.1:5560/monitor/builds/{}", builds[1]);
    assert_eq!(verdicts.last().unwrap().target_url, Some(page));
    let (last, before) = verdicts.split_last().unwrap();
    assert!(
        before.iter().all(|verdict| verdict.state == "pending"),
        "{before:?}"
    );
    assert!(
        last.description
            .as_ref()
            .unwrap()
            .contains("test.sh (checks): exit code 1")
    );

    // Under another name from now on, without a restart.
    service.change_settings(json!({"github": {"legacy_context": "all builds"}}));
    github_shows(&github, &app.head(), "all builds", "failure").await;
}

#[tokio::test]
async fn what_was_changed_behind_our_back_is_corrected_at_the_next_start() {
    let (github, mut service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    let build = service.push_script(&app, "#!/bin/sh\nexit 1\n").await;
    service.wait_for(&build, "failed").await;
    delivered(&service, &build).await;
    service.kill();
    let url = format!("{}/repos/{APP}/statuses/{}", github.url(), app.head());
    let changed = reqwest::Client::new()
        .post(url)
        .bearer_auth(GITHUB_TOKEN)
        .header("user-agent", "somebody")
        .json(&json!({"state": "success", "context": CONTEXT}))
        .send()
        .await
        .unwrap();
    assert_eq!(changed.status(), 201);
    service.start_again();
    github_shows(&github, &app.head(), CONTEXT, "failure").await;
    assert_eq!(
        states(&github, &app.head(), CONTEXT),
        ["pending", "failure", "success", "failure"]
    );
    assert!(metric(&service, "autobuilder_status_corrections_total 1").await);
}

#[tokio::test]
async fn a_slow_github_holds_up_no_build() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    github.fail(
        Times::UntilLifted,
        Route::Any,
        Answer::late(Duration::from_secs(10)),
    );
    let begun = Instant::now();
    for number in 0..2 {
        let build = service
            .push_script(&app, &script(&format!("echo {number}")))
            .await;
        service.wait_for(&build, "succeeded").await;
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(9), "two builds took {took:?}");
    github_shows(&github, &app.head(), CONTEXT, "success").await;
}

#[tokio::test]
async fn the_token_is_shown_to_github_and_to_nobody_else() {
    let (github, service) = with_github(json!({})).await;
    let app = service.tracked_on(&github, APP).await;
    // Answers that a careless client would repeat, and one that repeats the token itself.
    let echo = Answer::status(403).message(&format!("Bearer {GITHUB_TOKEN} may not"));
    for answer in [Answer::cut(), Answer::garbage(), Answer::status(500), echo] {
        github.fail(Times::Next(1), Route::Statuses, answer);
    }
    let build = service
        .push_script(&app, &script("env; cat /proc/*/cmdline"))
        .await;
    service.wait_for(&build, "succeeded").await;
    until("all of the answers came", async || {
        let refused = |seen: &&github_model::Seen| seen.status == Some(403);
        github.requests().iter().find(refused).map(drop)
    })
    .await;
    until("the refusal is known", async || {
        standing(&service).await["problem"].as_str().map(drop)
    })
    .await;
    let database = std::fs::read(service.path("data/autobuilder.sqlite")).unwrap();
    let journal = std::fs::read(service.path("data/autobuilder.sqlite-wal")).unwrap_or_default();
    let mut places = vec![
        ("the service's log", service.own_log()),
        (
            "the database",
            String::from_utf8_lossy(&database).into_owned(),
        ),
        (
            "its journal",
            String::from_utf8_lossy(&journal).into_owned(),
        ),
        ("the build's log", service.log(&build).await),
    ];
    let build = format!("/api/v1/builds/{build}");
    for path in ["/metrics", "/api/v1/builds", "/api/v1/github", &build] {
        places.push(("an answer", service.get(path).await.text));
    }
    for (place, text) in places {
        assert!(!text.contains(GITHUB_TOKEN), "the token is in {place}");
    }
}
