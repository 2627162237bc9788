//! What can go wrong with Docker, sorted by what a caller would do about it.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error as Engine;

use crate::domain::room;

/// How many characters of Docker's own words are kept.
const MOST_WORDS: usize = 1000;

/// One sentence each, without secrets: the engine is never told one except for a registry's
/// password, which it does not repeat.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The settings name no engine that we could speak to.
    #[error("{0}")]
    Settings(String),
    /// No engine answers. It may come back.
    #[error("docker does not answer: {0}")]
    Unreachable(String),
    /// An engine that was there stood still in the middle of something.
    #[error("docker stood still for {} seconds when it was to {doing}", .after.as_secs_f64())]
    Stalled {
        doing: &'static str,
        after: Duration,
    },
    /// An engine that was there did not answer in time, or not to the end.
    #[error("docker did not {doing} within {} seconds", .after.as_secs_f64())]
    Late {
        doing: &'static str,
        after: Duration,
    },
    /// The container, image, network or file does not exist.
    #[error("docker does not have that: {0}")]
    NotFound(String),
    /// The container exists and does not run.
    #[error("the container does not run: {0}")]
    NotRunning(String),
    /// A container of that name exists, left over from an earlier try; `by` is its id.
    #[error("the name {name} is taken by container {by}")]
    NameTaken { name: String, by: String },
    /// The engine understood and refused for the state that something is in.
    #[error("docker refused: {0}")]
    Conflict(String),
    /// The engine understood and refused, or failed to carry it out.
    #[error("docker refused (status {status}): {message}")]
    Refused { status: u16, message: String },
    /// Where the engine keeps its own there is no room.
    #[error("Docker's disk is full: {0}; free some of it, see `docker system df`")]
    Full(String),
    /// The image cannot be had.
    #[error("image {image}: {problem}")]
    Image {
        image: String,
        problem: ImageProblem,
    },
    /// The follow stream ended without its end frame. To be started again where it stopped.
    #[error("the log's follower was lost: {0}")]
    FollowerLost(String),
    /// The other side said something that makes no sense.
    #[error("docker's answer makes no sense: {0}")]
    Nonsense(String),
    /// A file on our own side.
    #[error("{doing}: {error}")]
    File {
        doing: String,
        error: std::io::Error,
    },
}

impl DockerError {
    /// No engine answers, or none goes on: what was asked may be asked again when one does.
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Stalled { .. } | Self::Late { .. }
        )
    }
}

/// Why an image cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    #[error("this is no image's name")]
    BadName,
    #[error("it is not on this machine, and `pull` is `never`")]
    NotHere,
    #[error("{registry} has no such image or tag")]
    NotFound { registry: String },
    #[error("{registry} denies access or has no such repository{}", if *.with_credentials { "; the configured credentials were used" } else { "; no credentials are configured for it" })]
    Denied {
        registry: String,
        with_credentials: bool,
    },
    #[error("{registry} cannot be reached: {reason}")]
    Unreachable { registry: String, reason: String },
    #[error("{registry} gives an answer that is not understood: {reason}")]
    NotUnderstood { registry: String, reason: String },
    #[error("{0}")]
    Other(String),
}

impl From<Engine> for DockerError {
    fn from(error: Engine) -> Self {
        match error {
            Engine::DockerResponseServerError {
                status_code,
                message,
            } => {
                let message = one_line(&message);
                match status_code {
                    404 => Self::NotFound(message),
                    409 if message.contains("is not running") => Self::NotRunning(message),
                    409 => Self::Conflict(message),
                    _ if room::says_lacking(&message) => Self::Full(message),
                    status => Self::Refused { status, message },
                }
            }
            Engine::DockerStreamError { error } if room::says_lacking(&error) => {
                Self::Full(one_line(&error))
            }
            Engine::DockerStreamError { error } => Self::Refused {
                status: 200,
                message: one_line(&error),
            },
            Engine::SocketNotFoundError(path) => {
                Self::Unreachable(format!("there is no socket {path}"))
            }
            Engine::IOError { .. }
            | Engine::HyperResponseError { .. }
            | Engine::HyperLegacyError { .. } => Self::Unreachable(root_cause(&error)),
            other => Self::Nonsense(one_line(&other.to_string())),
        }
    }
}

/// The innermost error, which says what happened; the outer ones say in which layer.
fn root_cause(error: &Engine) -> String {
    let mut cause: &dyn std::error::Error = error;
    // bollard shows each of the three as what it wraps, and names that as its source too.
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string())
}

/// Docker's own words, fit for the end of a sentence: what stands between it and us may answer with
/// a page.
pub fn one_line(message: &str) -> String {
    let words: Vec<_> = message.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST_WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.trim_end_matches('.').to_owned(),
    }
}

/// Waits for what the engine was asked to do; `Late` where that takes longer than `limit`.
pub(super) async fn in_time<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, DockerError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| DockerError::Late {
            doing,
            after: limit,
        })
}

/// Waits for the next piece of a transfer; `Stalled` where that takes longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, DockerError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| DockerError::Stalled {
            doing,
            after: limit,
        })
}

#[cfg(test)]
mod unit {
    use super::*;

    fn from_status(status_code: u16, message: &str) -> DockerError {
        Engine::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        }
        .into()
    }

    #[test]
    fn an_answer_becomes_what_a_caller_would_do_about_it() {
        assert!(matches!(
            from_status(404, "No such container: x"),
            DockerError::NotFound(_)
        ));
        assert!(matches!(
            from_status(409, "Container x is not running"),
            DockerError::NotRunning(_)
        ));
        assert!(matches!(from_status(409, "busy"), DockerError::Conflict(_)));
        assert_eq!(
            from_status(500, "it\nbroke. ").to_string(),
            "docker refused (status 500): it broke"
        );
        assert_eq!(
            from_status(500, "write /app/x: no space left on device").to_string(),
            "Docker's disk is full: write /app/x: no space left on device; free some of it, see \
             `docker system df`"
        );
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let gone = DockerError::from(Engine::from(gone));
        assert_eq!(gone.to_string(), "docker does not answer: connection reset");
    }
}
