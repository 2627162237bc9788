//! Kernels: a base is built from scratch and its container becomes an image, in which incremental
//! kernels are built.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hub_model::{Model, Route};
use serde_json::{Value, json};

use crate::support::{
    Repository, Service, builds_in, docker, docker_answers, merge, notes, script_output, sha256,
    until,
};

/// A base kernel's script: leaves a kernel, and a file for those that are built upon it.
const BASE: &str = "#!/bin/sh
echo base: \"$@\"
cat version > /made-by-base
cat version > /target/vmlinuz.efi
";

/// An incremental kernel's, which is in the base's image.
const CORES: &str = "#!/bin/sh
echo cores: \"$@\" in $(pwd) upon $(cat /made-by-base)
ls / /target
echo \"core of $AUTOBUILDER_COMMIT\" > /target/vmlinuz.efi
";

/// A base kernel that is one, from a package of Debian's.
const DEBIAN: &str = "#!/bin/sh
set -e
apt-get -q update
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p')
cd /tmp
apt-get -q download $package
dpkg-deb --extract $package*.deb /kernel
cp /kernel/boot/vmlinuz-* /target/vmlinuz.efi
";

struct Kernels {
    service: Service,
    base: Repository,
    core: Repository,
    fs: Repository,
}

impl Kernels {
    fn start() -> Self {
        Self::start_with(json!({}))
    }

    fn start_with(changes: Value) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Docker's images are everybody's.
        let owner = format!(
            "story-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let [base, core, fs] = ["initramfs", "core", "fs"].map(|name| format!("{owner}/{name}"));
        let mut settings = json!({
            "kernels": {
                "directory": "./kernels",
                "repositories": {
                    &base: {"script": "autobuild/build.sh", "commit": true},
                    &core: {"script": "autobuild/cores.sh", "base": &base},
                    &fs: {"script": "autobuild/cores.sh", "base": &base},
                },
            },
            // Images that base kernels made are built upon whatever is listed.
            "docker": {"images": ["docker.io/autobuilder/*"]},
        });
        merge(&mut settings, changes);
        let service = Service::start_with(settings);
        Self {
            base: service.repository(&base),
            core: service.repository(&core),
            fs: service.repository(&fs),
            service,
        }
    }

    /// Commits to the base: scripts, and what its kernel is to hold.
    fn change_base(&self, version: &str) -> String {
        let files = [
            ("autobuild/build.sh", BASE),
            ("autobuild/cores.sh", CORES),
            ("version", version),
        ];
        self.base.commit(&files)
    }

    async fn push_base(&self, branch: &str, version: &str) -> (String, String) {
        let commit = self.change_base(version);
        let build = self.service.pushed(&self.base.push(branch)).await;
        self.service.wait_for(&build, "succeeded").await;
        (build, commit)
    }

    async fn push_core(&self, branch: &str) -> (String, String) {
        let commit = self.core.commit(&[("core.c", branch)]);
        let build = self.service.pushed(&self.core.push(branch)).await;
        (build, commit)
    }

    /// As a person asks for a commit of the branch `main`.
    async fn build_core_by_hand(&self, commit: &str) -> String {
        let asked = json!({"repository": self.core.name, "branch": "main", "commit": commit});
        let answer = self.service.post("/api/v1/builds", asked).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        builds_in(&answer).remove(0)
    }

    fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.base.name)
    }

    /// As an operator does who needs the space. The engine may still be at work on it.
    async fn remove_image(&self, tag: &str) {
        let image = self.image(tag);
        until("the image is removed", async || {
            docker_answers(&["rmi", &image]).then_some(())
        })
        .await;
    }

    fn kernel(&self, name: &str) -> PathBuf {
        self.service.path("kernels").join(name)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        let ids = docker(&["images", "--quiet", "--no-trunc", &self.base.name]);
        for id in ids.lines() {
            docker_answers(&["rmi", "--force", id]);
        }
    }
}

fn target(link: &Path) -> String {
    let target = fs::read_link(link).expect("the stable name is a link");
    target.to_str().unwrap().to_owned()
}

fn inspect_image(name: &str) -> Value {
    let told: Value = serde_json::from_str(&docker(&["image", "inspect", name])).unwrap();
    told[0].clone()
}

#[tokio::test]
async fn a_base_is_published_and_committed_and_an_incremental_kernel_is_built_in_it() {
    let story = Kernels::start_with(json!({"builds": {
        "environment": {"VISIBLE": "in-no-image"},
        "secrets": {"DEPLOY": "hunter2-hunter2"},
    }}));
    let (base, commit) = story.push_base("main", "one").await;
    let file = format!("zero-os-main-generic-{}.efi", &commit[..10]);
    assert_eq!(fs::read_to_string(story.kernel(&file)).unwrap(), "one");
    assert_eq!(target(&story.kernel("zero-os-main-generic.efi")), file);
    let log = story.service.log(&base).await;
    assert_eq!(script_output(&log), "base: main initramfs\n");
    let view = story.service.build(&base).await;
    assert_eq!(
        (&view["kind"], &view["base"]),
        (&json!("kernel"), &Value::Null)
    );

    let image = inspect_image(&story.image("main"));
    let labels = &image["Config"]["Labels"];
    for (label, value) in [
        ("autobuilder.kernel.repository", story.base.name.as_str()),
        ("autobuilder.kernel.ref", "refs/heads/main"),
        ("autobuilder.kernel.commit", &commit),
        ("autobuilder.kernel.build", &base),
        ("autobuilder.instance", ""),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
    let told = image.to_string();
    for secret in ["hunter2", "in-no-image", "AUTOBUILDER_COMMIT"] {
        assert!(!told.contains(secret), "{secret}");
    }

    let (build, commit) = story.push_core("main").await;
    let view = story.service.wait_for(&build, "succeeded").await;
    let log = story.service.log(&build).await;
    let output = script_output(&log);
    let first = output.lines().next().unwrap();
    assert_eq!(first, "cores: main initramfs in /initramfs upon one");
    assert!(
        !output.lines().any(|line| line == "core"),
        "nothing is cloned: {output}"
    );
    assert!(output.ends_with("/target:\n"), "no stale kernel: {output}");
    let file = format!("zero-os-main-core-{}.efi", &commit[..10]);
    assert_eq!(
        fs::read_to_string(story.kernel(&file)).unwrap(),
        format!("core of {commit}\n")
    );
    assert_eq!(target(&story.kernel("zero-os-main.efi")), file);
    assert_eq!(view["image"], story.image("main"));
    assert_eq!(view["base"]["branch"], "main");
    assert_eq!(view["base"]["match"], "same");
    assert!(
        notes(&log)
            .iter()
            .any(|line| line.contains(&story.image("main"))
                && line.ends_with("the branch of the same name")),
        "{log}"
    );
}

/// That a boot loader would take it.
/// Source: <https://docs.kernel.org/arch/x86/boot.html>.
fn assert_is_a_kernel(file: &Path) {
    let kernel = fs::read(file).unwrap();
    assert!(kernel.len() > 1 << 20, "{} bytes", kernel.len());
    assert_eq!(
        (&kernel[..2], &kernel[0x202..0x206]),
        (&b"MZ"[..], &b"HdrS"[..])
    );
}

#[tokio::test]
async fn a_kernel_of_debians_is_built_and_built_upon() {
    let story = Kernels::start_with(json!({"docker": {
        "default_image": "autobuilder/debian:12",
        "memory": "1GiB",
    }}));
    let cores = "#!/bin/sh\ncp /kernel/boot/vmlinuz-* /target/vmlinuz.efi\n";
    let files = [
        ("autobuild/build.sh", DEBIAN),
        ("autobuild/cores.sh", cores),
    ];
    story.base.commit(&files);
    let build = story.service.pushed(&story.base.push("main")).await;
    let minutes = Duration::from_secs(300);
    story
        .service
        .wait_at_most(minutes, &build, "succeeded")
        .await;
    assert_is_a_kernel(&story.kernel("zero-os-main-generic.efi"));
    let (build, _) = story.push_core("main").await;
    story.service.wait_for(&build, "succeeded").await;
    assert_is_a_kernel(&story.kernel("zero-os-main.efi"));
    let both = ["zero-os-main-generic.efi", "zero-os-main.efi"]
        .map(|name| sha256(&fs::read(story.kernel(name)).unwrap()));
    assert_eq!(both[0], both[1], "the incremental kernel is the base's");
}

#[tokio::test]
async fn a_tag_is_a_release() {
    let story = Kernels::start();
    story.change_base("released");
    let build = story.service.pushed(&story.base.push_tag("v1.4")).await;
    story.service.wait_for(&build, "succeeded").await;
    let log = story.service.log(&build).await;
    assert_eq!(script_output(&log), "base: v1.4 initramfs release\n");
    story.core.commit(&[("core.c", "")]);
    let build = story.service.pushed(&story.core.push_tag("v1.4")).await;
    let view = story.service.wait_for(&build, "succeeded").await;
    let log = story.service.log(&build).await;
    assert!(
        script_output(&log).starts_with("cores: v1.4 initramfs release in /initramfs"),
        "{log}"
    );
    assert_eq!(view["base"]["branch"], "v1.4");
    assert!(story.kernel("zero-os-v1.4-generic.efi").exists());
    assert!(story.kernel("zero-os-v1.4.efi").exists());
}

#[tokio::test]
async fn the_base_is_the_one_that_the_branch_is_a_variant_of_else_master() {
    let story = Kernels::start();
    for branch in ["1.1.0", "1.1.0-alpha", "master", "fix#1"] {
        story.push_base(branch, branch).await;
    }
    for (on, expected, how) in [
        ("1.1.0-alpha-issue-155", "1.1.0-alpha", "version"),
        ("1.1.0-beta", "1.1.0", "version"),
        ("fix#1", "fix#1", "same"),
        ("other", "master", "fallback"),
    ] {
        let (build, _) = story.push_core(on).await;
        let view = story.service.wait_for(&build, "succeeded").await;
        assert_eq!(
            (&view["base"]["branch"], &view["base"]["match"]),
            (&json!(expected), &json!(how)),
            "{on}"
        );
        let log = story.service.log(&build).await;
        assert!(log.contains(&format!("upon {expected}\n")), "{on}: {log}");
    }
}

#[tokio::test]
async fn an_image_that_another_service_made_is_built_upon() {
    let story = Kernels::start();
    // What the older service left: no label, and the same name.
    let script = "mkdir -p /initramfs/autobuild; echo older > /made-by-base; \
                  printf '#!/bin/sh\\ncat /made-by-base > /target/vmlinuz.efi\\n' > /initramfs/autobuild/cores.sh";
    let container = docker(&[
        "create",
        "--network=none",
        "autobuilder/busybox:test",
        "sh",
        "-c",
        script,
    ]);
    docker(&["start", "--attach", &container]);
    docker(&["commit", &container, &story.image("master")]);
    docker(&["rm", &container]);
    let (build, commit) = story.push_core("feature").await;
    let view = story.service.wait_for(&build, "succeeded").await;
    assert_eq!(view["base"]["commit"], Value::Null);
    let file = format!("zero-os-feature-core-{}.efi", &commit[..10]);
    assert_eq!(fs::read_to_string(story.kernel(&file)).unwrap(), "older\n");
}

#[tokio::test]
async fn without_a_base_the_build_errors_and_names_what_there_is() {
    let story = Kernels::start();
    let (build, _) = story.push_core("feature").await;
    let reason = story.service.wait_for(&build, "errored").await["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(reason.contains("there is none at all"), "{reason}");
    for branch in ["1.0", "2.0"] {
        story.push_base(branch, branch).await;
    }
    let (build, _) = story.push_core("other").await;
    let reason = story.service.wait_for(&build, "errored").await["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(
        reason.contains("there are 1.0, 2.0, and none of master"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_script_that_fails_or_leaves_no_kernel_makes_no_image_and_no_name() {
    let story = Kernels::start();
    for (script, expected) in [
        ("#!/bin/sh\necho half > /target/vmlinuz.efi\nexit 3\n", "3"),
        ("#!/bin/sh\ntrue\n", "vmlinuz.efi"),
    ] {
        story.base.commit(&[("autobuild/build.sh", script)]);
        let build = story.service.pushed(&story.base.push("main")).await;
        let reason = story.service.wait_for(&build, "failed").await["reason"].clone();
        assert!(reason.as_str().unwrap().contains(expected), "{reason}");
        assert!(!docker_answers(&["image", "inspect", &story.image("main")]));
        assert!(!story.service.path("kernels").exists());
    }
}

#[tokio::test]
async fn a_newer_base_takes_the_name_and_the_older_image_goes() {
    let story = Kernels::start();
    let (first, _) = story.push_base("main", "one").await;
    let older = inspect_image(&story.image("main"))["Id"].clone();
    let older = older.as_str().unwrap();
    let (second, newest) = story.push_base("main", "two").await;
    let image = inspect_image(&story.image("main"));
    assert_eq!(
        image["Config"]["Labels"]["autobuilder.kernel.build"],
        second.as_str()
    );
    // Whoever comes first removes it, and says so: this service or that of another story.
    assert!(!docker_answers(&["image", "inspect", older]), "{older}");

    let rebuild = story.service.rebuild(&first).await;
    story.service.wait_for(&rebuild, "succeeded").await;
    let log = story.service.log(&rebuild).await;
    let stays: Vec<&str> = notes(&log)
        .into_iter()
        .filter(|line| line.ends_with(&format!("stays at {}, which is newer", &newest[..10])))
        .collect();
    assert_eq!(stays.len(), 2, "the image and the kernel: {log}");
    let image = inspect_image(&story.image("main"));
    assert_eq!(
        image["Config"]["Labels"]["autobuilder.kernel.build"],
        second.as_str()
    );
    assert_eq!(
        target(&story.kernel("zero-os-main-generic.efi")),
        format!("zero-os-main-generic-{}.efi", &newest[..10])
    );
}

#[tokio::test]
async fn two_repositories_share_a_stable_name_and_each_moves_it_only_forward() {
    let story = Kernels::start();
    let stable = story.kernel("zero-os-main.efi");
    story.push_base("main", "one").await;
    // Pushed together with the next one: nobody has heard of it.
    let older = story.core.commit(&[("core.c", "older")]);
    let (head_build, head) = story.push_core("main").await;
    story.service.wait_for(&head_build, "succeeded").await;
    let of_core = format!("zero-os-main-core-{}.efi", &head[..10]);
    assert_eq!(target(&stable), of_core);
    let fs = story.fs.commit(&[("fs.c", "")]);
    let build = story.service.pushed(&story.fs.push("main")).await;
    story.service.wait_for(&build, "succeeded").await;
    let of_fs = format!("zero-os-main-fs-{}.efi", &fs[..10]);
    assert_eq!(target(&stable), of_fs);

    let by_hand = story.build_core_by_hand(&older).await;
    story.service.wait_for(&by_hand, "succeeded").await;
    assert_eq!(target(&stable), of_fs, "an older commit took the name");
    let log = story.service.log(&by_hand).await;
    let stays = format!(
        "zero-os-main.efi stays at {} of {}: {} of {}, which is newer, was published before",
        &fs[..10],
        story.fs.name,
        &head[..10],
        story.core.name
    );
    assert!(notes(&log).contains(&stays.as_str()), "{log}");

    // For a kernel upon a new base. Its push came before that of the other repository.
    let again = story.service.rebuild(&head_build).await;
    story.service.wait_for(&again, "succeeded").await;
    assert_eq!(target(&stable), of_core);
}

#[tokio::test]
async fn a_kernel_that_is_made_of_a_later_commit_does_not_replace_the_right_one() {
    let hub = Model::start();
    hub.accept("token");
    let settings = json!({"url": hub.url(), "username": "acme", "token": "token"});
    let story = Kernels::start_with(json!({"hub": settings}));
    let uploads = || hub.requests(Route::Upload).len();
    story.push_base("main", "one").await;
    let (first_build, first) = story.push_core("main").await;
    story.service.wait_for(&first_build, "succeeded").await;
    let file = story.kernel(&format!("zero-os-main-core-{}.efi", &first[..10]));
    fs::write(&file, "the right one").unwrap();

    // At the branch's head it is replaced.
    let again = story.service.rebuild(&first_build).await;
    story.service.wait_for(&again, "succeeded").await;
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!("core of {first}\n")
    );
    let log = story.service.log(&again).await;
    assert!(!log.contains("fetches main itself"), "{log}");
    assert_eq!(uploads(), 3);

    fs::write(&file, "the right one").unwrap();
    let (second_build, second) = story.push_core("main").await;
    story.service.wait_for(&second_build, "succeeded").await;
    let again = story.service.rebuild(&first_build).await;
    story.service.wait_for(&again, "succeeded").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "the right one");
    assert_eq!(uploads(), 4, "the base, one twice, and the next");
    let log = story.service.log(&again).await;
    let (first, second) = (&first[..10], &second[..10]);
    for told in [
        format!(
            "the script fetches main itself, which is now at {second}, not at this build's {first}"
        ),
        format!(
            "zero-os-main-core-{first}.efi is kept as it is: this kernel was made of {second}, not of {first}"
        ),
    ] {
        assert!(notes(&log).contains(&told.as_str()), "{told}: {log}");
    }
}

#[tokio::test]
async fn git_is_not_asked_about_what_the_order_of_pushes_decides() {
    let story = Kernels::start();
    story.push_base("main", "one").await;
    let (older, _) = story.push_core("main").await;
    story.service.wait_for(&older, "succeeded").await;
    let (newer, commit) = story.push_core("main").await;
    story.service.wait_for(&newer, "succeeded").await;

    // GitHub is away, and nothing is left of what was fetched.
    let mirror = format!("data/mirrors/{}.git", story.core.name);
    fs::remove_dir_all(story.service.path(&mirror)).unwrap();
    fs::rename(&story.core.bare, story.core.bare.with_extension("away")).unwrap();
    let again = story.service.rebuild(&older).await;
    story.service.wait_for(&again, "succeeded").await;
    let file = format!("zero-os-main-core-{}.efi", &commit[..10]);
    assert_eq!(target(&story.kernel("zero-os-main.efi")), file);
}

#[tokio::test]
async fn a_base_whose_image_was_removed_is_missed_by_name() {
    let story = Kernels::start();
    let (base, _) = story.push_base("topic", "one").await;
    story.remove_image("topic").await;
    let (build, _) = story.push_core("topic").await;
    let reason = story.service.wait_for(&build, "errored").await["reason"].clone();
    let reason = reason.as_str().unwrap();
    for part in [
        story.image("topic").as_str(),
        &base,
        "no longer on the Docker host",
        "rebuild_base",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }

    // A branch that is gone as well is not missed.
    story.push_base("master", "two").await;
    story.base.git(&["push", "--quiet", "origin", ":topic"]);
    let (build, _) = story.push_core("topic").await;
    let view = story.service.wait_for(&build, "succeeded").await;
    assert_eq!(view["base"]["branch"], "master");
}

/// With `rebuild_base`, and one place only: the base needs it.
fn rebuilding() -> Kernels {
    let mut story = Kernels::start_with(json!({"builds": {"concurrency": 1}}));
    let repositories = json!({&story.core.name: {"rebuild_base": true}});
    story
        .service
        .change_settings(json!({"kernels": {"repositories": repositories}}));
    story
}

#[tokio::test]
async fn a_base_whose_image_was_removed_is_built_first_where_that_is_wanted() {
    let story = rebuilding();
    let (first, _) = story.push_base("main", "one").await;
    story.remove_image("main").await;
    let (build, _) = story.push_core("main").await;
    let view = story.service.wait_for(&build, "succeeded").await;
    assert_eq!(view["attempt"], 1);
    let log = story.service.log(&build).await;
    assert!(script_output(&log).contains("upon one"), "{log}");
    let builds = story.service.builds().await;
    let base = builds
        .iter()
        .find(|other| other["cause"] == json!({"type": "base", "of": build}))
        .expect("the base was built for it");
    assert_ne!(base["id"], first.as_str());
    assert!(log.contains(&format!(
        "building the base first, as build {}",
        base["id"].as_str().unwrap()
    )));
    let image = inspect_image(&story.image("main"));
    assert_eq!(
        image["Config"]["Labels"]["autobuilder.kernel.build"],
        base["id"]
    );
}

#[tokio::test]
async fn what_waits_for_a_base_waits_over_a_restart_and_errors_with_it() {
    let mut story = rebuilding();
    story.push_base("main", "one").await;
    story.remove_image("main").await;
    // The base's branch has moved on, to what does not build.
    story.base.commit(&[(
        "autobuild/build.sh",
        "#!/bin/sh\nuntil [ -e /released ]; do sleep 0.1; done\nexit 3\n",
    )]);
    let broken = story.service.pushed(&story.base.push("main")).await;
    story.service.wait_for(&broken, "building").await;
    let (build, _) = story.push_core("main").await;
    // One place: it is asked for when the broken base has ended.
    story.service.release(&broken);
    story.service.wait_for(&broken, "failed").await;
    let base = until("the base is built for it", async || {
        let builds = story.service.builds().await;
        builds
            .iter()
            .find(|other| other["cause"]["type"] == "base")
            .map(|base| base["id"].as_str().unwrap().to_owned())
    })
    .await;
    story.service.wait_for(&base, "building").await;
    story.service.kill();
    story.service.start_again();
    let waiting = story.service.build(&build).await;
    assert_eq!(waiting["state"], "queued", "{waiting}");
    let told = waiting["waiting"].as_str().unwrap();
    assert!(told.contains(&base), "{told}");
    story.service.release(&base);
    let reason = story.service.wait_for(&build, "errored").await["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(
        reason.contains(&base) && reason.contains("failed"),
        "{reason}"
    );
}

/// A base's script that holds still until it is released.
const HELD: &str = "#!/bin/sh
until [ -e /released ]; do sleep 0.1; done
cat version > /made-by-base
cat version > /target/vmlinuz.efi
";

impl Kernels {
    async fn push_held_base(&self, version: &str) -> String {
        let files = [("autobuild/build.sh", HELD), ("version", version)];
        self.base.commit(&files);
        self.service.pushed(&self.base.push("main")).await
    }

    async fn wait_until_it_waits_for(&self, build: &str, base: &str) {
        until("it waits for its base", async || {
            let waiting = self.service.build(build).await["waiting"].clone();
            waiting.as_str()?.contains(base).then_some(())
        })
        .await;
    }
}

/// [`rebuilding`], with room for two at once.
fn rebuilding_with_room() -> Kernels {
    let mut story = rebuilding();
    story
        .service
        .change_settings(json!({"builds": {"concurrency": 2}}));
    story
}

#[tokio::test]
async fn what_waits_for_a_base_that_is_superseded_goes_on_after_its_replacement() {
    let story = rebuilding_with_room();
    story.push_base("main", "one").await;
    story.remove_image("main").await;
    let running = story.push_held_base("two").await;
    story.service.wait_for(&running, "building").await;
    let older = story.push_held_base("three").await;
    let (build, _) = story.push_core("main").await;
    story.wait_until_it_waits_for(&build, &older).await;
    let newer = story.push_held_base("four").await;
    story.service.wait_for(&older, "superseded").await;
    story.wait_until_it_waits_for(&build, &newer).await;
    story.service.release(&running);
    story.service.wait_for(&newer, "building").await;
    // The image that the other made is not the newest.
    assert_eq!(story.service.state(&build).await, "queued");
    story.service.release(&newer);
    story.service.wait_for(&build, "succeeded").await;
    let log = story.service.log(&build).await;
    assert!(script_output(&log).contains("upon four"), "{log}");
    for (base, end) in [(&older, "superseded"), (&newer, "succeeded")] {
        let told = format!("build {base} of the base ended as {end}: preparing again");
        assert!(notes(&log).contains(&told.as_str()), "{told}: {log}");
    }
    assert!(!log.contains("the service was restarted"), "{log}");
}

#[tokio::test]
async fn what_waits_for_a_base_does_not_wait_for_a_build_of_an_older_commit() {
    let story = rebuilding_with_room();
    let older = story.push_held_base("one").await;
    story.service.wait_for(&older, "building").await;
    story.service.release(&older);
    story.service.wait_for(&older, "succeeded").await;
    story.push_base("main", "two").await;
    story.remove_image("main").await;
    let rebuild = story.service.rebuild(&older).await;
    story.service.wait_for(&rebuild, "building").await;
    let (build, _) = story.push_core("main").await;
    let base = until("the base is built for it", async || {
        let builds = story.service.builds().await;
        let mut builds = builds.iter();
        let base = builds.find(|other| other["cause"]["type"] == "base")?;
        Some(base["id"].as_str()?.to_owned())
    })
    .await;
    story.wait_until_it_waits_for(&build, &base).await;
    story.service.release(&rebuild);
    story.service.wait_for(&build, "succeeded").await;
    let log = story.service.log(&build).await;
    assert!(script_output(&log).contains("upon two"), "{log}");
}
