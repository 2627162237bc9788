//! The few calls of the C library that std has no words for. Numbers are those of Linux on x86-64
//! and ARM, from its headers.
#![expect(
    unsafe_code,
    reason = "std cannot wait for any child, poll, or watch a folder, and the runner has no crates"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::raw::{c_char, c_int, c_short, c_ulong};

pub const SIGKILL: c_int = 9;
pub const SIGTERM: c_int = 15;

const F_SETPIPE_SZ: c_int = 1031;
const WNOHANG: c_int = 1;
const ECHILD: c_int = 10;
const ESRCH: c_int = 3;

pub const POLLIN: c_short = 0x1;
pub const POLLERR: c_short = 0x8;
pub const POLLHUP: c_short = 0x10;

const IN_MODIFY: u32 = 0x2;
const IN_MOVED_TO: u32 = 0x80;
const IN_CREATE: u32 = 0x100;
/// `IN_NONBLOCK | IN_CLOEXEC`, which are `O_NONBLOCK | O_CLOEXEC`.
const IN_FLAGS: c_int = 0o2_004_000;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PollFd {
    fd: c_int,
    events: c_short,
    pub happened: c_short,
}

impl PollFd {
    /// Errors and hang-ups are always reported, whatever `events` says.
    pub fn new(file: &impl AsFd, events: c_short) -> Self {
        Self {
            fd: file.as_fd().as_raw_fd(),
            events,
            happened: 0,
        }
    }
}

// SAFETY: as the manual pages of section 2 declare them; where a type there depends on the machine,
// it is the same on x86-64 and ARM.
unsafe extern "C" {
    #[link_name = "waitpid"]
    fn c_waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    #[link_name = "kill"]
    fn c_kill(pid: c_int, signal: c_int) -> c_int;
    #[link_name = "setsid"]
    fn c_setsid() -> c_int;
    #[link_name = "poll"]
    fn c_poll(fds: *mut PollFd, count: c_ulong, timeout: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn inotify_init1(flags: c_int) -> c_int;
    fn inotify_add_watch(fd: c_int, path: *const c_char, mask: u32) -> c_int;
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Whether [`reap`] waits for a child to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Forever,
    Not,
}

/// Takes one ended child, as (pid, wait status). `None`: there is no child, or none has ended yet.
pub fn reap(wait: Wait) -> Option<(u32, c_int)> {
    let options = if wait == Wait::Not { WNOHANG } else { 0 };
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call, which writes one int to it.
        match check(unsafe { c_waitpid(-1, &raw mut status, options) }) {
            Ok(0) => return None,
            Ok(pid) => return Some((pid as u32, status)),
            Err(error) if error.raw_os_error() == Some(ECHILD) => return None,
            Err(_) => {}
        }
    }
}

/// Sends a signal to one process; that it is gone already is no error.
pub fn kill(pid: u32, signal: c_int) -> io::Result<()> {
    // kill(0) and kill(-1) would reach others than the one process that is meant.
    let Ok(pid @ 1..) = c_int::try_from(pid) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: takes and returns integers.
    match check(unsafe { c_kill(pid, signal) }) {
        Err(error) if error.raw_os_error() != Some(ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// Makes this process the leader of a session of its own. Safe between fork and exec.
pub fn setsid() -> io::Result<()> {
    // SAFETY: takes and returns integers.
    check(unsafe { c_setsid() }).map(drop)
}

/// Waits until something happened or `timeout` milliseconds have passed; negative: for ever.
/// Returns early, with nothing, when a signal arrives.
pub fn poll(fds: &mut [PollFd], timeout: c_int) {
    for fd in fds.iter_mut() {
        fd.happened = 0;
    }
    // SAFETY: pointer and count are those of one exclusive slice of `struct pollfd`s.
    unsafe { c_poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout) };
}

/// Asks for a larger pipe, in bytes; one that is refused keeps its size.
pub fn enlarge_pipe(pipe: &impl AsFd, size: c_int) {
    // SAFETY: the descriptor is open as long as it is borrowed; the argument is the int that
    // F_SETPIPE_SZ takes.
    unsafe { fcntl(pipe.as_fd().as_raw_fd(), F_SETPIPE_SZ, size) };
}

/// A file that becomes readable when a file in `folder` is made, written to or renamed into it.
///
/// # Errors
/// Among others when root on this machine has `fs.inotify.max_user_instances` of them already,
/// which counts across containers.
pub fn watch_folder(folder: &std::ffi::CStr) -> io::Result<File> {
    // SAFETY: takes and returns integers.
    let fd = check(unsafe { inotify_init1(IN_FLAGS) })?;
    // SAFETY: `fd` is a new descriptor that nobody else owns.
    let watch = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let mask = IN_MODIFY | IN_MOVED_TO | IN_CREATE;
    // SAFETY: `folder` is a NUL-terminated string that outlives the call.
    check(unsafe { inotify_add_watch(watch.as_raw_fd(), folder.as_ptr(), mask) })?;
    Ok(watch)
}
