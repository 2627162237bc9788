//! What the kernel counted against the container's limits. Docker itself reports a memory kill
//! only when it hit PID 1.

use std::fs;
use std::path::PathBuf;

/// Where a container finds its own group: version 1 with its folder for each controller, version
/// 2 with a private namespace, and version 2 with the machine's (Docker's default before 20.10
/// and with `--cgroupns=host`), where /proc/self/cgroup says `0::/docker/<id>`.
fn read(version_1: &str, version_2: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let root = PathBuf::from("/sys/fs/cgroup");
    [
        root.join(version_1),
        root.join(own).join(version_2),
        root.join(version_2),
    ]
    .iter()
    .find_map(|path| fs::read_to_string(path).ok())
}

/// How many processes the kernel killed because the container's memory was at its limit.
pub fn memory_kills() -> u64 {
    read("memory/memory.oom_control", "memory.events")
        .map_or(0, |events| counter(&events, "oom_kill"))
}

/// How often a process could not be made because of the limit of pids.
pub fn pids_hits() -> u64 {
    read("pids/pids.events", "pids.events").map_or(0, |events| counter(&events, "max"))
}

/// Both versions write one `name value` a line.
fn counter(events: &str, name: &str) -> u64 {
    events
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_counts_kills_beside_its_switches() {
        let oom_control = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(counter(oom_control, "oom_kill"), 3);
    }

    #[test]
    fn version_2_counts_kills_among_its_events() {
        let events = "low 0\nhigh 0\nmax 812\noom 4\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(counter(events, "oom_kill"), 2);
        assert_eq!(counter("max 17\n", "max"), 17);
    }

    #[test]
    fn an_old_kernel_that_does_not_count_says_nothing() {
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), 0);
        assert_eq!(counter("", "max"), 0);
    }
}
