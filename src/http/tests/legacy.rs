//! The addresses of the service before this one.

use super::*;

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
