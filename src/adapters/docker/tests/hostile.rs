//! Tar streams that no Docker engine sends.

use std::io::{self, Read, empty, repeat};

use tar::{Builder, EntryType, Header};

use super::super::archive::MOST_HEADERS;
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
    for (name, second) in [
        ("result", EntryType::Regular),
        ("another", EntryType::Regular),
        ("result", EntryType::Directory),
        ("result", EntryType::Symlink),
        ("result", EntryType::XGlobalHeader),
    ] {
        let stream = tar(|tar| {
            file(tar, "result", b"hello");
            let mut header = header(second, 0);
            header.set_link_name("/etc/passwd").unwrap();
            tar.append_data(&mut header, name, empty()).unwrap();
        });
        assert_eq!(
            take_stream(&stream, 100).unwrap_err(),
            GOES_ON,
            "{second:?}"
        );
    }
}

const GOES_ON: &str = "/target/result cannot be taken: a tar stream: it goes on after the file";

#[test]
fn nothing_but_zeros_follows_the_file() {
    let honest = tar(|tar| file(tar, "result", b"hello"));
    for (more, expected) in [
        (&b"x"[..], GOES_ON),
        (&honest, GOES_ON),
        // An archive's second block of zeros, and then one more file.
        (&[&[0; 512], &honest[..]].concat(), GOES_ON),
    ] {
        let error = take_stream(&[&honest, more].concat(), 100).unwrap_err();
        assert_eq!(error, expected);
    }
    // What lies in the file's last block belongs to nothing.
    let mut filled = honest.clone();
    filled[512 + 100] = b'x';
    assert_eq!(take_stream(&filled, 100).unwrap_err(), GOES_ON);
    // Programs fill up to 10 KiB; without an end, it is no archive.
    let filled = [&honest[..], &[0; 10 * 1024]].concat();
    take_stream(&filled, 100).unwrap();
    assert_is_given_up(&honest, 0, 100 * 1024);
}

#[test]
fn an_archive_that_ends_early_is_refused_wherever_it_ends() {
    let long = "n".repeat(150);
    let streams = [
        tar(|tar| file(tar, "result", &[b'x'; 700])),
        tar(|tar| {
            let extensions = [("path", b"result".as_slice())];
            tar.append_pax_extensions(extensions).unwrap();
            file(tar, "r", b"hello");
        }),
        // As GNU writes names that its header has no room for.
        tar(|tar| file(tar, &long, b"hello")),
    ];
    for (stream, name) in streams.iter().zip(["result", "result", &long]) {
        let path = format!("/target/{name}");
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("into");
        let take = |length: usize| take(&stream[..length], &path, &into, 1000);
        for length in 0..stream.len() {
            assert!(take(length).is_err(), "{length} of {}", stream.len());
            let files = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(files, 0, "{length}");
        }
        take(stream.len()).unwrap();
    }
}

/// Counts what is read of an archive and of a byte without end after it.
struct Counting<'a> {
    bytes: &'a [u8],
    then: u8,
    read: u64,
}

impl Read for &mut Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.bytes.is_empty() {
            true => repeat(self.then).read(buffer)?,
            false => self.bytes.read(buffer)?,
        };
        self.read += length as u64;
        Ok(length)
    }
}

/// What never ends is not read for ever, and so not kept in memory either.
fn assert_is_given_up(bytes: &[u8], then: u8, most: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = Counting {
        bytes,
        then,
        read: 0,
    };
    let error = take(&mut stream, PATH, &folder.path().join("into"), u64::MAX).unwrap_err();
    assert!(
        error.to_string().contains("longer than it may be"),
        "{error}"
    );
    assert!(stream.read <= most, "{}", stream.read);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn extensions_of_gigabytes_are_not_kept() {
    for kind in [
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
    ] {
        for size in [MOST_HEADERS, 8 << 30, 1 << 50] {
            let mut long = header(kind, size);
            long.set_path("././@LongLink").unwrap();
            long.set_cksum();
            assert_is_given_up(long.as_bytes(), b'x', MOST_HEADERS);
        }
    }
    // The blocks of a file with holes, which are a list that goes on and on.
    let mut sparse = header(EntryType::GNUSparse, 0);
    sparse.set_path("result").unwrap();
    sparse.as_gnu_mut().unwrap().set_is_extended(true);
    sparse.set_cksum();
    let mut more = tar::GnuExtSparseHeader::new();
    more.isextended[0] = 1;
    let list = [&sparse.as_bytes()[..], &more.as_bytes().repeat(1000)].concat();
    assert_is_given_up(&list, 0, MOST_HEADERS);
}

#[test]
fn files_with_holes_are_refused() {
    // Of two gibibytes, in a stream of 1.5 KiB, as GNU writes it.
    let mut sparse = header(EntryType::GNUSparse, 0);
    sparse.set_path("result").unwrap();
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.realsize.copy_from_slice(b"20000000000\0");
    gnu.sparse[0].offset.copy_from_slice(b"20000000000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    sparse.set_cksum();
    let stream = [sparse.as_bytes(), &[0; 1024][..]].concat();
    let error = take_stream(&stream, u64::MAX).unwrap_err();
    assert_eq!(
        error,
        "/target/result is of a kind that is not known, not a regular file"
    );
    // As PAX writes it, in each of its three versions.
    for key in [
        "GNU.sparse.size",
        "GNU.sparse.numblocks",
        "GNU.sparse.map",
        "GNU.sparse.major",
        "GNU.sparse.name",
        "GNU.sparse.realsize",
    ] {
        let error = take_stream(&extended(key, b"1099511627776"), u64::MAX).unwrap_err();
        assert_eq!(
            error,
            "/target/result cannot be taken: the stream holds a file with holes"
        );
    }
}

/// A file of five bytes with an extension.
fn extended(key: &str, value: &[u8]) -> Vec<u8> {
    tar(|tar| {
        tar.append_pax_extensions([(key, value)]).unwrap();
        file(tar, "result", b"hello");
    })
}

/// The same with a header that has no room for the size.
fn sized_by_extension(size: &str) -> Vec<u8> {
    let mut stream = extended("size", size.as_bytes());
    let header = stream.len() - 4 * 512;
    let mut own = Header::from_byte_slice(&stream[header..][..512]).clone();
    own.set_size(0);
    own.set_cksum();
    stream[header..][..512].copy_from_slice(own.as_bytes());
    stream
}

#[test]
fn a_size_in_an_extension_that_lies_is_found_out() {
    assert_eq!(
        take_stream(&sized_by_extension("5"), 5).unwrap().1,
        b"hello"
    );
    assert_eq!(take_stream(&extended("size", b"5"), 5).unwrap().1, b"hello");
    for (size, expected) in [
        ("0", "it goes on after the file"),
        ("4", "it goes on after the file"),
        ("513", "the stream ends too early"),
        ("4096", "it ends after 1536 of 4096 bytes"),
        ("99999999999", "larger than the limit"),
        ("18446744073709551615", "size overflow"),
    ] {
        let error = take_stream(&sized_by_extension(size), 5000).unwrap_err();
        assert!(error.contains(expected), "{size}: {error}");
    }
    for size in ["0", "4", "6", "4096", "99999999999"] {
        let error = take_stream(&extended("size", size.as_bytes()), 5000).unwrap_err();
        assert_eq!(
            error,
            "/target/result cannot be taken: the stream tells two sizes of it"
        );
    }
    // What is no size is none, and the header's own counts.
    for size in ["-5", "0x5", "18446744073709551616", "", "5 "] {
        let (fetched, bytes) = take_stream(&extended("size", size.as_bytes()), 5000).unwrap();
        assert_eq!((fetched.size, &bytes[..]), (5, &b"hello"[..]), "{size}");
    }
}

#[test]
fn a_size_that_is_negative_or_no_number_is_refused() {
    let honest = tar(|tar| file(tar, "result", b"hello"));
    let with = |field: &[u8; 12]| {
        let mut header = Header::from_byte_slice(&honest[..512]).clone();
        header.as_old_mut().size = *field;
        header.set_cksum();
        [header.as_bytes(), &honest[512..]].concat()
    };
    // In base 256: -1, and the least of all.
    let mut least = [0; 12];
    least[0] = 0xc0;
    for field in [&[0xff; 12], &least, b"-0000000005\0", b"hello world\0"] {
        let error = take_stream(&with(field), 5000).unwrap_err();
        assert!(error.contains("cannot be taken"), "{field:?}: {error}");
    }
    // In base 256 and honest.
    let mut five = [0; 12];
    (five[0], five[11]) = (0x80, 5);
    assert_eq!(take_stream(&with(&five), 5).unwrap().1, b"hello");
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
