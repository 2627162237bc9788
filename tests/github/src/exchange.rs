//! One request and its answer: what fails is decided, the caller recognised, counted and served, and
//! all of it recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use wiremock::matchers::any;
use wiremock::{Match, Mock, MockServer, Request, ResponseTemplate};

use crate::credentials::{Caller, NOBODY};
use crate::deliveries;
use crate::events::Event;
use crate::failures::{Answer, Asked, Instead, Route};
use crate::fetch;
use crate::reply::Reply;
use crate::routes;
use crate::state::{RepositoryView, State};

/// How many commits of a repository a page for people shows.
const COMMITS_OF_A_VIEW: usize = 8;

/// The credential of requests whose own is refused, in the record of requests.
const UNKNOWN: &str = "unknown";

/// What all parts of a model share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Sends webhooks.
    pub runtime: Handle,
    /// What `GET /` shows to people, if somebody wants it shown.
    pub page: Mutex<Option<Page>>,
}

pub(crate) type Page = Box<dyn Fn(&[RepositoryView]) -> String + Send>;

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: SystemTime,
    pub method: String,
    /// With the query.
    pub path: String,
    pub route: Route,
    /// As the request named it.
    pub repository: Option<String>,
    /// The token, `installation <owner>`, `app <id>` or `nobody`; `unknown` for one that is refused.
    pub credential: String,
    /// What was answered; none if the connection was closed without an answer.
    pub status: Option<u16>,
}

/// A request, taken apart.
pub(crate) struct Call {
    pub method: String,
    /// Decoded, without empty ones.
    pub segments: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Without the query.
    pub path: String,
    full_path: String,
    headers: BTreeMap<String, String>,
}

/// What goes out, and when.
struct Given {
    reply: Reply,
    delay: Option<Duration>,
}

impl Shared {
    pub fn new(state: State, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            runtime,
            page: Mutex::new(None),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no handler panicked")
    }

    /// The repositories, to look at.
    pub fn view(&self) -> Vec<RepositoryView> {
        let state = self.state();
        state
            .repositories
            .iter()
            .map(|repository| {
                let deliveries = state.deliveries.iter();
                let of_it = deliveries.filter(|delivery| delivery.repository_id == repository.id);
                repository.view(COMMITS_OF_A_VIEW, of_it.cloned().collect())
            })
            .collect()
    }

    /// Has the server answer for this state.
    pub async fn mount(self: &Arc<Self>, server: &MockServer) {
        // wiremock asks mocks of a smaller priority first.
        Mock::given(Cut(Arc::clone(self)))
            .respond_with_err({
                let shared = Arc::clone(self);
                move |request: &Request| {
                    shared.answer(request);
                    std::io::Error::from(std::io::ErrorKind::ConnectionReset)
                }
            })
            .with_priority(1)
            .mount(server)
            .await;
        let shared = Arc::clone(self);
        Mock::given(any())
            .respond_with(move |request: &Request| shared.answer(request).template())
            .with_priority(2)
            .mount(server)
            .await;
    }

    fn answer(self: &Arc<Self>, request: &Request) -> Given {
        let call = Call::of(request);
        if call.method == "GET" && call.segments.is_empty() {
            let page = self.page.lock().expect("no page panicked");
            if let Some(page) = page.as_ref() {
                return Given::at_once(html(&page(&self.view())));
            }
        }
        let mut state = self.state();
        let failure = state.failures.take(&call.asked());
        let given = answer(&mut state, &call, failure);
        let outbox = std::mem::take(&mut state.outbox);
        drop(state);
        for delivery in outbox {
            self.runtime
                .spawn(deliveries::send(Arc::clone(self), delivery));
        }
        given
    }
}

/// Requests that shall get no answer.
struct Cut(Arc<Shared>);

impl Match for Cut {
    fn matches(&self, request: &Request) -> bool {
        self.0.state().failures.cuts(&Call::of(request).asked())
    }
}

fn answer(state: &mut State, call: &Call, failure: Option<Answer>) -> Given {
    let caller = Caller::of(state, call);
    let credential = match &caller {
        Ok(caller) => caller.name(state),
        Err(_) => UNKNOWN.to_owned(),
    };
    let failure = failure.unwrap_or_else(|| Answer::late(Duration::ZERO));
    let served = failure
        .applied
        .then(|| serve(state, call, caller, &credential));
    let reply = match failure.instead {
        None => served,
        Some(Instead::Cut) => None,
        Some(Instead::Reply(reply)) if reply.status >= 500 => Some(reply),
        // What GitHub itself refuses still says how much is left.
        Some(Instead::Reply(reply)) => Some(with_limits(state, &credential, reply)),
    };

    state.requests.push(Seen {
        at: SystemTime::now(),
        method: call.method.clone(),
        path: call.full_path.clone(),
        route: call.route(),
        repository: call.repository(),
        credential,
        status: reply.as_ref().map(|reply| reply.status),
    });
    if reply.as_ref().is_none_or(|reply| reply.status >= 400) {
        state.tell(&Event::Refused {
            method: call.method.clone(),
            path: call.full_path.clone(),
            status: reply.as_ref().map(|reply| reply.status),
            message: reply.as_ref().map(message_of).unwrap_or_default(),
        });
    }
    Given {
        // Never sent where the connection is cut.
        reply: reply.unwrap_or_else(|| Reply::empty(500)),
        delay: failure.delay,
    }
}

/// The true answer.
fn serve(state: &mut State, call: &Call, caller: Result<Caller, Reply>, credential: &str) -> Reply {
    // Source: <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>.
    if call.header("user-agent").is_none() {
        let message = "Request forbidden by administrative rules. \
                       Please make sure your request has a User-Agent header";
        return Reply::message(403, message);
    }
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return with_limits(state, NOBODY, refusal),
    };
    // Not counted by any limit.
    if call.route() == Route::Git {
        return fetch::answer(state, call, &caller);
    }
    let now = state.now();
    if call.segments == ["rate_limit"] {
        let overview = state.limits.overview(credential, now);
        return with_limits(state, credential, Reply::json(200, &overview));
    }
    if let Err(refusal) = state.limits.take(credential, now) {
        return with_limits(state, credential, refusal);
    }
    let mut reply = routes::answer(state, call, &caller);
    if call.method == "GET" && reply.status == 200 {
        let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(&reply.body)));
        if call.header("if-none-match").is_some_and(|known| {
            known
                .split(',')
                .any(|known| weak(known.trim()) == weak(&tag))
        }) {
            reply = Reply::empty(304);
            // Source: <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate>.
            if caller != Caller::Nobody {
                state.limits.give_back(credential, now);
            }
        }
        reply = reply.with("etag", tag);
    }
    with_limits(state, credential, reply)
}

/// An entity tag as far as conditional requests compare it.
fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn with_limits(state: &mut State, credential: &str, mut reply: Reply) -> Reply {
    let now = state.now();
    for (name, value) in state.limits.headers(credential, now) {
        if !reply.has(name) {
            reply = reply.with(name, value);
        }
    }
    reply
}

fn html(page: &str) -> Reply {
    Reply {
        status: 200,
        headers: vec![(
            "content-type".to_owned(),
            "text/html; charset=utf-8".to_owned(),
        )],
        body: page.as_bytes().to_vec(),
    }
}

fn message_of(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    match body["errors"][0]["message"].as_str() {
        Some(error) => format!("{message}: {error}"),
        None => message.to_owned(),
    }
}

impl Given {
    fn at_once(reply: Reply) -> Self {
        Self { reply, delay: None }
    }

    fn template(self) -> ResponseTemplate {
        let mut template = ResponseTemplate::new(self.reply.status);
        let mut content_type = "application/octet-stream".to_owned();
        for (name, value) in self.reply.headers {
            if name == "content-type" {
                content_type = value;
            } else {
                template = template.append_header(name, value);
            }
        }
        if !self.reply.body.is_empty() {
            template = template.set_body_raw(self.reply.body, &content_type);
        }
        match self.delay {
            Some(delay) if !delay.is_zero() => template.set_delay(delay),
            _ => template,
        }
    }
}

impl Call {
    fn of(request: &Request) -> Self {
        let url = &request.url;
        let segments = url
            .path_segments()
            .into_iter()
            .flatten()
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let headers = request.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let query = url.query().map(|query| format!("?{query}"));
        Self {
            method: request.method.to_string(),
            segments,
            query: url.query_pairs().into_owned().collect(),
            body: request.body.clone(),
            path: url.path().to_owned(),
            full_path: format!("{}{}", url.path(), query.unwrap_or_default()),
            headers: headers.collect(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn json(&self) -> Result<Value, Reply> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| Reply::message(400, "Problems parsing JSON"))
    }

    pub fn full_path(&self) -> &str {
        &self.full_path
    }

    pub fn repository(&self) -> Option<String> {
        match self.parts().as_slice() {
            ["repos", owner, name, ..] => Some(format!("{owner}/{name}")),
            [owner, name, ..] if self.route() == Route::Git => Some(format!("{owner}/{name}")),
            _ => None,
        }
    }

    fn route(&self) -> Route {
        match self.parts().as_slice() {
            ["repos", _, _, rest @ ..] | ["repositories", _, rest @ ..] => match rest {
                ["statuses", _] => Route::Statuses,
                ["commits", .., "status" | "statuses"] => Route::Statuses,
                ["hooks", ..] => Route::Hooks,
                _ => Route::Other,
            },
            ["app", "installations", _, "access_tokens"] => Route::Tokens,
            [_, _, "info", "refs"] | [_, _, "git-upload-pack"] => Route::Git,
            _ => Route::Other,
        }
    }

    pub fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    fn asked(&self) -> Asked {
        Asked {
            route: self.route(),
            repository: self.repository(),
            method: self.method.clone(),
        }
    }
}
