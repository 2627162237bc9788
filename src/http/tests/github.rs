//! How far GitHub was told.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::adapters::github::{Credential, Settings, Token};
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;
use crate::service::{Obstacle, Whom};
use crate::store::Outcome;

#[tokio::test]
async fn how_far_github_was_told_is_shown_with_the_build_and_in_all() {
    let fixture = Fixture::new();
    let service = &fixture.web.service;
    let builds = fixture.push('a').await;
    let shown = async |build: &BuildId| {
        let build = fixture.get(&format!("/api/v1/builds/{build}")).await;
        json(&build)["status"].clone()
    };
    let all = async || json(&fixture.get("/api/v1/github").await);
    assert_eq!(shown(&builds[0]).await, json!(null), "nothing is told");
    assert_eq!(
        all().await,
        json!({
            "credential": "none",
            "statuses": {"waiting": 0, "oldest": null, "problem": null, "blocked_until": null},
            "webhooks": [],
        })
    );

    let token = Credential::Token(Token::new("a token"));
    let settings = Settings::new("http://127.0.0.1:1", token);
    service.github.configure(settings);
    assert_eq!(
        shown(&builds[0]).await,
        json!({
            "context": "autobuilder/build.sh", "state": "pending", "reported": null,
            "attempts": 0, "problem": null, "next_try": null, "given_up": false,
        })
    );
    let standing = all().await;
    assert_eq!(standing["credential"], "token");
    assert_eq!(standing["statuses"]["waiting"], 2);
    assert!(standing["statuses"]["oldest"].is_string());
    let metrics = fixture.get("/metrics").await;
    let metrics = String::from_utf8_lossy(metrics.body());
    assert!(metrics.contains("statuses_waiting 2\n"), "{metrics}");

    let until = Timestamp::now().after(Duration::from_secs(60));
    let app: RepositoryName = "acme/app".parse().unwrap();
    let away = Obstacle {
        to: Whom::Scope(service.github.scope(&app)),
        problem: "GitHub cannot be reached".to_owned(),
        until,
    };
    service.obstacles.send_replace(vec![away]);
    let waits = shown(&builds[0]).await;
    assert_eq!(waits["problem"], "GitHub cannot be reached");
    assert_eq!(waits["next_try"], until.to_string());
    let standing = all().await;
    assert_eq!(standing["statuses"]["problem"], "GitHub cannot be reached");
    assert_eq!(standing["statuses"]["blocked_until"], until.to_string());

    // What GitHub has taken is not held up by anything.
    let mut due = service
        .store
        .due_statuses(false, 1, |_| true)
        .await
        .unwrap();
    let taken = due.remove(0);
    let outcome = Outcome::Reported;
    service
        .store
        .status_tried(taken.clone(), outcome)
        .await
        .unwrap();
    let reported = shown(&taken.build).await;
    assert!(reported["reported"].is_string(), "{reported}");
    assert_eq!(
        (&reported["problem"], &reported["next_try"]),
        (&json!(null), &json!(null))
    );
    let of = Work::from(Recipe::of_script("build.sh"));
    fixture
        .store()
        .rebuild(builds[0].clone(), of)
        .await
        .unwrap();
    assert_eq!(shown(&builds[0]).await, json!(null), "the newer one speaks");
}
