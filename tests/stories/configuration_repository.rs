//! The configuration in a repository: each push to its branch is loaded as a build of its own,
//! and an older configuration never takes a newer one's place.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    Delivery, HOLD, RECIPE, RESULT, Repository, Service, builds_in, notes, script_output, until,
};

const NAME: &str = "acme/configuration";
const BROKEN: &str = "buildscripts: [build.sh]\nbuild.sh: {artefact: x}\n";

fn source() -> Value {
    json!({"configuration": {"path": null, "repository": NAME, "branch": "main"}})
}

/// A service whose configuration has been loaded from a repository with these files.
async fn loaded(changes: Value, files: &[(&str, &str)]) -> (Service, Repository) {
    let mut settings = source();
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let service = Service::start_with(settings);
    let configuration = service.repository(NAME);
    load(&service, &configuration, files, "succeeded").await;
    (service, configuration)
}

/// Pushes files to the configuration, and waits for their load.
async fn load(
    service: &Service,
    configuration: &Repository,
    files: &[(&str, &str)],
    end: &str,
) -> Value {
    configuration.commit(files);
    let load = service.pushed(&configuration.push("main")).await;
    service.wait_for(&load, end).await
}

async fn in_force(service: &Service) -> Value {
    let answer = service.get("/api/v1/configuration").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Pushes a script to a repository that is tracked, and waits until its artifact is there.
async fn is_built(service: &Service, repository: &Repository) {
    let script = format!("#!/bin/sh\n{RESULT}");
    let build = service.push_script(repository, &script).await;
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["artifacts"][0]["name"], "result.tar.gz");
}

async fn is_not_tracked(service: &Service, repository: &Repository) {
    repository.commit(&[("build.sh", "#!/bin/sh\n")]);
    let push = repository.push("main");
    assert_eq!(service.deliver(&Delivery::of(&push)).await.status, 200);
}

async fn loads(service: &Service) -> Vec<Value> {
    let mut builds = service.builds().await;
    builds.retain(|build| build["kind"] == "configuration");
    builds
}

fn id(build: &Value) -> &str {
    build["id"].as_str().unwrap()
}

fn reason(build: &Value) -> &str {
    build["reason"].as_str().unwrap()
}

/// While it lives, no load comes further than fetching: it holds the mirror, as a git does that
/// outlived the service.
fn hold_mirror(service: &Service) -> fs::File {
    let path = service.path(&format!("data/mirrors/{NAME}.lock"));
    let lock = fs::File::options().write(true).open(path).unwrap();
    lock.lock().unwrap();
    lock
}

#[tokio::test]
async fn each_push_to_its_branch_is_a_load_with_a_line_for_each_file() {
    let good: &[(&str, &str)] = &[
        ("README.md", "not YAML: ["),
        ("acme/app/main.yaml", RECIPE),
        ("acme/lib/main.yaml", RECIPE),
    ];
    let (service, configuration) = loaded(json!({}), good).await;
    let first = loads(&service).await.remove(0);
    assert_eq!(
        (&first["repository"], &first["script"], &first["limits"]),
        (&json!(NAME), &json!("configuration"), &json!(null))
    );
    let log = service.log(id(&first)).await;
    assert_eq!(
        script_output(&log),
        "tracked acme/app/main.yaml\ntracked acme/lib/main.yaml\n"
    );
    let noted = notes(&log);
    assert!(noted[0].starts_with("fetching acme/configuration at "));
    assert!(noted.contains(&"2 tracked, 0 unchanged, 0 broken, 0 removed"));
    assert!(noted.last().unwrap().starts_with("succeeded after "));

    let (app, lib) = (
        service.repository("acme/app"),
        service.repository("acme/lib"),
    );
    is_built(&service, &app).await;

    // Loaded whole, and each file compared with what it was.
    configuration.git(&["rm", "--quiet", "acme/lib/main.yaml"]);
    let tagged = format!("{RECIPE}  tag: fresh\nunlisted.sh: {{artifact: x}}\n");
    let changed = [("acme/app/next.yaml", tagged.as_str())];
    let second = load(&service, &configuration, &changed, "succeeded").await;
    let log = script_output(&service.log(id(&second)).await);
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("unchanged acme/app/main.yaml"));
    assert_eq!(lines.next(), Some("tracked acme/app/next.yaml"));
    assert!(
        lines
            .next()
            .unwrap()
            .contains("acme/app/next.yaml:6:1: warning: "),
        "{log}"
    );
    assert_eq!(lines.next_back(), Some("removed acme/lib/main.yaml"));
    is_not_tracked(&service, &lib).await;
    is_built(&service, &app).await;
    let shown = in_force(&service).await;
    assert_eq!(
        shown["source"],
        json!({"repository": NAME, "branch": "main"})
    );
    assert_eq!(
        (&shown["commit"], &shown["build"]),
        (&second["commit"], &second["id"])
    );
    assert_eq!(shown["findings"][0]["severity"], "warning");

    let listed = service.cli(&["list", "--limit", "5"]);
    assert!(listed.stdout.contains(NAME), "{listed:?}");
    assert!(
        service.finds(
            "SELECT 1 FROM outbox WHERE sha = ?1 AND context = 'autobuilder/configuration' \
             AND state = 'success'",
            second["commit"].as_str().unwrap()
        ),
        "its status waits for GitHub"
    );
}

#[tokio::test]
async fn only_its_branch_counts() {
    let (service, configuration) = loaded(json!({}), &[("acme/app/main.yaml", RECIPE)]).await;
    let before = in_force(&service).await;
    configuration.commit(&[("acme/app/main.yaml", BROKEN)]);
    let elsewhere = configuration.push("proposal");
    assert_eq!(service.deliver(&Delivery::of(&elsewhere)).await.status, 200);
    let tag = configuration.push_tag("v1");
    assert_eq!(service.deliver(&Delivery::of(&tag)).await.status, 200);
    assert_eq!(loads(&service).await.len(), 1);
    assert_eq!(in_force(&service).await, before);
    is_built(&service, &service.repository("acme/app")).await;
}

#[tokio::test]
async fn a_broken_file_fails_its_load_and_its_last_good_version_stays_in_force() {
    let files = [
        ("acme/app/main.yaml", RECIPE),
        ("acme/lib/main.yaml", RECIPE),
    ];
    let (mut service, configuration) = loaded(json!({}), &files).await;
    let app = service.repository("acme/app");
    let mistakes = [
        ("acme/app/main.yaml", BROKEN),
        ("acme/new/main.yaml", "buildscripts: []\n"),
        ("acme/fine/main.yaml", RECIPE),
    ];
    let failed = load(&service, &configuration, &mistakes, "failed").await;
    assert_eq!(
        reason(&failed),
        "2 files are broken: acme/app/main.yaml:2, acme/new/main.yaml:1"
    );
    let log = service.log(id(&failed)).await;
    for expected in [
        "broken acme/app/main.yaml:2:12: error: ",
        " 2 | build.sh: {artefact: x}\n",
        "hint: did you mean `artifact`?\n",
        "   its last good version stays in force\n",
        "tracked acme/fine/main.yaml\n",
        "unchanged acme/lib/main.yaml\n",
        "broken acme/new/main.yaml:1:",
        "   no version of it is in force\n",
        "==> failed: 2 files are broken: ",
    ] {
        assert!(
            log.contains(expected),
            "{expected:?} is missing from\n{log}"
        );
    }
    // Also for a service that starts anew.
    for _ in 0..2 {
        is_built(&service, &app).await;
        is_built(&service, &service.repository("acme/fine")).await;
        let shown = in_force(&service).await;
        assert_eq!(shown["commit"], failed["commit"]);
        assert_eq!(
            shown["files"][0],
            json!({"path": "acme/app/main.yaml", "state": "broken", "in_force": true})
        );
        assert_eq!(shown["findings"][0]["line"], 2);
        fs::remove_dir_all(service.path("git/acme/fine")).unwrap();
        fs::remove_dir_all(service.path("clones/acme/fine")).unwrap();
        service.terminate();
        service.start_again();
    }
    assert_eq!(loads(&service).await.len(), 2, "a restart loads nothing");

    configuration.git(&["rm", "--quiet", "acme/new/main.yaml"]);
    let mended = [("acme/app/main.yaml", RECIPE)];
    let mended = load(&service, &configuration, &mended, "succeeded").await;
    let log = script_output(&service.log(id(&mended)).await);
    assert!(log.contains("unchanged acme/app/main.yaml\n"), "{log}");
    assert_eq!(in_force(&service).await["findings"], json!([]));
}

#[tokio::test]
async fn what_is_no_plain_file_is_broken() {
    let service = Service::start_with(source());
    let configuration = service.repository(NAME);
    let folder = configuration.commit(&[("acme/app/main.yaml", RECIPE)]);
    assert!(!folder.is_empty());
    let clone = service.path("clones").join(NAME);
    std::os::unix::fs::symlink("main.yaml", clone.join("acme/app/link.yaml")).unwrap();
    fs::write(clone.join("acme/app/binary.yaml"), b"buildscripts:\n\xff\n").unwrap();
    fs::write(clone.join("acme/app/large.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let failed = load(&service, &configuration, &[], "failed").await;
    assert_eq!(
        reason(&failed),
        "3 files are broken: acme/app/binary.yaml, acme/app/large.yaml, acme/app/link.yaml"
    );
    let log = service.log(id(&failed)).await;
    for expected in [
        "broken acme/app/binary.yaml: error: is not UTF-8 text (line 2)\n",
        "broken acme/app/large.yaml: error: is larger than 1048576 bytes\n",
        "broken acme/app/link.yaml: error: is a symbolic link, which is not followed\n",
        "tracked acme/app/main.yaml\n",
    ] {
        assert!(
            log.contains(expected),
            "{expected:?} is missing from\n{log}"
        );
    }
}

#[tokio::test]
async fn a_repository_that_is_removed_is_not_built_any_more_and_what_runs_goes_on() {
    let files = [
        ("acme/app/main.yaml", RECIPE),
        ("acme/other/main.yaml", RECIPE),
    ];
    let settings = json!({"builds": {"concurrency": 1}});
    let (service, configuration) = loaded(settings, &files).await;
    let (app, other) = (
        service.repository("acme/app"),
        service.repository("acme/other"),
    );
    let holding = format!("#!/bin/sh\n{HOLD}{RESULT}");
    let running = service.push_script(&app, &holding).await;
    service.wait_for_log(&running, "holding").await;
    let waiting = service.push_script(&other, &holding).await;

    configuration.git(&["rm", "--quiet", "-r", "acme"]);
    let emptied = load(&service, &configuration, &[], "succeeded").await;
    assert_eq!(
        script_output(&service.log(id(&emptied)).await),
        "removed acme/app/main.yaml\nremoved acme/other/main.yaml\n"
    );
    let ended = service.wait_for(&waiting, "cancelled").await;
    assert_eq!(reason(&ended), "the configuration no longer names it");
    is_not_tracked(&service, &other).await;
    service.release(&running);
    service.wait_for(&running, "succeeded").await;
}

#[tokio::test]
async fn a_service_that_starts_without_its_source_goes_on_with_the_last_good_configuration() {
    let settings = json!({"github": {"reconcile_every": "1s"}});
    let (mut service, configuration) = loaded(settings, &[("acme/app/main.yaml", RECIPE)]).await;
    let app = service.repository("acme/app");
    let before = in_force(&service).await;
    service.terminate();
    let away = service.path("away");
    fs::rename(&configuration.bare, &away).unwrap();
    fs::remove_dir_all(service.path("data/mirrors")).unwrap();
    service.start_again();
    is_built(&service, &app).await;
    assert_eq!(in_force(&service).await, before);

    // It is found again, without a webhook.
    fs::rename(&away, &configuration.bare).unwrap();
    let commit = configuration.commit(&[("acme/new/main.yaml", RECIPE)]);
    configuration.push("main");
    until("the new configuration is in force", async || {
        (in_force(&service).await["commit"] == json!(commit)).then_some(())
    })
    .await;
    is_built(&service, &service.repository("acme/new")).await;
    assert_eq!(loads(&service).await.len(), 2);
}

#[tokio::test]
async fn what_git_could_not_give_is_tried_again_and_changes_nothing_until_then() {
    let settings = json!({"github": {"reconcile_every": "1s"}});
    let (service, configuration) = loaded(settings, &[("acme/app/main.yaml", RECIPE)]).await;
    let before = in_force(&service).await;
    let commit = configuration.commit(&[("acme/new/main.yaml", RECIPE)]);
    let away = service.path("away");
    let push = configuration.push("main");
    fs::rename(&configuration.bare, &away).unwrap();
    let load = service.pushed(&push).await;
    let ended = service.wait_for(&load, "errored").await;
    assert!(reason(&ended).starts_with("repository acme/configuration does not exist at "));
    assert_eq!(in_force(&service).await, before);
    is_built(&service, &service.repository("acme/app")).await;

    fs::rename(&away, &configuration.bare).unwrap();
    until("it is loaded after all", async || {
        (in_force(&service).await["commit"] == json!(commit)).then_some(())
    })
    .await;
    is_built(&service, &service.repository("acme/new")).await;
}

#[tokio::test]
async fn of_loads_that_wait_the_newest_is_done_even_if_its_webhook_came_first() {
    let (service, configuration) = loaded(json!({}), &[("acme/app/main.yaml", RECIPE)]).await;
    let mirror = hold_mirror(&service);
    let mut pushes = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let file = format!("acme/{name}/main.yaml");
        configuration.commit(&[(file.as_str(), RECIPE)]);
        pushes.push(configuration.push("main"));
    }
    let first = service.pushed(&pushes[0]).await;
    service.wait_for(&first, "preparing").await;
    let second = service.pushed(&pushes[1]).await;
    let newest = service.pushed(&pushes[3]).await;
    let late = service.pushed(&pushes[2]).await;
    for waiting in [&second, &newest, &late] {
        assert_eq!(service.state(waiting).await, "queued");
    }
    drop(mirror);
    service.wait_for(&first, "succeeded").await;
    service.wait_for(&newest, "succeeded").await;
    let replaced = format!("a newer push replaced it: {}", &pushes[3].commit[..10]);
    for older in [&second, &late] {
        let ended = service.wait_for(older, "superseded").await;
        assert_eq!(reason(&ended), replaced);
    }
    assert_eq!(in_force(&service).await["commit"], json!(pushes[3].commit));
    is_built(&service, &service.repository("acme/four")).await;
}

#[tokio::test]
async fn a_load_that_is_replaced_ends_even_if_its_log_cannot_be_opened() {
    let (mut service, configuration) = loaded(json!({}), &[("acme/app/main.yaml", RECIPE)]).await;
    let mirror = hold_mirror(&service);
    let mut loads = Vec::new();
    for name in ["acme/one/main.yaml", "acme/two/main.yaml"] {
        configuration.commit(&[(name, RECIPE)]);
        loads.push(service.pushed(&configuration.push("main")).await);
        service.wait_for(&loads[0], "preparing").await;
    }
    service.kill();
    drop(mirror);
    let folder = service.path(&format!("data/builds/{}", loads[0]));
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    service.start_again();
    service.wait_for(&loads[1], "succeeded").await;
    let replaced = service.wait_for(&loads[0], "superseded").await;
    assert!(reason(&replaced).starts_with("a newer push replaced it: "));
    is_built(&service, &service.repository("acme/two")).await;

    // The error belongs to this story; no other may be there.
    service.terminate();
    let log = service.own_log();
    let (expected, rest): (Vec<&str>, Vec<&str>) = log
        .lines()
        .partition(|line| line.contains("cannot open a log"));
    assert_eq!(expected.len(), 1, "{log}");
    fs::write(service.path("service.log"), rest.join("\n")).unwrap();
}

#[tokio::test]
async fn an_older_commit_whose_webhook_is_late_does_not_take_a_newer_ones_place() {
    let (mut service, configuration) = loaded(json!({}), &[("acme/app/main.yaml", RECIPE)]).await;
    let oldest = configuration.head();
    configuration.commit(&[("acme/app/main.yaml", BROKEN)]);
    let older = configuration.push("main");
    let commit = configuration.commit(&[("acme/app/main.yaml", RECIPE)]);
    let newer = service.pushed(&configuration.push("main")).await;
    service.wait_for(&newer, "succeeded").await;

    service.terminate();
    service.start_again();
    let late = service.pushed(&older).await;
    let ended = service.wait_for(&late, "superseded").await;
    let expected = format!("a newer configuration is in force: {}", &commit[..10]);
    assert_eq!(reason(&ended), expected);
    assert_eq!(in_force(&service).await["commit"], json!(commit));

    // Going back by force is meant.
    configuration.git(&["reset", "--quiet", "--hard", &oldest]);
    let back = service.pushed(&configuration.force_push("main")).await;
    service.wait_for(&back, "succeeded").await;
    assert_eq!(in_force(&service).await["commit"], json!(oldest));
    assert_eq!(loads(&service).await.len(), 4);
}

#[tokio::test]
async fn killed_at_any_moment_of_a_load_it_is_done_once_after_the_restart() {
    const IS_STATE: &str = "SELECT 1 FROM builds WHERE id = ?1 AND state = ";
    let moments = [
        format!("{IS_STATE} 'queued'"),
        format!("{IS_STATE} 'preparing'"),
        format!("{IS_STATE} 'building'"),
        // What is in force is durable already, and the build has not ended.
        "SELECT 1 FROM builds, configuration WHERE id = ?1 AND ended IS NULL \
         AND json_extract(report, '$.source.commit') = sha"
            .to_owned(),
    ];
    let (mut service, configuration) = loaded(json!({}), &[("acme/app/main.yaml", RECIPE)]).await;
    // Enough of them for a moment in each state.
    let many: Vec<String> = (0..500)
        .map(|number| format!("acme/many/{number}.yaml"))
        .collect();
    let mut number = 0;
    for moment in &moments {
        let (load, name) = loop {
            number += 1;
            assert!(number < 40, "never caught: {moment}");
            let text = format!("{RECIPE}  timeout: {number}m\n");
            let name = format!("acme/killed{number}");
            let file = format!("{name}/main.yaml");
            let mut files: Vec<(&str, &str)> = many
                .iter()
                .map(|path| (path.as_str(), text.as_str()))
                .collect();
            files.push((&file, RECIPE));
            configuration.commit(&files);
            let load = service.pushed(&configuration.push("main")).await;
            let caught = service.catch(moment, &load);
            service.kill();
            if caught && service.finds(moment, &load) {
                break (load, name);
            }
            service.start_again();
            service.wait_for(&load, "succeeded").await;
        };
        service.start_again();
        let ended = service.wait_for(&load, "succeeded").await;
        assert_eq!(in_force(&service).await["commit"], ended["commit"]);
        let of_commit = loads(&service).await;
        let of_commit = of_commit
            .iter()
            .filter(|load| load["commit"] == ended["commit"]);
        assert_eq!(of_commit.count(), 1);
        is_built(&service, &service.repository(&name)).await;
        let log = service.log(&load).await;
        assert!(
            notes(&log).last().unwrap().starts_with("succeeded after "),
            "{log}"
        );
    }
}

#[tokio::test]
async fn the_source_can_be_changed_while_the_service_runs() {
    let mut service = Service::start();
    let (app, lib) = (
        service.tracked("acme/app").await,
        service.repository("acme/lib"),
    );
    let path = in_force(&service).await["source"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(path.ends_with("/configuration"), "{path}");

    let configuration = service.repository(NAME);
    configuration.commit(&[("acme/lib/main.yaml", RECIPE)]);
    configuration.push("main");
    let directory =
        json!({"configuration": {"path": "./configuration", "repository": null, "branch": null}});
    // The second time, the head is known, and was loaded before.
    for count in 1..=2 {
        service.change_settings(source());
        until("the repository is in force", async || {
            let shown = in_force(&service).await;
            (shown["source"]["repository"] == json!(NAME)).then_some(())
        })
        .await;
        is_built(&service, &lib).await;
        is_not_tracked(&service, &app).await;
        until("the load has ended", async || {
            let loads = loads(&service).await;
            (loads.len() == count && loads[0]["state"] == "succeeded").then_some(())
        })
        .await;

        service.change_settings(directory.clone());
        until("the directory is in force", async || {
            (in_force(&service).await["source"]["path"] == json!(path)).then_some(())
        })
        .await;
        is_built(&service, &app).await;
        is_not_tracked(&service, &lib).await;
    }

    // One that is under way has no purpose any more.
    service.change_settings(source());
    until("the repository is in force", async || {
        (in_force(&service).await["source"]["repository"] == json!(NAME)).then_some(())
    })
    .await;
    let mirror = hold_mirror(&service);
    configuration.commit(&[("acme/app/main.yaml", RECIPE)]);
    let answer = service
        .deliver(&Delivery::of(&configuration.push("main")))
        .await;
    let load = builds_in(&answer).remove(0);
    service.wait_for(&load, "preparing").await;
    service.change_settings(directory);
    let ended = service.wait_for(&load, "cancelled").await;
    assert_eq!(
        reason(&ended),
        "the configuration is no longer read from branch main of acme/configuration"
    );
    drop(mirror);
    is_built(&service, &app).await;
}
