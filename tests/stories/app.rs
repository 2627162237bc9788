//! A service that shows GitHub an App: private repositories are fetched, built and reported with
//! the tokens of its installation, which are seen nowhere.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use github_model::{APP_PRIVATE_KEY, Answer, Model, Route, Seen, Times};
use serde_json::{Value, json};

use crate::support::{APP_ID, RECIPE, RESULT, Repository, command_lines, until, with_app};

const APP: &str = "acme/app";
const OTHER: &str = "acme/other";
const CONFIGURATION: &str = "acme/configuration";

/// How a token begins that an App signs: its header, `{"alg":"RS256","typ":"JWT"}`.
const SIGNED: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

/// Waits until a repository has its webhook.
async fn webhook(github: &Model, repository: &str) {
    until(&format!("the webhook of {repository}"), async || {
        (github.hooks(repository).len() == 1).then_some(())
    })
    .await;
}

/// Pushes a script that succeeds, and has GitHub tell of it. Returns the commit.
async fn push(github: &Model, repository: &Repository) -> String {
    let commit = repository.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    repository.push("main");
    github.notice(&repository.name).await;
    commit
}

/// Waits until GitHub shows a commit as built.
async fn success(github: &Model, repository: &str, commit: &str) {
    until(&format!("{repository} is shown as built"), async || {
        let status = github.status(repository, commit, "autobuilder/build.sh")?;
        (status.state == "success").then_some(())
    })
    .await;
}

fn refused(seen: &Seen) -> bool {
    seen.status.is_none_or(|status| status >= 400)
}

/// What of a credential must be seen nowhere, in each form in which it is used.
fn secrets(github: &Model) -> Vec<String> {
    let key = APP_PRIVATE_KEY
        .lines()
        .filter(|line| !line.starts_with('-'));
    let mut secrets: Vec<String> = key.map(str::to_owned).collect();
    secrets.push(SIGNED.to_owned());
    for token in github.app_tokens() {
        secrets.push(STANDARD.encode(format!("x-access-token:{token}")));
        secrets.push(token);
    }
    secrets
}

/// All files below a folder, and what is in them.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

fn assert_holds_none(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret), "{what} holds {secret}");
    }
}

#[tokio::test]
async fn private_repositories_are_fetched_built_and_reported_and_no_secret_is_seen() {
    let source =
        json!({"configuration": {"path": null, "repository": CONFIGURATION, "branch": "main"}});
    let (github, mut service, [configuration, app]) = with_app([CONFIGURATION, APP], source).await;
    service.manage_webhooks();
    webhook(&github, CONFIGURATION).await;
    configuration.commit(&[("acme/app/main.yaml", RECIPE)]);
    configuration.push("main");
    github.notice(CONFIGURATION).await;
    webhook(&github, APP).await;

    // Long enough to be looked at.
    let slow = Answer::late(Duration::from_secs(3));
    github.fail(Times::Next(1), Route::Git.of(APP), slow);
    let commit = push(&github, &app).await;
    let arguments = until("git asks for it", async || {
        let lines = command_lines(service.process_id());
        let is_asking = |line: &String| line.contains("remote-http") && line.contains(APP);
        lines.iter().any(is_asking).then_some(lines)
    })
    .await;
    success(&github, APP, &commit).await;

    let builds = service.builds().await;
    let causes: Vec<&Value> = builds.iter().map(|build| &build["cause"]["type"]).collect();
    assert_eq!(causes, ["push", "push"], "both came through webhooks");
    for repository in [CONFIGURATION, APP] {
        let asked = github.requests_to(Route::Git.of(repository));
        assert!(!asked.is_empty());
        for seen in asked {
            assert_eq!(seen.credential, "installation acme", "{seen:?}");
        }
    }
    let refused: Vec<Seen> = github.requests().into_iter().filter(refused).collect();
    assert!(refused.is_empty(), "{refused:?}");

    let secrets = secrets(&github);
    assert!(secrets.len() > 20, "{}", secrets.len());
    assert_holds_none("an argument", &arguments.join("\n"), &secrets);
    assert_holds_none("the service's log", &service.own_log(), &secrets);
    for path in ["/metrics", "/api/v1/github", "/api/v1/builds"] {
        assert_holds_none(path, &service.get(path).await.text, &secrets);
    }
    let files = files(&service.path("data"));
    let is_there = |name: &str| files.iter().any(|(path, _)| path.contains(name));
    assert!(is_there("autobuilder.sqlite") && is_there("mirrors") && is_there("builds"));
    for (path, text) in files {
        assert_holds_none(&path, &text, &secrets);
    }
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_once_for_all_who_wait_for_it() {
    // The service renews a token that has a quarter of an hour left.
    const RESERVE: Duration = Duration::from_secs(15 * 60);
    const USED_FOR: Duration = Duration::from_secs(3);
    let names = ["acme/one", "acme/two", "acme/three", "acme/four"];
    let (github, mut service, repositories) = with_app(names, json!({})).await;
    github.app(APP_ID).tokens_last(RESERVE + USED_FOR);
    service.manage_webhooks();
    for name in names {
        service.write_configuration(name, "main", RECIPE);
    }
    for repository in &repositories {
        webhook(&github, &repository.name).await;
        until("its refs have been seen", async || {
            service.has_seen(repository).then_some(())
        })
        .await;
    }
    let fetched = github.requests_to(Route::Tokens);
    until("the token is about to end", async || {
        let ends = fetched.last()?.at + USED_FOR + Duration::from_secs(1);
        (SystemTime::now() > ends).then_some(())
    })
    .await;

    github.app(APP_ID).tokens_last(RESERVE * 4);
    // Until then, all who need one wait.
    let slow = Answer::late(Duration::from_secs(1));
    github.fail(Times::Next(1), Route::Tokens, slow);
    let mut commits = Vec::new();
    for repository in &repositories {
        commits.push(push(&github, repository).await);
    }
    for (name, commit) in names.iter().zip(&commits) {
        success(&github, name, commit).await;
    }
    let renewed = &github.requests_to(Route::Tokens)[fetched.len()..];
    assert_eq!(renewed.len(), 1, "{renewed:?}");
    let refused: Vec<Seen> = github.requests().into_iter().filter(refused).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test]
async fn where_the_app_is_not_installed_is_said_once_and_holds_up_nothing_else() {
    let often = json!({"github": {"reconcile_every": "1s"}});
    let (github, mut service, [app, _other]) = with_app([APP, OTHER], often).await;
    github.app(APP_ID).without(OTHER);
    service.manage_webhooks();
    service.configure(APP, "main", RECIPE).await;
    webhook(&github, APP).await;
    service.configure(OTHER, "main", RECIPE).await;
    until("it was compared again and again", async || {
        (github.requests_to(Route::Git.of(OTHER)).len() >= 9).then_some(())
    })
    .await;
    // Another look at all webhooks.
    let looks = github.requests_to(Route::Hooks.of(OTHER)).len();
    service.change_settings(json!({"github": {"webhook_secret": "another-secret"}}));
    until("its webhooks are looked at again", async || {
        (github.requests_to(Route::Hooks.of(OTHER)).len() > looks).then_some(())
    })
    .await;
    let commit = push(&github, &app).await;
    success(&github, APP, &commit).await;

    let log = service.own_log();
    let said = |what: &str| -> Vec<&str> {
        let lines = log.lines();
        lines
            .filter(|line| line.contains(what) && line.contains(OTHER))
            .collect()
    };
    let webhooks = said("no webhook:");
    assert_eq!(webhooks.len(), 1, "{webhooks:?}");
    assert!(webhooks[0].contains("install the App"), "{webhooks:?}");
    let comparisons = said("cannot compare heads");
    assert_eq!(comparisons.len(), 1, "{comparisons:?}");
    assert!(
        comparisons[0].contains("may not be read"),
        "{comparisons:?}"
    );
}
