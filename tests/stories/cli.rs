//! The command line, as a person and as a script use it.

use std::fs::{self, File};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    HOLD, Output, RESULT, SOON, Service, command, end, run, script_output, sha256, story_folder,
    until,
};

fn json_of(output: &Output) -> Value {
    match serde_json::from_str(&output.stdout) {
        Ok(json) => json,
        Err(error) => panic!("{error}: {output:?}"),
    }
}

#[tokio::test]
async fn builds_are_listed_for_people_and_for_machines() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let good = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&good, "succeeded").await;
    let bad = service.push_script(&app, "#!/bin/sh\nexit 3\n").await;
    service.wait_for(&bad, "failed").await;

    let text = service.cli(&["list"]);
    assert_eq!(text.code, 0, "{text:?}");
    for expected in [
        good.as_str(),
        bad.as_str(),
        "acme/app",
        "main",
        "succeeded",
        "failed",
    ] {
        assert!(
            text.stdout.contains(expected),
            "{expected} is missing from {}",
            text.stdout
        );
    }
    assert!(!text.stdout.contains('\x1b'), "colours are for terminals");
    let failed = service.cli(&[
        "list",
        "--state",
        "failed",
        "--repository",
        "acme/app",
        "--branch",
        "main",
    ]);
    assert!(failed.stdout.contains(&bad) && !failed.stdout.contains(&good));
    assert_eq!(
        json_of(&service.cli(&["list", "--json"]))["builds"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let wrong = service.cli(&["list", "--state", "fine"]);
    assert!(
        wrong.code != 0 && wrong.stderr.contains("succeeded"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_log_is_printed_as_it_is_and_followed_to_its_end() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(
            &app,
            &format!("#!/bin/sh\necho one\n{HOLD}echo two\n{RESULT}"),
        )
        .await;
    service.wait_for_log(&build, "holding").await;
    let printed = service.path("printed");
    let mut follower = service
        .cli_command()
        .args(["logs", &build, "--follow"])
        .stdout(File::create(&printed).unwrap())
        .spawn()
        .unwrap();
    let followed = || fs::read_to_string(&printed).unwrap();
    until("it shows what is there before the build ends", async || {
        followed().ends_with("holding\n").then_some(())
    })
    .await;
    service.release(&build);
    assert!(end(&mut follower, SOON).success());
    service.wait_for(&build, "succeeded").await;

    let log = service.log(&build).await;
    assert_eq!(followed(), log);
    assert_eq!(service.cli(&["logs", &build]).stdout, log);
    let unknown = service.cli(&["logs", "nosuchbuild1"]);
    assert!(
        unknown.code != 0 && unknown.stderr.contains("nosuchbuild1"),
        "{unknown:?}"
    );
    assert!(unknown.stdout.is_empty());
}

#[tokio::test]
async fn a_build_that_is_asked_for_and_followed_gives_the_exit_code() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let good = app.commit(&[("build.sh", &format!("#!/bin/sh\necho fine\n{RESULT}"))]);
    app.commit(&[("build.sh", "#!/bin/sh\necho broken\nexit 4\n")]);
    app.push("main");

    let head = service.cli(&["build", "acme/app", "main", "--follow"]);
    assert!(head.code != 0, "{head:?}");
    assert_eq!(
        script_output(&head.stdout)
            .lines()
            .filter(|line| *line == "broken")
            .count(),
        1,
        "{head:?}"
    );
    let older = service.cli(&["build", "acme/app", "main", &good, "--follow"]);
    assert_eq!(older.code, 0, "{older:?}");
    assert!(older.stdout.contains("fine\n"));
    let unknown = service.cli(&["build", "acme/app", "nowhere"]);
    assert!(
        unknown.code != 0 && unknown.stderr.contains("nowhere"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_build_is_cancelled_and_built_again() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;
    let cancelled = service.cli(&["cancel", &build]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    assert_eq!(service.state(&build).await, "cancelled");
    let again = service.cli(&["cancel", &build]);
    assert!(again.code != 0 && !again.stderr.is_empty(), "{again:?}");

    let rebuilt = service.cli(&["rebuild", &build, "--json"]);
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    let newest = service.builds().await[0].clone();
    assert!(
        rebuilt.stdout.contains(newest["id"].as_str().unwrap()),
        "{rebuilt:?}"
    );
    assert_eq!(newest["cause"], json!({"type": "rebuild", "of": build}));
    let id = newest["id"].as_str().unwrap();
    service.wait_for_log(id, "holding").await;
    service.release(id);
    service.wait_for(id, "succeeded").await;
}

#[tokio::test]
async fn a_wrong_token_or_no_service_is_told_in_a_sentence() {
    let service = Service::start();
    let mut with_wrong_token = service.cli_command();
    with_wrong_token
        .args(["cancel", "nosuchbuild1"])
        .env("AUTOBUILDER_TOKEN", "wrong");
    let output = run(with_wrong_token);
    assert!(
        output.code != 0 && output.stderr.contains("token"),
        "{output:?}"
    );
    let mut elsewhere = service.cli_command();
    elsewhere
        .args(["list"])
        .env("AUTOBUILDER_URL", "http://127.0.0.1:9");
    let output = run(elsewhere);
    assert!(
        output.code != 0 && output.stderr.contains("127.0.0.1:9"),
        "{output:?}"
    );
}

#[tokio::test]
async fn on_the_services_machine_the_service_file_is_enough() {
    // The service file has to name a port here, so one is looked for that is free right now.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let service = Service::start_with(json!({
        "listen": format!("127.0.0.1:{port}"),
        "api_token": null,
    }));
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\necho local\n{RESULT}"))]);
    app.push("main");
    let mut command = service.cli_command();
    command
        .env_remove("AUTOBUILDER_URL")
        .env_remove("AUTOBUILDER_TOKEN")
        .args(["build", "acme/app", "main", "--follow", "--config"])
        .arg(service.service_file());
    let output = run(command);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("local\n"), "{output:?}");
}

#[tokio::test]
async fn a_service_that_knows_the_hash_of_its_token_holds_the_token_nowhere() {
    let story = story_folder();
    let mut make = command();
    make.args(["token", "--json"]);
    let made: Value = serde_json::from_str(&run(make).stdout).unwrap();
    let (token, hash) = (made["token"].as_str().unwrap(), &made["api_token"]);
    let hash = hash.as_str().unwrap();
    assert_eq!(hash, format!("sha256:{}", sha256(token.as_bytes())));

    // The service file has to name a port here, so one is looked for that is free right now.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    drop(listener);
    let service = Service::start_in(story, json!({"listen": listen, "api_token": hash}));
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    app.push("main");
    let build = |token: Option<&str>| {
        let mut command = service.offline_command();
        command.args(["build", "acme/app", "main", "--follow"]);
        command.envs(token.map(|token| ("AUTOBUILDER_TOKEN", token)));
        run(command)
    };
    for wrong in [None, Some(hash), hash.strip_prefix("sha256:")] {
        let refused = build(wrong);
        assert_eq!(refused.code, 2, "{refused:?}");
        let hint = "set AUTOBUILDER_TOKEN to the API token; the service file holds only its hash";
        assert!(refused.stderr.contains(hint), "{refused:?}");
    }
    let built = build(Some(token));
    assert_eq!(built.code, 0, "{built:?}");

    assert!(!service.path("data/api-token").exists());
    let found = Command::new("grep")
        .args(["-rlaF", token])
        .arg(service.folder())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    assert_eq!(found.status.code(), Some(1), "{found:?}");
}
