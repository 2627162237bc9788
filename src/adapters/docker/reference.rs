//! An image's name: which registry it means, and what that registry's errors mean.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{DockerError, ImageProblem, one_line};
use super::image::Credentials;
use crate::domain::images;

const DOCKER_HUB: &str = "docker.io";

/// Words of Go's network, TLS and HTTP libraries.
const UNREACHABLE: &[&str] = &[
    "dial tcp",
    "imeout",
    "server misbehaving",
    ": EOF",
    "connection reset",
    "tls:",
    "x509:",
    "server gave HTTP response to HTTPS client",
    "received unexpected HTTP status: 5",
];

/// Words of the engine, and of registries in the codes that their specification fixes.
const DENIED: &[&str] = &[
    "no basic auth credentials",
    "unauthorized",
    "denied",
    "incorrect username",
];
const NOT_FOUND: &[&str] = &[
    "manifest unknown",
    "manifest for",
    "name unknown",
    "not found",
];

/// Words of Go's JSON and HTTP libraries, and of the engine, for what no registry says.
const NOT_UNDERSTOOD: &[&str] = &[
    "error unmarshalling",
    "error parsing HTTP",
    "malformed HTTP",
    "invalid character",
    "unexpected end of JSON",
    "verification failed",
];

/// An image's name, taken apart as docker does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// With its tag or digest: without one, Docker would pull all tags.
    pub full: String,
    pub registry: String,
}

impl Reference {
    /// `None`: no image has such a name. It becomes part of a path of the engine's API, so nothing
    /// passes that could mean another one.
    pub fn parse(image: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !image.bytes().all(allowed) || !image.split('/').all(plain) {
            return None;
        }
        let (registry, _) = images::split_registry(image);
        let full = images::with_tag(image);
        Some(Self {
            full,
            registry: registry.to_owned(),
        })
    }

    pub fn credentials<'a>(
        &self,
        registries: &'a BTreeMap<String, Credentials>,
    ) -> Option<&'a Credentials> {
        let names: &[&str] = match self.registry.as_str() {
            // As people call it, and as `docker login` writes it down.
            DOCKER_HUB => &[DOCKER_HUB, "index.docker.io", "https://index.docker.io/v1/"],
            other => &[other],
        };
        names.iter().find_map(|name| registries.get(*name))
    }

    /// The engine passes on what the registry, or the network on the way to it, said.
    pub fn explain(&self, error: DockerError, with_credentials: bool) -> DockerError {
        let message = match &error {
            DockerError::Refused { message, .. } | DockerError::NotFound(message) => {
                message.as_str()
            }
            _ => return error,
        };
        let said = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let registry = self.registry.clone();
        let problem = if said(UNREACHABLE) {
            let reason = innermost(message);
            ImageProblem::Unreachable { registry, reason }
        } else if said(DENIED) {
            ImageProblem::Denied {
                registry,
                with_credentials,
            }
        } else if said(NOT_FOUND) {
            ImageProblem::NotFound { registry }
        } else if said(NOT_UNDERSTOOD) {
            let reason = innermost(message);
            ImageProblem::NotUnderstood { registry, reason }
        } else {
            ImageProblem::Other(one_line(message))
        };
        DockerError::Image {
            image: self.full.clone(),
            problem,
        }
    }

    /// The engine is well, and waits for the registry.
    pub fn stood_still(&self, after: Duration) -> DockerError {
        let seconds = after.as_secs_f64();
        DockerError::Image {
            image: self.full.clone(),
            problem: ImageProblem::Unreachable {
                registry: self.registry.clone(),
                reason: format!("the pull has stood still for {seconds} seconds"),
            },
        }
    }
}

/// Go joins errors by colons, the innermost last: `Get "https://…": dial tcp 1.2.3.4:443: connect:
/// connection refused`.
fn innermost(message: &str) -> String {
    let last = message.rsplit(": ").next().unwrap_or(message);
    one_line(last)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn reference(image: &str) -> (String, String) {
        let reference = Reference::parse(image).unwrap();
        (reference.full, reference.registry)
    }

    #[test]
    fn a_name_says_its_registry_and_always_one_tag() {
        let expected = [
            ("debian", "debian:latest", "docker.io"),
            ("library/debian:12", "library/debian:12", "docker.io"),
            (
                "index.docker.io/a/b",
                "index.docker.io/a/b:latest",
                "docker.io",
            ),
            ("localhost/app", "localhost/app:latest", "localhost"),
            (
                "127.0.0.1:5000/app",
                "127.0.0.1:5000/app:latest",
                "127.0.0.1:5000",
            ),
            (
                "quay.io/a/b@sha256:0123",
                "quay.io/a/b@sha256:0123",
                "quay.io",
            ),
        ];
        for (image, full, registry) in expected {
            assert_eq!(reference(image), (full.to_owned(), registry.to_owned()));
        }
    }

    #[test]
    fn a_name_that_would_be_another_request_is_none() {
        for image in [
            "",
            "a b",
            "../containers/x",
            "a/../b",
            "a?all=1",
            "a#b",
            "a//b",
            "/a",
            "a%2f",
        ] {
            assert_eq!(Reference::parse(image), None, "{image}");
        }
    }

    #[test]
    fn what_a_registry_says_becomes_a_sentence() {
        let explain = |image: &str, message: &str, with_credentials| {
            let error = DockerError::Refused {
                status: 500,
                message: message.to_owned(),
            };
            Reference::parse(image)
                .unwrap()
                .explain(error, with_credentials)
                .to_string()
        };
        assert_eq!(
            explain(
                "r.io/a",
                "manifest for r.io/a:latest not found: manifest unknown: manifest unknown",
                false
            ),
            "image r.io/a:latest: r.io has no such image or tag"
        );
        assert_eq!(
            explain(
                "r.io/a",
                "Head \"https://r.io/v2/a/manifests/latest\": no basic auth credentials",
                false
            ),
            "image r.io/a:latest: r.io denies access or has no such repository; no credentials are configured for it"
        );
        assert_eq!(
            explain(
                "a",
                "pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                true
            ),
            "image a:latest: docker.io denies access or has no such repository; the configured credentials were used"
        );
        assert_eq!(
            explain(
                "127.0.0.1:1/a",
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                false
            ),
            "image 127.0.0.1:1/a:latest: 127.0.0.1:1 cannot be reached: connection refused"
        );
        assert_eq!(
            explain(
                "r.io/a",
                "error unmarshalling content: invalid character '<' looking for beginning of value",
                false
            ),
            "image r.io/a:latest: r.io gives an answer that is not understood: invalid character '<' looking for beginning of value"
        );
        assert_eq!(
            explain("a", "no space left on device", false),
            "image a:latest: no space left on device"
        );
    }
}
