//! No story waits for ever: one that hangs would take with it what it and all others have to say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::process::log_file;

/// Several times what the longest story takes on a machine with two busy cores.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Ends all stories, with the name of this one, when it is not dropped in time.
pub struct Watch {
    _over: Sender<()>,
}

impl Watch {
    pub fn over(folder: &Path, limit: Duration) -> Self {
        let (over, is_over) = mpsc::channel();
        let story = thread::current().name().unwrap_or("a story").to_owned();
        let log = log_file(folder);
        thread::spawn(move || {
            if is_over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                give_up(&story, limit, log);
            }
        });
        Self { _over: over }
    }
}

fn give_up(story: &str, limit: Duration, log: PathBuf) -> ! {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    // Not by a macro, whose output the test harness would keep to itself.
    let said =
        format!("\n{story} has not ended within {limit:?}\n---- the service's log\n{log}----\n");
    let _ = std::io::stderr().write_all(said.as_bytes());
    std::process::exit(101);
}
