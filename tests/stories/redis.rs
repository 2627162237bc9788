//! What Redis is told of builds and their logs, whatever becomes of Redis.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{KeysInterface, StreamsInterface};
use fred::prelude::{Client, ClientLike};
use fred::types::{ClusterHash, CustomCommand};
use serde_json::{Value, json};

use crate::support::{HOLD, RESULT, Redis, SOON, Service, until, within};

fn with(redis: &Redis) -> Value {
    json!({"redis": {"url": redis.url()}})
}

fn script(lines: u32) -> String {
    format!(
        "#!/bin/sh\ni=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done\n{HOLD}echo through\n{RESULT}"
    )
}

type Entry = (String, HashMap<String, Bytes>);

async fn entries(client: &Client, stream: &str) -> Vec<Entry> {
    client
        .xrange_values(stream, "-", "+", None)
        .await
        .unwrap_or_default()
}

/// A build's log as a listener puts it together: where it begins, its bytes, and its length once it
/// has ended.
struct Told {
    from: u64,
    bytes: Vec<u8>,
    end: Option<u64>,
}

async fn log(client: &Client, build: &str) -> Told {
    let number = |bytes: &Bytes| -> u64 { std::str::from_utf8(bytes).unwrap().parse().unwrap() };
    let mut told = Told {
        from: 0,
        bytes: Vec::new(),
        end: None,
    };
    for (id, fields) in entries(client, &format!("autobuilder:log:{build}")).await {
        assert_eq!(told.end, None, "nothing follows the end");
        let (place, part) = id.split_once('-').unwrap();
        let place: u64 = place.parse().unwrap();
        if let Some(end) = fields.get("end") {
            assert_eq!((number(end), part), (place, "1"));
            told.end = Some(place);
            continue;
        }
        let (offset, data) = (number(&fields["offset"]), &fields["data"]);
        if told.bytes.is_empty() {
            told.from = offset;
        }
        assert_eq!(
            offset,
            told.from + told.bytes.len() as u64,
            "no hole, no repetition"
        );
        told.bytes.extend_from_slice(data);
        assert_eq!((place, part), (offset + data.len() as u64, "0"));
    }
    told
}

/// What the stream of changes says of builds, the newest of each.
async fn changes(client: &Client) -> Vec<Value> {
    let changes = entries(client, "autobuilder:changes").await;
    let mut last = 0;
    let parse = |(id, fields): Entry| {
        let event: Value = serde_json::from_slice(&fields["event"]).unwrap();
        let revision = event["revision"].as_u64().unwrap();
        assert!(revision > last, "in order, and once");
        last = revision;
        assert_eq!(id, format!("{revision}-0"));
        assert_eq!((&event["v"], &event["type"]), (&json!(1), &json!("build")));
        event
    };
    changes.into_iter().map(parse).collect()
}

/// Waits until Redis has all of a build, and compares it with what the service has.
async fn has_all_of(service: &Service, client: &Client, build: &str) {
    within(SOON, "redis knows of its end", async || {
        let changes = changes(client).await;
        let newest = changes
            .iter()
            .rfind(|event| event["build"]["id"] == build)?;
        (!newest["build"]["ended"].is_null()).then_some(())
    })
    .await;
    // Its log is there before its end is told.
    let told = log(client, build).await;
    let whole = service.log(build).await;
    assert_eq!(told.end, Some(whole.len() as u64));
    assert_eq!(told.from, 0);
    assert!(told.bytes == whole.as_bytes(), "byte for byte");
}

#[tokio::test]
async fn redis_has_every_change_and_every_byte_while_a_build_runs_and_afterwards() {
    let redis = Redis::start();
    let client = redis.client().await;
    let mut listener = redis.subscribe_to("autobuilder:events").await;
    let service = Service::start_with(with(&redis));
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &script(5000)).await;
    service.wait_for_log(&build, "holding").await;
    until("its log is there while it runs", async || {
        let told = log(&client, &build).await;
        let output = String::from_utf8(told.bytes).unwrap();
        (output.contains("line 5000\n") && told.end.is_none()).then_some(())
    })
    .await;
    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    has_all_of(&service, &client, &build).await;

    let messages = listener
        .until(|_, event| event["build"]["state"] == "succeeded")
        .await;
    let revisions = messages.iter().map(|(_, event)| event["revision"].as_u64());
    assert!(revisions.is_sorted());
    let states: Vec<&str> = messages
        .iter()
        .map(|(_, event)| event["build"]["state"].as_str().unwrap())
        .collect();
    assert!(states.contains(&"building"), "{states:?}");
    // It goes by itself.
    let expiry: i64 = client
        .ttl(format!("autobuilder:log:{build}"))
        .await
        .unwrap();
    assert!((3000..=3600).contains(&expiry), "{expiry}");
    let presence: String = client.get("autobuilder:service").await.unwrap();
    let presence: Value = serde_json::from_str(&presence).unwrap();
    assert_eq!(presence["v"], 1);
    let metrics = service.get("/metrics").await.text;
    let connected = "autobuilder_redis_connected{feed=\"builds\"} 1\n";
    assert!(metrics.contains(connected), "{metrics}");
}

#[tokio::test]
async fn what_redis_missed_it_has_when_it_is_back() {
    let mut redis = Redis::absent();
    let service = Service::start_with(with(&redis));
    let app = service.tracked("acme/app").await;
    let before = service.push_script(&app, &script(300)).await;
    service.wait_for_log(&before, "holding").await;
    service.release(&before);
    service.wait_for(&before, "succeeded").await;
    redis.come();
    has_all_of(&service, &redis.client().await, &before).await;

    // Killed amid a build, and back empty.
    let during = service.push_script(&app, &script(3000)).await;
    service.wait_for_log(&during, "holding").await;
    redis.go();
    service.release(&during);
    service.wait_for(&during, "succeeded").await;
    redis.come();
    let client = redis.client().await;
    has_all_of(&service, &client, &during).await;
    has_all_of(&service, &client, &before).await;

    // Frozen for as long as it takes to be noticed; what it had it has.
    let frozen = service.push_script(&app, &script(3000)).await;
    service.wait_for_log(&frozen, "holding").await;
    redis.freeze(true);
    service.release(&frozen);
    service.wait_for(&frozen, "succeeded").await;
    redis.freeze(false);
    has_all_of(&service, &client, &frozen).await;
}

#[tokio::test]
async fn a_service_that_is_killed_goes_on_telling_where_it_was() {
    let redis = Redis::start();
    let client = redis.client().await;
    let mut service = Service::start_with(with(&redis));
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &script(3000)).await;
    service.wait_for_log(&build, "holding").await;
    until("a part of it is there", async || {
        (!log(&client, &build).await.bytes.is_empty()).then_some(())
    })
    .await;
    service.kill();
    service.start_again();
    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    has_all_of(&service, &client, &build).await;
}

/// Bytes; 0: as much as there is.
async fn bound_memory(client: &Client, bytes: u64) {
    let command = CustomCommand::new_static("CONFIG", ClusterHash::FirstKey, false);
    let arguments = vec!["SET".to_owned(), "maxmemory".to_owned(), bytes.to_string()];
    let _: () = client.custom(command, arguments).await.unwrap();
}

#[tokio::test]
async fn a_redis_out_of_memory_is_told_when_it_has_room() {
    let redis = Redis::start();
    let client = redis.client().await;
    let service = Service::start_with(with(&redis));
    let app = service.tracked("acme/app").await;
    bound_memory(&client, 1).await;
    let build = service.push_script(&app, &script(3000)).await;
    service.wait_for_log(&build, "holding").await;
    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    assert_eq!(log(&client, &build).await.bytes.len(), 0);
    bound_memory(&client, 0).await;
    has_all_of(&service, &client, &build).await;
}

#[tokio::test]
async fn of_a_long_log_redis_keeps_the_end() {
    let redis = Redis::start();
    let client = redis.client().await;
    let service = Service::start_with(json!({
        "redis": {"url": redis.url(), "log_size": "128 KiB", "log_expiry": "10 s"}
    }));
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &script(60_000)).await;
    service.wait_for_log(&build, "holding").await;
    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    let told = within(SOON, "it is there", async || {
        let told = log(&client, &build).await;
        told.end.is_some().then_some(told)
    })
    .await;
    let whole = service.log(&build).await.into_bytes();
    assert!(told.bytes.len() < 512 * 1024, "{}", told.bytes.len());
    assert!(
        told.bytes.len() >= 128 * 1024 - 64 * 1024,
        "{}",
        told.bytes.len()
    );
    assert!(told.bytes == whole[told.from as usize..]);
    within(Duration::from_secs(30), "it expires", async || {
        log(&client, &build).await.bytes.is_empty().then_some(())
    })
    .await;
}
