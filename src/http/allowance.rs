//! What each network may do wrong: so much at once, and then once more from time to time. What one
//! does keeps no other from being heard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::network;

/// Networks that are remembered. Beyond, the one that is soonest forgiven is forgotten.
const MOST_NETWORKS: usize = 1024;

#[derive(Debug)]
pub struct Allowance {
    burst: u32,
    one_more_every: Duration,
    /// When all of a network's is forgiven. It may be so far ahead and no further.
    forgiven: Mutex<HashMap<IpAddr, Instant>>,
}

/// The wait until there is one more.
type Wait = Duration;

impl Allowance {
    pub fn new(burst: u32, one_more_every: Duration) -> Self {
        Self {
            burst,
            one_more_every,
            forgiven: Mutex::default(),
        }
    }

    /// Whether there is one left.
    pub fn check(&self, from: IpAddr) -> Result<(), Wait> {
        self.spend_if(Instant::now(), from, || false).map(|_| ())
    }

    /// Takes one, if there is one left.
    pub fn spend(&self, from: IpAddr) -> Result<(), Wait> {
        self.spend_if(Instant::now(), from, || true).map(|_| ())
    }

    /// Whether what is tried is right, if there is one left. Only what is wrong takes one.
    pub fn attempt(&self, from: IpAddr, is_right: impl FnOnce() -> bool) -> Result<bool, Wait> {
        let is_wrong = self.spend_if(Instant::now(), from, || !is_right())?;
        Ok(!is_wrong)
    }

    fn spend_if(
        &self,
        now: Instant,
        from: IpAddr,
        is_due: impl FnOnce() -> bool,
    ) -> Result<bool, Wait> {
        let from = network(from);
        // Held throughout, so that requests at the same time have no more.
        let mut forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        let until = forgiven.get(&from).copied().unwrap_or(now).max(now);
        let furthest = now + self.one_more_every * self.burst;
        let wait = (until + self.one_more_every).saturating_duration_since(furthest);
        if !wait.is_zero() {
            return Err(wait);
        }
        let is_due = is_due();
        if is_due {
            if forgiven.len() >= MOST_NETWORKS {
                forget_one(&mut forgiven, now);
            }
            forgiven.insert(from, until + self.one_more_every);
        }
        Ok(is_due)
    }
}

fn forget_one(forgiven: &mut HashMap<IpAddr, Instant>, now: Instant) {
    forgiven.retain(|_, until| *until > now);
    if forgiven.len() >= MOST_NETWORKS {
        let soonest = forgiven.iter().min_by_key(|(_, until)| **until);
        if let Some(network) = soonest.map(|(network, _)| *network) {
            forgiven.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const BURST: u32 = 10;

    fn ten() -> Allowance {
        Allowance::new(BURST, Duration::from_secs(6))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_does_wrong_waits_and_nobody_else() {
        let (allowance, begun) = (ten(), Instant::now());
        let spend = |seconds, from: &str| {
            let now = begun + Duration::from_secs(seconds);
            allowance.spend_if(now, address(from), || true)
        };
        for _ in 0..BURST {
            assert_eq!(spend(0, "10.0.0.1"), Ok(true));
        }
        assert_eq!(spend(0, "10.0.0.1"), Err(Duration::from_secs(6)));
        assert_eq!(spend(0, "10.0.0.2"), Ok(true));
        // One more, and then no other.
        assert!(spend(5, "10.0.0.1").is_err());
        assert_eq!(spend(6, "10.0.0.1"), Ok(true));
        assert!(spend(6, "10.0.0.1").is_err());
        // In an hour, all are forgiven, and no more than those.
        for _ in 0..BURST {
            assert_eq!(spend(3600, "10.0.0.1"), Ok(true));
        }
        assert!(spend(3600, "10.0.0.1").is_err());
    }

    #[test]
    fn what_is_right_takes_none_and_is_not_heard_when_none_is_left() {
        let (allowance, from) = (ten(), address("10.0.0.1"));
        for _ in 0..10 * BURST {
            assert_eq!(allowance.attempt(from, || true), Ok(true));
            assert_eq!(allowance.check(from), Ok(()));
        }
        assert!(allowance.forgiven.lock().unwrap().is_empty());
        for _ in 0..BURST {
            assert_eq!(allowance.attempt(from, || false), Ok(false));
        }
        assert!(allowance.check(from).is_err());
        assert!(allowance.attempt(from, || true).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_is_remembered_longest() {
        let (allowance, now) = (ten(), Instant::now());
        let worst = address("10.0.0.1");
        for _ in 0..BURST {
            let _ = allowance.spend_if(now, worst, || true);
        }
        for number in 0..2 * MOST_NETWORKS as u32 {
            let other = Ipv4Addr::from_bits(0x0b00_0000 + number).into();
            assert_eq!(allowance.spend_if(now, other, || true), Ok(true));
        }
        assert_eq!(allowance.forgiven.lock().unwrap().len(), MOST_NETWORKS);
        assert!(allowance.spend_if(now, worst, || true).is_err());
    }
}
