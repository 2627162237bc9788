//! The image that a build starts from.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::connection::Docker;
use super::error::{DockerError, ImageProblem, one_line};

/// When to ask the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// If the image is not there.
    Missing,
    Always,
    Never,
}

/// What a registry wants to know.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// An image that is there.
#[derive(Debug, Clone)]
pub struct Image {
    /// Like `sha256:…`; what a container is to be made from, since a tag can move.
    pub id: String,
    /// Bytes.
    pub size: u64,
}

/// How often a pull says how far it is: a log is no progress bar.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How long a pull may say nothing. Docker tries a registry that does not answer several times, and
/// unpacks without a word a layer that it has.
const PULL_STALL: Duration = Duration::from_secs(300);

const DOCKER_HUB: &str = "docker.io";

impl Docker {
    /// Makes sure of an image. `progress` gets a few lines for the build's log: the first and the
    /// last, and one each five seconds.
    ///
    /// `registries`: host, with its port if it has one, → credentials; Docker Hub is `docker.io`.
    ///
    /// # Errors
    /// `Image` with what is wrong in a sentence; `Unreachable`, `Stalled`, `Refused`.
    pub async fn ensure_image(
        &self,
        image: &str,
        pull: Pull,
        registries: &BTreeMap<String, Credentials>,
        mut progress: impl FnMut(String) + Send,
    ) -> Result<Image, DockerError> {
        let reference = Reference::parse(image).ok_or_else(|| DockerError::Image {
            image: image.to_owned(),
            problem: ImageProblem::BadName,
        })?;
        let here = if pull == Pull::Always {
            None
        } else {
            self.find_image(&reference.full).await?
        };
        if let Some(found) = here {
            progress(format!(
                "image {image} ({}, {})",
                short(&found.id),
                mebibytes(found.size)
            ));
            return Ok(found);
        }
        if pull == Pull::Never {
            return Err(DockerError::Image {
                image: image.to_owned(),
                problem: ImageProblem::NotHere,
            });
        }
        progress(format!("pulling image {image}"));
        let credentials = reference.credentials(registries);
        self.pull(&reference, credentials, &mut progress).await?;
        let pulled = self
            .find_image(&reference.full)
            .await?
            .ok_or_else(|| DockerError::Image {
                image: image.to_owned(),
                problem: ImageProblem::Other("it was pulled and is gone".to_owned()),
            })?;
        progress(format!(
            "pulled image {image} ({}, {})",
            short(&pulled.id),
            mebibytes(pulled.size)
        ));
        Ok(pulled)
    }

    async fn find_image(&self, image: &str) -> Result<Option<Image>, DockerError> {
        match self
            .engine()?
            .inspect_image(image)
            .await
            .map_err(DockerError::from)
        {
            Ok(found) => Ok(Some(Image {
                id: found.id.unwrap_or_default(),
                size: found
                    .size
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0),
            })),
            Err(DockerError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        progress: &mut (impl FnMut(String) + Send),
    ) -> Result<(), DockerError> {
        let options = CreateImageOptionsBuilder::new()
            .from_image(&reference.full)
            .build();
        let login = credentials.map(|credentials| DockerCredentials {
            username: Some(credentials.username.clone()),
            password: Some(credentials.password.clone()),
            serveraddress: Some(reference.registry.clone()),
            ..Default::default()
        });
        let engine = self.transfers()?;
        let mut news = engine.create_image(Some(options), None, login);
        let mut layers = Layers::default();
        let mut said = Instant::now();
        loop {
            let next = tokio::time::timeout(PULL_STALL, news.next())
                .await
                .map_err(|_| DockerError::Stalled {
                    doing: "pulling an image",
                    after: PULL_STALL,
                })?;
            let Some(piece) = next else { return Ok(()) };
            let piece =
                piece.map_err(|error| reference.explain(error.into(), credentials.is_some()))?;
            layers.note(piece);
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                progress(layers.to_string());
            }
        }
    }
}

/// An image's name, taken apart as docker does it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    /// With its tag or digest: without one, Docker would pull all tags.
    full: String,
    registry: String,
}

impl Reference {
    /// `None`: no image has such a name. It becomes part of a path of the engine's API, so nothing
    /// passes that could mean another one.
    fn parse(image: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !image.bytes().all(allowed) || !image.split('/').all(plain) {
            return None;
        }
        // The first part is a host if it looks like one; `library/debian` is on Docker Hub.
        let host = image.split_once('/').map(|(first, _)| first);
        let host = host.filter(|first| first.contains(['.', ':']) || *first == "localhost");
        let registry = match host {
            None | Some("index.docker.io" | "registry-1.docker.io") => DOCKER_HUB,
            Some(host) => host,
        };
        let last = image.rsplit('/').next().unwrap_or(image);
        let full = if last.contains([':', '@']) {
            image.to_owned()
        } else {
            format!("{image}:latest")
        };
        Some(Self {
            full,
            registry: registry.to_owned(),
        })
    }

    fn credentials<'a>(
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
    fn explain(&self, error: DockerError, with_credentials: bool) -> DockerError {
        let message = match &error {
            DockerError::Refused { message, .. } | DockerError::NotFound(message) => {
                message.as_str()
            }
            _ => return error,
        };
        let said = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let registry = self.registry.clone();
        let problem =
            if said(&["manifest unknown", "manifest for", "not found"]) && !said(&["denied"]) {
                ImageProblem::NotFound { registry }
            } else if said(&[
                "no basic auth credentials",
                "unauthorized",
                "denied",
                "incorrect username",
                "authentication required",
            ]) {
                ImageProblem::Denied {
                    registry,
                    with_credentials,
                }
            } else if said(&[
                "dial tcp",
                "connection refused",
                "no such host",
                "timeout",
                "Timeout",
                "server misbehaving",
                "EOF",
                "tls:",
                "x509",
                "server gave HTTP response",
            ]) {
                ImageProblem::Unreachable {
                    registry,
                    reason: innermost(message),
                }
            } else {
                ImageProblem::Other(one_line(message))
            };
        DockerError::Image {
            image: self.full.clone(),
            problem,
        }
    }
}

/// Go joins errors by colons, the innermost last: `Get "https://…": dial tcp 1.2.3.4:443: connect:
/// connection refused`.
fn innermost(message: &str) -> String {
    let last = message.rsplit(": ").next().unwrap_or(message);
    one_line(last)
}

/// The layers of a pull, as the engine speaks of them.
#[derive(Default)]
struct Layers(HashMap<String, Layer>);

#[derive(Default)]
struct Layer {
    bytes: u64,
    size: u64,
    done: bool,
}

impl Layers {
    fn note(&mut self, news: CreateImageInfo) {
        let (Some(id), Some(status)) = (news.id, news.status) else {
            return;
        };
        let is_layer = [
            "Pulling fs layer",
            "Waiting",
            "Downloading",
            "Verifying",
            "Download",
            "Extracting",
            "Pull",
            "Already",
        ]
        .iter()
        .any(|word| status.starts_with(word));
        // `Pulling from library/debian` carries the tag as its id.
        if !is_layer || status.starts_with("Pulling from") {
            return;
        }
        let layer = self.0.entry(id).or_default();
        if status == "Downloading" {
            let number = |value: Option<i64>| {
                value
                    .and_then(|value| u64::try_from(value).ok())
                    .unwrap_or(0)
            };
            let detail = news.progress_detail.unwrap_or_default();
            (layer.bytes, layer.size) = (number(detail.current), number(detail.total));
        }
        if status.starts_with("Download complete") || status.starts_with("Extracting") {
            layer.bytes = layer.size;
        }
        layer.done = status.starts_with("Pull complete") || status.starts_with("Already exists");
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers = self.0.values();
        let done = layers.clone().filter(|layer| layer.done).count();
        let bytes = layers.clone().map(|layer| layer.bytes).sum();
        let size = layers.clone().map(|layer| layer.size).sum();
        write!(
            formatter,
            "{done} of {} layers, {} of {}",
            self.0.len(),
            mebibytes(bytes),
            mebibytes(size)
        )
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}

/// The first twelve digits, as docker shows ids.
fn short(id: &str) -> &str {
    let end = "sha256:".len() + 12;
    if id.starts_with("sha256:") {
        id.get(..end).unwrap_or(id)
    } else {
        id
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use bollard::models::ProgressDetail;

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
            "image r.io/a:latest: r.io denies access, and no credentials are configured for it"
        );
        assert_eq!(
            explain(
                "a",
                "pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                true
            ),
            "image a:latest: docker.io denies access with the configured credentials"
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
            explain("a", "no space left on device", false),
            "image a:latest: no space left on device"
        );
    }

    #[test]
    fn progress_counts_layers_and_bytes() {
        let mut layers = Layers::default();
        let mut note = |id: &str, status: &str, progress: Option<(i64, i64)>| {
            layers.note(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: progress.map(|(current, total)| ProgressDetail {
                    current: Some(current),
                    total: Some(total),
                }),
                ..Default::default()
            });
        };
        note("12", "Pulling from library/debian", None);
        note("a", "Pulling fs layer", None);
        note("b", "Downloading", Some((1 << 20, 4 << 20)));
        note("c", "Downloading", Some((1 << 20, 2 << 20)));
        note("c", "Download complete", None);
        note("c", "Pull complete", None);
        assert_eq!(layers.to_string(), "1 of 3 layers, 3.0 MiB of 6.0 MiB");
    }
}
