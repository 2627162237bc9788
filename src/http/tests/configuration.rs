//! The configuration in force, and the loads of it.

use serde_json::json;

use super::*;
use crate::config::{self, Configuration};
use crate::domain::images::AllowedImages;
use crate::domain::time::Timestamp;
use crate::domain::tracking::ConfigurationBranch;
use crate::service::LoadedConfiguration;
use crate::service::Source;

#[tokio::test]
async fn the_configuration_in_force_is_shown_with_what_is_wrong_in_it() {
    let fixture = Fixture::new();
    fixture.configure(|config| {
        config.configuration = Configuration::Repository(ConfigurationBranch {
            repository: "acme/configuration".parse().unwrap(),
            branch: "main".parse().unwrap(),
        });
    });
    let source = json!({"repository": "acme/configuration", "branch": "main"});
    assert_eq!(
        json(&fixture.get("/api/v1/configuration").await),
        json!({
            "source": source, "commit": null, "build": null, "loaded": null,
            "files": [], "findings": [],
        }),
        "nothing was loaded yet"
    );

    let good = "buildscripts: [build.sh]\nbuild.sh: {artifact: a}\n";
    let texts = [
        ("README.md", "ignored"),
        (
            "acme/app/main.yaml",
            "buildscripts: [build.sh]\nbuild.sh: {artefact: a}\n",
        ),
        ("acme/lib/main.yaml", good),
        (
            "acme/new/main.yaml",
            good.replace("artifact: a", "artifact: a, tag: t").as_str(),
        ),
    ]
    .map(|(path, text)| (path.to_owned(), Ok(text.to_owned())));
    let last_good = [
        "acme/app/main.yaml",
        "acme/lib/main.yaml",
        "acme/gone/main.yaml",
    ]
    .map(|path| (path.to_owned(), good.to_owned()));
    let resolved = config::resolve(&texts.into(), &last_good.into(), &AllowedImages::default());
    let loaded = LoadedConfiguration {
        source: Source::Commit {
            repository: "acme/configuration".parse().unwrap(),
            branch: "main".parse().unwrap(),
            commit: sha('c'),
            build: "0123456789ab".parse().unwrap(),
        },
        loaded: Timestamp::from_millis(0),
        files: resolved.files,
        findings: resolved.findings,
    };
    // As it is after a restart.
    let text = serde_json::to_string(&loaded).unwrap();
    let again: LoadedConfiguration = serde_json::from_str(&text).unwrap();
    assert_eq!(
        again.commit_of(
            &"acme/configuration".parse().unwrap(),
            &"main".parse().unwrap()
        ),
        Some(&sha('c'))
    );
    assert_eq!(
        again.commit_of(
            &"acme/configuration".parse().unwrap(),
            &"other".parse().unwrap()
        ),
        None
    );
    fixture.inputs.loaded.send_replace(Some(Arc::new(again)));

    let mut shown = json(&fixture.get("/api/v1/configuration").await);
    let finding = shown["findings"][0].take();
    assert_eq!(
        shown,
        json!({
            "source": source,
            "commit": sha('c'),
            "build": "0123456789ab",
            "loaded": "1970-01-01T00:00:00.000Z",
            "files": [
                {"path": "acme/app/main.yaml", "state": "broken", "in_force": true},
                {"path": "acme/gone/main.yaml", "state": "removed", "in_force": false},
                {"path": "acme/lib/main.yaml", "state": "unchanged", "in_force": true},
                {"path": "acme/new/main.yaml", "state": "tracked", "in_force": true},
            ],
            "findings": [null],
        })
    );
    assert_eq!(finding["file"], "acme/app/main.yaml");
    assert_eq!(
        (&finding["line"], &finding["severity"]),
        (&json!(2), &json!("error"))
    );
    assert_eq!(finding["excerpt"]["text"], "build.sh: {artefact: a}");
}

#[tokio::test]
async fn a_load_of_the_configuration_is_neither_cancelled_nor_built_again_by_hand() {
    let fixture = Fixture::new();
    let load = NewBuilds {
        work: vec![Work::Configuration],
        ..new_build('c')
    };
    let heard = fixture.store().hear_push(None, load).await.unwrap();
    let load = &heard.builds[0];
    for action in ["cancel", "rebuild"] {
        let path = format!("/api/v1/builds/{load}/{action}");
        let response = fixture.post(&path, json!({})).await;
        assert_eq!(response.status(), 409, "{action}");
        assert!(failure(&response).contains("configuration"), "{action}");
    }
    let path = format!("/api/v1/builds/{load}");
    let shown = json(&fixture.get(&path).await);
    assert_eq!(
        (
            &shown["state"],
            &shown["kind"],
            &shown["script"],
            &shown["limits"]
        ),
        (
            &json!("queued"),
            &json!("configuration"),
            &json!("configuration"),
            &json!(null)
        )
    );
}
