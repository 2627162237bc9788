//! Signing in, and a service that only those who are signed in may watch.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, http};

use crate::support::{Answer, HOLD, RESULT, Service, until};

const TOKEN: &str = "a-token-for-changes";
const SESSION: &str = "/api/v1/session";

/// Signs in as the monitor's page does, and returns what the browser would send back.
async fn sign_in(service: &Service) -> String {
    let request = service
        .request(Method::POST, SESSION)
        .header("origin", service.url(""))
        .json(&json!({"token": TOKEN}));
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.header("set-cookie");
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-autobuilder="), "{cookie}");
    assert_eq!(
        attributes,
        "Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure"
    );
    assert!(!cookie.contains(TOKEN), "{cookie}");
    pair.to_owned()
}

async fn get_with(service: &Service, path: &str, header: (&str, &str)) -> Answer {
    Answer::of(
        service
            .request(Method::GET, path)
            .header(header.0, header.1),
    )
    .await
}

async fn is_signed_in(service: &Service, cookie: &str) -> bool {
    let session = get_with(service, SESSION, ("cookie", cookie)).await.json();
    session["signed_in"].as_bool().unwrap()
}

#[tokio::test]
async fn a_session_cancels_a_build_from_our_own_page_and_ends_with_its_token() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;
    let cookie = sign_in(&service).await;

    let cancel = async |origin: &[(&str, &str)]| {
        let path = format!("/api/v1/builds/{build}/cancel");
        let mut request = service
            .request(Method::POST, &path)
            .header("cookie", &cookie);
        for (name, value) in origin {
            request = request.header(*name, *value);
        }
        Answer::of(request.json(&json!({}))).await
    };
    for foreign in [
        &[][..],
        &[("origin", "http://evil.example.org")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let refused = cancel(foreign).await;
        assert_eq!(refused.status, 403, "{foreign:?}");
        let error = refused.error();
        assert!(error.contains("the monitor's own page"), "{error}");
    }
    assert_eq!(service.state(&build).await, "building");
    let own = service.url("");
    let cancelled = cancel(&[("origin", &own)]).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    assert_eq!(service.state(&build).await, "cancelled");

    // It outlives the service, and not the token it was begun with.
    assert_eq!(service.terminate().code(), Some(0));
    service.start_again();
    assert!(is_signed_in(&service, &cookie).await);
    service.change_settings(json!({"api_token": "another-token"}));
    until("the session has ended", async || {
        (!is_signed_in(&service, &cookie).await).then_some(())
    })
    .await;
    assert!(!service.own_log().contains(TOKEN));
    let (_, value) = cookie.split_once('=').unwrap();
    assert!(!service.own_log().contains(value));
}

/// Whether a live connection is let in; its status where it is not.
async fn connect(service: &Service, path: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
    let url = service.url(path).replace("http://", "ws://");
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name = http::HeaderName::try_from(*name).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok(_) => Ok(()),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test]
async fn a_private_service_shows_nothing_to_strangers() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho seen\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    // It comes into force while the service runs.
    service.change_settings(json!({"monitor": {"private": true}}));
    until("the service is private", async || {
        let session: Value = service.get(SESSION).await.json();
        (session["private"] == true).then_some(())
    })
    .await;
    let cookie = sign_in(&service).await;
    let bearer = format!("Bearer {TOKEN}");

    for path in [
        "/api/v1/builds".to_owned(),
        format!("/api/v1/builds/{build}"),
        format!("/api/v1/builds/{build}/log"),
        format!("/api/v1/builds/{build}/log/search?q=seen"),
        format!("/api/v1/builds/{build}/artifacts"),
        format!("/api/v1/builds/{build}/artifacts/result.tar.gz"),
        "/api/v1/configuration".to_owned(),
        "/api/v1/github".to_owned(),
        "/build/status".to_owned(),
        "/build/history".to_owned(),
        "/build/history/full".to_owned(),
        "/build/logs/acme/app/main".to_owned(),
        format!("/report/{build}"),
        "/badge/acme/app/main.svg".to_owned(),
        "/metrics".to_owned(),
    ] {
        let refused = service.get(&path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.error(), "this needs the API token", "{path}");
        for credential in [("cookie", cookie.as_str()), ("authorization", &bearer)] {
            let shown = get_with(&service, &path, credential).await;
            assert_eq!(shown.status, 200, "{path}: {}", shown.text);
        }
    }
    for path in ["/", "/monitor", "/monitor/builds/x", "/healthz", "/readyz"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    for path in ["/api/v1/live", "/buildio"] {
        let own = service.url("");
        assert_eq!(connect(&service, path, &[]).await, Err(401), "{path}");
        let by_page = [("cookie", cookie.as_str()), ("origin", &own)];
        assert_eq!(connect(&service, path, &by_page).await, Ok(()), "{path}");
        let by_program = [("authorization", bearer.as_str())];
        assert_eq!(connect(&service, path, &by_program).await, Ok(()), "{path}");
        let by_other = [("cookie", cookie.as_str()), ("origin", "http://evil.org")];
        assert_eq!(connect(&service, path, &by_other).await, Err(403), "{path}");
    }

    // The command line has the token, GitHub its secret.
    for arguments in [&["list"][..], &["logs", &build], &["logs", &build, "-f"]] {
        let output = service.cli(arguments);
        assert_eq!(output.code, 0, "{output:?}");
        let mut command = service.cli_command();
        command.env_remove("AUTOBUILDER_TOKEN").args(arguments);
        let output = crate::support::run(command);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("AUTOBUILDER_TOKEN"), "{output:?}");
    }
    app.commit(&[("build.sh", &format!("#!/bin/sh\necho again\n{RESULT}"))]);
    let next = service.pushed(&app.push("main")).await;
    let followed = service.cli(&["logs", &next, "--follow"]);
    assert_eq!(followed.code, 0, "{followed:?}");
    assert!(followed.stdout.contains("again"), "{followed:?}");
}
