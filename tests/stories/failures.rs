//! Builds that cannot succeed: each ends in the right state, with one line that says why.

use serde_json::{Value, json};

use crate::support::{HOLD, RESULT, Service, docker, notes, script_output};

/// A service with these settings, and one recipe for all that follows.
async fn build_with(settings: Value, recipe: &str, script: &str) -> (Service, String) {
    let service = Service::start_with(settings);
    let app = service.repository("acme/app");
    let text = format!("buildscripts: [build.sh]\nbuild.sh: {{artifact: result.tar.gz{recipe}}}\n");
    service.configure("acme/app", "main", &text).await;
    let build = service.push_script(&app, script).await;
    (service, build)
}

/// The reason, which the log's last line tells too.
async fn reason(service: &Service, build: &str, state: &str) -> String {
    let ended = service.wait_for(build, state).await;
    let reason = ended["reason"].as_str().expect("a reason").to_owned();
    assert!(!reason.contains('\n'), "{reason:?} is one line");
    let log = service.log(build).await;
    let last = notes(&log).last().copied().unwrap_or_default().to_owned();
    assert!(
        last.contains(&reason),
        "the log ends with {last:?}, the reason is {reason:?}"
    );
    reason
}

#[tokio::test]
async fn a_script_that_exits_with_a_code_has_failed_with_it() {
    let (service, build) = build_with(
        json!({}),
        "",
        "#!/bin/sh\necho no luck\necho > /target/result.tar.gz\nexit 7\n",
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    assert!(reason.contains('7'), "{reason}");
    let ended = service.build(&build).await;
    assert_eq!(ended["exit_code"], 7);
    assert_eq!(ended["artifacts"], json!([]));
    assert_eq!(script_output(&service.log(&build).await), "no luck\n");
}

#[tokio::test]
async fn a_script_that_the_commit_does_not_have_is_named() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    app.commit(&[("README", "nothing to run")]);
    let build = service.pushed(&app.push("main")).await;
    let reason = reason(&service, &build, "failed").await;
    assert!(reason.contains("build.sh"), "{reason}");
}

#[tokio::test]
async fn a_missing_artifact_is_told_with_what_is_there_instead() {
    let (service, build) = build_with(
        json!({}),
        "",
        "#!/bin/sh\necho > /target/result.tar.xz\necho > /target/notes.txt\n",
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    for name in ["result.tar.gz", "result.tar.xz", "notes.txt"] {
        assert!(reason.contains(name), "{reason}");
    }
}

#[tokio::test]
async fn an_artifact_that_is_no_regular_file_is_refused() {
    let (service, build) = build_with(
        json!({}),
        "",
        "#!/bin/sh\nln -s /etc/passwd /target/result.tar.gz\n",
    )
    .await;
    let link = reason(&service, &build, "failed").await;
    assert!(link.contains("link"), "{link}");

    let folder = {
        let app = service.tracked("acme/folder").await;
        service
            .push_script(&app, "#!/bin/sh\nmkdir /target/result.tar.gz\n")
            .await
    };
    reason(&service, &folder, "failed").await;
    let pipe = {
        let app = service.tracked("acme/pipe").await;
        service
            .push_script(&app, "#!/bin/sh\nmknod /target/result.tar.gz p\n")
            .await
    };
    reason(&service, &pipe, "failed").await;
    for build in [build, folder, pipe] {
        assert_eq!(service.build(&build).await["artifacts"], json!([]));
    }
}

#[tokio::test]
async fn an_artifact_above_max_artifact_fails_its_build() {
    let (service, build) = build_with(
        json!({"builds": {"max_artifact": "100KiB"}}),
        "",
        "#!/bin/sh\ndd if=/dev/zero of=/target/result.tar.gz bs=1024 count=101 2>/dev/null\n",
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    assert!(reason.contains("limit"), "{reason}");
    let kept = service
        .path("data/builds")
        .join(&build)
        .join("artifacts/result.tar.gz");
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_build_killed_for_memory_says_so_with_the_limit() {
    let (service, build) = build_with(
        json!({}),
        ", memory: 32MiB",
        // dd needs its block in memory at once.
        "#!/bin/sh\ndd if=/dev/zero of=/dev/null bs=100000000 count=1\n",
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    assert!(
        reason.contains("memory") && reason.contains("32"),
        "{reason}"
    );
    assert_eq!(
        service.build(&build).await["attempt"],
        1,
        "it is not tried again"
    );
}

#[tokio::test]
async fn a_build_with_too_many_processes_says_so_with_the_limit() {
    let (service, build) = build_with(
        json!({"docker": {"pids": 20}}),
        "",
        "#!/bin/sh\nset -e\ni=0; while [ $i -lt 40 ]; do i=$((i+1)); sleep 30 & done\n",
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    assert!(
        reason.contains("20") && reason.contains("process"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_build_that_writes_too_much_to_disk_is_stopped() {
    let (service, build) = build_with(
        json!({"docker": {"disk": "20MiB"}}),
        "",
        &format!(
            "#!/bin/sh\ndd if=/dev/zero of=/target/large bs=1048576 count=30 2>/dev/null\n{HOLD}{RESULT}"
        ),
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    assert!(reason.contains("disk") && reason.contains("20"), "{reason}");
    assert_eq!(
        service.build(&build).await["attempt"],
        1,
        "it is not tried again"
    );
}

#[tokio::test]
async fn a_build_whose_disk_use_cannot_be_measured_is_stopped() {
    // Docker cannot count what lies below a path that is too long for it.
    let (service, build) = build_with(
        json!({"docker": {"disk": "20MiB"}}),
        "",
        &format!(
            "#!/bin/sh\n\
             cd /; i=0; while [ $i -lt 40 ]; do i=$((i+1)); mkdir {name}; cd -P {name}; done\n\
             {HOLD}{RESULT}",
            name = "x".repeat(200)
        ),
    )
    .await;
    let reason = reason(&service, &build, "failed").await;
    assert!(reason.contains("cannot be measured"), "{reason}");
}

#[tokio::test]
async fn a_source_that_would_lie_over_the_containers_own_folders_is_refused() {
    // A configuration's path cannot name a hidden folder; the service file can.
    let hidden = "acme/.autobuilder";
    let service = Service::start_with(json!({
        "kernels": {"repositories": {hidden: {"script": "build.sh"}}},
    }));
    for name in ["acme/proc", "acme/sys", "acme/dev", hidden] {
        let repository = match name == hidden {
            true => service.repository(name),
            false => service.tracked(name).await,
        };
        // What the runner would say of a script that has succeeded.
        repository.commit(&[("result", "exit 0\n"), ("spool", "all is well\n")]);
        let build = service
            .push_script(&repository, &format!("#!/bin/sh\n{RESULT}"))
            .await;
        let reason = reason(&service, &build, "failed").await;
        let folder = name.trim_start_matches("acme");
        assert!(reason.contains(folder), "{reason}");
    }
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_stopped_and_its_output_kept() {
    let (service, build) = build_with(
        json!({}),
        ", timeout: 2s",
        &format!("#!/bin/sh\n{HOLD}{RESULT}"),
    )
    .await;
    let reason = reason(&service, &build, "timed_out").await;
    assert!(reason.contains("2s"), "{reason}");
    assert_eq!(script_output(&service.log(&build).await), "holding\n");
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_told_in_a_sentence() {
    let (service, build) = build_with(
        json!({"docker": {"pull": "never"}}),
        ", baseimage: 'autobuilder/no-such-image:1'",
        &format!("#!/bin/sh\n{RESULT}"),
    )
    .await;
    let reason = reason(&service, &build, "errored").await;
    assert!(reason.contains("autobuilder/no-such-image:1"), "{reason}");
}

#[tokio::test]
async fn an_image_that_is_no_longer_allowed_is_not_built_from_again() {
    let (mut service, build) = build_with(
        json!({}),
        ", baseimage: 'autobuilder/debian:12'",
        &format!("#!/bin/sh\n{RESULT}"),
    )
    .await;
    service.wait_for(&build, "succeeded").await;
    service.terminate();
    service.change_settings(json!({"docker": {"images": ["docker.io/autobuilder/busybox:*"]}}));
    service.start_again();
    let again = service.rebuild(&build).await;
    let reason = reason(&service, &again, "errored").await;
    assert!(
        reason.contains("autobuilder/debian:12") && reason.contains("docker.images"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_commit_that_was_forced_away_is_told_in_a_sentence() {
    let service = Service::start_with(json!({"builds": {"concurrency": 1}}));
    let app = service.tracked("acme/app").await;
    app.git(&[
        "-C",
        app.bare.to_str().unwrap(),
        "config",
        "uploadpack.allowAnySHA1InWant",
        "false",
    ]);
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.commit(&[("doomed", "")]);
    let push = app.push("main");
    app.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    app.force_push("main");
    app.git(&[
        "-C",
        app.bare.to_str().unwrap(),
        "gc",
        "--quiet",
        "--prune=now",
    ]);

    let build = service.pushed(&push).await;
    let reason = reason(&service, &build, "errored").await;
    assert!(
        reason.contains(&push.commit) && reason.contains("no longer exists"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_repository_that_is_gone_is_told_in_a_sentence() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", "")]);
    let push = app.push("main");
    std::fs::remove_dir_all(&app.bare).unwrap();
    let build = service.pushed(&push).await;
    let reason = reason(&service, &build, "errored").await;
    assert!(reason.contains("acme/app"), "{reason}");
}

#[tokio::test]
async fn a_log_at_its_limit_says_so_and_the_build_goes_on() {
    let (service, build) = build_with(
        json!({"builds": {"max_log": "10KiB"}}),
        "",
        &format!(
            "#!/bin/sh\ni=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done\n{RESULT}"
        ),
    )
    .await;
    service.wait_for(&build, "succeeded").await;
    let log = service.log(&build).await;
    let output = script_output(&log);
    let whole: String = (1..=2000)
        .map(|number| format!("line {number}\n"))
        .collect();
    // The line at the limit is cut, and the note begins a line of its own.
    let kept = output.strip_suffix('\n').unwrap();
    assert!(whole.starts_with(kept), "what is kept is the beginning");
    assert!(
        (9 * 1024..=10 * 1024).contains(&kept.len()),
        "{} bytes",
        kept.len()
    );
    assert_eq!(
        notes(&log)
            .iter()
            .filter(|note| note.contains("max_log"))
            .count(),
        2,
        "{log}"
    );
}

#[tokio::test]
async fn a_build_whose_container_dies_is_built_once_more_and_only_once() {
    let (service, build) = build_with(
        json!({}),
        "",
        &format!("#!/bin/sh\necho begin\n{HOLD}{RESULT}"),
    )
    .await;
    service.wait_for_log(&build, "holding").await;
    docker(&["kill", &service.container_of(&build)]);

    crate::support::until("the second attempt holds", async || {
        let log = service.log(&build).await;
        (script_output(&log) == "begin\nholding\nbegin\nholding\n").then_some(())
    })
    .await;
    let second = service.build(&build).await;
    assert_eq!(
        (&second["attempt"], &second["state"]),
        (&json!(2), &json!("building"))
    );
    let log = service.log(&build).await;
    assert!(
        notes(&log).iter().any(|note| note.contains("attempt 1")),
        "{log}"
    );

    docker(&["rm", "--force", "--volumes", &service.container_of(&build)]);
    let reason = reason(&service, &build, "errored").await;
    assert!(reason.contains("container"), "{reason}");
    assert_eq!(service.build(&build).await["attempt"], 2);
}

#[tokio::test]
async fn a_second_attempt_can_succeed_in_the_same_log() {
    let (service, build) = build_with(json!({}), "", &format!("#!/bin/sh\n{HOLD}{RESULT}")).await;
    service.wait_for_log(&build, "holding").await;
    docker(&["kill", &service.container_of(&build)]);
    crate::support::until("the second attempt holds", async || {
        let log = service.log(&build).await;
        (script_output(&log) == "holding\nholding\n").then_some(())
    })
    .await;
    service.release(&build);
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(
        (&ended["attempt"], &ended["exit_code"]),
        (&json!(2), &json!(0))
    );
}
