//! What each refusal means to who asked.

use super::*;
use faulty::{Fault, Faulty};

fn refusal(status: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "message": message }))
}

async fn error_of(answer: ResponseTemplate) -> GithubError {
    let world = World::with_token().await;
    world.answer_status(answer).await;
    world.set_status().await.unwrap_err()
}

#[tokio::test]
async fn a_status_is_set_with_the_credential() {
    let world = World::with_token().await;
    let expected = json!({
        "state": "success",
        "context": "autobuilder/build.sh",
        "description": "built in 3 s",
        "target_url": "https://builds.example.org/monitor/builds/1",
    });
    let answer = created().insert_header("x-ratelimit-remaining", "4321");
    world
        .mount(
            Mock::given(method("POST"))
                .and(path(status_path()))
                .and(header("authorization", format!("Bearer {TOKEN}")))
                .and(header("accept", "application/vnd.github+json"))
                .and(body_json(expected))
                .respond_with(answer),
        )
        .await;
    world.set_status().await.unwrap();
    let seen = Observed {
        kind: "set_status",
        status: Some(201),
        remaining: Some(4321),
    };
    assert_eq!(*world.observed.lock().unwrap(), [seen]);
    let request = &world.server.received_requests().await.unwrap()[0];
    let agents: Vec<_> = request.headers.get_all("user-agent").iter().collect();
    assert_eq!(agents.len(), 1);
    assert!(agents[0].to_str().unwrap().starts_with("autobuilder/"));
}

#[tokio::test]
async fn a_description_is_cut_between_characters() {
    let world = World::with_token().await;
    world.answer_status(created()).await;
    for (length, kept) in [(140, 140), (141, 140)] {
        let status = Status {
            description: "ü".repeat(length),
            ..status()
        };
        world
            .github
            .set_status(&app(), &sha(), &status)
            .await
            .unwrap();
        let requests = world.server.received_requests().await.unwrap();
        let body: Value = requests.last().unwrap().body_json().unwrap();
        let sent = body["description"].as_str().unwrap();
        assert_eq!(sent.chars().count(), kept);
        assert_eq!(sent.ends_with('…'), length > kept);
    }
}

#[tokio::test]
async fn a_refusal_is_told_by_its_status() {
    let message = "no".to_owned();
    let unauthorized = GithubError::Unauthorized {
        message: "Bad credentials".to_owned(),
    };
    let forbidden = GithubError::Forbidden {
        message: message.clone(),
    };
    let refused = |status| GithubError::Refused {
        status,
        message: "no".to_owned(),
    };
    let cases = [
        (refusal(401, "Bad credentials"), unauthorized),
        (refusal(403, "no"), forbidden.clone()),
        (refusal(451, "no"), forbidden),
        (refusal(404, "Not Found"), GithubError::NotFound),
        (refusal(410, "Gone"), GithubError::NotFound),
        (refusal(400, "no"), refused(400)),
        (refusal(422, "no"), refused(422)),
    ];
    for (answer, expected) in cases {
        let error = error_of(answer).await;
        assert_eq!(error, expected);
        assert!(!error.may_pass(), "{error}");
    }
    for status in [408, 500, 502, 503] {
        let error = error_of(refusal(status, "no")).await;
        assert!(error.may_pass(), "{error}");
        assert!(matches!(error, GithubError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_holds_githubs_first_detail_in_one_short_line() {
    let body = json!({
        "message": "Validation\nFailed",
        "errors": [{"resource": "Status", "message": "This SHA and context has reached the maximum number of statuses."}],
    });
    let error = error_of(ResponseTemplate::new(422).set_body_json(body)).await;
    assert_eq!(
        error.to_string(),
        "GitHub refuses the request (422): Validation Failed: This SHA and context has reached \
         the maximum number of statuses."
    );
    let error = error_of(refusal(422, &"x".repeat(10_000))).await;
    assert!(error.to_string().len() < 400);
    let page = ResponseTemplate::new(502).set_body_string("<html>a proxy</html>");
    let error = error_of(page).await;
    assert_eq!(
        error.to_string(),
        "GitHub cannot be reached: 502 Bad Gateway: Bad Gateway"
    );
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    const NOW: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    let limited = |seconds, is_stated| GithubError::RateLimited {
        wait: Duration::from_secs(seconds),
        is_stated,
    };
    let secondary = "You have exceeded a secondary rate limit. Please wait a few minutes.";
    let exhausted = |reset: &str| {
        refusal(403, "API rate limit exceeded for user ID 1.")
            .insert_header("x-ratelimit-remaining", "0")
            .insert_header("x-ratelimit-reset", reset)
            // GitHub's clock, by which ours is years ahead.
            .insert_header("date", NOW)
    };
    let cases = [
        (
            refusal(403, "no").insert_header("retry-after", "17"),
            limited(17, true),
        ),
        (
            refusal(429, "no").insert_header("retry-after", "0"),
            limited(1, true),
        ),
        (
            refusal(429, "no").insert_header("retry-after", "99999999999"),
            limited(2 * 3600, true),
        ),
        (exhausted("1700000900"), limited(900, true)),
        (exhausted("1600000000"), limited(1, true)),
        (exhausted("soon"), limited(60, false)),
        (refusal(403, secondary), limited(60, false)),
        (refusal(429, "no"), limited(60, false)),
    ];
    for (answer, expected) in cases {
        assert_eq!(error_of(answer).await, expected);
    }
    // Something is left: it is forbidden for another reason.
    let answer = refusal(403, "no")
        .insert_header("x-ratelimit-remaining", "1")
        .insert_header("x-ratelimit-reset", "1700000900");
    assert!(matches!(
        error_of(answer).await,
        GithubError::Forbidden { .. }
    ));
}

#[tokio::test]
async fn an_answer_that_is_none_is_malformed() {
    let world = World::with_token().await;
    for (answer, expected) in [
        ("garbage", "it is not JSON (column 1)"),
        (
            r#"{"statuses": 7}"#,
            "it is not of the expected form (column 14)",
        ),
    ] {
        world.server.reset().await;
        let answer = ResponseTemplate::new(200).set_body_string(answer);
        world
            .mount(Mock::given(method("GET")).respond_with(answer))
            .await;
        let error = world.github.statuses(&app(), &sha(), None).await;
        let reason = expected.to_owned();
        assert_eq!(error.unwrap_err(), GithubError::Malformed { reason });
    }
    // Not asked for with an etag.
    world.server.reset().await;
    let answer = ResponseTemplate::new(304);
    world
        .mount(Mock::given(method("GET")).respond_with(answer))
        .await;
    let error = world.github.statuses(&app(), &sha(), None).await;
    assert!(matches!(error.unwrap_err(), GithubError::Malformed { .. }));
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_is_wanted() {
    let world = World::with_token().await;
    let endless = ResponseTemplate::new(200).set_body_bytes(vec![b' '; 5 * 1024 * 1024]);
    world
        .mount(Mock::given(method("GET")).respond_with(endless))
        .await;
    let error = world.github.hooks(&app(), None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GitHub's answer is not understood: it is longer than 4194304 bytes"
    );
    // A refusal is one however long it is.
    let mut words = b"{\"message\": \"".to_vec();
    words.resize(100_000, b'x');
    words.extend(b"\"}");
    let answer = ResponseTemplate::new(422).set_body_bytes(words);
    assert_eq!(
        error_of(answer).await.to_string(),
        "GitHub refuses the request (422): Unprocessable Entity"
    );
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let server = MockServer::start().await;
    let mut settings = Settings::new(server.uri(), Credential::Token(Token::new(TOKEN)));
    settings.request_timeout = Duration::from_millis(100);
    let world = World::with_settings(server, settings);
    world
        .answer_status(created().set_delay(Duration::from_secs(60)))
        .await;
    let since = Instant::now();
    assert_eq!(
        world.set_status().await.unwrap_err().to_string(),
        "GitHub cannot be reached: no answer within 0.1 s"
    );
    assert!(since.elapsed() < Duration::from_secs(10));
    let seen = world.observed.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].status, None);
}

#[tokio::test]
async fn who_stops_amid_an_answer_is_given_up() {
    let server = Faulty::alone();
    server.fail(Fault::begins("application/json", "{"));
    let mut settings = Settings::new(server.url(), Credential::Token(Token::new(TOKEN)));
    settings.request_timeout = Duration::from_millis(500);
    let world = World::with_settings(MockServer::start().await, settings);
    assert_eq!(
        world.set_status().await.unwrap_err().to_string(),
        "GitHub cannot be reached: no answer within 0.5 s"
    );
    assert_eq!(server.met(), 1);
}

#[tokio::test]
async fn who_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let credential = Credential::Token(Token::new(TOKEN));
    let settings = Settings::new(format!("http://{address}"), credential);
    let world = World::with_settings(MockServer::start().await, settings);
    let error = world.set_status().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GitHub cannot be reached: Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn without_a_credential_nothing_is_asked() {
    let world = World::with(Credential::None).await;
    let error = world.set_status().await.unwrap_err();
    assert_eq!(error, GithubError::NoCredential);
    assert_eq!(world.github.git_token(&app()).await, Ok(None));
    assert_eq!(world.github.credential(), CredentialKind::None);
    // As the service file says from now on.
    world.answer_status(created()).await;
    let credential = Credential::Token(Token::new(TOKEN));
    world
        .github
        .configure(Settings::new(world.server.uri(), credential));
    world.set_status().await.unwrap();
    assert_eq!(world.asked().await.len(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_refused_without_being_shown() {
    let world = World::with(Credential::Token(Token::new("open\nsesame"))).await;
    let error = world.set_status().await.unwrap_err();
    assert!(matches!(error, GithubError::Unauthorized { .. }));
    assert!(!format!("{error} {error:?}").contains("sesame"));
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let world = World::with_token().await;
    let wanted = WantedHook {
        url: "https://builds.example.org".to_owned(),
        secret: Some(Token::new("hunter2")),
    };
    let shown = format!(
        "{:?} {:?} {:?} {wanted:?}",
        world.github,
        Settings::new("x", Credential::Token(Token::new(TOKEN))),
        Token::new(TOKEN),
    );
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let shown = format!("{:?}", World::with_app().await.github);
    let within = APP_KEY.lines().nth(1).unwrap();
    assert!(!shown.contains(within), "{shown}");
    assert!(shown.contains("42"), "{shown}");
}
