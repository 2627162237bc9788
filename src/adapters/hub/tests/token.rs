//! Tokens that expire.

use std::os::unix::fs::PermissionsExt;

use hub_model::jwt;

use super::*;

const FUTURE: i64 = i32::MAX as i64;
const PAST: i64 = 1_000_000_000;

/// The tokens that uploads were shown with.
fn shown(world: &World) -> Vec<String> {
    let uploads = world.model.requests(Route::Upload);
    uploads
        .iter()
        .map(|seen| seen.bearer().to_owned())
        .collect()
}

/// The same data directory and servers, after a restart.
fn restarted(mut world: World) -> World {
    let observer: Observer = Arc::new(|_| {});
    world.hub = Hub::with_patience(world.token_file(), observer, patience());
    world
}

fn refreshes(world: &World) -> usize {
    world.model.requests(Route::Refresh).len()
}

#[tokio::test]
async fn a_jwt_is_renewed_before_it_is_used_and_kept_across_restarts() {
    let configured = jwt("configured", FUTURE);
    let world = World::with(patience(), &configured);
    world.upload().await.unwrap();
    let first = world.model.requests(Route::Refresh)[0].bearer().to_owned();
    assert_eq!(first, configured);
    let renewed = shown(&world)[0].clone();
    assert_ne!(renewed, configured);

    // The configured one is good for nothing by now.
    let world = restarted(world);
    world.upload().await.unwrap();
    assert_eq!(world.model.requests(Route::Refresh)[1].bearer(), renewed);
    assert_ne!(shown(&world)[1], renewed);

    let mode = std::fs::metadata(world.token_file()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let files = std::fs::read_dir(world.folder.path()).unwrap().count();
    assert_eq!(files, 2, "only the artifact and the token");
    assert!(!world.lines().contains(&renewed));
}

#[tokio::test]
async fn a_token_that_was_just_renewed_is_not_renewed_again() {
    let world = World::with(patience(), &jwt("configured", FUTURE));
    world.upload().await.unwrap();
    world.link(STORED, LINK).await.unwrap();
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn without_an_address_for_it_a_jwt_is_used_as_it_is() {
    let mut world = World::with(patience(), &jwt("configured", FUTURE));
    world.settings.refresh_url = None;
    world.upload().await.unwrap();
    assert_eq!(refreshes(&world), 0);
    assert!(!world.token_file().exists());
}

#[tokio::test]
async fn another_configured_token_takes_the_place_of_a_renewed_one() {
    let mut world = World::with(patience(), &jwt("configured", FUTURE));
    world.upload().await.unwrap();
    let other = jwt("other", FUTURE);
    world.model.accept(&other);
    world.settings.token = Token::new(&other);
    world.upload().await.unwrap();
    assert_eq!(world.model.requests(Route::Refresh)[1].bearer(), other);

    // Also where it was put in while the service was down.
    let mut world = restarted(world);
    let third = jwt("third", FUTURE);
    world.model.accept(&third);
    world.settings.token = Token::new(&third);
    world.upload().await.unwrap();
    assert_eq!(world.model.requests(Route::Refresh)[2].bearer(), third);
}

#[tokio::test]
async fn of_many_at_once_one_renews_it() {
    let world = World::with(patience(), &jwt("configured", FUTURE));
    let slow = Wrong::Late(Duration::from_millis(100));
    world.model.next(Route::Refresh, slow);
    let (a, b, c) = tokio::join!(world.upload(), world.upload(), world.upload());
    for uploaded in [a, b, c] {
        uploaded.unwrap();
    }
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn of_many_at_once_one_tries_in_vain() {
    let world = World::with(patience(), &jwt("configured", FUTURE));
    for _ in 0..3 {
        world
            .model
            .next(Route::Refresh, Wrong::answer(500, "broken"));
    }
    let (a, b) = tokio::join!(world.upload(), world.upload());
    a.unwrap();
    b.unwrap();
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_and_still_holds_is_used() {
    let configured = jwt("configured", FUTURE);
    let world = World::with(patience(), &configured);
    world.model.next(Route::Refresh, Wrong::answer(503, ""));
    world.upload().await.unwrap();
    assert_eq!(shown(&world), [configured.as_str()]);
    let lines = world.lines();
    let told = "cannot renew the hub's token: the server of hub.refresh_url answers 503 Service \
                Unavailable; the token that there is still holds";
    assert!(lines.contains(told), "{lines}");
    // With the next upload it is tried again.
    world.upload().await.unwrap();
    assert_eq!(refreshes(&world), 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_and_has_expired_is_an_error() {
    for token in [jwt("configured", PAST), "not.a.jwt".to_owned()] {
        let world = World::with(patience(), &token);
        world.model.refuse(&token);
        let error = world.upload().await.unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot renew the hub's token: the server of hub.refresh_url gives an answer that is \
             not understood, 401 Unauthorized: the token has expired"
        );
        assert!(world.model.requests(Route::Upload).is_empty());
        assert_eq!(world.results(), [("refresh", "malformed")]);
    }
}

#[tokio::test]
async fn an_expired_token_is_worth_some_patience() {
    let token = jwt("configured", PAST);
    let world = World::with(patience(), &token);
    world.model.next(Route::Refresh, Wrong::answer(503, ""));
    world.upload().await.unwrap();
    assert_eq!(refreshes(&world), 2);
}

#[tokio::test]
async fn what_is_no_token_is_neither_taken_nor_shown() {
    let configured = jwt("configured", FUTURE);
    let world = World::with(patience(), &configured);
    let secret = r#"{"token": "a.new.token"}"#;
    world.model.next(Route::Refresh, Wrong::answer(200, secret));
    world.upload().await.unwrap();
    assert_eq!(shown(&world), [configured.as_str()]);
    let lines = world.lines();
    assert!(
        lines.contains("not understood, 200 OK; the token"),
        "{lines}"
    );
    assert!(!lines.contains("a.new.token"), "{lines}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_of_and_written_anew() {
    let world = World::with(patience(), &jwt("configured", FUTURE));
    std::fs::write(world.token_file(), r#"{"token": "half.a.tok"#).unwrap();
    world.upload().await.unwrap();
    let lines = world.lines();
    assert!(lines.contains("it is not whole"), "{lines}");
    assert!(!lines.contains("half.a.tok"), "{lines}");
    let world = restarted(world);
    world.upload().await.unwrap();
    assert_eq!(
        world.model.requests(Route::Refresh)[1].bearer(),
        shown(&world)[0]
    );
}

/// Each use renews the token.
fn never_fresh() -> Patience {
    Patience {
        fresh: Duration::ZERO,
        ..patience()
    }
}

#[tokio::test]
async fn an_upload_amid_which_another_renews_the_token_is_shown_with_the_new_one() {
    let world = World::with(never_fresh(), &jwt("configured", FUTURE));
    world.model.next(Route::Upload, Wrong::Held);
    let (slow, ()) = tokio::join!(world.upload(), async {
        while world.model.requests(Route::Upload).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.upload().await.unwrap();
        world.model.release();
    });
    slow.unwrap();
    let shown = shown(&world);
    assert_ne!(shown[0], shown[1]);
    assert_eq!(shown[1..], [shown[1].as_str(); 2]);
    assert_eq!(refreshes(&world), 2);
    let results = world.results();
    let uploads = results
        .iter()
        .filter(|(operation, _)| *operation == "upload");
    let uploads: Vec<_> = uploads.map(|(_, result)| *result).collect();
    assert_eq!(uploads, ["success", "refused", "success"]);
    let lines = world.lines();
    assert!(
        lines.contains("the token that was renewed meanwhile"),
        "{lines}"
    );
    assert!(
        !lines.contains(&shown[0]) && !lines.contains(&shown[1]),
        "{lines}"
    );
}

#[tokio::test]
async fn what_is_refused_with_the_newest_token_is_not_tried_again() {
    let world = World::with(patience(), &jwt("configured", FUTURE));
    let full = Wrong::Error("the disk is full".to_owned());
    world.model.next(Route::Upload, full);
    world.upload().await.unwrap_err();
    assert_eq!(shown(&world).len(), 1);
}

#[tokio::test]
async fn each_try_is_shown_with_the_newest_token() {
    let world = World::with(never_fresh(), &jwt("configured", FUTURE));
    world.model.next(Route::Upload, Wrong::answer(503, ""));
    world.upload().await.unwrap();
    let shown = shown(&world);
    assert_eq!(shown.len(), 2);
    assert_ne!(shown[0], shown[1]);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_waited_for_once() {
    let world = World::with(patience(), &jwt("configured", PAST));
    for _ in 0..8 {
        world.model.next(Route::Refresh, Wrong::answer(503, ""));
    }
    let error = world.upload().await.unwrap_err().to_string();
    assert!(
        error.ends_with("503 Service Unavailable, 4 times"),
        "{error}"
    );
    assert_eq!(refreshes(&world), 4);
}
