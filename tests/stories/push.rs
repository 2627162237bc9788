//! A push is built: from the webhook to the artifact.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::git as git_in;
use crate::support::{
    Answer, Delivery, HOLD, RECIPE, RESULT, Service, docker, docker_answers, inspect, notes,
    script_output, sha256, until,
};

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
async fn a_script_finds_what_it_was_promised() {
    let service = Service::start_with(json!({
        "builds": {"environment": {"OF_THE_SERVICE": "one", "BOTH": "service"}},
    }));
    let app = service.repository("acme/app");
    service
        .configure(
            "acme/app",
            "feature/x",
            "
buildscripts: [autobuild/show.sh]
autobuild/show.sh:
  artifact: result.tar.gz
  archives: /tmp/archives
  tag: special
  environment: {OF_THE_RECIPE: two, BOTH: recipe}
",
        )
        .await;
    app.commit(&[(
        "autobuild/show.sh",
        r#"#!/bin/sh
for name in CI AUTOBUILDER AUTOBUILDER_BUILD AUTOBUILDER_REPOSITORY AUTOBUILDER_BRANCH \
    AUTOBUILDER_COMMIT AUTOBUILDER_REF AUTOBUILDER_TAG AUTOBUILDER_SCRIPT AUTOBUILDER_ARCHIVES \
    AUTOBUILDER_ARTIFACT OF_THE_SERVICE OF_THE_RECIPE BOTH; do
    eval "echo $name=\$$name"
done
echo "in $(pwd), executed as $0"
[ "$(stat -c %u /proc/self)" = 0 ] && echo "as root"
[ -t 0 ] || [ -t 1 ] || echo "without a tty"
[ -z "$(ls -A /tmp/archives)" ] && echo "the folder for artifacts is empty"
cat .git/HEAD
echo kept > /tmp/archives/result.tar.gz
"#,
    )]);
    let push = app.push("feature/x");
    let build = service.pushed(&push).await;
    service.wait_for(&build, "succeeded").await;

    let commit = &push.commit;
    let expected = format!(
        "CI=true
AUTOBUILDER=true
AUTOBUILDER_BUILD={build}
AUTOBUILDER_REPOSITORY=acme/app
AUTOBUILDER_BRANCH=feature/x
AUTOBUILDER_COMMIT={commit}
AUTOBUILDER_REF=refs/heads/feature/x
AUTOBUILDER_TAG=special
AUTOBUILDER_SCRIPT=autobuild/show.sh
AUTOBUILDER_ARCHIVES=/tmp/archives
AUTOBUILDER_ARTIFACT=result.tar.gz
OF_THE_SERVICE=one
OF_THE_RECIPE=two
BOTH=recipe
in /app, executed as ./autobuild/show.sh
as root
without a tty
the folder for artifacts is empty
"
    );
    let output = script_output(&service.log(&build).await);
    let (promised, head) = output.split_at(expected.len().min(output.len()));
    assert_eq!(promised, expected);
    // HEAD is the commit itself, or the branch of that name.
    assert!(
        [
            format!("{commit}\n"),
            "ref: refs/heads/feature/x\n".to_owned()
        ]
        .contains(&head.to_owned()),
        "{head}"
    );
}

#[tokio::test]
async fn git_in_the_container_knows_the_commit_and_its_tags() {
    let service =
        Service::start_with(json!({"docker": {"default_image": "autobuilder/debian:12"}}));
    let app = service.tracked("acme/app").await;
    app.commit(&[("README", "first")]);
    service
        .deliver(&Delivery::of(&app.push_tag("v1.2.0")))
        .await;
    // Debian's image has no git of its own: what git would read is looked at instead, and git
    // itself is asked outside, on a copy of that .git that has nothing else to lean on.
    let build = service
        .push_script(&app, "#!/bin/sh\ntest ! -e .git/objects/info/alternates\ntar -cf /target/result.tar.gz .git\n")
        .await;
    service.wait_for(&build, "succeeded").await;

    let archive = service
        .get(&format!("/api/v1/builds/{build}/artifacts/result.tar.gz"))
        .await
        .bytes;
    let folder = service.path("copy");
    tar::Archive::new(&archive[..]).unpack(&folder).unwrap();
    std::fs::remove_dir_all(service.path("data/mirrors")).unwrap();
    let git = |arguments: &[&str]| git_in(&folder, arguments);
    assert_eq!(git(&["rev-parse", "HEAD"]), app.head());
    assert_eq!(
        git(&["describe", "--tags"]),
        format!("v1.2.0-1-g{}", &app.head()[..7])
    );
    git(&["fsck", "--full"]);
    assert_eq!(git(&["log", "--format=%s"]), "A change\nA change");
}

#[tokio::test]
async fn a_container_is_labelled_limited_and_holds_no_folder_of_the_host() {
    let service = Service::start_with(json!({
        "docker": {"cap_add": ["SYS_ADMIN"], "extra_hosts": {"mirror.example": "127.0.0.9"}},
    }));
    let app = service.repository("acme/app");
    service
        .configure(
            "acme/app",
            "main",
            "
buildscripts: [build.sh]
build.sh: {artifact: result.tar.gz, memory: 64MiB, cpus: 0.5}
",
        )
        .await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\ncat /etc/hosts\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;

    let container = inspect(&service.container_of(&build));
    let labels = &container["Config"]["Labels"];
    assert_eq!(labels["autobuilder.build"], build.as_str());
    assert_eq!(labels["autobuilder.instance"], service.instance());
    let host = &container["HostConfig"];
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemorySwap"], 64 << 20);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["PidsLimit"], 200);
    assert_eq!(
        (&host["Privileged"], &host["CapAdd"]),
        (&json!(false), &json!(["SYS_ADMIN"]))
    );
    assert!(host["Binds"].is_null(), "{}", host["Binds"]);
    assert!(container["Config"]["Volumes"].is_null());
    let mounts = container["Mounts"].as_array().unwrap();
    assert!(
        mounts.iter().all(|mount| mount["Type"] == "volume"),
        "{mounts:?}"
    );
    let volumes: Vec<&str> = mounts
        .iter()
        .map(|mount| mount["Name"].as_str().unwrap())
        .collect();
    assert_eq!(volumes.len(), 2);

    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    assert!(script_output(&service.log(&build).await).contains("127.0.0.9\tmirror.example"));
    until("the container and its volumes are gone", async || {
        let gone = |volume: &&str| !docker_answers(&["volume", "inspect", volume]);
        volumes.iter().all(gone).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_image_keeps_its_entrypoint_to_itself() {
    let service = Service::start();
    // Would end at once if it were started, and its health check would fail.
    let image = format!("{}entrypoint", service.container_prefix());
    let maker = format!("{}maker", service.container_prefix());
    docker(&[
        "create",
        "--name",
        &maker,
        "autobuilder/busybox:test",
        "true",
    ]);
    docker(&[
        "commit",
        "--change",
        r#"ENTRYPOINT ["/bin/echo", "the entrypoint ran"]"#,
        "--change",
        r#"CMD ["the command"]"#,
        &maker,
        &image,
    ]);
    docker(&["rm", &maker]);
    let app = service.repository("acme/app");
    let recipe = format!(
        "buildscripts: [build.sh]\nbuild.sh: {{artifact: result.tar.gz, baseimage: {image}}}\n"
    );
    service.configure("acme/app", "main", &recipe).await;

    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho only this\n{RESULT}"))
        .await;
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["image"], image.as_str());
    assert_eq!(script_output(&service.log(&build).await), "only this\n");
    until("its container lets go of the image", async || {
        docker_answers(&["rmi", &image]).then_some(())
    })
    .await;
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

#[tokio::test]
async fn output_stays_as_it_came_whatever_bytes_it_is() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let script = "#!/bin/sh
printf '\\033[31mred\\033[0m\\r\\n'
printf 'not UTF-8: \\377\\376\\n'
for number in 1 2 3 4 5; do echo out $number; echo err $number >&2; done
printf 'no newline at the end'
echo > /target/result.tar.gz
";
    let build = service.push_script(&app, script).await;
    service.wait_for(&build, "succeeded").await;

    let mut expected = b"\x1b[31mred\x1b[0m\r\nnot UTF-8: \xff\xfe\n".to_vec();
    for number in 1..=5 {
        expected.extend(format!("out {number}\nerr {number}\n").bytes());
    }
    expected.extend(b"no newline at the end\n==> ");
    let log = service
        .get(&format!("/api/v1/builds/{build}/log"))
        .await
        .bytes;
    let at = log
        .windows(expected.len())
        .position(|window| window == expected);
    assert!(at.is_some(), "{}", String::from_utf8_lossy(&log));
}

#[tokio::test]
async fn a_log_is_read_from_any_byte_and_any_line() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(
            &app,
            &format!("#!/bin/sh\ni=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i of many; done\n{RESULT}"),
        )
        .await;
    service.wait_for(&build, "succeeded").await;

    let path = format!("/api/v1/builds/{build}/log");
    let log = service.log(&build).await;
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    for (offset, limit) in [(0, 10), (17, 4000), (log.len() - 5, 100), (log.len(), 10)] {
        let part = service
            .get(&format!("{path}?offset={offset}&limit={limit}"))
            .await;
        let end = (offset + limit).min(log.len());
        assert_eq!(part.text, log[offset..end], "{offset} {limit}");
    }
    for (line, count) in [(1, 3), (1500, 20), (lines.len() - 1, 50)] {
        let part = service
            .get(&format!("{path}?line={line}&lines={count}"))
            .await;
        let end = (line - 1 + count).min(lines.len());
        assert_eq!(part.text, lines[line - 1..end].concat(), "{line} {count}");
    }
    let found = service
        .get(&format!("{path}/search?q=line%202718%20"))
        .await;
    let line = 1 + lines
        .iter()
        .position(|line| line.contains("line 2718 "))
        .unwrap();
    assert!(found.text.contains(&line.to_string()), "{}", found.text);
    let by_branch = service.get("/build/logs/acme/app/main").await;
    assert_eq!(by_branch.text, log);
}
