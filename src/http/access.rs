//! Who may do what: the API token for whatever changes state, and the origin of WebSockets.

use subtle::ConstantTimeEq;
use url::Url;
use warp::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::failure::Failure;
use crate::service::Service;

/// Passes requests that bear the API token.
///
/// The comparison takes the same time wherever two tokens of one length differ.
pub fn authorize(service: &Service, headers: &HeaderMap) -> Result<(), Failure> {
    let refused = |error: &str| {
        Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            error,
            "send `Authorization: Bearer <api_token>`; where the service file names no token, \
             it is in the file api-token of the data directory",
        ))
    };
    let Some(given) = bearer(headers) else {
        return refused("this needs the API token");
    };
    let configured = service.config.borrow().api_token.clone();
    let expected = match configured {
        Some(token) => token.expose().to_owned(),
        None => service
            .directory
            .api_token()
            .map_err(|error| Failure::internal("the API token could not be read", &error))?,
    };
    match bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
        true => Ok(()),
        false => refused("this is not the API token"),
    }
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

/// Browsers let any page open a WebSocket to any host, but say where the page is from. Only the
/// monitor's own pages are let in; what sends no origin is no browser.
pub fn check_origin(headers: &HeaderMap, public_url: &str) -> Result<(), Failure> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_ours = origin.is_some_and(|origin| {
        let from_public = Url::parse(public_url).is_ok_and(|url| url.origin() == origin.origin());
        from_public || host.is_some_and(|host| is_host(&origin, host))
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
        let allowed = |origin: &str, host: &str| {
            let headers = headers(&[("origin", origin), ("host", host)]);
            check_origin(&headers, "https://builds.example.org").is_ok()
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
        assert!(check_origin(&headers(&[("host", "x")]), "https://y").is_ok());
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
