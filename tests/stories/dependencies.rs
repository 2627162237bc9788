//! A script is built again when a repository that it depends on is pushed to.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Delivery, RECIPE, RESULT, Repository, Service, builds_in, output, until};

const DEPENDS: &str = "
buildscripts: [build.sh]
build.sh:
  artifact: result.tar.gz
  dependencies: [acme/lib]
";

/// `acme/app`, which depends on `acme/lib`, on branches `main` and `next`; both known.
async fn app_and_library(service: &Service) -> (Repository, Repository) {
    let (app, library) = (
        service.repository("acme/app"),
        service.repository("acme/lib"),
    );
    app.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    library.commit(&[("lib.c", "")]);
    library.push("main");
    for branch in ["main", "next"] {
        app.push(branch);
    }
    for branch in ["main", "next"] {
        service.configure("acme/app", branch, DEPENDS).await;
    }
    until("the heads are known", async || {
        (service.knows_head_of(&app) && service.knows_head_of(&library)).then_some(())
    })
    .await;
    (app, library)
}

/// Branch, cause and commit of builds, as told.
async fn told(service: &Service, builds: &[String]) -> Vec<(Value, Value, Value)> {
    let mut told = Vec::new();
    for build in builds {
        let build = service.build(build).await;
        told.push((
            build["branch"].clone(),
            build["cause"].clone(),
            build["commit"].clone(),
        ));
    }
    told
}

#[tokio::test]
async fn a_push_to_a_dependency_builds_the_head_of_the_dependents_own_branch() {
    let service = Service::start();
    let (app, library) = app_and_library(&service).await;

    library.commit(&[("lib.c", "int x;")]);
    let push = library.push("main");
    let delivery = Delivery::of(&push);
    let answer = service.deliver(&delivery).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let builds = builds_in(&answer);
    let cause = json!({"type": "dependency", "repository": "acme/lib", "commit": push.commit});
    let head = json!(app.head());
    // The library has no branch `next`, so its default branch counts for that too.
    assert_eq!(
        told(&service, &builds).await,
        [
            (json!("main"), cause.clone(), head.clone()),
            (json!("next"), cause, head)
        ]
    );
    for build in &builds {
        service.wait_for(build, "succeeded").await;
    }
    let again = service.deliver(&delivery).await;
    assert_eq!((again.status, builds_in(&again)), (202, builds));

    // Now it has one: the default branch no longer stands for it.
    library.commit(&[("lib.c", "int y;")]);
    let next = builds_in(&service.deliver(&Delivery::of(&library.push("next"))).await);
    assert_eq!(told(&service, &next).await[0].0, "next");
    library.commit(&[("lib.c", "int z;")]);
    let main = builds_in(&service.deliver(&Delivery::of(&library.push("main"))).await);
    assert_eq!(told(&service, &main).await[0].0, "main");
    assert_eq!((next.len(), main.len()), (1, 1));
    for build in next.iter().chain(&main) {
        service.wait_for(build, "succeeded").await;
    }
}

#[tokio::test]
async fn a_push_to_a_dependency_that_no_webhook_told_of_is_found() {
    let mut service = Service::start();
    let (_app, library) = app_and_library(&service).await;
    service.terminate();
    library.commit(&[("lib.c", "int x;")]);
    let push = library.push("main");
    service.start_again();
    let builds = until("the dependents are built", async || {
        let builds = service.builds().await;
        (builds.len() == 2).then_some(builds)
    })
    .await;
    for build in &builds {
        assert_eq!(build["cause"]["commit"], json!(push.commit));
        service
            .wait_for(build["id"].as_str().unwrap(), "succeeded")
            .await;
    }
    // The webhook comes after all: the push is known with what it caused.
    let late = builds_in(&service.deliver(&Delivery::of(&push)).await);
    assert_eq!(late.len(), 2);
    assert_eq!(service.builds().await.len(), 2);
}

#[tokio::test]
async fn only_a_push_triggers_and_no_build_does() {
    let service = Service::start();
    let (app, library) = app_and_library(&service).await;
    let top = service.repository("acme/top");
    top.commit(&[("build.sh", &format!("#!/bin/sh\n{RESULT}"))]);
    top.push("main");
    let depends_on_app = DEPENDS.replace("acme/lib", "acme/app");
    service.configure("acme/top", "main", &depends_on_app).await;
    until("the head is known", async || {
        service.knows_head_of(&top).then_some(())
    })
    .await;

    library.commit(&[("lib.c", "int x;")]);
    let caused = builds_in(&service.deliver(&Delivery::of(&library.push("main"))).await);
    for build in &caused {
        let ended = service.wait_for(build, "succeeded").await;
        assert_eq!(ended["repository"], "acme/app");
    }
    assert_eq!(service.builds().await.len(), caused.len());

    // A push to the one between builds it, and what depends on it.
    app.commit(&[("more", "")]);
    let pushed = builds_in(&service.deliver(&Delivery::of(&app.push("main"))).await);
    let mut repositories = Vec::new();
    for build in &pushed {
        repositories.push(service.wait_for(build, "succeeded").await["repository"].clone());
    }
    assert_eq!(repositories, ["acme/app", "acme/top"]);
}

/// Waits until there are so many builds, and until they have succeeded. Newest first: repository,
/// cause.
async fn built(service: &Service, count: usize) -> Vec<(Value, Value)> {
    let builds = until("the builds are there", async || {
        let builds = service.builds().await;
        (builds.len() >= count).then_some(builds)
    })
    .await;
    for build in &builds {
        let id = build["id"].as_str().unwrap();
        service.wait_for(id, "succeeded").await;
    }
    let all = service.builds().await;
    assert_eq!(all.len(), count, "{all:?}");
    all.iter()
        .map(|build| (build["repository"].clone(), build["cause"]["type"].clone()))
        .collect()
}

fn of(repository: &str, cause: &str) -> (Value, Value) {
    (json!(repository), json!(cause))
}

#[tokio::test]
async fn a_dependency_has_a_first_sight_of_its_own_which_builds_no_dependents() {
    let mut service = Service::start_with(json!({"github": {"first_sight": "build"}}));
    let script = format!("#!/bin/sh\n{RESULT}");
    let (app, library, late) = (
        service.repository("acme/app"),
        service.repository("acme/lib"),
        service.repository("acme/late"),
    );
    for repository in [&app, &library, &late] {
        repository.commit(&[("build.sh", &script)]);
        repository.push("main");
    }
    service.configure("acme/app", "main", RECIPE).await;
    assert_eq!(built(&service, 1).await[0], of("acme/app", "reconcile"));

    // One that has its own file when it is seen, and one that gets it later.
    service.terminate();
    let depends = DEPENDS.replace("acme/lib", "acme/lib, acme/late");
    service.write_configuration("acme/app", "main", &depends);
    service.write_configuration("acme/lib", "main", RECIPE);
    service.start_again();
    until("the heads are known", async || {
        (service.knows_head_of(&library) && service.knows_head_of(&late)).then_some(())
    })
    .await;
    assert_eq!(built(&service, 2).await[0], of("acme/lib", "reconcile"));

    late.commit(&[("late.c", "int x;")]);
    let push = late.push("main");
    service.deliver(&Delivery::of(&push)).await;
    assert_eq!(built(&service, 3).await[0], of("acme/app", "dependency"));
    service.configure("acme/late", "main", RECIPE).await;
    assert_eq!(built(&service, 4).await[0], of("acme/late", "reconcile"));
    assert_eq!(service.builds().await[0]["commit"], json!(push.commit));
}

#[tokio::test]
async fn the_mirror_of_a_dependency_is_tidied() {
    let mut service = Service::start();
    let (_app, library) = app_and_library(&service).await;
    service.terminate();
    library.commit(&[("lib.c", "int x;")]);
    library.push("main");
    service.start_again();
    built(&service, 2).await;
    service.terminate();
    let mirror = service.path("data/mirrors/acme/lib.git");
    let packs = "for i in $(seq 25); do echo $i | git hash-object -w --stdin \
                 | git pack-objects -q objects/pack/pack; done >/dev/null";
    let mut make_packs = Command::new("sh");
    make_packs.args(["-c", packs]).current_dir(&mirror);
    assert!(output(&mut make_packs).status.success());
    let count = || {
        let files = fs::read_dir(mirror.join("objects/pack")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".pack")).count()
    };
    assert!(count() >= 25);
    service.start_again();
    until("its packs are joined", async || {
        (count() <= 3).then_some(())
    })
    .await;
}
