//! Commands against a real service on a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::client::Client;
use super::follow::{From, follow};
use super::server::Server;
use crate::domain::build::State;
use crate::http::tests::{Fixture, TOKEN, serve_at};

fn client(address: SocketAddr, token: Option<&str>) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{address}").parse().unwrap();
    let token = token.map(str::to_owned);
    Client::new(Server {
        url,
        token,
        is_hashed: false,
    })
    .unwrap()
}

#[tokio::test]
async fn a_followed_log_survives_a_restart_of_the_service() {
    let fixture = Fixture::new();
    let id = fixture.push('a').await.remove(0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    writer.append(1_000, 0, b"before\n").unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, served) = serve_at(listener, &fixture);

    let seen = Arc::new(AtomicUsize::new(0));
    let (first_seen, first) = oneshot::channel();
    let following = {
        let (seen, id) = (Arc::clone(&seen), id.clone());
        let mut first_seen = Some(first_seen);
        tokio::spawn(async move {
            let mut log = Vec::new();
            let mut write = |bytes: &[u8]| {
                log.extend_from_slice(bytes);
                seen.store(log.len(), Ordering::SeqCst);
                if let Some(told) = first_seen.take() {
                    told.send(()).unwrap();
                }
                Ok(())
            };
            let client = client(address, None);
            let result = follow(&client, id.as_str(), From::Offset(0), &mut write).await;
            result.map(|()| log)
        })
    };
    first.await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap();
    writer.append(1_000, 7, b"while away\n").unwrap();

    let listener = TcpListener::bind(address).await.unwrap();
    let (_stop, _served) = serve_at(listener, &fixture);
    writer.append(1_000, 18, b"after\n").unwrap();
    writer.finish().unwrap();
    fixture.web.service.logs.closed(&id);
    fixture
        .advance(&id, &[State::Building, State::Failed])
        .await;
    assert_eq!(
        following.await.unwrap().unwrap(),
        b"before\nwhile away\nafter\n"
    );
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, _served) = serve_at(listener, &fixture);
    let client = client(address, Some("wrong"));
    let url = client.api(&["builds"]).unwrap();
    let problem = client.post(url, &serde_json::json!({})).await.unwrap_err();
    assert_eq!(problem.error, "this is not the API token");
    assert!(problem.hint.starts_with("set AUTOBUILDER_TOKEN"));

    // What a person types is one part of the path, whatever it is.
    let url = client.api(&["builds", "../../healthz?x", "log"]).unwrap();
    let problem = client.get(url).await.unwrap_err();
    assert!(
        problem.error.starts_with("there is no build"),
        "{}",
        problem.error
    );

    let missing = "0123456789ab";
    let problem = follow(&client, missing, From::Offset(0), &mut |_| Ok(()))
        .await
        .unwrap_err();
    assert_eq!(problem.error, "there is no build 0123456789ab");
}

#[tokio::test]
async fn a_private_service_is_watched_with_the_token() {
    let fixture = Fixture::new();
    fixture.configure(|config| config.monitor.private = true);
    let id = fixture.built('a', b"text\n").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, _served) = serve_at(listener, &fixture);
    for (token, error) in [
        (None, "this needs the API token"),
        (Some("wrong"), "this is not the API token"),
    ] {
        let client = client(address, token);
        let read = client.get(client.api(&["builds"]).unwrap()).await;
        let followed = follow(&client, id.as_str(), From::Offset(0), &mut |_| Ok(())).await;
        for problem in [read.unwrap_err(), followed.unwrap_err()] {
            assert_eq!(problem.error, error);
            assert!(problem.hint.starts_with("set AUTOBUILDER_TOKEN"));
        }
    }
    let client = client(address, Some(TOKEN));
    client.get(client.api(&["builds"]).unwrap()).await.unwrap();
    let mut log = Vec::new();
    let mut write = |bytes: &[u8]| {
        log.extend_from_slice(bytes);
        Ok(())
    };
    follow(&client, id.as_str(), From::Offset(0), &mut write)
        .await
        .unwrap();
    assert_eq!(log, b"text\n");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(address, None);
    let problem = client
        .get(client.api(&["builds"]).unwrap())
        .await
        .unwrap_err();
    let expected = format!("no service answers at http://{address}/: ");
    assert!(problem.error.starts_with(&expected), "{}", problem.error);
    assert!(
        follow(&client, "0123456789ab", From::Offset(0), &mut |_| Ok(()))
            .await
            .is_err()
    );
}
