//! Badges, and which builds of a branch they speak of.

use super::*;

/// The word of a badge.
async fn badge(fixture: &Fixture, file: &str) -> String {
    let response = fixture.get(&format!("/badge/acme/app/{file}")).await;
    assert_eq!(response.headers()["content-type"], "image/svg+xml");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let svg = String::from_utf8(response.body().to_vec()).unwrap();
    let (_, rest) = svg.split_once("<title>build: ").unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_badge_shows_the_worst_of_the_newest_push() {
    let fixture = Fixture::new();
    let word = async || badge(&fixture, "main.svg").await;
    assert_eq!(word().await, "unknown");
    let builds = fixture.push('a').await;
    assert_eq!(word().await, "building");
    let to_success = [
        State::Preparing,
        State::Building,
        State::Collecting,
        State::Publishing,
        State::Succeeded,
    ];
    fixture.advance(&builds[0], &to_success).await;
    assert_eq!(word().await, "building");
    fixture
        .advance(
            &builds[1],
            &[State::Preparing, State::Building, State::Failed],
        )
        .await;
    assert_eq!(word().await, "failing");
    let again = fixture
        .store()
        .rebuild(builds[1].clone(), Recipe::of_script("test.sh").into())
        .await
        .unwrap();
    fixture.advance(&again, &to_success).await;
    assert_eq!(word().await, "passing");

    let first = fixture.get("/badge/acme/app/main.svg").await;
    let again = warp::test::request()
        .path("/badge/acme/app/main.svg")
        .header("if-none-match", &first.headers()["etag"])
        .reply(&fixture.routes)
        .await;
    assert_eq!(again.status(), 304);
    assert_eq!(fixture.get("/badge/acme/app/main").await.status(), 404);
    assert_eq!(
        fixture.get("/badge/acme/app/feature/x.svg").await.status(),
        200
    );
}

#[tokio::test]
async fn a_skipped_push_does_not_repair_a_badge() {
    let fixture = Fixture::new();
    let failed = [State::Preparing, State::Building, State::Failed];
    for (commit, first, second, word) in [
        (
            'a',
            [State::Skipped].as_slice(),
            [State::Skipped].as_slice(),
            "passing",
        ),
        ('b', &[State::Skipped], &failed, "failing"),
        ('c', &[State::Skipped], &[State::Skipped], "failing"),
        ('d', &failed, &[State::Preparing], "failing"),
        ('e', &[State::Preparing], &[State::Skipped], "building"),
    ] {
        let builds = fixture.push(commit).await;
        fixture.advance(&builds[0], first).await;
        fixture.advance(&builds[1], second).await;
        assert_eq!(badge(&fixture, "main.svg").await, word, "{commit}");
    }
}

#[tokio::test]
async fn a_branch_is_not_confused_with_a_tag_of_its_name() {
    let fixture = Fixture::new();
    let log = async || {
        let response = fixture.get("/build/logs/acme/app/main").await;
        String::from_utf8_lossy(response.body()).into_owned()
    };
    let push = async |commit: char, reference: &str, word: &str| {
        let mut new = new_build(commit);
        new.push.reference = reference.parse().unwrap();
        new.work.truncate(1);
        let heard = fixture.store().hear_push(None, new).await.unwrap();
        let build = heard.builds[0].clone();
        fixture
            .log(&build)
            .await
            .append(1_000, 0, word.as_bytes())
            .unwrap();
        build
    };
    let failed = [State::Preparing, State::Building, State::Failed];
    let old_tag = push('a', "refs/tags/main", "tag").await;
    fixture.advance(&old_tag, &failed).await;
    assert_eq!(badge(&fixture, "main.svg").await, "failing");
    assert_eq!(log().await, "tag");

    push('b', "refs/heads/main", "branch").await;
    let newer_tag = push('c', "refs/tags/main", "newer tag").await;
    fixture.advance(&newer_tag, &failed).await;
    assert_eq!(badge(&fixture, "main.svg").await, "building");
    assert_eq!(log().await, "branch");
    // Nor is it where the branch has no such script.
    assert_eq!(badge(&fixture, "main.svg?script=test.sh").await, "unknown");
    let none = fixture
        .get("/build/logs/acme/app/main?script=test.sh")
        .await;
    assert_eq!(none.status(), 404);
}
