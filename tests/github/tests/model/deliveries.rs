use std::time::Duration;

use github_model::Times::Next;
use github_model::{Delivery, Event, Hook, NO_COMMIT, Outcome, Post};
use serde_json::{Value, json};

use crate::support::{World, receiver, until};

/// A hook of `acme/app` that leads to this server.
fn hook(world: &World, url: &str) -> u64 {
    let hook = Hook {
        content_type: "json".to_owned(),
        secret: Some("s3cret".to_owned()),
        ..Hook::new(url)
    };
    world.github.hook("acme/app", hook)
}

fn answered(status: u16) -> Outcome {
    let body = String::new();
    Outcome::Answered { status, body }
}

fn payloads(deliveries: &[Delivery]) -> Vec<&Value> {
    deliveries
        .iter()
        .map(|delivery| &delivery.payload)
        .collect()
}

#[tokio::test]
async fn a_push_reaches_the_hooks_that_hear_of_pushes() {
    let world = World::new().await;
    let receiver = receiver(202).await;
    let id = hook(&world, &format!("{}/build", receiver.uri()));
    let deaf = Hook {
        events: vec!["release".to_owned()],
        ..Hook::new(&receiver.uri())
    };
    world.github.hook("acme/app", deaf);
    let off = Hook {
        active: false,
        ..Hook::new(&receiver.uri())
    };
    world.github.hook("acme/app", off);

    let commit = world.commit();
    let told = world.github.notice("acme/app").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].outcome, answered(202));
    assert!(world.github.notice("acme/app").await.is_empty());

    let received = receiver.received_requests().await.unwrap();
    assert_eq!(received.len(), 1);
    let header = |name: &str| received[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(received[0].url.path(), "/build");
    assert_eq!(header("x-github-event"), "push");
    assert_eq!(header("x-github-hook-id"), id.to_string());
    assert_eq!(header("x-github-delivery"), told[0].guid);
    assert_eq!(header("content-type"), "application/json");
    assert!(header("user-agent").starts_with("GitHub-Hookshot/"));
    assert!(header("x-hub-signature-256").starts_with("sha256="));
    let payload: Value = received[0].body_json().unwrap();
    assert_eq!(payload["ref"], "refs/heads/main");
    assert_eq!(payload["before"], NO_COMMIT);
    assert_eq!(payload["after"], commit);
    assert_eq!(payload["created"], true);
    assert_eq!(payload["repository"]["full_name"], "acme/app");
    assert_eq!(payload["head_commit"]["message"], "A change");
    assert_eq!(world.github.hooks("acme/app")[0].last_response.0, Some(202));
}

#[tokio::test]
async fn a_payload_says_what_the_push_changed() {
    let world = World::new().await;
    let receiver = receiver(200).await;
    let clone = world.clone_of("acme/app");
    let first = clone.commit("First", &[("kept", "1"), ("gone", "1")]);
    clone.git(&["push", "--quiet", "origin", "HEAD:main"]);
    world.github.notice("acme/app").await;
    hook(&world, &receiver.uri());

    clone.commit(
        "Second\n\nwith a body",
        &[("kept", "2"), ("new\nline", "1")],
    );
    clone.remove("gone");
    let third = clone.commit("Third", &[]);
    clone.git(&["push", "--quiet", "origin", "HEAD:main", "HEAD:release"]);
    let told = world.github.notice("acme/app").await;
    let payloads = payloads(&told);
    let main = payloads[0];
    assert_eq!(
        (&main["before"], &main["after"]),
        (&json!(first), &json!(third))
    );
    assert_eq!(
        (&main["created"], &main["forced"]),
        (&json!(false), &json!(false))
    );
    let commits = main["commits"].as_array().unwrap();
    assert_eq!(commits.len(), 2);
    assert_eq!(commits[0]["message"], "Second\n\nwith a body");
    assert_eq!(commits[0]["modified"], json!(["kept"]));
    assert_eq!(commits[0]["added"], json!(["new\nline"]));
    assert_eq!(commits[1]["removed"], json!(["gone"]));
    assert_eq!(commits[1], main["head_commit"]);
    let release = payloads[1];
    assert_eq!(release["ref"], "refs/heads/release");
    assert_eq!(release["base_ref"], "refs/heads/main");

    clone.git(&["reset", "--quiet", "--hard", &first]);
    clone.git(&["push", "--quiet", "origin", "+HEAD:main", ":release"]);
    let told = world.github.notice("acme/app").await;
    assert_eq!(told[0].payload["forced"], true);
    assert_eq!(told[0].payload["commits"], json!([]));
    assert_eq!(told[1].payload["deleted"], true);
    assert_eq!(told[1].payload["after"], NO_COMMIT);
    assert_eq!(told[1].payload["head_commit"], Value::Null);
}

#[tokio::test]
async fn tags_are_told_of_up_to_three() {
    let world = World::new().await;
    let receiver = receiver(200).await;
    hook(&world, &receiver.uri());
    let clone = world.clone_of("acme/app");
    let commit = clone.commit("First", &[]);
    clone.git(&["tag", "--annotate", "--message", "A release", "v1"]);
    clone.git(&["push", "--quiet", "origin", "HEAD:main", "v1"]);
    let told = world.github.notice("acme/app").await;
    let tag = &told[1].payload;
    assert_eq!(tag["ref"], "refs/tags/v1");
    assert_eq!(tag["after"], clone.git(&["rev-parse", "v1"]));
    assert_ne!(
        tag["after"],
        json!(commit),
        "the tag is an object of its own"
    );
    assert_eq!(tag["head_commit"]["id"], json!(commit));
    assert_eq!(tag["base_ref"], "refs/heads/main");

    for tag in ["a", "b", "c", "d"] {
        clone.git(&["tag", tag]);
    }
    clone.git(&["push", "--quiet", "--tags", "origin"]);
    assert!(world.github.notice("acme/app").await.is_empty());
}

#[tokio::test]
async fn a_new_hook_is_pinged() {
    let world = World::new().await;
    let receiver = receiver(200).await;
    let body = json!({"config": {"url": receiver.uri(), "content_type": "form"}});
    let made = world.post("/repos/acme/app/hooks", &body).await;
    let answered = || {
        let deliveries = world.github.deliveries("acme/app");
        deliveries
            .iter()
            .filter(|ping| ping.outcome == answered(200))
            .count()
    };
    until("the ping", || answered() == 1).await;
    let path = format!("/repos/acme/app/hooks/{}/pings", made.body["id"]);
    assert_eq!(world.post(&path, &Value::Null).await.status, 204);
    until("another ping", || answered() == 2).await;
    let received = receiver.received_requests().await.unwrap();
    assert_eq!(received[0].headers["x-github-event"], "ping");
    assert!(received[0].body.starts_with(b"payload=%7B"));
}

#[tokio::test]
async fn deliveries_are_lost_doubled_and_reordered() {
    let world = World::new().await;
    let receiver = receiver(200).await;
    hook(&world, &receiver.uri());
    let clone = world.clone_of("acme/app");
    let push = async |branch: &str| {
        clone.commit(branch, &[]);
        clone.git(&[
            "push",
            "--quiet",
            "origin",
            &format!("HEAD:refs/heads/{branch}"),
        ]);
        world.github.notice("acme/app").await
    };
    world.github.post(Next(1), Post::Drop);
    world.github.post(Next(1), Post::Twice);
    world.github.post(Next(2), Post::Hold);
    world
        .github
        .post(Next(1), Post::Delay(Duration::from_millis(50)));
    let lost = push("lost").await;
    assert_eq!(lost[0].outcome, Outcome::Dropped);
    let twice = push("twice").await;
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0].guid, twice[1].guid);
    let (older, newer) = (push("older").await, push("newer").await);
    assert_eq!(older[0].outcome, Outcome::Held);
    assert_eq!(
        world.github.release(newer[0].id).await.outcome,
        answered(200)
    );
    assert_eq!(
        world.github.release(older[0].id).await.outcome,
        answered(200)
    );
    let redelivered = world.github.redeliver(lost[0].id).await;
    assert_eq!(redelivered.guid, lost[0].guid);
    let late = push("late").await;
    assert_eq!(late[0].outcome, Outcome::Waiting);
    until("the late one", || {
        let deliveries = world.github.deliveries("acme/app");
        deliveries.last().unwrap().outcome == answered(200)
    })
    .await;

    let received = receiver.received_requests().await.unwrap();
    let refs: Vec<_> = received
        .iter()
        .map(|request| request.body_json::<Value>().unwrap()["ref"].clone())
        .collect();
    let order = ["twice", "twice", "newer", "older", "lost", "late"];
    assert_eq!(
        refs,
        order.map(|branch| json!(format!("refs/heads/{branch}")))
    );
}

#[tokio::test]
async fn a_watched_folder_tells_by_itself() {
    let world = World::new().await;
    let receiver = receiver(500).await;
    hook(&world, &receiver.uri());
    let mut events = world.github.events();
    world.github.watch(Duration::from_millis(20));
    let found = world.github.folder().join("acme/found");
    std::fs::create_dir_all(&found).unwrap();
    let clone = world.clone_of("acme/found");
    clone.git(&["init", "--quiet", "--bare", found.to_str().unwrap()]);
    until("the new repository", || world.github.view().len() == 2).await;
    let commit = world.commit();
    let mut next = async || {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
        event.expect("an event in time").unwrap()
    };
    let changed = next().await;
    assert!(matches!(&changed, Event::RefChanged { after, .. } if *after == commit));
    let delivered = next().await.to_string();
    assert!(delivered.contains("acme/app push"), "{delivered}");
    assert!(delivered.ends_with("answered 500"), "{delivered}");

    std::fs::remove_dir_all(found).unwrap();
    until("its end", || world.github.view().len() == 1).await;

    // Nobody listens any more: that is told, too.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    hook(&world, &format!("http://{address}"));
    let told = world
        .github
        .tell("acme/app", "refs/heads/x", NO_COMMIT, &commit)
        .await;
    assert!(
        matches!(told[1].outcome, Outcome::Failed(_)),
        "{:?}",
        told[1].outcome
    );
}
