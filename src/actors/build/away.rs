//! What Docker was away for in the middle of is done again when it is back.

use std::time::Duration;

use ractor::ActorRef;

use super::Message;
use crate::adapters::docker::DockerError;
use crate::service::Service;

/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tries at one thing, for which the container still stands.
pub struct Tries<'a> {
    service: &'a Service,
    myself: &'a ActorRef<Message>,
    /// For who counts failures.
    operation: &'static str,
    pause: Duration,
}

impl<'a> Tries<'a> {
    pub fn new(
        service: &'a Service,
        myself: &'a ActorRef<Message>,
        operation: &'static str,
    ) -> Self {
        Self {
            service,
            myself,
            operation,
            pause: FIRST_PAUSE,
        }
    }

    /// Whether to try again after this error; if so, the pause is over.
    pub async fn again(&mut self, error: &DockerError) -> bool {
        self.service.metrics.docker_failed(self.operation);
        if !error.is_away() {
            return false;
        }
        tracing::warn!(operation = self.operation, %error, "waiting for docker");
        if self.pause == FIRST_PAUSE {
            let line = format!("{error}; this is done again when Docker is back");
            let _ = self.myself.cast(Message::Note(line));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}
