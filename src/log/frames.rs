//! Reading a compressed log at any offset.
//!
//! The file is in the Zstandard Seekable Format (zstd's contrib/seekable_format, 0.1.0):
//! independent frames, then a skippable frame with a table of their sizes. As all frames but
//! the last stand for the same number of bytes, finding a frame's place needs the sum of the
//! compressed sizes before it. One pass at opening keeps that sum for each 256th frame (512
//! bytes of memory for a log of 1 GiB); the entries between are read from the file each time.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use zstd::bulk::Decompressor;

pub(super) const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
pub(super) const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
pub(super) const FOOTER_SIZE: usize = 9;
pub(super) const ENTRY_SIZE: usize = 8;
pub(super) const SKIPPABLE_HEADER_SIZE: usize = 8;

/// The largest frame that is believed; ours are far smaller.
const LARGEST_FRAME: u64 = 16 * 1024 * 1024;

/// Sums are kept for each frame whose number is a multiple of this.
const FRAMES_A_SUM: u64 = 256;

/// A compressed log. It keeps at most one decompressed frame in memory.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    /// Where the table's entries begin in the file.
    entries_at: u64,
    frames: u64,
    /// What each frame but the last stands for, in bytes.
    frame_size: u64,
    length: u64,
    /// Offsets in the file of frames 0, 256, 512, …
    sums: Vec<u64>,
    current: Mutex<Option<Frame>>,
}

#[derive(Debug)]
struct Frame {
    number: u64,
    bytes: Vec<u8>,
}

impl Frames {
    /// # Errors
    ///
    /// `InvalidData` where the file is not one that this service wrote whole.
    pub fn open(file: File) -> io::Result<Self> {
        let file_length = file.metadata()?.len();
        let footer_at = file_length
            .checked_sub((SKIPPABLE_HEADER_SIZE + FOOTER_SIZE) as u64)
            .ok_or_else(|| invalid("it is too short"))?
            + SKIPPABLE_HEADER_SIZE as u64;
        let mut footer = [0; FOOTER_SIZE];
        file.read_exact_at(&mut footer, footer_at)?;
        if le_u32(&footer[5..9]) != SEEKABLE_MAGIC || footer[4] != 0 {
            return Err(invalid("it does not end with a table of frames"));
        }
        let frames = u64::from(le_u32(&footer[0..4]));
        let entries_at = footer_at
            .checked_sub(frames * ENTRY_SIZE as u64)
            .filter(|&entries_at| entries_at >= SKIPPABLE_HEADER_SIZE as u64)
            .ok_or_else(|| invalid("it is too short for its frames"))?;

        let mut opened = Self {
            file,
            entries_at,
            frames,
            frame_size: 0,
            length: 0,
            sums: Vec::new(),
            current: Mutex::new(None),
        };
        let end = opened.sum_up()?;
        if end != entries_at - SKIPPABLE_HEADER_SIZE as u64 {
            return Err(invalid("its frames do not fill it"));
        }
        Ok(opened)
    }

    /// Reads all entries once; returns where the last frame ends.
    fn sum_up(&mut self) -> io::Result<u64> {
        let mut position = 0;
        for first in (0..self.frames).step_by(FRAMES_A_SUM as usize) {
            self.sums.push(position);
            let block = self.entries(first, FRAMES_A_SUM.min(self.frames - first))?;
            for (number, entry) in (first..).zip(block.chunks_exact(ENTRY_SIZE)) {
                let size = u64::from(le_u32(&entry[4..8]));
                if number == 0 {
                    self.frame_size = size;
                }
                let is_last = number + 1 == self.frames;
                if size == 0 || size > LARGEST_FRAME || size > self.frame_size {
                    return Err(invalid("a frame has an impossible size"));
                }
                if size != self.frame_size && !is_last {
                    return Err(invalid("its frames differ in size"));
                }
                position += u64::from(le_u32(&entry[0..4]));
                self.length += size;
            }
        }
        Ok(position)
    }

    fn entries(&self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count as usize * ENTRY_SIZE];
        self.file
            .read_exact_at(&mut bytes, self.entries_at + first * ENTRY_SIZE as u64)?;
        Ok(bytes)
    }

    /// The log's length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `offset` on, as far as the frame reaches in which that lies; returns
    /// how many bytes those are, 0 at the end of the log.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let number = offset / self.frame_size;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = match current.take() {
            Some(frame) if frame.number == number => frame,
            _ => {
                // A context for each frame: kept ones would be 100 KiB of memory for each open
                // reader.
                let mut cursor = self.cursor()?;
                cursor.decompress(number)?;
                cursor.frame
            }
        };
        let length = frame.copy_to(buffer, offset - number * self.frame_size);
        // One who reads on does not come back to a frame that was read to its end.
        if offset + (length as u64) < self.end_of(number) {
            *current = Some(frame);
        }
        Ok(length)
    }

    /// Reads frame after frame.
    pub fn cursor(&self) -> io::Result<FrameCursor<'_>> {
        Ok(FrameCursor {
            frames: self,
            decompressor: Decompressor::new()?,
            compressed: Vec::new(),
            frame: Frame {
                number: u64::MAX,
                bytes: Vec::new(),
            },
        })
    }

    /// Where a frame ends in the log.
    fn end_of(&self, number: u64) -> u64 {
        self.length.min((number + 1) * self.frame_size)
    }

    /// Where a frame begins in the file, and its size there.
    fn place_of(&self, number: u64) -> io::Result<(u64, u64)> {
        let first = number - number % FRAMES_A_SUM;
        let entries = self.entries(first, number - first + 1)?;
        let mut sizes = entries
            .chunks_exact(ENTRY_SIZE)
            .map(|entry| u64::from(le_u32(&entry[0..4])));
        let size = sizes.next_back().unwrap_or(0);
        let position = self.sums[(first / FRAMES_A_SUM) as usize] + sizes.sum::<u64>();
        Ok((position, size))
    }
}

impl Frame {
    fn copy_to(&self, buffer: &mut [u8], from: u64) -> usize {
        let bytes = &self.bytes[from as usize..];
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        length
    }
}

/// Reads a compressed log with memory of its own, which one frame after the other uses again.
pub(super) struct FrameCursor<'a> {
    frames: &'a Frames,
    decompressor: Decompressor<'static>,
    compressed: Vec<u8>,
    frame: Frame,
}

impl FrameCursor<'_> {
    /// Like [`Frames::read_at`].
    pub fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.frames.length || buffer.is_empty() {
            return Ok(0);
        }
        let number = offset / self.frames.frame_size;
        if self.frame.number != number {
            self.decompress(number)?;
        }
        let from = offset - number * self.frames.frame_size;
        Ok(self.frame.copy_to(buffer, from))
    }

    fn decompress(&mut self, number: u64) -> io::Result<()> {
        let frames = self.frames;
        let (position, size) = frames.place_of(number)?;
        // The sum of all sizes is the file's, so this allocates no more than the file has.
        self.compressed.resize(size as usize, 0);
        frames.file.read_exact_at(&mut self.compressed, position)?;
        let expected = (frames.end_of(number) - number * frames.frame_size) as usize;
        self.frame.number = u64::MAX;
        self.frame.bytes.clear();
        self.frame.bytes.reserve_exact(expected);
        self.decompressor
            .decompress_to_buffer(&self.compressed, &mut self.frame.bytes)?;
        if self.frame.bytes.len() != expected {
            return Err(invalid("a frame has not the size that its table says"));
        }
        self.frame.number = number;
        Ok(())
    }
}

impl fmt::Debug for FrameCursor<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("FrameCursor");
        shown
            .field("frame", &self.frame.number)
            .finish_non_exhaustive()
    }
}

fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes were sliced"))
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the compressed log is damaged: {reason}"),
    )
}
