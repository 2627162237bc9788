//! What GitHub sends, and what it gets back.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::*;

fn payload(after: char) -> Value {
    json!({
        "ref": "refs/heads/main",
        "before": "0".repeat(40),
        "after": after.to_string().repeat(40),
        "deleted": false,
        "forced": false,
        "repository": {"full_name": "acme/app", "default_branch": "main"},
        "pusher": {"name": "ada"},
        "commits": [],
        "head_commit": null
    })
}

/// A delivery that GitHub would make, signed where there is a secret.
struct Delivery {
    event: &'static str,
    id: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    signature: Option<String>,
}

impl Delivery {
    fn push(payload: &Value) -> Self {
        Self {
            event: "push",
            id: "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            content_type: "application/json",
            body: serde_json::to_vec(payload).unwrap(),
            signature: None,
        }
    }

    fn signed(mut self, secret: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.body);
        let digits = hex::encode(mac.finalize().into_bytes());
        self.signature = Some(format!("sha256={digits}"));
        self
    }

    async fn send(&self, fixture: &Fixture) -> HttpResponse<bytes::Bytes> {
        let mut request = warp::test::request()
            .method("POST")
            .path("/build/acme/hook")
            .header("content-type", self.content_type)
            .header("x-github-event", self.event)
            .header("x-github-delivery", self.id)
            .body(&self.body);
        if let Some(signature) = &self.signature {
            request = request.header("x-hub-signature-256", signature);
        }
        request.reply(&fixture.routes).await
    }
}

#[tokio::test]
async fn a_push_is_answered_with_its_builds_and_a_redelivery_with_the_same() {
    let fixture = Fixture::new();
    let delivery = Delivery::push(&payload('a'));
    let response = delivery.send(&fixture).await;
    assert_eq!(response.status(), 202);
    let first = json(&response);
    let builds = first["builds"].as_array().unwrap();
    assert_eq!(builds.len(), 2);
    let id = builds[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        builds[0]["url"],
        format!("http://127.0.0.1:5560/monitor/builds/{id}")
    );

    let again = delivery.send(&fixture).await;
    assert_eq!((again.status().as_u16(), json(&again)), (202, first));
    assert_eq!(fixture.all().await.len(), 2);
    assert_eq!(
        fixture
            .store()
            .build(id.parse().unwrap())
            .await
            .unwrap()
            .commit,
        sha('a')
    );
}

#[tokio::test]
async fn a_form_is_as_good_as_json() {
    let fixture = Fixture::new();
    let mut delivery = Delivery::push(&payload('a'));
    let payload = String::from_utf8(delivery.body).unwrap();
    delivery.body = serde_urlencoded::to_string([("payload", payload)])
        .unwrap()
        .into_bytes();
    delivery.content_type = "application/x-www-form-urlencoded";
    fixture.configure(|config| config.github.webhook_secret = Some(Secret::new("s")));
    assert_eq!(delivery.signed("s").send(&fixture).await.status(), 202);
}

#[tokio::test]
async fn only_those_who_know_the_secret_are_heard() {
    let fixture = Fixture::new();
    fixture.configure(|config| config.github.webhook_secret = Some(Secret::new("right")));
    let unsigned = Delivery::push(&payload('a')).send(&fixture).await;
    insta::assert_snapshot!(failure(&unsigned), @"401: the delivery is not signed; the webhook's secret on GitHub must be `github.webhook_secret` of the service file");
    let forged = Delivery::push(&payload('a'))
        .signed("wrong")
        .send(&fixture)
        .await;
    insta::assert_snapshot!(failure(&forged), @"401: the signature does not fit the body and the secret; the webhook's secret on GitHub must be `github.webhook_secret` of the service file");
    assert!(fixture.all().await.is_empty());
    let signed = Delivery::push(&payload('a'))
        .signed("right")
        .send(&fixture)
        .await;
    assert_eq!(signed.status(), 202);
}

#[tokio::test]
async fn where_there_is_nothing_to_build_the_answer_says_why() {
    let fixture = Fixture::new();
    let mut reasons = Vec::new();
    let mut tell = async |event, change: fn(&mut Value)| {
        let mut payload = payload('a');
        change(&mut payload);
        let delivery = Delivery {
            event,
            ..Delivery::push(&payload)
        };
        let response = delivery.send(&fixture).await;
        assert_eq!(response.status(), 200);
        let json = json(&response);
        assert_eq!(json["builds"], json!([]));
        reasons.push(json["reason"].as_str().unwrap().to_owned());
    };
    tell("ping", |_| ()).await;
    tell("issues", |_| ()).await;
    tell("push", |payload| payload["deleted"] = true.into()).await;
    tell("push", |payload| payload["ref"] = "refs/heads/other".into()).await;
    tell("push", |payload| {
        payload["repository"]["full_name"] = "acme/other".into()
    })
    .await;
    insta::assert_snapshot!(reasons.join("\n"), @r###"
    pong: pushes will be built
    events of type issues cause no builds
    refs/heads/main was deleted
    branch other of acme/app is not tracked
    acme/other is not tracked
    "###);
}

#[tokio::test]
async fn githubs_spelling_of_a_name_is_as_good_as_ours() {
    let fixture = Fixture::new();
    let mut payload = payload('a');
    payload["repository"]["full_name"] = "Acme/APP".into();
    let response = Delivery::push(&payload).send(&fixture).await;
    assert_eq!(response.status(), 202);
    for build in fixture.all().await {
        assert_eq!(build.repository.as_str(), "acme/app");
    }
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_what_was_wrong() {
    let fixture = Fixture::new();
    let mut delivery = Delivery::push(&payload('a'));
    delivery.body = b"{".to_vec();
    insta::assert_snapshot!(failure(&delivery.send(&fixture).await), @"400: the payload is not what GitHub sends for a push: EOF while parsing an object at line 1 column 1; this is no push event of GitHub's");
    let climbing = Delivery::push(&{
        let mut payload = payload('a');
        payload["ref"] = "refs/heads/../../etc".into();
        payload
    });
    insta::assert_snapshot!(failure(&climbing.send(&fixture).await), @r#"400: the payload's ref: "../../etc" is not a branch name: it holds .. or @{, is @, or ends in a dot; this is no push event of GitHub's"#);
    let text = Delivery {
        content_type: "text/plain",
        ..Delivery::push(&payload('a'))
    };
    insta::assert_snapshot!(failure(&text.send(&fixture).await), @"415: the body is neither JSON nor a form; choose application/json as the webhook's content type on GitHub");
    let id = Delivery {
        id: "a b",
        ..Delivery::push(&payload('a'))
    };
    insta::assert_snapshot!(failure(&id.send(&fixture).await), @"400: the header X-GitHub-Delivery is not an id; GitHub sends a UUID");
    let no_event = warp::test::request()
        .method("POST")
        .path("/build/acme/hook")
        .json(&payload('a'))
        .reply(&fixture.routes)
        .await;
    insta::assert_snapshot!(failure(&no_event), @"400: the header X-GitHub-Event is missing; GitHub sends it with every delivery; this address is for GitHub's webhooks");
}

#[tokio::test]
async fn a_body_over_25_mib_is_not_read() {
    let fixture = Fixture::new();
    let mut delivery = Delivery::push(&payload('a'));
    delivery.body = vec![b' '; 25 * 1024 * 1024 + 1];
    insta::assert_snapshot!(failure(&delivery.send(&fixture).await), @"413: the body is too large; at most 26214400 bytes are taken");
}

/// Payloads as GitHub documents them, where there is a folder of them.
#[tokio::test]
async fn githubs_own_examples_are_answered_sensibly() {
    let Ok(folder) = std::env::var("AUTOBUILDER_FIXTURES") else {
        return;
    };
    let fixture = Fixture::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let event = name.split('.').next().unwrap().to_owned();
        let delivery = Delivery {
            event: event.leak(),
            body: std::fs::read(&path).unwrap(),
            ..Delivery::push(&Value::Null)
        };
        let response = delivery.send(&fixture).await;
        assert_eq!(response.status(), 200, "{name}: {:?}", response.body());
        println!("{name}: {}", json(&response)["reason"]);
    }
}

#[tokio::test]
async fn who_is_refused_often_waits_and_who_knows_the_secret_never_does() {
    let fixture = Fixture::new();
    fixture.configure(|config| config.github.webhook_secret = Some(Secret::new("right")));
    let ping = Delivery {
        event: "ping",
        ..Delivery::push(&payload('a'))
    };
    let signed = ping.signed("right");
    for _ in 0..10_000 {
        assert_eq!(signed.send(&fixture).await.status(), 200);
    }
    let stranger = Delivery::push(&payload('a'));
    let mut limited = stranger.send(&fixture).await;
    let mut refused = 0;
    while limited.status() == 401 && refused < 200 {
        limited = stranger.send(&fixture).await;
        refused += 1;
    }
    assert!((60..200).contains(&refused), "{refused}");
    assert!(failure(&limited).starts_with("429: too many deliveries of this address were refused"));
    assert_eq!(limited.headers()["retry-after"], "1");
    // It is the address that waits, whatever it sends.
    assert_eq!(signed.send(&fixture).await.status(), 429);
}

#[tokio::test]
async fn without_a_secret_there_is_an_end_to_deliveries_of_an_address() {
    let fixture = Fixture::new();
    let delivery = Delivery::push(&payload('a'));
    let mut taken = 0;
    while taken < 10_000 && delivery.send(&fixture).await.status() == 202 {
        taken += 1;
    }
    assert!((1000..10_000).contains(&taken), "{taken}");
}

#[tokio::test]
async fn only_the_payload_itself_in_utf8_is_read() {
    let fixture = Fixture::new();
    let refusal = async |name: &str, value: &str, body: Vec<u8>| {
        let response = warp::test::request()
            .method("POST")
            .path("/build/acme/hook")
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header(name, value)
            .body(body)
            .reply(&fixture.routes)
            .await;
        match response.status().as_u16() {
            202 => "202".to_owned(),
            _ => failure(&response),
        }
    };
    let json = || serde_json::to_vec(&payload('a')).unwrap();
    // 10 MiB of spaces, compressed to 10 KiB, are not unpacked.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b' '; 10 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 16 * 1024);
    insta::assert_snapshot!(refusal("content-encoding", "gzip", bomb).await, @"415: the body is compressed, or encoded in another way; send the payload as it is, in UTF-8");
    for coding in ["br", "deflate", "identity, gzip", ""] {
        let refused = refusal("content-encoding", coding, json()).await;
        assert!(refused.starts_with("415"), "{coding}");
    }
    assert_eq!(refusal("content-encoding", "Identity", json()).await, "202");
    let with_charset = async |charset: &str| {
        let mut delivery = Delivery::push(&payload('b'));
        let content_type = format!("application/json; {charset}");
        delivery.content_type = content_type.leak();
        let response = delivery.send(&fixture).await;
        match response.status().as_u16() {
            202 => "202".to_owned(),
            _ => failure(&response),
        }
    };
    insta::assert_snapshot!(with_charset("charset=utf-16").await, @"415: the body is not in UTF-8; send the payload as it is, in UTF-8");
    assert!(with_charset("Charset=\"latin1\"").await.starts_with("415"));
    for utf8 in ["charset=utf-8", "charset=\"UTF-8\"", "boundary=x"] {
        assert_eq!(with_charset(utf8).await, "202");
    }
}

#[tokio::test]
async fn what_is_no_utf8_is_refused_in_a_form_too() {
    let fixture = Fixture::new();
    let refusal = async |content_type: &'static str, body: Vec<u8>| {
        let delivery = Delivery {
            content_type,
            body,
            ..Delivery::push(&Value::Null)
        };
        failure(&delivery.send(&fixture).await)
    };
    let form = "application/x-www-form-urlencoded";
    insta::assert_snapshot!(refusal(form, b"payload={\"ref\":\"%FF\"}".to_vec()).await, @"400: the payload is not what GitHub sends for a push: invalid unicode code point at line 1 column 9; this is no push event of GitHub's");
    insta::assert_snapshot!(refusal("application/json", b"{\"ref\":\"\xff\"}".to_vec()).await, @"400: the payload is not what GitHub sends for a push: invalid unicode code point at line 1 column 9; this is no push event of GitHub's");
    insta::assert_snapshot!(refusal(form, b"a=b&c".to_vec()).await, @"400: the form has no field `payload`; GitHub sends the payload in it");
    insta::assert_snapshot!(refusal(form, b"payload=%".to_vec()).await, @"400: the payload is not what GitHub sends for a push: expected value at line 1 column 1; this is no push event of GitHub's");
}

#[tokio::test]
async fn json_nested_deeply_ends_nothing_but_its_request() {
    let fixture = Fixture::new();
    let answer = async |before: &str, open: &str, after: &str| {
        let close = if open == "[" { "]" } else { "1}" };
        let depth = 1_000_000;
        let nest = format!("{}{}", open.repeat(depth), close.repeat(depth));
        let mut delivery = Delivery::push(&Value::Null);
        delivery.body = format!("{before}{nest}{after}").into_bytes();
        delivery.send(&fixture).await
    };
    for open in ["[", "{\"a\":"] {
        for before in ["", "{\"ref\":", "{\"commits\":", "{\"pusher\":", "{\"x\":"] {
            let after = if before.is_empty() { "" } else { "}" };
            let response = answer(before, open, after).await;
            assert_eq!(response.status(), 400, "{before}{open}");
            assert!(failure(&response).contains("the payload is not what GitHub sends"));
        }
    }
    // What is not looked at does no harm.
    let whole = payload('a').to_string();
    let whole = format!("{},\"x\":", whole.strip_suffix('}').unwrap());
    assert_eq!(answer(&whole, "[", "}").await.status(), 202);
}
