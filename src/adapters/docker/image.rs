//! The image that a build starts from.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::connection::Docker;
use super::error::{DockerError, ImageProblem, within};
use super::reference::Reference;

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
        let engine = self.engine()?;
        let inspected = engine.inspect_image(image);
        match self.answer("tell of an image", inspected).await {
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
        let engine = self.engine()?;
        let mut news = engine.create_image(Some(options), None, login);
        let mut layers = Layers::default();
        let mut said = Instant::now();
        loop {
            let stall = self.patience().pull_stall;
            let next = match within(stall, "pull an image", news.next()).await {
                Err(_) if self.ping().await.is_ok() => return Err(reference.stood_still(stall)),
                next => next?,
            };
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
