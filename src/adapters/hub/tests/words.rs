//! Answers: the hub's own words count, and everything else is shown for what it is.

use super::*;

async fn refused(wrong: Wrong) -> (World, String) {
    let world = World::new();
    world.model.next(Route::Upload, wrong);
    let error = world.upload().await.unwrap_err().to_string();
    // None of these is worth another try.
    assert_eq!(world.model.requests(Route::Upload).len(), 1);
    (world, error)
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error_in_the_hubs_words() {
    let wrong = Wrong::Error("archive is\n corrupted".to_owned());
    let (world, error) = refused(wrong).await;
    assert_eq!(error, "the hub refuses it: archive is corrupted");
    assert_eq!(world.results(), [("upload", "refused")]);
}

#[tokio::test]
async fn the_words_count_and_not_the_status_of_http() {
    let world = World::new();
    let success = r#"{"status": "success", "payload": {"name": "a.flist"}}"#;
    world.model.next(Route::Upload, Wrong::answer(500, success));
    assert_eq!(world.upload().await.unwrap().as_deref(), Some("a.flist"));
    let error = r#"{"status": "error", "message": {"code": 7}}"#;
    let (_, error) = refused(Wrong::answer(503, error)).await;
    assert_eq!(error, r#"the hub refuses it: {"code":7}"#);
    let (_, error) = refused(Wrong::answer(200, r#"{"status": "error"}"#)).await;
    assert_eq!(error, "the hub refuses it: it does not say why");
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_shown_to_nobody() {
    let mut world = World::new();
    world.settings.token = Token::new("not-the-right-token");
    let error = world.upload().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the hub refuses it: the token [secret] is not valid or has expired"
    );
    assert!(
        !world.lines().contains("not-the-right"),
        "{}",
        world.lines()
    );
    assert!(!format!("{:?}", world.settings).contains("not-the-right"));
}

#[tokio::test]
async fn what_is_not_the_hubs_is_shown_with_its_status_and_beginning() {
    let page = format!("<html>\n<h1>It works, {TOKEN}!</h1>{}", "x".repeat(5000));
    let (world, error) = refused(Wrong::answer(404, &page)).await;
    let begins = "the hub gives an answer that is not understood, 404 Not Found: \
                  <html> <h1>It works, [secret]!</h1>xxx";
    assert!(error.starts_with(begins), "{error}");
    assert!(error.chars().count() < 400, "{error}");
    assert_eq!(world.results(), [("upload", "malformed")]);
    for body in [
        "",
        "[]",
        "{}",
        r#"{"status": "perhaps"}"#,
        r#"{"status": 1}"#,
    ] {
        let (_, error) = refused(Wrong::answer(200, body)).await;
        assert!(error.contains("not understood, 200 OK"), "{body}: {error}");
    }
    let (_, error) = refused(Wrong::answer(200, &"x".repeat(2_000_000))).await;
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let other = Model::start();
    other.accept(TOKEN);
    let world = World::new();
    let to = format!("{}/api/flist/me/upload", other.url());
    let wrong = Wrong::answer(307, "").header("location", &to);
    world.model.next(Route::Upload, wrong);
    let error = world.upload().await.unwrap_err().to_string();
    assert!(error.contains(&format!("redirects to {to}")), "{error}");
    assert!(other.requests(Route::Upload).is_empty());
}

#[tokio::test]
async fn a_credential_that_no_header_can_hold_is_not_sent() {
    let mut world = World::new();
    world.settings.token = Token::new("two\nlines");
    let error = world.upload().await.unwrap_err().to_string();
    assert!(error.contains("the credential for the hub has"), "{error}");
    assert!(!error.contains("two"), "{error}");
}
