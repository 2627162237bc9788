//! The history of the service before this one, taken over while nothing runs.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::support::{Output, RESULT, Service, run, until};

const FIRST: &str = "5f0c54b1-a3c1-4f4e-9f39-3f8a3a4f3c55";
const SECOND: &str = "0e9d1b7a-5a26-4f0c-8d53-cc2f4b1d7a10";

fn content(id: &str, status: &str, started: i64) -> Value {
    json!({
        "id": id, "status": status, "name": "acme/app/master", "monitor": "last words\n", "docker": "0123456789",
        "started": started, "ended": started + 60,
        "error": (status == "error").then_some("no space left"),
        "commits": [{"id": "a".repeat(40), "message": "change", "url": "https://github.com/acme/app/commit/a",
                     "author": {"name": "Ada"}}],
        "artifact": "flist/acme-app-master-aaaaaaaaaa.flist.md", "tag": "dev", "baseimage": "ubuntu:16.04",
    })
}

/// The old service's folder.
fn old_service(folder: &Path, rows: &[String]) {
    fs::create_dir_all(folder.join("logs/commits")).unwrap();
    let database = Connection::open(folder.join("history.sqlite")).unwrap();
    let table = "CREATE TABLE history (id integer, created datetime, push text, content text)";
    database.execute(table, []).unwrap();
    let push = json!({"ref": "refs/heads/master", "repository": {"full_name": "acme/app"},
                      "head_commit": {"id": "a".repeat(40)}});
    for (number, content) in rows.iter().enumerate() {
        let row = "INSERT INTO history VALUES (?1, '2018-01-02 03:04:05', ?2, ?3)";
        database
            .execute(row, params![number as i64 + 1, push.to_string(), content])
            .unwrap();
    }
}

fn two_builds() -> Vec<String> {
    [
        content(FIRST, "success", 1_500_000_000),
        content(SECOND, "error", 1_600_000_000),
    ]
    .map(|content| content.to_string())
    .to_vec()
}

fn import(service: &Service, more: &[&str]) -> Output {
    let mut command = service.offline_command();
    command
        .args(["import", "old/history.sqlite", "--config", "config.yaml"])
        .args(more);
    run(command)
}

fn summary(output: &Output) -> Value {
    assert_eq!(output.code, 0, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn old_links_open_and_new_builds_go_on_before_them() {
    let mut service = Service::start_with(json!({"retention": {"builds": 1}}));
    let app = service.tracked("acme/app").await;
    let first = service
        .push_script(&app, &format!("#!/bin/sh\necho ours\n{RESULT}"))
        .await;
    service.wait_for(&first, "succeeded").await;
    let second = service
        .push_script(&app, &format!("#!/bin/sh\necho ours too\n{RESULT}"))
        .await;
    service.wait_for(&second, "succeeded").await;

    old_service(&service.path("old"), &two_builds());
    let log: String = (1..=5000)
        .map(|number| format!("old line {number}\n"))
        .collect();
    fs::write(service.path("old/logs/commits").join(FIRST), &log).unwrap();
    let refused = import(&service, &[]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("another autobuilder (process"),
        "{refused:?}"
    );

    service.terminate();
    let rehearsed = summary(&import(&service, &["--dry-run", "--json"]));
    assert_eq!(
        (&rehearsed["imported"], &rehearsed["logs"]),
        (&json!(2), &json!(1))
    );
    let done = summary(&import(&service, &["--json"]));
    assert_eq!(done["dry_run"], false);
    for (field, count) in [
        ("rows", 2),
        ("imported", 2),
        ("known", 0),
        ("skipped", 0),
        ("logs", 1),
        ("missing_logs", 1),
    ] {
        assert_eq!(done[field], count, "{field}");
    }
    assert_eq!(done["log_bytes"], log.len());
    service.start_again();

    // The sweep has been there when the older of ours is gone.
    let older = format!("/api/v1/builds/{first}");
    until("retention", async || {
        (service.get(&older).await.status == 404).then_some(())
    })
    .await;
    let report = service.get(&format!("/report/{FIRST}")).await;
    assert_eq!((report.status, report.text.as_str()), (200, log.as_str()));
    // Of which the old service itself had no log any more; it is the newest of its branch.
    for path in [&format!("/report/{SECOND}"), "/build/logs/acme/app/master"] {
        let missing = service.get(path).await;
        assert_eq!(missing.status, 404, "{path}");
        assert!(missing.error().contains("no longer kept"), "{path}");
    }
    assert_eq!(
        service
            .get("/report/00000000-0000-0000-0000-000000000000")
            .await
            .status,
        404
    );

    let history = service.get("/build/history").await.json();
    let times: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|build| build["started"].as_i64().unwrap())
        .collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "{times:?}"
    );
    let old = &history[times.len() - 1];
    let wanted = content(FIRST, "success", 1_500_000_000);
    for field in [
        "status",
        "name",
        "docker",
        "started",
        "ended",
        "error",
        "commits",
        "artifact",
        "tag",
        "baseimage",
    ] {
        assert_eq!(old[field], wanted[field], "{field}");
    }
    assert!(
        old["monitor"]
            .as_str()
            .unwrap()
            .ends_with("old line 4999\nold line 5000\n")
    );
    let errored = &history[times.len() - 2];
    assert_eq!(
        (&errored["error"], &errored["monitor"]),
        (&json!("no space left"), &json!("last words\n"))
    );

    let id = old["id"].as_str().unwrap();
    let build = service.get(&format!("/api/v1/builds/{id}")).await.json();
    assert_eq!(
        (&build["state"], &build["branch"]),
        (&json!("succeeded"), &json!("master"))
    );
    assert_eq!(
        (&build["cause"]["type"], &build["cause"]["id"]),
        (&json!("imported"), &json!(FIRST))
    );
    assert_eq!(build["ended"], "2017-07-14T02:41:00.000Z");
    assert_eq!(build["log"], json!({"bytes": log.len(), "lines": 5000}));
    let lines = service
        .get(&format!("/api/v1/builds/{id}/log?line=4321&lines=1"))
        .await;
    assert_eq!(lines.text, "old line 4321\n");
    let status = &build["status"];
    assert!(status.is_null(), "{status}");
    assert!(!service.finds("SELECT 1 FROM outbox WHERE build = ?1", id));
    assert!(!service.finds("SELECT 1 FROM publications WHERE build = ?1", id));

    // The newest of ours stays whatever came in; the imported stay for their time.
    assert_eq!(
        service
            .get(&format!("/api/v1/builds/{second}"))
            .await
            .status,
        200
    );
    let third = service
        .push_script(&app, &format!("#!/bin/sh\necho new\n{RESULT}"))
        .await;
    service.wait_for(&third, "succeeded").await;
    assert_eq!(
        service.get("/build/history").await.json()[0]["id"],
        third.as_str()
    );
}

#[tokio::test]
async fn importing_again_changes_nothing_but_brings_logs_that_were_missing() {
    let mut service = Service::start();
    service.terminate();
    old_service(&service.path("old"), &two_builds());
    assert_eq!(summary(&import(&service, &["--json"]))["missing_logs"], 2);
    let again = summary(&import(&service, &["--json"]));
    assert_eq!(
        (&again["imported"], &again["known"]),
        (&json!(0), &json!(2))
    );
    let logs = service.path("elsewhere");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join(SECOND), "found at last\n").unwrap();
    let with_logs = summary(&import(&service, &["--json", "--logs", "elsewhere"]));
    assert_eq!(
        (
            &with_logs["imported"],
            &with_logs["known"],
            &with_logs["logs"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    service.start_again();
    assert_eq!(
        service.get(&format!("/report/{SECOND}")).await.text,
        "found at last\n"
    );
    assert_eq!(
        service
            .get("/build/history/full")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_the_rest_goes_in() {
    let mut service = Service::start();
    service.terminate();
    let hostile = content("../../config.yaml", "success", 1_500_000_000);
    let unfinished = content(
        "1e9d1b7a-5a26-4f0c-8d53-cc2f4b1d7a10",
        "building",
        1_500_000_000,
    );
    let mut rows = two_builds();
    rows.splice(
        1..1,
        ["{".to_owned(), hostile.to_string(), unfinished.to_string()],
    );
    old_service(&service.path("old"), &rows);
    fs::remove_dir_all(service.path("old/logs")).unwrap();
    let done = import(&service, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    let said: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(
        said[0].starts_with("row 2 is left out: its content cannot be read as JSON: "),
        "{said:?}"
    );
    assert_eq!(
        said[1],
        "row 3 is left out: its id is not made of letters, digits and dashes"
    );
    assert!(
        said[2].starts_with("row 4 is left out: its status is \"building\""),
        "{said:?}"
    );
    assert!(
        said[3].starts_with("warning: there is no log folder old/logs/commits"),
        "{said:?}"
    );
    let first = done.stdout.lines().next().unwrap();
    assert_eq!(
        first,
        "of 5 rows, 2 imported, 0 of them with their logs (0 B); 2 without, 0 there already, 3 left out"
    );
    fs::write(service.path("old/history.sqlite"), "no database at all").unwrap();
    let refused = import(&service, &[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .stderr
            .starts_with("error: cannot read the history old/history.sqlite: "),
        "{refused:?}"
    );
    service.start_again();
    assert_eq!(
        service
            .get("/build/history")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
