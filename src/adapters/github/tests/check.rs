//! What an operator is told of the credential at the start.

use super::*;

async fn check_token(answer: ResponseTemplate) -> Result<String, GithubError> {
    let world = World::with_token().await;
    let mock = Mock::given(method("GET")).and(path("/rate_limit"));
    world.mount(mock.respond_with(answer)).await;
    world.github.check().await
}

fn limits() -> ResponseTemplate {
    let core = json!({"limit": 5000, "remaining": 4999, "reset": 1, "used": 1});
    ResponseTemplate::new(200).set_body_json(json!({"resources": {"core": core}}))
}

#[tokio::test]
async fn a_token_is_described() {
    assert_eq!(
        check_token(limits()).await.unwrap(),
        "a token, 4999 of 5000 requests an hour are left"
    );
    let classic = limits().insert_header("x-oauth-scopes", "repo:status, read:org");
    assert_eq!(
        check_token(classic).await.unwrap(),
        "a classic token with the scopes repo:status, read:org, 4999 of 5000 requests an hour \
         are left"
    );
    let unlimited = ResponseTemplate::new(404);
    assert_eq!(
        check_token(unlimited).await.unwrap(),
        "a token, without a rate limit"
    );
    let wrong = ResponseTemplate::new(401).set_body_json(json!({"message": "Bad credentials"}));
    assert_eq!(
        check_token(wrong).await.unwrap_err().to_string(),
        "GitHub refuses the credential (Bad credentials): it has expired, was revoked or is wrong"
    );
}

#[tokio::test]
async fn an_app_is_described_with_what_it_lacks() {
    let whole = json!({"contents": "write", "repository_hooks": "write", "statuses": "write"});
    let half = json!({"contents": "read", "statuses": "read", "metadata": "read"});
    for (permissions, expected) in [
        (whole, "the App Builder"),
        (
            half,
            "the App Builder, which lacks the permissions repository_hooks: write, statuses: write",
        ),
    ] {
        let world = World::with_app().await;
        let body = json!({"id": 42, "name": "Builder", "permissions": permissions});
        let mock = Mock::given(method("GET")).and(path("/app"));
        world
            .mount(mock.respond_with(ResponseTemplate::new(200).set_body_json(body)))
            .await;
        assert_eq!(world.github.check().await.unwrap(), expected);
    }
}
