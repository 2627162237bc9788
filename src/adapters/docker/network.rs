//! The network that builds run on.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;

use super::connection::Docker;
use super::container::LABEL_INSTANCE;
use super::error::DockerError;

impl Docker {
    /// Makes sure of a bridge network on which containers reach the outside and not each other.
    /// One that exists under this name is taken as it is. Returns its id, since Docker allows two
    /// networks of one name.
    ///
    /// # Errors
    /// `Unreachable`, `Stalled`, `Refused` (all of Docker's address ranges are in use, for one).
    pub async fn ensure_network(&self, name: &str, instance: &str) -> Result<String, DockerError> {
        let engine = self.engine()?;
        let find = async || match engine
            .inspect_network(name, None)
            .await
            .map_err(DockerError::from)
        {
            Ok(network) => Ok(network.id),
            Err(DockerError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(id) = find().await? {
            return Ok(id);
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            options: Some(HashMap::from([(
                "com.docker.network.bridge.enable_icc".to_owned(),
                "false".to_owned(),
            )])),
            labels: Some(HashMap::from([(
                LABEL_INSTANCE.to_owned(),
                instance.to_owned(),
            )])),
            ..Default::default()
        };
        match engine
            .create_network(request)
            .await
            .map_err(DockerError::from)
        {
            Ok(network) => Ok(network.id),
            // Somebody was faster.
            Err(error @ DockerError::Conflict(_)) => find().await?.ok_or(error),
            Err(error) => Err(error),
        }
    }
}
