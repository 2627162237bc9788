//! A disk with too little room, and one that ends in the middle of a write.

use std::sync::mpsc;

use super::*;

fn count(connection: &Connection) -> Result<()> {
    connection.execute("UPDATE instance SET revision = revision + 1", [])?;
    Ok(())
}

#[tokio::test]
async fn without_room_a_write_waits_or_is_refused_and_what_makes_room_is_done() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    assert_eq!((store.problem(), store.lacks_room()), (None, None));
    let room = store.shared.writer.room();
    room.keep(u64::MAX);
    let before = *store.revision().borrow();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let store = store.clone();
        waiting.push(tokio::spawn(async move { store.write(count).await }));
    }
    for _ in 0..2 {
        let refused = store.write_or(WithoutRoom::Refuse, count).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("are kept for the database"), "{why}");
        assert!(why.ends_with("see `autobuilder gc`"), "{why}");
    }
    assert!(store.problem().is_some());
    store.write_or(WithoutRoom::Write, count).await.unwrap();
    assert_eq!(*store.revision().borrow(), before + 1);
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));

    room.keep(0);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(*store.revision().borrow(), before + 4);
    assert_eq!(store.problem(), None);
}

#[tokio::test]
async fn what_comes_to_the_end_of_the_disk_is_undone_and_done_again() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let before = *store.revision().borrow();
    let table = |connection: &Connection| Ok(connection.execute_batch("CREATE TABLE x (y)")?);
    store.write(table).await.unwrap();
    // So that all of them share a transaction.
    let (gate, closed) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let holds = move |_: &Connection| {
        let _ = begun.send(());
        let _ = closed.recv();
        Ok(())
    };
    let mut tries = 0;
    let fills = move |connection: &Connection| -> Result<u32> {
        tries += 1;
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let most = if tries < 3 { pages + 2 } else { pages + 1000 };
        let limit = format!("PRAGMA max_page_count = {most}");
        connection.query_row(&limit, [], |_| Ok(()))?;
        connection.execute("INSERT INTO x VALUES (zeroblob(1000000))", [])?;
        Ok(tries)
    };
    let gate_opens = async {
        tokio::task::spawn_blocking(move || begins.recv())
            .await
            .unwrap()
            .unwrap();
        // Each of the others has been polled by now, and so is in the queue.
        drop(gate);
    };
    let (held, first, filled, refused, last, ()) = tokio::join!(
        store.write(holds),
        store.write(count),
        store.write(fills),
        store.write_or(WithoutRoom::Refuse, count),
        store.write(count),
        gate_opens,
    );
    held.unwrap();
    first.unwrap();
    assert_eq!(filled.unwrap(), 3);
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("is full: free some of it"), "{why}");
    last.unwrap();
    assert_eq!(*store.revision().borrow(), before + 2, "each is done once");
    assert_eq!(store.problem(), None);
}
