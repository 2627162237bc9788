//! Who is let in: by token, by session, and not at all.

use std::net::Ipv4Addr;

use serde_json::json as body;

use super::*;
use crate::http::client::Peer;

const OURS: &str = "http://127.0.0.1:5560";
const PATH: &str = "/api/v1/session";

/// A request by a page of this origin, or by what is no browser.
async fn ask(
    fixture: &Fixture,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> HttpResponse<bytes::Bytes> {
    let mut request = warp::test::request().method(method).path(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.reply(&fixture.routes).await
}

async fn sign_in(fixture: &Fixture, origin: &str, token: &str) -> HttpResponse<bytes::Bytes> {
    let asked = Some(body!({"token": token}));
    ask(fixture, ("POST", PATH), &[("origin", origin)], asked).await
}

/// The cookie as a browser sends it back.
fn cookie(response: &HttpResponse<bytes::Bytes>) -> String {
    assert_eq!(response.status(), 200, "{response:?}");
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// A session's cookie, for tests of what it opens.
pub async fn cookie_of(fixture: &Fixture) -> String {
    cookie(&sign_in(fixture, OURS, TOKEN).await)
}

fn private() -> Fixture {
    let fixture = Fixture::new();
    fixture.configure(|config| config.monitor.private = true);
    fixture
}

#[tokio::test]
async fn a_cookie_is_as_safe_as_the_browser_takes_it() {
    let attributes = async |public_url: &str, origin: &str| {
        let fixture = Fixture::new();
        let public_url = public_url.to_owned().try_into().unwrap();
        fixture.configure(|config| {
            config.public_url = public_url;
            config.monitor.hosts = vec!["box.lan".to_owned()];
        });
        let host = origin.split('/').nth(2).unwrap_or("localhost:5560");
        let mut headers = vec![("host", host)];
        match origin {
            "" => headers.push(("sec-fetch-site", "same-origin")),
            origin => headers.push(("origin", origin)),
        }
        let asked = Some(body!({"token": TOKEN}));
        let response = ask(&fixture, ("POST", PATH), &headers, asked).await;
        let Some(cookie) = response.headers().get("set-cookie") else {
            return failure(&response);
        };
        assert_eq!(
            json(&response),
            body!({"signed_in": true, "private": false})
        );
        let cookie = cookie.to_str().unwrap();
        assert!(!cookie.contains(TOKEN), "{cookie}");
        let (name, _) = cookie.split_once('=').unwrap();
        let (_, attributes) = cookie.split_once("; ").unwrap();
        format!("{name}; {attributes}")
    };
    let secure = "__Host-autobuilder; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure";
    let plain = "autobuilder; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict";
    let public = "https://builds.example.org";
    assert_eq!(attributes(public, public).await, secure);
    assert_eq!(attributes(OURS, "https://box.lan").await, secure);
    for own in [OURS, "http://localhost:5560", "http://[::1]:5560", ""] {
        assert_eq!(attributes(OURS, own).await, secure, "{own}");
        assert_eq!(attributes(public, own).await, secure, "{own}");
    }
    assert_eq!(attributes(OURS, "http://box.lan").await, plain);
    insta::assert_snapshot!(attributes(public, "http://box.lan").await, @"403: nobody signs in over plain HTTP where the service is reached over HTTPS; open the monitor at https://builds.example.org");
}

#[tokio::test]
async fn a_session_stands_for_the_token_until_it_is_signed_out_or_the_token_is_another() {
    let fixture = private();
    let stranger = fixture.get(PATH).await;
    assert_eq!(
        json(&stranger),
        body!({"signed_in": false, "private": true})
    );
    let cookie = cookie(&sign_in(&fixture, OURS, TOKEN).await);
    let session = async || json(&ask(&fixture, ("GET", PATH), &[("cookie", &cookie)], None).await);
    assert_eq!(session().await["signed_in"], true);
    let among_others = format!("a=b; autobuilder=x; {cookie}; c");
    let headers = [("cookie", among_others.as_str())];
    let builds = ask(&fixture, ("GET", "/api/v1/builds"), &headers, None).await;
    assert_eq!(builds.status(), 200);

    let headers = [("cookie", cookie.as_str()), ("origin", OURS)];
    let out = ask(&fixture, ("DELETE", PATH), &headers, None).await;
    assert_eq!(json(&out), body!({"signed_in": false, "private": true}));
    let taken_back: Vec<&str> = out
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap())
        .collect();
    assert_eq!(
        taken_back,
        [
            "__Host-autobuilder=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
            "autobuilder=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
        ]
    );

    fixture.configure(|config| config.api_token = Some(TokenHash::of("another")));
    assert_eq!(session().await["signed_in"], false);
    let headers = [("cookie", cookie.as_str())];
    let refused = ask(&fixture, ("GET", "/api/v1/builds"), &headers, None).await;
    insta::assert_snapshot!(failure(&refused), @"401: the session has ended; sign in at /monitor, or send `Authorization: Bearer <token>`; `api_token` of the service file is the token or its hash, and where there is none, the token is in the file api-token of the data directory");
}

#[tokio::test]
async fn only_the_token_signs_in_and_only_at_our_own_page() {
    let fixture = Fixture::new();
    insta::assert_snapshot!(failure(&sign_in(&fixture, OURS, "open").await), @"401: this is not the API token; `api_token` of the service file is the token or its hash; where there is none, the token is in the file api-token of the data directory");
    let refused = sign_in(&fixture, "https://evil.example.org", TOKEN).await;
    assert_eq!(refused.status(), 403);
    assert!(!refused.headers().contains_key("set-cookie"));
    let asked = async |headers: &[(&str, &str)], body: Value| {
        let response = ask(&fixture, ("POST", PATH), headers, Some(body)).await;
        response.status().as_u16()
    };
    assert_eq!(asked(&[], body!({"token": TOKEN})).await, 403);
    for body in [
        body!({}),
        body!({"token": 1}),
        body!({"token": "x", "y": 1}),
    ] {
        assert_eq!(asked(&[("origin", OURS)], body).await, 400);
    }
    let form = warp::test::request()
        .method("POST")
        .path(PATH)
        .header("origin", OURS)
        .header("content-type", "text/plain")
        .body(body!({"token": TOKEN}).to_string())
        .reply(&fixture.routes)
        .await;
    assert_eq!(form.status(), 415);
    assert_eq!(
        ask(&fixture, ("DELETE", PATH), &[], None).await.status(),
        403
    );
}

#[tokio::test]
async fn a_change_by_cookie_comes_from_our_own_page() {
    let fixture = Fixture::new();
    let build = fixture.push('a').await.remove(0);
    let cookie = cookie(&sign_in(&fixture, OURS, TOKEN).await);
    for path in [
        format!("/api/v1/builds/{build}/cancel"),
        format!("/api/v1/builds/{build}/rebuild"),
        "/api/v1/builds".to_owned(),
        "/api/v1/gc".to_owned(),
        "/build/acme/hook".to_owned(),
    ] {
        for foreign in [
            &[][..],
            &[("origin", "https://evil.example.org")],
            &[("origin", "null")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
        ] {
            let headers = [foreign, &[("cookie", cookie.as_str())]].concat();
            let refused = ask(&fixture, ("POST", &path), &headers, Some(body!({}))).await;
            assert_eq!(refused.status(), 403, "{path} {foreign:?}");
            assert!(failure(&refused).contains("has to come from the monitor's own page"));
        }
    }
    assert_eq!(
        fixture.store().build(build.clone()).await.unwrap().state,
        State::Queued
    );
    for own in [("origin", OURS), ("sec-fetch-site", "same-origin")] {
        let headers = [own, ("cookie", cookie.as_str())];
        let gc = ask(
            &fixture,
            ("POST", "/api/v1/builds"),
            &headers,
            Some(body!({})),
        )
        .await;
        assert_eq!(
            gc.status(),
            400,
            "it is permitted, and its body is not: {own:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_token_is_not_made_good_by_a_cookie() {
    let fixture = private();
    let cookie = cookie(&sign_in(&fixture, OURS, TOKEN).await);
    let headers = [("cookie", cookie.as_str()), ("authorization", "Bearer no")];
    let refused = ask(&fixture, ("GET", "/api/v1/builds"), &headers, None).await;
    assert!(failure(&refused).starts_with("401: this is not the API token"));
    // A proxy's own credential is no token of ours.
    let headers = [("cookie", cookie.as_str()), ("authorization", "Basic eDp5")];
    let admitted = ask(&fixture, ("GET", "/api/v1/builds"), &headers, None).await;
    assert_eq!(admitted.status(), 200);
}

#[tokio::test]
async fn a_private_service_is_closed_but_for_what_is_named() {
    const OPEN: [(&str, &str); 11] = [
        ("GET", "/"),
        ("GET", "/monitor"),
        ("GET", "/monitor/builds/0123456789ab"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/api/v1/session"),
        ("POST", "/api/v1/session"),
        ("DELETE", "/api/v1/session"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/build/{project}/hook"),
        ("POST", "/hook/push"),
    ];
    let fixture = private();
    let document = json(&fixture.get("/api/v1/openapi.json").await);
    let described = document["paths"].as_object().unwrap();
    let described = described.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    // What is no route, or may look like one that is open.
    let others = [
        ("HEAD", "/metrics"),
        ("HEAD", "/api/v1/builds"),
        ("GET", "/nowhere"),
        ("GET", "//"),
        ("GET", "//monitor"),
        ("GET", "/monitored"),
        ("GET", "/api/v1/session/x"),
        ("GET", "/api/v1/monitor"),
        ("GET", "/build/acme/hook"),
        ("GET", "/build/logs/hook"),
        ("GET", "/hook/push"),
        ("OPTIONS", "/api/v1/builds"),
    ]
    .map(|(method, path)| (method.to_owned(), path.to_owned()));
    let open = OPEN.map(|(method, path)| (method.to_owned(), path.to_owned()));
    let mut closed = 0;
    for (method, path) in described.chain(others).chain(open) {
        let is_open = OPEN.contains(&(method.as_str(), path.as_str()));
        let response = ask(&fixture, (&method, &path), &[], None).await;
        let refused = response.status() == 401
            && method != "HEAD"
            && failure(&response).contains("this needs the API token");
        let refused = refused || (method == "HEAD" && response.status() == 401);
        assert_eq!(refused, !is_open, "{method} {path}: {response:?}");
        if is_open {
            continue;
        }
        closed += 1;
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let admitted = ask(&fixture, (&method, &path), &headers, None).await;
        assert_ne!(admitted.status(), 401, "{method} {path}");
        let stored = &admitted.headers()["cache-control"];
        assert!(
            stored == "no-store" || stored == "private, no-cache",
            "{method} {path}: {stored:?}"
        );
    }
    assert!(closed > 25, "{closed}");
}

#[tokio::test]
async fn a_page_that_has_its_name_point_here_reads_nothing_that_people_look_at() {
    let fixture = Fixture::new();
    let build = fixture.built('a', b"text\n").await;
    let ask_under = async |host: &str, method: &str, path: &str| {
        ask(&fixture, (method, path), &[("host", host)], None).await
    };
    let evil = "evil.example.org:5560";
    for path in [
        "/".to_owned(),
        "/monitor".to_owned(),
        "/nowhere".to_owned(),
        PATH.to_owned(),
        "/api/v1/builds".to_owned(),
        "/api/v1/live".to_owned(),
        "/api/v1/openapi.json".to_owned(),
        "/buildio".to_owned(),
        "/badge/acme/app/main.svg".to_owned(),
        "/build/logs/acme/app/main".to_owned(),
        format!("/report/{build}"),
        format!("/api/v1/builds/{build}/log"),
    ] {
        let refused = ask_under(evil, "GET", &path).await;
        assert_eq!(refused.status(), 421, "{path}");
        assert_ne!(ask_under("localhost", "GET", &path).await.status(), 421);
    }
    let refused = ask_under(evil, "GET", "/api/v1/builds").await;
    insta::assert_snapshot!(failure(&refused), @"421: this service does not answer under the name evil.example.org:5560; open it under `public_url`, or list the name in `monitor.hosts` of the service file");
    for (method, path) in [
        ("POST", "/build/acme/hook"),
        ("POST", "/hook/kernel"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/build/status"),
        ("GET", "/build/history"),
        ("GET", "/build/history/full"),
        ("GET", "/build/sync"),
    ] {
        let answer = ask_under(evil, method, path).await;
        assert_ne!(answer.status(), 421, "{path}");
    }
    fixture.configure(|config| config.monitor.hosts = vec!["evil.example.org".to_owned()]);
    assert_eq!(ask_under(evil, "GET", "/api/v1/builds").await.status(), 200);
}

#[tokio::test]
async fn guesses_of_an_address_are_few_and_others_are_heard() {
    let fixture = Fixture::new();
    let guess = async |from: u8, path: &str, token: &str| {
        let request = warp::test::request()
            .method("POST")
            .path(path)
            .extension(Peer(Ipv4Addr::new(10, 0, 0, from).into()))
            .header("origin", OURS);
        let request = match path {
            PATH => request.json(&body!({"token": token})),
            _ => request
                .header("authorization", format!("Bearer {token}"))
                .json(&body!({"dry_run": true})),
        };
        request.reply(&fixture.routes).await
    };
    for path in [PATH, "/api/v1/gc"].into_iter().cycle().take(10) {
        assert_eq!(guess(1, path, "wrong").await.status(), 401, "{path}");
    }
    for path in [PATH, "/api/v1/gc"] {
        let refused = guess(1, path, TOKEN).await;
        assert!(
            failure(&refused).starts_with("429: too many wrong tokens came from this address"),
            "{path}"
        );
        assert_eq!(guess(2, path, TOKEN).await.status(), 200, "{path}");
    }
}
