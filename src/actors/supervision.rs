//! What a supervisor hears of an actor below it that ended though it should not have.

use ractor::{ActorCell, SupervisionEvent};

/// Who failed, and why: by an error, a panic, or killed with its parent. `None` for an actor that
/// started, or that came to its own end.
pub fn failure(event: &SupervisionEvent) -> Option<(&ActorCell, String)> {
    match event {
        SupervisionEvent::ActorFailed(who, error) => Some((who, error.to_string())),
        SupervisionEvent::ActorTerminated(who, _, Some(reason)) => Some((who, reason.clone())),
        _ => None,
    }
}
