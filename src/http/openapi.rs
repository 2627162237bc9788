//! The description of the API for machines, written beside the handlers it describes.

use std::sync::{Arc, LazyLock};

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, Method};

use super::access::is_open;
use super::answer::{self, Response};
use super::{filters, session};

const READING: &str = "GET, HEAD";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "autobuilder",
        description = "A self-hosted build service: pushes in, builds in containers, logs live, \
                       artifacts out. The WebSocket at /api/v1/live is described in \
                       docs/live-protocol.md.",
        license(name = "Apache-2.0"),
    ),
    paths(
        super::builds::list,
        super::builds::one,
        super::builds::lane,
        super::builds::log,
        super::builds::search,
        super::builds::marks,
        super::builds::times,
        super::builds::list_artifacts,
        super::builds::artifact,
        super::builds::ask,
        super::builds::cancel,
        super::builds::rebuild,
        super::live::live,
        super::webhook::hook,
        super::legacy::status,
        super::legacy::history,
        super::legacy::full_history,
        super::legacy::sync,
        super::legacy::buildio,
        super::legacy::branch_log,
        super::legacy::report,
        super::badge::badge,
        super::configuration::configuration,
        super::github::github,
        super::repositories::list,
        super::service::service,
        super::gc::gc,
        super::session::session,
        super::session::sign_in,
        super::session::sign_out,
        super::health::healthz,
        super::health::readyz,
        super::health::metrics,
    ),
    modifiers(&Token),
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let operations = [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation
                    && !is_open(&method, path)
                {
                    let responses = &mut operation.responses.responses;
                    responses
                        .entry("401".to_owned())
                        .or_insert_with(|| refusal().into());
                }
            }
        }
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`api_token` of the service file"))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("token", SecurityScheme::Http(bearer));
            let cookie = ApiKeyValue::with_description(
                session::SECURE_NAME,
                "what `POST /api/v1/session` gives a browser; where that reaches the service by \
                 plain HTTP from another machine, without the prefix `__Host-`",
            );
            let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
            components.add_security_scheme("session", cookie);
        }
    }
}

/// The answer to strangers where `monitor.private` is set.
fn refusal() -> utoipa::openapi::Response {
    let error = Ref::from_schema_name("ErrorView");
    ResponseBuilder::new()
        .description("`monitor.private` is set, and the token or session is missing or wrong")
        .content("application/json", Content::new(Some(error)))
        .build()
}

pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

static TEXT: LazyLock<Arc<str>> = LazyLock::new(|| {
    let text = document().to_pretty_json();
    text.expect("the document is made of strings and lists")
        .into()
});

pub fn routes() -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "openapi.json")
        .and(filters::reading(READING))
        .map(|| {
            let json = HeaderValue::from_static("application/json");
            answer::with_type(json, TEXT.to_string())
        })
        .boxed()
}
