//! The connections for reading, when more is asked than they can answer at once.

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
