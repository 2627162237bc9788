//! The outbox: what is written into it, what comes out, and what the comparison puts back.

use std::time::Duration;

use super::*;
use crate::domain::build::CommitStatus;
use crate::domain::time::Timestamp;

async fn due(store: &Store) -> Vec<Status> {
    store.due_statuses(false, 100, |_| true).await.unwrap()
}

/// Sends everything that waits, one after the other as the reporter does.
async fn report_all(store: &Store, combined: bool) -> Vec<Status> {
    let mut reported = Vec::new();
    loop {
        let due = store.due_statuses(combined, 100, |_| true).await.unwrap();
        if due.is_empty() {
            return reported;
        }
        for status in due {
            store
                .status_tried(status.clone(), Outcome::Reported)
                .await
                .unwrap();
            reported.push(status);
        }
    }
}

fn states(statuses: &[Status]) -> Vec<(&str, &str)> {
    statuses
        .iter()
        .map(|status| (status.context.as_str(), status.state.as_str()))
        .collect()
}

async fn delivery(store: &Store, build: &BuildId) -> Option<Delivery> {
    let build = store.build(build.clone()).await.unwrap();
    let mut deliveries = store
        .deliveries(std::slice::from_ref(&build))
        .await
        .unwrap();
    deliveries.remove(&build.id)
}

/// Changes times that no test can wait for.
fn travel(fixture: &Fixture, change: &str) {
    let database = Connection::open(fixture.folder.path().join("test.sqlite")).unwrap();
    database.execute(change, []).unwrap();
}

#[tokio::test]
async fn the_outbox_holds_pending_and_then_the_end_and_only_the_newest_build_speaks() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    let reported = report_all(&store, false).await;
    assert_eq!(
        states(&reported),
        [
            ("autobuilder/build.sh", "pending"),
            ("autobuilder/test.sh", "pending")
        ]
    );

    let newer = store
        .rebuild(id.clone(), Recipe::of_script("build.sh").into())
        .await
        .unwrap();
    advance(&store, &id, &[State::Preparing, State::Failed]).await;
    let waiting = due(&store).await;
    assert_eq!(waiting.len(), 1, "the older build's end is not news");
    assert_eq!(
        (waiting[0].build.clone(), waiting[0].state),
        (newer.clone(), CommitStatus::Pending)
    );

    advance(&store, &newer, &TO_SUCCESS).await;
    store
        .status_tried(waiting[0].clone(), Outcome::Reported)
        .await
        .unwrap();
    let waiting = due(&store).await;
    assert_eq!(waiting[0].description, "succeeded");
    assert_eq!(
        waiting[0].state,
        CommitStatus::Success,
        "a report of the old state does not hide the new one"
    );
    assert_eq!(delivery(&store, &id).await, None, "the newer one speaks");
}

#[tokio::test]
async fn one_status_of_each_free_repository_is_due_and_the_news_come_first() {
    let fixture = fixture();
    let store = &fixture.store;
    for name in ["acme/app", "acme/other", "acme/third"] {
        let mut new = push(None, 'a');
        new.push.repository = name.parse().unwrap();
        store.hear_push(None, new).await.unwrap();
    }
    travel(
        &fixture,
        "UPDATE outbox SET written = written - 2 * 3600 * 1000 WHERE repository = 'acme/app'",
    );
    let due = store
        .due_statuses(true, 100, |repository| repository.name() != "other")
        .await
        .unwrap();
    let repositories: Vec<&str> = due.iter().map(|status| status.repository.name()).collect();
    assert_eq!(repositories, ["third", "app"]);
}

#[tokio::test]
async fn a_status_that_was_refused_waits_for_its_time_and_a_new_state_does_not() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    let before = store.build(id.clone()).await.unwrap().revision;
    let later = Timestamp::now().after(Duration::from_secs(60));
    for status in [due(&store).await.remove(0)] {
        let outcome = Outcome::Waits {
            problem: "GitHub answers 404".into(),
            not_before: later,
            may_be_shown: false,
        };
        store.status_tried(status, outcome).await.unwrap();
    }
    assert_eq!(
        states(&due(&store).await),
        [("autobuilder/test.sh", "pending")]
    );
    let waits = delivery(&store, &id).await.unwrap();
    assert_eq!(
        (waits.reported, waits.attempts, waits.not_before),
        (None, 1, later)
    );
    assert_eq!(waits.problem.as_deref(), Some("GitHub answers 404"));
    assert!(
        store.build(id.clone()).await.unwrap().revision > before,
        "whoever watches the build learns of it"
    );

    store.statuses_wait_no_longer().await.unwrap();
    assert_eq!(
        delivery(&store, &id).await.unwrap().not_before,
        Timestamp::from_millis(0)
    );

    let status = due(&store).await.remove(0);
    let problem = "the commit is gone".to_owned();
    store
        .status_tried(status, Outcome::GivenUp { problem })
        .await
        .unwrap();
    assert!(delivery(&store, &id).await.unwrap().given_up);
    assert_eq!(
        states(&due(&store).await),
        [("autobuilder/test.sh", "pending")]
    );
    assert_eq!(store.status_backlog(false).await.unwrap().statuses, 1);

    advance(&store, &id, &TO_SUCCESS).await;
    let fresh = delivery(&store, &id).await.unwrap();
    assert_eq!(
        (fresh.attempts, fresh.problem, fresh.given_up),
        (0, None, false),
        "another state is another try"
    );
    assert_eq!(store.status_backlog(false).await.unwrap().statuses, 2);
}

#[tokio::test]
async fn the_combined_verdict_is_pending_until_all_is_done_and_leads_to_who_decides() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let builds = store.hear_push(None, push(None, 'a')).await.unwrap().builds;
    let combined = async || {
        let sent = report_all(&store, true).await;
        let verdict = sent.iter().rfind(|status| status.context.is_empty());
        verdict.map(|status| {
            (
                status.build.clone(),
                status.state.as_str(),
                status.description.clone(),
            )
        })
    };
    assert_eq!(
        combined().await,
        Some((builds[1].clone(), "pending", "test.sh: queued".into()))
    );
    advance(&store, &builds[1], &TO_SUCCESS).await;
    assert_eq!(
        combined().await,
        Some((builds[0].clone(), "pending", "build.sh: queued".into()))
    );
    advance(&store, &builds[0], &[State::Preparing, State::TimedOut]).await;
    assert_eq!(
        combined().await,
        Some((builds[0].clone(), "failure", "build.sh: timed_out".into()))
    );
    let again = store
        .rebuild(builds[0].clone(), Recipe::of_script("build.sh").into())
        .await
        .unwrap();
    assert_eq!(combined().await.unwrap().1, "pending");
    advance(&store, &again, &TO_SUCCESS).await;
    assert_eq!(
        combined().await,
        Some((again, "success", "all 2 scripts are well".into()))
    );

    // A rebuild of what decides nothing changes nothing of the verdict.
    let failing = store
        .rebuild(builds[1].clone(), Recipe::of_script("test.sh").into())
        .await
        .unwrap();
    advance(&store, &failing, &[State::Errored]).await;
    assert_eq!(combined().await.unwrap().1, "error");
    let other = store
        .rebuild(builds[0].clone(), Recipe::of_script("build.sh").into())
        .await
        .unwrap();
    assert_eq!(combined().await.unwrap().1, "pending");
    advance(&store, &other, &[State::Preparing, State::Failed]).await;
    assert_eq!(combined().await.unwrap().0, failing);
}

#[tokio::test]
async fn a_name_given_to_the_combined_verdict_sends_those_of_the_last_day_and_no_others() {
    let fixture = fixture();
    let store = &fixture.store;
    store.hear_push(None, push(None, 'a')).await.unwrap();
    store.hear_push(None, push(Some('a'), 'b')).await.unwrap();
    report_all(store, false).await;
    assert_eq!(
        store.status_backlog(false).await.unwrap(),
        Backlog::default()
    );
    travel(
        &fixture,
        &format!(
            "UPDATE outbox SET written = written - 25 * 3600 * 1000 WHERE sha = '{}'",
            sha('a')
        ),
    );
    assert_eq!(store.status_backlog(true).await.unwrap().statuses, 1);
    let sent = report_all(store, true).await;
    assert_eq!(states(&sent), [("", "pending")]);
    assert_eq!(sent[0].commit, sha('b'));

    store.send_combined_again().await.unwrap();
    assert_eq!(report_all(store, true).await.len(), 1);
}

#[tokio::test]
async fn a_combined_verdict_that_github_may_show_is_sent_however_old() {
    let fixture = fixture();
    let store = &fixture.store;
    let waits = |may_be_shown| Outcome::Waits {
        problem: "no answer".into(),
        not_before: Timestamp::from_millis(0),
        may_be_shown,
    };
    let outcomes = [
        ("acme/taken", Outcome::Reported),
        ("acme/lost", waits(true)),
        ("acme/refused", waits(false)),
    ];
    for (name, outcome) in outcomes {
        let mut new = push(None, 'a');
        new.push.repository = name.parse().unwrap();
        let builds = store.hear_push(None, new).await.unwrap().builds;
        report_all(store, false).await;
        let sent = store
            .due_statuses(true, 1, move |repository| repository.as_str() == name)
            .await
            .unwrap();
        assert_eq!(states(&sent), [("", "pending")]);
        // The end takes its place while it is on its way.
        for build in &builds {
            advance(store, build, &[State::Cancelled]).await;
        }
        store.status_tried(sent[0].clone(), outcome).await.unwrap();
    }
    report_all(store, false).await;
    travel(
        &fixture,
        "UPDATE outbox SET written = written - 100 * 24 * 3600 * 1000",
    );
    assert_eq!(store.status_backlog(true).await.unwrap().statuses, 2);
    let sent = report_all(store, true).await;
    let mut names: Vec<&str> = sent.iter().map(|status| status.repository.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["lost", "taken"]);
    assert_eq!(states(&sent), [("", "error"); 2]);
}

#[tokio::test]
async fn what_an_older_release_had_reported_may_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.sqlite");
    let mut older = Connection::open(&file).unwrap();
    schema::migrate_to(&mut older, 3).unwrap();
    older
        .execute_batch(
            "INSERT INTO outbox (repository, sha, context, build, sequence, state, description, written, reported) \
             VALUES ('a/b', '1', 'x', 'taken', 1, 'pending', '', 1, 1), ('a/b', '2', 'x', 'waits', 2, 'pending', '', 1, NULL), \
             ('a/b', '3', 'x', 'ended', 3, 'error', '', 1, NULL), ('a/b', '3', '', 'combined', 4, 'error', '', 1, NULL)",
        )
        .unwrap();
    drop(older);
    drop(Store::open(&file).unwrap());
    let shown: Vec<String> = Connection::open(&file)
        .unwrap()
        .prepare("SELECT build FROM outbox WHERE shown = 1 ORDER BY sequence")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(shown, ["taken", "ended"]);
}

#[tokio::test]
async fn a_load_of_the_configuration_is_no_part_of_the_combined_verdict() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let mut new = push(None, 'a');
    new.work = vec![Work::Configuration];
    store.hear_push(None, new).await.unwrap();
    assert_eq!(
        states(&report_all(&store, true).await),
        [("autobuilder/configuration", "pending")]
    );
}

#[tokio::test]
async fn what_github_shows_otherwise_is_put_back_once_in_a_while() {
    let fixture = fixture();
    let store = &fixture.store;
    let id = store.hear_push(None, push(None, 'a')).await.unwrap().builds[0].clone();
    let apart = Duration::from_secs(3600);
    let waiting = due(store).await.remove(0);
    assert!(
        !store.put_back(waiting, apart).await.unwrap(),
        "it waits already"
    );
    report_all(store, false).await;
    let day = Duration::from_secs(24 * 3600);
    let commits = store.commits_with_statuses(day, 10).await.unwrap();
    assert_eq!(commits, [("acme/app".parse().unwrap(), sha('a'))]);
    let shown = async || {
        let mut statuses = store
            .reported_statuses("acme/app".parse().unwrap(), sha('a'))
            .await
            .unwrap();
        statuses.remove(0).0
    };
    let status = shown().await;
    assert_eq!(status.context, "autobuilder/build.sh");
    assert!(store.put_back(status.clone(), apart).await.unwrap());
    assert_eq!(
        states(&due(store).await),
        [("autobuilder/build.sh", "pending")]
    );
    assert_eq!(delivery(store, &id).await.unwrap().reported, None);

    report_all(store, false).await;
    assert!(
        !store.put_back(shown().await, apart).await.unwrap(),
        "somebody else writes it too: no fight"
    );
    travel(
        &fixture,
        "UPDATE outbox SET corrected = corrected - 3600 * 1000 - 1",
    );
    assert!(store.put_back(shown().await, apart).await.unwrap());

    report_all(store, false).await;
    advance(store, &id, &[State::Errored]).await;
    travel(&fixture, "UPDATE outbox SET corrected = 0");
    assert!(
        !store.put_back(status, apart).await.unwrap(),
        "it has changed since"
    );
    travel(
        &fixture,
        "UPDATE outbox SET written = written - 25 * 3600 * 1000",
    );
    assert!(
        store
            .commits_with_statuses(day, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_build_whose_status_waits_outlives_its_retention_by_a_day_or_a_month_if_pending_is_shown()
{
    let fixture = fixture();
    let store = &fixture.store;
    let beyond = async |reported| {
        let builds = store.builds_beyond(2, reported, Timestamp::now()).await;
        builds.unwrap()
    };
    let builds = store.hear_push(None, push(None, 'a')).await.unwrap().builds;
    for build in &builds {
        advance(store, build, &[State::Cancelled]).await;
    }
    store.hear_push(None, push(Some('a'), 'b')).await.unwrap();
    assert!(beyond(true).await.is_empty());
    let unreported = beyond(false).await;
    assert_eq!(unreported, builds, "nobody waits for a credential");
    // Each of the older push's two; the newer push's statuses go on waiting.
    let of_older = |status: &Status| status.commit == sha('a');
    for _ in 0..2 {
        let status = due(store).await.into_iter().find(of_older).unwrap();
        store.status_tried(status, Outcome::Reported).await.unwrap();
    }
    assert_eq!(beyond(true).await, builds);

    travel(&fixture, "UPDATE outbox SET reported = NULL, shown = 0");
    assert!(beyond(true).await.is_empty());
    travel(
        &fixture,
        "UPDATE outbox SET written = written - 24 * 3600 * 1000 - 1",
    );
    assert_eq!(beyond(true).await, builds);

    travel(&fixture, "UPDATE outbox SET shown = 1");
    for reported in [true, false] {
        let old = beyond(reported).await;
        assert!(old.is_empty(), "{old:?}");
    }
    travel(
        &fixture,
        "UPDATE outbox SET reported = 1 WHERE context != ''",
    );
    let without_verdict = beyond(true).await;
    assert_eq!(
        without_verdict,
        builds[..1],
        "the combined verdict leads to the second"
    );
    travel(
        &fixture,
        "UPDATE outbox SET reported = NULL, written = written - 28 * 24 * 3600 * 1000",
    );
    assert!(beyond(true).await.is_empty());
    travel(
        &fixture,
        "UPDATE outbox SET written = written - 24 * 3600 * 1000",
    );
    assert_eq!(beyond(true).await, builds);
}
