//! Published names, which repositories may share.

use super::*;
use crate::domain::names::RepositoryName;

const NAME: &str = "zero-os-main.efi";

fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

/// A build of a repository's push, which points the name to what it published.
async fn publish(store: &Store, of: &str, after: char) -> Build {
    let mut new = push(None, after);
    new.push.repository = repository(of);
    let id = store.hear_push(None, new).await.unwrap().builds[0].clone();
    let build = store.build(id).await.unwrap();
    let recorded = store.record_published(Place::Kernels, NAME.to_owned(), &build);
    recorded.await.unwrap();
    build
}

async fn points_to(store: &Store) -> BuildId {
    let published = store.published(Place::Kernels, NAME.to_owned());
    published.await.unwrap().unwrap().build
}

async fn last_by(store: &Store, of: &str) -> Option<BuildId> {
    let published = store.published_last_by(Place::Kernels, NAME.to_owned(), repository(of));
    published.await.unwrap().map(|published| published.build)
}

#[tokio::test]
async fn each_repository_keeps_what_it_published_under_a_name_that_others_share() {
    let Fixture { store, folder } = fixture();
    let core = publish(&store, "acme/core", 'a').await;
    assert_eq!(points_to(&store).await, core.id);
    let fs = publish(&store, "acme/fs", 'b').await;
    assert_eq!(points_to(&store).await, fs.id);
    assert_eq!(last_by(&store, "acme/core").await, Some(core.id.clone()));
    assert_eq!(last_by(&store, "acme/fs").await, Some(fs.id));
    assert_eq!(last_by(&store, "acme/other").await, None);

    // The clock was ahead when the name moved last.
    Connection::open(folder.path().join("test.sqlite"))
        .unwrap()
        .execute("UPDATE publications SET moved = moved + 86400000", [])
        .unwrap();
    let recorded = store.record_published(Place::Kernels, NAME.to_owned(), &core);
    recorded.await.unwrap();
    assert_eq!(points_to(&store).await, core.id);
}

#[tokio::test]
async fn names_that_an_older_release_published_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.sqlite");
    let mut older = Connection::open(&file).unwrap();
    schema::migrate_to(&mut older, 7).unwrap();
    let of_nobody = BuildId::from_random(1);
    let of_core = BuildId::from_random(2);
    for (name, build, repository) in [
        (NAME, &of_nobody, None),
        ("other.efi", &of_core, Some("acme/core")),
    ] {
        older
            .execute(
                "INSERT INTO publications (place, name, build, push, sha, moved, repository, ref) \
                 VALUES ('kernels', ?1, ?2, 7, ?3, 1, ?4, 'refs/heads/main')",
                rusqlite::params![name, build.as_str(), sha('a').as_str(), repository],
            )
            .unwrap();
    }
    drop(older);
    let store = Store::open(&file).unwrap();
    let published = store.published(Place::Kernels, NAME.to_owned());
    let published = published.await.unwrap().unwrap();
    assert_eq!((published.repository, published.push), (None, 7));
    // It may be anybody's.
    assert_eq!(last_by(&store, "acme/core").await, Some(of_nobody));
    let by_core = store.published_by(Place::Kernels, repository("acme/core"));
    let by_core = by_core.await.unwrap().remove(0);
    assert_eq!(
        (by_core.name.as_str(), by_core.build),
        ("other.efi", of_core)
    );

    let core = publish(&store, "acme/core", 'b').await;
    assert_eq!(last_by(&store, "acme/core").await, Some(core.id));
}
