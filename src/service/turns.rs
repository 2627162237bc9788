//! One at a time for each stable name, each file and each log: what is compared is what is then
//! changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::domain::names::BuildId;
use crate::store::Place;

#[derive(PartialEq, Eq, Hash)]
enum Subject {
    /// A stable name, which points to one file after another.
    Name(Place, String),
    /// A file that stable names point to.
    File(Place, String),
    Log(BuildId),
}

/// What somebody compares and changes, or waits to.
#[derive(Default)]
pub struct Turns {
    subjects: Mutex<HashMap<Subject, Arc<AsyncMutex<()>>>>,
}

impl Turns {
    /// Waits until no one else works on this name; it is held until the guard is dropped.
    pub async fn take(&self, place: Place, name: &str) -> OwnedMutexGuard<()> {
        self.take_subject(Subject::Name(place, name.to_owned()))
            .await
    }

    /// Held by who publishes a file, until what is to point to it does, and by who removes it.
    pub async fn take_file(&self, place: Place, file: &str) -> OwnedMutexGuard<()> {
        self.take_subject(Subject::File(place, file.to_owned()))
            .await
    }

    /// Held by who writes a build's log.
    pub async fn take_log(&self, build: &BuildId) -> OwnedMutexGuard<()> {
        self.take_subject(Subject::Log(build.clone())).await
    }

    async fn take_subject(&self, subject: Subject) -> OwnedMutexGuard<()> {
        let turn = {
            let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for any more.
            subjects.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(subjects.entry(subject).or_default())
        };
        turn.lock_owned().await
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
        assert_eq!(turns.subjects.lock().unwrap().len(), 1);
    }
}
