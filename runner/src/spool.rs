//! From the script's pipe to the spool, without ever waiting for a reader.

use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Write};

use crate::protocol::{LIMIT, SPOOL};
use crate::sys::{self, POLLHUP, POLLIN, PollFd};

/// The kernel's limit of what an unprivileged process may ask for (/proc/sys/fs/pipe-max-size). A
/// script that writes faster than we get to run is not stopped at the default 64 KiB.
pub const PIPE_SIZE: usize = 1 << 20;

/// What became of the script's output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spooled {
    pub bytes: u64,
    pub dropped: u64,
    pub error: Option<i32>,
}

pub struct Spool<W> {
    file: W,
    max: u64,
    so_far: Spooled,
    on_limit: fn(),
}

impl Spool<File> {
    pub fn create(max: u64) -> io::Result<Self> {
        let file = File::create_new(SPOOL)?;
        // Without the mark, followers do not say that the limit was reached; the outcome still does.
        let mark = || drop(fs::write(LIMIT, ""));
        Ok(Self::new(file, max, mark))
    }
}

impl<W: Write> Spool<W> {
    fn new(file: W, max: u64, on_limit: fn()) -> Self {
        Self {
            file,
            max,
            so_far: Spooled::default(),
            on_limit,
        }
    }

    /// Takes everything; what does not fit, or cannot be written, is counted.
    fn take(&mut self, bytes: &[u8]) {
        let dropping = self.so_far.dropped > 0;
        let room = if dropping {
            0
        } else {
            self.max - self.so_far.bytes
        };
        let wanted = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut written = 0;
        while written < wanted {
            match self.file.write(&bytes[written..wanted]) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => {
                    // A gap in the middle of a log would look like output; so nothing follows.
                    let code = other.err().and_then(|error| error.raw_os_error());
                    self.so_far.error = Some(code.unwrap_or(0));
                    break;
                }
            }
        }
        self.so_far.bytes += written as u64;
        let lost = (bytes.len() - written) as u64;
        if lost > 0 && !dropping && self.so_far.error.is_none() {
            (self.on_limit)();
        }
        self.so_far.dropped += lost;
    }

    /// Copies until every writer of `pipe` is gone, or until the other end of `ended` is closed and
    /// what had been written by then is taken, or until the spool cannot be written. A background
    /// process that holds the pipe open and goes on writing does not keep us.
    pub fn copy(mut self, mut pipe: PipeReader, ended: &PipeReader) -> Spooled {
        let mut buffer = vec![0; PIPE_SIZE];
        let mut left_after_end = PIPE_SIZE;
        loop {
            let mut fds = [PollFd::new(&pipe, POLLIN), PollFd::new(ended, POLLIN)];
            sys::poll(&mut fds, -1);
            let [output, end] = fds.map(|fd| fd.happened);
            let over = end & (POLLIN | POLLHUP) != 0;
            if output & (POLLIN | POLLHUP) != 0 {
                match pipe.read(&mut buffer) {
                    Ok(0) => return self.so_far,
                    Ok(count) => {
                        self.take(&buffer[..count]);
                        if over {
                            left_after_end = left_after_end.saturating_sub(count);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return self.so_far,
                }
            } else if over {
                return self.so_far;
            }
            if left_after_end == 0 || self.so_far.error.is_some() {
                return self.so_far;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    static MARKS: AtomicU32 = AtomicU32::new(0);

    #[test]
    fn past_its_limit_a_spool_counts_and_marks_once() {
        let mut file = Vec::new();
        let mut spool = Spool::new(&mut file, 10, || {
            MARKS.fetch_add(1, Ordering::Relaxed);
        });
        for _ in 0..3 {
            spool.take(b"1234567");
        }
        assert_eq!(
            spool.so_far,
            Spooled {
                bytes: 10,
                dropped: 11,
                error: None
            }
        );
        assert_eq!(MARKS.load(Ordering::Relaxed), 1);
        assert_eq!(file, b"1234567123");
    }

    #[test]
    fn a_log_exactly_as_long_as_its_limit_drops_nothing() {
        let mut file = Vec::new();
        let mut spool = Spool::new(&mut file, 7, || panic!("nothing was dropped"));
        spool.take(b"1234567");
        assert_eq!(
            spool.so_far,
            Spooled {
                bytes: 7,
                dropped: 0,
                error: None
            }
        );
    }

    struct FullDisk(usize);

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            const ENOSPC: i32 = 28;
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                Err(io::Error::from_raw_os_error(ENOSPC))
            } else {
                Ok(taken)
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_full_disk_nothing_follows() {
        let mut spool = Spool::new(FullDisk(5), 100, || panic!("that is no limit"));
        spool.take(b"1234567");
        spool.file.0 = 100;
        spool.take(b"89");
        assert_eq!(
            spool.so_far,
            Spooled {
                bytes: 5,
                dropped: 4,
                error: Some(28)
            }
        );
    }

    #[test]
    fn a_full_disk_is_told_at_once() {
        let (pipe, mut script) = io::pipe().unwrap();
        let (ended, _still_running) = io::pipe().unwrap();
        script.write_all(b"1234567").unwrap();
        let spooled = Spool::new(FullDisk(5), 100, || ()).copy(pipe, &ended);
        assert_eq!((spooled.bytes, spooled.error), (5, Some(28)));
        assert!(script.write_all(b"89").is_err(), "nobody reads");
    }

    #[test]
    fn a_writer_that_stays_does_not_keep_the_spool() {
        let (pipe, mut script) = io::pipe().unwrap();
        let (ended, still_running) = io::pipe().unwrap();
        script.write_all(b"all of it").unwrap();
        drop(still_running);
        let spooled = Spool::new(Vec::new(), 100, || ()).copy(pipe, &ended);
        assert_eq!(spooled.bytes, 9);
        drop(script);
    }

    #[test]
    fn a_writer_that_never_stops_does_not_keep_the_spool() {
        let (pipe, mut script) = io::pipe().unwrap();
        let (ended, still_running) = io::pipe().unwrap();
        let endless = thread::spawn(move || while script.write_all(&[b'x'; 4096]).is_ok() {});
        drop(still_running);
        let spooled = Spool::new(Vec::new(), u64::MAX, || ()).copy(pipe, &ended);
        assert!(spooled.bytes < 2 * PIPE_SIZE as u64, "{spooled:?}");
        endless.join().unwrap();
    }
}
