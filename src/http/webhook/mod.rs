//! `POST /build/<project>/hook`: GitHub tells of a push. The addresses of the service that this
//! one replaces, `/hook/…`, are the same.
//!
//! The order is what makes it safe: the sender's allowance, then size and pace, then signature over
//! the bytes as they came, then meaning. A push is answered once it is on disk with its builds, and
//! a delivery that comes again gets the answer it got before.

pub(super) mod payload;
mod signature;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use warp::http::{HeaderMap, StatusCode};

use self::payload::Told;
use super::access::{is_type, is_utf8};
use super::allowance::Allowance;
use super::answer::{self, Answer, Response, respond};
use super::body::{self, Body, Incoming};
use super::client::ANYONE;
use super::failure::{ErrorView, Failure};
use super::{Web, filters};
use crate::domain::build::Cause;
use crate::domain::names::{GitRef, RepositoryName};
use crate::domain::push::Push;
use crate::domain::webhooks;
use crate::service::view::CausedView;
use crate::store::NewBuilds;

/// GitHub drops payloads above this by itself.
/// Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>.
const LARGEST_BODY: usize = 25 * 1024 * 1024;

/// GitHub's delivery ids are UUIDs of 36 characters.
const LONGEST_DELIVERY_ID: usize = 100;

/// What deliveries cost that are not GitHub's, or may not be.
pub struct Limits {
    /// Those that are not signed with the secret. One that is takes none.
    refused: Allowance,
    /// All, where no secret is configured: many more than GitHub has to tell.
    unsigned: Allowance,
    /// Lines of the log that tell of a refusal, whosoever it was.
    told: Allowance,
    untold: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            refused: Allowance::new(60, Duration::from_secs(1)),
            unsigned: Allowance::new(1000, Duration::from_millis(50)),
            told: Allowance::new(10, Duration::from_secs(10)),
            untold: AtomicU64::default(),
        }
    }
}

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    // The project's name is free text that GitHub's settings show; nothing depends on it.
    let project = warp::path!("build" / String / "hook").map(|_project| ());
    let old = warp::path!("hook" / String).and_then(|name: String| async move {
        match webhooks::OLD_NAMES.contains(&name.as_str()) {
            true => Ok(()),
            false => Err(warp::reject::not_found()),
        }
    });
    project
        .or(old)
        .unify()
        .and(filters::posting("POST"))
        .and(filters::given(web))
        .and(warp::header::headers_cloned())
        .and(body::incoming(web))
        .then(|(), web: Arc<Web>, headers, incoming| async move {
            let answer = hook(&web, headers, incoming).await;
            respond(answer)
        })
        .boxed()
}

/// A delivery from GitHub.
///
/// 202 names the builds that a push caused; 200 says why there is nothing to build.
#[utoipa::path(
    post,
    path = "/build/{project}/hook",
    tag = "webhook",
    params(
        ("project" = String, Path, description = "an arbitrary name"),
        ("X-GitHub-Event" = String, Header, description = "`push` is built, others are answered with 200"),
        ("X-GitHub-Delivery" = Option<String>, Header, description = "a delivery seen again causes nothing new"),
        ("X-Hub-Signature-256" = Option<String>, Header, description = "`sha256=` and the HMAC-SHA256 of the body; needed where a secret is configured"),
    ),
    request_body(description = "GitHub's payload; also form-encoded as `payload=…`", content_type = "application/json", content = Object),
    responses(
        (status = 202, description = "the push is stored", body = CausedView),
        (status = 200, description = "nothing to do, and why", body = CausedView),
        (status = 400, description = "malformed", body = ErrorView),
        (status = 401, description = "the signature is missing or wrong", body = ErrorView),
        (status = 408, description = "the body came too slowly", body = ErrorView),
        (status = 413, description = "over 25 MiB", body = ErrorView),
        (status = 415, description = "neither JSON nor a form, compressed, or not in UTF-8", body = ErrorView),
        (status = 429, description = "too many of this address were refused; `Retry-After` says when there is one more", body = ErrorView),
        (status = 503, description = "too many large bodies arrive at the same time, or there is too little room on the disk to store the push; see `Retry-After`", body = ErrorView),
    )
)]
async fn hook(web: &Web, headers: HeaderMap, incoming: Incoming) -> Answer {
    let answer = handle(web, &headers, incoming).await;
    let outcome = match &answer {
        Ok((outcome, _)) => outcome,
        Err(failure) if failure.status == StatusCode::UNAUTHORIZED => "unsigned",
        Err(failure) if failure.status == StatusCode::TOO_MANY_REQUESTS => "limited",
        Err(failure) if failure.status.is_client_error() => "malformed",
        Err(_) => "failed",
    };
    web.service.metrics.delivered(outcome);
    if let Err(failure) = &answer {
        tell_of_refusal(&web.deliveries, &headers, failure);
    }
    answer.map(|(_, response)| response)
}

/// Whoever is refused often fills no log with it.
fn tell_of_refusal(limits: &Limits, headers: &HeaderMap, failure: &Failure) {
    if limits.told.spend(ANYONE).is_err() {
        limits.untold.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let delivery = header(headers, "x-github-delivery");
    let untold = limits.untold.swap(0, Ordering::Relaxed);
    tracing::warn!(delivery, reason = %failure.error, untold, "a webhook delivery was refused");
}

type Outcome = &'static str;

async fn handle(
    web: &Web,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<(Outcome, Response), Failure> {
    let body = read(web, headers, incoming).await?;
    check_coding(headers)?;
    let event = header(headers, "x-github-event").ok_or_else(|| {
        Failure::bad_request(
            "the header X-GitHub-Event is missing",
            "GitHub sends it with every delivery; this address is for GitHub's webhooks",
        )
    })?;
    let json = json_of(headers, &body.bytes)?;
    match event {
        "push" => {}
        "ping" => return nothing("pong: pushes will be built"),
        other => {
            let other: String = other.chars().take(60).collect();
            return nothing(format!("events of type {other} cause no builds"));
        }
    }
    let told = payload::parse(&json).map_err(|error| {
        Failure::bad_request(error.to_string(), "this is no push event of GitHub's")
    })?;
    match told {
        Told::Deletion(repository, reference) => {
            // Git is asked: who told of it may tell it again when the ref is long back.
            web.projects.look_at(spelling(web, repository));
            nothing(format!("{reference} was deleted"))
        }
        Told::Push(mut push) => {
            push.repository = spelling(web, push.repository);
            accept(web, delivery_id(headers)?, push).await
        }
    }
}

/// The body, signed if there is a secret. Who sends others too often is not even read.
async fn read(web: &Web, headers: &HeaderMap, incoming: Incoming) -> Result<Body, Failure> {
    let limits = &web.deliveries;
    let from = incoming.from();
    let secret = web.service.config.borrow().github.webhook_secret.clone();
    let Some(secret) = secret else {
        let spent = limits.unsigned.spend(from);
        spent.map_err(|wait| {
            Failure::too_many("too many deliveries came from this address", wait)
        })?;
        return incoming.read(web, LARGEST_BODY).await;
    };
    limits.refused.check(from).map_err(|wait| {
        Failure::too_many("too many deliveries of this address were refused", wait)
    })?;
    let read = async {
        let body = incoming.read(web, LARGEST_BODY).await?;
        check_signature(secret.expose().as_bytes(), headers, &body.bytes)?;
        Ok(body)
    };
    let body: Result<_, Failure> = read.await;
    if body
        .as_ref()
        .is_err_and(|failure| failure.status.is_client_error())
    {
        // Those that came at the same time may have taken the last.
        let _ = limits.refused.spend(from);
    }
    body
}

fn spelling(web: &Web, repository: RepositoryName) -> RepositoryName {
    let service = &web.service;
    let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
    config.tracking(&catalog).spelling(repository)
}

async fn accept(
    web: &Web,
    delivery: Option<String>,
    push: Push,
) -> Result<(Outcome, Response), Failure> {
    let service = &web.service;
    let repository = push.repository.clone();
    let (work, dependents) = {
        let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
        let tracking = config.tracking(&catalog);
        if !tracking.is_watched(&repository) {
            return nothing(format!("{repository} is not tracked"));
        }
        (
            tracking.work(&repository, &push.reference),
            tracking.dependents(&repository),
        )
    };
    if work.is_empty() && dependents.is_empty() {
        let (kind, name) = match &push.reference {
            GitRef::Branch(name) => ("branch", name),
            GitRef::Tag(name) => ("tag", name),
        };
        return nothing(format!("{kind} {name} of {repository} is not tracked"));
    }
    let cause = Cause::Push {
        pusher: push.pusher.clone(),
        forced: push.forced,
    };
    let commit = push.after.clone();
    let new = NewBuilds {
        work,
        dependents,
        cause,
        push,
    };
    let heard = service.store.hear_push(delivery, new).await?;
    let caused = CausedView::of(&heard.builds, &service.config.borrow());
    let outcome = if heard.known { "known" } else { "built" };
    if !heard.known {
        tracing::info!(%repository, sha = %commit, builds = heard.builds.len(), "push accepted");
    }
    web.projects.heard(repository, heard);
    Ok((outcome, answer::json(StatusCode::ACCEPTED, &caused)))
}

fn nothing(reason: impl Into<String>) -> Result<(Outcome, Response), Failure> {
    let answer = answer::json(StatusCode::OK, &CausedView::none(reason));
    Ok(("ignored", answer))
}

fn check_signature(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let given = header(headers, "x-hub-signature-256");
    signature::verify(secret, body, given).map_err(|error| {
        Failure::new(
            StatusCode::UNAUTHORIZED,
            error.to_string(),
            "the webhook's secret on GitHub must be `github.webhook_secret` of the service file",
        )
    })
}

/// GitHub neither compresses a payload nor writes it in anything but UTF-8. What is signed is the
/// body as it came, so no other form of it is guessed at.
fn check_coding(headers: &HeaderMap) -> Result<(), Failure> {
    let unsupported = |what: &str| {
        Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is {what}"),
            "send the payload as it is, in UTF-8",
        )
    };
    let coding = headers.get_all(CONTENT_ENCODING).iter();
    if coding
        .into_iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(unsupported("compressed, or encoded in another way"));
    }
    match is_utf8(headers.get(CONTENT_TYPE)) {
        true => Ok(()),
        false => Err(unsupported("not in UTF-8")),
    }
}

/// GitHub sends the payload as the body, or in a form as the field `payload`.
fn json_of<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Failure> {
    let content_type = headers.get(CONTENT_TYPE);
    if is_type(content_type, "application/json") {
        return Ok(Cow::Borrowed(body));
    }
    if !is_type(content_type, "application/x-www-form-urlencoded") {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is neither JSON nor a form",
            "choose application/json as the webhook's content type on GitHub",
        ));
    }
    let mut fields = body.split(|byte| *byte == b'&');
    let payload = fields.find_map(|field| field.strip_prefix(b"payload="));
    let payload = payload.ok_or_else(|| {
        Failure::bad_request(
            "the form has no field `payload`",
            "GitHub sends the payload in it",
        )
    })?;
    let spaced: Vec<u8> = payload
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    // Bytes, and not text: what is no UTF-8 is found where the JSON is read.
    Ok(Cow::Owned(percent_decode(&spaced).collect()))
}

fn delivery_id(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(id) = header(headers, "x-github-delivery") else {
        return Ok(None);
    };
    let is_id = !id.is_empty()
        && id.len() <= LONGEST_DELIVERY_ID
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match is_id {
        true => Ok(Some(id.to_owned())),
        false => Err(Failure::bad_request(
            "the header X-GitHub-Delivery is not an id",
            "GitHub sends a UUID",
        )),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
