//! The processes of this container, as /proc shows them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::{self, SIGKILL, SIGTERM, Wait};

/// How long what the script left behind has to end after a friendly word.
const GRACE: Duration = Duration::from_millis(500);
/// A process in the middle of a hanging disk access cannot be killed; we do not wait longer.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

struct Process {
    pid: u32,
    parent: u32,
    zombie: bool,
    /// When it started, in ticks since the machine did.
    started: u64,
}

fn process(pid: u32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): pid, name in parentheses (any characters), state, parent; the start is field 22.
fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        zombie: matches!(state, "Z" | "X"),
        started,
    })
}

fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .collect()
}

/// The script's: every process but us and those that came in by `docker exec`. They
/// have their parent outside of the container, shown as 0; orphans of the script have us.
fn leftovers() -> Vec<u32> {
    let ours = |process: &Process| process.pid != 1 && process.parent != 0 && !process.zombie;
    processes()
        .into_iter()
        .filter(ours)
        .map(|process| process.pid)
        .collect()
}

/// Ends what the script left behind, first by SIGTERM, then by SIGKILL. Returns how many there were.
pub fn end_leftovers() -> usize {
    reap_all();
    let found = leftovers();
    for pid in &found {
        // A process that we may not signal is still there when we look again.
        let _ = sys::kill(*pid, SIGTERM);
    }
    let start = Instant::now();
    loop {
        reap_all();
        let left = leftovers();
        if left.is_empty() || start.elapsed() > PATIENCE {
            return found.len();
        }
        if start.elapsed() > GRACE {
            for pid in left {
                let _ = sys::kill(pid, SIGKILL);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Kills the script and what it has started, without waiting for their end.
pub fn kill_all() {
    for pid in leftovers() {
        let _ = sys::kill(pid, SIGKILL);
    }
}

fn reap_all() {
    while sys::reap(Wait::Not).is_some() {}
}

/// Ends the followers that started before this one: their reader is gone, which they cannot see,
/// as Docker keeps the pipe of an exec open.
pub fn end_older_followers() {
    let own_pid = std::process::id();
    let Some(own) = process(own_pid) else { return };
    let Ok(program) = fs::metadata("/proc/self/exe") else {
        return;
    };
    let is_older_follower = |other: &Process| {
        // Pid 1 is the runner itself. Of two that start in the same tick one has to stay.
        if other.pid == 1 || (other.started, other.pid) >= (own.started, own_pid) || other.zombie {
            return false;
        }
        let same_program = fs::metadata(format!("/proc/{}/exe", other.pid))
            .is_ok_and(|exe| (exe.dev(), exe.ino()) == (program.dev(), program.ino()));
        let arguments = fs::read(format!("/proc/{}/cmdline", other.pid)).unwrap_or_default();
        same_program && arguments.split(|byte| *byte == 0).nth(1) == Some(b"follow")
    };
    let start = Instant::now();
    loop {
        let older: Vec<_> = processes().into_iter().filter(is_older_follower).collect();
        if older.is_empty() || start.elapsed() > PATIENCE {
            return;
        }
        for follower in older {
            let _ = sys::kill(follower.pid, SIGKILL);
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_confuses_nobody() {
        let stat = "42 (a) Z 1 (b) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        let process = parse_stat(42, stat).unwrap();
        assert_eq!(
            (process.pid, process.parent, process.zombie),
            (42, 7, false)
        );
        assert_eq!(process.started, 98765);
        assert!(parse_stat(1, "1 (cut").is_none());
    }

    #[test]
    fn we_find_ourselves() {
        let own = process(std::process::id()).unwrap();
        assert!(own.started > 0 && !own.zombie);
        assert!(processes().iter().any(|process| process.pid == own.pid));
    }
}
