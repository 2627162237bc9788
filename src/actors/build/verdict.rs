//! What the end of a script means, in words for people.

use std::io;
use std::time::Duration;

use super::plan;
use crate::adapters::docker::{Exit, Outcome};
use crate::domain::build::{Build, State};
use crate::domain::room;

/// As a shell would say it.
pub fn exit_code(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    }
}

/// Whether the script did its work, and if not, why.
pub fn of(end: &Outcome, limits: &plan::Limits) -> Result<(), String> {
    if end.exit == Exit::Code(0) {
        return Ok(());
    }
    if end.memory_kills > 0 {
        let limit = bytesize::ByteSize(limits.memory);
        return Err(format!("killed for memory (limit {limit})"));
    }
    if end.pids_hits > 0 {
        let limit = limits.pids;
        return Err(format!(
            "reached the limit of {limit} processes ({})",
            end.exit
        ));
    }
    Err(end.exit.to_string())
}

/// Of a script that was ended as its output could not be kept, with the error of the container's
/// system.
pub fn without_output(error: i32, script: &str) -> String {
    let error = io::Error::from_raw_os_error(error);
    match room::is_lacking(&error) {
        true => format!(
            "Docker's disk is full, so that the output of {script} could not be kept, and it was ended: \
             free some of it, see `docker system df`"
        ),
        false => {
            format!("the container could not keep the output of {script}, which was ended: {error}")
        }
    }
}

/// A build that lost its container gets one more chance.
pub fn next_attempt(build: &Build, how: &str) -> (State, Option<String>) {
    if build.attempt == 1 {
        (State::Queued, Some(format!("{how}; it is built once more")))
    } else {
        (
            State::Errored,
            Some(format!("{how}, in attempt {} as before", build.attempt)),
        )
    }
}

/// `41 s`, `3:12`, `1:02:45`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02}"),
        _ => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(exit: Exit) -> Outcome {
        Outcome {
            exit,
            started: 0,
            ended: 0,
            spool: 0,
            dropped: 0,
            spool_error: None,
            memory_kills: 0,
            pids_hits: 0,
        }
    }

    const LIMITS: plan::Limits = plan::Limits {
        memory: 64 << 20,
        cpus: None,
        pids: 100,
        disk: None,
        timeout: 60,
    };

    #[test]
    fn a_script_that_ends_well_did_its_work_whatever_happened_to_its_children() {
        let outcome = Outcome {
            memory_kills: 1,
            ..outcome(Exit::Code(0))
        };
        assert_eq!(of(&outcome, &LIMITS), Ok(()));
    }

    #[test]
    fn the_limit_that_was_reached_is_named() {
        let memory = Outcome {
            memory_kills: 1,
            ..outcome(Exit::Signal(9))
        };
        assert_eq!(
            of(&memory, &LIMITS).unwrap_err(),
            "killed for memory (limit 64.0 MiB)"
        );
        let pids = Outcome {
            pids_hits: 3,
            ..outcome(Exit::Code(2))
        };
        assert_eq!(
            of(&pids, &LIMITS).unwrap_err(),
            "reached the limit of 100 processes (exit code 2)"
        );
        assert_eq!(
            of(&outcome(Exit::Code(2)), &LIMITS).unwrap_err(),
            "exit code 2"
        );
    }

    #[test]
    fn output_that_could_not_be_kept_is_told_with_what_to_do() {
        let full = without_output(28, "build.sh");
        assert!(full.starts_with("Docker's disk is full, ") && full.contains("docker system df"));
        let broken = without_output(5, "build.sh");
        assert!(broken.contains("Input/output error"), "{broken}");
    }

    #[test]
    fn a_signal_is_an_exit_code_as_in_a_shell() {
        assert_eq!(exit_code(Exit::Signal(9)), 137);
    }

    #[test]
    fn durations_read_like_a_clock() {
        let read = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            (read(41), read(192), read(3765)),
            ("41 s".into(), "3:12".into(), "1:02:45".into())
        );
    }
}
