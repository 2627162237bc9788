use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use github_model::{APP_PRIVATE_KEY, May, Route};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::support::{Answer, World};

/// What an App says about itself, signed with the key that the model gives out.
fn bearer(app: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": app.to_string(), "iat": now - 60, "exp": now + 300});
    let text = format!("{}.{}", part(json!({"alg": "RS256"})), part(claims));
    let lines = APP_PRIVATE_KEY.lines();
    let der: String = lines.filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_der(&STANDARD.decode(der).unwrap()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
        .unwrap();
    format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn ask(world: &World, authorization: &str, method: &str, path: &str) -> Answer {
    let answer = world.ask_as(authorization, method, path, &Value::Null, &[]);
    answer.await.unwrap()
}

/// A token for the installation at acme.
async fn token(world: &World) -> String {
    let app = bearer(7);
    let found = ask(world, &app, "GET", "/repos/acme/app/installation").await;
    assert_eq!(found.status, 200, "{}", found.message());
    let path = format!("/app/installations/{}/access_tokens", found.body["id"]);
    let made = ask(world, &app, "POST", &path).await;
    assert_eq!(made.status, 201, "{}", made.message());
    let token = made.body["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("ghs_"));
    token
}

#[tokio::test]
async fn an_installation_acts_where_it_is_installed() {
    let world = World::new().await;
    let commit = world.commit();
    world.github.repository("other/app").await;
    world.github.app(7).installed("acme");
    let token = token(&world).await;

    let set = async |repository: &str| {
        let path = format!("/repos/{repository}/statuses/{commit}");
        let body = json!({"state": "success"});
        let bearer = format!("Bearer {token}");
        let answer = world
            .ask_as(&bearer, "POST", &path, &body, &[])
            .await
            .unwrap();
        (answer.status, answer.message())
    };
    assert_eq!(set("acme/app").await.0, 201);
    let refused = "Resource not accessible by integration".to_owned();
    assert_eq!(set("other/app").await, (403, refused.clone()));
    assert_eq!(
        world.github.all_statuses("acme/app")[0].creator,
        "installation acme"
    );

    world.github.app(7).installed_with("acme", &[May::Read]);
    let reads_only = format!("Bearer {}", self::token(&world).await);
    let hooks = ask(&world, &reads_only, "GET", "/repos/acme/app/hooks").await;
    assert_eq!((hooks.status, hooks.message()), (403, refused));

    let app = bearer(7);
    for path in ["/repos/other/app/installation", "/orgs/other/installation"] {
        assert_eq!(ask(&world, &app, "GET", path).await.status, 404);
    }
    assert_eq!(
        ask(&world, &app, "GET", "/users/acme/installation")
            .await
            .status,
        200
    );
    assert_eq!(ask(&world, &app, "GET", "/app").await.body["id"], 7);
    assert_eq!(ask(&world, &bearer(8), "GET", "/app").await.status, 404);
    let not_signed = ask(&world, "Bearer a-token", "GET", "/app").await;
    assert_eq!(not_signed.status, 401);
}

#[tokio::test]
async fn an_installations_token_ends() {
    let world = World::new().await;
    let lifetime = Duration::from_millis(1);
    world.github.app(7).installed("acme").tokens_last(lifetime);
    let short = token(&world).await;
    tokio::time::sleep(lifetime).await;
    let path = "/repos/acme/app";
    let over = ask(&world, &format!("token {short}"), "GET", path).await;
    assert_eq!(
        (over.status, over.message()),
        (401, "Bad credentials".to_owned())
    );

    world.github.app(7).tokens_last(Duration::from_secs(3600));
    let long = format!("token {}", token(&world).await);
    assert_eq!(ask(&world, &long, "GET", path).await.status, 200);
    world.github.expire_tokens("acme");
    assert_eq!(ask(&world, &long, "GET", path).await.status, 401);

    world.github.uninstall("acme");
    let gone = ask(&world, &bearer(7), "GET", "/repos/acme/app/installation").await;
    assert_eq!(gone.status, 404);
}

/// What git says the branch `main` points to, asked by HTTP with this password.
async fn head_by_git(world: &World, repository: &str, password: &str) -> Result<String, String> {
    let server = world.github.url().replace("http://", "");
    let url = format!("http://x-access-token:{password}@{server}/{repository}");
    let mut git = Command::new("git");
    git.args(["ls-remote", &url, "refs/heads/main"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = tokio::task::spawn_blocking(move || git.output().unwrap())
        .await
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)[..40].to_owned()),
        false => Err(said(&output.stderr)),
    }
}

#[tokio::test]
async fn git_is_served_to_who_may_read() {
    let world = World::new().await;
    let commit = world.commit();
    world.github.repository("acme/app").await.private();
    world.github.repository("acme/other").await.private();
    let installed = world.github.app(7).installed("acme");
    installed.without("acme/other");
    let token = token(&world).await;
    assert_eq!(head_by_git(&world, "acme/app", &token).await, Ok(commit));
    let asked = world.github.requests_to(Route::Git.of("acme/app"));
    let last = asked.last().unwrap();
    assert_eq!(
        (last.credential.as_str(), last.status),
        ("installation acme", Some(200))
    );
    for (repository, password, says) in [
        ("acme/app", "another", "Authentication failed"),
        ("acme/other", token.as_str(), "not found"),
    ] {
        let refusal = head_by_git(&world, repository, password).await.unwrap_err();
        assert!(refusal.contains(says), "{repository}: {refusal}");
    }
    let path = "/repos/acme/other/installation";
    assert_eq!(ask(&world, &bearer(7), "GET", path).await.status, 404);
}
