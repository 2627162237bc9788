//! Whose request it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use warp::http::HeaderMap;

/// Stands for all, where it does not matter whose request it is.
pub const ANYONE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Whoever has one address of IPv6 has all of its /64.
pub fn network(address: IpAddr) -> IpAddr {
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
    let mut client = peer.unwrap_or(Peer(ANYONE)).0.to_canonical();
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
