//! How the webhooks of watched repositories stand, as the last look at them found.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;

#[derive(Debug, Default)]
pub struct Webhooks {
    states: Mutex<BTreeMap<RepositoryName, WebhookState>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookState {
    pub looked: Timestamp,
    /// Why it is not as it should be, and what to do.
    pub problem: Option<String>,
}

impl Webhooks {
    pub fn set(&self, repository: &RepositoryName, problem: Option<String>) {
        let looked = Timestamp::now();
        self.lock()
            .insert(repository.clone(), WebhookState { looked, problem });
    }

    /// Its webhooks are not looked at, or no longer.
    pub fn forget(&self, repository: &RepositoryName) {
        self.lock().remove(repository);
    }

    pub fn all(&self) -> BTreeMap<RepositoryName, WebhookState> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RepositoryName, WebhookState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
