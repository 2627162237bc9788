//! How much disk a build takes.

use std::time::Duration;

use bollard::query_parameters::InspectContainerOptionsBuilder;

use super::connection::Docker;
use super::error::DockerError;

/// Files that the engine lays over the image's own: they are on the host's disk, in no layer and in
/// no volume, and the script can write to them.
const OF_THE_ENGINE: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// How long the runner may count: a large build tree on a busy disk takes minutes.
const COUNTING: Duration = Duration::from_secs(300);

/// What a container takes on disk.
#[derive(Debug)]
pub struct DiskUsage {
    /// Bytes.
    pub at_least: u64,
    /// Why a part of it could not be counted.
    pub unknown: Option<DockerError>,
}

impl Docker {
    /// What a container has written: to its own layer, as Docker counts it, and, while it runs, to
    /// its volumes and to files that are open and deleted, as the runner does (Docker would count
    /// all volumes of the machine). Both walk the files, so ask seldom: seconds for a large build
    /// tree.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`, `Late`, `Refused`.
    pub async fn disk_usage(&self, id: &str) -> Result<DiskUsage, DockerError> {
        let options = InspectContainerOptionsBuilder::new().size(true).build();
        let engine = self.engine()?;
        let measured = engine.inspect_container(id, Some(options));
        let container = self.answer("measure a container", measured).await?;
        let layer = match container.size_rw.map_or(Ok(0), u64::try_from) {
            Ok(layer) => Ok(layer),
            // Its way to say that it failed, as it does where a path is too long for it.
            Err(_) => Err(DockerError::Nonsense(
                "it cannot count the container's layer".to_owned(),
            )),
        };
        let is_running = container.state.and_then(|state| state.running);
        let volumes = if is_running.unwrap_or(false) {
            let mounts = container.mounts.unwrap_or_default();
            let volumes = mounts
                .iter()
                .filter_map(|mount| mount.destination.as_deref());
            self.used_below(id, volumes.chain(OF_THE_ENGINE)).await
        } else {
            Ok(0)
        };
        let mut usage = DiskUsage {
            at_least: 0,
            unknown: None,
        };
        for part in [layer, volumes] {
            match part {
                Ok(bytes) => usage.at_least = usage.at_least.saturating_add(bytes),
                Err(error) => usage.unknown = Some(error),
            }
        }
        Ok(usage)
    }

    async fn used_below(
        &self,
        id: &str,
        folders: impl Iterator<Item = &str>,
    ) -> Result<u64, DockerError> {
        let question: Vec<_> = std::iter::once("used").chain(folders).collect();
        let answer = match self.ask_runner(id, &question, COUNTING).await {
            // It ended in between.
            Err(DockerError::NotRunning(_)) => return Ok(0),
            other => other?,
        };
        String::from_utf8_lossy(&answer)
            .trim()
            .parse()
            .map_err(|_| DockerError::Nonsense("the runner was asked for a number".to_owned()))
    }
}
