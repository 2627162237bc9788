//! Names that somebody chose to do harm, at every door that takes a name.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Answer, Delivery, RECIPE, RESULT, Service, until};

/// None of them is a name of a repository, a branch, a script or an artifact. The last is a name
/// of 10,000 letters.
fn hostile() -> Vec<String> {
    let names = [
        "..",
        "../../../tmp/x",
        "/etc/passwd",
        "a/../../b",
        "a\0b",
        "a\nb",
        "a\r\nX-Evil: 1",
        "\u{1b}[2Ja",
        "-x\n",
        "gpj\u{202e}exe",
        "ma\u{200b}in",
        "ma\u{2028}in",
        "\u{feff}main",
        "ma\u{85}in",
    ];
    let names = names.map(str::to_owned).into_iter();
    names.chain(["x".repeat(10_000)]).collect()
}

/// As part of an address, whatever it holds.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The names of all files below a folder; SQLite's own come and go.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.insert(path.to_string_lossy().into_owned());
        }
    }
    found.retain(|path| !path.contains("autobuilder.sqlite"));
    found
}

/// A refusal in the service's own words, which hold nothing that could end a line.
fn refused(what: &str, name: &str, answer: &Answer) {
    let shown: String = name.chars().take(40).collect();
    assert!(
        (400..500).contains(&answer.status),
        "{what} with {shown:?}: {} {}",
        answer.status,
        answer.text
    );
    assert!(!answer.text.contains(['\u{202e}', '\u{200b}', '\u{1b}']));
    assert!(answer.text.len() < 2000 && answer.headers.get("x-evil").is_none());
}

#[tokio::test]
async fn no_hostile_name_gets_through_any_door() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let commit = app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let push = app.push("main");
    let before = files_below(&service.path("data"));

    for name in hostile() {
        let webhook = async |key: &str, value: &str| {
            let mut payload = push.payload.clone();
            *payload.pointer_mut(key).unwrap() = json!(value);
            let delivery = Delivery::event("push", payload.to_string().into_bytes());
            service.deliver(&delivery).await
        };
        for (key, value) in [
            ("/repository/full_name", format!("acme/{name}")),
            ("/repository/full_name", format!("{name}/app")),
            ("/ref", format!("refs/heads/{name}")),
            ("/ref", format!("refs/tags/{name}")),
            ("/after", name.clone()),
        ] {
            refused(key, &name, &webhook(key, &value).await);
        }
        for key in ["repository", "branch", "tag", "script", "commit"] {
            let mut body = json!({"repository": "acme/app", "branch": "main"});
            body[key] = json!(name);
            refused(key, &name, &service.post("/api/v1/builds", body).await);
        }
        let name_in_address = encoded(&name);
        for address in [
            format!("/api/v1/builds?repository={name_in_address}"),
            format!("/api/v1/builds?branch={name_in_address}"),
            format!("/api/v1/builds?before={name_in_address}"),
            format!("/api/v1/builds/{name_in_address}"),
            format!("/api/v1/builds/{name_in_address}/log"),
            format!("/api/v1/builds/{name_in_address}/artifacts/x"),
            format!("/badge/acme/{name_in_address}/main.svg"),
            format!("/badge/acme/app/{name_in_address}.svg"),
            format!("/build/logs/acme/app/{name_in_address}"),
            format!("/build/logs/{name_in_address}/app/main"),
            format!("/report/{name_in_address}"),
        ] {
            if address.contains("/%2E%2E/") || address.ends_with("/%2E%2E") {
                // The client goes up by itself, and asks for another address.
                continue;
            }
            let path: String = address.chars().take(60).collect();
            refused(&path, &name, &service.get(&address).await);
        }
        for verb in ["cancel", "rebuild"] {
            if name == ".." {
                continue;
            }
            let path = format!("/api/v1/builds/{name_in_address}/{verb}");
            refused(verb, &name, &service.post(&path, json!({})).await);
        }
        if name.len() > 4096 {
            // A longer message closes the connection.
            continue;
        }
        let mut live = service.live().await;
        live.send(json!({"type": "follow", "build": name, "offset": 0}))
            .await;
        live.take_until("a refusal", |live| !live.errors.is_empty())
            .await;
    }
    assert_eq!(service.builds().await.len(), 0);
    assert_eq!(files_below(&service.path("data")), before);

    // The name that all of them were made of is a good one.
    let body = json!({"repository": "acme/app", "branch": "main", "commit": commit});
    assert_eq!(service.post("/api/v1/builds", body).await.status, 202);
    let build = service.builds().await[0]["id"].as_str().unwrap().to_owned();
    service.wait_for(&build, "succeeded").await;
}

#[tokio::test]
async fn a_configuration_with_hostile_names_is_a_finding() {
    let service = Service::start();
    service.tracked("acme/app").await;
    let before = files_below(&service.path("data"));
    let mut branches = Vec::new();
    for (number, name) in hostile().into_iter().enumerate() {
        let name = json!(name);
        for (key, text) in [
            (
                "script",
                format!("buildscripts: [{name}]\n{name}: {{artifact: x}}\n"),
            ),
            (
                "artifact",
                format!("buildscripts: [a]\na: {{artifact: {name}}}\n"),
            ),
            (
                "archives",
                format!("buildscripts: [a]\na: {{artifact: x, archives: {name}}}\n"),
            ),
            (
                "tag",
                format!("buildscripts: [a]\na: {{artifact: x, tag: {name}}}\n"),
            ),
            (
                "dependency",
                format!("buildscripts: [a]\na: {{artifact: x, dependencies: [{name}]}}\n"),
            ),
        ] {
            // An absolute path is what this one is for.
            if key == "archives" && name == "/etc/passwd" {
                continue;
            }
            let branch = format!("{key}-{number}");
            service.write_configuration("acme/app", &branch, &text);
            branches.push(format!("acme/app/{branch}.yaml"));
        }
    }
    // Names of files: what a file system takes.
    for name in ["gpj\u{202e}exe", "ma\u{200b}in", "a\nb", "-x", "\u{1b}[2J"] {
        service.write_configuration("acme/app", name, RECIPE);
    }
    let findings = until("each file is found wrong", async || {
        let told = service.get("/api/v1/configuration").await.json();
        let findings = told["findings"].as_array().unwrap().clone();
        let errors = |path: &str| {
            let mut of_path = findings.iter().filter(|finding| finding["file"] == path);
            of_path.any(|finding| finding["severity"] == "error")
        };
        let all = branches.iter().all(|path| errors(path));
        (all && findings.len() >= branches.len() + 5).then_some(findings)
    })
    .await;
    let named = |part: &str| {
        let path = |finding: &Value| finding["file"].as_str().unwrap().contains(part);
        findings.iter().any(path)
    };
    for part in ["gpj", "-x.yaml", "[2J"] {
        assert!(named(part), "{part}: {findings:?}");
    }
    assert_eq!(files_below(&service.path("data")), before);
}

#[tokio::test]
async fn a_commit_of_too_many_bytes_is_not_checked_out() {
    let service = Service::start_with(json!({"builds": {"max_source": "1MiB"}}));
    let app = service.tracked("acme/app").await;
    let two = "x".repeat(1024 * 1024);
    let commit = app.commit(&[("build.sh", "#!/bin/sh\n"), ("large", &two)]);
    let build = service.pushed(&app.push("main")).await;
    let failed = service.wait_for(&build, "failed").await;
    assert_eq!(
        failed["reason"],
        format!(
            "commit {} of acme/app holds files of 1.0 MiB, more than builds.max_source (1.0 MiB)",
            &commit[..10]
        )
    );
    assert!(!service.log(&build).await.contains("checked out"));
}

#[tokio::test]
async fn a_checkout_that_uses_up_the_disk_is_stopped() {
    // It takes the connection and says nothing, so that the fetch goes on and on.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let mut service = Service::start_with(json!({"github": {"git_url": url}}));
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, "#!/bin/sh\n").await;
    service.wait_for_log(&build, "fetching acme/app").await;
    // As if others had filled it: more than any disk has left.
    service.change_settings(json!({"min_free_disk": "1000TiB"}));
    let errored = service.wait_for(&build, "errored").await;
    let reason = errored["reason"].as_str().unwrap();
    let begins = "stopped while it was checked out: data_directory has ";
    assert!(reason.starts_with(begins), "{reason}");
    let builds = service.path("data/tmp/autobuilder");
    until("its folder is removed", async || {
        let left = fs::read_dir(&builds).unwrap().count();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_link_out_of_the_repository_changes_nothing_here_and_tells_nothing() {
    let service = Service::start();
    let app = service.repository("acme/app");
    service
        .configure(
            "acme/app",
            "main",
            "buildscripts: [scripts/build.sh]\nscripts/build.sh: {artifact: result.tar.gz}\n",
        )
        .await;
    let there = service.path("elsewhere");
    fs::create_dir(&there).unwrap();
    let file = there.join("build.sh");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let link = app.path("scripts");
    let mut reasons = Vec::new();
    for target in [there, service.path("nothing")] {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        let commit = app.commit(&[]);
        let build = service.pushed(&app.push("main")).await;
        let failed = service.wait_for(&build, "failed").await;
        let reason = failed["reason"].as_str().unwrap().to_owned();
        reasons.push(reason.replace(&commit[..10], "…"));
    }
    assert_eq!(reasons[0], reasons[1]);
    assert!(reasons[0].ends_with("a link on its way leads out of the repository"));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // One that stays within it is followed, and the script made executable where it runs.
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    app.commit(&[("real/build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let build = service.pushed(&app.push("main")).await;
    service.wait_for(&build, "succeeded").await;
}
