use std::time::{Duration, Instant};

use github_model::Times::{Next, UntilLifted};
use github_model::{Answer, Route};
use serde_json::{Value, json};

use crate::support::World;

/// Sets a status; what was answered, and how many statuses the model then has.
async fn set(world: &World, commit: &str) -> (Option<u16>, usize) {
    let path = format!("/repos/acme/app/statuses/{commit}");
    let answer = world.ask("POST", &path, &json!({"state": "success"})).await;
    let count = world.github.all_statuses("acme/app").len();
    (answer.map(|answer| answer.status), count)
}

#[tokio::test]
async fn requests_fail_as_often_as_was_said() {
    let world = World::new().await;
    let commit = world.commit();
    let github = &world.github;
    github.fail(Next(2), Route::Statuses, Answer::status(502));
    github.fail(Next(1), Route::Statuses, Answer::status(503).applied());
    assert_eq!(set(&world, &commit).await, (Some(502), 0));
    assert_eq!(world.get("/repos/acme/app/hooks").await.status, 200);
    assert_eq!(set(&world, &commit).await, (Some(502), 0));
    assert_eq!(set(&world, &commit).await, (Some(503), 1));
    assert_eq!(set(&world, &commit).await, (Some(201), 2));

    let lasting = github.fail(UntilLifted, Route::Any, Answer::status(500));
    for _ in 0..3 {
        assert_eq!(set(&world, &commit).await, (Some(500), 2));
    }
    github.lift(lasting);
    assert_eq!(set(&world, &commit).await, (Some(201), 3));
    let asked = github.requests_to(Route::Statuses.of("acme/app").by("POST"));
    let answers: Vec<_> = asked.iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(answers, [502, 502, 503, 201, 500, 500, 500, 201]);
}

#[tokio::test]
async fn a_connection_ends_without_an_answer() {
    let world = World::new().await;
    let commit = world.commit();
    world.github.fail(Next(1), Route::Statuses, Answer::cut());
    world.github.fail(Next(1), Route::Statuses, Answer::lost());
    assert_eq!(set(&world, &commit).await, (None, 0));
    assert_eq!(set(&world, &commit).await, (None, 1));
    assert_eq!(set(&world, &commit).await, (Some(201), 2));
    let answers: Vec<_> = world
        .github
        .requests()
        .iter()
        .map(|seen| seen.status)
        .collect();
    assert_eq!(answers, [None, None, Some(201)]);
}

#[tokio::test]
async fn answers_are_late_limited_or_garbage() {
    let world = World::new().await;
    let commit = world.commit();
    let delay = Duration::from_millis(300);
    world
        .github
        .fail(Next(1), Route::Statuses, Answer::late(delay));
    let begun = Instant::now();
    assert_eq!(set(&world, &commit).await, (Some(201), 1));
    assert!(begun.elapsed() >= delay);

    let wait = Some(Duration::from_secs(7));
    world
        .github
        .fail(Next(1), Route::Hooks, Answer::secondary_limit(wait));
    let limited = world.get("/repos/acme/app/hooks").await;
    assert_eq!(limited.status, 403);
    assert_eq!(limited.header("retry-after"), Some("7"));
    assert_eq!(limited.header("x-ratelimit-remaining"), Some("4999"));
    assert!(limited.message().contains("secondary rate limit"));

    world.github.fail(Next(1), Route::Hooks, Answer::garbage());
    let garbage = world.get("/repos/acme/app/hooks").await;
    assert_eq!((garbage.status, &garbage.body), (200, &Value::Null));
    assert_eq!(garbage.header("content-type"), Some("text/html"));
}

#[tokio::test]
async fn a_server_that_is_down_refuses_connections_and_comes_back_as_it_was() {
    let world = World::new().await;
    let commit = world.commit();
    assert_eq!(set(&world, &commit).await, (Some(201), 1));
    let address = world.github.url().replace("http://", "");
    for _ in 0..2 {
        world.github.down().await;
        let refused = tokio::net::TcpStream::connect(&address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        world.github.up().await;
        assert_eq!(
            world
                .get("/repos/acme/app/commits/main/status")
                .await
                .status,
            200
        );
    }
    assert_eq!(set(&world, &commit).await, (Some(201), 2));
}
