//! The webhook: who may, what is understood, and that a push is known once and for all.

use serde_json::{Value, json};

use crate::support::{
    Delivery, HOLD, Push, RECIPE, RESULT, Repository, Service, builds_in, signature, until,
};

/// A service, and a push of a tracked branch that nobody has told it of.
async fn with_a_push() -> (Service, Repository, Push) {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let push = app.push("main");
    (service, app, push)
}

#[tokio::test]
async fn only_deliveries_signed_with_the_secret_are_heard() {
    let (service, _, push) = with_a_push().await;
    let good = Delivery::of(&push);

    let mut unsigned = good.clone();
    unsigned.signature = None;
    let mut by_another = good.clone();
    by_another.signature = Some(signature("another secret", &good.body));
    let mut of_another_body = good.clone();
    of_another_body.body.push(b' ');
    let mut nonsense = good.clone();
    nonsense.signature = Some("sha256=zz".to_owned());
    for delivery in [unsigned, by_another, of_another_body, nonsense] {
        let answer = service.deliver(&delivery).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(answer.error().contains("sign"), "{}", answer.text);
    }
    assert!(service.builds().await.is_empty());

    let answer = service.deliver(&good).await;
    assert_eq!(answer.status, 202);
    let build = &answer.json()["builds"][0];
    let id = build["id"].as_str().unwrap();
    assert!(
        build["url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/monitor/builds/{id}"))
    );
    service.wait_for(id, "succeeded").await;
}

#[tokio::test]
async fn what_needs_no_build_is_answered_with_the_reason() {
    let (service, app, push) = with_a_push().await;
    let reason = async |delivery: Delivery| {
        let answer = service.deliver(&delivery).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["reason"].as_str().unwrap().to_owned()
    };
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut push = push.clone();
        change(&mut push.payload);
        Delivery::of(&push)
    };

    let ping = json!({"zen": "Keep it logically awesome.", "hook_id": 1});
    assert!(
        !reason(Delivery::event("ping", ping.to_string().into_bytes()))
            .await
            .is_empty()
    );
    let starred = reason(Delivery::event("star", b"{}".to_vec())).await;
    assert!(starred.contains("star"), "{starred}");
    let deleted = reason(changed(&|payload| {
        payload["deleted"] = true.into();
        payload["after"] = "0".repeat(40).into();
    }))
    .await;
    assert!(deleted.contains("deleted"), "{deleted}");
    let stranger = reason(changed(&|payload| {
        payload["repository"]["full_name"] = "who/ever".into()
    }))
    .await;
    assert!(stranger.contains("who/ever"), "{stranger}");
    app.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    let other_branch = reason(Delivery::of(&app.push("elsewhere"))).await;
    assert!(other_branch.contains("elsewhere"), "{other_branch}");
    assert!(service.builds().await.is_empty());
}

#[tokio::test]
async fn a_delivery_seen_again_builds_once() {
    let (service, _, push) = with_a_push().await;
    let delivery = Delivery::of(&push);
    let first = service.deliver(&delivery).await;
    let builds = builds_in(&first);
    service.wait_for(&builds[0], "succeeded").await;

    // GitHub's button "Redeliver" sends the same id; a second hook of the same repository
    // another one, perhaps as a form.
    let again = service.deliver(&delivery).await;
    let second_hook = service.deliver(&Delivery::of(&push)).await;
    let form_encoded = service.deliver(&Delivery::of(&push).form_encoded()).await;
    for answer in [again, second_hook, form_encoded] {
        assert_eq!(answer.status, 202);
        assert_eq!(builds_in(&answer), builds);
    }
    assert_eq!(service.builds().await.len(), 1);
}

#[tokio::test]
async fn what_was_signed_once_builds_nothing_when_a_stranger_sends_it_again() {
    let service = Service::start_with(json!({"builds": {"supersede": false}}));
    let app = service.tracked("acme/app").await;
    // Seen before, so that a branch that appears is one that was pushed.
    until("the repository is looked at", async || {
        service.has_seen(&app).then_some(())
    })
    .await;
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let first = app.push("main");
    let mut deleted = first.clone();
    deleted.payload["deleted"] = true.into();
    deleted.payload["after"] = "0".repeat(40).into();
    let first_builds = service.webhook(&first).await.builds;
    app.commit(&[("more", "")]);
    let second_build = service.pushed(&app.push("main")).await;
    for build in [&first_builds[0], &second_build] {
        service.wait_for(build, "succeeded").await;
    }

    let replayed = service.deliver(&Delivery::of(&first)).await;
    assert_eq!(builds_in(&replayed), first_builds);
    // A deletion only makes the service look, and what it sees is what git says: pushes that
    // nobody told of, each once, and no end of the branch.
    for untold in 1..=2 {
        app.commit(&[("more", &untold.to_string())]);
        app.push("main");
        assert_eq!(service.deliver(&Delivery::of(&deleted)).await.status, 200);
        until("git is asked", async || {
            service.knows_head_of(&app).then_some(())
        })
        .await;
        assert_eq!(service.builds().await.len(), 2 + untold);
    }
    for build in service.builds().await {
        service
            .wait_for(build["id"].as_str().unwrap(), "succeeded")
            .await;
    }
}

#[tokio::test]
async fn deliveries_at_the_same_moment_build_once() {
    let (service, _, push) = with_a_push().await;
    let deliveries: Vec<Delivery> = (0..8).map(|_| Delivery::of(&push)).collect();
    let answers =
        futures_util::future::join_all(deliveries.iter().map(|one| service.deliver(one))).await;
    let builds = builds_in(&answers[0]);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 202 && builds_in(answer) == builds)
    );
    assert_eq!(service.builds().await.len(), 1);
    service.wait_for(&builds[0], "succeeded").await;
}

#[tokio::test]
async fn a_form_encoded_delivery_is_understood() {
    let (service, _, push) = with_a_push().await;
    let answer = service.deliver(&Delivery::of(&push).form_encoded()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    service.wait_for(&builds_in(&answer)[0], "succeeded").await;
}

#[tokio::test]
async fn what_is_not_a_delivery_of_githubs_is_refused() {
    let (service, _, push) = with_a_push().await;
    let status = async |delivery: Delivery| {
        let answer = service.deliver(&delivery).await;
        (answer.status, answer.error())
    };
    let push_of = |body: &str| Delivery::event("push", body.as_bytes().to_vec());

    assert_eq!(status(push_of("{")).await.0, 400);
    assert_eq!(status(push_of("[]")).await.0, 400);
    assert_eq!(status(push_of("{}")).await.0, 400);
    let mut no_event = Delivery::of(&push);
    no_event.event = None;
    assert_eq!(status(no_event).await.0, 400);
    for (field, value) in [
        ("ref", json!("refs/heads/../../etc")),
        ("ref", json!("refs/heads/--upload-pack=x")),
        ("after", json!("HEAD")),
        ("after", json!(["a"])),
    ] {
        let mut hostile = push.clone();
        hostile.payload[field] = value;
        let (status, sentence) = status(Delivery::of(&hostile)).await;
        assert_eq!(status, 400, "{field}: {sentence}");
    }
    let mut climbing = push.clone();
    climbing.payload["repository"]["full_name"] = "../../etc".into();
    assert_eq!(status(Delivery::of(&climbing)).await.0, 400);
    assert!(service.builds().await.is_empty());
}

#[tokio::test]
async fn a_delivery_over_25_mib_is_refused() {
    let service = Service::start();
    let body = vec![b' '; 25 * 1024 * 1024 + 1];
    let answer = service.deliver(&Delivery::event("push", body)).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    answer.error();
}

#[tokio::test]
async fn there_and_back_by_force_is_three_pushes() {
    let service = Service::start_with(json!({"builds": {"supersede": false}}));
    let app = service.tracked("acme/app").await;
    let first = app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    let to_a = service.pushed(&app.push("main")).await;
    app.commit(&[("more", "")]);
    let to_b = service.pushed(&app.push("main")).await;
    app.git(&["reset", "--quiet", "--hard", &first]);
    let back = app.force_push("main");
    let back_to_a = service.pushed(&back).await;

    assert!(to_a != to_b && to_b != back_to_a && to_a != back_to_a);
    for build in [&to_a, &to_b, &back_to_a] {
        service.wait_for(build, "succeeded").await;
    }
    assert_eq!(
        service.pushed(&back).await,
        back_to_a,
        "the last push is known by now"
    );
}

#[tokio::test]
async fn a_push_that_was_acknowledged_survives_a_power_failure() {
    let mut service = Service::start();
    let app = service.tracked("acme/app").await;
    let hold = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&hold, "holding").await;

    let mut heard = Vec::new();
    for number in 0..3 {
        let name = format!("acme/other-{number}");
        let other = service.tracked(&name).await;
        other.commit(&[("build.sh", &format!("#!/bin/sh\necho built\n{RESULT}"))]);
        let delivery = Delivery::of(&other.push("main"));
        let answer = service.deliver(&delivery).await;
        // The answer's last byte is all that lies between.
        service.kill();
        assert_eq!(answer.status, 202);
        heard.push((delivery, builds_in(&answer)));
        service.start_again();
    }
    for (delivery, builds) in heard {
        service.wait_for(&builds[0], "succeeded").await;
        assert_eq!(
            builds_in(&service.deliver(&delivery).await),
            builds,
            "its delivery is known"
        );
    }
    service.release(&hold);
    service.wait_for(&hold, "succeeded").await;
}

#[tokio::test]
async fn githubs_own_examples_are_answered() {
    // A folder of payloads as GitHub publishes them, named <event>.<what>.json; not part of this
    // repository.
    let Some(folder) = std::env::var_os("AUTOBUILDER_FIXTURES") else {
        eprintln!("AUTOBUILDER_FIXTURES names no folder: nothing to try");
        return;
    };
    let service = Service::start();
    service
        .configure("Codertocat/Hello-World", "master", RECIPE)
        .await;
    service.repository("Codertocat/Hello-World");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let event = name.split('.').next().unwrap();
        let answer = service
            .deliver(&Delivery::event(event, std::fs::read(file.path()).unwrap()))
            .await;
        let is_build = name.starts_with("push.new-branch");
        assert_eq!(
            answer.status,
            if is_build { 202 } else { 200 },
            "{name}: {}",
            answer.text
        );
        for build in builds_in(&answer) {
            // Its commit is nowhere here.
            service.wait_for(&build, "errored").await;
        }
    }
}
