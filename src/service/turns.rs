//! One at a time for each stable name: what is compared is what is then changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::store::Place;

type Name = (Place, String);

/// Names that somebody compares and moves, or waits to.
#[derive(Default)]
pub struct Turns {
    names: Mutex<HashMap<Name, Arc<AsyncMutex<()>>>>,
}

impl Turns {
    /// Waits until no one else works on this name; it is held until the guard is dropped.
    pub async fn take(&self, place: Place, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for any more.
            names.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(names.entry((place, name.to_owned())).or_default())
        };
        turn.lock_owned().await
    }

    /// Held by who publishes a file, until what is to point to it does, and by who removes it.
    pub async fn take_file(&self, place: Place, file: &str) -> OwnedMutexGuard<()> {
        // No name of ours has a space in it, so that this is not that of a link.
        self.take(place, &format!("{file} itself")).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_name_has_one_holder_and_others_do_not_wait() {
        let turns = Turns::default();
        let held = turns.take(Place::Hub, "a").await;
        assert!(turns.take(Place::Hub, "a").now_or_never().is_none());
        for (place, name) in [(Place::Hub, "b"), (Place::Kernels, "a")] {
            assert!(turns.take(place, name).now_or_never().is_some());
        }
        let file = turns.take_file(Place::Hub, "a").now_or_never().unwrap();
        assert!(turns.take_file(Place::Hub, "a").now_or_never().is_none());
        drop((held, file));
        let _again = turns.take(Place::Hub, "a").now_or_never().unwrap();
        assert_eq!(turns.names.lock().unwrap().len(), 1);
    }
}
