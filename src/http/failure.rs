//! What went wrong with a request, as status, one sentence and a hint: the only form in which
//! errors leave this service.

use std::convert::Infallible;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;
use warp::Rejection;
use warp::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, StatusCode};

use super::answer::{self, Response};
use crate::service::follow::FollowError;
use crate::store::StoreError;

/// Somebody has to make room.
const ROOM_AFTER: Duration = Duration::from_secs(60);

/// A request that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub status: StatusCode,
    /// What is wrong: lower case, one sentence.
    pub error: String,
    /// What to do about it.
    pub hint: String,
    /// When the request may be made again.
    again_after: Option<Duration>,
}

/// How the guard refuses what then finds no route.
impl warp::reject::Reject for Failure {}

/// The JSON of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorView {
    /// What is wrong, in one sentence.
    #[schema(example = "there is no build 0123456789ab")]
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

impl Failure {
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            hint: hint.into(),
            again_after: None,
        }
    }

    pub fn bad_request(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }

    pub fn not_found(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, hint)
    }

    pub fn conflict(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, hint)
    }

    pub fn unavailable(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    }

    /// Nothing was stored, as there is too little room for it.
    pub fn no_room(why: impl Into<String>) -> Self {
        let hint = "try again when there is room; /readyz says whether there is";
        Self::unavailable(why, hint).again_after(ROOM_AFTER)
    }

    /// Too much of what there is an allowance for; there is more after this time.
    pub fn too_many(error: impl Into<String>, wait: Duration) -> Self {
        let hint = format!("try again in {} seconds", seconds(wait));
        Self::new(StatusCode::TOO_MANY_REQUESTS, error, hint).again_after(wait)
    }

    pub fn again_after(mut self, wait: Duration) -> Self {
        self.again_after = Some(wait);
        self
    }

    /// A fault of ours. Its details are for the service's log, not for whoever asked.
    pub fn internal(what: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "{what}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            what,
            "try again; the service's own log says more",
        )
    }

    pub fn into_response(self) -> Response {
        let Self {
            status,
            error,
            hint,
            again_after,
        } = self;
        let mut response = answer::json(status, &ErrorView { error, hint });
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = again_after {
            answer::set(&mut response, RETRY_AFTER, seconds(wait));
        }
        response
    }
}

/// Whole ones, not too few.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoBuild(build) => Self::not_found(
                format!("there is no build {build}"),
                "old builds are removed as `retention` in the service file says",
            ),
            StoreError::NoRoom(why) => Self::no_room(why),
            StoreError::Closed => Self::unavailable("the service is stopping", "try again soon"),
            error => Self::internal("the database could not answer", &error),
        }
    }
}

impl From<FollowError> for Failure {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Store(error) => error.into(),
            FollowError::Log(error) => Self::internal("the log could not be read", &error),
            FollowError::NoLongerKept(_) => Self::not_found(
                error.to_string(),
                "logs are kept for a time, which `retention.logs` of the service file sets",
            ),
            FollowError::TooShort(_) => Self::internal("a part of the log is missing", &error),
        }
    }
}

/// The path is known, the method is not one of those it takes.
#[derive(Debug)]
pub struct WrongMethod {
    /// As the header `Allow` lists them.
    pub allowed: &'static str,
}

impl warp::reject::Reject for WrongMethod {}

/// What no route took, as an answer.
pub async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    if let Some(WrongMethod { allowed }) = rejection.find() {
        let failure = Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this address does not take this method",
            format!("it takes {allowed}"),
        );
        let mut response = failure.into_response();
        let allowed = HeaderValue::from_static(allowed);
        response.headers_mut().insert(ALLOW, allowed);
        return Ok(response);
    }
    let failure = if let Some(refused) = rejection.find::<Failure>() {
        refused.clone()
    } else if rejection.is_not_found() {
        Failure::not_found(
            "there is nothing at this address",
            "the addresses are listed at /api/v1/openapi.json; people start at /monitor",
        )
    } else {
        // Our own filters reject with the above only.
        tracing::error!(?rejection, "a request was rejected in an unforeseen way");
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request could not be handled",
            "the service's own log says more",
        )
    };
    Ok(failure.into_response())
}
