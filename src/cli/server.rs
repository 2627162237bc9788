//! Which service a command speaks to, and with which token.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use url::Url;

use super::output::Problem;
use crate::config::{ClientConfig, process_environment};

const DEFAULT_URL: &str = "http://127.0.0.1:5560";
pub const DEFAULT_FILE: &str = "config.yaml";

/// A service, as a client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub url: Url,
    pub token: Option<String>,
    /// Whether the token can only be told by who asks: its service file holds no more than a hash.
    pub is_hashed: bool,
}

/// `AUTOBUILDER_URL` and `AUTOBUILDER_TOKEN`, else what the service file says, else the default.
pub fn find(config: Option<&Path>) -> Result<Server, Problem> {
    choose(
        variable("AUTOBUILDER_URL"),
        variable("AUTOBUILDER_TOKEN"),
        || match config {
            Some(file) => described_by(file).map(Some),
            None if Path::new(DEFAULT_FILE).exists() => {
                described_by(Path::new(DEFAULT_FILE)).map(Some)
            }
            None => Ok(None),
        },
    )
}

/// Whether it is not a service file that says which service is meant.
pub fn is_named_by_environment() -> bool {
    variable("AUTOBUILDER_URL").is_some()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A token from a file is for the service of that file only: it is not sent to another address
/// that the environment names.
fn choose(
    url: Option<String>,
    token: Option<String>,
    described: impl FnOnce() -> Result<Option<Server>, Problem>,
) -> Result<Server, Problem> {
    if let Some(text) = url {
        return Ok(Server {
            url: parse(&text)?,
            token,
            is_hashed: false,
        });
    }
    let described = match described()? {
        Some(server) => server,
        None => Server {
            url: parse(DEFAULT_URL)?,
            token: None,
            is_hashed: false,
        },
    };
    Ok(Server {
        token: token.or(described.token),
        ..described
    })
}

fn parse(text: &str) -> Result<Url, Problem> {
    let hint = "AUTOBUILDER_URL is an address such as https://builds.example.org";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Problem::new(
            format!("{text:?} is no address of a service"),
            hint,
        )),
    }
}

/// The service on this machine that a service file describes.
fn described_by(file: &Path) -> Result<Server, Problem> {
    let config = ClientConfig::load(file, &process_environment).map_err(|findings| {
        let first = findings.iter().find(|finding| finding.is_error());
        let what = first.map_or_else(String::new, |first| {
            format!(": {}:{}: {}", first.file, first.place.line, first.message)
        });
        Problem::new(
            format!("the service file cannot be used{what}"),
            "`autobuilder check` lists all of its errors; or set AUTOBUILDER_URL and AUTOBUILDER_TOKEN",
        )
    })?;
    let token = match &config.api_token {
        Some(given) => given.token().map(str::to_owned),
        None => token_file(&config.data_directory),
    };
    Ok(Server {
        url: parse(&format!("http://{}", reachable(config.listen)))?,
        is_hashed: config.api_token.is_some() && token.is_none(),
        token,
    })
}

/// What the service wrote at its start. Whoever may not read it can still watch.
fn token_file(data_directory: &Path) -> Option<String> {
    let text = fs::read_to_string(data_directory.join("api-token")).ok()?;
    let token = text.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

/// A service that listens on every address is reached on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::TokenHash;

    fn server(url: &str, token: Option<&str>) -> Server {
        Server {
            url: url.parse().unwrap(),
            token: token.map(str::to_owned),
            is_hashed: false,
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_environment_comes_before_the_file_and_the_file_before_the_default() {
        let file = || Ok(Some(server("http://127.0.0.1:7000", Some("file"))));
        let nothing = || Ok(None);
        let chosen = |url, token| choose(url, token, file).unwrap();
        assert_eq!(
            chosen(None, None),
            server("http://127.0.0.1:7000", Some("file"))
        );
        assert_eq!(
            chosen(None, some("mine")),
            server("http://127.0.0.1:7000", Some("mine"))
        );
        assert_eq!(
            chosen(some("https://b.org"), some("mine")),
            server("https://b.org", Some("mine"))
        );
        assert_eq!(
            chosen(some("https://b.org"), None),
            server("https://b.org", None)
        );
        assert_eq!(
            choose(None, None, nothing).unwrap(),
            server(DEFAULT_URL, None)
        );
        assert!(choose(some("builds.example.org"), None, nothing).is_err());
    }

    #[test]
    fn the_token_of_a_local_service_is_found_through_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = "listen: 0.0.0.0:7123\ndata_directory: ./data\nconfiguration:\n  path: .\n\
                    github:\n  token: ${AUTOBUILDER_TEST_NEVER_SET}\n";
        fs::write(&file, text).unwrap();
        assert_eq!(
            described_by(&file).unwrap(),
            server("http://127.0.0.1:7123", None)
        );
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("data/api-token"), "abc\n").unwrap();
        assert_eq!(described_by(&file).unwrap().token, some("abc"));
        let hashed = format!("{text}api_token: {}\n", TokenHash::of("other"));
        fs::write(&file, hashed).unwrap();
        let found = described_by(&file).unwrap();
        assert_eq!((found.token, found.is_hashed), (None, true));
    }

    #[test]
    fn a_broken_file_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        fs::write(&file, "listen: here\nconfiguration: {path: .}\n").unwrap();
        let problem = described_by(&file).unwrap_err();
        assert!(
            problem.error.contains("config.yaml:1: "),
            "{}",
            problem.error
        );
    }
}
