//! Searches, within lines of any length.

use super::*;

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
