//! One request and its answer: sending it, following its redirects, bounding what is read.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use headers::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use octocrab::service::middleware::reqwest_connector::ReqwestConnector;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use reqwest::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::credential::{Credential, Installations, Scope, Token, locked};
use super::error::number;
use super::{GithubError, Observed, Observer, Settings};
use crate::adapters::http::{self, root_cause};
use crate::domain::names::RepositoryName;

/// A list of a hundred hooks or statuses has a few hundred KiB.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// GitHub's refusals are a few lines; a proxy's pages need not be read.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// A repository that was renamed answers with one redirect.
const MAX_REDIRECTS: usize = 3;

/// How many pages of a list are read: 5,000 entries.
const MAX_PAGES: usize = 50;

/// Source: <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>.
const PAGE_SIZE: &str = "per_page=100";

/// A place to send requests to, with a credential. Replaced whole when one of them changes.
pub(super) struct Connection {
    pub settings: Settings,
    pub installations: Installations,
    observer: Observer,
    /// Until when nothing is asked, by what shares a limit.
    limits: Mutex<HashMap<Scope, Instant>>,
    base: Url,
    /// Or why there is none: a machine without certificates, say. Nothing is worse for it than
    /// when GitHub cannot be reached.
    client: Result<Octocrab, String>,
}

/// What is asked.
pub(super) struct Request {
    /// For who counts requests.
    kind: &'static str,
    method: Method,
    /// Below the API's address, or a whole address.
    location: String,
    etag: Option<String>,
    body: Option<Value>,
}

impl Request {
    pub fn new(kind: &'static str, method: Method, location: impl Into<String>) -> Self {
        Self {
            kind,
            method,
            location: location.into(),
            etag: None,
            body: None,
        }
    }

    pub fn etag(mut self, etag: Option<&str>) -> Self {
        self.etag = etag.map(str::to_owned);
        self
    }

    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

/// What is answered: a success, or what else it may be.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `None`: it was longer than is read.
    body: Option<Vec<u8>>,
}

impl Answer {
    /// Itself, unless it is a refusal.
    pub fn succeeded(self) -> Result<Self, GithubError> {
        if self.status.is_success() || self.is_not_modified() {
            Ok(self)
        } else {
            let body = self.body.as_deref().unwrap_or_default();
            Err(GithubError::of(self.status, &self.headers, body))
        }
    }

    pub fn is_not_modified(&self) -> bool {
        self.status == StatusCode::NOT_MODIFIED
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, GithubError> {
        let Some(body) = &self.body else {
            return Err(GithubError::malformed(format!(
                "it is longer than {ANSWER_LIMIT} bytes"
            )));
        };
        // Serde's own words would repeat values, one of which may be a token.
        serde_json::from_slice(body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "it is not of the expected form",
                _ => "it is not JSON",
            };
            GithubError::malformed(format!("{what} (column {})", error.column()))
        })
    }

    /// What a refusal says is shown to people; one that repeats the token does so without it.
    fn without(mut self, token: &Token) -> Self {
        if !self.status.is_success()
            && let Some(body) = &self.body
        {
            let words = String::from_utf8_lossy(body);
            self.body = Some(words.replace(token.expose(), "[secret]").into_bytes());
        }
        self
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn etag(&self) -> Option<String> {
        self.header(header::ETAG).map(str::to_owned)
    }
}

/// A whole list, with what to show GitHub when asking for it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    pub items: Vec<T>,
    /// Only of a list with a single page: a change on the second leaves the first as it was.
    pub etag: Option<String>,
}

impl Connection {
    pub fn new(settings: Settings, observer: Observer) -> Self {
        // An address without a host is refused when the service file is read.
        let base = Url::parse(&settings.api_url);
        let client = match &base {
            Ok(_) => client(&settings),
            Err(error) => Err(format!("its address is not valid: {error}")),
        };
        Self {
            base: base.unwrap_or_else(|_| Url::parse("http://localhost").expect("it is valid")),
            installations: Installations::default(),
            observer,
            limits: Mutex::default(),
            client,
            settings,
        }
    }

    /// Asks with the credential for this repository, unless a limit that it shares with others is
    /// known to be reached: GitHub may ban who goes on asking then.
    pub async fn ask(
        &self,
        repository: &RepositoryName,
        request: &Request,
    ) -> Result<Answer, GithubError> {
        let scope = self.settings.credential.scope(repository);
        if let Some(limited) = self.limited(&scope) {
            return Err(limited);
        }
        let answer = self.ask_now(repository, request).await;
        // Where GitHub does not say how long, who asks waits longer each time.
        if let Err(GithubError::RateLimited {
            wait,
            is_stated: true,
        }) = &answer
        {
            locked(&self.limits).insert(scope, Instant::now() + *wait);
        }
        answer
    }

    fn limited(&self, scope: &Scope) -> Option<GithubError> {
        let until = locked(&self.limits).get(scope).copied()?;
        let wait = until.checked_duration_since(Instant::now())?;
        Some(GithubError::RateLimited {
            wait,
            is_stated: true,
        })
    }

    /// An App's token that GitHub refuses is renewed once.
    async fn ask_now(
        &self,
        repository: &RepositoryName,
        request: &Request,
    ) -> Result<Answer, GithubError> {
        let token = self.token(repository).await?;
        let answer = self.exchange(request, &token).await?;
        let is_app = matches!(self.settings.credential, Credential::App { .. });
        if answer.status != StatusCode::UNAUTHORIZED || !is_app {
            return answer.succeeded();
        }
        self.forget(repository, &token).await;
        let token = self.token(repository).await?;
        self.exchange(request, &token).await?.succeeded()
    }

    /// Asks for all pages of a list; `entries` finds the list's entries in a page. `None` when
    /// nothing changed since GitHub gave the etag.
    pub async fn ask_for_list<P: DeserializeOwned, T>(
        &self,
        kind: &'static str,
        repository: &RepositoryName,
        path: String,
        etag: Option<&str>,
        entries: fn(P) -> Vec<T>,
    ) -> Result<Option<List<T>>, GithubError> {
        let mut items = Vec::new();
        let mut location = format!("{path}?{PAGE_SIZE}");
        for page in 0..MAX_PAGES {
            let known = etag.filter(|_| page == 0);
            let request = Request::new(kind, Method::GET, location).etag(known);
            let answer = self.ask(repository, &request).await?;
            if answer.is_not_modified() {
                return match known {
                    Some(_) => Ok(None),
                    None => Err(GithubError::malformed("it says that nothing changed")),
                };
            }
            items.extend(entries(answer.json()?));
            let Some(next) = self.next_page(&answer)? else {
                let etag = answer.etag().filter(|_| page == 0);
                return Ok(Some(List { items, etag }));
            };
            location = next;
        }
        Err(GithubError::malformed(format!(
            "the list has more than {MAX_PAGES} pages"
        )))
    }

    fn next_page(&self, answer: &Answer) -> Result<Option<String>, GithubError> {
        let Some(link) = answer.header(header::LINK).and_then(next_link) else {
            return Ok(None);
        };
        match self.base.join(link) {
            Ok(url) if url.origin() == self.base.origin() => Ok(Some(url.into())),
            _ => Err(GithubError::malformed(
                "its next page is on another server, which is not asked",
            )),
        }
    }

    /// Sends a request and follows its redirects on the same server.
    ///
    /// # Errors
    ///
    /// `Unavailable`. A refusal is an answer.
    pub async fn exchange(&self, request: &Request, token: &Token) -> Result<Answer, GithubError> {
        let mut url = self.url(&request.location)?;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.exchange_once(request, &url, token).await;
            (self.observer)(Observed {
                kind: request.kind,
                status: answer.as_ref().ok().map(|answer| answer.status.as_u16()),
                remaining: answer
                    .as_ref()
                    .ok()
                    .and_then(|answer| number(&answer.headers, "x-ratelimit-remaining")),
            });
            let answer = answer?;
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            url = self.redirected(&url, &answer)?;
        }
        Err(GithubError::unavailable(
            "one redirect is followed by the next",
        ))
    }

    fn url(&self, location: &str) -> Result<Url, GithubError> {
        let whole = match location.strip_prefix('/') {
            Some(path) => format!("{}/{path}", self.settings.api_url),
            None => location.to_owned(),
        };
        Url::parse(&whole).map_err(|error| GithubError::unavailable(error.to_string()))
    }

    /// The same request, also a POST, belongs to the new address.
    /// Source: <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>.
    fn redirected(&self, from: &Url, answer: &Answer) -> Result<Url, GithubError> {
        let to = answer
            .header(header::LOCATION)
            .and_then(|location| from.join(location).ok());
        match to {
            Some(to) if to.origin() == self.base.origin() => Ok(to),
            // Whoever that is, the credential is not for them.
            Some(to) => Err(GithubError::unavailable(format!(
                "it redirects to {}, which is another server",
                to.host_str().unwrap_or("a place without a host")
            ))),
            None => Err(GithubError::unavailable("it redirects to nowhere")),
        }
    }

    async fn exchange_once(
        &self,
        request: &Request,
        url: &Url,
        token: &Token,
    ) -> Result<Answer, GithubError> {
        let client = self.client.as_ref().map_err(GithubError::unavailable)?;
        let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| GithubError::Unauthorized {
                message: "it has characters that no token has".to_owned(),
            })?;
        authorization.set_sensitive(true);
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(url.as_str())
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/vnd.github+json");
        if let Some(etag) = &request.etag {
            builder = builder.header(header::IF_NONE_MATCH, etag);
        }
        let whole = client
            .build_request(builder, request.body.as_ref())
            .map_err(|error| GithubError::unavailable(root_cause(&error)))?;

        let limit = self.settings.request_timeout;
        match tokio::time::timeout(limit, read(client, whole)).await {
            Ok(answer) => answer.map(|answer| answer.without(token)),
            Err(_) => Err(GithubError::unavailable(format!(
                "no answer within {} s",
                limit.as_secs_f64()
            ))),
        }
    }
}

async fn read(
    client: &Octocrab,
    request: hyper::Request<octocrab::OctoBody>,
) -> Result<Answer, GithubError> {
    let answer = client
        .execute(request)
        .await
        .map_err(|error| GithubError::unavailable(root_cause(&error)))?;
    let (parts, body) = answer.into_parts();
    let limit = match parts.status.is_success() {
        true => ANSWER_LIMIT,
        false => REFUSAL_LIMIT,
    };
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => Some(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => None,
        Err(error) => return Err(GithubError::unavailable(root_cause(error.as_ref()))),
    };
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// Redirects are followed here, because an ordinary client makes a GET of a POST. Without octocrab's
/// own layers, which would add its name as a second user agent.
fn client(settings: &Settings) -> Result<Octocrab, String> {
    let client = http::client(settings.connect_timeout)?;
    let built = OctocrabBuilder::new_empty()
        .with_service(ReqwestConnector::new(client))
        .with_auth(AuthState::None)
        .build();
    match built {
        Ok(client) => Ok(client),
        Err(never) => match never {},
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// `<https://api.github.com/…&page=2>; rel="next", <…>; rel="last"`
fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), r#"rel="next""# | "rel=next"));
        is_next.then_some(address)
    })
}
