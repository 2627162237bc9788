//! Stories of whole logs: what is written, a crash at any point, what readers then find.

mod crash;
mod reading;
mod searching;
mod times;
mod writing;

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::domain::mask::Masker;

const SECRET: &str = "hunter2!";

fn masker() -> Masker {
    Masker::new([("TOKEN", SECRET), ("KEY", "hunting-season")], &[])
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn content(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(LOG)).unwrap()
}

/// A finished log that holds these bytes.
fn written(bytes: &[u8]) -> TempDir {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
    writer.append(1_000, 0, bytes).unwrap();
    writer.finish().unwrap();
    folder
}

/// Some megabytes of lines of many lengths, invalid UTF-8 and carriage returns among them.
fn varied_lines(lines: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..=lines {
        let filler = (number * 7919) % 211;
        bytes.extend_from_slice(format!("{number}: ").as_bytes());
        bytes.extend(std::iter::repeat_n(
            b'a' + (number % 26) as u8,
            filler as usize,
        ));
        bytes.extend_from_slice(match number % 5 {
            0 => b"\xff\xfe\n",
            1 => b"\r\n",
            _ => b"\n",
        });
    }
    bytes
}
