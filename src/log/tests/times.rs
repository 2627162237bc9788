//! When lines came.

use proptest::prelude::*;

use super::*;

#[test]
fn a_line_has_the_time_of_its_first_byte() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
    let mut length = 0;
    let mut append = |time, text: &str| {
        writer.append(time, length, text.as_bytes()).unwrap();
        length += text.len() as u64;
    };
    append(1_000, "one\ntwo\nthree ");
    append(30_000, "goes on\nfour\n");
    append(60_000, "\n\nseven");
    let reader = LogReader::open(folder.path()).unwrap();
    let times = |first: u64, count: u64| {
        let times = reader.times(first, count).unwrap();
        let changes = times.changes.iter().map(|at| (at.line, at.time_ms));
        (changes.collect::<Vec<_>>(), times.next_line)
    };
    let all = vec![(1, 1_000), (4, 30_000), (5, 60_000)];
    assert_eq!(times(1, 100), (all.clone(), None));
    assert_eq!(times(1, 7), (all, None));
    assert_eq!(times(2, 2), (vec![(2, 1_000)], Some(4)));
    assert_eq!(times(3, 2), (vec![(3, 1_000), (4, 30_000)], Some(5)));
    assert_eq!(times(7, 1), (vec![(7, 60_000)], None));
    assert_eq!(times(8, 5), (vec![], None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Whatever is appended when, and however much of it is known: each line's time is that of
    /// the byte with which it begins.
    #[test]
    fn each_line_has_the_time_of_its_first_byte(
        appends in prop::collection::vec(("[a\n]{0,6}\n?", 0u64..300, 1usize..3_000), 1..20),
        known in 0.0..=1.0f64,
        first in 0.0..=1.0f64,
        count in 1u64..400,
    ) {
        let folder = folder();
        let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
        let (mut time, mut log) = (1_000, Vec::new());
        for (text, later, times) in appends {
            time += later;
            let text = text.repeat(times);
            writer.append(time, log.len() as u64, text.as_bytes()).unwrap();
            log.extend_from_slice(text.as_bytes());
        }
        writer.finish().unwrap();
        for is_compressed in [false, true] {
            if is_compressed {
                compress(folder.path()).unwrap();
            }
            let known = (known * log.len() as f64) as u64;
            let reader = LogReader::open(folder.path()).unwrap().at_length(known);
            let lines = reader.lines().unwrap();
            let first = 1 + (first * lines as f64) as u64;

            let mut expected: Vec<(u64, u64)> = Vec::new();
            let end = lines.min(first + count - 1);
            for line in first..=end {
                let offset = reader.offset_of_line(line).unwrap().unwrap();
                let time = reader.time_at_offset(offset).unwrap();
                if expected.last().is_none_or(|last| last.1 != time) {
                    expected.push((line, time));
                }
            }
            let found = reader.times(first, count).unwrap();
            let changes = found.changes.iter().map(|at| (at.line, at.time_ms));
            prop_assert_eq!(changes.collect::<Vec<_>>(), expected);
            prop_assert_eq!(found.next_line, (end < lines).then_some(end + 1));
        }
    }
}
