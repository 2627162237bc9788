//! The last lines of a log, kept in memory: for the build's row, and to know whether a line
//! would only repeat the one before it.

/// Enough for [`Tail::LINES`] lines of a usual length; a line of 10 MB is not kept.
const CAPACITY: usize = 16 * 1024;

/// The longest line in what [`Tail::lines`] gives, in bytes of the log.
const LONGEST_LINE: usize = 1024;

/// The last bytes of a stream: at least 16 KiB of them, at most twice that.
#[derive(Default, Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// How many lines [`Tail::lines`] gives at most.
    const LINES: usize = 20;

    /// How many bytes of a log's end are enough to set the tail up again.
    pub const CAPACITY: usize = CAPACITY;

    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.len() >= CAPACITY {
            self.bytes.clear();
            self.bytes
                .extend_from_slice(&bytes[bytes.len() - CAPACITY..]);
            return;
        }
        if self.bytes.len() + bytes.len() > 2 * CAPACITY {
            self.bytes
                .drain(..self.bytes.len() + bytes.len() - CAPACITY);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the stream ends with this whole line, which includes its newline.
    pub fn ends_with_line(&self, line: &[u8]) -> bool {
        match self.bytes.strip_suffix(line) {
            Some(before) => before.last().is_none_or(|&byte| byte == b'\n'),
            None => false,
        }
    }

    /// The last 20 lines, oldest first, each cut to 1 KiB, invalid UTF-8 replaced.
    pub fn lines(&self) -> Vec<String> {
        let whole = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        if whole.is_empty() {
            return Vec::new();
        }
        let mut lines: Vec<String> = whole
            .rsplit(|&byte| byte == b'\n')
            .take(Self::LINES)
            .map(|line| {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                String::from_utf8_lossy(&line[..line.len().min(LONGEST_LINE)]).into_owned()
            })
            .collect();
        lines.reverse();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_lines_are_kept_and_a_huge_line_is_not() {
        let mut tail = Tail::default();
        assert!(tail.lines().is_empty());
        for number in 1..=1000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let lines = tail.lines();
        assert_eq!(lines.len(), 20);
        assert_eq!((&*lines[0], &*lines[19]), ("line 981", "line 1000"));
        assert!(tail.ends_with_line(b"line 1000\n"));
        assert!(!tail.ends_with_line(b"1000\n"));

        for _ in 0..1000 {
            tail.push(&[b'x'; 10_000]);
        }
        assert!(tail.bytes.capacity() <= 4 * CAPACITY);
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].len()), (1, LONGEST_LINE));
    }
}
