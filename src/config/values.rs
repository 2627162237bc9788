//! How single values are written: durations, sizes, addresses, names.
//!
//! Each type here reads one kind of text and says what it expected otherwise. A field of a
//! configuration struct holds the plain value and names its reader:
//! `#[serde(deserialize_with = "via::<Period, _, _>")] timeout: Duration`.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::document::shorten;
use super::interpolation::is_variable_name;
use crate::domain::images::AllowedImages;
use crate::domain::paths::{Pattern, PatternError};
use crate::domain::recipe::Supersede;

/// Reads a `T` as a `W` is written.
pub fn via<'de, W, D, T>(deserializer: D) -> Result<T, D::Error>
where
    W: Deserialize<'de> + Into<T>,
    D: Deserializer<'de>,
{
    W::deserialize(deserializer).map(Into::into)
}

/// As [`via`], for a value that may be left out.
pub fn optional<'de, W, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    W: Deserialize<'de> + Into<T>,
    D: Deserializer<'de>,
{
    Option::<W>::deserialize(deserializer).map(|value| value.map(Into::into))
}

/// As [`via`], for each item of a list.
pub fn list<'de, W, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    W: Deserialize<'de> + Into<T>,
    D: Deserializer<'de>,
{
    let items = Vec::<W>::deserialize(deserializer)?;
    Ok(items.into_iter().map(Into::into).collect())
}

/// As [`via`], for the keys and values of a table.
pub fn table<'de, K, V, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    K: Deserialize<'de> + Into<String> + Ord,
    V: Deserialize<'de> + Into<T>,
    D: Deserializer<'de>,
{
    let entries = BTreeMap::<K, V>::deserialize(deserializer)?;
    Ok(entries
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect())
}

macro_rules! written_as {
    ($(#[$doc:meta])* $name:ident: $from:ty => $to:ty, $read:path) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($to);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <$from>::deserialize(deserializer)?;
                $read(value).map(Self).map_err(D::Error::custom)
            }
        }

        impl From<$name> for $to {
            fn from(value: $name) -> $to {
                value.0
            }
        }
    };
}

/// The form that [`super::read`] splits into what was found and what was expected.
fn wrong<T>(found: impl Display, expected: &str) -> Result<T, String> {
    let found = shorten(&found.to_string());
    Err(format!("found {found}; expected {expected}"))
}

written_as!(
    /// A duration, such as `45m` or `1h30m`; zero is allowed.
    Grace: String => Duration, grace
);
written_as!(
    /// A duration of at least a second.
    Period: String => Duration, period
);
written_as!(
    /// A number of bytes, such as `16GiB`, `512MB` or `1048576`; at least 1.
    Size: String => u64, size
);
written_as!(
    /// A container's memory in bytes.
    Memory: String => u64, memory
);
written_as!(
    /// How many cores' worth of time.
    Cores: f64 => f64, cores
);
written_as!(
    /// A number of things, at least one.
    Count: u64 => u64, count
);
written_as!(
    /// A path of this machine.
    FilePath: String => PathBuf, file_path
);
written_as!(
    /// A container image: `ubuntu:16.04`, `registry:5000/team/image@sha256:…`.
    Image: String => String, image
);
written_as!(
    /// A pattern for images' whole names: `docker.io/library/ubuntu:*`.
    ImagePattern: String => Pattern, image_pattern
);
written_as!(
    /// `true`, `queued` or `false`.
    Superseding: String => Supersede, superseding
);
written_as!(
    /// An address (`10.0.0.1`) or a network (`10.0.0.0/8`).
    Network: String => IpNet, network
);
written_as!(
    /// Where dockerd listens.
    DockerHost: String => String, docker_host
);
written_as!(
    /// What repositories are cloned from: a URL, or a path of this machine.
    GitBase: String => String, git_base
);
written_as!(
    /// The value of an environment variable.
    VariableValue: String => String, variable_value
);
written_as!(
    /// The address of a host in `/etc/hosts`; `host-gateway` is Docker's name for the host.
    HostAddress: String => String, host_address
);
written_as!(
    /// What Docker takes as the name of a container or network, or as the beginning of one.
    DockerName: String => String, docker_name
);
written_as!(
    /// A capability, without CAP_.
    Capability: String => String, capability
);
written_as!(
    /// A text without control characters.
    Line: String => String, line
);
written_as!(
    /// A host, with a port where it is not the usual one.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    HostAndPort: String => String, host_and_port
);

written_as!(
    /// A host's name.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    HostName: String => String, host_name
);
written_as!(
    /// An address of this machine, and a port.
    Listen: String => SocketAddr, listen
);

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct VariableName(String);

impl VariableName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if !is_variable_name(&name) {
            let expected = "a variable's name (letters, digits and _, not beginning with a digit)";
            return wrong(format!("`{name}`"), expected);
        }
        if name.starts_with("AUTOBUILDER") {
            return Err(format!(
                "`{}`: the variables AUTOBUILDER… are set by the service",
                shorten(&name)
            ));
        }
        Ok(Self(name))
    }
}

impl From<VariableName> for String {
    fn from(name: VariableName) -> String {
        name.0
    }
}

/// An http or https address without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpUrl(String);

impl HttpUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        url::Url::parse(&self.0).is_ok_and(|url| url.scheme() == "https")
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        url::Url::parse(&self.0).is_ok_and(|url| match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        })
    }
}

impl Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const EXPECTED: &str = "an address such as https://builds.example.org";
        let Ok(url) = url::Url::parse(&text) else {
            return wrong(format!("\"{text}\""), EXPECTED);
        };
        if !matches!(url.scheme(), "http" | "https") {
            return wrong(format!("\"{text}\""), EXPECTED);
        }
        // Not repeated in the message: it is a secret.
        if !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "an address with a user or password in it",
                "one without: it is shown to others",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong(format!("\"{text}\""), "an address without ? and #");
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// Durations beyond this overflow clocks.
const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 3600);

fn grace(text: String) -> Result<Duration, String> {
    let quoted = format!("\"{text}\"");
    match humantime::parse_duration(&text) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => wrong(quoted, "at most 3650d"),
        Err(_) => wrong(
            quoted,
            "a duration with its unit, such as 45m, 1h30m or 90d",
        ),
    }
}

fn period(text: String) -> Result<Duration, String> {
    let quoted = format!("\"{text}\"");
    let duration = grace(text)?;
    match duration >= Duration::from_secs(1) {
        true => Ok(duration),
        false => wrong(quoted, "at least 1s"),
    }
}

fn size(text: String) -> Result<u64, String> {
    let quoted = format!("\"{text}\"");
    match text.parse::<ByteSize>() {
        Ok(ByteSize(0)) => wrong(quoted, "at least one byte"),
        // Docker and SQLite count in signed 64 bits.
        Ok(ByteSize(bytes)) if i64::try_from(bytes).is_ok() => Ok(bytes),
        Ok(_) => wrong(quoted, "less than 8EiB"),
        Err(_) => wrong(quoted, "a size such as 16GiB, 512MB or a number of bytes"),
    }
}

fn memory(text: String) -> Result<u64, String> {
    let quoted = format!("\"{text}\"");
    let bytes = size(text)?;
    // Docker refuses less.
    match bytes >= 6 * bytesize::MIB {
        true => Ok(bytes),
        false => wrong(quoted, "at least 6MiB, the least that Docker takes"),
    }
}

fn cores(cores: f64) -> Result<f64, String> {
    match (0.01..=10_000.0).contains(&cores) {
        true => Ok(cores),
        false => wrong(cores, "a number of cores of at least 0.01"),
    }
}

fn count(count: u64) -> Result<u64, String> {
    match (1..=1_000_000_000).contains(&count) {
        true => Ok(count),
        false => wrong(count, "a whole number from 1 on"),
    }
}

fn file_path(text: String) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return wrong(format!("{text:?}"), "a path");
    }
    if text == "~" || text.starts_with("~/") {
        return wrong(
            format!("\"{text}\""),
            "a path without ~, which only shells know",
        );
    }
    Ok(PathBuf::from(text))
}

fn image(text: String) -> Result<String, String> {
    let is_image = !text.is_empty()
        && text.len() <= 400
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte));
    match is_image {
        true => Ok(text),
        false => wrong(
            format!("{text:?}"),
            "a container image such as ubuntu:16.04",
        ),
    }
}

/// A pattern that no name can ever match is refused: names are completed before they are matched.
fn image_pattern(text: String) -> Result<Pattern, String> {
    let pattern: Pattern = text
        .parse()
        .map_err(|error: PatternError| error.to_string())?;
    let whole = text.strip_prefix('!').unwrap_or(&text);
    let first = whole.split('/').next().unwrap_or(whole);
    let last = whole.rsplit('/').next().unwrap_or(whole);
    let has_registry = match whole.contains('/') {
        true => first.contains(['.', ':', '*']) || first == "localhost",
        false => whole.starts_with("**"),
    };
    match has_registry && last.contains([':', '@', '*']) {
        true => Ok(pattern),
        false => wrong(
            format!("\"{text}\""),
            "whole names, with registry and tag, such as docker.io/library/ubuntu:*",
        ),
    }
}

/// A list of patterns, of which an empty one allows everything.
pub fn images<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AllowedImages, D::Error> {
    let patterns = list::<ImagePattern, D, Pattern>(deserializer)?;
    AllowedImages::new(patterns).map_err(D::Error::custom)
}

fn superseding(text: String) -> Result<Supersede, String> {
    match text.as_str() {
        "true" => Ok(Supersede::All),
        "queued" => Ok(Supersede::Queued),
        "false" => Ok(Supersede::None),
        _ => wrong(format!("\"{text}\""), "true | queued | false"),
    }
}

fn network(text: String) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(network) => Ok(network.trunc()),
        Err(_) => wrong(
            format!("\"{text}\""),
            "an address (10.0.0.1) or a network (10.0.0.0/8)",
        ),
    }
}

fn docker_host(text: String) -> Result<String, String> {
    let is_host = match text.split_once("://") {
        Some(("unix", path)) => path.starts_with('/'),
        Some(("tcp" | "http" | "https", _)) => {
            url::Url::parse(&text).is_ok_and(|url| url.has_host() && url.username().is_empty())
        }
        _ => false,
    };
    match is_host {
        true => Ok(text),
        false => wrong(
            format!("\"{text}\""),
            "unix:///path, tcp://host:port or https://host:port",
        ),
    }
}

fn git_base(text: String) -> Result<String, String> {
    const EXPECTED: &str = "https://…, http://…, file:///… or a path";
    let is_base = match text.split_once("://") {
        Some(("http" | "https", _)) => {
            HttpUrl::try_from(text.clone())?;
            true
        }
        Some(("file", path)) => path.starts_with('/'),
        Some(_) => false,
        // Git would take a leading dash for an option, and `host:path` for ssh.
        None => !text.is_empty() && !text.starts_with('-') && !text.contains([':', '\0']),
    };
    match is_base {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => wrong(format!("\"{text}\""), EXPECTED),
    }
}

fn variable_value(text: String) -> Result<String, String> {
    match text.contains('\0') || text.len() > 100_000 {
        false => Ok(text),
        true => wrong(
            "a value that no environment can hold",
            "at most 100000 bytes without NUL",
        ),
    }
}

fn host_address(text: String) -> Result<String, String> {
    match text == "host-gateway" || text.parse::<IpAddr>().is_ok() {
        true => Ok(text),
        false => wrong(format!("\"{text}\""), "an IP address, or host-gateway"),
    }
}

fn docker_name(text: String) -> Result<String, String> {
    let is_name = text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match is_name {
        true => Ok(text),
        false => wrong(
            format!("{text:?}"),
            "a name that Docker takes: letters, digits, -, _ and .",
        ),
    }
}

fn capability(text: String) -> Result<String, String> {
    let is_capability = !text.is_empty()
        && text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    match is_capability {
        true => Ok(text),
        false => wrong(format!("{text:?}"), "a capability such as SYS_ADMIN"),
    }
}

fn line(text: String) -> Result<String, String> {
    let is_line = (1..=200).contains(&text.len()) && !text.chars().any(char::is_control);
    match is_line {
        true => Ok(text),
        false => wrong(format!("{text:?}"), "one line of 1 to 200 characters"),
    }
}

fn host_and_port(text: String) -> Result<String, String> {
    let is_host = url::Url::parse(&format!("https://{text}"))
        .is_ok_and(|url| url.has_host() && url.path() == "/" && url.username().is_empty())
        && !text.contains(['/', '?', '#', '@']);
    match is_host {
        true => Ok(text),
        false => wrong(
            format!("{text:?}"),
            "a host such as registry.example.org or localhost:5000",
        ),
    }
}

fn host_name(text: String) -> Result<String, String> {
    let is_name = (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match is_name {
        true => Ok(text),
        false => wrong(format!("{text:?}"), "a host's name"),
    }
}

fn listen(text: String) -> Result<SocketAddr, String> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => wrong(
            format!("\"{text}\""),
            "an address and a port, such as 127.0.0.1:5560 or [::]:5560",
        ),
    }
}
