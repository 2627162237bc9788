//! Repositories with the latest state of their branches.

use serde_json::json;

use super::*;
use crate::domain::names::RepositoryName;

/// A push to any branch, with builds of these scripts.
async fn push(
    fixture: &Fixture,
    repository: &str,
    reference: &str,
    scripts: &[&str],
    after: char,
) -> Vec<BuildId> {
    let mut new = new_build(after);
    new.push.repository = repository.parse().unwrap();
    new.push.reference = reference.parse().unwrap();
    new.work = scripts
        .iter()
        .map(|script| Recipe::of_script(script).into())
        .collect();
    fixture.store().hear_push(None, new).await.unwrap().builds
}

async fn repositories(fixture: &Fixture, query: &str) -> Value {
    let response = fixture.get(&format!("/api/v1/repositories{query}")).await;
    assert_eq!(response.status(), 200, "{:?}", response.body());
    json(&response)
}

fn names(page: &Value) -> Vec<&str> {
    let repositories = page["repositories"].as_array().unwrap();
    repositories
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_tracked_is_listed_before_it_is_built() {
    let fixture = Fixture::new();
    assert_eq!(
        repositories(&fixture, "").await,
        json!({
            "repositories": [{
                "name": "acme/app", "tracked": true, "durations": [],
                "branches": [
                    {"name": "feature/x", "ref": "refs/heads/feature/x", "tracked": true, "state": null, "ended": null, "builds": []},
                    {"name": "main", "ref": "refs/heads/main", "tracked": true, "state": null, "ended": null, "builds": []},
                ],
            }],
            "next": null,
        })
    );
}

#[tokio::test]
async fn a_branch_stands_as_the_worst_of_its_newest_builds() {
    let fixture = Fixture::new();
    let first = fixture.push('a').await;
    fixture
        .advance(&first[0], &[State::Preparing, State::Failed])
        .await;
    fixture
        .advance(
            &first[1],
            &[State::Preparing, State::Building, State::Succeeded],
        )
        .await;
    let second = fixture.push('b').await;
    fixture.advance(&second[0], &[State::Preparing]).await;
    let failed = fixture
        .advance(&second[1], &[State::Preparing, State::TimedOut])
        .await;
    // A script that the branch no longer tracks is shown and does not count.
    let old = push(&fixture, "acme/app", "refs/heads/main", &["old.sh"], 'c').await;
    fixture
        .advance(&old[0], &[State::Preparing, State::Errored])
        .await;

    let page = repositories(&fixture, "").await;
    let main = &page["repositories"][0]["branches"][1];
    assert_eq!(main["state"], "timed_out");
    assert_eq!(main["ended"], failed.ended.unwrap().to_string());
    let shown: Vec<_> = main["builds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|build| {
            (
                build["id"].as_str().unwrap(),
                build["script"].as_str().unwrap(),
                build["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (second[0].as_str(), "build.sh", "preparing"),
            (old[0].as_str(), "old.sh", "errored"),
            (second[1].as_str(), "test.sh", "timed_out"),
        ]
    );
    assert!(main["builds"][0]["started"].is_string() && main["builds"][0]["ended"].is_null());
    let durations = page["repositories"][0]["durations"].as_array().unwrap();
    let ran: Vec<_> = durations
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ran,
        [
            first[0].as_str(),
            first[1].as_str(),
            second[1].as_str(),
            old[0].as_str()
        ]
    );
    assert!(durations[0]["seconds"].is_f64() && durations[0]["ended"].is_string());
}

#[tokio::test]
async fn what_a_push_skipped_stands_as_it_stood() {
    let fixture = Fixture::new();
    let first = fixture.push('a').await;
    fixture
        .advance(&first[0], &[State::Preparing, State::Failed])
        .await;
    let second = fixture.push('b').await;
    fixture.advance(&second[0], &[State::Skipped]).await;
    fixture.advance(&first[1], &[State::Skipped]).await;
    fixture.advance(&second[1], &[State::Skipped]).await;
    let page = repositories(&fixture, "").await;
    let main = &page["repositories"][0]["branches"][1];
    assert_eq!(main["state"], "failed");
    assert_eq!(main["builds"][0]["id"], first[0].as_str());
    assert_eq!(main["builds"][1]["id"], second[1].as_str());
}

#[tokio::test]
async fn what_was_built_is_listed_though_nothing_tracks_it() {
    let fixture = Fixture::new();
    let builds = push(&fixture, "acme/gone", "refs/tags/v1", &["make.sh"], 'd').await;
    fixture.advance(&builds[0], &[State::Cancelled]).await;
    let page = repositories(&fixture, "?text=GONE").await;
    let gone = &page["repositories"][0];
    assert_eq!(
        (&gone["name"], &gone["tracked"]),
        (&json!("acme/gone"), &json!(false))
    );
    let tag = &gone["branches"][0];
    assert_eq!(
        (&tag["name"], &tag["ref"], &tag["tracked"]),
        (&json!("v1"), &json!("refs/tags/v1"), &json!(false))
    );
    assert_eq!(tag["state"], "cancelled");
    // It never started.
    assert_eq!(gone["durations"], json!([]));
}

#[tokio::test]
async fn pages_hold_each_repository_once_by_name() {
    let fixture = Fixture::new();
    for name in ["zeta/one", "acme/zoo", "Acme/app"] {
        push(&fixture, name, "refs/heads/main", &["build.sh"], 'a').await;
    }
    let first = repositories(&fixture, "?limit=2").await;
    assert_eq!(names(&first), ["Acme/app", "acme/app"]);
    let next = first["next"].as_str().unwrap();
    assert_eq!(next, "acme/app");
    let second = repositories(&fixture, &format!("?limit=2&after={next}")).await;
    assert_eq!(names(&second), ["acme/zoo", "zeta/one"]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(
        names(&repositories(&fixture, "?text=zo").await),
        ["acme/zoo"]
    );
    assert_eq!(
        names(&repositories(&fixture, "?text=nothing").await),
        [""; 0]
    );
}

#[tokio::test]
async fn the_branch_of_the_configuration_and_kernels_are_tracked() {
    let fixture = Fixture::new();
    fixture.configure(|config| {
        let configuration = crate::domain::tracking::ConfigurationBranch {
            repository: "acme/configuration".parse().unwrap(),
            branch: "master".parse().unwrap(),
        };
        config.configuration = crate::config::Configuration::Repository(configuration);
        let kernel: RepositoryName = "acme/kernel".parse().unwrap();
        config.kernels.repositories.insert(
            kernel,
            serde_json::from_value(json!({"script": "kernel.sh"})).unwrap(),
        );
    });
    let page = repositories(&fixture, "?after=acme/app").await;
    assert_eq!(names(&page), ["acme/configuration", "acme/kernel"]);
    let [configuration, kernel] = [0, 1].map(|place| &page["repositories"][place]);
    assert_eq!(configuration["branches"][0]["ref"], "refs/heads/master");
    assert_eq!(
        (&kernel["tracked"], &kernel["branches"]),
        (&json!(true), &json!([]))
    );
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let fixture = Fixture::new();
    for (query, expected) in [
        ("limit=0", "limit is 0"),
        ("limit=201", "limit is 201"),
        ("after=x", "after: "),
        ("page=2", "unknown field `page`"),
        (&format!("text={}", "x".repeat(201)), "text is too long"),
    ] {
        let response = fixture.get(&format!("/api/v1/repositories?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let failure = failure(&response);
        assert!(failure.contains(expected), "{failure}");
    }
}
