//! Compressing a finished log so that any part of it can still be read alone.
//!
//! Each 64 KiB of the log become a Zstandard frame of their own, and a table at the end says
//! where each begins: the Zstandard Seekable Format, which `zstd -d` reads like any other file.
//! The index stays as it is, as it speaks of offsets in the log.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::{
    ENTRY_SIZE, FOOTER_SIZE, Frames, SEEKABLE_MAGIC, SKIPPABLE_HEADER_SIZE, SKIPPABLE_MAGIC,
};
use super::writer::sync_folder;
use super::{COMPRESSED, INDEX, LOG};

/// How much of a log one frame stands for: what a random access decompresses, and what an open
/// reader may hold in memory. 8 MB of a compiler's output became 634 KB with this size; 128 KiB
/// would save 4 % of that, 256 KiB 12 %.
const FRAME_SIZE: usize = 64 * 1024;

/// zstd's own default: a stronger level takes several times as long for a few percent.
const LEVEL: i32 = 3;

/// The file while it is being written; one that a crash left behind is written anew.
const UNFINISHED: &str = "log.zst.tmp";

/// Replaces a finished log's `log` by `log.zst`. Takes two to three seconds of one core for
/// each GB; memory stays below 4 MiB. Readers that are open keep working, and one that is opened
/// at any moment finds one file or the other.
///
/// Does nothing where the log is compressed already, and finishes what a crash interrupted.
///
/// # Errors
///
/// `NotFound` where there is no log; what the disk says. The plain file is then still there.
pub fn compress(folder: &Path) -> io::Result<()> {
    let plain_path = folder.join(LOG);
    let compressed_path = folder.join(COMPRESSED);
    let plain = match File::open(&plain_path) {
        Ok(plain) => plain,
        Err(error) if error.kind() == io::ErrorKind::NotFound && compressed_path.exists() => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };

    let unfinished_path = folder.join(UNFINISHED);
    if let Err(error) = write_compressed(&plain, &unfinished_path) {
        // It may have taken the last room there was.
        let _ = fs::remove_file(&unfinished_path);
        return Err(error);
    }
    fs::rename(&unfinished_path, &compressed_path)?;
    sync_folder(folder)?;
    fs::remove_file(&plain_path)
}

fn write_compressed(plain: &File, path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    let length = write_frames(plain, &file)?;
    file.sync_all()?;
    // The plain file goes for ever: what replaces it is first seen to be whole.
    match Frames::open(File::open(path)?)?.len() == length {
        true => Ok(()),
        false => Err(io::Error::other("the log changed while it was compressed")),
    }
}

/// Returns how long the log is.
fn write_frames(plain: &File, output: &File) -> io::Result<u64> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    // Four bytes a frame, checked by every decoder.
    compressor.include_checksum(true)?;
    let mut output = BufWriter::with_capacity(256 * 1024, output);
    let mut block = vec![0; FRAME_SIZE];
    let mut table: Vec<u8> = Vec::new();
    let mut frames: u32 = 0;
    let mut offset = 0;
    loop {
        let length = read_full_at(plain, &mut block, offset)?;
        if length == 0 {
            break;
        }
        let frame = compressor.compress(&block[..length])?;
        output.write_all(&frame)?;
        table.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        table.extend_from_slice(&(length as u32).to_le_bytes());
        frames += 1;
        offset += length as u64;
    }

    debug_assert_eq!(table.len(), frames as usize * ENTRY_SIZE);
    let mut end = Vec::with_capacity(SKIPPABLE_HEADER_SIZE + table.len() + FOOTER_SIZE);
    end.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    end.extend_from_slice(&((table.len() + FOOTER_SIZE) as u32).to_le_bytes());
    end.extend_from_slice(&table);
    end.extend_from_slice(&frames.to_le_bytes());
    // The table's descriptor: no checksums in it, the frames have their own.
    end.push(0);
    end.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    output.write_all(&end)?;
    output.flush()?;
    Ok(offset)
}

/// Fills the buffer unless the file ends before.
fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Deletes a finished log, compressed or not. One that is not there is no error.
pub fn delete(folder: &Path) -> io::Result<()> {
    for name in [LOG, COMPRESSED, INDEX, UNFINISHED] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
