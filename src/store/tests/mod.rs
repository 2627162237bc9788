mod files;
mod history;
mod publications;
mod pushes;
mod readers;
mod room;
mod statuses;

use super::deliveries::Heard;
use super::*;
use crate::domain::build::{Build, Cause, Work};
use crate::domain::names::{CommitSha, GitRef};
use crate::domain::push::{Commit, Push};
use crate::domain::recipe::Recipe;
use crate::domain::time::Timestamp;

struct Fixture {
    store: Store,
    folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture {
        store: Store::open(&folder.path().join("test.sqlite")).unwrap(),
        folder,
    }
}

fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

fn push(before: Option<char>, after: char) -> NewBuilds {
    let commit = Commit {
        id: sha(after),
        message: format!("change {after}"),
        author: "Ada".into(),
        url: None,
    };
    NewBuilds {
        push: Push {
            repository: "acme/app".parse().unwrap(),
            reference: "refs/heads/main".parse().unwrap(),
            before: before.map(sha),
            after: sha(after),
            forced: false,
            pusher: None,
            default_branch: None,
            commits: vec![commit],
        },
        work: [Recipe::of_script("build.sh"), Recipe::of_script("test.sh")]
            .map(Work::from)
            .to_vec(),
        dependents: Vec::new(),
        cause: Cause::Push {
            pusher: None,
            forced: false,
        },
    }
}

async fn unfinished(store: &Store) -> Vec<Build> {
    store
        .unfinished_after("acme/app".parse().unwrap(), 0)
        .await
        .unwrap()
}

async fn advance(store: &Store, build: &BuildId, states: &[State]) -> Build {
    let mut last = None;
    for &to in states {
        let transition = Transition {
            build: build.clone(),
            to,
            reason: None,
            known: Facts::default(),
        };
        last = Some(store.transition(transition).await.unwrap());
    }
    last.unwrap()
}

const TO_SUCCESS: [State; 5] = [
    State::Preparing,
    State::Building,
    State::Collecting,
    State::Publishing,
    State::Succeeded,
];

#[tokio::test]
async fn a_push_becomes_one_build_for_each_recipe() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let heard = store
        .hear_push(Some("d1".into()), push(None, 'a'))
        .await
        .unwrap();
    assert!(!heard.known);
    let unfinished = unfinished(&store).await;
    let scripts: Vec<&str> = unfinished.iter().map(|build| build.script()).collect();
    assert_eq!(scripts, ["build.sh", "test.sh"]);
    assert_eq!(
        unfinished
            .iter()
            .map(|build| build.id.clone())
            .collect::<Vec<_>>(),
        heard.builds
    );
    assert_eq!(unfinished[0].commits[0].message, "change a");
}

#[tokio::test]
async fn a_push_heard_again_answers_with_the_builds_it_has() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let first = store
        .hear_push(Some("d1".into()), push(None, 'a'))
        .await
        .unwrap();
    let redelivery = store
        .hear_push(Some("d1".into()), push(None, 'a'))
        .await
        .unwrap();
    let second_hook = store
        .hear_push(Some("d2".into()), push(None, 'a'))
        .await
        .unwrap();
    let reconciled = store.hear_push(None, push(Some('9'), 'a')).await.unwrap();
    for again in [redelivery, second_hook, reconciled] {
        assert_eq!(
            again,
            Heard {
                builds: first.builds.clone(),
                known: true,
                ..Heard::default()
            }
        );
    }
}

#[tokio::test]
async fn a_branch_forced_back_is_a_push_of_its_own() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    for (before, after) in [(None, 'a'), (Some('a'), 'b'), (Some('b'), 'a')] {
        assert!(
            !store
                .hear_push(None, push(before, after))
                .await
                .unwrap()
                .known
        );
    }
    assert_eq!(unfinished(&store).await.len(), 6);
}

#[tokio::test]
async fn a_push_is_compared_with_the_one_before_unless_one_is_missing() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    // b to c is missed, and comes after what follows it.
    let moves = [
        (Some('9'), 'a'),
        (Some('a'), 'b'),
        (Some('c'), 'd'),
        (Some('b'), 'c'),
    ];
    let mut compared_with = Vec::new();
    for (before, after) in moves {
        let heard = store.hear_push(None, push(before, after)).await.unwrap();
        let build = store.build(heard.builds[0].clone()).await.unwrap();
        compared_with.push(store.comparable_with(build.push).await.unwrap());
    }
    assert_eq!(compared_with, [None, Some(sha('a')), None, None]);

    // What a person asks for is no push.
    store.ask_for_builds(push(None, 'e')).await.unwrap();
    let heard = store.hear_push(None, push(Some('c'), 'f')).await.unwrap();
    let build = store.build(heard.builds[0].clone()).await.unwrap();
    let before = store.comparable_with(build.push).await.unwrap();
    assert_eq!(before, Some(sha('c')));
}

#[test]
fn a_recipe_that_was_stored_before_there_were_filters_has_none() {
    let stored = serde_json::to_value(Recipe::of_script("build.sh")).unwrap();
    assert_eq!(stored.get("path_filter"), None);
    let recipe: Recipe = serde_json::from_value(stored).unwrap();
    assert_eq!(recipe.path_filter, None);
}

#[tokio::test]
async fn a_head_that_was_only_seen_can_still_be_pushed() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let (repository, reference): (_, GitRef) = (
        "acme/app".parse().unwrap(),
        "refs/heads/main".parse().unwrap(),
    );
    let seen = HeadNote {
        reference,
        before: None,
        now: Some(sha('a')),
        decided: true,
    };
    store
        .note_heads(repository, vec![seen], true)
        .await
        .unwrap();
    assert!(!store.hear_push(None, push(None, 'a')).await.unwrap().known);
}

#[tokio::test]
async fn a_transition_that_is_not_allowed_changes_nothing() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    let before = store.build(id.clone()).await.unwrap();
    let wrong = Transition {
        build: id.clone(),
        to: State::Publishing,
        reason: Some("never seen".into()),
        known: Facts {
            exit_code: Some(1),
            ..Facts::default()
        },
    };
    assert!(matches!(
        store.transition(wrong).await,
        Err(StoreError::Refused {
            from: State::Queued,
            to: State::Publishing,
            ..
        })
    ));
    assert_eq!(store.build(id).await.unwrap(), before);
}

#[tokio::test]
async fn steps_follow_each_other_without_a_gap() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    let build = advance(&store, &id, &TO_SUCCESS).await;
    let states: Vec<State> = build.steps.iter().map(|step| step.state).collect();
    assert_eq!(
        states,
        [
            State::Queued,
            State::Preparing,
            State::Building,
            State::Collecting,
            State::Publishing
        ]
    );
    for pair in build.steps.windows(2) {
        assert_eq!(pair[0].ended, Some(pair[1].started));
    }
    assert_eq!(build.steps.last().unwrap().ended, build.ended);
}

#[tokio::test]
async fn a_second_attempt_starts_with_nothing_of_the_first() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    advance(&store, &id, &[State::Preparing]).await;
    let known = Facts {
        container: Some("c0ffee".into()),
        ..Facts::default()
    };
    store
        .transition(Transition {
            build: id.clone(),
            to: State::Building,
            reason: None,
            known,
        })
        .await
        .unwrap();
    let again = advance(&store, &id, &[State::Queued]).await;
    assert_eq!(
        (again.attempt, again.started, again.container),
        (2, None, None)
    );
}

#[tokio::test]
async fn pages_follow_each_other_and_filters_hold() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let mut before = None;
    for after in ['a', 'b', 'c'] {
        store.hear_push(None, push(before, after)).await.unwrap();
        before = Some(after);
    }
    let mut seen = Vec::new();
    let mut filter = BuildFilter::default();
    loop {
        let page = store.builds(filter.clone(), 4).await.unwrap();
        seen.extend(page.builds.iter().map(|build| build.sequence));
        if !page.more {
            break;
        }
        filter.before = page.builds.last().map(|build| build.id.clone());
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);

    let by_text = BuildFilter {
        text: Some("CHANGE b".into()),
        ..BuildFilter::default()
    };
    assert_eq!(store.builds(by_text, 10).await.unwrap().builds.len(), 2);
    let percent = BuildFilter {
        text: Some("%".into()),
        ..BuildFilter::default()
    };
    assert_eq!(store.builds(percent, 10).await.unwrap().builds.len(), 0);
    let by_script = BuildFilter {
        script: Some("test.sh".parse().unwrap()),
        ..BuildFilter::default()
    };
    assert_eq!(store.builds(by_script, 10).await.unwrap().builds.len(), 3);
    let by_state = BuildFilter {
        states: vec![State::Succeeded],
        ..BuildFilter::default()
    };
    assert_eq!(store.builds(by_state, 10).await.unwrap().builds.len(), 0);
}

#[tokio::test]
async fn changes_are_followed_by_revision() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let mut revision = store.revision();
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    let seen = *revision.borrow_and_update();
    assert_eq!(store.changed_since(0, 10).await.unwrap().len(), 2);
    advance(&store, &id, &[State::Preparing]).await;
    assert!(revision.has_changed().unwrap());
    let changed = store.changed_since(seen, 10).await.unwrap();
    assert_eq!(
        changed
            .iter()
            .map(|build| build.id.clone())
            .collect::<Vec<_>>(),
        [id]
    );
}

#[tokio::test]
async fn everything_is_there_again_after_it_was_opened_anew() {
    let Fixture { store, folder } = fixture();
    let id = store
        .hear_push(Some("d1".into()), push(None, 'a'))
        .await
        .unwrap()
        .builds[0]
        .clone();
    let build = advance(&store, &id, &TO_SUCCESS).await;
    let instance = store.instance().to_owned();
    drop(store);
    let store = Store::open(&folder.path().join("test.sqlite")).unwrap();
    assert_eq!(store.build(id).await.unwrap(), build);
    assert_eq!(store.instance(), instance);
    assert_eq!(*store.revision().borrow(), build.revision);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_a_sentence() {
    let Fixture { store, folder } = fixture();
    drop(store);
    let file = folder.path().join("test.sqlite");
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(&file).err().unwrap();
    assert!(
        matches!(error, StoreError::NewerSchema { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn retention_keeps_the_newest_of_each_repository_and_what_is_not_over() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let mut before = None;
    for after in ['a', 'b', 'c'] {
        for id in store
            .hear_push(None, push(before, after))
            .await
            .unwrap()
            .builds
        {
            if after != 'a' {
                advance(&store, &id, &[State::Cancelled]).await;
            }
        }
        before = Some(after);
    }
    let old = store
        .builds_beyond(2, false, Timestamp::now())
        .await
        .unwrap();
    assert_eq!(
        old.len(),
        2,
        "four are beyond the newest two, and two of them still wait"
    );
    store.forget_builds(old).await.unwrap();
    assert_eq!(
        store
            .builds(BuildFilter::default(), 10)
            .await
            .unwrap()
            .builds
            .len(),
        4
    );
    assert!(
        store
            .hear_push(None, push(Some('a'), 'b'))
            .await
            .unwrap()
            .known
    );
}

#[tokio::test]
async fn writes_at_once_are_all_there() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let writes = (0..500).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut new = push(None, 'a');
            new.push.reference = format!("refs/heads/b{number}").parse().unwrap();
            store
                .hear_push(Some(format!("d{number}")), new)
                .await
                .unwrap()
        })
    });
    for write in futures_util::future::join_all(writes).await {
        assert!(!write.unwrap().known);
    }
    assert_eq!(unfinished(&store).await.len(), 1000);
}

#[tokio::test]
async fn the_configuration_in_force_survives_a_restart_as_a_whole() {
    let Fixture { store, folder } = fixture();
    assert_eq!(
        store.configuration().await.unwrap(),
        StoredConfiguration::default()
    );
    let of = |texts: &[(&str, &str)], report: &str| StoredConfiguration {
        last_good: texts
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
        report: Some(report.to_owned()),
    };
    let first = of(&[("a.yaml", "1"), ("b.yaml", "2")], "first");
    let second = of(&[("b.yaml", "3"), ("c.yaml", "4")], "second");
    for configuration in [first, second.clone()] {
        store.set_configuration(configuration).await.unwrap();
    }
    drop(store);
    let store = Store::open(&folder.path().join("test.sqlite")).unwrap();
    assert_eq!(store.configuration().await.unwrap(), second);
}
