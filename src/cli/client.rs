//! Requests to the HTTP API.

use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::output::Problem;
use super::server::Server;

const TOKEN_HINT: &str = "set AUTOBUILDER_TOKEN to the API token; `api_token` of the service file \
    is it or its hash, and where there is none, it is in the file api-token of the data directory";
const HASHED_HINT: &str =
    "set AUTOBUILDER_TOKEN to the API token; the service file holds only its hash";

pub struct Client {
    server: Server,
    http: reqwest::Client,
}

impl Client {
    pub fn new(server: Server) -> Result<Self, Problem> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("autobuilder/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(std::time::Duration::from_secs(10))
            .build()
            .map_err(|error| Problem::new(format!("cannot start an HTTP client: {error}"), ""))?;
        Ok(Self { server, http })
    }

    pub fn token(&self) -> Option<&str> {
        self.server.token.as_deref()
    }

    /// An address of the service; what comes from the command line is encoded.
    pub fn address(&self, parts: &[&str]) -> Result<Url, Problem> {
        let mut url = self.server.url.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(parts),
            Err(()) => return Err(Problem::new("the service's address is no base", "")),
        };
        Ok(url)
    }

    /// An address below `/api/v1`.
    pub fn api(&self, parts: &[&str]) -> Result<Url, Problem> {
        self.address(&[&["api", "v1"], parts].concat())
    }

    pub async fn get(&self, url: Url) -> Result<Response, Problem> {
        self.send(Method::GET, url, None).await
    }

    pub async fn post(&self, url: Url, body: &Value) -> Result<Response, Problem> {
        self.send(Method::POST, url, Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Response, Problem> {
        let mut request = self.http.request(method, url);
        // A service may be private: then watching needs it too.
        if let Some(token) = self.token() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refused(response).await),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Problem {
        Problem::new(
            format!(
                "no service answers at {}: {}",
                self.server.url,
                root_cause(error)
            ),
            "start it with `autobuilder serve`, or set AUTOBUILDER_URL",
        )
    }

    async fn refused(&self, response: Response) -> Problem {
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        let error = match answer["error"].as_str() {
            Some(error) => error.to_owned(),
            None => format!(
                "{} answered {status}, and not as autobuilder does",
                self.server.url
            ),
        };
        let hint = match (status, answer["hint"].as_str()) {
            (StatusCode::UNAUTHORIZED, _) => self.token_hint(),
            (_, hint) => hint.unwrap_or("see whether AUTOBUILDER_URL is the service's address"),
        };
        Problem::new(error, hint)
    }

    /// As [`Self::refused`] by a service that did not say why.
    pub fn unauthorized(&self) -> Problem {
        let error = match self.token() {
            Some(_) => "this is not the API token",
            None => "this needs the API token",
        };
        Problem::new(error, self.token_hint())
    }

    fn token_hint(&self) -> &'static str {
        match self.server.is_hashed {
            true => HASHED_HINT,
            false => TOKEN_HINT,
        }
    }
}

/// The JSON of an answer.
pub async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Problem> {
    response.json().await.map_err(|error| {
        Problem::new(
            format!(
                "the service's answer cannot be read: {}",
                root_cause(&error)
            ),
            "see whether service and command are of the same release",
        )
    })
}

/// What lies at the bottom of an error says most in one line.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
