//! `runner follow <offset>`: the spool, as it grows, in frames on stdout.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::processes;
use crate::protocol::{ALIVE_EVERY_MS, Head, Kind, LIMIT, MAX_PAYLOAD, RESULT, SPOOL};
use crate::spool::PIPE_SIZE;
use crate::sys::{self, POLLERR, POLLIN, PollFd};

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Follows the spool to its end.
///
/// # Errors
/// Nobody reads stdout any more, or the spool cannot be read.
pub fn follow(offset: u64) -> io::Result<()> {
    processes::end_older_followers();
    let mut frames = Frames::to_stdout()?;
    let mut changes = Changes::watch();
    let spool = loop {
        match File::open(SPOOL) {
            Ok(spool) => break spool,
            // Docker lets us in before the runner has made it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                frames.keep_alive(offset)?;
                changes.wait(&frames.out)?;
            }
            Err(error) => return Err(error),
        }
    };

    let mut offset = offset;
    let mut limit = Limit::NotReached;
    let mut outcome = None;
    loop {
        let length = frames.chunk(&spool, offset)?;
        if length > 0 {
            offset += length;
            changes.were_found();
            continue;
        }
        // The marks are made after the bytes they speak of. So what a mark promises holds only for
        // a read that came after it was seen: look at the spool once more before passing it on.
        if limit == Limit::Reached {
            frames.send(Kind::Limit, offset, b"")?;
            limit = Limit::Said;
        }
        if let Some(outcome) = outcome {
            return frames.send(Kind::End, offset, outcome);
        }
        if limit == Limit::NotReached && Path::new(LIMIT).exists() {
            limit = Limit::Reached;
            continue;
        }
        outcome = read_outcome()?;
        if outcome.is_none() {
            frames.keep_alive(offset)?;
            changes.wait(&frames.out)?;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Limit {
    NotReached,
    Reached,
    Said,
}

fn read_outcome() -> io::Result<Option<&'static [u8]>> {
    match fs::read(RESULT) {
        // Read once, at the very end of this process.
        Ok(outcome) => Ok(Some(Vec::leak(outcome))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes frames, each by one call, and remembers when.
struct Frames {
    out: File,
    buffer: Vec<u8>,
    last: Instant,
}

impl Frames {
    fn to_stdout() -> io::Result<Self> {
        // Not io::stdout(), which looks for line ends and would cut frames there.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        sys::enlarge_pipe(&out, PIPE_SIZE as i32);
        Ok(Self {
            out,
            buffer: vec![0; Head::LENGTH + MAX_PAYLOAD],
            last: Instant::now(),
        })
    }

    fn send(&mut self, kind: Kind, offset: u64, payload: &[u8]) -> io::Result<()> {
        let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
        self.buffer[Head::LENGTH..][..payload.len()].copy_from_slice(payload);
        self.write(kind, offset, payload.len())
    }

    /// Sends what the spool has at `offset`, at most one frame of it. Returns its length.
    fn chunk(&mut self, spool: &File, offset: u64) -> io::Result<u64> {
        let length = spool.read_at(&mut self.buffer[Head::LENGTH..], offset)?;
        if length > 0 {
            self.write(Kind::Chunk, offset, length)?;
        }
        Ok(length as u64)
    }

    fn keep_alive(&mut self, offset: u64) -> io::Result<()> {
        if self.last.elapsed() < Duration::from_millis(ALIVE_EVERY_MS) {
            return Ok(());
        }
        self.send(Kind::Alive, offset, b"")
    }

    /// Sends the frame whose payload stands in the buffer.
    fn write(&mut self, kind: Kind, offset: u64, payload: usize) -> io::Result<()> {
        let head = Head {
            kind,
            payload,
            time: now(),
            offset,
        };
        self.buffer[..Head::LENGTH].copy_from_slice(&head.encode());
        self.last = Instant::now();
        self.out.write_all(&self.buffer[..Head::LENGTH + payload])
    }
}

/// Waits for the runner's next word.
enum Changes {
    /// The kernel tells us: nothing to do while the script is silent.
    Told(File),
    /// It cannot (too many watchers on this machine): look ever more seldom.
    Looking { pause: Duration },
}

impl Changes {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(40);
    /// Some file systems never tell. A log that is a second late beats one that stands still.
    const TRUST_MS: i32 = 1000;

    fn watch() -> Self {
        match sys::watch_folder(c"/.autobuilder") {
            Ok(watch) => Self::Told(watch),
            Err(_) => Self::Looking {
                pause: Self::SHORTEST,
            },
        }
    }

    fn were_found(&mut self) {
        if let Self::Looking { pause } = self {
            *pause = Self::SHORTEST;
        }
    }

    /// # Errors
    /// `BrokenPipe` when nobody can read `out` any more.
    fn wait(&mut self, out: &File) -> io::Result<()> {
        match self {
            Self::Told(watch) => {
                let mut fds = [PollFd::new(watch, POLLIN), PollFd::new(out, 0)];
                sys::poll(&mut fds, Self::TRUST_MS);
                let [told, broken] = fds.map(|fd| fd.happened);
                if broken & POLLERR != 0 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if told & POLLIN != 0 {
                    // What changed does not matter, only that something did. Not blocking, so an
                    // error means that there was nothing.
                    let mut events = [0; 4096];
                    let _ = io::Read::read(watch, &mut events);
                }
            }
            Self::Looking { pause } => {
                let mut fds = [PollFd::new(out, 0)];
                let [broken] = {
                    sys::poll(&mut fds, 0);
                    fds.map(|fd| fd.happened)
                };
                if broken & POLLERR != 0 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                thread::sleep(*pause);
                *pause = (*pause * 2).min(Self::LONGEST);
            }
        }
        Ok(())
    }
}
