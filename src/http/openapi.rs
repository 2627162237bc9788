//! The description of the API for machines, written beside the handlers it describes.

use std::sync::{Arc, LazyLock};

use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, Method};

use super::access::is_open;
use super::answer::{self, Response};
use super::live::{ClientMessage, ServerMessage};
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
        super::builds::list_builds,
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
        super::repositories::list_repositories,
        super::service::service,
        super::gc::gc,
        super::session::session,
        super::session::sign_in,
        super::session::sign_out,
        super::health::healthz,
        super::health::readyz,
        super::health::metrics,
    ),
    components(schemas(ClientMessage, ServerMessage)),
    modifiers(&Token, &NullIsThere),
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
            .description(Some(
                "the API token: `api_token` of the service file is it, or its hash",
            ))
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

/// What we say holds everything: null where it is not known, and not left out. What may be left out
/// is never null. In what we are told, null and left out are the same.
struct NullIsThere;

impl Modify for NullIsThere {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let told = told_to_us(document);
        if let Some(components) = &mut document.components {
            let said = components.schemas.iter_mut();
            said.filter(|(name, _)| !told.contains(name))
                .for_each(|(_, schema)| require_nullable(schema));
        }
    }
}

/// Names of the schemas of requests' bodies and clients' messages.
fn told_to_us(document: &utoipa::openapi::OpenApi) -> Vec<String> {
    let operations = document.paths.paths.values().flat_map(|path| {
        [&path.post, &path.put, &path.patch, &path.delete]
            .into_iter()
            .flatten()
    });
    let bodies = operations.filter_map(|operation| operation.request_body.as_ref());
    let contents = bodies
        .filter_map(here)
        .flat_map(|body| body.content.values());
    let schemas = contents
        .filter_map(here)
        .filter_map(|content| content.schema.as_ref());
    let names = schemas.filter_map(|schema| match schema {
        RefOr::Ref(reference) => reference.ref_location.rsplit('/').next(),
        RefOr::T(_) => None,
    });
    let messages = ClientMessage::name();
    names.chain([&*messages]).map(str::to_owned).collect()
}

fn here<T>(part: &RefOr<T>) -> Option<&T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

fn require_nullable(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    match schema {
        Schema::Object(object) => {
            for (name, property) in &mut object.properties {
                require_nullable(property);
                if may_be_null(property) && !object.required.contains(name) {
                    object.required.push(name.clone());
                }
            }
        }
        Schema::OneOf(parts) => parts.items.iter_mut().for_each(require_nullable),
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(require_nullable),
        Schema::AnyOf(parts) => parts.items.iter_mut().for_each(require_nullable),
        _ => {}
    }
}

fn may_be_null(schema: &RefOr<Schema>) -> bool {
    let has_null = |kind: &SchemaType| match kind {
        SchemaType::Type(kind) => *kind == Type::Null,
        SchemaType::Array(kinds) => kinds.contains(&Type::Null),
        SchemaType::AnyValue => false,
    };
    match schema {
        RefOr::T(Schema::Object(object)) => has_null(&object.schema_type),
        RefOr::T(Schema::Array(array)) => has_null(&array.schema_type),
        RefOr::T(Schema::OneOf(parts)) => parts.items.iter().any(may_be_null),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

    /// Takes the document over where snapshots are: the same variable as insta's.
    #[test]
    fn the_copy_in_docs_is_the_document() {
        let served = format!("{}\n", *TEXT);
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(COPY, &served).unwrap();
        }
        let copy = std::fs::read_to_string(COPY).unwrap_or_default();
        let differs = copy
            .lines()
            .zip(served.lines())
            .position(|(copy, served)| copy != served);
        assert!(
            copy == served,
            "docs/openapi.json is not what is served (line {}); bring it up to date with\n    \
             INSTA_UPDATE=always cargo test --package autobuilder --lib the_copy_in_docs",
            differs.unwrap_or(copy.lines().count().min(served.lines().count())) + 1,
        );
    }

    #[test]
    fn what_we_say_is_never_both_null_and_left_out() {
        let document = document();
        let told = told_to_us(&document);
        assert_eq!(told, ["AskedBuild", "GcRequest", "SignIn", "ClientMessage"]);
        let document = serde_json::to_value(document).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for field in ["tag", "exit_code", "base", "limits", "usual", "started"] {
            let required = schemas["BuildView"]["required"].as_array().unwrap();
            assert!(required.contains(&field.into()), "{field}");
        }
        // Left out where there is nothing to say.
        assert_eq!(
            schemas["CausedView"]["required"],
            serde_json::json!(["builds"])
        );
        assert_eq!(
            schemas["CausedView"]["properties"]["reason"]["type"],
            "string"
        );
        // What is asked for may leave out what it does not choose.
        assert_eq!(
            schemas["AskedBuild"]["required"],
            serde_json::json!(["repository", "branch"])
        );
    }
}
