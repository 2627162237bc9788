//! A push is built: from the webhook to the artifact.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, RECIPE, RESULT, Service, notes, script_output, sha256};

#[tokio::test]
async fn a_push_is_built_and_its_artifact_is_what_the_script_wrote() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(
            &app,
            "#!/bin/sh\necho compiling\necho 'what was made' > /target/result.tar.gz\n",
        )
        .await;

    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(script_output(&service.log(&build).await), "compiling\n");
    assert_eq!(ended["exit_code"], 0);

    let artifact = &ended["artifacts"][0];
    assert_eq!(artifact["name"], "result.tar.gz");
    assert_eq!(artifact["size"], 14);
    assert_eq!(artifact["sha256"], sha256(b"what was made\n"));
    let path = format!("/api/v1/builds/{build}/artifacts/result.tar.gz");
    assert!(
        artifact["url"].as_str().unwrap().ends_with(&path),
        "{artifact}"
    );
    let downloaded = service.get(&path).await;
    assert_eq!(
        (downloaded.status, downloaded.text.as_str()),
        (200, "what was made\n")
    );
    assert!(
        downloaded
            .header("etag")
            .contains(&sha256(b"what was made\n"))
    );
}

#[tokio::test]
async fn an_artifact_is_served_in_parts() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(
            &app,
            "#!/bin/sh\nprintf 0123456789 > /target/result.tar.gz\n",
        )
        .await;
    service.wait_for(&build, "succeeded").await;

    let path = format!("/api/v1/builds/{build}/artifacts/result.tar.gz");
    let part = async |range: &'static str| {
        let request = service.request(Method::GET, &path).header("range", range);
        Answer::of(request).await
    };
    let middle = part("bytes=2-4").await;
    assert_eq!((middle.status, middle.text.as_str()), (206, "234"));
    assert_eq!(middle.header("content-range"), "bytes 2-4/10");
    assert_eq!(part("bytes=7-").await.text, "789");
    assert_eq!(part("bytes=-2").await.text, "89");
    let outside = part("bytes=10-").await;
    assert_eq!(
        (outside.status, outside.header("content-range")),
        (416, "bytes */10")
    );
    assert_eq!(service.get(&format!("{path}x")).await.status, 404);
}

#[tokio::test]
async fn a_build_as_json_has_everything_that_was_agreed() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let push = {
        app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
        app.push("main")
    };
    let build = service.pushed(&push).await;
    let ended = service.wait_for(&build, "succeeded").await;

    assert_eq!(ended["id"], build.as_str());
    assert_eq!(ended["repository"], "acme/app");
    assert_eq!(
        (&ended["branch"], &ended["ref"]),
        (&json!("main"), &json!("refs/heads/main"))
    );
    assert_eq!(ended["commit"], push.commit.as_str());
    assert_eq!(
        (&ended["script"], &ended["tag"]),
        (&json!("build.sh"), &Value::Null)
    );
    assert_eq!(
        (&ended["kind"], &ended["cause"]["type"]),
        (&json!("flist"), &json!("push"))
    );
    assert_eq!(
        (&ended["reason"], &ended["waiting"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&ended["attempt"], &ended["image"]),
        (&json!(1), &json!("autobuilder/busybox:test"))
    );
    assert!(ended["container"].as_str().unwrap().len() >= 12);
    assert!(ended["limits"].is_object());
    assert_eq!(
        ended["commits"][0]["message"].as_str().unwrap().trim(),
        "A change"
    );
    assert!(
        ended["url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/monitor/builds/{build}"))
    );

    // Times are text that sorts, and no step begins before the one in front of it.
    let names: Vec<&str> = ended["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "queued",
            "preparing",
            "building",
            "collecting",
            "publishing"
        ]
    );
    let mut times: Vec<&str> = vec![ended["queued"].as_str().unwrap()];
    for step in ended["steps"].as_array().unwrap() {
        times.push(step["started"].as_str().unwrap());
        times.push(step["ended"].as_str().unwrap());
        assert!(step["line"].as_u64().unwrap() >= 1);
    }
    times.push(ended["ended"].as_str().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        times
            .iter()
            .all(|time| time.len() == 24 && time.ends_with('Z')),
        "{times:?}"
    );

    let log = service.log(&build).await;
    assert_eq!(ended["log"]["bytes"], log.len());
    assert_eq!(ended["log"]["lines"], log.lines().count());
    assert_eq!(service.builds().await, [ended]);
}

#[tokio::test]
async fn a_pushed_tag_is_built_by_the_recipe_of_its_name() {
    let service = Service::start();
    let app = service.repository("acme/app");
    service.configure("acme/app", "v1.0", RECIPE).await;
    app.commit(&[(
        "build.sh",
        &format!("#!/bin/sh\necho $AUTOBUILDER_REF\n{RESULT}"),
    )]);
    app.push("main");
    let build = service.pushed(&app.push_tag("v1.0")).await;

    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["ref"], "refs/tags/v1.0");
    assert_eq!(
        script_output(&service.log(&build).await),
        "refs/tags/v1.0\n"
    );
}

#[tokio::test]
async fn every_script_of_a_branch_gets_a_build_of_its_own() {
    let service = Service::start();
    let app = service.repository("acme/app");
    service
        .configure(
            "acme/app",
            "main",
            "
buildscripts: [one.sh, two.sh]
one.sh: {artifact: a.tar.gz}
two.sh: {artifact: b.tar.gz, tag: two}
",
        )
        .await;
    app.commit(&[
        ("one.sh", "#!/bin/sh\necho 1 > /target/a.tar.gz\n"),
        ("two.sh", "#!/bin/sh\nexit 2\n"),
    ]);
    let told = service.webhook(&app.push("main")).await;
    assert_eq!(told.builds.len(), 2);
    let one = service.wait_for(&told.builds[0], "succeeded").await;
    let two = service.wait_for(&told.builds[1], "failed").await;
    assert_eq!(
        (&one["script"], &two["script"]),
        (&json!("one.sh"), &json!("two.sh"))
    );
}

#[tokio::test]
async fn a_flist_without_a_hub_is_kept_and_the_log_says_so() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    let log = service.log(&build).await;
    assert!(notes(&log).iter().any(|note| note.contains("hub")), "{log}");
}
