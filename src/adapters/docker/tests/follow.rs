//! Readers come and go; the log is whole.

use super::*;
use bytes::Bytes;

/// Over 20 MB, each line another one.
const LARGE: &str = "seq 1 3000000; echo the end";

fn large() -> Vec<u8> {
    let mut expected: Vec<u8> = (1..=3_000_000)
        .flat_map(|i| format!("{i}\n").into_bytes())
        .collect();
    expected.extend_from_slice(b"the end\n");
    expected
}

#[tokio::test]
async fn a_reader_that_dies_six_times_has_every_byte_once() {
    let container = Container::of(LARGE).await;
    let mut bytes = Vec::new();
    for _ in 0..6 {
        let mut frames = container.docker.follow(&container.id, bytes.len() as u64);
        let enough = bytes.len() + 3_000_000;
        while bytes.len() < enough {
            match tokio::time::timeout(DEADLINE, frames.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap()
            {
                Frame::Chunk {
                    bytes: more,
                    offset,
                    ..
                } => {
                    assert_eq!(offset, bytes.len() as u64);
                    bytes.extend_from_slice(&more);
                }
                other => panic!("too early: {other:?}"),
            }
        }
    }
    let rest = Log::read(container.docker.follow(&container.id, bytes.len() as u64))
        .await
        .unwrap();
    bytes.extend_from_slice(&rest.bytes);
    assert!(bytes == large(), "{} bytes", bytes.len());
    assert_eq!(rest.outcome().spool, bytes.len() as u64);
    until("no follower is left", async || {
        !container.exec("ps -o args").contains("runner follow")
    })
    .await;
}

#[tokio::test]
async fn a_follower_that_is_killed_is_told_from_an_end() {
    let container = Container::of("echo begun; sleep 1000").await;
    let mut frames = container.docker.follow(&container.id, 0);
    let first = frames.next().await.unwrap().unwrap();
    assert!(
        matches!(first, Frame::Chunk { offset: 0, ref bytes, .. } if bytes == "begun\n"),
        "{first:?}"
    );
    // Not this shell, in whose own arguments the word stands.
    container.exec("for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || ! grep -q follow $p/cmdline || kill -9 ${p#/proc/}; done");
    let lost = tokio::time::timeout(DEADLINE, frames.next())
        .await
        .expect("it is noticed");
    let error = lost.unwrap().unwrap_err();
    assert!(matches!(error, DockerError::FollowerLost(_)), "{error}");
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn a_newer_follower_ends_the_older() {
    let container = Container::of("echo begun; sleep 1000").await;
    let mut older = container.docker.follow(&container.id, 0);
    older.next().await.unwrap().unwrap();
    let mut newer = container.docker.follow(&container.id, 0);
    newer.next().await.unwrap().unwrap();
    let error = older.next().await.unwrap().unwrap_err();
    assert!(matches!(error, DockerError::FollowerLost(_)), "{error}");
}

#[tokio::test]
async fn the_tail_of_a_killed_container_comes_from_its_archive() {
    let container = Container::of("seq 1 500000; echo the end; sleep 1000").await;
    let mut frames = container.docker.follow(&container.id, 0);
    let mut bytes = Vec::new();
    while bytes.len() < 100_000 {
        if let Frame::Chunk { bytes: more, .. } = frames.next().await.unwrap().unwrap() {
            bytes.extend_from_slice(&more);
        }
    }
    until("all is written", async || {
        container.exec("tail -n 1 /.autobuilder/spool") == "the end\n"
    })
    .await;
    container.docker.kill(&container.id).await.unwrap();
    container
        .docker
        .kill(&container.id)
        .await
        .expect("killing it again is no error");

    let error = loop {
        match frames.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    // The engine may tell of the follower's end before it knows of the container's.
    assert!(
        matches!(
            error,
            DockerError::NotRunning(_) | DockerError::FollowerLost(_)
        ),
        "{error}"
    );
    let again = container
        .docker
        .follow(&container.id, 0)
        .next()
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(again, DockerError::NotRunning(_)), "{again}");

    let offset = bytes.len() as u64;
    let mut rest = std::pin::pin!(container.docker.spool_of_stopped(
        &container.id,
        offset,
        MAX_LOG
    ));
    while let Some(frame) = rest.next().await {
        let Frame::Chunk {
            offset,
            bytes: more,
            ..
        } = frame.unwrap()
        else {
            panic!("it never ended")
        };
        assert_eq!(offset, bytes.len() as u64);
        bytes.extend_from_slice(&more);
    }
    let expected: String = (1..=500_000)
        .map(|i| format!("{i}\n"))
        .chain(["the end\n".to_owned()])
        .collect();
    assert!(bytes == expected.as_bytes());

    let none = Log::read(container.docker.spool_of_stopped(
        &container.id,
        bytes.len() as u64,
        MAX_LOG,
    ))
    .await
    .unwrap();
    assert_eq!((none.bytes.len(), none.outcome), (0, None));
}

#[tokio::test]
async fn the_outcome_of_a_stopped_container_is_there_if_the_script_had_ended() {
    let container = Container::of("echo hello; exit 4").await;
    container.log().await;
    container.docker.kill(&container.id).await.unwrap();
    let log = Log::read(container.docker.spool_of_stopped(&container.id, 2, MAX_LOG))
        .await
        .unwrap();
    assert_eq!((log.text().as_str(), log.exit()), ("llo\n", Exit::Code(4)));
}

#[tokio::test]
async fn a_spool_of_terabytes_is_read_up_to_its_limit() {
    let container = Container::of("echo hello; sleep 1000").await;
    container.says("hello").await;
    container.exec("dd if=/dev/zero of=/.autobuilder/spool bs=1M count=1 seek=4M conv=notrunc");
    container.docker.kill(&container.id).await.unwrap();
    let read = |offset, max_log| {
        let rest = container
            .docker
            .spool_of_stopped(&container.id, offset, max_log);
        tokio::time::timeout(DEADLINE, Log::read(rest))
    };
    let log = read(0, 100_000).await.expect("it ends").unwrap();
    assert_eq!((log.bytes.len(), log.limit), (100_000, true));
    assert!(log.text().starts_with("hello\n"));
    // A follower may have come further before.
    let log = read(1 << 41, 100_000).await.expect("it ends").unwrap();
    assert_eq!(log.bytes.len(), 0);
}

#[tokio::test]
async fn a_container_that_is_gone_is_said_to_be() {
    let docker = docker().await;
    let frame = docker
        .follow("autobuilder-test-none", 0)
        .next()
        .await
        .unwrap();
    assert!(matches!(frame, Err(DockerError::NotFound(_))), "{frame:?}");
    let mut frames = std::pin::pin!(docker.spool_of_stopped("autobuilder-test-none", 0, MAX_LOG));
    let frame = frames.next().await.unwrap();
    assert!(matches!(frame, Err(DockerError::NotFound(_))), "{frame:?}");
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn past_the_limit_the_script_goes_on_and_the_rest_is_counted() {
    let job = Job {
        max_log: 1000,
        ..job("seq 1 100000; exit 5")
    };
    let container = Container::start(&spec(), &job).await;
    let log = container.log().await;
    let all: String = (1..=100_000).map(|i| format!("{i}\n")).collect();
    assert_eq!(log.text(), all[..1000]);
    assert!(log.limit);
    assert_eq!(log.exit(), Exit::Code(5));
    assert_eq!(
        (log.outcome().spool, log.outcome().dropped),
        (1000, all.len() as u64 - 1000)
    );
    // A reader that comes later hears of it, too.
    let late = Log::read(container.docker.follow(&container.id, 1000))
        .await
        .unwrap();
    assert!(late.limit && late.bytes.is_empty());
}

#[tokio::test]
async fn chunks_are_small_and_their_times_do_not_run_backwards() {
    let container = Container::of("seq 1 200000").await;
    let mut frames = container.docker.follow(&container.id, 0);
    let mut last = 0;
    while let Some(frame) = frames.next().await {
        if let Frame::Chunk { time, bytes, .. } = frame.unwrap() {
            let bytes: Bytes = bytes;
            assert!(bytes.len() <= 64 * 1024 && time >= last);
            last = time;
        }
    }
    assert!(last > 1_600_000_000_000);
}
