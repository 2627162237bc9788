//! The connections for reading and the one for writing, when more is asked than they can answer at
//! once, or what is asked panics.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

/// Browsers give up requests that they no longer need, while their queries go on.
#[tokio::test]
async fn a_query_keeps_its_place_when_nobody_waits_for_it_any_more() {
    let Fixture { store, .. } = fixture();
    // Dropped, it lets all of them go on.
    let (gate, closed) = mpsc::channel::<()>();
    let closed = Arc::new(Mutex::new(closed));
    for _ in 0..READERS {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (store, closed) = (store.clone(), Arc::clone(&closed));
        let asked = tokio::spawn(async move {
            let query = move |_: &Connection| {
                begun.send(()).unwrap();
                let _ = closed.lock().unwrap().recv();
                Ok(())
            };
            store.read(query).await
        });
        begins.await.unwrap();
        asked.abort();
    }
    let mut next = tokio::spawn(async move { store.read(|_| Ok("answered")).await });
    let early = tokio::time::timeout(Duration::from_millis(100), &mut next).await;
    assert!(early.is_err(), "{early:?}");
    drop(gate);
    assert_eq!(next.await.unwrap().unwrap(), "answered");
}

#[tokio::test]
async fn a_query_that_panics_keeps_no_connection() {
    let Fixture { store, .. } = fixture();
    for _ in 0..=READERS {
        let error = store.read::<()>(|_| panic!("no {}", 7)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "database: an error of this program: no 7"
        );
    }
    assert_eq!(store.read(|_| Ok("answered")).await.unwrap(), "answered");
}

#[tokio::test]
async fn a_write_that_panics_is_undone_alone() {
    let Fixture { store, .. } = fixture();
    let revision = *store.revision().borrow();
    let count = |connection: &Connection| {
        connection.execute("UPDATE instance SET revision = revision + 1", [])?;
        Ok(())
    };
    let broken = move |connection: &Connection| -> Result<()> {
        count(connection)?;
        panic!("no {}", 7)
    };
    // Together, so that they may share a transaction.
    let (before, panicked, after) =
        tokio::join!(store.write(count), store.write(broken), store.write(count));
    before.unwrap();
    after.unwrap();
    let error = panicked.unwrap_err().to_string();
    assert_eq!(error, "database: an error of this program: no 7");
    assert_eq!(*store.revision().borrow(), revision + 2);
    assert_eq!(store.problem(), None, "the database itself is well");
}

#[tokio::test]
async fn a_database_that_cannot_be_written_says_so_until_it_can() {
    let Fixture { store, folder } = fixture();
    let impatient = |connection: &Connection| Ok(connection.busy_timeout(Duration::ZERO)?);
    store.write(impatient).await.unwrap();
    store.try_to_write().await.unwrap();
    assert_eq!(store.problem(), None);
    let other = Connection::open(folder.path().join("test.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.try_to_write().await.unwrap_err().to_string();
    assert_eq!(error, "database: database is locked");
    assert_eq!(store.problem(), Some(error));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.problem().is_some(), "nothing was written yet");
    store.try_to_write().await.unwrap();
    assert_eq!(store.problem(), None);
}
