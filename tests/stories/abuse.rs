//! Strangers who reach the service's address and mean it no good: whatever they do, pushes are
//! heard and built, and others are answered.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Delivery, RESULT, Service, until};

/// From where the flood comes; everybody else asks from 127.0.0.1.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The head of a request to the webhook, which says how its body comes.
fn head(body: &str) -> String {
    format!(
        "POST /build/story/hook HTTP/1.1\r\nhost: 127.0.0.1\r\nx-github-event: push\r\n\
         content-type: application/json\r\n{body}\r\n\r\n"
    )
}

/// Sends a body one byte a second until there is an answer; `began` is told of the second byte.
async fn trickle(
    mut stream: TcpStream,
    piece: &'static [u8],
    began: tokio::sync::mpsc::Sender<()>,
) -> String {
    let mut answer = Vec::new();
    for number in 0.. {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        if number == 1 {
            began.send(()).await.unwrap();
        }
        let pause = Duration::from_secs(1);
        let heard = tokio::time::timeout(pause, stream.read_buf(&mut answer)).await;
        if heard.is_ok() {
            break;
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn bodies_that_trickle_hold_up_no_large_push() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let mut push = app.push("main");
    push.payload["padding"] = "x".repeat(1024 * 1024).into();

    let (began, mut all_began) = tokio::sync::mpsc::channel(20);
    let mut trickles = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (how, piece): (_, &[u8]) = match number % 2 {
            0 => ("content-length: 26214400", b"["),
            _ => ("transfer-encoding: chunked", b"1\r\n[\r\n"),
        };
        let mut stream = service.connect_from(STRANGER).await;
        stream.write_all(head(how).as_bytes()).await.unwrap();
        trickles.spawn(trickle(stream, piece, began.clone()));
    }
    for _ in 0..20 {
        all_began.recv().await.unwrap();
    }

    let asked = Instant::now();
    let answer = service.deliver(&Delivery::of(&push)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let build = &crate::support::builds_in(&answer)[0];
    service.wait_for(build, "succeeded").await;
    while let Some(ended) = trickles.join_next().await {
        assert_eq!(ended.unwrap(), "HTTP/1.1 408 Request Timeout");
    }
}

#[tokio::test]
async fn a_stranger_who_fills_the_room_for_large_bodies_fills_only_its_own() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let mut push = app.push("main");
    push.payload["padding"] = "x".repeat(20 * 1024 * 1024).into();

    // Two of these, of which all but the end was sent, have all that this address may have.
    const LARGE: usize = 13 * 1024 * 1024;
    let request = head(&format!("content-length: {LARGE}"));
    let send = async |length: usize| {
        let mut stream = service.connect_from(STRANGER).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    // One that comes while they are still on their way may take the place of one of them.
    until("the room is full", async || {
        held.push(send(LARGE - 1).await);
        let mut answer = vec![0; 4096];
        let length = send(LARGE).await.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
        let is_full = answer.starts_with("http/1.1 503");
        assert!(!is_full || answer.contains("\r\nretry-after: "), "{answer}");
        is_full.then_some(())
    })
    .await;

    let answer = service.deliver(&Delivery::of(&push)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let build = &crate::support::builds_in(&answer)[0];
    service.wait_for(build, "succeeded").await;
    drop(held);
}

#[tokio::test]
async fn a_flood_of_connections_keeps_nobody_out() {
    let service = Service::start_with_files(256, json!({}));
    let app = service.tracked("acme/app").await;
    let long = "yes 'a line of a log that nobody reads' | head -c 20000000\n";
    let first = service
        .push_script(&app, &format!("#!/bin/sh\n{long}{RESULT}"))
        .await;
    service.wait_for(&first, "succeeded").await;

    // Some never finish their request, others never read the answer.
    let unread = format!("GET /api/v1/builds/{first}/log HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    let mut flood = Vec::new();
    for number in 0..400 {
        let mut stream = service.connect_from(STRANGER).await;
        let said = match number % 2 {
            0 => "GET / HTTP/1.1\r\n",
            _ => &unread,
        };
        // Who is turned away at once may notice it here.
        let _ = stream.write_all(said.as_bytes()).await;
        flood.push(stream);
    }

    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(service.get("/healthz").await.status, 200);
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho still\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;

    let refused = "autobuilder_connections_refused_total";
    assert!(service.metric(refused).await > 300);
    assert!(service.metric("autobuilder_connections").await < 128);
    // They are ended for what they do not do, and this stranger may come again.
    until("the flood is over", async || {
        (service.metric("autobuilder_connections").await < 10).then_some(())
    })
    .await;
    let mut again = service.connect_from(STRANGER).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    again.write_all(request).await.unwrap();
    let mut answer = String::new();
    again.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(flood);
}

#[tokio::test]
async fn deliveries_that_are_not_signed_are_limited_and_signed_ones_are_not() {
    let service = Service::start();
    let ping = || Delivery::event("ping", b"{}".to_vec());
    let forged = Delivery {
        signature: None,
        ..ping()
    };
    let refused = async || {
        let mut stream = service.connect_from(STRANGER).await;
        let request = head("content-length: 2\r\nconnection: close") + "{}";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.to_lowercase()
    };
    let mut limited = String::new();
    for _ in 0..200 {
        limited = refused().await;
        if !limited.starts_with("http/1.1 401") {
            break;
        }
    }
    assert!(limited.starts_with("http/1.1 429"), "{limited}");
    assert!(limited.contains("\r\nretry-after: "), "{limited}");

    for _ in 0..20 {
        let many = (0..50).map(|_| async { service.deliver(&ping()).await.status });
        let statuses = futures_util::future::join_all(many).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    assert_eq!(service.deliver(&forged).await.status, 401);
    let warnings = service.own_log();
    let warnings = warnings.matches("a webhook delivery was refused").count();
    assert!((1..=20).contains(&warnings), "{warnings} lines");
    let outcome =
        |name: &str| format!("autobuilder_webhook_deliveries_total{{outcome=\"{name}\"}}");
    assert!(service.metric(&outcome("limited")).await >= 1);
    assert!(service.metric(&outcome("unsigned")).await >= 10);
}
