use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{TOKEN, World};

const STATUS: &str = "/repos/acme/app/commits/main/status";

#[tokio::test]
async fn requests_are_counted_until_none_is_left() {
    let world = World::new().await;
    world.commit();
    world.github.token("other").all();
    let first = world.get(STATUS).await;
    assert_eq!(first.header("x-ratelimit-limit"), Some("5000"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("4999"));
    assert_eq!(first.header("x-ratelimit-resource"), Some("core"));

    world.github.limit(TOKEN, 1, Duration::from_secs(600));
    assert_eq!(world.get(STATUS).await.status, 200);
    let refused = world.get(STATUS).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let reset: u64 = refused
        .header("x-ratelimit-reset")
        .unwrap()
        .parse()
        .unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = reset - now.unwrap().as_secs();
    assert!((590..=601).contains(&left), "{left}");
    world.github.limit_answers(429);
    assert_eq!(world.get(STATUS).await.status, 429);
    let overview = world.get("/rate_limit").await;
    assert_eq!(overview.status, 200);
    assert_eq!(overview.body["rate"]["remaining"], 0);

    let unknown = world.ask_as("Bearer who", "GET", STATUS, &Value::Null, &[]);
    let unknown = unknown.await.unwrap();
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.header("x-ratelimit-limit"), Some("60"));

    let other = world.ask_as("Bearer other", "GET", STATUS, &Value::Null, &[]);
    assert_eq!(other.await.unwrap().status, 200);
    let nobody = world
        .ask_as("", "GET", STATUS, &Value::Null, &[])
        .await
        .unwrap();
    assert_eq!(nobody.header("x-ratelimit-limit"), Some("60"));
}

#[tokio::test]
async fn what_has_not_changed_costs_nothing() {
    let world = World::new().await;
    let commit = world.commit();
    let tag = world.get(STATUS).await.header("etag").unwrap().to_owned();
    let again = async |authorization: &str| {
        let known = [("if-none-match", tag.as_str())];
        let answer = world.ask_as(authorization, "GET", STATUS, &Value::Null, &known);
        answer.await.unwrap()
    };
    let bearer = format!("Bearer {TOKEN}");
    let same = again(&bearer).await;
    assert_eq!(same.status, 304);
    assert_eq!(same.header("x-ratelimit-remaining"), Some("4999"));
    assert_eq!(same.header("etag"), Some(tag.as_str()));
    let nobody = again("").await;
    assert_eq!(nobody.status, 304);
    assert_eq!(nobody.header("x-ratelimit-remaining"), Some("59"));

    let body = serde_json::json!({"state": "success"});
    world
        .post(&format!("/repos/acme/app/statuses/{commit}"), &body)
        .await;
    let changed = again(&bearer).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}
