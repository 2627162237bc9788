//! Which images builds may start from.

use std::fmt;

use super::paths::{Pattern, Patterns, PatternsError};

const DOCKER_HUB: &str = "docker.io";

/// What an operator allows: nothing is listed, or one of the patterns fits the image's whole name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedImages(Option<Patterns>);

impl AllowedImages {
    /// `patterns`: none allow all.
    pub fn new(patterns: Vec<Pattern>) -> Result<Self, PatternsError> {
        match patterns.is_empty() {
            true => Ok(Self(None)),
            false => Patterns::try_from(patterns).map(|patterns| Self(Some(patterns))),
        }
    }

    pub fn allows(&self, image: &str) -> bool {
        let Some(patterns) = &self.0 else { return true };
        whole_name(image).is_some_and(|name| patterns.matches(&name))
    }
}

/// The patterns, for people.
impl fmt::Display for AllowedImages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => formatter.write_str("**"),
            Some(patterns) => patterns.fmt(formatter),
        }
    }
}

/// An image's name as Docker completes it: `ubuntu` is `docker.io/library/ubuntu:latest`. `None` for
/// `sha256:…`, which names an image of the Docker host by its id and says nothing of where it is from.
pub fn whole_name(image: &str) -> Option<String> {
    if image.starts_with("sha256:") {
        return None;
    }
    let (registry, path) = split_registry(image);
    let is_official = registry == DOCKER_HUB && !path.contains('/');
    let library = if is_official { "library/" } else { "" };
    Some(format!("{registry}/{library}{}", with_tag(path)))
}

/// The registry that an image's name means, and the rest of the name. The first part is a host if it
/// looks like one: `library/debian` is on Docker Hub.
pub fn split_registry(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", path)) => (DOCKER_HUB, path),
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DOCKER_HUB, image),
    }
}

/// The name with a tag or digest: without one, Docker takes the tag `latest` or pulls all.
pub fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.contains([':', '@']) {
        true => image.to_owned(),
        false => format!("{image}:latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> AllowedImages {
        let patterns = patterns.iter().map(|pattern| pattern.parse().unwrap());
        AllowedImages::new(patterns.collect()).unwrap()
    }

    #[test]
    fn a_name_is_completed_as_docker_does_it() {
        let expected = [
            ("ubuntu", "docker.io/library/ubuntu:latest"),
            ("ubuntu:16.04", "docker.io/library/ubuntu:16.04"),
            ("acme/tool", "docker.io/acme/tool:latest"),
            ("docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
            ("index.docker.io/acme/tool:1", "docker.io/acme/tool:1"),
            ("localhost/tool", "localhost/tool:latest"),
            ("r.io:5000/a/b:1@sha256:01", "r.io:5000/a/b:1@sha256:01"),
        ];
        for (image, whole) in expected {
            assert_eq!(whole_name(image).as_deref(), Some(whole), "{image}");
        }
        assert_eq!(whole_name("sha256:0123"), None);
    }

    #[test]
    fn nothing_listed_allows_all() {
        for image in ["ubuntu", "r.io/a/b@sha256:01", "sha256:01"] {
            assert!(AllowedImages::default().allows(image), "{image}");
        }
    }

    #[test]
    fn only_what_is_listed_is_allowed_however_it_is_written() {
        let images = allowed(&[
            "docker.io/library/ubuntu:*",
            "quay.io/acme/**",
            "!quay.io/acme/old/**",
        ]);
        for image in [
            "ubuntu",
            "ubuntu:16.04",
            "library/ubuntu:16.04",
            "docker.io/library/ubuntu:16.04@sha256:01",
            "quay.io/acme/deep/tool:1",
        ] {
            assert!(images.allows(image), "{image}");
        }
        for image in [
            "debian",
            "ubuntu/ubuntu:16.04",
            "ubuntu.evil.example/ubuntu:16.04",
            "evil.example/docker.io/library/ubuntu:16.04",
            "docker.io.evil.example/library/ubuntu:16.04",
            "library/ubuntu2:1",
            "quay.io/acme2/tool",
            "quay.io/acme/old/tool",
            "sha256:0123",
        ] {
            assert!(!images.allows(image), "{image}");
        }
        let one_tag = allowed(&["docker.io/library/ubuntu:16.04"]);
        assert!(one_tag.allows("ubuntu:16.04"));
        assert!(!one_tag.allows("ubuntu:16.04.1") && !one_tag.allows("ubuntu"));
    }

    #[test]
    fn no_id_is_allowed_by_any_list() {
        assert!(!allowed(&["**"]).allows("sha256:0123"));
    }
}
