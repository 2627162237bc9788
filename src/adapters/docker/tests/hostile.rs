//! Tar streams that no Docker engine sends.

use std::io::empty;

use tar::{Builder, EntryType, Header};

use super::super::artifact::take;
use crate::adapters::docker::artifact::Fetched;

const PATH: &str = "/target/result";

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header
}

fn tar(make: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    make(&mut tar);
    tar.into_inner().unwrap()
}

fn file(tar: &mut Builder<Vec<u8>>, name: &str, content: &[u8]) {
    tar.append_data(
        &mut header(EntryType::Regular, content.len() as u64),
        name,
        content,
    )
    .unwrap();
}

/// What comes of a stream; on an error there must be no trace of it.
fn take_stream(stream: &[u8], max: u64) -> Result<(Fetched, Vec<u8>), String> {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("into");
    let taken = take(stream, PATH, &into, max);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, usize::from(taken.is_ok()));
    taken
        .map(|fetched| (fetched, std::fs::read(&into).unwrap()))
        .map_err(|error| error.to_string())
}

#[test]
fn an_honest_stream_is_taken() {
    let (fetched, bytes) = take_stream(&tar(|tar| file(tar, "result", b"hello")), 5).unwrap();
    assert_eq!((fetched.size, &bytes[..]), (5, &b"hello"[..]));
    assert_eq!(
        fetched.sha256,
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
}

#[test]
fn what_was_there_before_stays_when_the_stream_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("into");
    std::fs::write(&into, "older").unwrap();
    take(&b"no tar at all"[..], PATH, &into, 5).unwrap_err();
    assert_eq!(std::fs::read(&into).unwrap(), b"older");
    take(
        &tar(|tar| file(tar, "result", b"newer"))[..],
        PATH,
        &into,
        5,
    )
    .unwrap();
    assert_eq!(std::fs::read(&into).unwrap(), b"newer");
}

#[test]
fn other_kinds_are_refused_though_they_bear_the_name() {
    let kinds = [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::Continuous,
    ];
    for kind in kinds {
        let stream = tar(|tar| {
            let mut header = header(kind, 0);
            header.set_link_name("/etc/passwd").unwrap();
            tar.append_data(&mut header, "result", empty()).unwrap();
        });
        take_stream(&stream, 100).unwrap_err();
    }
}

#[test]
fn another_name_is_refused() {
    for name in ["results", "sub/result", "../result", "/target/result"] {
        let stream = tar(|tar| {
            let mut header = header(EntryType::Regular, 1);
            // The builder would refuse some of them.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, &b"x"[..]).unwrap();
        });
        let error = take_stream(&stream, 100).unwrap_err();
        assert_eq!(
            error, "/target/result cannot be taken: the stream holds another name",
            "{name}"
        );
    }
}

#[test]
fn more_than_one_file_is_refused() {
    let stream = tar(|tar| {
        file(tar, "result", b"hello");
        file(tar, "result", b"again");
    });
    let error = take_stream(&stream, 100).unwrap_err();
    assert_eq!(
        error,
        "/target/result cannot be taken: the stream holds more than one file"
    );
}

#[test]
fn a_size_that_lies_is_found_out() {
    let honest = tar(|tar| file(tar, "result", &[b'x'; 5000]));
    // Cut off in the middle of the content.
    take_stream(&honest[..2000], 10_000).unwrap_err();
    // A header that promises less: the rest of the content is no header.
    let mut less = header(EntryType::Regular, 10);
    less.set_path("result").unwrap();
    less.set_cksum();
    let mut stream = honest.clone();
    stream[..512].copy_from_slice(less.as_bytes());
    take_stream(&stream, 10_000).unwrap_err();
    // One that promises more than the limit is not even read.
    let mut more = header(EntryType::Regular, 1 << 50);
    more.set_path("result").unwrap();
    more.set_cksum();
    stream[..512].copy_from_slice(more.as_bytes());
    let error = take_stream(&stream, 10_000).unwrap_err();
    assert_eq!(
        error,
        "/target/result is larger than the limit of 10000 bytes"
    );
}

#[test]
fn a_size_in_an_extension_counts_and_holes_are_refused() {
    let with = |key: &str, value: &[u8]| {
        tar(|tar| {
            tar.append_pax_extensions([(key, value)]).unwrap();
            file(tar, "result", b"hello");
        })
    };
    let error = take_stream(&with("size", b"99999999999"), 100).unwrap_err();
    assert!(error.contains("larger than the limit"), "{error}");
    let error = take_stream(&with("GNU.sparse.realsize", b"99999999999"), 100).unwrap_err();
    assert!(error.contains("a file with holes"), "{error}");
}
