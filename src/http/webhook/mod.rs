//! `POST /build/<project>/hook`: GitHub tells of a push. The addresses of the service that this
//! one replaces, `/hook/…`, are the same.
//!
//! The order is what makes it safe: size, then signature over the bytes as they came, then
//! meaning. A push is answered once it is on disk with its builds, and a delivery that comes
//! again gets the answer it got before.

pub(super) mod payload;
mod signature;

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::CONTENT_TYPE;
use warp::http::{HeaderMap, StatusCode};

use self::payload::Told;
use super::access::is_type;
use super::answer::{self, Answer, Response, respond};
use super::failure::{ErrorView, Failure};
use super::filters::Body;
use super::view::CausedView;
use super::{Web, filters};
use crate::domain::build::Cause;
use crate::domain::names::{GitRef, RepositoryName};
use crate::domain::push::Push;
use crate::domain::webhooks;
use crate::store::NewBuilds;

/// GitHub drops payloads above this by itself.
/// Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>.
const LARGEST_BODY: usize = 25 * 1024 * 1024;

/// GitHub's delivery ids are UUIDs of 36 characters.
const LONGEST_DELIVERY_ID: usize = 100;

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
        .and(filters::body(web, LARGEST_BODY))
        .then(|(), web: Arc<Web>, headers, body| async move {
            let answer = hook(&web, headers, body).await;
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
        (status = 413, description = "over 25 MiB", body = ErrorView),
        (status = 415, description = "neither JSON nor a form", body = ErrorView),
    )
)]
async fn hook(web: &Web, headers: HeaderMap, body: Result<Body, Failure>) -> Answer {
    let answer = handle(web, &headers, body).await;
    let outcome = match &answer {
        Ok((outcome, _)) => outcome,
        Err(failure) if failure.status == StatusCode::UNAUTHORIZED => "unsigned",
        Err(failure) if failure.status.is_client_error() => "malformed",
        Err(_) => "failed",
    };
    web.service.metrics.delivered(outcome);
    if let Err(failure) = &answer {
        let delivery = header(&headers, "x-github-delivery");
        tracing::warn!(delivery, reason = %failure.error, "a webhook delivery was refused");
    }
    answer.map(|(_, response)| response)
}

type Outcome = &'static str;

async fn handle(
    web: &Web,
    headers: &HeaderMap,
    body: Result<Body, Failure>,
) -> Result<(Outcome, Response), Failure> {
    let body = body?;
    check_signature(web, headers, &body.bytes)?;
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
            let answer = format!("{reference} was deleted");
            let repository = spelling(web, repository);
            web.service.store.forget_head(repository, reference).await?;
            nothing(answer)
        }
        Told::Push(mut push) => {
            push.repository = spelling(web, push.repository);
            accept(web, delivery_id(headers)?, push).await
        }
    }
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

fn check_signature(web: &Web, headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let secret = web.service.config.borrow().github.webhook_secret.clone();
    let Some(secret) = secret else {
        return Ok(());
    };
    let given = header(headers, "x-hub-signature-256");
    signature::verify(secret.expose().as_bytes(), body, given).map_err(|error| {
        Failure::new(
            StatusCode::UNAUTHORIZED,
            error.to_string(),
            "the webhook's secret on GitHub must be `github.webhook_secret` of the service file",
        )
    })
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
    #[derive(Deserialize)]
    struct Form {
        payload: String,
    }
    let form: Form = serde_urlencoded::from_bytes(body).map_err(|error| {
        Failure::bad_request(
            format!("the form cannot be read: {error}"),
            "GitHub sends the payload in the field `payload`",
        )
    })?;
    Ok(Cow::Owned(form.payload.into_bytes()))
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
