//! What follows from GitHub's answer to a request about statuses: who waits, for how long, and
//! when no further try can help.
//!
//! GitHub asks its clients to stop while they are told to, and bans those that go on. So a failure
//! makes more than the one status wait: everything that shares a credential or a rate limit, or
//! everything of one repository.
//! Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::time::{Duration, Instant};

/// Why GitHub did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It does not take the credential (401).
    Credential,
    /// It wants to be left alone for so long (403 or 429).
    RateLimit(Duration),
    /// As before, but it does not say for how long.
    UnstatedLimit,
    /// It is not there, or not well (no connection, no answer, 5xx).
    Away,
    /// This repository is not ours to write to, or not there (403, 404, 410, 451).
    Repository,
    /// It does not take this status: the commit is gone, is not known everywhere yet, or has 1,000
    /// statuses of this context (422 and others).
    /// Source: <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>.
    Status,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All that shares the credential waits.
    ScopeWaits,
    RepositoryWaits,
    /// The status waits, and nothing else.
    StatusWaits,
    /// The status is not sent any more.
    GiveUp,
}

/// A pause that doubles with each failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    pub fn pause(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        let pause = self.first.saturating_mul(2_u32.saturating_pow(doublings));
        pause.min(self.longest)
    }
}

/// How patient we are. Only tests have another than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub credential: Backoff,
    pub away: Backoff,
    pub repository: Backoff,
    pub unstated_limit: Backoff,
    /// A status that GitHub failed at, or does not take, waits so long itself, while others go on. No
    /// longer: when GitHub was away for hours, this is how late the status may be afterwards.
    pub alone: Backoff,
    /// A status of this age is given up when its repository refuses it. A permission that was lost
    /// comes back sooner than that, or not at all: a repository that was deleted refuses for ever.
    pub refused_for: Duration,
    /// A status that GitHub does not take is given up at this age: a commit may be older than
    /// GitHub's knowledge of it, by moments.
    pub unknown_for: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            credential: Backoff {
                first: 5 * MINUTE,
                longest: HOUR,
            },
            away: Backoff {
                first: Duration::from_secs(1),
                longest: 5 * MINUTE,
            },
            repository: Backoff {
                first: MINUTE,
                longest: HOUR,
            },
            unstated_limit: Backoff {
                first: MINUTE,
                longest: HOUR,
            },
            alone: Backoff {
                first: Duration::from_secs(1),
                longest: 15 * MINUTE,
            },
            refused_for: 30 * 24 * HOUR,
            unknown_for: 10 * MINUTE,
        }
    }
}

impl Patience {
    /// `age` is that of the status.
    pub fn judge(&self, trouble: Trouble, age: Duration) -> Verdict {
        match trouble {
            Trouble::Credential
            | Trouble::RateLimit(_)
            | Trouble::UnstatedLimit
            | Trouble::Away => Verdict::ScopeWaits,
            Trouble::Repository if age < self.refused_for => Verdict::RepositoryWaits,
            Trouble::Status if age < self.unknown_for => Verdict::StatusWaits,
            Trouble::Repository | Trouble::Status => Verdict::GiveUp,
        }
    }

    /// How long a status waits itself, after so many failures of its own: the fault may lie with its
    /// commit, and then it is not to be the first that is tried after each pause. A credential or a
    /// limit has nothing to do with one status.
    pub fn pause_of_status(&self, trouble: Trouble, failures: u32) -> Duration {
        match trouble {
            Trouble::Away | Trouble::Status => self.alone.pause(failures),
            Trouble::Repository => self.repository.pause(failures),
            Trouble::Credential | Trouble::RateLimit(_) | Trouble::UnstatedLimit => Duration::ZERO,
        }
    }

    /// How long to wait after so many failures of one kind in a row. `chance`, from 0 to 1, keeps
    /// services that lost GitHub at the same moment from coming back at the same moment.
    fn pause(&self, trouble: Trouble, failures: u32, chance: f64) -> Duration {
        match trouble {
            Trouble::Credential => self.credential.pause(failures),
            Trouble::RateLimit(stated) => stated,
            Trouble::UnstatedLimit => self.unstated_limit.pause(failures),
            Trouble::Away => {
                let pause = self.away.pause(failures);
                pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
            }
            Trouble::Repository | Trouble::Status => self.repository.pause(failures),
        }
    }
}

/// Whether one thing (a credential, a repository) is to be left alone, and why.
#[derive(Debug, Clone, Default)]
pub struct Pause {
    now: Option<Waiting>,
}

#[derive(Debug, Clone)]
struct Waiting {
    trouble: Trouble,
    problem: String,
    failures: u32,
    since: Instant,
    until: Instant,
}

impl Pause {
    /// After a failed request that had `begun` then. Of several that failed together only the
    /// first counts, and one that began before the pause never makes it shorter. True when the
    /// problem is news.
    pub fn failed(
        &mut self,
        patience: &Patience,
        failure: (Trouble, &str),
        begun: Instant,
        now: Instant,
        chance: f64,
    ) -> bool {
        let (trouble, problem) = failure;
        let same = |waiting: &&Waiting| {
            std::mem::discriminant(&waiting.trouble) == std::mem::discriminant(&trouble)
        };
        let repeated = self.now.as_ref().filter(same);
        let failures = repeated.map_or(0, |waiting| waiting.failures) + 1;
        let until = now + patience.pause(trouble, failures, chance);
        if let Some(waiting) = &self.now
            && begun < waiting.since
            && (repeated.is_some() || until <= waiting.until)
        {
            return false;
        }
        let is_news = self.problem() != Some(problem);
        self.now = Some(Waiting {
            trouble,
            problem: problem.to_owned(),
            failures,
            since: now,
            until,
        });
        is_news
    }

    /// After a request that went well. Says what had been wrong.
    pub fn well(&mut self, begun: Instant) -> Option<String> {
        let is_over = self
            .now
            .as_ref()
            .is_some_and(|waiting| waiting.since <= begun);
        is_over
            .then(|| self.now.take())?
            .map(|waiting| waiting.problem)
    }

    /// Until when to wait, if that is not over.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.now
            .as_ref()
            .map(|waiting| waiting.until)
            .filter(|&until| until > now)
    }

    /// What is wrong, as long as it is not known to be well again.
    pub fn problem(&self) -> Option<&str> {
        self.now.as_ref().map(|waiting| waiting.problem.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

    fn pauses(trouble: Trouble, count: u32, chance: f64) -> Vec<u64> {
        let patience = Patience::default();
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        (0..count)
            .map(|_| {
                pause.failed(&patience, (trouble, "no"), now, now, chance);
                let until = pause.until(now).unwrap();
                let seconds = until.duration_since(now).as_secs();
                now = until;
                seconds
            })
            .collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_of_their_kind() {
        assert_eq!(
            pauses(Trouble::Away, 11, 1.0),
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        );
        assert_eq!(
            pauses(Trouble::Away, 3, 0.0),
            [0, 1, 2],
            "half of it is chance"
        );
        assert_eq!(
            pauses(Trouble::Credential, 6, 0.3),
            [300, 600, 1200, 2400, 3600, 3600]
        );
        assert_eq!(
            pauses(Trouble::Repository, 8, 0.3),
            [60, 120, 240, 480, 960, 1920, 3600, 3600]
        );
        assert_eq!(pauses(Trouble::Away, 200, 1.0)[199], 300);
    }

    #[test]
    fn a_limit_is_kept_as_stated_and_longer_each_time_where_nothing_is() {
        assert_eq!(pauses(Trouble::RateLimit(MINUTE), 3, 0.0), [60, 60, 60]);
        assert_eq!(
            pauses(Trouble::UnstatedLimit, 8, 0.0),
            [60, 120, 240, 480, 960, 1920, 3600, 3600]
        );
    }

    #[test]
    fn requests_that_failed_together_count_once() {
        let (patience, start) = (Patience::default(), Instant::now());
        let mut pause = Pause::default();
        let away = (Trouble::Away, "503");
        let answered = start + Duration::from_millis(10);
        assert!(pause.failed(&patience, away, start, answered, 1.0));
        let until = pause.until(answered);
        for late in [20, 30] {
            let late = start + Duration::from_millis(late);
            assert!(!pause.failed(&patience, away, start, late, 1.0));
        }
        assert_eq!(pause.until(answered), until);
        assert_eq!(pause.well(start), None, "it began before the failure");
        let next = until.unwrap();
        assert_eq!(pause.until(next), None);
        assert!(!pause.failed(&patience, away, next, next, 1.0), "no news");
        assert_eq!(pause.until(next), Some(next + Duration::from_secs(2)));
        assert!(pause.failed(&patience, (Trouble::Away, "no connection"), next, next, 1.0));
        assert_eq!(pause.problem(), Some("no connection"));
        assert_eq!(pause.well(next).as_deref(), Some("no connection"));
        assert_eq!((pause.problem(), pause.until(start)), (None, None));
    }

    #[test]
    fn another_kind_of_trouble_takes_the_place_of_the_first() {
        let (patience, start) = (Patience::default(), Instant::now());
        let mut pause = Pause::default();
        let later = start + Duration::from_millis(10);
        pause.failed(&patience, (Trouble::Away, "503"), start, start, 1.0);
        let limit = (Trouble::RateLimit(MINUTE), "rate limit");
        assert!(pause.failed(&patience, limit, start, later, 1.0));
        assert_eq!(pause.until(later), Some(later + MINUTE));
        let latest = later + Duration::from_millis(10);
        assert!(!pause.failed(&patience, (Trouble::Away, "503"), start, latest, 1.0));
        assert_eq!(
            pause.until(latest),
            Some(later + MINUTE),
            "no shorter by a late answer"
        );
    }

    #[test]
    fn what_fails_by_itself_comes_back_ever_later_and_a_limit_is_no_fault_of_its_own() {
        let patience = Patience::default();
        let pauses = |trouble| {
            let pause = |failures| patience.pause_of_status(trouble, failures).as_secs();
            [1, 2, 10, 11, 40].map(pause)
        };
        assert_eq!(pauses(Trouble::Away), [1, 2, 512, 900, 900]);
        assert_eq!(pauses(Trouble::Status), [1, 2, 512, 900, 900]);
        assert_eq!(pauses(Trouble::Repository), [60, 120, 3600, 3600, 3600]);
        assert_eq!(pauses(Trouble::RateLimit(MINUTE)), [0; 5]);
        assert_eq!(pauses(Trouble::Credential), [0; 5]);
    }

    #[test]
    fn only_a_refusal_ends_in_giving_up() {
        let patience = Patience::default();
        for trouble in [
            Trouble::Credential,
            Trouble::Away,
            Trouble::RateLimit(MINUTE),
            Trouble::UnstatedLimit,
        ] {
            assert_eq!(patience.judge(trouble, 12 * MONTH), Verdict::ScopeWaits);
        }
        let young = MONTH - Duration::from_secs(1);
        assert_eq!(
            patience.judge(Trouble::Repository, young),
            Verdict::RepositoryWaits
        );
        assert_eq!(patience.judge(Trouble::Repository, MONTH), Verdict::GiveUp);
        let judge = |age| patience.judge(Trouble::Status, age);
        assert_eq!(
            judge(10 * MINUTE - Duration::from_secs(1)),
            Verdict::StatusWaits
        );
        assert_eq!(judge(10 * MINUTE), Verdict::GiveUp);
    }
}
