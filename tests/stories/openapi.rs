//! The API answers as its document says, whatever it is asked.
//!
//! `AUTOBUILDER_API_EXAMPLES` tells how many requests are made up for each operation; `make chaos`
//! asks for more.

use std::path::Path;
use std::process::Command;

use crate::support::{RESULT, Service, output};

/// Below the project's folder, where scripts/setup puts it.
const SCHEMATHESIS: &str = "target/tools/schemathesis/bin/schemathesis";

const EXAMPLES: &str = "5";

/// Which faults of an answer are looked for. The connections that stay open are not: a request for
/// one is answered like any other where it asks for no upgrade.
const CHECKS: [&str; 5] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
];

#[tokio::test]
async fn every_answer_is_one_that_the_document_names() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    let examples = std::env::var("AUTOBUILDER_API_EXAMPLES");
    let examples = examples.ok().filter(|examples| !examples.is_empty());
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMATHESIS));
    command
        .current_dir(service.folder())
        .arg("run")
        .arg(service.url("/api/v1/openapi.json"))
        .args(["--header", "Authorization: Bearer a-token-for-changes"])
        .args(["--phases", "coverage,fuzzing", "--continue-on-failure"])
        .args(["--max-examples", examples.as_deref().unwrap_or(EXAMPLES)])
        .args(["--checks", &CHECKS.join(",")])
        .args(["--no-color", "--warnings", "off"]);
    let asked = output(&mut command);
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success(), "{said}");
    assert!(said.contains("generated"), "nothing was asked: {said}");
    assert_eq!(service.get("/healthz").await.status, 200);
}
