//! What readers find, while the log grows and after it was compressed.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

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
fn what_came_just_before_a_silence_keeps_its_time() {
    let folder = folder();
    let mut writer = LogWriter::create(folder.path(), Masker::none()).unwrap();
    let lines = [
        (10_000, "one\n"),
        (10_050, "two\n"),
        (70_000, "six\n"),
        (70_020, "ten\n"),
    ];
    for (offset, (time, line)) in lines.into_iter().enumerate() {
        writer
            .append(time, 4 * offset as u64, line.as_bytes())
            .unwrap();
    }
    let reader = LogReader::open(folder.path()).unwrap();
    for (offset, (time, _)) in lines.into_iter().enumerate() {
        let found = reader.time_at_offset(4 * offset as u64).unwrap();
        assert!(found.abs_diff(time) < 100, "{found} for {time}");
    }
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

#[test]
fn a_colour_holds_until_it_is_unset_however_far_below_it_is_looked_for() {
    let mut bytes = b"plain\n\x1b[1;35mfrom here on\n".to_vec();
    for line in 3..=30_000 {
        writeln!(bytes, "line {line} of a log with a colour that holds").unwrap();
        if line == 15_000 {
            bytes.extend_from_slice(b"\x1b[m");
        }
    }
    let folder = written(&bytes);
    for is_compressed in [false, true] {
        if is_compressed {
            compress(folder.path()).unwrap();
        }
        let reader = LogReader::open(folder.path()).unwrap();
        let style = |line| {
            let offset = reader.offset_of_line(line).unwrap().unwrap();
            reader.style_at(offset).unwrap()
        };
        for (line, holds) in [
            (1, ""),
            (2, ""),
            (3, "1;35"),
            (300, "1;35"),
            (15_000, "1;35"),
            (15_001, "1;35"),
            (15_002, ""),
            (30_000, ""),
        ] {
            assert_eq!(style(line), holds, "line {line}");
        }
        assert_eq!(reader.style_at(0).unwrap(), "");
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
