//! What ran: how long it usually takes, and the builds around one.

use super::*;
use crate::domain::names::RecipeTag;

/// Adds a build and its steps as they would stand after it ended: the lengths of its steps, in
/// milliseconds, beginning with the queue.
async fn ended(
    store: &Store,
    reference: &str,
    tag: &str,
    state: State,
    steps: &[(State, u32, i64)],
) -> Build {
    let (reference, tag) = (reference.to_owned(), tag.to_owned());
    let steps = steps.to_vec();
    let mut new = push(None, 'a');
    new.push.reference = reference.parse().unwrap();
    new.push.after = sha(if tag.is_empty() { 'a' } else { 'b' });
    let recipe = Recipe {
        tag: (!tag.is_empty()).then(|| tag.parse::<RecipeTag>().unwrap()),
        ..Recipe::of_script("build.sh")
    };
    new.work = vec![recipe.into()];
    // Each push is a move of its own.
    let last = store
        .builds(BuildFilter::default(), 1)
        .await
        .unwrap()
        .builds;
    let number = last.first().map_or(0, |build| build.sequence) + 1;
    new.push.after = format!("{number:040x}").parse().unwrap();
    let id = store.hear_push(None, new).await.unwrap().builds.remove(0);
    let changed = id.clone();
    store
        .write(move |connection| {
            let sequence: i64 = connection.query_row("SELECT sequence FROM builds WHERE id = ?1", [changed.as_str()], |row| row.get(0))?;
            connection.execute("DELETE FROM steps WHERE build = ?1", [sequence])?;
            let mut now = 1_000_000;
            let newest = steps.iter().map(|step| step.1).max().unwrap_or(1);
            let mut started = None;
            for (number, (step, attempt, took)) in steps.iter().enumerate() {
                if *attempt == newest && *step != State::Queued && started.is_none() {
                    started = Some(now);
                }
                connection.execute(
                    "INSERT INTO steps (build, number, state, attempt, started, ended, line) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
                    rusqlite::params![sequence, number, step.as_str(), attempt, now, now + took],
                )?;
                now += took;
            }
            connection.execute(
                "UPDATE builds SET state = ?2, attempt = ?3, started = ?4, ended = ?5 WHERE sequence = ?1",
                rusqlite::params![sequence, state.as_str(), newest, started, now],
            )?;
            Ok(())
        })
        .await
        .unwrap();
    store.build(id).await.unwrap()
}

async fn usual(store: &Store, build: &Build) -> Option<Usual> {
    let mut found = store.usual(std::slice::from_ref(build)).await.unwrap();
    found.remove(&build.id).map(|usual| (*usual).clone())
}

const MAIN: &str = "refs/heads/main";
const OTHER: &str = "refs/heads/other";

#[tokio::test]
async fn the_newest_ten_that_succeeded_tell_what_is_usual() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    for seconds in 0..12 {
        let steps = [
            (State::Queued, 1, 5_000),
            (State::Preparing, 1, 1_000),
            (State::Building, 1, seconds * 1_000),
        ];
        ended(&store, MAIN, "", State::Succeeded, &steps).await;
    }
    let failed = ended(
        &store,
        MAIN,
        "",
        State::Failed,
        &[(State::Preparing, 1, 9_000_000)],
    )
    .await;
    // Of 2 to 11, the middle lies between 6 and 7.
    let expected = Usual {
        total: 7_500.0,
        steps: vec![(State::Preparing, 1_000.0), (State::Building, 6_500.0)],
    };
    assert_eq!(usual(&store, &failed).await, Some(expected));
}

#[tokio::test]
async fn a_ref_of_its_own_comes_before_all_refs_and_a_tag_is_another_script() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let building = |took| [(State::Building, 1, took)];
    let first = ended(&store, MAIN, "", State::Failed, &building(1)).await;
    assert_eq!(usual(&store, &first).await, None);
    ended(&store, OTHER, "", State::Succeeded, &building(100)).await;
    ended(&store, MAIN, "arm", State::Succeeded, &building(700)).await;
    assert_eq!(usual(&store, &first).await.unwrap().total, 100.0);
    ended(&store, MAIN, "", State::Succeeded, &building(30)).await;
    assert_eq!(usual(&store, &first).await.unwrap().total, 30.0);
    // Builds of several scripts are told apart in one call.
    let tagged = ended(&store, OTHER, "arm", State::Errored, &building(1)).await;
    let both = store.usual(&[first.clone(), tagged.clone()]).await.unwrap();
    assert_eq!(
        (both[&first.id].total, both[&tagged.id].total),
        (30.0, 700.0)
    );
}

#[tokio::test]
async fn of_a_build_that_was_begun_twice_the_second_attempt_counts() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let steps = [
        (State::Preparing, 1, 10),
        (State::Building, 1, 5_000),
        (State::Queued, 2, 400),
        (State::Preparing, 2, 20),
        (State::Building, 2, 300),
    ];
    let build = ended(&store, MAIN, "", State::Succeeded, &steps).await;
    let expected = Usual {
        total: 320.0,
        steps: vec![(State::Preparing, 20.0), (State::Building, 300.0)],
    };
    assert_eq!(usual(&store, &build).await, Some(expected));
}

#[tokio::test]
async fn the_stretch_of_a_lane_ends_with_the_newest_or_surrounds_an_older_build() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let mut lane = Vec::new();
    for _ in 0..12 {
        lane.push(ended(&store, MAIN, "", State::Succeeded, &[]).await.id);
        ended(&store, OTHER, "", State::Succeeded, &[]).await;
        ended(&store, MAIN, "arm", State::Succeeded, &[]).await;
    }
    // Asked for, then the first and the last that are shown, of 5.
    for (asked, first, last) in [
        (11, 7, 11),
        (7, 7, 11),
        (6, 4, 8),
        (3, 1, 5),
        (1, 0, 4),
        (0, 0, 4),
    ] {
        let found = store.neighbours(lane[asked].clone(), 5).await.unwrap();
        let shown: Vec<_> = found.builds.into_iter().map(|build| build.id).collect();
        assert_eq!(shown, lane[first..=last], "around {asked}");
        assert_eq!(
            found.older.as_ref(),
            asked.checked_sub(1).map(|older| &lane[older])
        );
        assert_eq!(found.newer.as_ref(), lane.get(asked + 1));
    }
    let missing = store.neighbours(BuildId::from_random(1), 5).await;
    assert!(matches!(missing, Err(StoreError::NoBuild(_))));
}
