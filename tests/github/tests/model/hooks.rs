use github_model::{Hook, May};
use serde_json::{Value, json};

use crate::support::World;

const HOOKS: &str = "/repos/acme/app/hooks";

fn config(url: &str) -> Value {
    json!({"url": url, "content_type": "json", "secret": "s3cret"})
}

#[tokio::test]
async fn a_hook_is_made_changed_and_deleted() {
    let world = World::new().await;
    // Nobody answers there: the ping is lost.
    let body = json!({"config": config("http://127.0.0.1:1/a"), "events": ["push"]});
    let made = world.post(HOOKS, &body).await;
    assert_eq!(made.status, 201, "{}", made.message());
    assert_eq!(made.body["config"]["secret"], "********");
    assert_eq!(made.body["active"], true);
    let path = format!("{HOOKS}/{}", made.body["id"]);

    let change = json!({"active": false, "add_events": ["release"]});
    let changed = world.ask("PATCH", &path, &change).await.unwrap();
    assert_eq!(changed.body["events"], json!(["push", "release"]));
    assert_eq!(changed.body["config"], made.body["config"]);
    assert_eq!(
        world.github.hooks("acme/app")[0].secret.as_deref(),
        Some("s3cret")
    );

    let change = json!({"config": {"url": "http://127.0.0.1:1/b"}, "events": ["push"]});
    let changed = world.ask("PATCH", &path, &change).await.unwrap();
    assert_eq!(changed.status, 200);
    assert_eq!(
        changed.body["config"],
        json!({"url": "http://127.0.0.1:1/b", "content_type": "form", "insecure_ssl": "0"})
    );
    assert_eq!(changed.body["active"], false);
    let hook = &world.github.hooks("acme/app")[0];
    assert_eq!((&hook.secret, hook.content_type.as_str()), (&None, "form"));

    assert_eq!(
        world
            .ask("DELETE", &path, &Value::Null)
            .await
            .unwrap()
            .status,
        204
    );
    assert!(world.github.hooks("acme/app").is_empty());
    assert_eq!(world.get(&path).await.status, 404);
}

#[tokio::test]
async fn all_hooks_come_in_pages() {
    let world = World::new().await;
    for number in 0..35 {
        let hook = Hook::new(&format!("http://127.0.0.1:1/{number}"));
        world.github.hook("acme/app", hook);
    }
    let first = world.get(HOOKS).await;
    assert_eq!(first.body.as_array().unwrap().len(), 30);
    let link = first.header("link").unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap();
    let next = next.strip_prefix(&world.github.url()).unwrap();
    let second = world.get(next).await;
    assert_eq!(second.body.as_array().unwrap().len(), 5);
    assert_eq!(second.body[4]["config"]["url"], "http://127.0.0.1:1/34");
    assert!(!second.header("link").unwrap().contains("rel=\"next\""));
}

#[tokio::test]
async fn copies_and_the_twenty_first_are_refused() {
    let world = World::new().await;
    let make = async |number: usize, events: &[&str]| {
        let config = config(&format!("http://127.0.0.1:1/{number}"));
        let body = json!({"config": config, "events": events});
        let answer = world.post(HOOKS, &body).await;
        (answer.status, answer.message())
    };
    assert_eq!(make(0, &["push", "release"]).await.0, 201);
    let copy = make(0, &["push"]).await;
    assert_eq!(copy.0, 422);
    assert_eq!(
        copy.1,
        "Validation Failed: Hook already exists on this repository"
    );
    assert_eq!(make(0, &["star"]).await.0, 201, "no event in common");
    for number in 1..20 {
        assert_eq!(make(number, &["push"]).await.0, 201);
    }
    let last = make(20, &["push"]).await;
    assert_eq!(last.0, 422);
    assert!(
        last.1.contains("cannot have more than 20 hooks"),
        "{}",
        last.1
    );
    assert_eq!(make(20, &["star"]).await.0, 201);
    let nowhere = world.post(HOOKS, &json!({"config": {}})).await;
    assert_eq!(nowhere.status, 422);
}

#[tokio::test]
async fn who_is_no_administrator_sees_no_hooks() {
    let world = World::new().await;
    world
        .github
        .token("author")
        .may(&[May::Read, May::Statuses]);
    for (authorization, status) in [("Bearer author", 404), ("", 404), ("Bearer who", 401)] {
        let answer = world.ask_as(authorization, "GET", HOOKS, &Value::Null, &[]);
        assert_eq!(answer.await.unwrap().status, status, "{authorization}");
    }
    world
        .github
        .token("author")
        .may_in("acme/app", &[May::Hooks]);
    let answer = world.ask_as("Bearer author", "GET", HOOKS, &Value::Null, &[]);
    assert_eq!(answer.await.unwrap().status, 200);
}
