//! Artifacts of format binary: a versioned name each, and a stable one that moves forward only.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::support::{HOLD, Push, Repository, Service, builds_in, notes};

const RECIPE: &str = "
buildscripts: [build.sh]
build.sh: {artifact: app.bin, format: binary, tag: x64}
";

struct Published {
    service: Service,
    app: Repository,
}

impl Published {
    async fn start() -> Self {
        let service = Service::start();
        let app = service.repository("acme/app");
        service.configure("acme/app", "release/2", RECIPE).await;
        Self { service, app }
    }

    /// Pushes a commit whose artifact holds this text.
    fn push(&self, content: &str) -> Push {
        let script = format!("#!/bin/sh\nprintf {content} > /target/app.bin\n");
        self.app.commit(&[("build.sh", &script)]);
        self.app.push("release/2")
    }

    /// The same, and waits for its build.
    async fn publish(&self, content: &str) -> (String, String) {
        let push = self.push(content);
        let build = self.service.pushed(&push).await;
        self.service.wait_for(&build, "succeeded").await;
        (build, push.commit)
    }

    fn versioned(&self, commit: &str) -> PathBuf {
        let name = format!("acme-app-x64-release-2-{}.tar.gz", &commit[..10]);
        self.service.path("binaries").join(name)
    }

    fn stable(&self) -> PathBuf {
        self.service.path("binaries/acme-app-x64-release-2.flist")
    }

    fn points_to(&self) -> PathBuf {
        let target = fs::read_link(self.stable()).expect("the stable name is a link");
        assert!(
            target.is_relative(),
            "{target:?}: the folder may be served from anywhere"
        );
        self.service.path("binaries").join(target)
    }
}

#[tokio::test]
async fn the_stable_name_follows_the_pushes_and_an_older_rebuild_does_not_move_it() {
    let story = Published::start().await;
    let (first_build, first) = story.publish("one").await;
    assert_eq!(fs::read_to_string(story.versioned(&first)).unwrap(), "one");
    assert_eq!(story.points_to(), story.versioned(&first));

    let (second_build, second) = story.publish("two").await;
    assert_eq!(story.points_to(), story.versioned(&second));
    assert_eq!(fs::read_to_string(story.stable()).unwrap(), "two");
    assert_eq!(fs::read_to_string(story.versioned(&first)).unwrap(), "one");

    // Somebody lost the old file; a rebuild makes that again and nothing else.
    fs::remove_file(story.versioned(&first)).unwrap();
    let again = story.service.rebuild(&first_build).await;
    let again = story.service.wait_for(&again, "succeeded").await;
    assert_eq!(again["cause"]["type"], "rebuild");
    assert_eq!(again["cause"]["of"], first_build.as_str());
    assert_eq!(fs::read_to_string(story.versioned(&first)).unwrap(), "one");
    assert_eq!(
        story.points_to(),
        story.versioned(&second),
        "an older commit took the stable name"
    );
    let log = story.service.log(again["id"].as_str().unwrap()).await;
    let stays = format!(
        "acme-app-x64-release-2.flist stays at {}, which is newer",
        &second[..10]
    );
    assert!(notes(&log).contains(&stays.as_str()), "{log}");

    // A rebuild of the newest may.
    fs::remove_file(story.stable()).unwrap();
    let newest = story.service.rebuild(&second_build).await;
    story.service.wait_for(&newest, "succeeded").await;
    assert_eq!(story.points_to(), story.versioned(&second));
}

#[tokio::test]
async fn a_forced_push_back_to_an_older_commit_takes_the_stable_name_back() {
    let story = Published::start().await;
    let (_, first) = story.publish("one").await;
    let (_, second) = story.publish("two").await;
    assert_eq!(story.points_to(), story.versioned(&second));

    story.app.git(&["reset", "--quiet", "--hard", &first]);
    let build = story
        .service
        .pushed(&story.app.force_push("release/2"))
        .await;
    story.service.wait_for(&build, "succeeded").await;
    assert_eq!(story.points_to(), story.versioned(&first));
}

#[tokio::test]
async fn an_older_push_that_is_heard_of_late_supersedes_nothing_and_moves_nothing() {
    let story = Published::start().await;
    let script = format!("#!/bin/sh\n{HOLD}echo > /target/app.bin\n");
    story.app.commit(&[("build.sh", &script)]);
    let older = story.app.push("release/2");
    let newer_commit = story.app.commit(&[("more", "")]);
    let newer = story.app.push("release/2");

    // GitHub delivers in no certain order.
    let newer = story.service.pushed(&newer).await;
    story.service.wait_for_log(&newer, "holding").await;
    let older = story.service.pushed(&older).await;
    story.service.release(&newer);
    story.service.wait_for(&newer, "succeeded").await;
    story.service.wait_for_log(&older, "holding").await;
    story.service.release(&older);
    story.service.wait_for(&older, "succeeded").await;
    assert_eq!(story.points_to(), story.versioned(&newer_commit));
}

#[tokio::test]
async fn a_folder_that_nothing_can_be_published_in_is_named_at_the_start() {
    let mut service = Service::start();
    assert!(!service.own_log().contains("nothing can be published"));
    service.terminate();
    fs::write(service.path("file"), "").unwrap();
    let kernels = json!({"directory": "./file/kernels", "repositories": {
        "acme/kernel": {"script": "build.sh"},
    }});
    service.change_settings(json!({
        "artifacts": {"binaries": "./file/binaries"},
        "kernels": kernels,
    }));
    service.start_again();
    let log = service.own_log();
    for key in ["artifacts.binaries", "kernels.directory"] {
        assert!(log.contains(&format!("({key}): Not a directory")), "{log}");
    }
}

#[tokio::test]
async fn a_link_that_the_older_service_made_is_not_moved_back() {
    let story = Published::start().await;
    let script = "#!/bin/sh\necho > /target/app.bin\n";
    let older = story.app.commit(&[("build.sh", script)]);
    let newer = story.app.commit(&[("more", "")]);
    story.app.push("release/2");
    fs::create_dir_all(story.stable().parent().unwrap()).unwrap();
    let file = story.versioned(&newer);
    std::os::unix::fs::symlink(file.file_name().unwrap(), story.stable()).unwrap();

    let asked = json!({"repository": "acme/app", "branch": "release/2", "commit": older});
    let answer = story.service.post("/api/v1/builds", asked).await;
    let build = builds_in(&answer).remove(0);
    story.service.wait_for(&build, "succeeded").await;
    assert_eq!(story.points_to(), file);
    let log = story.service.log(&build).await;
    let stays = format!(
        "acme-app-x64-release-2.flist stays at {}, which others published and which is newer",
        &newer[..10]
    );
    assert!(notes(&log).contains(&stays.as_str()), "{log}");

    // Of a commit that nobody knows.
    fs::remove_file(story.stable()).unwrap();
    std::os::unix::fs::symlink("acme-app-0123456789.tar.gz", story.stable()).unwrap();
    let build = story.service.rebuild(&build).await;
    story.service.wait_for(&build, "succeeded").await;
    assert_eq!(story.points_to(), story.versioned(&older));
}

#[tokio::test]
async fn a_build_that_fails_moves_nothing() {
    let story = Published::start().await;
    let (_, first) = story.publish("one").await;
    story.app.commit(&[(
        "build.sh",
        "#!/bin/sh\nprintf two > /target/app.bin\nexit 1\n",
    )]);
    let build = story.service.pushed(&story.app.push("release/2")).await;
    story.service.wait_for(&build, "failed").await;
    assert_eq!(story.points_to(), story.versioned(&first));
    assert_eq!(
        fs::read_dir(story.service.path("binaries"))
            .unwrap()
            .count(),
        2
    );
}

#[tokio::test]
async fn what_others_have_put_there_is_not_destroyed_in_silence() {
    let story = Published::start().await;
    let stable = story.stable();
    fs::create_dir_all(stable.parent().unwrap()).unwrap();

    // Not even an empty folder goes.
    fs::create_dir(&stable).unwrap();
    let build = story.service.pushed(&story.push("one")).await;
    let build = story.service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    assert!(reason.contains("the folder "), "{reason}");
    assert!(reason.contains("flist is in the way"), "{reason}");
    fs::remove_dir(&stable).unwrap();

    fs::write(&stable, "somebody's").unwrap();
    let build = story.service.pushed(&story.push("two")).await;
    let build = story.service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    assert!(reason.contains("the file "), "{reason}");
    assert_eq!(fs::read_to_string(&stable).unwrap(), "somebody's");
    fs::remove_file(&stable).unwrap();

    // A link holds nothing but where it leads.
    std::os::unix::fs::symlink("../elsewhere", &stable).unwrap();
    let (build, commit) = story.publish("three").await;
    assert_eq!(story.points_to(), story.versioned(&commit));
    let log = story.service.log(&build).await;
    let told = "the link to ../elsewhere at acme-app-x64-release-2.flist is replaced";
    assert!(log.contains(told), "{log}");
    let (build, _) = story.publish("four").await;
    let log = story.service.log(&build).await;
    assert!(!log.contains("replaced"), "{log}");

    let push = story.push("five");
    fs::create_dir(story.versioned(&push.commit)).unwrap();
    let build = story.service.pushed(&push).await;
    let build = story.service.wait_for(&build, "errored").await;
    let reason = build["reason"].as_str().unwrap();
    assert!(reason.contains("tar.gz is in the way"), "{reason}");
}
