//! A build among those before and after it.

use serde_json::json;

use super::*;

async fn lane(fixture: &Fixture, build: &BuildId) -> Value {
    json(&fixture.get(&format!("/api/v1/builds/{build}/lane")).await)
}

#[tokio::test]
async fn a_build_knows_its_neighbours_of_the_same_script() {
    let fixture = Fixture::new();
    let mut builds = Vec::new();
    for after in ['a', 'b', 'c'] {
        builds.push(fixture.push(after).await.remove(0));
    }
    let shown = lane(&fixture, &builds[1]).await;
    assert_eq!(shown["older"], builds[0].as_str());
    assert_eq!(shown["newer"], builds[2].as_str());
    let ids: Vec<_> = shown["builds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, builds.iter().map(BuildId::as_str).collect::<Vec<_>>());
    let queued = fixture
        .store()
        .build(builds[0].clone())
        .await
        .unwrap()
        .queued;
    assert_eq!(
        shown["builds"][0],
        json!({"id": builds[0].as_str(), "commit": sha('a').as_str(), "state": "queued", "queued": queued.to_string(), "started": null, "ended": null})
    );
    assert_eq!(lane(&fixture, &builds[0]).await["older"], Value::Null);
    assert_eq!(lane(&fixture, &builds[2]).await["newer"], Value::Null);

    let missing = fixture.get("/api/v1/builds/0123456789ab/lane").await;
    assert_eq!(missing.status(), 404);
    assert!(failure(&missing).contains("there is no build 0123456789ab"));
}

#[tokio::test]
async fn a_list_holds_one_script_and_tag() {
    let fixture = Fixture::new();
    let mut new = new_build('a');
    let tagged = |script: &str, tag: Option<&str>| Recipe {
        tag: tag.map(|tag| tag.parse().unwrap()),
        ..Recipe::of_script(script)
    };
    new.work = [
        tagged("build.sh", None),
        tagged("build.sh", Some("arm")),
        tagged("test.sh", Some("arm")),
    ]
    .map(Work::from)
    .to_vec();
    let builds = fixture.store().hear_push(None, new).await.unwrap().builds;
    let [plain, arm, test] = [0, 1, 2].map(|place| builds[place].as_str());
    for (query, expected) in [
        ("script=build.sh", vec![arm, plain]),
        ("tag=arm", vec![test, arm]),
        ("script=build.sh&tag=arm", vec![arm]),
        ("script=build.sh&tag=", vec![arm, plain]),
        ("script=build", vec![]),
        ("tag=AR", vec![]),
    ] {
        let page = json(&fixture.get(&format!("/api/v1/builds?{query}")).await);
        let ids: Vec<_> = page["builds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
    let wrong = fixture.get("/api/v1/builds?script=/etc/passwd").await;
    assert_eq!(wrong.status(), 400);
    assert!(failure(&wrong).contains("script: "), "{}", failure(&wrong));
}

#[tokio::test]
async fn what_is_usual_is_told_before_a_build_starts() {
    let fixture = Fixture::new();
    let usual = async |build: &BuildId| {
        json(&fixture.get(&format!("/api/v1/builds/{build}")).await)["usual"].clone()
    };
    let first = fixture.push('a').await;
    assert_eq!(usual(&first[0]).await, Value::Null);
    fixture
        .advance(
            &first[0],
            &[
                State::Preparing,
                State::Building,
                State::Collecting,
                State::Publishing,
                State::Succeeded,
            ],
        )
        .await;
    let second = fixture.push('b').await;
    let told = usual(&second[0]).await;
    assert!(told["total"].as_f64().unwrap() < 60.0, "{told}");
    let steps: Vec<_> = told["steps"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(steps, ["building", "collecting", "preparing", "publishing"]);
    // The other script has not succeeded.
    assert_eq!(usual(&second[1]).await, Value::Null);
}
