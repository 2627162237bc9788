//! Who may do what: the guard that every request passes, the API token or a session for whatever
//! changes state, and the origin of pages.

use std::net::IpAddr;
use std::sync::Arc;

use url::Url;
use warp::filters::path::FullPath;
use warp::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::{Filter, Rejection};

use super::client::{self, Peer};
use super::failure::Failure;
use super::session::{self, Seal, Session};
use super::{Web, filters, hosts};
use crate::config::ServiceConfig;
use crate::domain::token::TokenHash;
use crate::service::Service;

/// What a request proves its right with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    Token,
    /// The cookie of a browser, which it sends with whatever page makes it ask.
    Session,
}

/// What every request passes before it finds its route. It tells whether everybody may see the
/// answer.
pub fn guard(web: &Arc<Web>) -> impl Filter<Extract = (bool,), Error = Rejection> + Clone + use<> {
    filters::given(web)
        .and(warp::method())
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional())
        .and_then(
            |web: Arc<Web>, method: Method, path: FullPath, headers: HeaderMap, peer| async move {
                admit(&web, &method, path.as_str(), &headers, peer).map_err(warp::reject::custom)
            },
        )
}

fn admit(
    web: &Web,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    peer: Option<Peer>,
) -> Result<bool, Failure> {
    let service = &web.service;
    let config = service.config.borrow().clone();
    if !is_of_machines(path) {
        hosts::check(headers, &config)?;
    }
    let is_closed = config.monitor.private && !is_open(method, path);
    let is_change = !matches!(*method, Method::GET | Method::HEAD);
    let tells_right_from_wrong = is_closed || is_change || path == session::PATH;
    if !tells_right_from_wrong {
        return Ok(true);
    }
    let credential = match bearer(headers) {
        Some(given) => {
            let token = api_token(service)?;
            let client = client::client(peer, headers, &config.trusted_proxies);
            let is_right = try_token(web, client, &token, given)?;
            is_right.then_some(Credential::Token)
        }
        None => credential(service, headers)?,
    };
    if is_change && credential == Some(Credential::Session) {
        check_own_page(headers, &config)?;
    }
    match is_closed && credential.is_none() {
        true => Err(refusal(headers)),
        false => Ok(!is_closed),
    }
}

/// What strangers may ask for where `monitor.private` is set: what shows no build, and what has a
/// secret of its own. The description of the API says no more than the published source does, and
/// programs are made from it. Everything that is not named here is closed.
pub fn is_open(method: &Method, path: &str) -> bool {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    match segments[..] {
        [""] | ["healthz" | "readyz"] | ["monitor", ..] => true,
        ["api", "v1", "session" | "openapi.json"] => true,
        ["build", _, "hook"] | ["hook", _] => *method == Method::POST,
        _ => false,
    }
}

/// What machines ask for, under whatever name they were told: what has a secret of its own, counts
/// only, or is polled by what was made for the older service.
fn is_of_machines(path: &str) -> bool {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    matches!(
        segments[..],
        ["healthz" | "readyz" | "metrics"]
            | ["build", _, "hook"]
            | ["hook", _]
            | ["build", "status" | "history" | "sync"]
            | ["build", "history", "full"]
    )
}

/// Passes requests that bear the API token, or come from a browser that was signed in with it.
pub fn authorize(service: &Service, headers: &HeaderMap) -> Result<(), Failure> {
    match credential(service, headers)? {
        Some(_) => Ok(()),
        None => Err(refusal(headers)),
    }
}

fn refusal(headers: &HeaderMap) -> Failure {
    let error = match bearer(headers) {
        Some(_) => "this is not the API token",
        None if Session::is_named_in(headers) => "the session has ended",
        None => "this needs the API token",
    };
    Failure::new(
        StatusCode::UNAUTHORIZED,
        error,
        "sign in at /monitor, or send `Authorization: Bearer <token>`; `api_token` of the service \
         file is the token or its hash, and where there is none, the token is in the file api-token \
         of the data directory",
    )
}

/// What a request proves its right with. A token that is wrong is not made good by a cookie.
pub fn credential(service: &Service, headers: &HeaderMap) -> Result<Option<Credential>, Failure> {
    if let Some(given) = bearer(headers) {
        let is_right = api_token(service)?.is_of(given);
        return Ok(is_right.then_some(Credential::Token));
    }
    if !Session::is_named_in(headers) {
        return Ok(None);
    }
    let is_valid = Session::is_valid_in(headers, &seal(service)?);
    Ok(is_valid.then_some(Credential::Session))
}

/// What a connection proved its right with, for a connection that outlives its request.
pub struct Pass {
    /// Those that [`credential`] looks at.
    headers: HeaderMap,
}

impl Pass {
    pub fn of(headers: &HeaderMap) -> Self {
        let kept = headers
            .iter()
            .filter(|(name, _)| [AUTHORIZATION, COOKIE].contains(name));
        let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
        Self {
            headers: kept.collect(),
        }
    }

    /// Whether the service would still show its builds: it may have become private, the token
    /// another, the session old.
    pub fn holds(&self, service: &Service) -> Result<bool, Failure> {
        let is_private = service.config.borrow().monitor.private;
        Ok(!is_private || credential(service, &self.headers)?.is_some())
    }
}

/// Whether this is the API token, if whoever asks may still try.
pub fn try_token(web: &Web, from: IpAddr, token: &TokenHash, given: &str) -> Result<bool, Failure> {
    let tried = web.tries.attempt(from, || token.is_of(given));
    tried.map_err(|wait| Failure::too_many("too many wrong tokens came from this address", wait))
}

pub fn api_token(service: &Service) -> Result<TokenHash, Failure> {
    match service.config.borrow().api_token {
        Some(token) => Ok(token),
        None => service
            .directory
            .api_token()
            .map_err(|error| Failure::internal("the API token could not be read", &error)),
    }
}

/// What the sessions of this token are sealed with.
pub fn seal(service: &Service) -> Result<Seal, Failure> {
    let key = service
        .directory
        .session_key()
        .map_err(|error| Failure::internal("the key of sessions could not be read", &error))?;
    Ok(Seal {
        key,
        token: api_token(service)?,
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A body, where there is one, must be JSON: the one kind that no form of another site can send.
pub fn expect_json(headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    if body.is_empty() || is_type(headers.get(CONTENT_TYPE), "application/json") {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body is not JSON",
        "send `Content-Type: application/json`",
    ))
}

/// Whether a content type is this one, parameters apart.
pub fn is_type(value: Option<&HeaderValue>, wanted: &str) -> bool {
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case(wanted)
}

/// Whether a content type names no charset, or UTF-8.
pub fn is_utf8(value: Option<&HeaderValue>) -> bool {
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let parameters = value.split(';').skip(1);
    let mut charsets = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.all(|(_, charset)| {
        let charset = charset.trim().trim_matches('"');
        charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
    })
}

/// Browsers let any page open a WebSocket to any host, but say where the page is from. Only the
/// monitor's own pages are let in; what sends no origin is no browser.
pub fn check_origin(headers: &HeaderMap, config: &ServiceConfig) -> Result<(), Failure> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_ours = origin.is_some_and(|origin| {
        let public = Url::parse(config.public_url.as_str());
        let from_public = public.is_ok_and(|url| url.origin() == origin.origin());
        let is_own = |host: url::Host<&str>| hosts::is_ours(&host, config);
        let from_own = || origin.host().is_some_and(is_own);
        from_public || host.is_some_and(|host| is_host(&origin, host) && from_own())
    });
    match is_ours {
        true => Ok(()),
        false => Err(Failure::new(
            StatusCode::FORBIDDEN,
            "pages of other sites may not connect",
            "open the monitor at `public_url`, or set that key of the service file to the \
             address the monitor is opened at",
        )),
    }
}

/// Passes requests that a page of the monitor makes. Browsers say where each change comes from: by
/// `Origin`, and to addresses they trust by `Sec-Fetch-Site`, neither of which a page can forge.
pub fn check_own_page(headers: &HeaderMap, config: &ServiceConfig) -> Result<(), Failure> {
    let site = headers.get("sec-fetch-site");
    let is_same_origin = site.is_some_and(|site| site == "same-origin");
    let is_ours = || headers.contains_key(ORIGIN) && check_origin(headers, config).is_ok();
    if is_same_origin || is_ours() {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "a change that a session permits has to come from the monitor's own page",
        "open the monitor at `public_url`, or set that key of the service file to the address \
         the monitor is opened at; a program sends `Authorization: Bearer <token>`",
    ))
}

/// Whether an origin is that of the host a request was sent to, whatever the scheme: TLS may end
/// at a proxy before us.
fn is_host(origin: &Url, host: &str) -> bool {
    let Ok(own) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    own.host() == origin.host() && own.port_or_known_default() == origin.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name: warp::http::HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn only_pages_of_the_same_host_or_the_public_address_connect() {
        let mut config = ServiceConfig {
            public_url: "https://builds.example.org".to_owned().try_into().unwrap(),
            ..ServiceConfig::default()
        };
        config.monitor.hosts = vec!["box.lan".to_owned()];
        let allowed = |origin: &str, host: &str| {
            let headers = headers(&[("origin", origin), ("host", host)]);
            check_origin(&headers, &config).is_ok()
        };
        assert!(allowed("http://127.0.0.1:5560", "127.0.0.1:5560"));
        assert!(allowed("https://box.lan", "box.lan"));
        assert!(allowed("https://builds.example.org", "10.0.0.7:5560"));
        for other in [
            "https://evil.example.org",
            "http://127.0.0.1:8080",
            "https://builds.example.org.evil.org",
            "null",
            "file://",
            "",
        ] {
            assert!(!allowed(other, "127.0.0.1:5560"), "{other}");
        }
        // What any name can be made to say of itself.
        assert!(!allowed("http://evil.example.org", "evil.example.org"));
        assert!(check_origin(&headers(&[("host", "x")]), &config).is_ok());
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        let found = |value: &str| bearer(&headers(&[("authorization", value)])).map(str::to_owned);
        assert_eq!(found("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(found("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(found("Basic abc"), None);
        assert_eq!(found("Bearer"), None);
    }

    #[test]
    fn a_content_type_may_have_parameters() {
        let json = HeaderValue::from_static("Application/JSON; charset=utf-8");
        assert!(is_type(Some(&json), "application/json"));
        assert!(!is_type(None, "application/json"));
    }
}
