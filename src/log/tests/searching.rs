//! Searches, within lines of any length.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::log::scan::Match;

fn search(
    reader: &LogReader,
    query: &Query,
    direction: Direction,
    limit: usize,
    max_bytes: u64,
) -> Found {
    let enough = Enough { limit, max_bytes };
    let stop = CancellationToken::new();
    reader.search(query, direction, enough, &stop).unwrap()
}

fn forward(reader: &LogReader, query: &Query, from: u64, limit: usize, max_bytes: u64) -> Found {
    search(reader, query, Direction::Forward(from), limit, max_bytes)
}

fn marks(reader: &LogReader, query: &Query, buckets: u64) -> Marks {
    reader
        .marks(query, buckets, &CancellationToken::new())
        .unwrap()
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
            let found = forward(&reader, &query, from, 7, 1 << 20);
            assert!(found.matches.len() <= 7);
            lines.extend(found.matches.iter().map(|found| (found.line, found.column)));
            next = found.next_line;
        }
        let expected: Vec<_> = (0..60).map(|thousand| (thousand * 1000 + 999, 1)).collect();
        assert_eq!(lines, expected);

        let query = Query::text("YYY\u{fffd}", false).unwrap();
        assert!(forward(&reader, &query, 1, 10, u64::MAX).matches.is_empty());
        let query = Query::regex(r"(?-u)YYY\xff\xfe$", false).unwrap();
        let found = forward(&reader, &query, 50, 1, u64::MAX);
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
        let found = forward(&reader, &query, 1, 100, u64::MAX);
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
    let nothing = forward(&reader, &query, 1, 100, 5);
    assert_eq!((nothing.matches.len(), nothing.next_line), (0, Some(2)));
    let found = forward(&reader, &query, 2, 100, 5);
    let places: Vec<_> = found.matches.iter().map(|m| (m.line, m.column)).collect();
    assert_eq!(places, [(2, 1_000_001)]);
    assert!(found.matches[0].excerpt.len() <= 256);
    let in_excerpt = (found.matches[0].column - found.matches[0].excerpt_column) as usize;
    assert!(found.matches[0].excerpt[in_excerpt..].starts_with(b"needle"));
    let rest = forward(&reader, &query, found.next_line.unwrap(), 100, u64::MAX);
    assert_eq!(rest.matches[0].line, 3);
    assert_eq!(rest.next_line, None);

    let at_line_start = Query::regex("^x", true).unwrap();
    let found = forward(&reader, &at_line_start, 1, 100, u64::MAX);
    assert_eq!(found.matches.len(), 1);
}

/// A piece of a long line is not the line: its end is no line's end.
#[test]
fn what_stands_at_the_end_of_a_line_is_not_found_within_it() {
    let mut bytes = vec![b'x'; 3_000_000];
    bytes.extend_from_slice("ä\n".as_bytes());
    let folder = written(&bytes);
    let reader = LogReader::open(folder.path()).unwrap();
    let lines = |pattern: &str| {
        let query = Query::regex(pattern, true).unwrap();
        forward(&reader, &query, 1, 10, u64::MAX).matches.len()
    };
    assert_eq!(lines("x+$"), 0);
    assert_eq!(lines(r"x\b"), 0);
    assert_eq!(lines("x{10}ä$"), 1);
}

#[test]
fn what_is_searched_is_what_is_shown() {
    let folder = written(
        b"first\n\x1b[32m[ 2%]\x1b[0m \x1b[1mgcc\x1b[0m -c\x1b[K\n\x1b]8;;http://gcc\x07link\x1b]8;;\x07",
    );
    let reader = LogReader::open(folder.path()).unwrap();
    let found = |pattern: &str| -> Vec<Match> {
        let query = Query::regex(pattern, true).unwrap();
        forward(&reader, &query, 1, 100, u64::MAX).matches
    };
    let expected = Match {
        line: 2,
        column: 9,
        length: 14,
        excerpt: b"[ 2%] gcc -c".to_vec(),
        excerpt_column: 6,
    };
    assert_eq!(found("%\\] gcc"), [expected]);
    assert_eq!(found("-c$").len(), 1);
    assert_eq!(found("^link$")[0].column, 17);
    assert_eq!(found("\\[0m|\\x1b|http"), []);
}

/// A line longer than a block with one sequence, cut at each of its bytes.
#[test]
fn a_sequence_may_be_cut_by_the_end_of_a_block() {
    const BLOCK: usize = 256 * 1024;
    let sequence = b"\x1b[38;5;196m";
    for (border, line_begins) in [(BLOCK, 0), (BLOCK, BLOCK - 100)] {
        for cut in 0..=sequence.len() {
            let mut log = vec![b'x'; border - cut - 4];
            if line_begins > 0 {
                log[line_begins - 1] = b'\n';
            }
            log.extend_from_slice(b"need");
            log.extend_from_slice(sequence);
            log.extend_from_slice(b"le");
            log.extend(vec![b'x'; 1_000_000]);
            log.push(b'\n');
            let folder = written(&log);
            let reader = LogReader::open(folder.path()).unwrap();
            let query = Query::text("needle", true).unwrap();
            let found = forward(&reader, &query, 1, 10, u64::MAX).matches;
            let places: Vec<_> = found.iter().map(|m| (m.column, m.length)).collect();
            let column = (border - cut - 4 - line_begins + 1) as u64;
            assert_eq!(places, [(column, 6 + sequence.len() as u64)], "{cut}");
        }
    }
}

#[test]
fn a_search_that_was_stopped_ends() {
    let folder = written(b"text\n");
    let reader = LogReader::open(folder.path()).unwrap();
    let query = Query::text("text", true).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let enough = Enough {
        limit: 1,
        max_bytes: 1,
    };
    for direction in [Direction::Forward(1), Direction::Backward(9)] {
        let stopped = reader.search(&query, direction, enough, &stop);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
    let stopped = reader.marks(&query, 1, &stop);
    assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
}

/// An expression that runs over lines' ends would otherwise be tried from each line to the end
/// of its block: more than a minute here, in place of a moment.
#[test]
fn time_is_linear_whatever_the_expression_is() {
    let folder = written(&b"a line of text\n".repeat(100_000));
    let reader = LogReader::open(folder.path()).unwrap();
    let since = std::time::Instant::now();
    let plain = Query::regex("text", true).unwrap();
    assert_eq!(marks(&reader, &plain, 1).counts, [100_000]);
    let plain = since.elapsed();
    let since = std::time::Instant::now();
    let across = Query::regex(r"(?s)[^:]+|.*:", true).unwrap();
    assert_eq!(marks(&reader, &across, 1).counts, [100_000]);
    let across = since.elapsed();
    assert!(across < plain * 50, "{plain:?}, {across:?}");
}

/// Patterns that say something about lines' ends, some of which would cross them.
const PATTERNS: [&str; 24] = [
    "needle",
    "^needle",
    "needle$",
    "needle\\r?$",
    "needle\\s+needle",
    "needle\\nneedle",
    "\\n",
    "\\s",
    "\\s*$",
    "^$",
    "^\\s*$",
    "[^:]+",
    "(?s)needle.{3}",
    "(?s)^.{0,9}$",
    "\\bneedle\\b",
    "\\Bneedle",
    "\\Aneedle",
    "needle\\z",
    "x|\\n|y",
    "(?:needle\\n?)+:",
    "(?-u:\\xff)",
    "(?-u:[^a-z])\\d",
    "\\D{3}ß",
    "x*",
];

fn a_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(&b"needle"[..]),
        Just(&b"Needle"[..]),
        Just(&b"x"[..]),
        Just(&b": "[..]),
        Just(&b"  "[..]),
        Just(&b"7"[..]),
        Just(&b"\xff"[..]),
        Just("ß".as_bytes()),
        Just(&b"\x1b[0m"[..]),
        Just(&b"\x1b[1;31m"[..]),
        Just(&b"\x1b]8;;needle\x1b\\"[..]),
        Just(&b"\x1b]0;x"[..]),
        Just(&b"\x1b(B"[..]),
        Just(&b"\x1b"[..]),
    ];
    let words = prop::collection::vec(word, 0..6).prop_map(|words| words.concat());
    // Around the size of a block, and of two.
    let long = (
        0usize..2,
        260_000usize..264_000,
        any::<bool>(),
        any::<bool>(),
        words.clone(),
    )
        .prop_map(|(more, length, first, is_coloured, words)| {
            let mut filler = vec![b'x'; length * (more + 1)];
            if is_coloured {
                // Sequences of many lengths: somewhere one is cut by the end of a block.
                filler = filler
                    .chunks(997)
                    .zip(0..)
                    .flat_map(|(piece, number)| {
                        let colour = format!("\x1b[{}m", "1;".repeat(number % 13));
                        [colour.as_bytes(), piece].concat()
                    })
                    .collect();
            }
            match first {
                true => [words, filler].concat(),
                false => [filler, words].concat(),
            }
        });
    let end = prop_oneof![4 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..])];
    let line = prop_oneof![30 => words, 1 => long];
    (line, end).prop_map(|(line, end)| [&line, end].concat())
}

/// Some lines again and again, up to about a MB; the last may be unfinished.
fn a_log() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(a_line(), 1..40);
    (lines, 1usize..900_000, any::<bool>()).prop_map(|(lines, size, is_finished)| {
        let lines = lines.concat();
        let mut log = lines.repeat(size.div_ceil(lines.len()));
        if !is_finished {
            log.pop();
        }
        log
    })
}

static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| {
    let expression = concat!(
        r"(?s-u)\x1b(?:\[[\x20-\x3f]*[\x40-\x7e]?",
        r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?",
        r"|[()*+#%][\x20-\x7e]?|[\x20-\x7e])?",
    );
    Regex::new(expression).unwrap()
});

/// A line as it is shown, and where in the line each byte of that stands; with the line's length
/// after them.
fn shown(line: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut text, mut places) = (Vec::new(), Vec::new());
    let mut keep = |from: usize, to: usize| {
        text.extend_from_slice(&line[from..to]);
        places.extend(from..to);
    };
    let mut at = 0;
    for found in SEQUENCE.find_iter(line) {
        keep(at, found.start());
        at = found.end();
    }
    keep(at, line.len());
    places.push(line.len());
    (text, places)
}

/// The first match in each line that has one, with its column and length, by a search of what
/// is shown of each line alone.
fn naive(log: &[u8], pattern: &Regex) -> Vec<(u64, u64, u64)> {
    let whole = log.strip_suffix(b"\n").unwrap_or(log);
    if log.is_empty() {
        return Vec::new();
    }
    (1..)
        .zip(whole.split(|&byte| byte == b'\n'))
        .filter_map(|(number, line)| {
            let (text, places) = shown(line);
            let found = pattern.find(&text)?;
            let start = places[found.start()];
            let end = match found.is_empty() {
                true => start,
                false => places[found.end() - 1] + 1,
            };
            Some((number, start as u64 + 1, (end - start) as u64))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// Wherever a log is cut into parts, blocks and frames, and whatever the way through it: the
    /// same lines are found.
    #[test]
    fn all_ways_through_a_log_find_what_a_search_of_each_line_finds(
        log in a_log(),
        piece in 500usize..100_000,
        known in 0.0..1.0f64,
        pattern in prop::sample::select(&PATTERNS[..]),
        case in any::<bool>(),
        limit in 1usize..2_000,
        buckets in 1u64..2_000,
    ) {
        let folder = folder();
        let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
        for (number, part) in log.chunks(piece).enumerate() {
            writer.append(1_000, (number * piece) as u64, part).unwrap();
        }
        writer.finish().unwrap();
        let regex = RegexBuilder::new(pattern)
            .multi_line(true)
            .case_insensitive(!case)
            .build()
            .unwrap();
        let query = Query::regex(pattern, case).unwrap();
        let known = (known * log.len() as f64) as usize;
        for (is_compressed, length) in [(false, log.len()), (false, known), (true, log.len())] {
            if is_compressed {
                compress(folder.path()).unwrap();
            }
            let log = &log[..length];
            let reader = LogReader::open(folder.path()).unwrap().at_length(length as u64);
            let expected = naive(log, &regex);

            let marks = marks(&reader, &query, buckets);
            prop_assert_eq!(marks.lines, reader.lines().unwrap());
            prop_assert_eq!(marks.bucket_lines, marks.lines.div_ceil(buckets).max(1));
            let mut counts = vec![0; marks.lines.div_ceil(marks.bucket_lines) as usize];
            for (line, ..) in &expected {
                counts[((line - 1) / marks.bucket_lines) as usize] += 1;
            }
            prop_assert_eq!(marks.counts, counts);

            for direction in [Direction::Forward(1), Direction::Backward(u64::MAX)] {
                // Some pages of them.
                let mut found = Vec::new();
                let mut next = Some(direction);
                for _ in 0..6 {
                    let Some(way) = next else { break };
                    let page = search(&reader, &query, way, limit, 300_000);
                    prop_assert!(page.matches.len() <= limit);
                    found.extend(page.matches.iter().map(|m| (m.line, m.column, m.length)));
                    next = page.next_line.map(|line| match direction {
                        Direction::Forward(_) => Direction::Forward(line),
                        Direction::Backward(_) => Direction::Backward(line),
                    });
                }
                let is_whole = next.is_none();
                let mut expected = expected.clone();
                if matches!(direction, Direction::Backward(_)) {
                    expected.reverse();
                }
                prop_assert!(found.len() == expected.len() || !is_whole);
                for (found, expected) in found.iter().zip(&expected) {
                    // A match that is longer than what pieces of a line share may be cut.
                    match expected.2 < 4_000 {
                        true => prop_assert_eq!(found, expected),
                        false => prop_assert_eq!(found.0, expected.0),
                    }
                }
            }
        }
    }
}
