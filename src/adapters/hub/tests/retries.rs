//! What may work later is tried again, and not for ever.

use super::*;
use faulty::{Fault, Faulty};

/// More than sockets of this machine take without being read.
const LARGE: usize = 24 * 1024 * 1024;

#[tokio::test]
async fn a_server_that_is_away_for_a_while_gets_it_in_the_end() {
    let world = World::new();
    world.model.next(Route::Upload, Wrong::answer(503, "later"));
    world
        .model
        .next(Route::Upload, Wrong::answer(502, "<html>"));
    world.model.next(Route::Upload, Wrong::CutAfter(0));
    world.upload().await.unwrap();
    assert_eq!(world.stored().unwrap(), archive(3000));
    let lines = world.lines();
    let failed = "the upload to the hub failed: the hub answers 503 Service Unavailable: later; \
                  it is tried again in 0 s";
    assert!(lines.contains(failed), "{lines}");
    assert_eq!(lines.matches("is tried again").count(), 3, "{lines}");
    let unavailable = ("upload", "unavailable");
    assert_eq!(
        world.results(),
        [unavailable, unavailable, unavailable, ("upload", "success")]
    );
}

#[tokio::test]
async fn a_link_is_tried_again_as_well() {
    let world = World::new();
    world.upload().await.unwrap();
    world.model.next(Route::Link, Wrong::answer(504, ""));
    world.link(STORED, LINK).await.unwrap();
    assert_eq!(world.model.requests(Route::Link).len(), 2);
    assert_eq!(world.model.link(USER, LINK).as_deref(), Some(STORED));
}

#[tokio::test]
async fn an_upload_that_is_cut_amid_is_repeated_whole() {
    let world = World::new();
    let content = archive(LARGE);
    world.write(&content);
    world.model.next(Route::Upload, Wrong::CutAfter(1_000_000));
    world.upload().await.unwrap();
    assert!(world.stored().unwrap() == content, "it is another file");
    assert_eq!(
        world.results(),
        [("upload", "unavailable"), ("upload", "success")]
    );
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up_and_repeated() {
    let world = World::with(
        Patience {
            stall: Duration::from_millis(500),
            ..patience()
        },
        TOKEN,
    );
    let content = archive(LARGE);
    world.write(&content);
    world
        .model
        .next(Route::Upload, Wrong::SilentAfter(1_000_000));
    world.upload().await.unwrap();
    assert!(world.stored().unwrap() == content, "it is another file");
    let lines = world.lines();
    assert!(lines.contains("took nothing for 0.5 s, after "), "{lines}");
    assert!(lines.contains(" of 24.0 MiB; it is tried"), "{lines}");
}

#[tokio::test]
async fn the_progress_of_a_long_upload_is_told() {
    let world = World::with(
        Patience {
            stall: Duration::from_millis(400),
            progress: Duration::ZERO,
            pauses: Vec::new(),
            ..patience()
        },
        TOKEN,
    );
    world.write(&archive(LARGE));
    world
        .model
        .next(Route::Upload, Wrong::SilentAfter(1_000_000));
    world.upload().await.unwrap_err();
    let lines = world.lines();
    let told = lines.lines().any(|line| {
        line.starts_with("uploaded ") && line.contains("/s) of ") && line.ends_with("24.0 MiB")
    });
    assert!(told, "{lines}");
}

#[tokio::test]
async fn a_hub_that_works_long_is_waited_for_and_one_that_never_ends_is_not() {
    let patience = Patience {
        stall: Duration::from_millis(100),
        conversion: Duration::from_secs(30),
        ..patience()
    };
    let world = World::with(patience.clone(), TOKEN);
    let slow = Wrong::Late(Duration::from_millis(400));
    world.model.next(Route::Upload, slow);
    world.upload().await.unwrap();
    assert_eq!(world.model.requests(Route::Upload).len(), 1);

    let world = World::with(
        Patience {
            conversion: Duration::from_millis(200),
            ..patience
        },
        TOKEN,
    );
    let never = Wrong::Late(Duration::from_secs(3600));
    world.model.next(Route::Upload, never);
    let error = world.upload().await.unwrap_err().to_string();
    assert_eq!(error, "the hub gave no answer within 0.2 s");
    // It may be at it still.
    assert_eq!(world.model.requests(Route::Upload).len(), 1);
}

#[tokio::test]
async fn a_link_without_an_answer_is_tried_again() {
    let world = World::with(
        Patience {
            answer: Duration::from_millis(200),
            ..patience()
        },
        TOKEN,
    );
    world.upload().await.unwrap();
    world.model.next(Route::Link, Wrong::SilentAfter(0));
    world.link(STORED, LINK).await.unwrap();
    let lines = world.lines();
    assert!(lines.contains("gave no answer within 0.2 s; it"), "{lines}");
}

#[tokio::test]
async fn it_is_given_up_after_the_last_pause() {
    let mut world = World::new();
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.settings.url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let error = world.upload().await.unwrap_err().to_string();
    assert!(error.starts_with("the hub gave no answer: "), "{error}");
    assert!(error.ends_with(", 4 times"), "{error}");
    assert_eq!(world.results(), [("upload", "unavailable"); 4]);
}

#[tokio::test]
async fn a_server_that_says_how_long_is_given_that_time() {
    let world = World::new();
    let wrong = Wrong::answer(429, "").header("retry-after", "1");
    world.model.next(Route::Upload, wrong);
    let begun = std::time::Instant::now();
    world.upload().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(world.lines().contains("tried again in 1 s"));
}

#[tokio::test]
async fn a_hub_that_stops_amid_its_answer_is_given_up_like_one_that_gives_none() {
    let hub = Faulty::alone();
    hub.fail(Fault::begins("application/json", "{"));
    let limit = Duration::from_millis(100);
    let patience = Patience {
        answer: limit,
        conversion: limit,
        ..patience()
    };
    let mut world = World::with(patience, TOKEN);
    world.settings.url = hub.url();
    let error = world.upload().await.unwrap_err();
    assert_eq!(error.to_string(), "the hub gave no answer within 0.1 s");
    let error = world.link(STORED, LINK).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the hub gave no answer within 0.1 s, 4 times"
    );
}
