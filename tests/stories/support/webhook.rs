//! GitHub, telling the service of a push.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::RequestBuilder;
use sha2::Sha256;

use super::api::Answer;
use super::repository::Push;
use super::service::{Service, WEBHOOK_SECRET};

/// A delivery as GitHub sends it; a story may change any part of it.
#[derive(Clone)]
pub struct Delivery {
    pub event: Option<String>,
    pub id: String,
    pub content_type: String,
    pub signature: Option<String>,
    pub body: Vec<u8>,
}

/// What the service answered to a push that it took.
pub struct Told {
    pub builds: Vec<String>,
}

impl Delivery {
    pub fn of(push: &Push) -> Self {
        Self::event("push", push.payload.to_string().into_bytes())
    }

    /// A signed JSON delivery of any event.
    pub fn event(event: &str, body: Vec<u8>) -> Self {
        let number = getrandom::u64().unwrap();
        Self {
            event: Some(event.to_owned()),
            id: format!(
                "0e8f6ac0-0000-11ef-{:04x}-{:012x}",
                number >> 48,
                number & 0xffff_ffff_ffff
            ),
            content_type: "application/json".to_owned(),
            signature: Some(signature(WEBHOOK_SECRET, &body)),
            body,
        }
    }

    /// The same in GitHub's other content type.
    pub fn form_encoded(mut self) -> Self {
        let text = String::from_utf8(self.body).unwrap();
        self.body = serde_urlencoded::to_string([("payload", text)])
            .unwrap()
            .into_bytes();
        self.signature = Some(signature(WEBHOOK_SECRET, &self.body));
        "application/x-www-form-urlencoded".clone_into(&mut self.content_type);
        self
    }
}

pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Service {
    /// Tells of a push, which has to be taken, and returns its builds.
    pub async fn webhook(&self, push: &Push) -> Told {
        let answer = self.deliver(&Delivery::of(push)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        Told {
            builds: builds_in(&answer),
        }
    }

    /// Tells of a push that causes one build, and returns that.
    pub async fn pushed(&self, push: &Push) -> String {
        let mut told = self.webhook(push).await;
        assert_eq!(told.builds.len(), 1, "{:?}", told.builds);
        told.builds.remove(0)
    }

    pub async fn deliver(&self, delivery: &Delivery) -> Answer {
        Answer::of(self.delivery_request(delivery)).await
    }

    pub fn delivery_request(&self, delivery: &Delivery) -> RequestBuilder {
        let mut request = self
            .http
            .post(self.url("/build/story/hook"))
            .header("content-type", &delivery.content_type)
            .header("x-github-delivery", &delivery.id)
            .body(delivery.body.clone());
        if let Some(event) = &delivery.event {
            request = request.header("x-github-event", event);
        }
        if let Some(signature) = &delivery.signature {
            request = request.header("x-hub-signature-256", signature);
        }
        request
    }
}

/// The ids of the builds that an answer lists.
pub fn builds_in(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let builds = json["builds"].as_array().expect("a list of builds");
    builds
        .iter()
        .map(|build| build["id"].as_str().unwrap().to_owned())
        .collect()
}
