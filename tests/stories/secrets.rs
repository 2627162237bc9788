//! Secrets reach the script and nothing else.

use serde_json::json;

use crate::support::{From, HOLD, RESULT, Service, docker, script_output, until, with_github};

const SECRET: &str = "correct-horse-battery";

#[tokio::test]
async fn a_secret_reaches_the_script_and_is_masked_everywhere_else() {
    let mut service = Service::start_with(json!({"builds": {"secrets": {"DEPLOY_KEY": SECRET}}}));
    let app = service.tracked("acme/app").await;
    // The second time it is written in two writes, with time for the first half to be followed.
    let script = format!(
        "#!/bin/sh
echo \"it has ${{#DEPLOY_KEY}} characters\"
echo \"whole: $DEPLOY_KEY.\"
printf 'halves: correct-horse'; {HOLD}printf -- '-battery.\\n'
printf 'in halves: correct-ho'; sleep 0.3; echo rse-battery.
[ \"$DEPLOY_KEY\" = {SECRET} ] && echo same
cat /.autobuilder/* 2>/dev/null | grep -c {SECRET}
{RESULT}"
    );
    let build = service.push_script(&app, &script).await;
    let mut live = service.live().await;
    live.follow(&build, From::Offset(0)).await;
    service.wait_for_log(&build, "holding").await;
    let inspected = docker(&["inspect", &service.container_of(&build)]);
    assert!(!inspected.contains(SECRET) && !inspected.contains("DEPLOY_KEY"));
    let environment = docker(&["exec", &service.container_of(&build), "sh", "-c", "export"]);
    assert!(
        !environment.contains(SECRET),
        "an exec beside the script sees it"
    );

    // A restart while half of it waits to be masked.
    service.kill();
    service.release(&build);
    service.start_again();
    service.wait_for(&build, "succeeded").await;
    let log = service.log(&build).await;
    let output = script_output(&log);
    assert!(!log.contains(SECRET), "{log}");
    assert!(
        output.starts_with(
            "it has 21 characters\nwhole: ***.\nhalves: correct-horseholding\n-battery.\n"
        ),
        "{output}"
    );
    assert!(output.contains("in halves: ***.\nsame\n"), "{output}");

    let told = service.build(&build).await.to_string();
    let metrics = service.get("/metrics").await.text;
    let status = service.get("/build/status").await.text;
    for place in [told, metrics, status, service.own_log()] {
        assert!(!place.contains(SECRET));
    }
    assert!(!stored(&service).contains(SECRET));
}

/// What is in the files of its database.
fn stored(service: &Service) -> String {
    let mut bytes = Vec::new();
    for file in ["autobuilder.sqlite", "autobuilder.sqlite-wal"] {
        bytes.extend(std::fs::read(service.path("data").join(file)).unwrap());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn no_answer_holds_what_the_service_file_keeps_secret() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\nexport\n{RESULT}"))
        .await;
    service.wait_for(&build, "succeeded").await;
    let _ = service.cancel(&build).await;
    let answers = [
        service.build(&build).await.to_string(),
        service.log(&build).await,
        service.own_log(),
        service.get("/metrics").await.text,
        service.get("/readyz").await.text,
    ];
    for answer in answers {
        assert!(!answer.contains("a-token-for-changes"), "{answer}");
        assert!(!answer.contains("a-secret-shared-with-github"), "{answer}");
    }
}

#[tokio::test]
async fn a_secret_in_a_file_name_is_in_no_reason() {
    const QUOTED: &str = r#"it's-a-"key""#;
    let secrets = json!({"DEPLOY_KEY": SECRET, "QUOTED": QUOTED});
    let (github, service) = with_github(json!({"builds": {"secrets": secrets}})).await;
    let app = service.tracked_on(&github, "acme/app").await;
    let mut live = service.live().await;
    live.builds_since(None).await;
    let script = "#!/bin/sh\ntouch \"/target/$DEPLOY_KEY\" \"/target/$QUOTED\" \"/target/$(printf %s \"$DEPLOY_KEY\" | base64)\"\n";
    let build = service.push_script(&app, script).await;
    let failed = service.wait_for(&build, "failed").await;
    assert_eq!(
        failed["reason"],
        "there is no /target/result.tar.gz; the folder holds ***, ***, ***"
    );
    let status = until("GitHub shows the failure", async || {
        let status = github.status("acme/app", &app.head(), "autobuilder/build.sh")?;
        (status.state == "failure").then_some(status)
    })
    .await;
    live.take_until("the failure", |live| {
        let ended = live.changes.iter();
        ended
            .filter(|change| change["build"]["state"] == "failed")
            .count()
            > 0
    })
    .await;
    let told = [
        format!("{status:?}"),
        format!("{:?}", live.changes),
        failed.to_string(),
        service.log(&build).await,
        service.get("/build/history").await.text,
        service.own_log(),
        stored(&service),
    ];
    for secret in [SECRET, "it's-a-", r"it\'s-a-", "Y29ycmVjdC1ob3JzZS1"] {
        for told in &told {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
    }
}
