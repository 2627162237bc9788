//! A long history: 100,000 builds, and everything still answers at once.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::json;

use crate::support::{RESULT, Service};

const MANY: i64 = 100_000;

/// Copies the one build that there is, again and again, with what makes each its own.
fn fill(service: &Service) {
    let mut database = Connection::open(service.path("data/autobuilder.sqlite")).unwrap();
    let columns: Vec<String> = database
        .prepare("SELECT name FROM pragma_table_info('builds')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let values: Vec<&str> = columns
        .iter()
        .map(|column| match column.as_str() {
            "sequence" => "NULL",
            "id" => "?1",
            "revision" => "?2",
            "repository" => "?3",
            "branch" => "?4",
            column => column,
        })
        .collect();
    let copy = format!(
        "INSERT INTO builds ({}) SELECT {} FROM builds WHERE sequence = 1",
        columns.join(", "),
        values.join(", ")
    );
    let transaction = database.transaction().unwrap();
    {
        let mut copy = transaction.prepare(&copy).unwrap();
        for number in 0..MANY {
            let repository = format!("acme/app-{}", number % 50);
            let branch = format!("branch-{}", number % 1000);
            copy.execute(params![
                format!("{number:012}"),
                1000 + number,
                repository,
                branch
            ])
            .unwrap();
        }
        transaction
            .execute("UPDATE instance SET revision = ?1", [1000 + MANY])
            .unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn with_100_000_builds_everything_still_answers_at_once() {
    let mut service = Service::start_with(json!({"retention": {"builds": 1_000_000}}));
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    service.terminate();
    fill(&service);

    let begun = Instant::now();
    service.start_again();
    let start_up = begun.elapsed();
    assert!(
        start_up < Duration::from_secs(3),
        "the start took {start_up:?}"
    );

    let newest = format!("{:012}", MANY - 1);
    let first = service.get("/api/v1/builds?limit=50").await.json();
    assert_eq!(first["builds"][0]["id"], newest.as_str());
    let mut before = first["next"].as_str().expect("there are more").to_owned();
    let mut queries = vec![
        "limit=50".to_owned(),
        "repository=acme/app-7&limit=20".to_owned(),
        "repository=acme/app-7&branch=branch-7".to_owned(),
        "state=succeeded&limit=20".to_owned(),
        // There is none: nothing to stop at early.
        "state=failed".to_owned(),
        "repository=acme/none".to_owned(),
    ];
    for _ in 0..5 {
        let page = service
            .get(&format!("/api/v1/builds?limit=50&before={before}"))
            .await
            .json();
        queries.push(format!("limit=50&before={before}"));
        before = page["next"].as_str().unwrap().to_owned();
    }
    for query in queries {
        let begun = Instant::now();
        let answer = service.get(&format!("/api/v1/builds?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        // It takes milliseconds; the rest is for a busy machine and a build without optimization.
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{query} took {:?}",
            begun.elapsed()
        );
    }
    let again = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&again, "succeeded").await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat_while_builds_arrive() {
    let service = Service::start_with(json!({"builds": {"supersede": false}}));
    let app = service.tracked("acme/app").await;
    let mut pushed = Vec::new();
    for _ in 0..7 {
        pushed.insert(
            0,
            service
                .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
                .await,
        );
    }
    let mut seen = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let page = service.get(&format!("/api/v1/builds?{query}")).await.json();
        for build in page["builds"].as_array().unwrap() {
            seen.push(build["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("limit=3&before={next}");
        // One that comes meanwhile is on no later page.
        service
            .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
            .await;
    }
    assert_eq!(seen, pushed);
    let all = service.builds().await;
    for build in all {
        service
            .wait_for(build["id"].as_str().unwrap(), "succeeded")
            .await;
    }
}
