//! What a script writes: any bytes, in pieces of any length.

use tokio_util::sync::CancellationToken;

use super::{Direction, Enough, LogReader, LogWriter, Query};
use crate::domain::mask::Masker;

/// The first byte says how long the pieces are, the rest is what they hold.
pub fn log(bytes: &[u8]) {
    let Some((&piece, text)) = bytes.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secrets = [("TOKEN", "hunter2!"), ("KEY", "abcdef\nghijkl")];
    let mut writer = LogWriter::create(folder.path(), Masker::new(secrets, &[])).expect("a log");
    let mut offset = 0;
    for piece in text.chunks(usize::from(piece) + 1) {
        writer.append(offset, offset, piece).expect("an append");
        offset += piece.len() as u64;
    }
    writer.finish().expect("an end");

    let reader = LogReader::open(folder.path()).expect("the log");
    let length = reader.len().expect("its length");
    let whole = reader.read_at(0, usize::MAX >> 1).expect("its bytes");
    assert_eq!(whole.len() as u64, length);
    assert!(!contains(&whole, b"hunter2!"));
    if !contains(text, b"hunter2") && !contains(text, b"abcdef") && !contains(text, b"ghijkl") {
        assert!(whole == text || may_hold_other_forms(text));
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(reader.lines().expect("their number"), lines.len() as u64);
    let mut place = 0;
    for (number, line) in (1..).zip(&lines) {
        assert_eq!(
            reader.offset_of_line(number).expect("its place"),
            Some(place)
        );
        assert_eq!(reader.line_at_offset(place).expect("its number"), number);
        let one = reader.read_lines(number, 1, 1 << 20).expect("a line");
        assert_eq!(one.bytes, *line);
        let style = reader.style_at(place).expect("its style");
        assert!(
            style.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
            "{style:?} is a header"
        );
        place += line.len() as u64;
    }

    // Every line that is found forward is found backward.
    let query = Query::regex("[a-z]+", false).expect("an expression");
    let enough = Enough {
        limit: usize::MAX,
        max_bytes: u64::MAX,
    };
    let found = |direction| {
        let stop = CancellationToken::new();
        let found = reader
            .search(&query, direction, enough, &stop)
            .expect("a search");
        let mut lines: Vec<u64> = found.matches.iter().map(|found| found.line).collect();
        lines.sort_unstable();
        lines
    };
    let forward = found(Direction::Forward(1));
    assert_eq!(forward, found(Direction::Backward(u64::MAX)));
    let marks = reader
        .marks(&query, 7, &CancellationToken::new())
        .expect("marks");
    assert_eq!(marks.counts.iter().sum::<u64>(), forward.len() as u64);
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// The secrets in base64 or percent-encoded, by what all of these begin with.
fn may_hold_other_forms(text: &[u8]) -> bool {
    [
        &b"aHVud"[..],
        b"h1bnR",
        b"odW50",
        b"YWJjZ",
        b"FiY2R",
        b"hYmNk",
        b"%0",
        b"hunter",
    ]
    .iter()
    .any(|form| contains(text, form))
}
