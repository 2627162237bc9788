//! One request, tried until it is answered, and what its answer means.

use std::time::Duration;

use headers::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::error::Kind;
use super::token::Token;
use super::upload::{Progress, Transfer, Upload};
use super::{Hub, HubError, Listener, Tried};
use crate::adapters::http::root_cause;

/// Answers are a few lines.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// How much of a server's own words is kept.
const MESSAGE_LIMIT: usize = 300;

/// A server that asks for a longer pause than this gets this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What is asked.
pub(super) struct Request<'a> {
    /// For who counts requests.
    pub operation: &'static str,
    /// For people: `the upload to the hub`.
    pub what: &'static str,
    pub method: Method,
    pub url: Url,
    pub upload: Option<Upload<'a>>,
    /// From the last byte of the request on.
    pub answer_within: Duration,
}

/// A server, what it is shown, and what must not be read in what it says.
pub(super) struct Authority {
    server: &'static str,
    headers: HeaderMap,
    secrets: Vec<Token>,
}

/// What is answered.
pub(super) struct Answer<'a> {
    pub status: StatusCode,
    pub body: Vec<u8>,
    headers: HeaderMap,
    authority: &'a Authority,
}

/// The words of both servers.
#[derive(Deserialize)]
pub(super) struct Words {
    status: String,
    message: Option<serde_json::Value>,
    pub payload: Option<serde_json::Value>,
}

/// How often one thing was asked, with a pause before each other try.
pub(super) struct Tries<'a> {
    what: &'static str,
    pauses: &'a [Duration],
    made: usize,
    listener: Listener<'a>,
}

impl Tries<'_> {
    /// `None`: it is to be tried again, now that the pause is over.
    pub async fn last<T>(&mut self, result: Result<T, HubError>) -> Option<Result<T, HubError>> {
        let error = match result {
            Err(error) if error.kind == Kind::Unavailable => error,
            other => return Some(other),
        };
        self.made += 1;
        let Some(pause) = self.pauses.get(self.made - 1) else {
            return Some(Err(match self.made {
                1 => error,
                made => error.and(&format!(", {made} times")),
            }));
        };
        let asked = error.wait.unwrap_or_default().min(LONGEST_PAUSE);
        let pause = asked.max(*pause);
        (self.listener)(format!(
            "{} failed: {error}; it is tried again in {} s",
            self.what,
            pause.as_secs()
        ));
        tokio::time::sleep(pause).await;
        None
    }
}

/// An address below that of a server. Names may hold what means something in addresses.
pub(super) fn endpoint(base: &str, path: &[&str]) -> Result<Url, HubError> {
    let unusable = || HubError::new(Kind::Local, format!("the address {base} cannot be used"));
    let mut url = Url::parse(base).map_err(|_| unusable())?;
    url.path_segments_mut()
        .map_err(|()| unusable())?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

impl Authority {
    pub fn new(server: &'static str, secrets: Vec<Token>) -> Self {
        Self {
            server,
            headers: HeaderMap::new(),
            secrets,
        }
    }

    pub fn bearer(self, token: &Token) -> Result<Self, HubError> {
        let value = format!("bearer {}", token.expose());
        self.with(AUTHORIZATION, &value)
    }

    pub fn cookies(self, cookies: &str) -> Result<Self, HubError> {
        self.with(COOKIE, cookies)
    }

    fn with(mut self, name: reqwest::header::HeaderName, value: &str) -> Result<Self, HubError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            let problem = format!(
                "the credential for {} has characters that no header can hold",
                self.server
            );
            HubError::new(Kind::Local, problem)
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    fn error(&self, kind: Kind, problem: &str) -> HubError {
        HubError::new(kind, format!("{} {problem}", self.server))
    }

    /// One line of what a server says, fit to be shown.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose(), "[secret]");
        }
        let mut line = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            let separator = if line.is_empty() || word.is_empty() {
                ""
            } else {
                " "
            };
            line.push_str(separator);
            line.push_str(word);
        }
        match line.char_indices().nth(MESSAGE_LIMIT) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

impl Answer<'_> {
    /// As JSON says.
    pub fn words(self) -> Result<Words, HubError> {
        let Ok(words) = serde_json::from_slice::<Words>(&self.body) else {
            return Err(self.not_understood(true));
        };
        match words.status.as_str() {
            "success" => Ok(words),
            "error" => {
                let message = match &words.message {
                    Some(serde_json::Value::String(message)) => self.authority.shown(message),
                    Some(message) => self.authority.shown(&message.to_string()),
                    None => "it does not say why".to_owned(),
                };
                let problem = format!("refuses it: {message}");
                Err(self.authority.error(Kind::Refused, &problem))
            }
            _ => Err(self.not_understood(true)),
        }
    }

    /// What an answer in other than the server's own words means. Its beginning is shown, unless it
    /// may be a secret.
    pub fn not_understood(&self, is_shown: bool) -> HubError {
        let Answer {
            status, authority, ..
        } = self;
        if status.is_redirection() {
            let to = self.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let problem = format!(
                "redirects to {}, which is not followed with a token: give the address that it is at",
                authority.shown(to.unwrap_or("nowhere"))
            );
            return authority.error(Kind::Malformed, &problem);
        }
        let body = authority.shown(&String::from_utf8_lossy(&self.body));
        let body = match (is_shown, body.is_empty()) {
            (true, false) => format!(": {body}"),
            _ => String::new(),
        };
        let may_work_later = matches!(
            *status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if may_work_later {
            let seconds = self.headers.get(RETRY_AFTER);
            let seconds = seconds.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
            authority
                .error(Kind::Unavailable, &format!("answers {status}{body}"))
                .wait(seconds.map(Duration::from_secs))
        } else {
            let problem = format!("gives an answer that is not understood, {status}{body}");
            authority.error(Kind::Malformed, &problem)
        }
    }
}

impl Hub {
    /// Asks a server that judges in JSON.
    pub(super) async fn ask(
        &self,
        request: &Request<'_>,
        authority: &Authority,
        listener: Listener<'_>,
    ) -> Result<Words, HubError> {
        self.ask_for(request, authority, listener, Answer::words)
            .await
    }

    /// Asks until there is an answer; `understand` says what it means.
    pub(super) async fn ask_for<'a, T>(
        &self,
        request: &Request<'_>,
        authority: &'a Authority,
        listener: Listener<'_>,
        understand: fn(Answer<'a>) -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        let mut tries = self.tries(request, listener);
        loop {
            let result = self
                .try_once(request, authority, listener, understand)
                .await;
            if let Some(last) = tries.last(result).await {
                return last;
            }
        }
    }

    pub(super) fn tries<'a>(&'a self, request: &Request<'a>, listener: Listener<'a>) -> Tries<'a> {
        Tries {
            what: request.what,
            pauses: &self.patience.pauses,
            made: 0,
            listener,
        }
    }

    pub(super) async fn try_once<'a, T>(
        &self,
        request: &Request<'_>,
        authority: &'a Authority,
        listener: Listener<'_>,
        understand: fn(Answer<'a>) -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        let transfer = Transfer::default();
        let result = self
            .exchange(request, authority, &transfer, listener)
            .await
            .and_then(understand);
        (self.observer)(Tried {
            operation: request.operation,
            result: match &result {
                Ok(_) => "success",
                Err(error) => error.kind.as_str(),
            },
            bytes: transfer.sent(),
        });
        result
    }

    async fn exchange<'a>(
        &self,
        request: &Request<'_>,
        authority: &'a Authority,
        transfer: &Transfer,
        listener: Listener<'_>,
    ) -> Result<Answer<'a>, HubError> {
        let client = self.client.as_ref();
        let client = client.map_err(|problem| HubError::new(Kind::Local, problem.as_str()))?;
        let mut builder = client
            .request(request.method.clone(), request.url.clone())
            .headers(authority.headers.clone());
        if let Some(upload) = &request.upload {
            builder = builder.multipart(upload.form(transfer).await?);
        }
        let answer = async {
            let answer = builder.send().await.map_err(|error| unavailable(&error))?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = read(answer).await?;
            Ok(Answer {
                status,
                headers,
                body,
                authority,
            })
        };
        let mut progress = Progress::new(&self.patience, request, transfer, listener);
        let answer: Result<_, (Kind, String)> = tokio::select! {
            biased;
            answer = answer => answer,
            given_up = progress.follow() => Err(given_up),
        };
        progress.tell_end();
        answer.map_err(|(kind, problem)| authority.error(kind, &problem))
    }
}

fn unavailable(error: &reqwest::Error) -> (Kind, String) {
    let problem = match error.is_timeout() {
        true => "no connection in time".to_owned(),
        false => root_cause(error),
    };
    (Kind::Unavailable, format!("gave no answer: {problem}"))
}

async fn read(answer: reqwest::Response) -> Result<Vec<u8>, (Kind, String)> {
    let body = reqwest::Body::from(answer);
    match Limited::new(body, ANSWER_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            let problem = format!("gives an answer of more than {ANSWER_LIMIT} bytes");
            Err((Kind::Malformed, problem))
        }
        Err(error) => {
            let cause = root_cause(error.as_ref());
            Err((Kind::Unavailable, format!("gave half an answer: {cause}")))
        }
    }
}
