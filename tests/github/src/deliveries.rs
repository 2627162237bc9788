//! Webhooks on their way: what is sent to whom, signed with which secret, and what came back.
//!
//! Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers>.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::events::Event;
use crate::exchange::Shared;
use crate::failures::Times;
use crate::push::repository_json;
use crate::routes::hooks::Hook;
use crate::state::State;

/// "Your server should respond with a 2XX response within 10 seconds."
/// Source: <https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds>.
const PATIENCE: Duration = Duration::from_secs(10);

/// One webhook: what was sent, and how it went.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: u64,
    /// `X-GitHub-Delivery`: the same for a delivery and when it is sent again.
    pub guid: String,
    pub repository: String,
    pub(crate) repository_id: u64,
    pub hook: u64,
    pub event: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the body says, whatever its content type.
    pub payload: Value,
    pub outcome: Outcome,
    pub at: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Waiting,
    /// Kept back until [`crate::Model::release`].
    Held,
    /// Lost, and nobody was told.
    Dropped,
    Answered {
        status: u16,
        body: String,
    },
    /// No answer came; why.
    Failed(String),
}

/// What happens to a push's delivery on its way.
#[derive(Clone, Copy, Debug)]
pub enum Post {
    /// It never arrives.
    Drop,
    /// It is kept back until it is released; so a story orders deliveries as it likes.
    Hold,
    Delay(Duration),
    /// It arrives twice, as the same delivery.
    Twice,
}

/// Notes a delivery that a hook is due, without sending it.
pub(crate) fn prepare(
    state: &mut State,
    index: usize,
    hook: &Hook,
    event: &str,
    payload: Value,
) -> u64 {
    let id = state.next_id();
    let repository = &state.repositories[index];
    let (content_type, body) = encoded(hook, &payload);
    let guid = guid();
    let mut headers = vec![
        ("accept".to_owned(), "*/*".to_owned()),
        ("content-type".to_owned(), content_type.to_owned()),
        ("user-agent".to_owned(), "GitHub-Hookshot/model".to_owned()),
        ("x-github-delivery".to_owned(), guid.clone()),
        ("x-github-event".to_owned(), event.to_owned()),
        ("x-github-hook-id".to_owned(), hook.id.to_string()),
        (
            "x-github-hook-installation-target-id".to_owned(),
            repository.id.to_string(),
        ),
        (
            "x-github-hook-installation-target-type".to_owned(),
            "repository".to_owned(),
        ),
    ];
    if let Some(secret) = &hook.secret {
        let signature = signature(secret, &body);
        headers.push(("x-hub-signature-256".to_owned(), signature));
    }
    let delivery = Delivery {
        id,
        guid,
        repository: repository.name.clone(),
        repository_id: repository.id,
        hook: hook.id,
        event: event.to_owned(),
        url: hook.url.clone(),
        headers,
        body,
        payload,
        outcome: Outcome::Waiting,
        at: SystemTime::now(),
    };
    state.deliveries.push(delivery);
    id
}

/// Sends a hook the event by which GitHub tries it; it goes out once the request at hand is answered.
pub(crate) fn ping(state: &mut State, index: usize, position: usize) {
    let repository = &state.repositories[index];
    let hook = repository.hooks[position].clone();
    let payload = json!({
        "zen": "Speak like a human.",
        "hook_id": hook.id,
        "hook": {
            "type": "Repository",
            "id": hook.id,
            "name": "web",
            "active": hook.active,
            "events": hook.events,
            "config": {"url": hook.url, "content_type": hook.content_type},
        },
        "repository": repository_json(repository),
    });
    let delivery = prepare(state, index, &hook, "ping", payload);
    state.outbox.push(delivery);
}

/// What the story wants to happen to the next delivery of a push.
pub(crate) fn next_post(state: &mut State) -> Option<Post> {
    let (times, post) = state.posts.front_mut()?;
    let post = *post;
    if let Times::Next(left) = times {
        *left = left.saturating_sub(1);
        if *left == 0 {
            state.posts.pop_front();
        }
    }
    Some(post)
}

/// Notes that a delivery is made again, under the id it had; GitHub's button "Redeliver".
/// Source: <https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks>.
pub(crate) fn again(state: &mut State, id: u64) -> u64 {
    let mut delivery = find(state, id).clone();
    delivery.id = state.next_id();
    delivery.outcome = Outcome::Waiting;
    delivery.at = SystemTime::now();
    let id = delivery.id;
    state.deliveries.push(delivery);
    id
}

pub(crate) fn find(state: &mut State, id: u64) -> &mut Delivery {
    state
        .deliveries
        .iter_mut()
        .find(|delivery| delivery.id == id)
        .unwrap_or_else(|| panic!("the model has no delivery {id}"))
}

/// Sends a delivery and notes what came back.
pub(crate) async fn send(shared: Arc<Shared>, id: u64) {
    let delivery = find(&mut shared.state(), id).clone();
    let outcome = match tokio::time::timeout(PATIENCE, post(&delivery)).await {
        Ok(Ok((status, body))) => Outcome::Answered { status, body },
        Ok(Err(reason)) => Outcome::Failed(reason),
        Err(_) => Outcome::Failed("timed out".to_owned()),
    };
    finish(&mut shared.state(), id, outcome);
}

/// Notes how a delivery ended.
pub(crate) fn finish(state: &mut State, id: u64, outcome: Outcome) {
    let delivery = find(state, id);
    delivery.outcome = outcome.clone();
    let (hook, repository) = (delivery.hook, delivery.repository_id);
    let event = Event::Delivered {
        repository: delivery.repository.clone(),
        event: delivery.event.clone(),
        url: delivery.url.clone(),
        outcome: outcome.to_string(),
    };
    let hooks = state
        .repositories
        .iter_mut()
        .filter(|known| known.id == repository)
        .flat_map(|known| &mut known.hooks);
    for hook in hooks.filter(|known| known.id == hook) {
        hook.last_response = match &outcome {
            Outcome::Answered { status, .. } if (200..300).contains(status) => {
                (Some(*status), "active".to_owned(), Some("OK".to_owned()))
            }
            Outcome::Answered { status, .. } => (
                Some(*status),
                "invalid-http-response".to_owned(),
                Some(format!("Invalid HTTP Response: {status}")),
            ),
            Outcome::Failed(reason) => (None, "connection-error".to_owned(), Some(reason.clone())),
            Outcome::Waiting | Outcome::Held | Outcome::Dropped => continue,
        };
    }
    state.tell(&event);
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waiting => formatter.write_str("on its way"),
            Self::Held => formatter.write_str("held back"),
            Self::Dropped => formatter.write_str("lost"),
            Self::Answered { status, .. } => write!(formatter, "answered {status}"),
            Self::Failed(reason) => write!(formatter, "no answer: {reason}"),
        }
    }
}

async fn post(delivery: &Delivery) -> Result<(u16, String), String> {
    let mut request = Request::post(&delivery.url);
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(delivery.body.clone())))
        .map_err(|error| error.to_string())?;
    // The model runs beside what it talks to: no TLS.
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    })?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The body in the hook's content type.
fn encoded(hook: &Hook, payload: &Value) -> (&'static str, Vec<u8>) {
    let json = payload.to_string();
    if hook.content_type == "json" {
        return ("application/json", json.into_bytes());
    }
    let form = serde_urlencoded::to_string([("payload", json)]).expect("text can be encoded");
    ("application/x-www-form-urlencoded", form.into_bytes())
}

/// Source: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>.
fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A random UUID.
fn guid() -> String {
    let random = u128::from(getrandom::u64().expect("random bits")) << 64
        | u128::from(getrandom::u64().expect("random bits"));
    // Version 4, variant 1: RFC 9562.
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_documented_one() {
        // Source: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>.
        assert_eq!(
            signature("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_form_holds_the_payload() {
        let payload = json!({"a": "b & c"});
        let (content_type, body) = encoded(&Hook::new("http://x"), &payload);
        assert_eq!(content_type, "application/x-www-form-urlencoded");
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(&body).unwrap();
        assert_eq!(pairs, [("payload".to_owned(), payload.to_string())]);
    }

    #[test]
    fn a_guid_is_a_random_uuid() {
        let guid = guid();
        let lengths: Vec<usize> = guid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&guid[14..15], "4");
        assert!("89ab".contains(&guid[19..20]), "{guid}");
        assert_ne!(guid, super::guid());
    }
}
