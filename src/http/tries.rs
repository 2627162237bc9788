//! Guessing the API token is slow: each address has a few wrong ones, and then one from time to
//! time. What one address does keeps no other from being heard.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use warp::http::{HeaderMap, StatusCode};

use super::failure::Failure;

/// More than anybody mistypes in a row.
const BURST: u32 = 10;
const ONE_MORE_EVERY: Duration = Duration::from_secs(6);

/// Addresses that are remembered. Beyond, the one that is soonest heard again is forgotten.
const MOST_ADDRESSES: usize = 1024;

/// Wrong tokens, by who sent them.
#[derive(Debug, Default)]
pub struct Tries {
    /// When all of an address's wrong tokens are forgiven. It may be so far ahead and no further.
    forgiven: Mutex<HashMap<IpAddr, Instant>>,
}

impl Tries {
    /// Whether a token is right, if this address may still try.
    pub fn attempt(&self, from: IpAddr, is_right: impl FnOnce() -> bool) -> Result<bool, Failure> {
        self.attempt_at(Instant::now(), from, is_right)
    }

    fn attempt_at(
        &self,
        now: Instant,
        from: IpAddr,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, Failure> {
        let from = network(from);
        // Held throughout, so that requests at the same time have no more tries.
        let mut forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        let due = forgiven.get(&from).copied().unwrap_or(now).max(now);
        let wait = (due + ONE_MORE_EVERY).saturating_duration_since(now + ONE_MORE_EVERY * BURST);
        if !wait.is_zero() {
            let seconds = wait.as_secs_f64().ceil();
            return Err(Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens came from this address",
                format!("try again in {seconds} seconds"),
            ));
        }
        let is_right = is_right();
        if !is_right {
            if forgiven.len() >= MOST_ADDRESSES {
                forget_one(&mut forgiven, now);
            }
            forgiven.insert(from, due + ONE_MORE_EVERY);
        }
        Ok(is_right)
    }
}

fn forget_one(forgiven: &mut HashMap<IpAddr, Instant>, now: Instant) {
    forgiven.retain(|_, until| *until > now);
    if forgiven.len() >= MOST_ADDRESSES {
        let soonest = forgiven.iter().min_by_key(|(_, until)| **until);
        if let Some(address) = soonest.map(|(address, _)| *address) {
            forgiven.remove(&address);
        }
    }
}

/// Whoever has one address of IPv6 has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(bits).into()
        }
        address => address,
    }
}

/// The other end of the connection, as an extension of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Whose request it is: the other end of the connection, or whom a proxy that is trusted names.
/// Proxies append to `X-Forwarded-For`, so it is read from its end; what an untrusted one wrote is
/// not believed.
pub fn client(peer: Option<Peer>, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let nobody = Peer(Ipv4Addr::UNSPECIFIED.into());
    let mut client = peer.unwrap_or(nobody).0.to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter();
    let named: Vec<&str> = forwarded
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','))
        .collect();
    for name in named.into_iter().rev() {
        let Ok(address) = name.trim().parse::<IpAddr>() else {
            break;
        };
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
        client = address.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn guessing_is_slow_for_who_guesses_and_for_nobody_else() {
        let (tries, begun) = (Tries::default(), Instant::now());
        let attempt = |seconds, from: &str, is_right: bool| {
            let now = begun + Duration::from_secs(seconds);
            tries.attempt_at(now, address(from), || is_right)
        };
        for _ in 0..BURST {
            assert_eq!(attempt(0, "10.0.0.1", false), Ok(false));
        }
        let refused = attempt(0, "10.0.0.1", true).unwrap_err();
        assert_eq!(refused.status, 429);
        assert_eq!(refused.hint, "try again in 6 seconds");
        assert_eq!(attempt(0, "10.0.0.2", true), Ok(true));
        // One more, and then no other.
        assert!(attempt(5, "10.0.0.1", false).is_err());
        assert_eq!(attempt(6, "10.0.0.1", false), Ok(false));
        assert!(attempt(6, "10.0.0.1", false).is_err());
        // In an hour, all are forgiven, and no more than those.
        for _ in 0..BURST {
            assert_eq!(attempt(3600, "10.0.0.1", false), Ok(false));
        }
        assert!(attempt(3600, "10.0.0.1", false).is_err());
    }

    #[test]
    fn right_tokens_are_not_counted() {
        let (tries, from) = (Tries::default(), address("10.0.0.1"));
        for _ in 0..10 * BURST {
            assert_eq!(tries.attempt(from, || true), Ok(true));
        }
        assert!(tries.forgiven.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_is_remembered_longest() {
        let (tries, now) = (Tries::default(), Instant::now());
        let guesser = address("10.0.0.1");
        for _ in 0..BURST {
            let _ = tries.attempt_at(now, guesser, || false);
        }
        for number in 0..2 * MOST_ADDRESSES as u32 {
            let other = Ipv4Addr::from_bits(0x0b00_0000 + number).into();
            assert_eq!(tries.attempt_at(now, other, || false), Ok(false));
        }
        assert_eq!(tries.forgiven.lock().unwrap().len(), MOST_ADDRESSES);
        assert!(tries.attempt_at(now, guesser, || true).is_err());
    }

    #[test]
    fn a_network_of_ipv6_and_an_ipv4_address_in_other_clothes_are_one() {
        assert_eq!(
            network(address("2001:db8::1")),
            network(address("2001:db8::ffff:2"))
        );
        assert_ne!(
            network(address("2001:db8::1")),
            network(address("2001:db8:0:1::1"))
        );
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    #[test]
    fn only_proxies_that_are_trusted_say_whose_request_it_is() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, forwarded: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            client(Some(Peer(address(peer))), &headers, &trusted).to_string()
        };
        assert_eq!(of("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(of("::ffff:10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(of("192.0.2.1", &["192.0.2.7"]), "192.0.2.1");
        // What stands before the address that our own proxy saw is the client's invention.
        assert_eq!(of("10.0.0.1", &["127.0.0.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(of("10.0.0.1", &["192.0.2.7", "10.0.0.2"]), "192.0.2.7");
        assert_eq!(of("10.0.0.1", &["192.0.2.7, unknown"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }
}
