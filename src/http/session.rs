//! `/api/v1/session`: a browser signs in with the API token once, and has a cookie from then on.
//!
//! The cookie says until when it holds, sealed with the token's hash and a key of the data
//! directory. So the service keeps no sessions, they outlive its restarts, and all of them end when
//! the token is another. Who has read the hash in a service file cannot make one without the key.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{COOKIE, ORIGIN, SET_COOKIE};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::Web;
use super::access::{api_token, check_own_page, credential, expect_json, seal, try_token};
use super::answer::{self, Answer, Response, respond};
use super::body::{self, Body};
use super::client::{self, Peer};
use super::failure::{ErrorView, Failure};
use super::filters;
use crate::config::HttpUrl;
use crate::domain::token::TokenHash;

pub const PATH: &str = "/api/v1/session";
const ALLOWED: &str = "GET, HEAD, POST, DELETE";
const LARGEST_BODY: usize = 4096;

const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Browsers take this name only with `Secure`, for `/`, and from the host itself: neither a sister
/// domain nor plain HTTP can put another in its place.
/// Source: <https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis>, cookie name
/// prefixes.
pub const SECURE_NAME: &str = "__Host-autobuilder";
const PLAIN_NAME: &str = "autobuilder";

/// So that the seal of a session is that of nothing else.
const PURPOSE: &[u8] = b"autobuilder session until ";

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let at = warp::path!("api" / "v1" / "session");
    let headers = warp::header::headers_cloned;
    let shown = at
        .and(filters::reading(ALLOWED))
        .and(filters::given(web))
        .and(headers())
        .map(|web: Arc<Web>, headers: HeaderMap| respond(session(&web, &headers)));
    let begun = at
        .and(filters::posting(ALLOWED))
        .and(filters::given(web))
        .and(headers())
        .and(body::body(web, LARGEST_BODY))
        .and(warp::ext::optional())
        .map(|web: Arc<Web>, headers: HeaderMap, body, peer| {
            respond(sign_in(&web, &headers, body, peer))
        });
    let ended = at
        .and(filters::deleting(ALLOWED))
        .and(filters::given(web))
        .and(headers())
        .map(|web: Arc<Web>, headers: HeaderMap| respond(sign_out(&web, &headers)));
    shown.or(begun).unify().or(ended).unify().boxed()
}

/// Whether who asks is signed in, and has to be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Session")]
pub struct SessionView {
    /// Whether the request bears the API token, or a session that was begun with it.
    pub signed_in: bool,
    /// Whether builds are shown only to who is signed in: `monitor.private` of the service file.
    pub private: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The API token.
    token: String,
}

/// Whether who asks is signed in, and has to be.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "session",
    responses((status = 200, description = "how it stands", body = SessionView))
)]
fn session(web: &Web, headers: &HeaderMap) -> Answer {
    view(web, credential(&web.service, headers)?.is_some())
}

fn view(web: &Web, signed_in: bool) -> Answer {
    let private = web.service.config.borrow().monitor.private;
    answer::ok(&SessionView { signed_in, private })
}

/// Signs a browser in: the cookie stands for the token in all of its requests, for 30 days.
#[utoipa::path(
    post,
    path = "/api/v1/session",
    tag = "session",
    request_body = SignIn,
    responses(
        (status = 200, description = "signed in, with a cookie", body = SessionView),
        (status = 400, description = "the body cannot be read", body = ErrorView),
        (status = 401, description = "the token is wrong", body = ErrorView),
        (status = 403, description = "it is not the monitor's own page that asks", body = ErrorView),
        (status = 415, description = "the body is not JSON", body = ErrorView),
        (status = 429, description = "too many wrong tokens came from this address", body = ErrorView),
    )
)]
fn sign_in(
    web: &Web,
    headers: &HeaderMap,
    body: Result<Body, Failure>,
    peer: Option<Peer>,
) -> Answer {
    let config = web.service.config.borrow().clone();
    check_own_page(headers, &config)?;
    let body = body?.bytes;
    expect_json(headers, &body)?;
    // What serde says of a token of the wrong type could hold a part of it.
    let asked: SignIn = serde_json::from_slice(&body).map_err(|_| {
        Failure::bad_request(
            "the body cannot be read",
            "send {\"token\": \"<the API token>\"}",
        )
    })?;
    let is_secure = is_secure(headers, &config.public_url)?;
    let token = api_token(&web.service)?;
    let given = asked.token.trim();
    let client = client::client(peer, headers, &config.trusted_proxies);
    if !try_token(web, client, &token, given)? {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "this is not the API token",
            "`api_token` of the service file is the token or its hash; where there is none, the \
             token is in the file api-token of the data directory",
        ));
    }
    let mut response = view(web, true)?;
    let value = Session::until(now() + LIFETIME).sealed(&seal(&web.service)?);
    set_cookie(&mut response, is_secure, &value, LIFETIME);
    Ok(response)
}

/// Signs the browser out: its cookie is taken back.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "session",
    responses(
        (status = 200, description = "signed out", body = SessionView),
        (status = 403, description = "it is not the monitor's own page that asks", body = ErrorView),
    )
)]
fn sign_out(web: &Web, headers: &HeaderMap) -> Answer {
    check_own_page(headers, &web.service.config.borrow())?;
    let mut response = view(web, false)?;
    for is_secure in [true, false] {
        set_cookie(&mut response, is_secure, "", Duration::ZERO);
    }
    Ok(response)
}

/// What makes a session that of this service and this token.
pub struct Seal {
    /// Random, and known to this service only.
    pub key: String,
    pub token: TokenHash,
}

/// A browser that was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Seconds since 1970.
    until: u64,
}

impl Session {
    fn until(time: Duration) -> Self {
        Self {
            until: time.as_secs(),
        }
    }

    /// As it stands in the cookie.
    fn sealed(self, seal: &Seal) -> String {
        let mac = self.mac(seal).finalize().into_bytes();
        format!("{}.{}", self.until, hex::encode(mac))
    }

    fn mac(self, seal: &Seal) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(seal.key.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(PURPOSE);
        mac.update(seal.token.as_bytes());
        mac.update(self.until.to_string().as_bytes());
        mac
    }

    /// The session of a cookie, if it bears this seal. The comparison takes the same time wherever
    /// one differs.
    fn open(cookie: &str, seal: &Seal) -> Option<Self> {
        let (until, mac) = cookie.split_once('.')?;
        let session = Self {
            until: until.parse().ok()?,
        };
        let mac = hex::decode(mac).ok()?;
        session.mac(seal).verify_slice(&mac).ok()?;
        Some(session)
    }

    fn holds_at(self, time: Duration) -> bool {
        time.as_secs() < self.until
    }

    /// Whether a request has a cookie of ours, of whatever worth.
    pub fn is_named_in(headers: &HeaderMap) -> bool {
        cookies(headers).next().is_some()
    }

    pub fn is_valid_in(headers: &HeaderMap, seal: &Seal) -> bool {
        let mut sessions = cookies(headers).filter_map(|cookie| Self::open(cookie, seal));
        sessions.any(|session| session.holds_at(now()))
    }
}

fn now() -> Duration {
    // Before 1970 no session ends.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Our cookies of a request; another host of the same domain may have added some of the same name.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| [SECURE_NAME, PLAIN_NAME].contains(name))
        .map(|(_, value)| value)
}

fn set_cookie(response: &mut Response, is_secure: bool, value: &str, lifetime: Duration) {
    let (name, secure) = match is_secure {
        true => (SECURE_NAME, "; Secure"),
        false => (PLAIN_NAME, ""),
    };
    let age = lifetime.as_secs();
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Whether the browser takes a cookie that it never sends in the clear: over HTTPS, which may end
/// at a proxy before us, and from its own machine. Where HTTPS is to be had, nothing else will do.
fn is_secure(headers: &HeaderMap, public_url: &HttpUrl) -> Result<bool, Failure> {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.and_then(|origin| HttpUrl::try_from(origin.to_owned()).ok());
    // Without an origin it was `Sec-Fetch-Site` that passed the request: browsers send that to
    // such addresses only.
    let takes_it = origin.is_none_or(|origin| origin.is_https() || origin.is_loopback());
    match !takes_it && public_url.is_https() {
        true => Err(Failure::new(
            StatusCode::FORBIDDEN,
            "nobody signs in over plain HTTP where the service is reached over HTTPS",
            format!("open the monitor at {public_url}"),
        )),
        false => Ok(takes_it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "open sesame";

    fn seal(key: &str, token: &str) -> Seal {
        Seal {
            key: key.to_owned(),
            token: TokenHash::of(token),
        }
    }

    #[test]
    fn a_session_is_opened_by_the_key_and_token_that_sealed_it_and_by_no_other() {
        let session = Session::until(Duration::from_secs(1_800_000_000));
        let ours = seal("key", TOKEN);
        let cookie = session.sealed(&ours);
        assert_eq!(cookie.len(), "1800000000.".len() + 64);
        assert_eq!(Session::open(&cookie, &ours), Some(session));
        for other in [
            seal("key", "another"),
            seal("another", TOKEN),
            seal("", TOKEN),
        ] {
            assert_eq!(Session::open(&cookie, &other), None);
        }
        let prolonged = cookie.replacen("1800000000", "1900000000", 1);
        for other in [
            prolonged.as_str(),
            &cookie[..cookie.len() - 1],
            &cookie[..cookie.len() - 2],
            "1800000000.",
            "1800000000",
            ".",
            "",
            TOKEN,
        ] {
            assert_eq!(Session::open(other, &ours), None, "{other}");
        }
    }

    #[test]
    fn a_session_ends_when_it_says() {
        let session = Session::until(Duration::from_secs(1_800_000_000));
        assert!(session.holds_at(Duration::from_secs(1_799_999_999)));
        assert!(!session.holds_at(Duration::from_secs(1_800_000_000)));
        let seal = seal("key", TOKEN);
        let cookie_of = |session: Session| {
            let mut headers = HeaderMap::new();
            let cookie = format!("{SECURE_NAME}={}", session.sealed(&seal));
            headers.insert(COOKIE, cookie.parse().unwrap());
            headers
        };
        let old = cookie_of(Session::until(now()));
        assert!(Session::is_named_in(&old) && !Session::is_valid_in(&old, &seal));
        let new = cookie_of(Session::until(now() + LIFETIME));
        assert!(Session::is_valid_in(&new, &seal));
    }
}
