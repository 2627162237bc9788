//! The live WebSocket: all bytes and all changes, once each, whatever the client does.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::support::{From, HOLD, RESULT, SOON, Service, script_output};

/// A few thousand lines, a pause for the story, and as many again.
fn script() -> String {
    format!(
        "#!/bin/sh
i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo first half, line $i; done
{HOLD}
i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo second half, line $i; done
{RESULT}"
    )
}

#[tokio::test]
async fn followers_get_every_byte_from_wherever_they_begin() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &script()).await;

    let mut from_start = service.live().await;
    from_start.follow(&build, From::Offset(0)).await;
    from_start
        .take_until("the first half", |live| {
            live.followed(&build).bytes.ends_with(b"holding\n")
        })
        .await;
    // These begin while the build runs, in what is there and at its end.
    let (mut from_line, mut from_tail, mut from_offset) = (
        service.live().await,
        service.live().await,
        service.live().await,
    );
    from_line.follow(&build, From::Line(100)).await;
    from_tail.follow(&build, From::Tail(10)).await;
    from_offset.follow(&build, From::Offset(12_345)).await;
    for live in [&mut from_line, &mut from_tail, &mut from_offset] {
        live.take_until("what is there", |live| {
            live.followed(&build).bytes.ends_with(b"holding\n")
        })
        .await;
    }
    service.release(&build);

    let whole = from_start.until_the_end_of(&build).await;
    service.wait_for(&build, "succeeded").await;
    let log = service.log(&build).await;
    assert_eq!((whole.offset, whole.line), (0, 1));
    assert_eq!(String::from_utf8(whole.bytes).unwrap(), log);
    assert_eq!(script_output(&log).lines().count(), 6001);

    let by_line = from_line.until_the_end_of(&build).await;
    let first_99: usize = log.split_inclusive('\n').take(99).map(str::len).sum();
    assert_eq!((by_line.offset as usize, by_line.line), (first_99, 100));
    assert_eq!(by_line.bytes, log.as_bytes()[first_99..]);
    let by_tail = from_tail.until_the_end_of(&build).await;
    let begun = by_tail.offset as usize;
    assert!(
        log[..begun].ends_with('\n') && log[begun..].starts_with("first half, line 299"),
        "{begun}"
    );
    assert_eq!(by_tail.bytes, log.as_bytes()[begun..]);
    let by_offset = from_offset.until_the_end_of(&build).await;
    assert_eq!(by_offset.bytes, log.as_bytes()[12_345..]);
    assert_eq!(
        by_offset.line,
        1 + log[..12_345].matches('\n').count() as u64
    );
}

#[tokio::test]
async fn who_comes_back_at_an_offset_misses_and_repeats_nothing() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &script()).await;
    let mut bytes = Vec::new();
    let mut revision = 0;
    // Gone in the middle of the first half, then the service itself is gone.
    for service_dies in [false, true] {
        let mut live = service.live().await;
        live.builds_since(Some(revision)).await;
        live.follow(&build, From::Offset(bytes.len() as u64)).await;
        live.take_until("some more", |live| {
            live.followed(&build).bytes.len() > 20_000
        })
        .await;
        bytes.extend(live.followed(&build).bytes);
        revision = live
            .changes
            .iter()
            .map(revision_of)
            .max()
            .unwrap_or(revision);
        if service_dies {
            service.kill();
            service.start_again();
        }
    }
    let mut live = service.live().await;
    live.builds_since(Some(revision)).await;
    live.follow(&build, From::Offset(bytes.len() as u64)).await;
    service.wait_for_log(&build, "holding").await;
    service.release(&build);
    bytes.extend(live.until_the_end_of(&build).await.bytes);
    service.wait_for(&build, "succeeded").await;
    assert!(
        bytes == service.log(&build).await.as_bytes(),
        "what came differs from the log"
    );
    live.take_until("the build's end", |live| {
        live.changes
            .last()
            .is_some_and(|change| change["build"]["state"] == "succeeded")
    })
    .await;
    assert!(live.changes.iter().map(revision_of).is_sorted());
    assert!(
        live.changes
            .iter()
            .all(|change| revision_of(change) > revision)
    );
}

fn revision_of(change: &serde_json::Value) -> u64 {
    change["revision"].as_u64().unwrap()
}

#[tokio::test]
async fn changes_of_builds_come_in_order_and_from_the_revision_that_was_named() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let mut live = service.live().await;
    assert_eq!(live.hello["instance"], service.instance());
    let before = live.hello["revision"].as_u64().unwrap();
    live.builds_since(None).await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    live.take_until("it builds", |live| {
        live.changes
            .iter()
            .any(|change| change["build"]["state"] == "building")
    })
    .await;
    service.release(&build);
    live.take_until("it ends", |live| {
        live.changes
            .last()
            .is_some_and(|change| change["build"]["state"] == "succeeded")
    })
    .await;
    assert!(
        live.changes
            .iter()
            .all(|change| change["build"]["id"] == build.as_str())
    );
    assert!(
        live.changes
            .windows(2)
            .all(|pair| revision_of(&pair[0]) < revision_of(&pair[1]))
    );
    let newest = live.changes.last().unwrap();
    assert_eq!(newest["build"], service.build(&build).await);

    // Somebody who was not there gets the newest state of what changed.
    let mut late = service.live().await;
    late.builds_since(Some(before)).await;
    late.take_until("the build", |live| !live.changes.is_empty())
        .await;
    assert_eq!(&late.changes[0], newest);
    late.builds_since(Some(revision_of(newest))).await;
    assert!(late.is_silent_for(Duration::from_millis(300)).await);
}

#[tokio::test]
async fn mistakes_are_answered_and_the_connection_stays() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;

    let mut live = service.live().await;
    live.follow("nosuchbuild1", From::Offset(0)).await;
    live.send(json!({"type": "dance"})).await;
    live.send(json!({"type": "follow"})).await;
    live.take_until("three errors", |live| live.errors.len() == 3)
        .await;
    assert!(
        live.errors
            .iter()
            .all(|error| error["error"].is_string() && error["hint"].is_string())
    );
    assert_eq!(live.errors[0]["build"], "nosuchbuild1");
    live.follow(&build, From::Offset(0)).await;
    let log = live.until_the_end_of(&build).await;
    assert_eq!(log.bytes, service.log(&build).await.as_bytes());
}

#[tokio::test]
async fn a_build_that_waits_can_be_followed_before_it_has_a_log() {
    let service = Service::start_with(json!({"builds": {"concurrency": 1, "supersede": false}}));
    let app = service.tracked("acme/app").await;
    let running = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    let waiting = service
        .push_script(&app, &format!("#!/bin/sh\necho my turn\n{RESULT}"))
        .await;
    let mut live = service.live().await;
    live.follow(&waiting, From::Offset(0)).await;
    service.wait_for_log(&running, "holding").await;
    service.release(&running);
    let log = live.until_the_end_of(&waiting).await;
    assert_eq!(
        script_output(&String::from_utf8(log.bytes).unwrap()),
        "my turn\n"
    );
    service.wait_for(&waiting, "succeeded").await;
}

#[tokio::test]
async fn a_client_that_never_reads_disturbs_nobody() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let lines = 400_000;
    let build = service
        .push_script(
            &app,
            &format!("#!/bin/sh\n{HOLD}i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i for those who read; done\n{RESULT}"),
        )
        .await;
    service.wait_for_log(&build, "holding").await;
    // It asks for everything, ten times over, and then reads nothing of it.
    let sleeper = service.sleeper(Ipv4Addr::LOCALHOST, &build, 0).await;
    let mut sleeper = sleeper.into_stream();
    let mut reader = service.live().await;
    reader.follow(&build, From::Offset(0)).await;
    service.release(&build);
    let read = reader.until_the_end_of(&build).await;
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(
        read.bytes.len() as u64,
        ended["log"]["bytes"].as_u64().unwrap()
    );
    assert!(read.bytes == service.log(&build).await.as_bytes());

    // It is let go in the end; until then, nothing waits for it.
    let one_is_left = |metrics: &str| {
        let mut lines = metrics.lines();
        lines.any(|line| line == "autobuilder_live_clients 1")
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !one_is_left(&service.get("/metrics").await.text) {
        assert!(Instant::now() < deadline, "it is still served");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut rest = Vec::new();
    let reset = tokio::time::timeout(SOON, sleeper.read_to_end(&mut rest)).await;
    let reset = reset.expect("what it did not take is not kept for it");
    assert_eq!(reset.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(
        rest.len() < read.bytes.len(),
        "only what fits into the buffers of a socket was sent"
    );
}
