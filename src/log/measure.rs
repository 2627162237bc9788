//! What the log costs: memory, which is a promise and is tested, and speed, which is printed by
//!
//! ```text
//! cargo test --release measure_log -- --ignored --nocapture
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::mask::Masker;

/// How many bytes of log the measured process writes.
const SIZE: &str = "AUTOBUILDER_TEST_LOG_SIZE";

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// So many secrets, like tokens and passwords, none of which occurs.
fn masker(secrets: u64) -> Masker {
    const LETTERS: &[u8] =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/+=:@ ";
    let mut random = Random(4);
    let mut secret = |number: u64| -> String {
        let letters = (0..20 + number % 30).map(|_| random.below(LETTERS.len() as u64));
        letters
            .map(|letter| char::from(LETTERS[letter as usize]))
            .collect()
    };
    let secrets = (0..secrets).map(|number| (format!("SECRET_{number}"), secret(number)));
    Masker::new(secrets, &[])
}

/// Lines like a compiler's.
fn compiler_output(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 200);
    let mut random = Random(1);
    while bytes.len() < size {
        let file = random.below(4_000);
        let line = format!(
            "gcc -DHAVE_CONFIG_H -I. -I../lib -O2 -g -c -o module_{file}.o src/module_{file}.c # {:x}\n",
            random.below(1 << 24)
        );
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A linear congruential generator (Knuth's MMIX): the same places in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % limit
    }
}

fn write(folder: &Path, secrets: u64, text: &[u8], chunk: usize, size: usize) -> LogWriter {
    let mut writer = LogWriter::create(folder, masker(secrets)).unwrap();
    let mut written = 0;
    while written < size {
        for part in text.chunks(chunk) {
            writer.append(1_000, written as u64, part).unwrap();
            written += part.len();
        }
    }
    writer
}

/// Invariant 4: what is held in memory depends neither on the log's size, nor on how many
/// read it, nor on one that reads nothing.
#[test]
fn memory_does_not_grow_with_the_log() {
    let peak = |size: usize| -> usize {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "log::measure::one_log_and_its_readers",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(SIZE, size.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let peak = text
            .lines()
            .find_map(|line| line.strip_prefix("peak KiB: "));
        peak.unwrap_or_else(|| panic!("{text}"))
            .parse::<usize>()
            .unwrap()
            * KIB
    };
    let (small, large) = (peak(4 * MIB), peak(48 * MIB));
    assert!(
        large < small + 2 * MIB,
        "{small} bytes for a small log, {large} for a large one"
    );
}

#[test]
#[ignore = "run in a process of its own by memory_does_not_grow_with_the_log"]
fn one_log_and_its_readers() {
    let size: usize = std::env::var(SIZE).unwrap().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = compiler_output(MIB);
    let mut writer = write(folder.path(), 100, &text, 64 * KIB, size);
    let readers = |count: usize| -> Vec<LogReader> {
        (0..count)
            .map(|_| LogReader::open(folder.path()).unwrap())
            .collect()
    };
    let live = readers(20);
    let read_some = |readers: &[LogReader]| {
        let mut random = Random(2);
        for reader in readers {
            for _ in 0..10 {
                let offset = random.below(size as u64);
                assert!(!reader.read_at(offset, 64 * KIB).unwrap().is_empty());
                assert!(reader.line_at_offset(offset).unwrap() > 0);
            }
        }
    };
    read_some(&live);
    writer.finish().unwrap();
    compress(folder.path()).unwrap();
    let compressed = readers(100);
    read_some(&compressed);
    let query = Query::text("nowhere", false).unwrap();
    let stop = CancellationToken::new();
    let marks = compressed[0].marks(&query, 1, &stop);
    assert_eq!(marks.unwrap().counts, [0]);

    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"))
        .unwrap();
    println!("\npeak KiB: {}", peak.trim());
}

#[test]
#[ignore = "prints how fast a log of 1 GiB is written, read, searched and compressed"]
fn measure_log() {
    let text = compiler_output(64 * MIB);
    let folder = tempfile::tempdir().unwrap();
    for (chunk, size) in [
        (100, 64 * MIB),
        (4 * KIB, 256 * MIB),
        (64 * KIB, 1024 * MIB),
    ] {
        let log = folder.path().join(chunk.to_string());
        for secrets in [0, 10, 100] {
            let _ = fs::remove_dir_all(&log);
            let since = Instant::now();
            let mut writer = write(&log, secrets, &text, chunk, size);
            report(
                &format!("append {chunk} bytes, {secrets} secrets"),
                size,
                since.elapsed(),
            );
            writer.finish().unwrap();
        }
        let index = fs::metadata(log.join(INDEX)).unwrap().len();
        println!(
            "  index: {:.3} % of the log",
            index as f64 * 100.0 / size as f64
        );
    }

    let log = folder.path().join((64 * KIB).to_string());
    for round in ["plain", "compressed"] {
        if round == "compressed" {
            let size = fs::metadata(log.join(LOG)).unwrap().len();
            let since = Instant::now();
            compress(&log).unwrap();
            report("compress", size as usize, since.elapsed());
            let compressed = fs::metadata(log.join(COMPRESSED)).unwrap().len();
            println!("  to 1/{:.1}", size as f64 / compressed as f64);
        }
        measure_reader(round, &LogReader::open(&log).unwrap());
    }
}

fn measure_reader(round: &str, reader: &LogReader) {
    let (size, lines) = (reader.len().unwrap(), reader.lines().unwrap());
    let mut random = Random(3);
    let mut times: Vec<Duration> = (0..2_000)
        .map(|_| {
            let since = Instant::now();
            reader.read_lines(random.below(lines) + 1, 50, MIB).unwrap();
            since.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{round}: 50 lines anywhere in {size} bytes: p50 {:?}, p99 {:?}",
        times[1_000], times[1_980]
    );

    let since = Instant::now();
    let mut offset = 0;
    while offset < size {
        offset += reader.read_at(offset, 64 * KIB).unwrap().len() as u64;
    }
    report(
        &format!("{round}: read in 64 KiB"),
        size as usize,
        since.elapsed(),
    );

    for (name, query) in [
        ("a text", Query::text("does not occur", true)),
        ("a text, any case", Query::text("does not occur", false)),
        ("an expression", Query::regex(r"module_\d+\.o.*zzz", true)),
        ("a rare text", Query::text("# 3fff", false)),
        ("a text of each line", Query::text("gcc", false)),
        ("any line", Query::regex("[^:]+", false)),
    ] {
        let (query, stop) = (query.unwrap(), CancellationToken::new());
        let since = Instant::now();
        let marks = reader.marks(&query, 500, &stop).unwrap();
        report(
            &format!(
                "{round}: marks of {name}, {} lines",
                marks.counts.iter().sum::<u64>()
            ),
            size as usize,
            since.elapsed(),
        );
        for direction in [Direction::Forward(1), Direction::Backward(u64::MAX)] {
            let enough = Enough {
                limit: 1000,
                max_bytes: u64::MAX,
            };
            let since = Instant::now();
            let found = reader.search(&query, direction, enough, &stop).unwrap();
            println!(
                "{round}: {direction:?}, {name}, {} of them: {:?}",
                found.matches.len(),
                since.elapsed()
            );
        }
    }

    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let since = Instant::now();
            reader.times(random.below(lines) + 1, 10_000).unwrap();
            since.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{round}: times of 10,000 lines: p50 {:?}, p99 {:?}",
        times[100], times[198]
    );
}

fn report(what: &str, bytes: usize, time: Duration) {
    let speed = bytes as f64 / 1e6 / time.as_secs_f64();
    println!("{what}: {speed:.0} MB/s");
}
