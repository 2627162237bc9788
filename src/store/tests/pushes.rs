//! Pushes as webhooks and git tell of them, in whatever order.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::domain::build::Kind;
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;
use crate::domain::tracking::Dependent;

fn repository() -> RepositoryName {
    "acme/app".parse().unwrap()
}

fn main_branch() -> GitRef {
    "refs/heads/main".parse().unwrap()
}

/// As a comparison of heads tells of it.
fn found(before: Option<char>, after: char) -> NewBuilds {
    NewBuilds {
        cause: Cause::Reconcile,
        ..push(before, after)
    }
}

async fn head(store: &Store) -> Option<KnownHead> {
    let known = store.known_heads(repository()).await.unwrap();
    known.heads.get(&main_branch()).cloned()
}

async fn head_is(store: &Store, commit: char) -> bool {
    head(store).await.unwrap().commit == sha(commit)
}

#[tokio::test]
async fn webhooks_that_come_after_git_has_told_are_built_once_and_move_nothing_back() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    // a → b → c, of which no webhook has come.
    let missed = store.hear_push(None, found(Some('a'), 'c')).await.unwrap();
    assert!(!missed.known && !missed.out_of_order);

    let late = store
        .hear_push(Some("d1".into()), push(Some('a'), 'b'))
        .await
        .unwrap();
    assert!(!late.known && late.out_of_order);
    assert!(head_is(&store, 'c').await);
    let last = store
        .hear_push(Some("d2".into()), push(Some('b'), 'c'))
        .await
        .unwrap();
    assert_eq!((last.known, &last.builds), (true, &missed.builds));
    // What git says now is what is known.
    assert!(head_is(&store, 'c').await);
}

#[tokio::test]
async fn a_webhook_after_a_gap_is_built_and_git_confirms_it_without_another_build() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    let told = store.hear_push(None, push(Some('b'), 'c')).await.unwrap();
    assert!(!told.known && told.out_of_order);
    let confirmed = store.hear_push(None, found(Some('a'), 'c')).await.unwrap();
    assert_eq!((confirmed.known, &confirmed.builds), (true, &told.builds));
    assert!(head_is(&store, 'c').await);
    assert!(
        !store
            .hear_push(None, push(Some('c'), 'd'))
            .await
            .unwrap()
            .out_of_order
    );
}

#[tokio::test]
async fn webhooks_in_the_wrong_order_are_two_pushes_and_the_head_is_what_git_says() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    for (before, after) in [('b', 'c'), ('a', 'b')] {
        assert!(
            !store
                .hear_push(None, push(Some(before), after))
                .await
                .unwrap()
                .known
        );
    }
    assert!(
        store
            .hear_push(None, found(Some('b'), 'c'))
            .await
            .unwrap()
            .known
    );
    assert!(head_is(&store, 'c').await);
    assert_eq!(unfinished(&store).await.len(), 6);
}

#[tokio::test]
async fn there_and_back_and_there_again_is_found_by_git() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    for (before, after) in [(None, 'a'), (Some('a'), 'b'), (Some('b'), 'a')] {
        store.hear_push(None, push(before, after)).await.unwrap();
    }
    // It may be the first one's webhook once more: git is asked.
    let told = store.hear_push(None, push(Some('a'), 'b')).await.unwrap();
    assert!(told.known && told.out_of_order);
    let there = store.hear_push(None, found(Some('a'), 'b')).await.unwrap();
    assert!(!there.known);
    assert!(head_is(&store, 'b').await);
}

#[tokio::test]
async fn an_answer_of_gits_that_is_older_than_a_webhook_is_ignored() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    store.hear_push(None, push(Some('a'), 'b')).await.unwrap();
    // Compared while the ref was known at a.
    let stale = store.hear_push(None, found(Some('a'), 'f')).await.unwrap();
    assert!(stale.known && stale.builds.is_empty());
    assert!(head_is(&store, 'b').await);
    let note = HeadNote {
        reference: main_branch(),
        before: Some(sha('a')),
        now: None,
        decided: true,
    };
    store
        .note_heads(repository(), vec![note], true)
        .await
        .unwrap();
    assert!(head_is(&store, 'b').await);
}

#[tokio::test]
async fn a_head_nobody_decided_about_begins_like_a_new_one() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let note = HeadNote {
        reference: main_branch(),
        before: None,
        now: Some(sha('a')),
        decided: false,
    };
    store
        .note_heads(repository(), vec![note], true)
        .await
        .unwrap();
    let known = store.known_heads(repository()).await.unwrap();
    assert!(known.seen && !known.heads[&main_branch()].decided);
    let told = store.hear_push(None, push(Some('a'), 'b')).await.unwrap();
    assert!(!told.known && !told.out_of_order);
    assert!(head(&store).await.unwrap().decided);

    is_gone(&store, repository(), sha('b')).await;
    assert_eq!(head(&store).await, None);
}

/// Git says that the branch, which stood there, is gone.
async fn is_gone(store: &Store, repository: RepositoryName, stood_at: CommitSha) {
    let note = HeadNote {
        reference: main_branch(),
        before: Some(stood_at),
        now: None,
        decided: false,
    };
    store
        .note_heads(repository, vec![note], true)
        .await
        .unwrap();
}

fn dependent(branch: &str) -> Dependent {
    Dependent {
        repository: repository(),
        branch: branch.parse().unwrap(),
        recipe: Recipe::of_script("build.sh"),
    }
}

/// A push to a library whose default branch is `main`.
fn library(branch: &str, after: char) -> NewBuilds {
    let mut new = push(None, after);
    new.push.repository = "acme/lib".parse().unwrap();
    new.push.reference = format!("refs/heads/{branch}").parse().unwrap();
    new.push.default_branch = Some("main".parse().unwrap());
    new.work = Vec::new();
    new.dependents = ["main", "next"].map(dependent).to_vec();
    new
}

#[tokio::test]
async fn a_dependents_branch_follows_the_branch_of_its_name_else_the_default_branch() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    for (branch, after) in [("main", 'a'), ("next", 'b')] {
        let mut own = push(None, after);
        own.push.reference = format!("refs/heads/{branch}").parse().unwrap();
        store.hear_push(None, own).await.unwrap();
    }
    let built = async |new: NewBuilds| {
        let heard = store.hear_push(None, new).await.unwrap();
        let mut branches = Vec::new();
        for id in heard.builds {
            let build = store.build(id).await.unwrap();
            assert!(
                matches!(&build.cause, Cause::Dependency { repository, .. } if repository.name() == "lib")
            );
            branches.push(format!(
                "{} {}",
                build.branch(),
                &build.commit.as_str()[..1]
            ));
        }
        assert_eq!(heard.queues.len(), usize::from(!branches.is_empty()));
        branches.join(", ")
    };
    assert_eq!(built(library("main", 'c')).await, "main a, next b");
    assert_eq!(built(library("topic", 'd')).await, "");
    assert_eq!(built(library("next", 'e')).await, "next b");
    // From now on it has that branch.
    let mut again = library("main", 'f');
    again.push.before = Some(sha('c'));
    assert_eq!(built(again).await, "main a");
    let mut tag = library("main", '1');
    tag.push.reference = "refs/tags/main".parse().unwrap();
    assert_eq!(built(tag).await, "");
    let mut skipped = library("main", '2');
    skipped.push.before = Some(sha('f'));
    skipped.push.commits[0].message = "only words [skip ci]".to_owned();
    assert_eq!(built(skipped).await, "");
}

#[tokio::test]
async fn a_push_answers_with_its_dependents_and_they_cause_nothing_themselves() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    let told = store
        .hear_push(Some("d1".into()), library("main", 'b'))
        .await
        .unwrap();
    assert_eq!(told.builds.len(), 1);
    let again = store
        .hear_push(Some("d1".into()), library("main", 'b'))
        .await
        .unwrap();
    assert_eq!((again.known, again.builds), (true, told.builds.clone()));
    // The build belongs to the push that its commit came with.
    let build = store.build(told.builds[0].clone()).await.unwrap();
    assert_eq!(build.push, 1);
    assert_eq!(build.commits[0].message, "change a");
}

#[tokio::test]
async fn a_load_is_asked_for_where_the_branch_stands_and_once_at_a_time() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let ask = async |commit| {
        store
            .ask_for_load(
                repository(),
                "main".parse().unwrap(),
                sha(commit),
                Duration::ZERO,
            )
            .await
            .unwrap()
    };
    let first = ask('a').await.unwrap();
    assert_eq!(ask('a').await, None, "it waits already");
    assert_eq!(unfinished(&store).await, [], "no project builds it");
    let waiting = store.unfinished_loads().await.unwrap();
    assert_eq!(waiting.len(), 1);
    advance(&store, &first, &[State::Preparing, State::Errored]).await;
    assert_eq!(store.unfinished_loads().await.unwrap(), []);
    let second = ask('a').await.unwrap();
    let states = [State::Preparing, State::Building, State::Failed];
    advance(&store, &second, &states).await;

    store.hear_push(None, push(None, 'b')).await.unwrap();
    assert_eq!(ask('a').await, None, "git was asked before that push");
    assert!(ask('b').await.is_some());
    let build = store.build(second).await.unwrap();
    assert_eq!(
        (build.kind(), build.script()),
        (Kind::Configuration, "configuration")
    );
    assert_eq!(build.status_context(), "autobuilder/configuration");
}

const HOUR: Duration = Duration::from_secs(3600);

/// Changes what only time would.
fn change(folder: &tempfile::TempDir, statement: &str) {
    let database = Connection::open(folder.path().join("test.sqlite")).unwrap();
    database.execute_batch(statement).unwrap();
}

#[tokio::test]
async fn a_commit_whose_loads_error_is_left_alone_for_longer_each_time() {
    let Fixture { store, folder } = fixture();
    let ask = async |commit| {
        let branch = "main".parse().unwrap();
        let asked = store.ask_for_load(repository(), branch, sha(commit), HOUR);
        asked.await.unwrap()
    };
    let fails = async |load: Option<BuildId>| {
        let states = [State::Preparing, State::Errored];
        advance(&store, &load.unwrap(), &states).await;
    };
    let ended = |minutes: u32| {
        let now = Timestamp::now().before(Duration::from_secs(60) * minutes);
        change(
            &folder,
            &format!("UPDATE builds SET ended = {}", now.as_millis()),
        );
    };
    fails(ask('a').await).await;
    // At the next comparison, which may come a little early; then at the second, at the fourth.
    for (too_early, late_enough) in [(20, 40), (80, 100), (200, 220)] {
        ended(too_early);
        assert_eq!(ask('a').await, None, "{too_early} minutes");
        ended(late_enough);
        fails(ask('a').await).await;
    }
    for _ in 0..40 {
        ended(24 * 60);
        fails(ask('a').await).await;
    }
    ended(22 * 60);
    assert_eq!(ask('a').await, None);
    // Another commit has not errored yet; and one that could be loaded begins anew.
    let other = ask('b').await.unwrap();
    let states = [State::Preparing, State::Building, State::Succeeded];
    advance(&store, &other, &states).await;
    assert!(ask('a').await.is_some());
}

/// Where the library's branch `main` is known to stand, and whether that was decided about.
async fn library_head(store: &Store) -> (CommitSha, bool) {
    let known = store
        .known_heads("acme/lib".parse().unwrap())
        .await
        .unwrap();
    let head = &known.heads[&main_branch()];
    (head.commit.clone(), head.decided)
}

#[tokio::test]
async fn a_branch_that_others_follow_is_not_decided_about_until_it_has_work_of_its_own() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let told = store.hear_push(None, library("main", 'a')).await.unwrap();
    assert!(!told.known && !told.out_of_order);
    // A push between is missed: the next one does not begin where the branch is known to stand.
    let mut gap = library("main", 'c');
    gap.push.before = Some(sha('b'));
    assert!(store.hear_push(None, gap).await.unwrap().out_of_order);
    let found_at = |before: Option<char>, work: bool| {
        let mut new = library("main", 'c');
        new.push.before = before.map(sha);
        new.cause = Cause::Reconcile;
        if work {
            new.work = vec![Recipe::of_script("build.sh").into()];
            new.dependents.clear();
        }
        new
    };
    let confirmed = store.hear_push(None, found_at(Some('a'), false)).await;
    assert!(confirmed.unwrap().known, "its dependents were told");
    assert_eq!(library_head(&store).await, (sha('c'), false));

    // It gets a file: what was told before built nothing of its own.
    let sight = store.hear_push(None, found_at(None, true)).await.unwrap();
    assert_eq!((sight.known, sight.builds.len()), (false, 1));
    assert_eq!(library_head(&store).await, (sha('c'), true));
    let again = store.hear_push(None, found_at(None, true)).await.unwrap();
    assert!(again.known);
}

#[tokio::test]
async fn a_first_build_is_not_compared_with_what_only_dependents_were_told_of() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let mut compared_with = Vec::new();
    for (before, after, work) in [('9', 'a', false), ('a', 'b', true), ('b', 'c', true)] {
        let mut new = library("main", after);
        new.push.before = Some(sha(before));
        if work {
            new.work = vec![Recipe::of_script("build.sh").into()];
        }
        for build in store.hear_push(None, new).await.unwrap().builds {
            let build = store.build(build).await.unwrap();
            compared_with.push(store.comparable_with(build.push).await.unwrap());
        }
    }
    assert_eq!(compared_with, [None, Some(sha('b'))]);
}

#[tokio::test]
async fn a_note_that_moves_nothing_leaves_the_push_that_is_known() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    for (now, pushed) in [('a', true), ('b', false)] {
        let note = HeadNote {
            reference: main_branch(),
            before: Some(sha('a')),
            now: Some(sha(now)),
            decided: true,
        };
        store
            .note_heads(repository(), vec![note], true)
            .await
            .unwrap();
        assert_eq!(head(&store).await.unwrap().push.is_some(), pushed, "{now}");
    }
}

async fn unused(store: &Store) -> Vec<u64> {
    let all = Timestamp::now().after(HOUR);
    store.unused_pushes(all, 10).await.unwrap()
}

#[tokio::test]
async fn a_push_is_forgotten_when_nothing_refers_to_it_any_more() {
    let Fixture { store, folder } = fixture();
    let mut builds = Vec::new();
    for (before, after) in [(None, 'a'), (Some('a'), 'b'), (Some('b'), 'c')] {
        let delivery = Some(format!("d{after}"));
        let heard = store
            .hear_push(delivery, push(before, after))
            .await
            .unwrap();
        builds.push(heard.builds);
    }
    for build in builds.iter().flatten() {
        advance(&store, build, &[State::Cancelled]).await;
    }
    let forget = async |push: usize| store.forget_builds(builds[push].clone()).await.unwrap();
    forget(0).await;
    forget(2).await;
    assert_eq!(
        unused(&store).await,
        Vec::<u64>::new(),
        "deliveries of them can come again"
    );
    let long_ago = Timestamp::now().before(HOUR);
    store.forget_deliveries(long_ago).await.unwrap();
    assert_eq!(unused(&store).await, Vec::<u64>::new());
    change(&folder, "UPDATE deliveries SET heard = 0");
    store.forget_deliveries(long_ago).await.unwrap();
    // The second has builds, and the branch stands where the third brought it.
    assert_eq!(unused(&store).await, [1]);
    let long_unused = store.unused_pushes(long_ago, 10).await.unwrap();
    assert!(long_unused.is_empty());

    store.forget_pushes(vec![1, 2, 3]).await.unwrap();
    assert_eq!(unused(&store).await, Vec::<u64>::new());
    let next = store.hear_push(None, push(Some('c'), 'd')).await.unwrap();
    assert!(!next.known && !next.out_of_order);
    let next = store.build(next.builds[0].clone()).await.unwrap();
    assert_eq!(next.push, 4);
    let before = store.comparable_with(next.push).await.unwrap();
    assert_eq!(before, Some(sha('c')));
    forget(1).await;
    assert_eq!(unused(&store).await, [2, 3]);
}

#[tokio::test]
async fn a_push_is_kept_for_the_dependents_that_it_built() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    store.hear_push(None, push(None, 'a')).await.unwrap();
    let told = store.hear_push(None, library("main", 'b')).await.unwrap();
    assert_eq!(told.builds.len(), 1);
    let lib: RepositoryName = "acme/lib".parse().unwrap();
    is_gone(&store, lib, sha('b')).await;
    assert_eq!(unused(&store).await, Vec::<u64>::new());
    advance(&store, &told.builds[0], &[State::Cancelled]).await;
    store.forget_builds(told.builds).await.unwrap();
    assert_eq!(unused(&store).await, [2]);
}

#[tokio::test]
async fn what_is_long_unwatched_is_told_once_nothing_of_it_waits() {
    let Fixture { store, folder } = fixture();
    let builds = store.hear_push(None, push(None, 'a')).await.unwrap().builds;
    store
        .note_heads(repository(), Vec::new(), true)
        .await
        .unwrap();
    let mirrored: RepositoryName = "acme/mirrored".parse().unwrap();
    let unwatched = async |watched: &[RepositoryName]| {
        let watched: BTreeSet<RepositoryName> = watched.iter().cloned().collect();
        let long_ago = Timestamp::now().before(HOUR);
        let unwatched = store.long_unwatched(watched, vec![mirrored.clone()], long_ago);
        unwatched.await.unwrap()
    };
    let (one, both) = ([mirrored.clone()], [repository(), mirrored.clone()]);
    let time_passes = || change(&folder, "UPDATE unwatched SET since = 0");
    assert_eq!(unwatched(&[repository()]).await, []);
    time_passes();
    assert_eq!(unwatched(&[repository()]).await, one);
    assert_eq!(unwatched(&[]).await, one, "it has just gone");
    time_passes();
    assert_eq!(unwatched(&[]).await, one, "its builds wait");
    for build in &builds {
        advance(&store, build, &[State::Cancelled]).await;
    }
    assert_eq!(unwatched(&[]).await, both);
    // One that comes back, and goes again, has all that time once more.
    assert_eq!(unwatched(&both).await, []);
    assert_eq!(unwatched(&[]).await, []);

    store.forget_repository(repository()).await.unwrap();
    let known = store.known_heads(repository()).await.unwrap();
    assert!(!known.seen && known.heads.is_empty());
}
