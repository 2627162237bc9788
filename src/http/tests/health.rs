//! Readiness and metrics.

use super::*;
use crate::service::Component;

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("/healthz").await.body(), "ok\n");
    assert_eq!(fixture.get("/readyz").await.status(), 200);
    fixture.inputs.readiness.send_replace(vec![
        Component {
            name: "configuration",
            problem: None,
        },
        Component {
            name: "docker",
            problem: Some("connection refused".into()),
        },
    ]);
    let response = fixture.get("/readyz").await;
    assert_eq!(response.status(), 503);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json(&response)).unwrap(), @r###"
    {
      "components": [
        {
          "name": "configuration",
          "problem": null,
          "ready": true
        },
        {
          "name": "docker",
          "problem": "connection refused",
          "ready": false
        }
      ],
      "ready": false
    }
    "###);
    assert_eq!(fixture.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn metrics_count_what_waits_and_what_was_delivered() {
    let fixture = Fixture::new();
    fixture.push('a').await;
    let response = fixture.get("/metrics").await;
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(text.contains("autobuilder_builds_queued 2\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}
