//! Why a server did not do it.

use std::time::Duration;

/// One sentence for people. None holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HubError {
    pub kind: Kind,
    message: String,
    /// How long the server asks to wait.
    pub(super) wait: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It would be refused again.
    Refused,
    /// It may work later.
    Unavailable,
    /// The answer is not one of this server's.
    Malformed,
    /// Nothing was sent: what should have been is not there.
    Local,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Malformed => "malformed",
            Self::Local => "local",
        }
    }
}

impl HubError {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            wait: None,
        }
    }

    pub(super) fn wait(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    /// With more words after the sentence.
    pub(super) fn and(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }
}
