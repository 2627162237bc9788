//! Any output, in any pieces, with a crash at any moment; and readers of what came of it.

use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;

use super::*;

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
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Invariant 3, over a crash: whatever the pieces, and wherever the service dies, the log
    /// becomes the one of an uninterrupted run.
    #[test]
    fn a_log_continued_after_any_crash_is_the_log_of_an_uninterrupted_run(
        steps in steps(),
        killed_after in 0usize..25,
        unrecorded in "[a-z\n]{0,20}".prop_map(String::into_bytes),
        lose_index in any::<bool>(),
        index_share in 0.0f64..1.0,
        lose_log in any::<bool>(),
        log_share in 0.0f64..1.0,
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
        let announced = writer.watermark().borrow().bytes;
        drop(writer);

        // What was written to the log when the index did not say so yet.
        let mut log = OpenOptions::new().append(true).open(torn.path().join(LOG)).unwrap();
        log.write_all(&unrecorded).unwrap();
        // Beyond what a process can lose: a machine may lose any end that was not synced.
        let cut = |name: &str, share: f64| {
            let file = OpenOptions::new().write(true).open(torn.path().join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len((length as f64 * share) as u64).unwrap();
        };
        if lose_index {
            cut(INDEX, index_share);
        }
        if lose_log {
            cut(LOG, log_share);
        }

        let (mut writer, spool_offset) = LogWriter::reopen(torn.path(), masker()).unwrap();
        let written = writer.watermark().borrow().bytes;
        prop_assert_eq!(content(torn.path()).len() as u64, written);
        if !lose_index && !lose_log {
            prop_assert_eq!(written, announced, "what readers were told of stays");
        }
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
