//! The webhooks that the service sets on GitHub, and the pushes that come through them.

use std::time::Duration;

use github_model::{Answer, Hook, May, Model, Route, Times};
use serde_json::{Value, json};

use crate::support::{GITHUB_TOKEN, RECIPE, RESULT, Repository, Service, until, with_github};

const APP: &str = "acme/app";

/// GitHub, and a service that it can reach and that sets webhooks.
async fn managed() -> (Model, Service) {
    let (github, mut service) = with_github(json!({})).await;
    service.manage_webhooks();
    (github, service)
}

/// A tracked repository that GitHub knows before the service asks for it.
async fn tracked(github: &Model, service: &Service, name: &str) -> Repository {
    let repository = service.repository(name);
    github.repository(name).await;
    service.configure(name, "main", RECIPE).await;
    repository
}

fn url(service: &Service, name: &str) -> String {
    service.url(&format!("/build/{name}/hook"))
}

fn secret() -> Option<String> {
    Some("a-secret-shared-with-github".to_owned())
}

/// Waits until a repository's webhooks are so many, and all are as they should be.
async fn webhooks(github: &Model, repository: &str, right: impl Fn(&[Hook]) -> bool) -> Vec<Hook> {
    until(&format!("the webhooks of {repository}"), async || {
        let hooks = github.hooks(repository);
        right(&hooks).then_some(hooks)
    })
    .await
}

/// What the service says of a repository's webhook.
async fn standing(service: &Service, repository: &str) -> Option<Value> {
    let github = service.get("/api/v1/github").await.json();
    let mut webhooks = github["webhooks"].as_array().unwrap().iter();
    webhooks
        .find(|webhook| webhook["repository"] == repository)
        .cloned()
}

#[tokio::test]
async fn a_tracked_repository_gets_one_webhook_and_what_comes_through_it_is_built() {
    let (github, service) = managed().await;
    let app = tracked(&github, &service, APP).await;
    let hooks = webhooks(&github, APP, |hooks| hooks.len() == 1).await;
    let Hook {
        url: found,
        content_type,
        secret: given,
        events,
        active,
        ..
    } = &hooks[0];
    assert_eq!(
        (
            found,
            content_type.as_str(),
            given,
            events.as_slice(),
            active
        ),
        (
            &url(&service, "app"),
            "json",
            &secret(),
            ["push".to_owned()].as_slice(),
            &true
        )
    );

    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.push("main");
    let deliveries = github.notice(APP).await;
    assert_eq!(deliveries.len(), 1);
    let builds = service.builds().await;
    assert_eq!(builds.len(), 1, "the webhook was accepted");
    assert_eq!(builds[0]["cause"]["type"], "push");
    service
        .wait_for(builds[0]["id"].as_str().unwrap(), "succeeded")
        .await;
    assert_eq!(
        standing(&service, APP).await.unwrap()["problem"],
        json!(null)
    );
    let ids = |hooks: &[Hook]| -> Vec<u64> { hooks.iter().map(|hook| hook.id).collect() };
    assert_eq!(ids(&github.hooks(APP)), ids(&hooks));
}

#[tokio::test]
async fn wrong_ones_are_corrected_second_ones_removed_and_others_left_alone() {
    let (github, mut service) = with_github(json!({})).await;
    github.repository(APP).await;
    let foreign = Hook::new("https://jenkins.example.org/github-webhook/");
    let foreign = github.hook(APP, foreign);
    // Those of the old service, at the same address; one is switched off.
    let old = github.hook(APP, Hook::new(&service.url("/hook/monitor-update")));
    let kernel = Hook {
        active: false,
        ..Hook::new(&service.url("/hook/kernel"))
    };
    let kernel = github.hook(APP, kernel);
    for number in 0..32 {
        let other = Hook {
            events: vec!["issues".to_owned()],
            ..Hook::new(&format!("https://example.org/{number}"))
        };
        github.hook(APP, other);
    }
    let late = github.hook(APP, Hook::new(&url(&service, "app")));

    let _app = service.tracked(APP).await;
    service.manage_webhooks();
    let ours = |hooks: &[Hook]| -> Vec<u64> {
        let ours = hooks.iter().filter(|hook| hook.url.contains("127.0.0.1"));
        ours.map(|hook| hook.id).collect()
    };
    // The one with the right address stays, though it stood on the second page.
    let hooks = webhooks(&github, APP, |hooks| {
        ours(hooks) == [late]
            && hooks
                .iter()
                .any(|hook| hook.id == late && hook.secret == secret())
    })
    .await;
    assert!(
        ![old, kernel]
            .iter()
            .any(|id| hooks.iter().any(|hook| hook.id == *id))
    );
    assert_eq!(hooks.len(), 34);
    assert!(hooks.iter().any(|hook| hook.id == foreign));
}

#[tokio::test]
async fn one_push_that_two_webhooks_tell_of_is_built_once() {
    let (github, service) = with_github(json!({})).await;
    let app = tracked(&github, &service, APP).await;
    for path in ["/hook/monitor-watch", "/build/app/hook"] {
        let hook = Hook {
            secret: secret(),
            content_type: "json".to_owned(),
            ..Hook::new(&service.url(path))
        };
        github.hook(APP, hook);
    }
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.push("main");
    assert_eq!(github.notice(APP).await.len(), 2);
    let builds = service.builds().await;
    assert_eq!(builds.len(), 1);
    service
        .wait_for(builds[0]["id"].as_str().unwrap(), "succeeded")
        .await;
}

#[tokio::test]
async fn a_new_secret_is_given_to_the_webhooks() {
    let (github, mut service) = managed().await;
    let _app = tracked(&github, &service, APP).await;
    webhooks(&github, APP, |hooks| hooks.len() == 1).await;
    service.change_settings(json!({"github": {"webhook_secret": "another-secret"}}));
    let another = Some("another-secret".to_owned());
    webhooks(&github, APP, |hooks| {
        hooks.len() == 1 && hooks[0].secret == another
    })
    .await;
}

#[tokio::test]
async fn a_repository_that_may_not_be_administered_is_reported_once_with_what_to_do() {
    let (github, service) = managed().await;
    github.token(GITHUB_TOKEN).may(&[May::Read, May::Statuses]);
    let _app = tracked(&github, &service, APP).await;
    let problem = until("the problem is shown", async || {
        let webhook = standing(&service, APP).await?;
        webhook["problem"].as_str().map(str::to_owned)
    })
    .await;
    assert!(problem.contains("administer its webhooks"), "{problem}");
    // Another look, after a change that leaves it as it is.
    let _other = tracked(&github, &service, "acme/other").await;
    until("the other was looked at", async || {
        standing(&service, "acme/other").await
    })
    .await;
    let said = service.own_log();
    let said = said
        .lines()
        .filter(|line| line.contains("no webhook:") && line.contains(APP));
    assert_eq!(said.count(), 1);
}

#[tokio::test]
async fn a_new_credential_is_used_at_once() {
    let (github, mut service) = managed().await;
    github.token(GITHUB_TOKEN).may(&[May::Read, May::Statuses]);
    github.token("ghp_another-token").all();
    let _app = tracked(&github, &service, APP).await;
    until("the problem is shown", async || {
        standing(&service, APP).await?["problem"].as_str().map(drop)
    })
    .await;
    service.change_settings(json!({"github": {"token": "ghp_another-token"}}));
    webhooks(&github, APP, |hooks| hooks.len() == 1).await;
}

#[tokio::test]
async fn dependencies_have_webhooks_too() {
    let (github, service) = managed().await;
    for name in [APP, "acme/lib"] {
        service.repository(name);
        github.repository(name).await;
    }
    let depends = "
buildscripts: [build.sh]
build.sh:
  artifact: result.tar.gz
  dependencies: [acme/lib]
";
    service.configure(APP, "main", depends).await;
    for (repository, name) in [(APP, "app"), ("acme/lib", "lib")] {
        let wanted = url(&service, name);
        webhooks(&github, repository, |hooks| {
            hooks.len() == 1 && hooks[0].url == wanted
        })
        .await;
    }
}

#[tokio::test]
async fn webhooks_that_hang_delay_no_comparison() {
    let (github, mut service) = with_github(json!({"github": {"reconcile_every": "1s"}})).await;
    // Longer than the service waits for an answer.
    let never = Answer::late(Duration::from_secs(3600));
    github.fail(Times::UntilLifted, Route::Hooks, never);
    service.manage_webhooks();
    // More than are asked about at once.
    let mut repositories = Vec::new();
    for number in 0..16 {
        let name = format!("acme/app-{number}");
        repositories.push(service.repository(&name));
        github.repository(&name).await;
        service.write_configuration(&name, "main", RECIPE);
    }
    until("the refs of all have been seen", async || {
        let mut all = repositories.iter();
        all.all(|repository| service.has_seen(repository))
            .then_some(())
    })
    .await;
    let last = &repositories[15];
    last.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    last.push("main");
    let found = until("the push is found", async || service.builds().await.pop()).await;
    assert_eq!(found["cause"]["type"], "reconcile");
    service
        .wait_for(found["id"].as_str().unwrap(), "succeeded")
        .await;
}
