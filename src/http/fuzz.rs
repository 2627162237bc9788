//! Bodies of webhooks and messages of live connections.

use super::live::protocol;
use super::webhook::payload::{self, Told};

pub fn webhook(bytes: &[u8]) {
    let Ok(told) = payload::parse(bytes) else {
        return;
    };
    let (repository, reference) = match &told {
        Told::Push(push) => (&push.repository, &push.reference),
        Told::Deletion(repository, reference) => (repository, reference),
    };
    // A name that was taken is a name wherever it is read again.
    assert_eq!(repository.to_string().parse().as_ref(), Ok(repository));
    assert_eq!(reference.to_string().parse().as_ref(), Ok(reference));
}

pub fn live_message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(failure) = protocol::parse(text) {
        assert!(failure.status.is_client_error());
    }
}
