//! Stories of whole logs: what is written, a crash at any point, what readers then find.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::mask::Masker;

const SECRET: &str = "hunter2!";

fn masker() -> Masker {
    Masker::new([("TOKEN", SECRET), ("KEY", "hunting-season")])
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

#[test]
fn bytes_are_kept_as_they_came_and_secrets_are_masked() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), masker()).unwrap();
    let watermark = writer.watermark();
    writer
        .append(1_000, 0, b"\x1b[31mred\xff\xfe hunt")
        .unwrap();
    assert_eq!(watermark.borrow().bytes, 11);
    writer.append(1_001, 15, b"er2! hunter\r\n").unwrap();
    writer.append(1_002, 28, b"half a line, h").unwrap();
    writer.finish().unwrap();

    let expected = b"\x1b[31mred\xff\xfe *** hunter\r\nhalf a line, h";
    assert_eq!(content(folder.path()), expected);
    assert_eq!(
        *watermark.borrow(),
        Watermark {
            bytes: expected.len() as u64,
            lines: 2,
            finished: true
        }
    );
    assert!(writer.append(1_003, 42, b"late").is_err());
}

#[test]
fn a_log_is_never_begun_over_another() {
    let folder = written(b"first\n");
    let error = LogWriter::create(folder.path(), masker()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(content(folder.path()), b"first\n");
}

#[test]
fn output_that_repeats_is_taken_once_and_a_gap_is_refused() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), masker()).unwrap();
    writer.append(1, 0, b"abcdef").unwrap();
    writer.append(2, 0, b"abc").unwrap();
    writer.append(3, 3, b"defghi").unwrap();
    assert_eq!(writer.spool_offset(), 9);
    let error = writer.append(4, 10, b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    writer.append(5, 9, b"j\n").unwrap();
    assert_eq!(content(folder.path()), b"abcdefghij\n");
}

#[test]
fn notes_stand_on_lines_of_their_own_after_what_was_held_back() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), masker()).unwrap();
    writer.note_once("preparing").unwrap();
    writer.note_once("preparing").unwrap();
    writer.append(1, 0, b"working hunt").unwrap();
    writer
        .note("the token is hunter2!,\nas you\x1b[31m know\n")
        .unwrap();
    writer.append(2, 12, b"done").unwrap();
    writer.note_once("preparing").unwrap();
    let expected = "==> preparing\nworking hunt\n==> the token is ***, as you [31m know\n\
                    done\n==> preparing\n";
    assert_eq!(String::from_utf8(content(folder.path())).unwrap(), expected);
    assert_eq!(writer.tail().len(), 5);
    assert_eq!(writer.watermark().borrow().lines, 5);

    drop(writer);
    let (mut writer, spool_offset) = LogWriter::reopen(folder.path(), masker()).unwrap();
    assert_eq!(spool_offset, 16);
    writer.note_once("preparing").unwrap();
    assert_eq!(writer.watermark().borrow().lines, 5);
    assert_eq!(writer.tail().last().unwrap(), "==> preparing");
}

#[test]
fn a_second_attempt_goes_on_in_the_same_log_with_a_new_spool() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), masker()).unwrap();
    writer.append(1, 0, b"first attempt, hunt").unwrap();
    drop(writer);
    let mut writer = LogWriter::reopen_for_next_attempt(folder.path(), masker()).unwrap();
    writer.note("the container was lost; attempt 2").unwrap();
    writer.append(2, 0, b"second hunt").unwrap();
    drop(writer);

    let (mut writer, spool_offset) = LogWriter::reopen(folder.path(), masker()).unwrap();
    assert_eq!(spool_offset, 7, "what was held back is read again");
    writer.append(3, 7, b"hunter2!\n").unwrap();
    writer.begin_next_attempt().unwrap();
    writer.append(4, 0, b"third\n").unwrap();
    assert_eq!(
        String::from_utf8(content(folder.path())).unwrap(),
        "first attempt, \n==> the container was lost; attempt 2\nsecond ***\nthird\n"
    );
    assert_eq!(writer.watermark().borrow().lines, 4);
}

#[test]
fn a_crash_between_creating_the_two_files_is_survived() {
    let folder = folder();
    fs::write(folder.path().join(LOG), b"").unwrap();
    let (mut writer, spool_offset) = LogWriter::reopen(folder.path(), masker()).unwrap();
    assert_eq!(spool_offset, 0);
    writer.append(1, 0, b"x\n").unwrap();
    drop(writer);
    let (_, spool_offset) = LogWriter::reopen(folder.path(), masker()).unwrap();
    assert_eq!(spool_offset, 2);
}

/// What a run does to a log, and how a killed one is taken up again.
#[derive(Debug, Clone)]
enum Step {
    Output(Vec<u8>),
    Note(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let output = prop_oneof![
        4 => "(hunter2!|hunting-season|hunter|hunt|h|\n|x{1,9}){0,12}".prop_map(String::into_bytes),
        1 => (20_000usize..50_000).prop_map(|length| vec![b'y'; length]),
        1 => proptest::collection::vec(any::<u8>(), 0..50),
    ];
    let step = prop_oneof![
        5 => output.prop_map(Step::Output),
        1 => any::<u8>().prop_map(Step::Note),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Runs the steps from a log that was followed to `spool_offset` and has `written` bytes.
/// `note_ends` holds the log's length after each note of the run before, whose notes are in the
/// log already if they ended there. Output comes in pieces of `piece` bytes.
fn run(
    writer: &mut LogWriter,
    steps: &[Step],
    piece: usize,
    spool_offset: u64,
    written: u64,
    note_ends: &mut Vec<u64>,
) {
    let mut position = 0;
    let mut note = 0;
    let mut time = 1_000;
    for step in steps {
        time += 30;
        match step {
            Step::Output(bytes) => {
                for part in bytes.chunks(piece) {
                    let end = position + part.len() as u64;
                    if end > spool_offset {
                        writer
                            .append(
                                time,
                                position.max(spool_offset),
                                &part[(spool_offset.max(position) - position) as usize..],
                            )
                            .unwrap();
                    }
                    position = end;
                }
            }
            Step::Note(number) => {
                let is_there = note_ends.get(note).is_some_and(|&end| end <= written);
                if !is_there {
                    writer.note(&format!("note {number}")).unwrap();
                    note_ends.truncate(note);
                    note_ends.push(writer.watermark().borrow().bytes);
                }
                note += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Invariant 3, over a crash: whatever the pieces, and wherever the service dies, the log
    /// becomes the one of an uninterrupted run.
    #[test]
    fn a_log_continued_after_any_crash_is_the_log_of_an_uninterrupted_run(
        steps in steps(),
        killed_after in 0usize..25,
        index_cut in 0.0f64..1.0,
        keep_index in any::<bool>(),
        log_cut in 0.0f64..1.0,
        lose_log in any::<bool>(),
        pieces in (1usize..70_000, 1usize..40, 1usize..70_000),
    ) {
        let whole = folder();
        let mut writer = LogWriter::create(whole.path(), masker()).unwrap();
        run(&mut writer, &steps, pieces.0, 0, 0, &mut Vec::new());
        writer.finish().unwrap();

        let torn = folder();
        let mut note_ends = Vec::new();
        let mut writer = LogWriter::create(torn.path(), masker()).unwrap();
        let killed_after = killed_after.min(steps.len());
        let second_piece = if steps.len() > 12 { pieces.1 * 50 } else { pieces.1 };
        run(&mut writer, &steps[..killed_after], second_piece, 0, 0, &mut note_ends);
        drop(writer);

        // A process that dies loses writes that it had not begun; the index comes after the log.
        let cut = |name: &str, smallest: u64, share: f64| {
            let file = OpenOptions::new().write(true).open(torn.path().join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            let new_length = smallest + ((length - smallest) as f64 * share) as u64;
            file.set_len(new_length).unwrap();
        };
        if !keep_index {
            cut(INDEX, 0, index_cut);
        }
        if lose_log {
            // Beyond what a process can lose: a machine may lose what was not synced.
            cut(LOG, 0, log_cut);
        }

        let (mut writer, spool_offset) = LogWriter::reopen(torn.path(), masker()).unwrap();
        let written = writer.watermark().borrow().bytes;
        prop_assert_eq!(content(torn.path()).len() as u64, written);
        prop_assert!(lose_log || !keep_index
            || spool_offset + 14 > steps[..killed_after].iter().map(|step| match step {
                Step::Output(bytes) => bytes.len() as u64,
                Step::Note(_) => 0,
            }).sum::<u64>(), "only what was held back is read again");
        run(&mut writer, &steps, pieces.2, spool_offset, written, &mut note_ends);
        writer.finish().unwrap();
        let watermark = *writer.watermark().borrow();

        prop_assert!(content(torn.path()) == content(whole.path()));
        let bytes = content(torn.path());
        prop_assert_eq!(watermark.bytes, bytes.len() as u64);
        prop_assert_eq!(watermark.lines, LogReader::open(whole.path()).unwrap().lines().unwrap());
    }

    /// Lines and offsets found through the index are those that a scan of everything finds,
    /// in the plain log and in the compressed one.
    #[test]
    fn a_reader_finds_what_a_scan_finds(
        steps in steps(),
        piece in 1usize..5_000,
        line in 0u64..40,
        share in 0.0f64..1.1,
        max_bytes in 1usize..3_000,
    ) {
        let folder = folder();
        let mut writer = LogWriter::create(folder.path(), masker()).unwrap();
        run(&mut writer, &steps, piece, 0, 0, &mut Vec::new());
        writer.finish().unwrap();
        let bytes = content(folder.path());
        let starts: Vec<u64> = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', &bytes).map(|at| at as u64 + 1))
            .collect();
        let unfinished = bytes.last().is_some_and(|&byte| byte != b'\n');
        let lines = starts.len() as u64 - u64::from(!unfinished);
        let offset = (bytes.len() as f64 * share) as u64;
        let before = bytes[..bytes.len().min(offset as usize)].iter().filter(|&&b| b == b'\n').count();

        for round in ["plain", "compressed"] {
            if round == "compressed" {
                compress(folder.path()).unwrap();
            }
            let reader = LogReader::open(folder.path()).unwrap();
            prop_assert_eq!(reader.len().unwrap(), bytes.len() as u64);
            prop_assert_eq!(reader.lines().unwrap(), lines);
            let start = line.checked_sub(1).and_then(|line| starts.get(line as usize)).copied();
            prop_assert_eq!(reader.offset_of_line(line).unwrap(), start);
            prop_assert_eq!(reader.line_at_offset(offset).unwrap(), before as u64 + 1);
            let first = lines.saturating_sub(3) as usize;
            prop_assert_eq!(reader.tail_offset(3).unwrap(), starts[first]);
            let from = bytes.len().min(offset as usize);
            let to = bytes.len().min(from + max_bytes);
            prop_assert!(reader.read_at(offset, max_bytes).unwrap() == bytes[from..to]);

            let mut joined = Vec::new();
            let mut next = Some(1);
            let mut is_cut = false;
            while let Some(first) = next {
                let part = reader.read_lines(first, 7, max_bytes).unwrap();
                prop_assert!(part.bytes.len() <= max_bytes);
                is_cut |= part.next_line.is_some() && !part.bytes.ends_with(b"\n");
                joined.extend_from_slice(&part.bytes);
                next = part.next_line;
            }
            prop_assert!(is_cut || joined == bytes);
        }
    }
}

#[test]
fn a_line_longer_than_an_answer_is_cut_and_the_next_line_follows() {
    let mut bytes = vec![b'x'; 300_000];
    bytes.extend_from_slice(b"\nnext\nlast");
    let folder = written(&bytes);
    let reader = LogReader::open(folder.path()).unwrap();
    let cut = reader.read_lines(1, 10, 1000).unwrap();
    assert_eq!((cut.bytes.len(), cut.next_line), (1000, Some(2)));
    let rest = reader.read_lines(2, 10, 1000).unwrap();
    assert_eq!(rest.bytes, b"next\nlast");
    assert_eq!((rest.offset, rest.next_line), (300_001, None));
    let one = reader.read_lines(2, 1, 1000).unwrap();
    assert_eq!((&*one.bytes, one.next_line), (&b"next\n"[..], Some(3)));
    let none = reader.read_lines(4, 1, 1000).unwrap();
    assert_eq!((none.bytes.len(), none.next_line), (0, None));
}

#[test]
fn a_byte_has_the_time_at_which_it_came() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
    for second in 1..=100u64 {
        let line = format!("{second:9}\n");
        writer
            .append(second * 1_000, (second - 1) * 10, line.as_bytes())
            .unwrap();
    }
    writer.finish().unwrap();
    let reader = LogReader::open(folder.path()).unwrap();
    for second in 1..=100u64 {
        let offset = (second - 1) * 10;
        assert_eq!(reader.time_at_offset(offset).unwrap(), second * 1_000);
        assert_eq!(reader.time_at_offset(offset + 9).unwrap(), second * 1_000);
    }
    assert_eq!(reader.time_at_offset(5_000).unwrap(), 100_000);
}

#[test]
fn a_scan_is_short_and_the_index_small_for_large_and_for_small_appends() {
    for piece in [100, 8_000, 1_000_000] {
        let folder = folder();
        let bytes = varied_lines(50_000);
        let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
        for (number, part) in bytes.chunks(piece).enumerate() {
            writer.append(1_000, (number * piece) as u64, part).unwrap();
        }
        let index = fs::metadata(folder.path().join(INDEX)).unwrap().len();
        let least = bytes.len() as u64 / (64 * 1024) * index::RECORD_SIZE as u64;
        assert!(index >= least, "no more than 64 KiB between records");
        assert!(index * 400 < bytes.len() as u64, "{index} bytes of index");
    }
}

/// Invariant 3, live: readers that come at different times and read at their own pace, one
/// of them over the moment of compression, all get the bytes that were written.
#[test]
fn readers_at_their_own_pace_get_every_byte_once() {
    let folder = folder();
    let bytes = varied_lines(40_000);
    let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
    let is_compressed = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let readers: Vec<_> = [700usize, 5_000, 64 * 1024, 1 << 20]
            .into_iter()
            .map(|pace| {
                let watermark = writer.watermark();
                let (path, is_compressed) = (folder.path(), &is_compressed);
                scope.spawn(move || {
                    let mut reader = LogReader::open(path).unwrap();
                    let mut received: Vec<u8> = Vec::new();
                    let mut reopened = false;
                    loop {
                        let now = *watermark.borrow();
                        let offset = received.len() as u64;
                        let available = (now.bytes - offset).min(pace as u64) as usize;
                        received.extend(reader.read_at(offset, available).unwrap());
                        if is_compressed.load(Ordering::Acquire) && !reopened && pace == 5_000 {
                            reader = LogReader::open(path).unwrap();
                            reopened = true;
                        }
                        if now.finished && received.len() as u64 == now.bytes {
                            return received;
                        }
                    }
                })
            })
            .collect();
        for (number, part) in bytes.chunks(10_007).enumerate() {
            writer
                .append(1_000, (number * 10_007) as u64, part)
                .unwrap();
        }
        writer.finish().unwrap();
        compress(folder.path()).unwrap();
        is_compressed.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() == bytes);
        }
    });
}

#[test]
fn compression_is_finished_after_a_crash_at_any_step_and_needed_once() {
    let bytes = varied_lines(20_000);
    let folder = written(&bytes);
    let open_before = LogReader::open(folder.path()).unwrap();
    fs::write(folder.path().join("log.zst.tmp"), b"left behind").unwrap();
    compress(folder.path()).unwrap();
    compress(folder.path()).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["log.index", "log.zst"]);
    assert!(open_before.read_at(0, bytes.len()).unwrap() == bytes);

    // Died after the new name was there, before the old one was gone.
    fs::write(folder.path().join(LOG), &bytes).unwrap();
    assert_eq!(
        LogReader::open(folder.path()).unwrap().len().unwrap(),
        bytes.len() as u64
    );
    compress(folder.path()).unwrap();
    assert!(!folder.path().join(LOG).exists());
    assert!(compress(&folder.path().join("nowhere")).is_err());
}

#[test]
fn the_zstd_tool_reads_a_compressed_log() {
    let bytes = varied_lines(20_000);
    for content in [&bytes[..], b"", b"x"] {
        let folder = written(content);
        compress(folder.path()).unwrap();
        let decompressed =
            zstd::decode_all(fs::File::open(folder.path().join(COMPRESSED)).unwrap());
        assert!(decompressed.unwrap() == content);
        // The tool itself, where it is installed.
        if let Ok(output) = std::process::Command::new("zstd")
            .args(["--decompress", "--stdout"])
            .arg(folder.path().join(COMPRESSED))
            .output()
        {
            assert!(output.status.success() && output.stdout == content);
        }
    }
}

#[test]
fn a_damaged_compressed_log_is_an_error_and_not_a_wrong_answer() {
    let bytes = varied_lines(20_000);
    let folder = written(&bytes);
    compress(folder.path()).unwrap();
    let path = folder.path().join(COMPRESSED);
    let good = fs::read(&path).unwrap();

    let mut flipped = good.clone();
    flipped[good.len() / 3] ^= 1;
    fs::write(&path, &flipped).unwrap();
    let reader = LogReader::open(folder.path()).unwrap();
    assert!(reader.read_at(0, bytes.len()).is_err());

    for length in [0, 5, 30, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(LogReader::open(folder.path()).is_err());
    }
}

#[test]
fn a_search_finds_lines_and_columns_in_pages() {
    let bytes = varied_lines(60_000);
    let folder = written(&bytes);
    for round in ["plain", "compressed"] {
        if round == "compressed" {
            compress(folder.path()).unwrap();
        }
        let reader = LogReader::open(folder.path()).unwrap();
        let query = Query::regex(r"^\d*999: ", true).unwrap();
        let mut lines = Vec::new();
        let mut next = Some(1);
        while let Some(from) = next {
            let found = reader.search(&query, from, 7, 1 << 20).unwrap();
            assert!(found.matches.len() <= 7);
            lines.extend(found.matches.iter().map(|found| (found.line, found.column)));
            next = found.next_line;
        }
        let expected: Vec<_> = (0..60).map(|thousand| (thousand * 1000 + 999, 1)).collect();
        assert_eq!(lines, expected);

        let query = Query::text("YYY\u{fffd}", false).unwrap();
        assert!(
            reader
                .search(&query, 1, 10, u64::MAX)
                .unwrap()
                .matches
                .is_empty()
        );
        let query = Query::regex(r"(?-u)YYY\xff\xfe$", false).unwrap();
        let found = reader.search(&query, 50, 1, u64::MAX).unwrap();
        assert_eq!(found.matches[0].line % 5, 0);
        assert_eq!(found.next_line, Some(found.matches[0].line + 1));
    }
}

#[test]
fn a_match_lies_within_one_line() {
    let folder = written(b"one\n\ntwo  \r\nthree");
    let reader = LogReader::open(folder.path()).unwrap();
    let lines = |pattern: &str| -> Vec<(u64, u64, u64)> {
        let query = Query::regex(pattern, true).unwrap();
        let found = reader.search(&query, 1, 100, u64::MAX).unwrap();
        found
            .matches
            .iter()
            .map(|found| (found.line, found.column, found.length))
            .collect()
    };
    assert_eq!(lines("one\n"), []);
    assert_eq!(lines(r"one\s*"), [(1, 1, 3)]);
    assert_eq!(lines("^$"), [(2, 1, 0)]);
    assert_eq!(lines("[^x]+"), [(1, 1, 3), (3, 1, 6), (4, 1, 5)]);
    assert_eq!(lines("e$"), [(1, 3, 1), (4, 5, 1)]);
    assert_eq!(lines("o  .$"), [(3, 3, 4)]);
}

#[test]
fn a_search_sees_into_lines_longer_than_its_blocks() {
    let mut bytes = b"short\n".to_vec();
    bytes.extend(vec![b'x'; 1_000_000]);
    bytes.extend_from_slice(b"needle");
    bytes.extend(vec![b'x'; 1_000_000]);
    bytes.extend_from_slice(b"needle\nneedle");
    let folder = written(&bytes);
    let reader = LogReader::open(folder.path()).unwrap();
    let query = Query::text("Needle", false).unwrap();
    let nothing = reader.search(&query, 1, 100, 10).unwrap();
    assert_eq!((nothing.matches.len(), nothing.next_line), (0, Some(2)));
    let found = reader.search(&query, 2, 100, 10).unwrap();
    let places: Vec<_> = found.matches.iter().map(|m| (m.line, m.column)).collect();
    assert_eq!(places, [(2, 1_000_001)]);
    assert!(found.matches[0].excerpt.len() <= 256);
    let in_excerpt = (found.matches[0].column - found.matches[0].excerpt_column) as usize;
    assert!(found.matches[0].excerpt[in_excerpt..].starts_with(b"needle"));
    let rest = reader
        .search(&query, found.next_line.unwrap(), 100, u64::MAX)
        .unwrap();
    assert_eq!(rest.matches[0].line, 3);
    assert_eq!(rest.next_line, None);

    let at_line_start = Query::regex("^x", true).unwrap();
    let found = reader.search(&at_line_start, 1, 100, u64::MAX).unwrap();
    assert_eq!(found.matches.len(), 1);
}
