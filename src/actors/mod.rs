//! Stand-in until the actors are merged: what HTTP knows of them.

use crate::domain::names::{BuildId, RepositoryName};

/// Speaks to the queue.
#[derive(Clone)]
pub struct Projects;

/// Why a build was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    #[error("there is no build {0} that waits or runs")]
    NotUnfinished(BuildId),
    #[error("build {0} is being published and can no longer be cancelled")]
    TooLate(BuildId),
    #[error("the service is starting or stopping")]
    Unavailable,
}

impl Projects {
    pub fn heard(&self, _: &RepositoryName) {}

    pub async fn cancel(&self, _: &RepositoryName, _: &BuildId) -> Result<(), CancelError> {
        Err(CancelError::Unavailable)
    }
}
