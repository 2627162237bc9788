//! The tokens of a GitHub App: fetched, shared, renewed, refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::domain::time::Timestamp;

const TOKENS: &str = "/app/installations/9/access_tokens";

const HOUR: i64 = 3600;

fn at(seconds_from_now: i64) -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + seconds_from_now * 1000).to_string()
}

fn installation(id: u64, login: &str) -> ResponseTemplate {
    let body = json!({"id": id, "account": {"login": login}, "app_id": 42});
    ResponseTemplate::new(200).set_body_json(body)
}

fn token(token: &str, lasts: i64) -> ResponseTemplate {
    let body = json!({"token": token, "expires_at": at(lasts)});
    ResponseTemplate::new(201).set_body_json(body)
}

fn bad_credentials() -> ResponseTemplate {
    ResponseTemplate::new(401).set_body_json(json!({"message": "Bad credentials"}))
}

/// The App's own token that a request came with: its header and claims.
fn claims(request: &wiremock::Request) -> Value {
    let authorization = request.headers["authorization"].to_str().unwrap();
    let token = authorization.strip_prefix("Bearer ").unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header: Value = serde_json::from_slice(&decoded(parts[0])).unwrap();
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    let signed = format!("{}.{}", parts[0], parts[1]);
    let key = AppKey::from_pem(APP_KEY).unwrap();
    assert_eq!(decoded(parts[2]), key.sign(signed.as_bytes()));
    serde_json::from_slice(&decoded(parts[1])).unwrap()
}

impl World {
    async fn installed(&self) {
        let mock = Mock::given(path("/repos/acme/app/installation"));
        self.mount(mock.respond_with(installation(9, "Acme"))).await;
    }

    /// The answers of this path, one after the other; the last again and again.
    async fn tokens(&self, answers: Vec<ResponseTemplate>) {
        let last = answers.len() - 1;
        for (at, answer) in answers.into_iter().enumerate() {
            let mock = Mock::given(method("POST"))
                .and(path(TOKENS))
                .respond_with(answer);
            let mock = match at == last {
                true => mock,
                false => mock.up_to_n_times(1),
            };
            self.mount(mock).await;
        }
    }

    /// What is answered to who comes with this token.
    async fn answer_to(&self, token: &str, answer: ResponseTemplate) {
        let mock = Mock::given(path(status_path()))
            .and(header("authorization", format!("Bearer {token}")));
        self.mount(mock.respond_with(answer)).await;
    }

    async fn count(&self, line: &str) -> usize {
        let asked = self.asked().await;
        asked.iter().filter(|asked| *asked == line).count()
    }

    async fn tokens_made(&self) -> usize {
        self.count(&format!("POST {TOKENS}")).await
    }
}

#[tokio::test]
async fn an_app_shows_who_it_is_and_works_with_its_installations_token() {
    let world = World::with_app().await;
    world.installed().await;
    world.tokens(vec![token("one", HOUR)]).await;
    world.answer_to("one", created()).await;
    world.set_status().await.unwrap();
    world.set_status().await.unwrap();
    let lines = world.asked().await;
    assert_eq!(
        lines,
        [
            "GET /repos/acme/app/installation".to_owned(),
            format!("POST {TOKENS}"),
            format!("POST {}", status_path()),
            format!("POST {}", status_path()),
        ]
    );
    let requests = world.server.received_requests().await.unwrap();
    let now = Timestamp::now().as_millis() / 1000;
    for request in &requests[..2] {
        let claims = claims(request);
        assert_eq!(claims["iss"], "42");
        let (issued, ends) = (claims["iat"].as_i64(), claims["exp"].as_i64());
        assert!((now - 75..=now - 55).contains(&issued.unwrap()), "{claims}");
        // GitHub refuses more than ten minutes.
        assert!((1..=600).contains(&(ends.unwrap() - now)), "{claims}");
    }
    // An owner's other repositories need nothing more.
    let other: RepositoryName = "acme/other".parse().unwrap();
    let token = world.github.git_token(&other).await.unwrap().unwrap();
    assert_eq!(token.expose(), "one");
    assert_eq!(world.asked().await.len(), 4);
    assert_eq!(world.github.scope(&app()), world.github.scope(&other));
    let elsewhere: RepositoryName = "else/other".parse().unwrap();
    assert_ne!(world.github.scope(&app()), world.github.scope(&elsewhere));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let world = World::with_app().await;
    world.installed().await;
    // The first has less left than a fetch may take.
    world
        .tokens(vec![token("one", 10 * 60), token("two", HOUR)])
        .await;
    for expected in ["one", "two", "two"] {
        let token = world.github.git_token(&app()).await.unwrap().unwrap();
        assert_eq!(token.expose(), expected);
    }
    assert_eq!(world.tokens_made().await, 2);
    assert_eq!(world.count("GET /repos/acme/app/installation").await, 1);
}

#[tokio::test]
async fn a_wrong_clock_of_ours_does_not_shorten_a_token() {
    let world = World::with_app().await;
    world.installed().await;
    // It is 2023 at GitHub.
    let body = json!({"token": "one", "expires_at": "2023-11-14T23:13:20Z"});
    let answer = ResponseTemplate::new(201)
        .set_body_json(body)
        .insert_header("date", "Tue, 14 Nov 2023 22:13:20 GMT");
    world.tokens(vec![answer]).await;
    for _ in 0..2 {
        world.github.git_token(&app()).await.unwrap().unwrap();
    }
    assert_eq!(world.tokens_made().await, 1);
}

#[tokio::test]
async fn a_wrong_clock_of_ours_is_put_right_by_githubs() {
    let world = World::with_app().await;
    let refused = bad_credentials().insert_header("date", "Tue, 14 Nov 2023 22:13:20 GMT");
    let mock = Mock::given(path("/repos/acme/app/installation")).respond_with(refused);
    world.mount(mock.up_to_n_times(1)).await;
    world.installed().await;
    world.tokens(vec![token("one", HOUR)]).await;
    world.github.git_token(&app()).await.unwrap().unwrap();
    let requests = world.server.received_requests().await.unwrap();
    let issued = claims(&requests[1])["iat"].as_i64().unwrap();
    assert!((issued - (1_700_000_000 - 60)).abs() <= 2, "{issued}");
}

#[tokio::test]
async fn many_callers_ask_once() {
    let world = World::with_app().await;
    world.installed().await;
    let slow = token("one", HOUR).set_delay(Duration::from_millis(100));
    world.tokens(vec![slow]).await;
    let repository = app();
    let callers = (0..20).map(|_| world.github.git_token(&repository));
    for token in futures_util::future::join_all(callers).await {
        assert_eq!(token.unwrap().unwrap().expose(), "one");
    }
    assert_eq!(world.asked().await.len(), 2);
}

#[tokio::test]
async fn many_callers_hear_of_one_failure() {
    let world = World::with_app().await;
    let down = ResponseTemplate::new(503).set_delay(Duration::from_millis(100));
    world
        .mount(Mock::given(method("GET")).respond_with(down))
        .await;
    let repository = app();
    let callers = (0..20).map(|_| world.github.git_token(&repository));
    for token in futures_util::future::join_all(callers).await {
        assert!(matches!(token, Err(GithubError::Unavailable { .. })));
    }
    assert_eq!(world.asked().await.len(), 1);
    // Who comes later asks anew.
    world.github.git_token(&repository).await.unwrap_err();
    assert_eq!(world.asked().await.len(), 2);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_renewed_once() {
    let world = World::with_app().await;
    world.installed().await;
    world
        .tokens(vec![token("one", HOUR), token("two", HOUR)])
        .await;
    world.answer_to("one", bad_credentials()).await;
    world.answer_to("two", created()).await;
    world.set_status().await.unwrap();
    assert_eq!(world.tokens_made().await, 2);

    // The next is refused as well: that is not asked for for ever.
    world.server.reset().await;
    world.installed().await;
    world.tokens(vec![token("three", HOUR)]).await;
    world.answer_to("two", bad_credentials()).await;
    world.answer_to("three", bad_credentials()).await;
    let error = world.set_status().await.unwrap_err();
    assert!(matches!(error, GithubError::Unauthorized { .. }), "{error}");
    assert_eq!(world.tokens_made().await, 1);
}

#[tokio::test]
async fn a_users_token_that_is_refused_is_not_tried_again() {
    let world = World::with_token().await;
    world.answer_status(bad_credentials()).await;
    world.set_status().await.unwrap_err();
    assert_eq!(world.asked().await.len(), 1);
}

#[tokio::test]
async fn where_the_app_is_not_installed_is_known_for_a_while() {
    let world = World::with_app().await;
    world.installed().await;
    world.tokens(vec![token("one", HOUR)]).await;
    let other: RepositoryName = "else/app".parse().unwrap();
    for _ in 0..3 {
        let error = world.github.git_token(&other).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the GitHub App is not installed for this repository of else"
        );
    }
    assert_eq!(world.asked().await.len(), 1);
    world.github.git_token(&app()).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_installation_that_was_made_anew_is_found() {
    let world = World::with_app().await;
    world.installed().await;
    world.tokens(vec![token("one", 0)]).await;
    world.github.git_token(&app()).await.unwrap().unwrap();

    world.server.reset().await;
    let mock = Mock::given(path("/repos/acme/app/installation"));
    world
        .mount(mock.respond_with(installation(10, "acme")))
        .await;
    let mock = Mock::given(path("/app/installations/10/access_tokens"));
    world.mount(mock.respond_with(token("two", HOUR))).await;
    let error = world.github.git_token(&app()).await.unwrap_err();
    assert!(matches!(error, GithubError::NotInstalled { .. }), "{error}");
    let token = world.github.git_token(&app()).await.unwrap().unwrap();
    assert_eq!(token.expose(), "two");
}

#[tokio::test]
async fn a_repository_that_moved_to_another_owner_has_that_ones_token() {
    let world = World::with_app().await;
    let moved =
        ResponseTemplate::new(301).insert_header("location", "/repositories/7/installation");
    world
        .mount(Mock::given(path("/repos/acme/app/installation")).respond_with(moved))
        .await;
    world
        .mount(
            Mock::given(path("/repositories/7/installation"))
                .respond_with(installation(9, "NewOwner")),
        )
        .await;
    world.tokens(vec![token("theirs", HOUR)]).await;
    for _ in 0..2 {
        let token = world.github.git_token(&app()).await.unwrap().unwrap();
        assert_eq!(token.expose(), "theirs");
    }
    assert_eq!(world.tokens_made().await, 1);
    // It is not taken for its old owner's.
    let other: RepositoryName = "acme/other".parse().unwrap();
    let error = world.github.git_token(&other).await.unwrap_err();
    assert!(matches!(error, GithubError::NotInstalled { .. }), "{error}");
}

#[tokio::test]
async fn a_suspended_app_is_told_in_githubs_words() {
    let world = World::with_app().await;
    world.installed().await;
    let message = "This installation has been suspended";
    let answer = ResponseTemplate::new(403).set_body_json(json!({ "message": message }));
    world.tokens(vec![answer]).await;
    let error = world.set_status().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GitHub does not allow it: This installation has been suspended"
    );
}

#[tokio::test]
async fn a_token_in_an_answer_that_is_not_understood_is_not_shown() {
    let world = World::with_app().await;
    world.installed().await;
    let body = json!({"token": "ghs_sesame", "expires_at": "ghs_sesame"});
    world
        .tokens(vec![ResponseTemplate::new(201).set_body_json(body)])
        .await;
    let error = world.set_status().await.unwrap_err();
    assert!(matches!(error, GithubError::Malformed { .. }));
    assert!(!format!("{error} {error:?}").contains("sesame"), "{error}");
}

#[tokio::test]
async fn the_same_settings_again_keep_the_tokens() {
    let world = World::with_app().await;
    world.installed().await;
    world.tokens(vec![token("one", HOUR)]).await;
    world.github.git_token(&app()).await.unwrap();
    let same = world.github.connection().settings.clone();
    assert!(!world.github.configure(same.clone()));
    world.github.git_token(&app()).await.unwrap();
    assert_eq!(world.tokens_made().await, 1);
    let credential = Credential::Token(Token::new(TOKEN));
    assert!(world.github.configure(Settings { credential, ..same }));
    let token = world.github.git_token(&app()).await.unwrap().unwrap();
    assert_eq!(token.expose(), TOKEN);
}
