//! Reading builds, logs and artifacts, and asking for changes.

use serde_json::json;

use super::*;
use crate::domain::time::Timestamp;

#[tokio::test]
async fn a_build_is_shown_as_the_contract_says() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"one\ntwo\n").await;
    let response = fixture.get(&format!("/api/v1/builds/{id}")).await;
    let mut build = json(&response);
    for step in build["steps"].as_array_mut().unwrap() {
        step["started"] = "…".into();
        step["ended"] = "…".into();
    }
    for time in ["queued", "started", "ended"] {
        let text = build[time].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
        build[time] = "…".into();
    }
    let url = format!("http://127.0.0.1:5560/monitor/builds/{id}");
    assert_eq!(build["url"], url);
    build["url"] = "…".into();
    assert_eq!(build["id"], id.as_str());
    build["id"] = "…".into();
    assert!(build["usual"]["total"].is_f64());
    build["usual"] = "…".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&build).unwrap(), @r###"
    {
      "artifacts": [],
      "attempt": 1,
      "base": null,
      "branch": "main",
      "cause": {
        "forced": false,
        "pusher": "ada",
        "type": "push"
      },
      "commit": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "commits": [
        {
          "author": "Ada",
          "id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "message": "change a",
          "url": null
        }
      ],
      "container": null,
      "ended": "…",
      "exit_code": null,
      "id": "…",
      "image": null,
      "kind": "binary",
      "limits": {
        "cpus": null,
        "memory": 17179869184,
        "pids": 4096,
        "timeout": 2700
      },
      "log": {
        "bytes": 8,
        "lines": 2
      },
      "queued": "…",
      "reason": null,
      "ref": "refs/heads/main",
      "repository": "acme/app",
      "script": "build.sh",
      "started": "…",
      "state": "succeeded",
      "status": null,
      "steps": [
        {
          "attempt": 1,
          "ended": "…",
          "line": 1,
          "name": "queued",
          "started": "…"
        },
        {
          "attempt": 1,
          "ended": "…",
          "line": 1,
          "name": "preparing",
          "started": "…"
        },
        {
          "attempt": 1,
          "ended": "…",
          "line": 1,
          "name": "building",
          "started": "…"
        },
        {
          "attempt": 1,
          "ended": "…",
          "line": 1,
          "name": "collecting",
          "started": "…"
        },
        {
          "attempt": 1,
          "ended": "…",
          "line": 1,
          "name": "publishing",
          "started": "…"
        }
      ],
      "tag": null,
      "url": "…",
      "usual": "…",
      "waiting": null
    }
    "###);
}

#[tokio::test]
async fn queued_builds_say_what_they_wait_for() {
    let fixture = Fixture::new();
    fixture.configure(|config| config.builds.concurrency = 1);
    let first = fixture.push('a').await;
    let second = fixture.push('b').await;
    let waiting = async |id: &BuildId| {
        json(&fixture.get(&format!("/api/v1/builds/{id}")).await)["waiting"].clone()
    };
    assert_eq!(waiting(&first[0]).await, Value::Null);
    assert_eq!(
        waiting(&second[0]).await,
        "waits for an earlier push of its branch"
    );
    fixture.advance(&first[0], &[State::Preparing]).await;
    assert_eq!(waiting(&first[0]).await, Value::Null);
    assert_eq!(waiting(&first[1]).await, "waits for a free place (1 of 1)");
    assert_eq!(
        waiting(&second[0]).await,
        "waits for its branch's running build"
    );
}

#[tokio::test]
async fn pages_follow_each_other_and_filters_narrow_them() {
    let fixture = Fixture::new();
    let mut pushed = Vec::new();
    for after in ['a', 'b', 'c'] {
        pushed.extend(fixture.push(after).await);
    }
    let listed = async |query: &str| {
        let page = json(&fixture.get(&format!("/api/v1/builds?{query}")).await);
        let ids: Vec<BuildId> = page["builds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|build| build["id"].as_str().unwrap().parse().unwrap())
            .collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    let newest_first: Vec<BuildId> = pushed.iter().rev().cloned().collect();
    let (page, next) = listed("limit=4").await;
    assert_eq!(page, newest_first[..4]);
    let (page, end) = listed(&format!("limit=4&before={}", next.unwrap())).await;
    assert_eq!((page, end), (newest_first[4..].to_vec(), None));

    fixture.advance(&pushed[0], &[State::Preparing]).await;
    assert_eq!(listed("state=running").await.0, [pushed[0].clone()]);
    assert_eq!(listed("state=queued,running").await.0.len(), 6);
    assert_eq!(listed("state=finished").await.0, []);
    assert_eq!(
        listed("text=change%20B&repository=acme/app&branch=main")
            .await
            .0,
        pushed[2..4].iter().rev().cloned().collect::<Vec<_>>()
    );
    assert_eq!(listed("branch=other").await.0, []);

    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "state=done",
        "repository=x",
        "sort=up",
    ] {
        let response = fixture.get(&format!("/api/v1/builds?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn any_part_of_a_log_is_the_exact_bytes() {
    let fixture = Fixture::new();
    let log = b"first\n\x1b[31msecond\x1b[0m\n\xff\xfe third\nlast without end";
    let id = fixture.built('a', log).await;
    let part = async |query: &str| {
        let response = fixture
            .get(&format!("/api/v1/builds/{id}/log{query}"))
            .await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
        let next = response.headers().get("x-next-line");
        let next = next.map(|next| next.to_str().unwrap().to_owned());
        (response.body().to_vec(), next)
    };
    assert_eq!(part("").await, (log.to_vec(), None));
    assert_eq!(part("?offset=6&limit=9").await, (log[6..15].to_vec(), None));
    assert_eq!(part("?offset=9999").await, (vec![], None));
    assert_eq!(part("?limit=5").await, (b"first".to_vec(), None));
    assert_eq!(
        part("?line=2&lines=1").await,
        (log[6..22].to_vec(), Some("3".into()))
    );
    assert_eq!(part("?line=4").await, (b"last without end".to_vec(), None));
    assert_eq!(part("?line=99&lines=5").await, (vec![], None));
    for query in ["?line=0", "?line=1&offset=0", "?offset=-1"] {
        let response = fixture
            .get(&format!("/api/v1/builds/{id}/log{query}"))
            .await;
        assert_eq!(response.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn lines_say_which_colours_hold_above_them() {
    let fixture = Fixture::new();
    let log = b"plain\n\x1b[1;31mred\nstill\x1b[0m\nplain\n";
    let id = fixture.built('a', log).await;
    let style = async |query: &str| {
        let path = format!("/api/v1/builds/{id}/log{query}");
        let response = fixture.get(&path).await;
        let style = response.headers().get("x-log-style");
        style.map(|style| style.to_str().unwrap().to_owned())
    };
    for (line, holds) in [(1, None), (2, None), (3, Some("1;31")), (4, None)] {
        let found = style(&format!("?line={line}")).await;
        assert_eq!(found.as_deref(), holds, "line {line}");
    }
    assert_eq!(style("").await, None);
}

#[tokio::test]
async fn lines_stop_at_a_mib_and_say_where() {
    let fixture = Fixture::new();
    let line = format!("{}\n", "x".repeat(999));
    let id = fixture.built('a', line.repeat(2000).as_bytes()).await;
    let response = fixture
        .get(&format!("/api/v1/builds/{id}/log?lines=2000"))
        .await;
    assert_eq!(response.body().len(), 1_048_000);
    assert_eq!(response.headers()["x-next-line"], "1049");
    let response = fixture
        .get(&format!("/api/v1/builds/{id}/log?line=1049&lines=2000"))
        .await;
    assert_eq!(response.body().len(), 2_000_000 - 1_048_000);
    assert_eq!(response.headers()["x-log-offset"], "1048000");
    assert!(!response.headers().contains_key("x-next-line"));
}

#[tokio::test]
async fn a_log_that_grows_is_read_up_to_what_was_announced() {
    let fixture = Fixture::new();
    let id = fixture.push('a').await.remove(0);
    let path = format!("/api/v1/builds/{id}/log");
    assert_eq!(fixture.get(&path).await.body().len(), 0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    writer.append(1_000, 0, b"so far\n").unwrap();
    assert_eq!(fixture.get(&path).await.body(), "so far\n");
    let build = json(&fixture.get(&format!("/api/v1/builds/{id}")).await);
    assert_eq!(build["log"], json!({"bytes": 7, "lines": 1}));
}

#[tokio::test]
async fn a_log_is_searched() {
    let fixture = Fixture::new();
    let id = fixture
        .built('a', b"ok\nError: one\nfine\n  error: two\n")
        .await;
    let found = async |query: &str| {
        let response = fixture
            .get(&format!("/api/v1/builds/{id}/log/search?{query}"))
            .await;
        let json = json(&response);
        let lines: Vec<u64> = json["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["line"].as_u64().unwrap())
            .collect();
        (lines, json["next"].clone())
    };
    assert_eq!(found("q=error").await, (vec![2, 4], Value::Null));
    assert_eq!(found("q=error&case=true").await, (vec![4], Value::Null));
    assert_eq!(found("q=error&from=3").await, (vec![4], Value::Null));
    assert_eq!(found("q=%5Eerror&regex=true").await, (vec![2], Value::Null));
    assert_eq!(found("q=%5Eerror").await, (vec![], Value::Null));
    let broken = fixture
        .get(&format!("/api/v1/builds/{id}/log/search?q=(&regex=true"))
        .await;
    insta::assert_snapshot!(failure(&broken), @"400: the expression cannot be read: unclosed group; correct the expression, or search for it as plain text");
    assert_eq!(
        fixture
            .get(&format!("/api/v1/builds/{id}/log/search?q="))
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn a_log_that_is_no_longer_kept_is_missed_and_not_empty() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"text\n").await;
    std::fs::remove_dir_all(fixture.web.service.logs.folder(&id)).unwrap();
    let response = fixture.get(&format!("/api/v1/builds/{id}/log")).await;
    assert_eq!(response.status(), 404);
    assert!(failure(&response).contains("no longer kept"));
}

/// A build with an artifact of these bytes.
async fn with_artifact(fixture: &Fixture, content: &[u8]) -> BuildId {
    let id = fixture.push('a').await.remove(0);
    fixture
        .advance(&id, &[State::Preparing, State::Building, State::Collecting])
        .await;
    let folder = fixture.web.service.logs.artifacts(&id);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("result.tar.gz"), content).unwrap();
    let known = Facts {
        artifact: Some(artifact(content)),
        ..Facts::default()
    };
    fixture.transition(&id, State::Publishing, known).await;
    id
}

#[tokio::test]
async fn an_artifact_is_downloaded_whole_or_in_part() {
    let fixture = Fixture::new();
    let id = with_artifact(&fixture, b"0123456789").await;
    let list = json(&fixture.get(&format!("/api/v1/builds/{id}/artifacts")).await);
    let path = format!("/api/v1/builds/{id}/artifacts/result.tar.gz");
    assert_eq!(
        list["artifacts"][0]["url"],
        format!("http://127.0.0.1:5560{path}")
    );
    assert_eq!(list["artifacts"][0]["size"], 10);

    let whole = fixture.get(&path).await;
    assert_eq!(
        (whole.status().as_u16(), whole.body().as_ref()),
        (200, &b"0123456789"[..])
    );
    let headers = whole.headers();
    let sha256 = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    assert_eq!(headers["etag"], format!("\"{sha256}\""));
    assert_eq!(headers["content-length"], "10");
    assert_eq!(
        headers["content-disposition"],
        "attachment; filename*=UTF-8''result.tar.gz"
    );
    assert_eq!(
        headers["repr-digest"],
        "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:"
    );

    let ranged = async |range: &str, condition: Option<&str>| {
        let mut request = warp::test::request().path(&path).header("range", range);
        if let Some(etag) = condition {
            request = request.header("if-range", etag);
        }
        let response = request.reply(&fixture.routes).await;
        let range = response.headers().get("content-range");
        let range = range.map(|range| range.to_str().unwrap().to_owned());
        let body = String::from_utf8_lossy(response.body()).into_owned();
        (response.status().as_u16(), range.unwrap_or_default(), body)
    };
    let part = |range: &str, body: &str| (206, range.to_owned(), body.to_owned());
    assert_eq!(ranged("bytes=2-4", None).await, part("bytes 2-4/10", "234"));
    assert_eq!(ranged("bytes=7-", None).await, part("bytes 7-9/10", "789"));
    assert_eq!(ranged("bytes=-3", None).await, part("bytes 7-9/10", "789"));
    assert_eq!(
        ranged("bytes=5-99", None).await,
        part("bytes 5-9/10", "56789")
    );
    assert_eq!(ranged("bytes=10-", None).await.0, 416);
    assert_eq!(ranged("bytes=10-", None).await.1, "bytes */10");
    assert_eq!(ranged("bytes=0-1,4-5", None).await.0, 200);
    assert_eq!(ranged("lines=0-1", None).await.0, 200);
    assert_eq!(ranged("bytes=2-4", Some("\"other\"")).await.0, 200);
    assert_eq!(
        ranged("bytes=2-4", Some(&format!("\"{sha256}\""))).await.0,
        206
    );

    let known = warp::test::request()
        .path(&path)
        .header("if-none-match", format!("\"{sha256}\""))
        .reply(&fixture.routes)
        .await;
    assert_eq!((known.status().as_u16(), known.body().len()), (304, 0));
}

#[tokio::test]
async fn nothing_but_a_builds_own_artifacts_can_be_named() {
    let fixture = Fixture::new();
    let id = with_artifact(&fixture, b"x").await;
    for name in [
        "other",
        "..%2Flog",
        "%2e%2e",
        "result.tar.gz%00",
        "..%2f..%2f..%2fapi-token",
    ] {
        let response = fixture
            .get(&format!("/api/v1/builds/{id}/artifacts/{name}"))
            .await;
        assert_eq!(response.status(), 404, "{name}");
    }
    std::fs::remove_dir_all(fixture.web.service.logs.artifacts(&id)).unwrap();
    let gone = fixture
        .get(&format!("/api/v1/builds/{id}/artifacts/result.tar.gz"))
        .await;
    assert!(failure(&gone).starts_with("404: result.tar.gz is no longer kept"));
}

#[tokio::test]
async fn changes_need_the_token() {
    let fixture = Fixture::new();
    let id = fixture.push('a').await.remove(0);
    for path in [
        "/api/v1/builds".to_owned(),
        format!("/api/v1/builds/{id}/cancel"),
        format!("/api/v1/builds/{id}/rebuild"),
    ] {
        for token in [
            "",
            "Bearer open sesam",
            "Bearer open sesame!",
            "Basic open sesame",
        ] {
            let mut request = warp::test::request().method("POST").path(&path);
            if !token.is_empty() {
                request = request.header("authorization", token);
            }
            let response = request.reply(&fixture.routes).await;
            assert_eq!(response.status(), 401, "{path} {token}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(fixture.all().await.len(), 2);
}

#[tokio::test]
async fn without_a_configured_token_the_one_in_the_data_directory_opens() {
    let fixture = Fixture::new();
    fixture.configure(|config| config.api_token = None);
    let id = fixture.built('a', b"").await;
    let path = format!("/api/v1/builds/{id}/rebuild");
    assert_eq!(fixture.post(&path, Value::Null).await.status(), 401);
    let token = std::fs::read_to_string(fixture.folder.path().join("api-token")).unwrap();
    let token = token.trim();
    let response = warp::test::request()
        .method("POST")
        .path(&path)
        .header("authorization", format!("Bearer {token}"))
        .reply(&fixture.routes)
        .await;
    assert_eq!(response.status(), 202);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let fixture = Fixture::new();
    let response = warp::test::request()
        .method("POST")
        .path("/api/v1/builds")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "text/plain")
        .body(r#"{"repository": "acme/app", "branch": "main"}"#)
        .reply(&fixture.routes)
        .await;
    assert_eq!(response.status(), 415);
}

#[tokio::test]
async fn a_person_asks_for_builds_of_a_commit() {
    let fixture = Fixture::new();
    let asked = json!({"repository": "acme/app", "branch": "main", "commit": sha('e')});
    let response = fixture.post("/api/v1/builds", asked).await;
    assert_eq!(
        (
            response.status().as_u16(),
            json(&response)["builds"].as_array().unwrap().len()
        ),
        (202, 2)
    );
    let one = json!({"repository": "acme/app", "branch": "main", "commit": sha('e'), "script": "test.sh"});
    let response = fixture.post("/api/v1/builds", one).await;
    let id: BuildId = json(&response)["builds"][0]["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let build = fixture.store().build(id).await.unwrap();
    assert_eq!(
        (&build.commit, &build.cause, build.script()),
        (&sha('e'), &Cause::Manual, "test.sh")
    );

    let refused = async |asked| failure(&fixture.post("/api/v1/builds", asked).await);
    insta::assert_snapshot!(refused(json!({"repository": "acme/app", "branch": "old"})).await, @"404: branch old of acme/app is not tracked; its branches in the configuration are feature/x, main");
    insta::assert_snapshot!(refused(json!({"repository": "acme/new", "branch": "main"})).await, @"404: branch main of acme/new is not tracked; add acme/new/main.yaml to the configuration");
    insta::assert_snapshot!(refused(json!({"repository": "acme/app", "branch": "main", "script": "x.sh"})).await, @"404: branch main of acme/app has no such script; its scripts are build.sh, test.sh");
    insta::assert_snapshot!(refused(json!({"repository": "acme/app"})).await, @"400: the body cannot be read: missing field `branch` at line 1 column 25; it needs repository and branch; commit, script and tag may be given");
    insta::assert_snapshot!(refused(json!({"repository": "acme/app", "branch": "main", "sha": "x"})).await, @"400: the body cannot be read: unknown field `sha`, expected one of `repository`, `branch`, `commit`, `script`, `tag` at line 1 column 46; it needs repository and branch; commit, script and tag may be given");
}

#[tokio::test]
async fn without_a_commit_the_head_of_the_branch_is_built() {
    let fixture = Fixture::new();
    let repository = fixture.folder.path().join("origin/acme/app");
    std::fs::create_dir_all(&repository).unwrap();
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .current_dir(&repository)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["commit", "--quiet", "--allow-empty", "--message=first"]);
    let head = git(&["rev-parse", "HEAD"]);
    let asked = json!({"repository": "acme/app", "branch": "main"});
    assert_eq!(fixture.post("/api/v1/builds", asked).await.status(), 202);
    assert_eq!(fixture.all().await[0].commit.as_str(), head);
    let gone = json!({"repository": "acme/app", "branch": "feature/x"});
    let refused = failure(&fixture.post("/api/v1/builds", gone).await);
    insta::assert_snapshot!(refused, @"404: acme/app has no refs/heads/feature/x; see whether it was pushed");
    std::fs::remove_dir_all(&repository).unwrap();
    let asked = json!({"repository": "acme/app", "branch": "main"});
    assert_eq!(fixture.post("/api/v1/builds", asked).await.status(), 502);
}

#[tokio::test]
async fn a_rebuild_takes_todays_recipe() {
    let fixture = Fixture::new();
    let old = fixture.built('a', b"").await;
    let mut newer = Recipe::of_script("build.sh");
    newer.baseimage = Some("debian:12".into());
    let mut catalog = Catalog::default();
    catalog.insert(
        "acme/app".parse().unwrap(),
        "main".parse().unwrap(),
        vec![newer.clone()],
    );
    fixture.inputs.catalog.send_replace(Arc::new(catalog));
    let rebuilt = async || {
        let path = format!("/api/v1/builds/{old}/rebuild");
        let response = fixture.post(&path, json!({})).await;
        assert_eq!(response.status(), 202);
        let id: BuildId = json(&response)["builds"][0]["id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        fixture.store().build(id).await.unwrap()
    };
    let build = rebuilt().await;
    assert_eq!(
        (&build.commit, &build.cause),
        (&sha('a'), &Cause::Rebuild { of: old.clone() })
    );
    assert_eq!(build.recipe(), Some(&newer));
    fixture.inputs.catalog.send_replace(Arc::default());
    assert_eq!(
        rebuilt().await.recipe(),
        Some(&Recipe::of_script("build.sh"))
    );
}

#[tokio::test]
async fn what_has_ended_or_is_unknown_is_not_cancelled() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"").await;
    let cancel = async |id: &str| {
        failure(
            &fixture
                .post(&format!("/api/v1/builds/{id}/cancel"), json!({}))
                .await,
        )
    };
    assert!(
        cancel(id.as_str())
            .await
            .ends_with("has already succeeded; an end never changes; a rebuild makes a new build")
    );
    insta::assert_snapshot!(cancel("0123456789ab").await, @"404: there is no build 0123456789ab; old builds are removed as `retention` in the service file says");
    insta::assert_snapshot!(cancel("..").await, @"404: there is no build ..; the ids of builds are listed at /api/v1/builds");
    let queued = fixture.push('b').await.remove(0);
    insta::assert_snapshot!(cancel(queued.as_str()).await, @"503: the service is starting or stopping; try again soon");
}

#[tokio::test]
async fn the_limits_of_an_imported_build_are_not_known() {
    let fixture = Fixture::new();
    let mut new = new_build('a');
    new.cause = Cause::Imported {
        id: "1500000000-1".into(),
        artifact: None,
        imported: Timestamp::now(),
    };
    let pushed = fixture.store().hear_push(None, new).await.unwrap();
    let own = fixture.push('b').await;
    let limits = async |id: &BuildId| {
        let build = fixture.get(&format!("/api/v1/builds/{id}")).await;
        json(&build)["limits"].clone()
    };
    assert_eq!(limits(&pushed.builds[0]).await, Value::Null);
    assert!(limits(&own[0]).await.is_object());
}
