//! What the writer makes of output, notes and attempts.

use super::*;

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

#[test]
fn after_a_write_that_failed_halfway_the_log_goes_on_from_its_last_record() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), masker()).unwrap();
    writer.append(1_000, 0, b"kept\n").unwrap();
    let follower = writer.watermark();
    let announced = *follower.borrow();
    // As a disk takes the first bytes of a write, and not the rest.
    for (file, torn) in [(LOG, &b"half of a li"[..]), (INDEX, &[7; 20])] {
        use std::io::Write;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join(file))
            .unwrap();
        file.write_all(torn).unwrap();
    }
    writer.append(1_001, 5, b"hunter").unwrap();
    writer.mend().unwrap();
    writer.note("errored: no room").unwrap();
    writer.finish().unwrap();
    assert_eq!(content(folder.path()), b"kept\n==> errored: no room\n");
    assert!(follower.borrow().finished && follower.borrow().bytes > announced.bytes);
    let reader = LogReader::open(folder.path()).unwrap();
    assert_eq!(reader.lines().unwrap(), 2);
    assert_eq!(reader.offset_of_line(2).unwrap(), Some(5));
}
