//! The network that builds run on.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::connection::Docker;
use super::container::LABEL_INSTANCE;
use super::error::DockerError;

impl Docker {
    /// Makes sure of a bridge network on which containers reach the outside and not each other.
    /// One that exists under this name is taken as it is. Returns its id: Docker allows several
    /// networks of one name, and then refuses the name as ambiguous.
    ///
    /// # Errors
    /// `Unreachable`, `Stalled`, `Refused` (all of Docker's address ranges are in use, for one).
    pub async fn ensure_network(&self, name: &str, instance: &str) -> Result<String, DockerError> {
        // Builds that start together would each make one.
        let _turn = self.network_turn().lock().await;
        if let Some(id) = self.network_named(name).await? {
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
        let created = self
            .engine()?
            .create_network(request)
            .await
            .map_err(DockerError::from);
        match created {
            Ok(network) => Ok(network.id),
            // Another process was faster.
            Err(error @ DockerError::Conflict(_)) => self.network_named(name).await?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The id of the network of exactly this name; of several, always the same one.
    async fn network_named(&self, name: &str) -> Result<Option<String>, DockerError> {
        // Docker's filter takes part of a name.
        let filters = HashMap::from([("name".to_owned(), vec![name.to_owned()])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.engine()?.list_networks(Some(options)).await?;
        let named = networks
            .into_iter()
            .filter(|network| network.name.as_deref() == Some(name));
        Ok(named.filter_map(|network| network.id).min())
    }
}
