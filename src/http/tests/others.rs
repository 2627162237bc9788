//! Everything beside builds: errors, health, the old addresses, badges, the monitor, OpenAPI.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::adapters::github::{Credential, Settings, Token};
use crate::config::{self, Configuration};
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;
use crate::domain::tracking::ConfigurationBranch;
use crate::service::{Obstacle, Source, Whom};
use crate::store::Outcome;

#[tokio::test]
async fn every_answer_is_hardened_and_every_error_is_json() {
    let fixture = Fixture::new();
    for path in [
        "/",
        "/monitor",
        "/nowhere",
        "/healthz",
        "/api/v1/builds",
        "/metrics",
    ] {
        let response = fixture.get(path).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{path}"
        );
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
    insta::assert_snapshot!(failure(&fixture.get("/nowhere").await), @"404: there is nothing at this address; the addresses are listed at /api/v1/openapi.json; people start at /monitor");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let fixture = Fixture::new();
    for (method, path, allowed) in [
        ("DELETE", "/api/v1/builds", "GET, HEAD, POST"),
        ("POST", "/api/v1/builds/0123456789ab", "GET, HEAD"),
        ("GET", "/api/v1/builds/0123456789ab/cancel", "POST"),
        ("GET", "/build/acme/hook", "POST"),
        ("PUT", "/monitor/builds/x", "GET, HEAD"),
        ("POST", "/api/v1/live", "GET"),
        ("POST", "/build/status", "GET, HEAD"),
    ] {
        let response = warp::test::request()
            .method(method)
            .path(path)
            .reply(&fixture.routes)
            .await;
        assert_eq!(response.status(), 405, "{method} {path}");
        assert_eq!(response.headers()["allow"], allowed, "{method} {path}");
        assert!(json(&response)["error"].is_string());
    }
    let head = warp::test::request()
        .method("HEAD")
        .path("/healthz")
        .reply(&fixture.routes)
        .await;
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("/healthz").await.body(), "ok\n");
    assert_eq!(fixture.get("/readyz").await.status(), 200);
    fixture.readiness.send_replace(vec![
        Component {
            name: "configuration",
            problem: None,
        },
        Component {
            name: "docker",
            problem: Some("connection refused".into()),
        },
    ]);
    let response = fixture.get("/readyz").await;
    assert_eq!(response.status(), 503);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json(&response)).unwrap(), @r###"
    {
      "components": [
        {
          "name": "configuration",
          "problem": null,
          "ready": true
        },
        {
          "name": "docker",
          "problem": "connection refused",
          "ready": false
        }
      ],
      "ready": false
    }
    "###);
    assert_eq!(fixture.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn metrics_count_what_waits_and_what_was_delivered() {
    let fixture = Fixture::new();
    fixture.push('a').await;
    let response = fixture.get("/metrics").await;
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(text.contains("autobuilder_builds_queued 2\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_old_services_clients_find_its_shapes() {
    let fixture = Fixture::new();
    let lines: String = (1..=30).map(|number| format!("line {number}\n")).collect();
    let done = fixture.built('a', lines.as_bytes()).await;
    let running = fixture.push('b').await.remove(1);
    let known = Facts {
        container: Some("0123456789abcdef".into()),
        image: Some("debian:12".into()),
        ..Facts::default()
    };
    fixture.transition(&running, State::Preparing, known).await;
    let mut writer = fixture.log(&running).await;
    writer.append(1_000, 0, lines.as_bytes()).unwrap();

    let status = json(&fixture.get("/build/status").await);
    assert_eq!(status.as_object().unwrap().len(), 3, "two of them wait");
    let mut old = status[running.as_str()].clone();
    assert_eq!(old["monitor"].as_array().unwrap().len(), 20);
    assert_eq!(old["monitor"][19], "line 30");
    old["monitor"] = "…".into();
    assert!(old["started"].as_i64().unwrap() > 1_700_000_000);
    old["started"] = "…".into();
    old["id"] = "…".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&old).unwrap(), @r###"
    {
      "artifact": "result.tar.gz",
      "baseimage": "debian:12",
      "branch": "main",
      "commits": [
        {
          "author": "Ada",
          "id": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
          "message": "change b",
          "url": null
        }
      ],
      "docker": "0123456789",
      "ended": null,
      "error": null,
      "id": "…",
      "monitor": "…",
      "name": "acme/app",
      "started": "…",
      "status": "initializing",
      "tag": null
    }
    "###);

    let history = json(&fixture.get("/build/history").await);
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert_eq!(history[0]["id"], done.as_str());
    assert_eq!(history[0]["status"], "success");
    assert_eq!(history[0]["monitor"][0], "line 11");

    assert_eq!(
        fixture.get(&format!("/report/{done}")).await.body(),
        lines.as_str()
    );
    assert_eq!(fixture.get("/report/../etc").await.status(), 404);
}

#[tokio::test]
async fn a_branchs_log_is_that_of_its_newest_build() {
    let fixture = Fixture::new();
    let mut new = new_build('a');
    new.push.reference = "refs/heads/feature/x#1".parse().unwrap();
    let builds = fixture.store().hear_push(None, new).await.unwrap().builds;
    for id in &builds {
        fixture.advance(id, &[State::Preparing]).await;
        fixture
            .log(id)
            .await
            .append(1_000, 0, id.as_str().as_bytes())
            .unwrap();
    }
    let log = async |path: &str| {
        let response = fixture.get(path).await;
        (
            response.status().as_u16(),
            String::from_utf8_lossy(response.body()).into_owned(),
        )
    };
    assert_eq!(
        log("/build/logs/acme/app/feature/x%231").await,
        (200, builds[1].to_string())
    );
    assert_eq!(
        log("/build/logs/acme/app/feature/x%231?script=build.sh").await,
        (200, builds[0].to_string())
    );
    assert_eq!(
        log("/build/logs/acme/app/feature/x%231?script=other.sh")
            .await
            .0,
        404
    );
    assert_eq!(log("/build/logs/acme/app/other").await.0, 404);
    assert_eq!(log("/build/logs/acme/app/").await.0, 404);
    assert_eq!(log("/build/logs/acme/app/..%2f..%2fx").await.0, 404);
}

#[tokio::test]
async fn a_badge_shows_the_worst_of_the_newest_push() {
    let fixture = Fixture::new();
    let word = async || {
        let response = fixture.get("/badge/acme/app/main.svg").await;
        assert_eq!(response.headers()["content-type"], "image/svg+xml");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let svg = String::from_utf8(response.body().to_vec()).unwrap();
        let (_, rest) = svg.split_once("<title>build: ").unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    assert_eq!(word().await, "unknown");
    let builds = fixture.push('a').await;
    assert_eq!(word().await, "building");
    let to_success = [
        State::Preparing,
        State::Building,
        State::Collecting,
        State::Publishing,
        State::Succeeded,
    ];
    fixture.advance(&builds[0], &to_success).await;
    assert_eq!(word().await, "building");
    fixture
        .advance(
            &builds[1],
            &[State::Preparing, State::Building, State::Failed],
        )
        .await;
    assert_eq!(word().await, "failing");
    let again = fixture
        .store()
        .rebuild(builds[1].clone(), recipe("test.sh").into())
        .await
        .unwrap();
    fixture.advance(&again, &to_success).await;
    assert_eq!(word().await, "passing");

    let first = fixture.get("/badge/acme/app/main.svg").await;
    let again = warp::test::request()
        .path("/badge/acme/app/main.svg")
        .header("if-none-match", &first.headers()["etag"])
        .reply(&fixture.routes)
        .await;
    assert_eq!(again.status(), 304);
    assert_eq!(fixture.get("/badge/acme/app/main").await.status(), 404);
    assert_eq!(
        fixture.get("/badge/acme/app/feature/x.svg").await.status(),
        200
    );
}

/// The word of a badge.
async fn badge(fixture: &Fixture, file: &str) -> String {
    let response = fixture.get(&format!("/badge/acme/app/{file}")).await;
    let svg = String::from_utf8(response.body().to_vec()).unwrap();
    let (_, rest) = svg.split_once("<title>build: ").unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_skipped_push_does_not_repair_a_badge() {
    let fixture = Fixture::new();
    let failed = [State::Preparing, State::Building, State::Failed];
    for (commit, first, second, word) in [
        (
            'a',
            [State::Skipped].as_slice(),
            [State::Skipped].as_slice(),
            "passing",
        ),
        ('b', &[State::Skipped], &failed, "failing"),
        ('c', &[State::Skipped], &[State::Skipped], "failing"),
        ('d', &failed, &[State::Preparing], "failing"),
        ('e', &[State::Preparing], &[State::Skipped], "building"),
    ] {
        let builds = fixture.push(commit).await;
        fixture.advance(&builds[0], first).await;
        fixture.advance(&builds[1], second).await;
        assert_eq!(badge(&fixture, "main.svg").await, word, "{commit}");
    }
}

#[tokio::test]
async fn a_branch_is_not_confused_with_a_tag_of_its_name() {
    let fixture = Fixture::new();
    let log = async || {
        let response = fixture.get("/build/logs/acme/app/main").await;
        String::from_utf8_lossy(response.body()).into_owned()
    };
    let push = async |commit: char, reference: &str, word: &str| {
        let mut new = new_build(commit);
        new.push.reference = reference.parse().unwrap();
        new.work.truncate(1);
        let heard = fixture.store().hear_push(None, new).await.unwrap();
        let build = heard.builds[0].clone();
        fixture
            .log(&build)
            .await
            .append(1_000, 0, word.as_bytes())
            .unwrap();
        build
    };
    let failed = [State::Preparing, State::Building, State::Failed];
    let old_tag = push('a', "refs/tags/main", "tag").await;
    fixture.advance(&old_tag, &failed).await;
    assert_eq!(badge(&fixture, "main.svg").await, "failing");
    assert_eq!(log().await, "tag");

    push('b', "refs/heads/main", "branch").await;
    let newer_tag = push('c', "refs/tags/main", "newer tag").await;
    fixture.advance(&newer_tag, &failed).await;
    assert_eq!(badge(&fixture, "main.svg").await, "building");
    assert_eq!(log().await, "branch");
    // Nor is it where the branch has no such script.
    assert_eq!(badge(&fixture, "main.svg?script=test.sh").await, "unknown");
    let none = fixture
        .get("/build/logs/acme/app/main?script=test.sh")
        .await;
    assert_eq!(none.status(), 404);
}

#[tokio::test]
async fn the_root_leads_to_the_monitor_and_its_own_addresses_get_the_page() {
    let fixture = Fixture::new();
    let root = fixture.get("/").await;
    assert_eq!(
        (
            root.status().as_u16(),
            root.headers()["location"].to_str().unwrap()
        ),
        (302, "/monitor")
    );
    for path in ["/monitor", "/monitor/", "/monitor/builds/0123456789ab"] {
        let page = fixture.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(
            page.headers()["content-type"],
            "text/html; charset=utf-8",
            "{path}"
        );
    }
    for path in [
        "/monitor/assets/gone.js",
        "/monitor/assets/../../Cargo.toml",
        "/monitored",
    ] {
        assert_eq!(fixture.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn the_document_describes_routes_that_are_there() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"text\n").await;
    let document = json(&fixture.get("/api/v1/openapi.json").await);
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 20);
    for (path, operations) in paths {
        let path = path
            .replace("{id}", id.as_str())
            .replace("{owner}", "acme")
            .replace("{name}", "app")
            .replace("{branch}", "main")
            .replace("{project}", "acme");
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let response = warp::test::request()
                .method(&method)
                .path(&path)
                .reply(&fixture.routes)
                .await;
            let status = response.status().as_u16();
            assert_ne!(status, 405, "{method} {path}");
            let is_known = status != 404 || !failure(&response).contains("nothing at this address");
            assert!(is_known, "{method} {path}");
            assert!(status < 500, "{method} {path}: {status}");
            let documented = &operations[method.to_lowercase()]["responses"];
            assert!(
                documented.get(status.to_string()).is_some(),
                "{method} {path} answers {status}"
            );
        }
    }
    let build = &document["components"]["schemas"]["BuildView"]["properties"];
    let shown = json(&fixture.get(&format!("/api/v1/builds/{id}")).await);
    for name in shown.as_object().unwrap().keys() {
        assert!(build.get(name).is_some(), "{name} is not described");
    }
    assert_eq!(
        json!(document["openapi"].as_str().unwrap().starts_with("3.")),
        json!(true)
    );
}

#[tokio::test]
async fn the_configuration_in_force_is_shown_with_what_is_wrong_in_it() {
    let fixture = Fixture::new();
    fixture.configure(|config| {
        config.configuration = Configuration::Repository(ConfigurationBranch {
            repository: "acme/configuration".parse().unwrap(),
            branch: "main".parse().unwrap(),
        });
    });
    let source = json!({"repository": "acme/configuration", "branch": "main"});
    assert_eq!(
        json(&fixture.get("/api/v1/configuration").await),
        json!({
            "source": source, "commit": null, "build": null, "loaded": null,
            "files": [], "findings": [],
        }),
        "nothing was loaded yet"
    );

    let good = "buildscripts: [build.sh]\nbuild.sh: {artifact: a}\n";
    let texts = [
        ("README.md", "ignored"),
        (
            "acme/app/main.yaml",
            "buildscripts: [build.sh]\nbuild.sh: {artefact: a}\n",
        ),
        ("acme/lib/main.yaml", good),
        (
            "acme/new/main.yaml",
            good.replace("artifact: a", "artifact: a, tag: t").as_str(),
        ),
    ]
    .map(|(path, text)| (path.to_owned(), Ok(text.to_owned())));
    let last_good = [
        "acme/app/main.yaml",
        "acme/lib/main.yaml",
        "acme/gone/main.yaml",
    ]
    .map(|path| (path.to_owned(), good.to_owned()));
    let resolved = config::resolve(&texts.into(), &last_good.into());
    let loaded = LoadedConfiguration {
        source: Source::Commit {
            repository: "acme/configuration".parse().unwrap(),
            branch: "main".parse().unwrap(),
            commit: sha('c'),
            build: "0123456789ab".parse().unwrap(),
        },
        loaded: Timestamp::from_millis(0),
        files: resolved.files,
        findings: resolved.findings,
    };
    // As it is after a restart.
    let text = serde_json::to_string(&loaded).unwrap();
    let again: LoadedConfiguration = serde_json::from_str(&text).unwrap();
    assert_eq!(
        again.commit_of(
            &"acme/configuration".parse().unwrap(),
            &"main".parse().unwrap()
        ),
        Some(&sha('c'))
    );
    assert_eq!(
        again.commit_of(
            &"acme/configuration".parse().unwrap(),
            &"other".parse().unwrap()
        ),
        None
    );
    fixture.loaded.send_replace(Some(Arc::new(again)));

    let mut shown = json(&fixture.get("/api/v1/configuration").await);
    let finding = shown["findings"][0].take();
    assert_eq!(
        shown,
        json!({
            "source": source,
            "commit": sha('c'),
            "build": "0123456789ab",
            "loaded": "1970-01-01T00:00:00.000Z",
            "files": [
                {"path": "acme/app/main.yaml", "state": "broken", "in_force": true},
                {"path": "acme/gone/main.yaml", "state": "removed", "in_force": false},
                {"path": "acme/lib/main.yaml", "state": "unchanged", "in_force": true},
                {"path": "acme/new/main.yaml", "state": "tracked", "in_force": true},
            ],
            "findings": [null],
        })
    );
    assert_eq!(finding["file"], "acme/app/main.yaml");
    assert_eq!(
        (&finding["line"], &finding["severity"]),
        (&json!(2), &json!("error"))
    );
    assert_eq!(finding["excerpt"]["text"], "build.sh: {artefact: a}");
}

#[tokio::test]
async fn a_load_of_the_configuration_is_neither_cancelled_nor_built_again_by_hand() {
    let fixture = Fixture::new();
    let load = NewBuilds {
        work: vec![Work::Configuration],
        ..new_build('c')
    };
    let heard = fixture.store().hear_push(None, load).await.unwrap();
    let load = &heard.builds[0];
    for action in ["cancel", "rebuild"] {
        let path = format!("/api/v1/builds/{load}/{action}");
        let response = fixture.post(&path, json!({})).await;
        assert_eq!(response.status(), 409, "{action}");
        assert!(failure(&response).contains("configuration"), "{action}");
    }
    let path = format!("/api/v1/builds/{load}");
    let shown = json(&fixture.get(&path).await);
    assert_eq!(
        (
            &shown["state"],
            &shown["kind"],
            &shown["script"],
            &shown["limits"]
        ),
        (
            &json!("queued"),
            &json!("configuration"),
            &json!("configuration"),
            &json!(null)
        )
    );
}

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
    let of = Work::from(recipe("build.sh"));
    fixture
        .store()
        .rebuild(builds[0].clone(), of)
        .await
        .unwrap();
    assert_eq!(shown(&builds[0]).await, json!(null), "the newer one speaks");
}
