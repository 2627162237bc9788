//! The clients of the service before this one: its browser page, its gateway, links to its logs.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{HOLD, REDIS_PASSWORD, RESULT, Redis, SOON, Service, script_output, until};

fn script() -> String {
    format!("#!/bin/sh\nfor i in 1 2 3; do echo first $i; done\n{HOLD}echo second\n{RESULT}")
}

/// All that the old page reads of a build; it fails on what is missing.
fn check_shape(build: &Value) {
    let words = [
        "creating",
        "initializing",
        "building",
        "committing",
        "success",
        "error",
    ];
    assert!(
        words.contains(&build["status"].as_str().unwrap()),
        "{build}"
    );
    assert_eq!(build["name"], "acme/app/main");
    assert!(build["monitor"].is_string());
    assert!(build["docker"].as_str().unwrap().len() <= 10);
    assert!(build["started"].is_i64());
    for field in ["ended", "error", "artifact", "tag", "baseimage"] {
        assert!(build.as_object().unwrap().contains_key(field), "{field}");
    }
    for commit in build["commits"].as_array().unwrap() {
        assert!(commit["id"].as_str().unwrap().len() >= 10);
        assert!(commit["message"].is_string() && commit["url"].is_string());
        assert!(commit["author"]["name"].is_string());
    }
}

fn check_status(status: &Value) {
    status.as_object().unwrap().values().for_each(check_shape);
}

fn check_history(history: &Value) {
    for build in history.as_array().unwrap() {
        assert!(build["id"].is_string());
        check_shape(build);
    }
}

fn with_redis(redis: &Redis) -> Value {
    json!({"redis": {"url": redis.url(), "legacy_topics": true}})
}

/// The next message, whatever else shows that the connection stands.
async fn next_text(page: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Utf8Bytes {
    loop {
        if let Message::Text(text) = page.next().await.expect("it is open").unwrap() {
            return text;
        }
    }
}

#[tokio::test]
async fn the_old_page_follows_a_build_from_push_to_history() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let url = service.url("/buildio").replace("http://", "ws://");
    let (mut page, _) = connect_async(url).await.unwrap();
    let build = service.push_script(&app, &script()).await;
    service.wait_for_log(&build, "holding").await;
    let status = service.get("/build/status").await.json();
    check_status(&status);
    assert_eq!(status[&build]["status"], "building");
    assert_eq!(status[&build]["docker"].as_str().unwrap().len(), 10);
    service.release(&build);

    let mut events = Vec::new();
    let mut output = String::new();
    let mut words = Vec::new();
    loop {
        let text = tokio::time::timeout(SOON, next_text(&mut page))
            .await
            .expect("there is more");
        let message: Value = serde_json::from_str(&text).unwrap();
        let (event, payload) = (
            message["event"].as_str().unwrap().to_owned(),
            &message["payload"],
        );
        match event.as_str() {
            "status" => {
                check_status(payload);
                words.extend(payload[&build]["status"].as_str().map(str::to_owned));
            }
            "update" => {
                assert_eq!(payload["id"], build.as_str());
                output.push_str(payload["line"].as_str().unwrap());
            }
            "history" => check_history(payload),
            event => panic!("{event}"),
        }
        let is_over = event == "history" && payload[0]["id"] == build.as_str();
        events.push(event);
        if is_over {
            break;
        }
    }
    assert_eq!(events[..2], ["history", "status"]);
    assert_eq!(output, service.log(&build).await);
    assert_eq!(
        script_output(&output),
        "first 1\nfirst 2\nfirst 3\nholding\nsecond\n"
    );
    words.dedup();
    assert!(words.contains(&"building".to_owned()), "{words:?}");
    let history = service.get("/build/history").await.json();
    check_history(&history);
    assert_eq!(history[0]["status"], "success");
    assert!(history[0]["monitor"].as_str().unwrap().contains("second\n"));
    // A flist is published by the hub alone, and there is none.
    assert_eq!(history[0]["artifact"], Value::Null);
    assert_eq!(service.get("/build/history/full").await.json(), history);
    assert_eq!(service.get(&format!("/report/{build}")).await.text, output);
}

#[tokio::test]
async fn the_gateway_hears_by_redis_what_the_page_needs() {
    let redis = Redis::start();
    let mut gateway = redis.subscribe().await;
    let service = Service::start_with(with_redis(&redis));
    let first = gateway.next().await;
    assert_eq!(first, ("autobuilder-history".into(), json!([])));
    assert_eq!(
        gateway.next().await,
        ("autobuilder-current".into(), json!({}))
    );

    let app = service.tracked("acme/app").await;
    let loud = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo loud $i; done";
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{loud}\n{HOLD}{RESULT}"))
        .await;
    let begun = Instant::now();
    let before = gateway
        .until(|topic, update| {
            topic == "autobuilder-update" && update["line"].as_str().unwrap().ends_with("holding\n")
        })
        .await;
    gateway
        .until(|topic, _| topic == "autobuilder-current-update")
        .await;
    let most = begun.elapsed().as_millis() / 500 + 2;
    service.release(&build);
    let after = gateway
        .until(|topic, history| {
            topic == "autobuilder-history" && history[0]["id"] == build.as_str()
        })
        .await;
    let mut output = String::new();
    let mut counts = std::collections::HashMap::new();
    for (topic, payload) in before.iter().chain(&after) {
        *counts.entry(topic.as_str()).or_insert(0) += 1;
        match topic.as_str() {
            "autobuilder-update" => {
                assert_eq!(payload.as_object().unwrap().len(), 2);
                assert_eq!(payload["id"], build.as_str());
                output.push_str(payload["line"].as_str().unwrap());
            }
            "autobuilder-history" => check_history(payload),
            _ => check_status(payload),
        }
    }
    assert_eq!(output, service.log(&build).await);
    let of = |topic: &str| counts.get(topic).copied().unwrap_or(0);
    // Of 20,000 lines the old service would have made 20,000 messages and as many states.
    assert!(of("autobuilder-update") < 2000, "{counts:?}");
    let told = before
        .iter()
        .filter(|(topic, _)| topic == "autobuilder-current-update");
    assert!(told.count() as u128 <= most, "{counts:?}");
    assert!(of("autobuilder-current") > 0, "{counts:?}");
    service.wait_for(&build, "succeeded").await;

    assert_eq!(service.get("/build/sync").await.text, "OK");
    gateway
        .until(|topic, _| topic == "autobuilder-history")
        .await;
    assert_eq!(gateway.next().await.0, "autobuilder-current");
    let metrics = service.get("/metrics").await.text;
    assert!(
        metrics.contains("autobuilder_redis_connected{feed=\"legacy_topics\"} 1\n"),
        "{metrics}"
    );
}

/// How often a line of the service's own log says this.
fn said(service: &Service, words: &str) -> usize {
    service.own_log().matches(words).count()
}

const AWAY: &str = "redis does not take the legacy topics";
const BACK: &str = "redis takes the legacy topics";

#[tokio::test]
async fn redis_may_be_away_at_the_start_and_later_and_is_said_so_once() {
    let mut redis = Redis::absent();
    let service = Service::start_with(with_redis(&redis));
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho one\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    assert_eq!((said(&service, AWAY), said(&service, BACK)), (1, 0));

    for round in 1..=2 {
        redis.come();
        let mut gateway = redis.subscribe().await;
        // The present is told once it is connected.
        let messages = gateway
            .until(|topic, _| topic == "autobuilder-current")
            .await;
        let (topic, history) = &messages[0];
        assert_eq!(topic, "autobuilder-history");
        check_history(history);
        assert_eq!(history[0]["id"], build.as_str());
        assert_eq!((said(&service, AWAY), said(&service, BACK)), (round, round));
        redis.go();
        until("it is noticed", async || {
            (said(&service, AWAY) == round + 1).then_some(())
        })
        .await;
        let metrics = service.get("/metrics").await.text;
        assert!(
            metrics.contains("autobuilder_redis_connected{feed=\"legacy_topics\"} 0\n"),
            "{metrics}"
        );
    }
    let log = service.own_log();
    assert!(
        !log.contains(REDIS_PASSWORD) && !log.contains(&redis.url()),
        "{log}"
    );
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_nobody() {
    let redis = Redis::start();
    let mut gateway = redis.subscribe().await;
    let service = Service::start_with(with_redis(&redis));
    gateway
        .until(|topic, _| topic == "autobuilder-current")
        .await;
    redis.freeze(true);
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho one\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    let sync = tokio::time::timeout(Duration::from_secs(5), service.get("/build/sync")).await;
    assert_eq!(sync.expect("it does not wait for redis").text, "OK");
    until("it is noticed", async || {
        (said(&service, AWAY) == 1).then_some(())
    })
    .await;
    redis.freeze(false);
    gateway
        .until(|topic, history| {
            topic == "autobuilder-history" && history[0]["id"] == build.as_str()
        })
        .await;
}
