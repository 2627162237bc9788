//! The machine's clock is set while things are under way.

use github_model::{Answer, Route, Times};
use serde_json::{Value, json};

use crate::support::{HOLD, RESULT, Service, clock, until, with_github_in};

const HOUR: i64 = 3600;

/// Seconds between two times of an answer.
fn between(build: &Value, from: &str, to: &str) -> f64 {
    let time = |name: &str| -> jiff::Timestamp {
        let time = build[name].as_str();
        time.unwrap_or_else(|| panic!("{name}: {build}"))
            .parse()
            .unwrap()
    };
    time(to).duration_since(time(from)).as_secs_f64()
}

async fn the_service_says(service: &Service, text: &str, times: usize) {
    until(text, async || {
        (service.own_log().matches(text).count() == times).then_some(())
    })
    .await;
}

fn script() -> String {
    format!("#!/bin/sh\n{HOLD}\n{RESULT}")
}

#[tokio::test]
async fn a_build_takes_as_long_as_it_takes() {
    for (jump, word) in [(HOUR, "forward"), (-HOUR, "back")] {
        let said = format!("clock was set {word}");
        let timeout = json!({"builds": {"timeout": "30m"}});
        let mut service = Service::start_in(clock::folder_with_clock(), timeout);
        let app = service.tracked("acme/app").await;
        let build = service.push_script(&app, &script()).await;
        service.wait_for_log(&build, "holding").await;
        clock::set(service.folder(), jump);
        the_service_says(&service, &said, 1).await;
        // And once more while nobody sees it.
        service.kill();
        clock::set(service.folder(), 2 * jump);
        service.start_again();
        the_service_says(&service, &said, 2).await;
        service.release(&build);
        let ended = service.wait_for(&build, "succeeded").await;
        for (from, to) in [("queued", "started"), ("started", "ended")] {
            let took = between(&ended, from, to);
            assert!(
                (0.0..600.0).contains(&took),
                "{word}, from {from} to {to}: {took} s"
            );
        }
        let log = service.log(&build).await;
        let end = log.lines().last().unwrap();
        assert!(
            end.starts_with("==> succeeded after ") && !end.contains('h'),
            "{end}"
        );
        // The order is that of the pushes, whatever the time was.
        let next = service.push_script(&app, "#!/bin/sh\ntrue\n").await;
        let listed = service.builds().await;
        let ids: Vec<_> = listed
            .iter()
            .map(|build| build["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, [next.as_str(), build.as_str()]);
    }
}

#[tokio::test]
async fn a_status_that_waits_is_sent_though_the_clock_was_set_back() {
    let (github, service) = with_github_in(clock::folder_with_clock(), json!({})).await;
    let app = service.tracked_on(&github, "acme/app").await;
    let not_yet = Answer::status(422).message("No commit found for SHA");
    let route = Route::Statuses.by("POST").of("acme/app");
    github.fail(Times::UntilLifted, route, not_yet);
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    // Now it waits by itself, and is the only one that does.
    until("its last state was tried twice", async || {
        let status = service.build(&build).await["status"].clone();
        (status["attempts"].as_u64()? >= 2).then_some(())
    })
    .await;
    clock::set(service.folder(), -HOUR);
    the_service_says(&service, "clock was set back", 1).await;
    github.lift_all();
    until("GitHub shows it", async || {
        let shown = github.status("acme/app", &app.head(), "autobuilder/build.sh")?;
        (shown.state == "success").then_some(())
    })
    .await;
}
