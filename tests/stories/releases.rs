//! Data directories of other releases: of one before this, and of one after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::support::{Delivery, HOLD, Output, RESULT, Service, run, script_output, sha256};

const FIRST_SCHEMA: &str = include_str!("../../src/store/migrations/001_first.sql");

const BINARY: &str =
    "buildscripts: [build.sh]\nbuild.sh: {artifact: result.tar.gz, format: binary}\n";

/// Makes of a database the one that the first schema would have held: its tables, its columns, and
/// what was written into these then.
fn as_the_first_schema_had_it(file: &Path) {
    let old = file.with_extension("first");
    let database = Connection::open(&old).unwrap();
    database.execute_batch(FIRST_SCHEMA).unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    database
        .execute("ATTACH ?1 AS new", [file.to_str().unwrap()])
        .unwrap();
    let columns = "SELECT name, (SELECT group_concat(name) FROM pragma_table_info(tables.name))
        FROM sqlite_schema AS tables WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables: Vec<(String, String)> = database
        .prepare(columns)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(tables.len() >= 9, "{tables:?}");
    for (table, columns) in tables {
        let copy = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM new.{table}");
        database.execute(&copy, []).unwrap();
    }
    // What is not known was left out then.
    let causes = "UPDATE builds SET cause = replace(cause, '\"pusher\":null,', '')";
    database.execute(causes, []).unwrap();
    database.close().unwrap();
    for beside in ["sqlite-wal", "sqlite-shm"] {
        let _ = fs::remove_file(file.with_extension(beside));
    }
    fs::rename(old, file).unwrap();
}

/// Changes the version of a schema, and tells which it was. What a crash has left beside the
/// database is there afterwards, too.
fn set_schema(file: &Path, version: i64) -> i64 {
    let is_left = file.with_extension("sqlite-wal").exists();
    let database = Connection::open(file).unwrap();
    database
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_left)
        .unwrap();
    let was = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    database
        .pragma_update(None, "user_version", version)
        .unwrap();
    was
}

/// Every file and folder below a folder, with its mode and a digest of what it holds.
type Contents = BTreeMap<PathBuf, (u32, String)>;

fn contents(folder: &Path) -> Contents {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let mode = entry.metadata().unwrap().permissions().mode();
        let bytes = match () {
            () if kind.is_dir() => {
                found.extend(contents(&path));
                Vec::new()
            }
            () if kind.is_symlink() => fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes(),
            () => fs::read(&path).unwrap(),
        };
        found.insert(path, (mode, sha256(&bytes)));
    }
    found
}

/// The data directory, without what tells who holds it or reads its database.
fn data(service: &Service) -> Contents {
    let mut data = contents(&service.path("data"));
    for name in ["lock", "autobuilder.sqlite-shm"] {
        data.remove(&service.path("data").join(name));
    }
    data
}

/// What a build was, without what a later release may say beside it.
fn history(build: &Value) -> Value {
    let mut kept = json!({});
    for key in [
        "id",
        "repository",
        "branch",
        "commit",
        "script",
        "kind",
        "cause",
        "state",
        "reason",
        "steps",
        "queued",
        "started",
        "ended",
        "attempt",
        "exit_code",
        "image",
        "log",
        "artifacts",
        "commits",
        "url",
    ] {
        assert!(build.get(key).is_some(), "{key}");
        kept[key] = build[key].clone();
    }
    kept
}

#[tokio::test]
async fn a_data_directory_of_the_first_schema_is_carried_forward_whole() {
    let mut service = Service::start_with(json!({"builds": {"concurrency": 1}}));
    let app = service.repository("acme/app");
    service.configure("acme/app", "main", BINARY).await;
    let script = |end: &str| format!("#!/bin/sh\nseq 1 5000\n{RESULT}{end}\n");
    let succeeded = service.push_script(&app, &script("exit 0")).await;
    service.wait_for(&succeeded, "succeeded").await;
    let failed = service.push_script(&app, &script("exit 7")).await;
    service.wait_for(&failed, "failed").await;
    let other = service.tracked("acme/other").await;
    let running = service
        .push_script(&other, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&running, "holding").await;
    app.commit(&[("build.sh", &script("echo third"))]);
    let push = app.push("main");
    let delivery = Delivery::of(&push);
    let waiting = service.deliver(&delivery).await.json()["builds"][0]["id"].clone();
    let waiting = waiting.as_str().unwrap();
    assert_eq!(service.state(waiting).await, "queued");

    let mut before = Vec::new();
    for build in [&succeeded, &failed] {
        before.push((
            history(&service.build(build).await),
            service.log(build).await,
        ));
    }
    let artifact = format!("/api/v1/builds/{succeeded}/artifacts/result.tar.gz");
    let published = contents(&service.path("binaries"));
    assert!(published.len() >= 2, "{published:?}");
    assert_eq!(service.terminate().code(), Some(0));
    as_the_first_schema_had_it(&service.path("data/autobuilder.sqlite"));

    // Without a service nothing is carried forward.
    let old = data(&service);
    let output = service.cli_with_file(&["gc"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("an older release"), "{output:?}");
    assert!(output.stderr.contains("start this release's service once"));
    assert_same(&old, &data(&service));

    service.start_again();
    assert_eq!(service.integrity(), "ok");
    for (build, (view, log)) in [&succeeded, &failed].into_iter().zip(before) {
        assert_eq!(history(&service.build(build).await), view);
        assert_eq!(service.log(build).await, log);
        assert_eq!(
            service
                .get(&format!("/monitor/builds/{build}"))
                .await
                .status,
            200
        );
    }
    let file = service.get(&artifact).await;
    assert_eq!((file.status, file.text.as_str()), (200, "done\n"));
    let known = &service.build(&succeeded).await["artifacts"][0]["sha256"];
    assert_eq!(known, &sha256(&file.bytes));
    assert_same(&published, &contents(&service.path("binaries")));

    // What ran is taken over, what waited is built, and what was heard is known.
    service.release(&running);
    let taken_over = service.wait_for(&running, "succeeded").await;
    assert_eq!(taken_over["attempt"], 1);
    assert_eq!(script_output(&service.log(&running).await), "holding\n");
    service.wait_for(waiting, "succeeded").await;
    let again = service.deliver(&delivery).await;
    assert_eq!(again.json()["builds"][0]["id"], waiting);
    let next = service.push_script(&app, &script("echo next")).await;
    service.wait_for(&next, "succeeded").await;
    assert_eq!(service.builds().await.len(), 5);
    // The stable name, which the first schema knew of, has moved on.
    assert_ne!(contents(&service.path("binaries")), published);
}

/// Every command that would open the data directory of a newer release.
fn assert_all_refuse(service: &Service, known: i64) {
    let before = data(service);
    let mut serve = service.offline_command();
    serve.args(["serve", "--config", "config.yaml"]);
    assert_refused("serve", run(serve), 1, known);
    for arguments in [
        &["gc"][..],
        &["gc", "--dry-run"],
        &["import", "../history.sqlite"],
    ] {
        assert_refused(arguments[0], service.cli_with_file(arguments), 2, known);
    }
    assert_same(&before, &data(service));
}

fn assert_same(before: &Contents, after: &Contents) {
    let paths = before.keys().chain(after.keys());
    let is_other = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let other: BTreeSet<_> = paths.filter(is_other).collect();
    assert!(other.is_empty(), "{other:?}");
}

fn assert_refused(what: &str, output: Output, code: i32, known: i64) {
    assert_eq!(output.code, code, "{what}: {output:?}");
    let sentence = format!(
        "the database was written by a newer release (schema 99, this release knows {known}): \
         use that release, or restore a data directory of this one"
    );
    assert!(output.stderr.contains(&sentence), "{what}: {output:?}");
    assert!(!output.stderr.contains("panicked"), "{what}: {output:?}");
}

#[tokio::test]
async fn a_data_directory_of_a_newer_release_is_refused_and_left_as_it_is() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho kept\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    assert_eq!(service.terminate().code(), Some(0));
    let database = service.path("data/autobuilder.sqlite");
    let known = set_schema(&database, 99);
    // As that release may have left them.
    fs::write(service.path("data/tmp/autobuilder/on-its-way"), "half").unwrap();
    fs::set_permissions(&database, PermissionsExt::from_mode(0o640)).unwrap();
    let old_service = Connection::open(service.path("history.sqlite")).unwrap();
    let table = "CREATE TABLE history (id integer, created datetime, push text, content text)";
    old_service.execute(table, []).unwrap();

    assert_all_refuse(&service, known);

    set_schema(&database, known);
    service.start_again();
    service.kill();
    let is_left = || database.with_extension("sqlite-wal").exists();
    assert!(is_left());
    set_schema(&database, 99);
    assert_all_refuse(&service, known);
    assert!(is_left());

    set_schema(&database, known);
    service.start_again();
    assert_eq!(script_output(&service.log(&build).await), "kept\n");
}
