//! A build that takes more than it may.

use super::*;

#[tokio::test]
async fn a_memory_kill_is_reported_and_the_runner_outlives_it() {
    // A shell's variable that doubles until there is no more memory.
    let script = "x=0123456789abcdef; while :; do x=$x$x; done; echo never";
    let spec = ContainerSpec {
        memory: Some(64 << 20),
        ..spec()
    };
    let container = Container::start(&spec, &job(script)).await;
    let log = container.log().await;
    assert_eq!(log.exit(), Exit::Signal(9));
    assert!(log.outcome().memory_kills >= 1, "{log:?}");
}

#[tokio::test]
async fn a_memory_kill_of_a_child_is_reported_though_the_script_goes_on() {
    let script = "sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'; echo went on; exit 0";
    let spec = ContainerSpec {
        memory: Some(64 << 20),
        ..spec()
    };
    let log = Container::start(&spec, &job(script)).await.log().await;
    assert!(log.text().ends_with("went on\n"), "{}", log.text());
    assert!(log.outcome().memory_kills >= 1);
}

#[tokio::test]
async fn a_fork_bomb_hits_the_limit_of_pids_and_is_cleaned_away() {
    let script = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo never";
    let container = Container::start(
        &ContainerSpec {
            pids: Some(40),
            ..spec()
        },
        &job(script),
    )
    .await;
    let log = container.log().await;
    assert_ne!(log.exit(), Exit::Code(0));
    assert!(log.outcome().pids_hits >= 1, "{log:?}");
    assert!(!container.exec("ps -o args").contains("sleep"));
}

#[tokio::test]
async fn disk_use_is_what_a_build_has_written_anywhere() {
    let script = "
        dd if=/dev/zero of=/file bs=1M count=5
        dd if=/dev/zero of=/target/file bs=1M count=7
        dd if=/dev/zero of=/etc/hosts bs=1M count=3
        echo done";
    let container = Container::of(script).await;
    container.log().await;
    assert_takes(&container, 15).await;
}

#[tokio::test]
async fn disk_use_is_what_deleted_files_take_while_they_are_open() {
    // Once in the container's layer, once in a volume; the third by two processes and two numbers.
    let script = "
        exec 3>/file; rm /file; dd if=/dev/zero bs=1M count=5 >&3
        exec 4>/target/file; rm /target/file; dd if=/dev/zero bs=1M count=7 >&4
        exec 5>/target/other 6>&5; rm /target/other; dd if=/dev/zero bs=1M count=3 >&5
        echo written; sleep 1000";
    let container = Container::of(script).await;
    container.says("written").await;
    assert_takes(&container, 15).await;
}

/// Deeper than the 4096 bytes of the longest path.
const DOWN: &str = "name=$(printf %200s | tr ' ' x); i=0; while [ $i -lt 40 ]; do mkdir $name; cd -P $name; i=$((i+1)); done";

#[tokio::test]
async fn disk_use_is_what_lies_too_deep_for_a_path() {
    let script = format!(
        "cd /target; {DOWN}; dd if=/dev/zero of=file bs=1M count=7; echo written; sleep 1000"
    );
    let container = Container::of(&script).await;
    container.says("written").await;
    assert_takes(&container, 7).await;
}

#[tokio::test]
async fn disk_use_that_docker_cannot_count_is_said_to_be_unknown() {
    let script = format!(
        "dd if=/dev/zero of=/target/file bs=1M count=3; cd /; {DOWN}; echo written; sleep 1000"
    );
    let container = Container::of(&script).await;
    container.says("written").await;
    let used = container.docker.disk_usage(&container.id).await.unwrap();
    assert!((3 << 20..5 << 20).contains(&used.at_least), "{used:?}");
    let unknown = used
        .unknown
        .expect("docker gives up below such a path")
        .to_string();
    assert!(unknown.contains("layer"), "{unknown}");
}

#[tokio::test]
async fn disk_use_is_known_in_part_where_the_runner_cannot_be_asked() {
    let script = "dd if=/dev/zero of=/file bs=1M count=5; echo written; sleep 1000";
    let container = Container::of(script).await;
    container.says("written").await;
    container.exec("chmod 0 /.autobuilder/runner");
    let used = container.docker.disk_usage(&container.id).await.unwrap();
    assert!((5 << 20..6 << 20).contains(&used.at_least), "{used:?}");
    assert!(used.unknown.is_some());
}

#[tokio::test]
async fn disk_use_of_a_container_with_no_process_to_spare_is_not_said_to_be_less() {
    // A shell that cannot fork ends; this one then is itself again, and takes what has become free.
    let script = r#"dd if=/dev/zero of=/file bs=1M count=5; dd if=/dev/zero of=/target/file bs=1M count=3
        mkfifo /tmp/none
        export AGAIN='trap "exec sh -c \"\$AGAIN\"" EXIT; read -t 1 x <>/tmp/none; while :; do sleep 1000 & done'
        echo full; exec sh -c "$AGAIN" 2>/dev/null"#;
    let spec = ContainerSpec {
        pids: Some(40),
        ..spec()
    };
    let container = Container::start(&spec, &job(script)).await;
    container.says("full").await;
    // Mostly the runner can count all the same. Where it cannot be started, Docker's part is known.
    for _ in 0..40 {
        let used = container.docker.disk_usage(&container.id).await.unwrap();
        let mebibytes = used.at_least >> 20;
        match &used.unknown {
            None => assert!((8..10).contains(&mebibytes), "{used:?}"),
            Some(why) => {
                assert!((5..7).contains(&mebibytes), "{used:?}");
                assert!(why.to_string().contains("exec failed"), "{why}");
            }
        }
    }
}

#[tokio::test]
async fn a_script_that_replaces_the_runner_is_not_asked_in_its_place() {
    let script = "
        printf '#!/bin/sh\necho 0\n' > /tmp/runner; chmod +x /tmp/runner
        mv /tmp/runner /.autobuilder/runner
        dd if=/dev/zero of=/target/file bs=1M count=7
        echo written; sleep 1000";
    let container = Container::of(script).await;
    container.says("written").await;
    assert_eq!(container.exec("/.autobuilder/runner used"), "0\n");
    assert_takes(&container, 7).await;
}

async fn assert_takes(container: &Container, mebibytes: u64) {
    let used = container.docker.disk_usage(&container.id).await.unwrap();
    let expected = mebibytes << 20..(mebibytes + 2) << 20;
    assert!(expected.contains(&used.at_least), "{used:?}");
    assert!(used.unknown.is_none(), "{used:?}");
}

#[tokio::test]
async fn a_disk_limit_that_the_driver_cannot_hold_is_no_error() {
    let docker = docker().await;
    let spec = ContainerSpec {
        disk: Some(1 << 30),
        ..spec()
    };
    let created = docker.create(&spec).await.unwrap();
    let container = Container {
        docker,
        id: created.id,
    };
    container.run(&job("exit 0")).await;
    assert_eq!(container.log().await.exit(), Exit::Code(0));
}
