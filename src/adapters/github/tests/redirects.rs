//! Repositories that were renamed, and servers that lead elsewhere.

use super::*;

fn redirect(status: u16, location: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("location", location)
}

#[tokio::test]
async fn a_renamed_repository_gets_the_whole_request() {
    for status in [301, 302, 307, 308] {
        let world = World::with_token().await;
        let to = format!("{}/repositories/7/statuses/{SHA}", world.server.uri());
        world.answer_status(redirect(status, &to)).await;
        world
            .mount(
                Mock::given(method("POST"))
                    .and(path(format!("/repositories/7/statuses/{SHA}")))
                    .and(header("authorization", format!("Bearer {TOKEN}")))
                    .and(body_json(json!({
                        "state": "success",
                        "context": "autobuilder/build.sh",
                        "description": "built in 3 s",
                        "target_url": "https://builds.example.org/monitor/builds/1",
                    })))
                    .respond_with(created()),
            )
            .await;
        world.set_status().await.unwrap();
        assert_eq!(world.asked().await.len(), 2);
    }
}

#[tokio::test]
async fn another_server_is_not_asked() {
    let (world, other) = (World::with_token().await, MockServer::start().await);
    let port = other.address().port();
    for to in [
        other.uri(),
        format!("http://localhost:{port}"),
        format!("//localhost:{port}/x"),
    ] {
        world.server.reset().await;
        world.answer_status(redirect(307, &to)).await;
        let error = world.set_status().await.unwrap_err();
        assert!(error.to_string().contains("another server"), "{error}");
    }
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn redirects_end() {
    let world = World::with_token().await;
    let to = status_path();
    world.answer_status(redirect(302, &to)).await;
    let error = world.set_status().await.unwrap_err();
    assert!(matches!(error, GithubError::Unavailable { .. }), "{error}");
    assert_eq!(world.asked().await.len(), 4);

    world.server.reset().await;
    world.answer_status(ResponseTemplate::new(301)).await;
    let error = world.set_status().await.unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test]
async fn an_own_github_has_its_api_below_a_path() {
    let server = MockServer::start().await;
    let url = format!("{}/api/v3", server.uri());
    let settings = Settings::new(url, Credential::Token(Token::new(TOKEN)));
    let world = World::with_settings(server, settings);
    let below = format!("/api/v3{}", status_path());
    world
        .mount(Mock::given(path(below)).respond_with(created()))
        .await;
    world.set_status().await.unwrap();
}
