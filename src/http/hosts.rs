//! The names under which the service is asked.
//!
//! A page of a stranger's site can let its own name point to this service (DNS rebinding), and then
//! reads what a browser of this network may: to the browser it is still that site. So what people
//! look at is answered only under names that no stranger can own.

use url::{Host, Url};
use warp::http::header::HOST;
use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::failure::Failure;
use crate::config::ServiceConfig;

/// Of a name that a message repeats.
const LONGEST_SHOWN: usize = 100;

/// Passes requests to a name of ours. What sends none is no browser.
pub fn check(headers: &HeaderMap, config: &ServiceConfig) -> Result<(), Failure> {
    let mut named = headers.get_all(HOST).iter();
    match named.find(|host| !is_authority_ours(host, config)) {
        None => Ok(()),
        Some(host) => Err(misdirected(host)),
    }
}

fn misdirected(host: &HeaderValue) -> Failure {
    let host = String::from_utf8_lossy(host.as_bytes());
    let host: String = host.chars().take(LONGEST_SHOWN).collect();
    Failure::new(
        StatusCode::MISDIRECTED_REQUEST,
        format!("this service does not answer under the name {host}"),
        "open it under `public_url`, or list the name in `monitor.hosts` of the service file",
    )
}

fn is_authority_ours(host: &HeaderValue, config: &ServiceConfig) -> bool {
    let authority: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
    let host = authority.and_then(|authority| Host::parse(authority.host()).ok());
    host.is_some_and(|host| is_ours(&host, config))
}

/// Whether no stranger can own it: an address, a name of this machine or of the local network, or
/// one that the service file names.
pub fn is_ours<S: AsRef<str>>(host: &Host<S>, config: &ServiceConfig) -> bool {
    let Host::Domain(name) = host else {
        return true;
    };
    let name = plain(name.as_ref());
    let is_local = !name.contains('.') || name.ends_with(".localhost");
    let public = Url::parse(config.public_url.as_str());
    let is_public = || public.is_ok_and(|url| url.host_str().map(plain).as_ref() == Some(&name));
    let mut listed = config.monitor.hosts.iter();
    is_local || is_public() || listed.any(|listed| plain(listed) == name)
}

/// Names differ neither by case nor by the dot of the root.
fn plain(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_stranger_owns_are_ours() {
        let mut config = ServiceConfig {
            public_url: "https://Builds.example.org".to_owned().try_into().unwrap(),
            ..ServiceConfig::default()
        };
        config.monitor.hosts = vec!["box.lan".to_owned()];
        let is_ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            check(&headers, &config).is_ok()
        };
        for ours in [
            "127.0.0.1:5560",
            "192.0.2.7",
            "[::1]:5560",
            "[2001:db8::1]",
            "localhost:5560",
            "LOCALHOST",
            "a.localhost",
            "autobuilder:5560",
            "builds.example.org",
            "BUILDS.example.org.:443",
            "box.lan:8080",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in [
            "evil.example.org",
            "evil.example.org:5560",
            "127.0.0.1.evil.example.org",
            "builds.example.org.evil.org",
            "example.org",
            "localhost.evil.org",
            "notlocalhost.org",
            "127.0.0.1@evil.example.org",
            "",
            "a b",
            "[::1",
        ] {
            assert!(!is_ours(other), "{other}");
        }
        assert!(check(&HeaderMap::new(), &config).is_ok());
        let mut two = HeaderMap::new();
        two.append(HOST, "localhost".parse().unwrap());
        two.append(HOST, "evil.example.org".parse().unwrap());
        assert!(check(&two, &config).is_err());
    }
}
