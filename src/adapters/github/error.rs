//! What GitHub refuses, and what its refusals mean for who asked.

use std::time::{Duration, SystemTime};

use headers::{Date, HeaderMap, HeaderMapExt};
use reqwest::StatusCode;
use serde::Deserialize;

use crate::domain::time::Timestamp;

/// Why GitHub did not do it. Each is one sentence for an operator; none holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GithubError {
    #[error("there is no GitHub credential: set github.token or github.app")]
    NoCredential,
    #[error("GitHub refuses the credential ({message}): it has expired, was revoked or is wrong")]
    Unauthorized { message: String },
    #[error("GitHub's rate limit is reached, the next request is allowed in {} s", wait.as_secs())]
    RateLimited {
        wait: Duration,
        /// Whether GitHub said how long. Where it does not, its documentation asks for a
        /// minute, and for longer each time.
        is_stated: bool,
    },
    #[error("GitHub does not allow it: {message}")]
    Forbidden { message: String },
    #[error("GitHub knows no such thing, or the credential may not see it")]
    NotFound,
    /// It would be refused again.
    #[error("GitHub refuses the request ({status}): {message}")]
    Refused { status: u16, message: String },
    /// It may work later.
    #[error("GitHub cannot be reached: {reason}")]
    Unavailable { reason: String },
    #[error("the GitHub App is not installed for this repository of {owner}")]
    NotInstalled { owner: String },
    #[error("GitHub's answer is not understood: {reason}")]
    Malformed { reason: String },
}

/// How long to wait where GitHub does not say.
/// Source: <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately>.
const UNSTATED_WAIT: Duration = Duration::from_secs(60);

/// A limit that is said to last longer is tried after this: GitHub counts its own by the hour.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);

/// How much of GitHub's own words is kept.
const MESSAGE_LIMIT: usize = 300;

/// The body of a refusal.
/// Source: <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>.
#[derive(Deserialize)]
struct Refusal {
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl GithubError {
    /// Whether the same request may succeed a little later, with nobody doing anything.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::RateLimited { .. } | Self::Malformed { .. }
        )
    }

    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed {
            reason: reason.into(),
        }
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            reason: reason.into(),
        }
    }

    /// What an answer that is no success means.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let message = message_of(status, body);
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized { message },
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                rate_limit(status, headers, &message).unwrap_or(Self::Forbidden { message })
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::NotFound,
            // A repository that was taken down.
            StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => Self::Forbidden { message },
            StatusCode::REQUEST_TIMEOUT => Self::unavailable(format!("{status}: {message}")),
            _ if status.is_client_error() => Self::Refused {
                status: status.as_u16(),
                message,
            },
            _ if status.is_server_error() => Self::unavailable(format!("{status}: {message}")),
            _ => Self::malformed(format!("its status is {status}")),
        }
    }
}

/// Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>.
fn rate_limit(status: StatusCode, headers: &HeaderMap, message: &str) -> Option<GithubError> {
    let stated = |wait: Duration| GithubError::RateLimited {
        wait: wait.clamp(Duration::from_secs(1), LONGEST_WAIT),
        is_stated: true,
    };
    if let Some(seconds) = number(headers, "retry-after") {
        return Some(stated(Duration::from_secs(seconds)));
    }
    if number(headers, "x-ratelimit-remaining") == Some(0)
        && let Some(reset) = number(headers, "x-ratelimit-reset")
    {
        // By GitHub's own clock, as ours may be wrong.
        let now = clock(headers).unwrap_or_else(Timestamp::now);
        let reset = i64::try_from(reset)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        return Some(stated(Timestamp::from_millis(reset).since(now)));
    }
    let message = message.to_lowercase();
    let is_limit = status == StatusCode::TOO_MANY_REQUESTS
        || message.contains("rate limit")
        || message.contains("abuse detection");
    is_limit.then_some(GithubError::RateLimited {
        wait: UNSTATED_WAIT,
        is_stated: false,
    })
}

/// What time it is at GitHub.
pub(super) fn clock(headers: &HeaderMap) -> Option<Timestamp> {
    let date = SystemTime::from(headers.typed_get::<Date>()?);
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since_epoch.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis))
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// GitHub's words; of an answer that is not GitHub's (a proxy's page, say), the status.
fn message_of(status: StatusCode, body: &[u8]) -> String {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        let reason = status.canonical_reason().unwrap_or("without a reason");
        return reason.to_owned();
    };
    // The first of the details says what was wrong with which field.
    let detail = refusal.errors.first().and_then(|error| match error {
        serde_json::Value::String(text) => Some(text.as_str()),
        error => error.get("message").and_then(serde_json::Value::as_str),
    });
    let message = match detail {
        Some(detail) => format!("{}: {detail}", refusal.message),
        None => refusal.message,
    };
    let one_line: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_LIMIT)
        .collect();
    one_line
}
