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
    let script = "dd if=/dev/zero of=/file bs=1M count=5; dd if=/dev/zero of=/target/file bs=1M count=7; echo done";
    let container = Container::of(script).await;
    container.log().await;
    let used = container.docker.disk_usage(&container.id).await.unwrap();
    assert!((12 << 20..15 << 20).contains(&used), "{used}");
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
