//! When an actor that failed is started again: after a pause that doubles with each failure,
//! and no more often than a limit within a window. Past the limit the failure is passed upward, or,
//! of one among many, it is left alone and tried again after longer and longer.
//!
//! A respawn without this was measured to loop 441,000 times a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More than this many failures within [`WINDOW`] are not answered by a restart.
pub const LIMIT: usize = 8;
/// Long enough to hold all [`LIMIT`] pauses (they add up to 26 s).
pub const WINDOW: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Between two tries of one that is left alone: at first, and at most.
const FIRST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// The failures of one actor.
#[derive(Debug, Default)]
pub struct RestartPolicy {
    failures: VecDeque<Instant>,
    /// How often in a row it was left alone, and when the last time was over.
    rests: u32,
    rested: Option<Instant>,
}

/// How one among many is started again.
#[derive(Debug, PartialEq, Eq)]
pub struct Retry {
    pub after: Duration,
    /// It failed again and again.
    pub is_left_alone: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    RestartAfter(Duration),
    GiveUp,
}

impl RestartPolicy {
    /// Counts a failure and says what to do about it.
    pub fn failed(&mut self, now: Instant) -> Verdict {
        while self
            .failures
            .front()
            .is_some_and(|&failure| now.duration_since(failure) > WINDOW)
        {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        if self.failures.len() > LIMIT {
            return Verdict::GiveUp;
        }
        let doublings = u32::try_from(self.failures.len() - 1).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings));
        Verdict::RestartAfter(pause.min(LONGEST_PAUSE))
    }

    /// Counts a failure of one for whose sake the others beside it are not to end.
    pub fn failed_alone(&mut self, now: Instant) -> Retry {
        let in_vain = self.rested.is_some_and(|rested| now < rested + WINDOW);
        if !in_vain {
            if self.rested.take().is_some() {
                self.rests = 0;
            }
            if let Verdict::RestartAfter(after) = self.failed(now) {
                return Retry {
                    after,
                    is_left_alone: false,
                };
            }
        }
        let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(self.rests));
        let after = rest.min(LONGEST_REST);
        self.rests = self.rests.saturating_add(1);
        self.rested = Some(now + after);
        self.failures.clear();
        Retry {
            after,
            is_left_alone: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_then_it_gives_up() {
        let mut policy = RestartPolicy::default();
        let now = Instant::now();
        let pauses: Vec<Verdict> = (0..=LIMIT).map(|_| policy.failed(now)).collect();
        assert_eq!(pauses[0], Verdict::RestartAfter(Duration::from_millis(100)));
        assert_eq!(pauses[1], Verdict::RestartAfter(Duration::from_millis(200)));
        assert_eq!(pauses[LIMIT - 1], Verdict::RestartAfter(LONGEST_PAUSE));
        assert_eq!(pauses[LIMIT], Verdict::GiveUp);
    }

    #[test]
    fn one_among_many_is_left_alone_for_longer_and_longer_until_it_works() {
        let mut policy = RestartPolicy::default();
        let mut now = Instant::now();
        let mut fails_after = |wait: Duration| {
            now += wait;
            let Retry {
                after,
                is_left_alone,
            } = policy.failed_alone(now);
            now += after;
            (after.as_secs(), is_left_alone)
        };
        let soon = Duration::from_millis(10);
        for _ in 0..LIMIT {
            assert!(!fails_after(soon).1);
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(fails_after(soon), (minutes * 60, true));
        }
        assert_eq!(fails_after(WINDOW), (0, false));
        for _ in 1..LIMIT {
            assert!(!fails_after(soon).1);
        }
        assert_eq!(fails_after(soon), (60, true));
    }

    #[test]
    fn failures_outside_the_window_are_forgotten() {
        let mut policy = RestartPolicy::default();
        let start = Instant::now();
        for minute in 0..100 {
            let verdict = policy.failed(start + (WINDOW + Duration::from_secs(1)) * minute);
            assert_eq!(verdict, Verdict::RestartAfter(FIRST_PAUSE));
        }
    }
}
