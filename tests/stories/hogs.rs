//! Builds that take all they can get of the machine, each beside one that wants little: the hog
//! ends with its sentence, and the other notices nothing.
//!
//! `AUTOBUILDER_FULL_LOAD=1` lets them come again and again: `make chaos`.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{HOLD, RESULT, SOON, Service, command_lines, in_full, script_output};

/// Runs hogs of this kind at three of four places, and at the fourth somebody who counts to thirty.
/// Returns how the hogs' reasons read.
async fn beside_another(what: &str, docker: Value, script: &str) -> Vec<String> {
    let settings = json!({"builds": {"concurrency": 4}, "docker": docker});
    let mut service = Service::start_with(settings);
    service.takes_at_most(30 * SOON);
    let quiet = service.tracked("acme/quiet").await;
    let counting = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; sleep 0.1; done\n";
    let alone = format!("#!/bin/sh\n{counting}{RESULT}");
    let beside = format!("#!/bin/sh\n{HOLD}{counting}{RESULT}");
    let counted: String = (1..=30).map(|number| format!("line {number}\n")).collect();
    // By this name its processes are known from all others of this machine.
    let name = format!("hog-{:x}.sh", getrandom::u64().unwrap());
    let recipe = format!("buildscripts: [{name}]\n{name}: {{artifact: result.tar.gz}}\n");
    let mut hogs = Vec::new();
    for number in 0..3 {
        let repository = format!("acme/hog-{number}");
        hogs.push(service.repository(&repository));
        service.configure(&repository, "main", &recipe).await;
    }
    let begun = Instant::now();
    let build = service.push_script(&quiet, &alone).await;
    service.wait_for(&build, "succeeded").await;
    println!("{what}: alone it takes {:.1?}", begun.elapsed());

    let rounds = if in_full() { 10 } else { 1 };
    let mut reasons = Vec::new();
    let sampler = service.sample();
    for _ in 0..rounds {
        let other = service.push_script(&quiet, &beside).await;
        service.wait_for_log(&other, "holding").await;
        let mut builds = Vec::new();
        for hog in &hogs {
            hog.commit(&[(&name, script)]);
            builds.push(service.pushed(&hog.push("main")).await);
        }
        for build in &builds {
            service.wait_for_start(build).await;
        }
        let begun = Instant::now();
        service.release(&other);
        let ended = service.wait_for(&other, "succeeded").await;
        println!("{what}: beside hogs it takes {:.1?}", begun.elapsed());
        assert_eq!(ended["attempt"], 1);
        let output = script_output(&service.log(&other).await);
        assert_eq!(output, format!("holding\n{counted}"));
        let of_other = running(&ended);
        for build in &builds {
            let ended = service.wait_for(build, "failed").await;
            assert_eq!(ended["attempt"], 1, "it is not tried again");
            let of_hog = running(&ended);
            let side_by_side = of_other.0 < of_hog.0 && of_hog.0 < of_other.1;
            assert!(side_by_side, "{of_other:?}, {of_hog:?}");
            reasons.push(ended["reason"].as_str().unwrap().to_owned());
        }
        println!("{what}: it was over after {:.1?}", begun.elapsed());
    }
    sampler.hold(what);
    // Their containers are gone, which the story's end sees to, and all that was in them.
    crate::support::until("no process of a hog is left", async || {
        let left = command_lines(1).iter().any(|line| line.contains(&name));
        (!left).then_some(())
    })
    .await;
    reasons
}

/// From when to when a build's script ran, as text that sorts.
fn running(build: &Value) -> (&str, &str) {
    let mut steps = build["steps"].as_array().unwrap().iter();
    let building = steps.find(|step| step["name"] == "building").unwrap();
    let time = |of: &str| building[of].as_str().unwrap();
    (time("started"), time("ended"))
}

#[tokio::test]
async fn a_fork_bomb_ends_and_another_build_goes_on() {
    let bomb = "#!/bin/sh\nbomb() { bomb | bomb & }\nbomb\nsleep 2\nbomb\nsleep 2\nexit 1\n";
    let reasons = beside_another("fork bombs", json!({"pids": 100}), bomb).await;
    for reason in reasons {
        assert!(reason.contains("limit of 100 processes"), "{reason}");
    }
}

#[tokio::test]
async fn a_memory_hog_ends_and_another_build_goes_on() {
    // Several, each of which doubles what it has, and files that are only in memory.
    let hog = r#"#!/bin/sh
take() { awk 'BEGIN { s = "x"; while (1) s = s s }'; }
for i in 1 2 3 4; do take & done
dd if=/dev/zero of=/dev/shm/hog bs=1048576 count=60
take
exit 1
"#;
    let reasons = beside_another("memory hogs", json!({"memory": "64MiB"}), hog).await;
    for reason in reasons {
        assert!(reason.contains("killed for memory (limit 64"), "{reason}");
    }
}

#[tokio::test]
async fn a_disk_hog_ends_and_another_build_goes_on() {
    // Into a volume, into the container's layer, and into a file that has no name any more.
    let pause = if in_full() { "0" } else { "0.1" };
    let hog = format!(
        "#!/bin/sh
exec 3>/gone; rm /gone
while true; do
    i=$((i+1))
    dd if=/dev/zero of=/target/$i bs=1048576 count=2 2>/dev/null
    dd if=/dev/zero of=/hog-$i bs=1048576 count=2 2>/dev/null
    dd if=/dev/zero bs=1048576 count=2 2>/dev/null >&3
    sleep {pause}
done
"
    );
    let reasons = beside_another("disk hogs", json!({"disk": "50MiB"}), &hog).await;
    for reason in reasons {
        assert!(reason.contains("more than the limit of 50"), "{reason}");
    }
}
