//! Flists on the hub, kernels there and on the bootstrap server: uploaded once and whole, with links
//! that move forward only.

use std::io::Read;

use hub_model::{Model, Route, Wrong, jwt};
use serde_json::{Value, json};

use crate::support::{Repository, Service, merge, notes, until};

const USER: &str = "acme-org";
const TOKEN: &str = "token-of-the-hub";
const LINK: &str = "acme-app-main.flist";

struct Flists {
    service: Service,
    hub: Model,
    app: Repository,
}

impl Flists {
    async fn start() -> Self {
        Self::start_with(TOKEN, json!({})).await
    }

    async fn start_with(token: &str, changes: Value) -> Self {
        let (hub, service) = with_hub(token, changes);
        let app = service.tracked("acme/app").await;
        Self { service, hub, app }
    }

    /// Pushes a commit whose artifact holds this text; returns the build and the commit.
    async fn push(&self, content: &str) -> (String, String) {
        let script =
            format!("#!/bin/sh\necho {content} > file\ntar -czf /target/result.tar.gz file\n");
        let build = self.service.push_script(&self.app, &script).await;
        (build, self.app.head())
    }

    async fn publish(&self, content: &str) -> (String, String) {
        let (build, commit) = self.push(content).await;
        self.service.wait_for(&build, "succeeded").await;
        (build, commit)
    }

    fn artifact(&self, build: &str) -> Vec<u8> {
        let file = format!("data/builds/{build}/artifacts/result.tar.gz");
        std::fs::read(self.service.path(&file)).unwrap()
    }

    fn stored(&self, commit: &str) -> Option<Vec<u8>> {
        let archive = self.hub.archive(USER, &flist(commit))?;
        Some(archive.to_vec())
    }

    fn link(&self) -> Option<String> {
        self.hub.link(USER, LINK)
    }

    fn uploads(&self) -> usize {
        self.hub.requests(Route::Upload).len()
    }

    /// Everything that people can read of it.
    async fn all_that_is_shown(&self) -> String {
        let mut shown = self.service.own_log();
        shown.push_str(&self.service.get("/metrics").await.text);
        for build in self.service.builds().await {
            shown.push_str(&build.to_string());
            shown.push_str(&self.service.log(build["id"].as_str().unwrap()).await);
        }
        shown
    }
}

/// A hub, and a service that uploads to it.
fn with_hub(token: &str, changes: Value) -> (Model, Service) {
    let hub = Model::start();
    hub.accept(token);
    let mut settings = json!({"hub": {"url": hub.url(), "username": USER, "token": token}});
    if token.contains('.') {
        settings["hub"]["refresh_url"] = json!(hub.refresh_url());
    }
    merge(&mut settings, changes);
    (hub, Service::start_with(settings))
}

fn flist(commit: &str) -> String {
    format!("acme-app-main-{}.flist", &commit[..10])
}

#[tokio::test]
async fn a_flist_is_uploaded_whole_and_its_link_follows_the_pushes_only_forward() {
    let story = Flists::start().await;
    let (first_build, first) = story.publish("one").await;
    assert_eq!(story.stored(&first).unwrap(), story.artifact(&first_build));
    assert_eq!(story.link().unwrap(), flist(&first));
    let log = story.service.log(&first_build).await;
    let expected = [
        format!("uploading {}: ", flist(&first).replace(".flist", ".tar.gz")),
        "uploaded ".to_owned(),
        "the hub counts directory 3, regular 12".to_owned(),
        format!("{} is on the hub", flist(&first)),
        format!("{LINK} points to it"),
    ];
    let notes: Vec<&str> = notes(&log);
    let mut rest = notes.iter();
    for line in expected {
        assert!(rest.any(|note| note.starts_with(&line)), "{line}\n{log}");
    }

    let (second_build, second) = story.publish("two").await;
    assert_eq!(story.link().unwrap(), flist(&second));
    assert_ne!(story.stored(&first), story.stored(&second));

    // A rebuild uploads again, and nothing else.
    let again = story.service.rebuild(&first_build).await;
    story.service.wait_for(&again, "succeeded").await;
    assert_eq!(story.uploads(), 3);
    assert_eq!(story.stored(&first).unwrap(), story.artifact(&again));
    assert_eq!(story.link().unwrap(), flist(&second));
    let log = story.service.log(&again).await;
    let stays = format!("{LINK} stays at {}, which is newer", &second[..10]);
    assert!(log.contains(&stays), "{log}");

    let metrics = story.service.get("/metrics").await.text;
    for line in [
        r#"autobuilder_hub_requests_total{operation="upload",result="success"} 3"#,
        r#"autobuilder_hub_requests_total{operation="link",result="success"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let sent = [&first_build, &second_build, &again].map(|build| story.artifact(build).len());
    let sent = sent.iter().sum::<usize>();
    let line = format!("autobuilder_hub_uploaded_bytes_total {sent}\n");
    assert!(metrics.contains(&line), "{line}\n{metrics}");
    assert!(!story.all_that_is_shown().await.contains(TOKEN));
}

#[tokio::test]
async fn what_the_hub_refuses_errors_the_build_in_the_hubs_words() {
    let story = Flists::start().await;
    let (_, first) = story.publish("one").await;

    let full = Wrong::Error("the disk of the hub is full".to_owned());
    story.hub.next(Route::Upload, full);
    let (build, commit) = story.push("two").await;
    let build = story.service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    let archive = flist(&commit).replace(".flist", ".tar.gz");
    assert_eq!(
        reason,
        format!("cannot publish {archive}: the hub refuses it: the disk of the hub is full")
    );

    story.hub.refuse(TOKEN);
    let (build, commit) = story.push("three").await;
    let build = story.service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    assert!(reason.contains("[secret] is not valid"), "{reason}");
    assert_eq!(story.stored(&commit), None);

    // Uploaded, and not linked: that is no success.
    story.hub.accept(TOKEN);
    let locked = Wrong::Error("the link is locked".to_owned());
    story.hub.next(Route::Link, locked);
    let (build, commit) = story.push("four").await;
    let build = story.service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        format!("cannot publish {LINK}: the hub refuses it: the link is locked")
    );
    assert!(story.stored(&commit).is_some());
    assert_eq!(story.link().unwrap(), flist(&first));
    assert!(!story.all_that_is_shown().await.contains(TOKEN));

    // Nothing of it holds up the next one.
    let (_, fifth) = story.publish("five").await;
    assert_eq!(story.link().unwrap(), flist(&fifth));
}

#[tokio::test]
async fn a_renewed_token_outlives_the_service() {
    let configured = jwt("configured", i64::from(i32::MAX));
    let mut story = Flists::start_with(&configured, json!({})).await;
    story.publish("one").await;
    let renewed = story.hub.requests(Route::Upload)[0].bearer().to_owned();
    assert_ne!(renewed, configured);

    story.service.terminate();
    story.service.start_again();
    story.publish("two").await;
    let refreshes = story.hub.requests(Route::Refresh);
    let shown: Vec<&str> = refreshes.iter().map(|seen| seen.bearer()).collect();
    assert_eq!(shown, [configured.as_str(), renewed.as_str()]);
    let newest = story.hub.requests(Route::Upload)[1].bearer().to_owned();
    let all = story.all_that_is_shown().await;
    for token in [configured, renewed, newest] {
        assert!(!all.contains(&token));
    }
}

#[tokio::test]
async fn a_restart_between_upload_and_link_does_not_upload_again() {
    let mut story = Flists::start().await;
    story.hub.next(Route::Link, Wrong::SilentAfter(0));
    let (build, commit) = story.push("one").await;
    until("the link is asked for", async || {
        (story.hub.requests(Route::Link).len() == 1).then_some(())
    })
    .await;
    story.service.kill();
    story.service.start_again();
    story.service.wait_for(&build, "succeeded").await;
    assert_eq!(story.uploads(), 1);
    assert_eq!(story.link().unwrap(), flist(&commit));
}

#[tokio::test]
async fn a_hub_that_is_away_for_a_moment_costs_a_moment() {
    let story = Flists::start().await;
    story.hub.next(Route::Upload, Wrong::answer(503, "later"));
    let (build, commit) = story.publish("one").await;
    assert_eq!(story.link().unwrap(), flist(&commit));
    let log = story.service.log(&build).await;
    assert!(
        log.contains("503 Service Unavailable: later; it is tried again in 2 s"),
        "{log}"
    );
}

#[tokio::test]
async fn a_kernel_goes_to_the_hub_as_a_flist_and_to_the_bootstrap_server_as_it_is() {
    const BOOT_TOKEN: &str = "token-of-the-bootstrap-server";
    const KERNEL: &str = "a kernel\n";
    let boot = Model::start();
    boot.accept(BOOT_TOKEN);
    let (hub, service) = with_hub(
        TOKEN,
        json!({"kernels": {
            "directory": "./kernels",
            "bootstrap": {"url": boot.url(), "token": BOOT_TOKEN},
            "repositories": {"acme/kernel": {"script": "build.sh"}},
        }}),
    );
    let kernel = service.repository("acme/kernel");
    let script = format!(
        "#!/bin/sh\nprintf '{}' > /target/vmlinuz.efi\n",
        KERNEL.escape_default()
    );
    let commit = kernel.commit(&[("build.sh", &script)]);
    let build = service.pushed(&kernel.push("feature/x")).await;
    service.wait_for(&build, "succeeded").await;

    let stem = format!("zero-os-feature-x-generic-{}", &commit[..10]);
    let archive = hub.archive(USER, &format!("{stem}.flist")).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]));
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        found.push((path, content));
    }
    let expected = [
        ("kernel.efi", KERNEL),
        ("boot/", ""),
        ("boot/boot.yaml", "kernel: /kernel.efi\nnodefault: true\n"),
    ];
    let expected = expected.map(|(path, content)| (path.to_owned(), content.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(
        hub.link(USER, "zero-os-feature-x-generic.flist").unwrap(),
        format!("{stem}.flist")
    );

    let file = format!("{stem}.efi");
    assert_eq!(boot.kernel(&file).unwrap(), KERNEL);
    assert_eq!(boot.symlink("zero-os-feature-x-generic.efi").unwrap(), file);
    assert!(service.path("kernels").join(&file).exists());
    let left = std::fs::read_dir(service.path("data/tmp/autobuilder")).unwrap();
    assert_eq!(left.count(), 0, "the archive was for the upload only");

    boot.next(Route::Symlink, Wrong::Error("no such machine".to_owned()));
    kernel.commit(&[("more", "")]);
    let build = service.pushed(&kernel.push("feature/x")).await;
    let build = service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        "cannot publish zero-os-feature-x-generic.efi: the bootstrap server refuses it: no such machine"
    );
    assert_eq!(boot.symlink("zero-os-feature-x-generic.efi").unwrap(), file);
}
