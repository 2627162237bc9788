//! How much disk a build takes.

use bollard::query_parameters::InspectContainerOptionsBuilder;

use super::connection::Docker;
use super::error::DockerError;

impl Docker {
    /// The bytes that a container has written: to its own layer, as Docker counts them, and, while
    /// it runs, to its volumes, as the runner does (Docker would count all volumes of the machine).
    /// Both walk the files, so ask seldom: seconds for a large build tree.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`, `Stalled`, `Refused`.
    pub async fn disk_usage(&self, id: &str) -> Result<u64, DockerError> {
        let options = InspectContainerOptionsBuilder::new().size(true).build();
        let container = self.engine()?.inspect_container(id, Some(options)).await?;
        let layer = container
            .size_rw
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0);
        if !container
            .state
            .and_then(|state| state.running)
            .unwrap_or(false)
        {
            return Ok(layer);
        }
        let mounts = container.mounts.unwrap_or_default();
        let volumes: Vec<_> = mounts
            .iter()
            .filter_map(|mount| mount.destination.as_deref())
            .collect();
        let mut question = vec!["used"];
        question.extend(volumes);
        let answer = match self.ask_runner(id, &question).await {
            // It ended in between.
            Err(DockerError::NotRunning(_)) => return Ok(layer),
            other => other?,
        };
        let volumes: u64 = String::from_utf8_lossy(&answer)
            .trim()
            .parse()
            .map_err(|_| DockerError::Nonsense("the runner was asked for a number".to_owned()))?;
        Ok(layer.saturating_add(volumes))
    }
}
