//! What holds for every address, and which addresses there are.

use std::collections::HashSet;

use super::*;

#[tokio::test]
async fn every_answer_is_hardened_and_every_error_is_json() {
    let fixture = Fixture::new();
    for path in [
        "/",
        "/monitor",
        "/nowhere",
        "/healthz",
        "/api/v1/builds",
        "/metrics",
    ] {
        let response = fixture.get(path).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'; font-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
             form-action 'self'",
            "{path}"
        );
    }
    let badge = fixture.get("/badge/acme/app/main.svg").await;
    assert_eq!(badge.status(), 200);
    assert_eq!(
        badge.headers()["cross-origin-resource-policy"],
        "cross-origin"
    );
    insta::assert_snapshot!(failure(&fixture.get("/nowhere").await), @"404: there is nothing at this address; the addresses are listed at /api/v1/openapi.json; people start at /monitor");
}

#[tokio::test]
async fn no_answer_is_for_pages_of_other_sites() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"text\n").await;
    let document = json(&fixture.get("/api/v1/openapi.json").await);
    let described = document["paths"].as_object().unwrap();
    let described = described
        .keys()
        .map(|path| path.replace("{id}", id.as_str()));
    let others = ["/", "/monitor", "/nowhere"].map(str::to_owned);
    let mut asked = 0;
    for path in described.chain(others) {
        for method in ["OPTIONS", "GET", "HEAD", "POST", "DELETE"] {
            let response = warp::test::request()
                .method(method)
                .path(&path)
                .header("origin", "https://evil.example.org")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization")
                .reply(&fixture.routes)
                .await;
            let mut names = response.headers().keys();
            let cors = names.find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(cors, None, "{method} {path}");
            let is_preflight = method == "OPTIONS";
            assert!(
                !is_preflight || response.status().is_client_error(),
                "{path}"
            );
            asked += 1;
        }
    }
    assert!(asked > 150, "{asked}");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let fixture = Fixture::new();
    for (method, path, allowed) in [
        ("DELETE", "/api/v1/builds", "GET, HEAD, POST"),
        ("POST", "/api/v1/builds/0123456789ab", "GET, HEAD"),
        ("GET", "/api/v1/builds/0123456789ab/cancel", "POST"),
        ("GET", "/build/acme/hook", "POST"),
        ("PUT", "/monitor/builds/x", "GET, HEAD"),
        ("POST", "/api/v1/live", "GET"),
        ("POST", "/build/status", "GET, HEAD"),
    ] {
        let response = warp::test::request()
            .method(method)
            .path(path)
            .reply(&fixture.routes)
            .await;
        assert_eq!(response.status(), 405, "{method} {path}");
        assert_eq!(response.headers()["allow"], allowed, "{method} {path}");
        assert!(json(&response)["error"].is_string());
    }
    let head = warp::test::request()
        .method("HEAD")
        .path("/healthz")
        .reply(&fixture.routes)
        .await;
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn the_root_leads_to_the_monitor_and_its_own_addresses_get_the_page() {
    let fixture = Fixture::new();
    let root = fixture.get("/").await;
    assert_eq!(
        (
            root.status().as_u16(),
            root.headers()["location"].to_str().unwrap()
        ),
        (302, "/monitor")
    );
    for path in ["/monitor", "/monitor/", "/monitor/builds/0123456789ab"] {
        let page = fixture.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(
            page.headers()["content-type"],
            "text/html; charset=utf-8",
            "{path}"
        );
    }
    for path in [
        "/monitor/assets/gone.js",
        "/monitor/assets/../../Cargo.toml",
        "/monitored",
    ] {
        assert_eq!(fixture.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn the_document_describes_routes_that_are_there() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"text\n").await;
    let document = json(&fixture.get("/api/v1/openapi.json").await);
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 30);
    let mut names = HashSet::new();
    for (path, operations) in paths {
        for operation in operations.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "two operations are called {name}");
        }
        let path = path
            .replace("{id}", id.as_str())
            .replace("{owner}", "acme")
            .replace("{name}", "app")
            .replace("{branch}", "main")
            .replace("{project}", "acme");
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let response = warp::test::request()
                .method(&method)
                .path(&path)
                .reply(&fixture.routes)
                .await;
            let status = response.status().as_u16();
            assert_ne!(status, 405, "{method} {path}");
            let is_known = status != 404 || !failure(&response).contains("nothing at this address");
            assert!(is_known, "{method} {path}");
            assert!(status < 500, "{method} {path}: {status}");
            let documented = &operations[method.to_lowercase()]["responses"];
            assert!(
                documented.get(status.to_string()).is_some(),
                "{method} {path} answers {status}"
            );
        }
    }
    let build = &document["components"]["schemas"]["BuildView"]["properties"];
    let shown = json(&fixture.get(&format!("/api/v1/builds/{id}")).await);
    for name in shown.as_object().unwrap().keys() {
        assert!(build.get(name).is_some(), "{name} is not described");
    }
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
}

#[tokio::test]
async fn who_reads_nothing_of_an_answer_is_disconnected() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fixture = Fixture::patient(LiveTimes {
        send_timeout: std::time::Duration::from_millis(300),
        ..LiveTimes::default()
    });
    // More than the buffers of two sockets take.
    let build = fixture.built('a', &vec![b'x'; 32 << 20]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, served) = serve_at(listener, &fixture);
    let request = format!("GET /api/v1/builds/{build}/log HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    idle.write_all(request.as_bytes()).await.unwrap();
    let open = || fixture.web.service.metrics.connections.get();
    for wanted in [1, 0] {
        let begun = std::time::Instant::now();
        while open() != wanted {
            assert!(begun.elapsed().as_secs() < 10, "{} are open", open());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    // Its request was no other's: a client that reads gets all of it.
    let mut reader = tokio::net::TcpStream::connect(address).await.unwrap();
    let closing = request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    reader.write_all(closing.as_bytes()).await.unwrap();
    let mut whole = Vec::new();
    reader.read_to_end(&mut whole).await.unwrap();
    let head = memchr::memmem::find(&whole, b"\r\n\r\n").unwrap();
    assert_eq!(whole.len() - head - 4, 32 << 20);
    drop((stop, idle));
    served.await.unwrap();
}
