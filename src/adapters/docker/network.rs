//! The network that builds run on.

use std::collections::HashMap;

use bollard::models::{Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use sha2::{Digest, Sha256};

use super::connection::Docker;
use super::container::LABEL_INSTANCE;
use super::error::DockerError;

/// Whether containers of one bridge reach each other, and what the bridge is called on the host.
/// Source: <https://docs.docker.com/engine/network/drivers/bridge/#options>.
const REACH_EACH_OTHER: &str = "com.docker.network.bridge.enable_icc";
const BRIDGE: &str = "com.docker.network.bridge.name";

impl Docker {
    /// Makes sure of a bridge network on which containers reach the outside and not each other.
    /// Returns its id: Docker allows several networks of one name, and then refuses the name as
    /// ambiguous.
    ///
    /// # Errors
    /// `Settings` if there is one of this name that is not ours or does not keep them apart;
    /// `Unreachable`, `Late`, `Refused` (all of Docker's address ranges are in use, for one).
    pub async fn ensure_network(&self, name: &str, instance: &str) -> Result<String, DockerError> {
        // Builds that start together would each make one.
        let _turn = self.network_turn().lock().await;
        if let Some(id) = self.own_network(name, instance).await? {
            return Ok(id);
        }
        let options = [
            (REACH_EACH_OTHER, "false".to_owned()),
            (BRIDGE, bridge_name(name)),
        ];
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            options: Some(options.map(|(key, value)| (key.to_owned(), value)).into()),
            labels: Some(HashMap::from([(
                LABEL_INSTANCE.to_owned(),
                instance.to_owned(),
            )])),
            ..Default::default()
        };
        let engine = self.engine()?;
        let created = engine.create_network(request);
        match self.answer("create a network", created).await {
            Ok(network) => Ok(network.id),
            // Another process was faster: the name is taken, or that of the bridge.
            Err(error @ (DockerError::Conflict(_) | DockerError::Refused { .. })) => {
                self.own_network(name, instance).await?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The id of the network of exactly this name; of several, always the same one.
    async fn own_network(&self, name: &str, instance: &str) -> Result<Option<String>, DockerError> {
        // Docker's filter takes part of a name.
        let filters = HashMap::from([("name".to_owned(), vec![name.to_owned()])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let engine = self.engine()?;
        let networks = engine.list_networks(Some(options));
        let networks = self.answer("list networks", networks).await?;
        let mut named: Vec<Network> = networks
            .into_iter()
            .filter(|network| network.name.as_deref() == Some(name))
            .collect();
        named.sort_by(|one, other| one.id.cmp(&other.id));
        let problems = named.iter().map(|network| problem(network, instance));
        let problems: Vec<_> = problems.collect();
        let ours = problems.iter().position(Option::is_none);
        match (ours, problems.into_iter().flatten().next()) {
            (Some(ours), _) => Ok(named.swap_remove(ours).id),
            (None, None) => Ok(None),
            (None, Some(problem)) => Err(DockerError::Settings(format!(
                "the network {name} {problem}, so no build is put on it; remove it \
                 (docker network rm {name}) and it is made anew, or name a network of your own as \
                 docker.network"
            ))),
        }
    }
}

/// Why builds cannot be put on a network that has the name of ours.
fn problem(network: &Network, instance: &str) -> Option<&'static str> {
    let option = |key| network.options.as_ref()?.get(key).map(String::as_str);
    let label = network
        .labels
        .as_ref()
        .and_then(|labels| labels.get(LABEL_INSTANCE));
    if label.map(String::as_str) != Some(instance) {
        Some("was not made by this service")
    } else if network.driver.as_deref() != Some("bridge")
        || option(REACH_EACH_OTHER) != Some("false")
    {
        Some("lets builds reach each other")
    } else {
        None
    }
}

/// What the host's firewall knows the network by: always the same for one network, and `ab-` at the
/// beginning for all. Linux takes 15 characters.
fn bridge_name(network: &str) -> String {
    let digest = Sha256::digest(network);
    let digits: String = digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("ab-{digits}")
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_bridge_has_a_name_that_linux_takes_and_that_stays() {
        let name = bridge_name("autobuilder-0123456789abcdef");
        assert_eq!(name.len(), 15);
        assert_eq!(name, bridge_name("autobuilder-0123456789abcdef"));
        assert_ne!(name, bridge_name("autobuilder-0123456789abcdee"));
    }
}
