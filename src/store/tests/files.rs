//! Published files, and a database that is opened as it is.

use super::*;
use crate::domain::time::Timestamp;

fn tomorrow() -> Timestamp {
    Timestamp::now().after(std::time::Duration::from_secs(24 * 3600))
}

#[tokio::test]
async fn only_its_own_user_may_read_a_database_also_one_that_all_could() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a.sqlite", "a.sqlite-wal", "a.sqlite-shm"].map(|name| folder.path().join(name));
    let modes = || {
        files
            .each_ref()
            .map(|file| fs::metadata(file).unwrap().permissions().mode() & 0o777)
    };
    let store = Store::open(&files[0]).unwrap();
    assert_eq!(modes(), [0o600; 3]);
    for file in &files {
        fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let again = Store::open(&files[0]).unwrap();
    assert_eq!(modes(), [0o600; 3]);
    drop((store, again));
}

#[tokio::test]
async fn a_published_file_is_known_by_its_place_and_newest_time() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let build = BuildId::from_random(1);
    for place in [Place::Binaries, Place::Kernels] {
        let recorded = store.record_file(place, "a.tar.gz".to_owned(), &build);
        recorded.await.unwrap();
    }
    let all = |place| store.files_before(place, tomorrow());
    let files = all(Place::Binaries).await.unwrap();
    assert_eq!((files.len(), files[0].name.as_str()), (1, "a.tar.gz"));
    let file = files[0].clone();
    let before = store.files_before(Place::Binaries, file.published);
    assert!(before.await.unwrap().is_empty(), "not yet");

    // A rebuild: who saw the older one removes nothing.
    while Timestamp::now() <= file.published {
        tokio::task::yield_now().await;
    }
    let again = store.record_file(Place::Binaries, file.name.clone(), &build);
    again.await.unwrap();
    assert!(!store.is_still(file.clone()).await.unwrap());
    store.forget_file(file).await.unwrap();
    let file = all(Place::Binaries).await.unwrap().remove(0);
    assert!(store.is_still(file.clone()).await.unwrap());
    store.forget_file(file).await.unwrap();
    assert!(all(Place::Binaries).await.unwrap().is_empty());
    assert_eq!(all(Place::Kernels).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_as_it_is_was_made_by_this_release() {
    let Fixture { store, folder } = fixture();
    let file = folder.path().join("test.sqlite");
    let instance = store.instance().to_owned();
    drop(store);
    assert_eq!(Store::open_as_it_is(&file).unwrap().instance(), instance);
    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let opened = Store::open_as_it_is(&file);
    assert!(matches!(
        opened.err(),
        Some(StoreError::OlderSchema { found: 1, .. })
    ));
    let none = folder.path().join("none.sqlite");
    assert!(Store::open_as_it_is(&none).is_err() && !none.exists());
}

#[tokio::test]
async fn builds_that_were_never_heard_of_are_told_from_those_that_are_over() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let heard = store.hear_push(None, push(None, 'a')).await.unwrap();
    let [over, waiting] = [heard.builds[0].clone(), heard.builds[1].clone()];
    advance(&store, &over, &TO_SUCCESS).await;
    let unknown = BuildId::from_random(1);
    let all = vec![over.clone(), waiting, unknown.clone()];
    let not_known = store.not_known(all.clone()).await.unwrap();
    assert_eq!(not_known, std::slice::from_ref(&unknown));
    assert_eq!(store.not_unfinished(all).await.unwrap(), [over, unknown]);
}
