//! What is left on an engine beside containers, how it is known to be ours, and its removal. Each
//! removal leaves alone what has come to be used meanwhile: the engine refuses it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use bollard::models::{ContainerSummary, ImageSummary};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptions,
};

use super::connection::{Docker, Host};
use super::container::{LABEL_BUILD, LABEL_INSTANCE};
use super::error::DockerError;

/// A volume that no container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurVolume {
    pub name: String,
    pub build: Option<String>,
}

/// A network that no container is on, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurNetwork {
    pub id: String,
    pub name: String,
}

/// An image that bears a label of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImage {
    pub id: String,
    /// With repository and tag; none: it is dangling.
    pub names: Vec<String>,
    pub labels: HashMap<String, String>,
    /// What it takes beyond the image it was made of, where that is there.
    pub bytes: Option<u64>,
    /// A container, running or not, or another image is made of it.
    pub is_used: bool,
}

impl Docker {
    /// The volumes of one instance that no container has.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn unused_volumes(&self, instance: &str) -> Result<Vec<OurVolume>, DockerError> {
        let mut filters = labelled(&format!("{LABEL_INSTANCE}={instance}"));
        filters.insert("dangling".to_owned(), vec!["true".to_owned()]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let engine = self.engine()?;
        let volumes = engine.list_volumes(Some(options));
        let answer = self.answer("list volumes", volumes).await?;
        let volumes = answer.volumes.unwrap_or_default().into_iter();
        let ours = volumes.map(|mut volume| OurVolume {
            name: volume.name,
            build: volume.labels.remove(LABEL_BUILD),
        });
        Ok(ours.collect())
    }

    /// Removes a volume. One that is not there is no error.
    ///
    /// # Errors
    /// `Conflict` if a container has it; `Unreachable`, `Late`, `Refused`.
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        let options = None::<RemoveVolumeOptions>;
        let engine = self.engine()?;
        let removed = engine.remove_volume(name, options);
        gone_is_fine(self.answer("remove a volume", removed).await)
    }

    /// The networks of one instance that no container is on.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn unused_networks(&self, instance: &str) -> Result<Vec<OurNetwork>, DockerError> {
        let filters = labelled(&format!("{LABEL_INSTANCE}={instance}"));
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let engine = self.engine()?;
        let networks = engine.list_networks(Some(options));
        let networks = self.answer("list networks", networks).await?;
        // The engine itself counts running containers only.
        let used = networks_of(&self.all_containers().await?);
        let ours = networks.into_iter().filter_map(|network| {
            let (id, name) = (network.id?, network.name?);
            let is_used = used.contains(&id) || used.contains(&name);
            (!is_used).then_some(OurNetwork { id, name })
        });
        Ok(ours.collect())
    }

    /// Removes a network. One that is not there is no error.
    ///
    /// # Errors
    /// `Refused` while a container runs on it; `Unreachable`, `Late`.
    pub async fn remove_network(&self, id: &str) -> Result<(), DockerError> {
        let engine = self.engine()?;
        let removed = engine.remove_network(id);
        gone_is_fine(self.answer("remove a network", removed).await)
    }

    /// All images that were given a label, whatever its value. One that somebody made of such an
    /// image has it too, and is theirs.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn images_labelled(&self, label: &str) -> Result<Vec<LabelledImage>, DockerError> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let engine = self.engine()?;
        let images = engine.list_images(Some(options));
        let images = self.answer("list images", images).await?;
        let containers = self.all_containers().await?;
        let of_containers = containers.into_iter().filter_map(|each| each.image_id);
        let parents = images.iter().map(|image| image.parent_id.clone());
        let used: HashSet<String> = of_containers.chain(parents).collect();
        let sizes: HashMap<String, i64> = images
            .iter()
            .map(|image| (image.id.clone(), image.size))
            .collect();
        let bears_it = |image: &ImageSummary| image.labels.contains_key(label);
        let bearers: HashSet<String> = (images.iter())
            .filter(|image| bears_it(image))
            .map(|image| image.id.clone())
            .collect();
        let labelled = images
            .into_iter()
            .filter(|image| bears_it(image) && !bearers.contains(&image.parent_id));
        let labelled = labelled.map(|image| LabelledImage {
            is_used: used.contains(&image.id),
            bytes: own_size(&image, &sizes),
            // The engine's way to say that there is none.
            names: (image.repo_tags.into_iter())
                .filter(|name| name != "<none>:<none>")
                .collect(),
            labels: image.labels,
            id: image.id,
        });
        Ok(labelled.collect())
    }

    /// Removes an image, and nothing of what it was made of. One that is not there is no error.
    ///
    /// # Errors
    /// `Conflict` if a container or another image is made of it; `Unreachable`, `Late`,
    /// `Refused`.
    pub async fn remove_image(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveImageOptionsBuilder::new().noprune(true).build();
        let engine = self.engine()?;
        let removed = engine.remove_image(id, Some(options), None);
        let removed = self.labour("remove an image", removed).await;
        gone_is_fine(removed.map(|_| ()))
    }

    /// The folder that the engine keeps everything in, if it is on this machine as far as one can
    /// tell: it is spoken to by a socket, and there is such a folder here.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn root_here(&self) -> Result<Option<PathBuf>, DockerError> {
        if !matches!(self.host(), Host::Unix(_)) {
            return Ok(None);
        }
        let engine = self.engine()?;
        let about = self.health("tell about itself", engine.info()).await?;
        let root = about.docker_root_dir;
        Ok(root.map(PathBuf::from).filter(|root| root.is_dir()))
    }

    async fn all_containers(&self) -> Result<Vec<ContainerSummary>, DockerError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let engine = self.engine()?;
        let containers = engine.list_containers(Some(options));
        self.answer("list containers", containers).await
    }
}

fn labelled(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

fn gone_is_fine(result: Result<(), DockerError>) -> Result<(), DockerError> {
    match result {
        Err(DockerError::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// Names and ids of the networks of containers. One that never ran is on none yet, and tells of it
/// as it was told.
fn networks_of(containers: &[ContainerSummary]) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for container in containers {
        let host = container.host_config.as_ref();
        used.extend(host.and_then(|host| host.network_mode.clone()));
        let settings = container.network_settings.as_ref();
        for (name, endpoint) in settings
            .iter()
            .flat_map(|known| known.networks.iter().flatten())
        {
            used.insert(name.clone());
            used.extend(endpoint.network_id.clone());
        }
    }
    used
}

fn own_size(image: &ImageSummary, sizes: &HashMap<String, i64>) -> Option<u64> {
    let parent = sizes.get(&image.parent_id)?;
    u64::try_from(image.size - parent).ok()
}
