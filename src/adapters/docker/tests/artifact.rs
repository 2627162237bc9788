//! What may be taken out of a container, and what not.

use super::*;
use crate::adapters::docker::artifact::Fetched;
use sha2::{Digest, Sha256};

/// Runs a script that leaves something in /target, and fetches `name` from there.
async fn fetch(
    script: &str,
    name: &str,
    max: u64,
) -> (Result<Fetched, ArtifactError>, Option<Vec<u8>>, usize) {
    let container = Container::of(&format!("cd /target; {script}")).await;
    container.log().await;
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("artifact");
    let fetched = container
        .docker
        .fetch_artifact(&container.id, "/target", name, &into, max)
        .await;
    let bytes = std::fs::read(&into).ok();
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    (fetched, bytes, files)
}

#[tokio::test]
async fn a_file_arrives_with_its_size_and_hash() {
    let script = "seq 1 1000000 > result; mkdir sub; ln result sub/again";
    for name in ["result", "sub/again"] {
        let (fetched, bytes, files) = fetch(script, name, u64::MAX).await;
        let bytes = bytes.unwrap();
        let expected = Fetched {
            size: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
        };
        assert_eq!(fetched.unwrap(), expected);
        assert!(bytes.starts_with(b"1\n2\n") && bytes.ends_with(b"1000000\n"));
        assert_eq!(files, 1);
    }
}

#[tokio::test]
async fn holes_and_names_that_need_more_than_a_header_arrive() {
    let long = format!("{}-größer", "n".repeat(200));
    let script = format!("printf x | dd of={long} bs=1 seek=8388607");
    let (fetched, bytes, _) = fetch(&script, &long, 8 << 20).await;
    assert_eq!(fetched.unwrap().size, 8 << 20);
    let bytes = bytes.unwrap();
    let (last, zeros) = bytes.split_last().unwrap();
    assert!(*last == b'x' && zeros.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (fetched, bytes, _) = fetch("touch result", "result", 0).await;
    assert_eq!((fetched.unwrap().size, bytes), (0, Some(Vec::new())));
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_leaves_nothing_behind() {
    let cases = [
        (
            "ln -s /etc/passwd result",
            "result",
            "/target/result is a symbolic link, not a regular file",
        ),
        (
            "mkdir result",
            "result",
            "/target/result is a folder, not a regular file",
        ),
        (
            "mkfifo result",
            "result",
            "/target/result is a pipe, not a regular file",
        ),
        (
            "mknod result c 1 3",
            "result",
            "/target/result is a device, not a regular file",
        ),
        (
            // A daemon that makes its socket where this leads.
            "ln -s /target/result /dev/log; syslogd; until [ -S result ]; do sleep 0.05; done",
            "result",
            "/target/result is a socket, not a regular file",
        ),
        (
            "ln -s /etc sub",
            "sub/passwd",
            "/target/sub is a symbolic link, not a regular file",
        ),
        (
            "ln -s / sub; touch x",
            "sub/../x",
            "/target/sub is a symbolic link, not a regular file",
        ),
        (
            "mkdir sub; touch x",
            "sub/../x",
            "/target/sub/.. cannot be taken: it is no plain name",
        ),
    ];
    for (script, name, expected) in cases {
        let (fetched, bytes, files) = fetch(script, name, u64::MAX).await;
        assert_eq!(fetched.unwrap_err().to_string(), expected);
        assert_eq!((bytes, files), (None, 0), "{script}");
    }
}

#[tokio::test]
async fn a_missing_file_says_what_is_there_instead() {
    let (fetched, _, files) = fetch(
        "touch other \"$(printf 'new\\nline')\"; mkdir folder",
        "result",
        1,
    )
    .await;
    assert_eq!(
        fetched.unwrap_err().to_string(),
        "there is no /target/result; the folder holds folder/, new\\nline, other"
    );
    assert_eq!(files, 0);
    let (fetched, _, _) = fetch("true", "result", 1).await;
    assert_eq!(
        fetched.unwrap_err().to_string(),
        "there is no /target/result; the folder is empty"
    );
    let (fetched, _, _) = fetch("touch file", "file/result", 1).await;
    assert!(
        matches!(fetched, Err(ArtifactError::Missing { .. })),
        "{fetched:?}"
    );
}

#[tokio::test]
async fn a_file_over_the_limit_is_not_even_sent() {
    let script = "dd if=/dev/zero of=result bs=1 seek=$((1<<40)) count=0";
    let (fetched, _, files) = fetch(script, "result", 1000).await;
    assert!(
        matches!(fetched, Err(ArtifactError::TooLarge { max: 1000, .. })),
        "{fetched:?}"
    );
    assert_eq!(files, 0);
}

#[tokio::test]
async fn a_container_that_is_gone_is_not_a_missing_artifact() {
    let docker = docker().await;
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("artifact");
    let fetched = docker
        .fetch_artifact("autobuilder-test-none", "/target", "result", &into, 1)
        .await;
    assert!(
        matches!(
            fetched,
            Err(ArtifactError::Docker(DockerError::NotFound(_)))
        ),
        "{fetched:?}"
    );
}

#[tokio::test]
async fn the_archives_folder_starts_empty_whatever_the_image_holds_there() {
    let spec = ContainerSpec {
        archives: "/bin/archives".to_owned(),
        ..spec()
    };
    let etc = ContainerSpec {
        archives: "/etc".to_owned(),
        ..spec.clone()
    };
    let log = Container::start(&spec, &job("ls -A /bin/archives; echo done"))
        .await
        .log()
        .await;
    assert_eq!(log.text(), "done\n");
    let etc = ContainerSpec {
        name: new_name(),
        ..etc
    };
    let log = Container::start(&etc, &job("cat /etc/group; echo done"))
        .await
        .log()
        .await;
    assert_eq!(
        log.text(),
        "cat: can't open '/etc/group': No such file or directory\ndone\n"
    );
}
