//! Images that are made of containers.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{ContainerConfig, ImageConfig, ImageSummary};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, PruneImagesOptionsBuilder,
};

use super::connection::Docker;
use super::container::{LABEL_ATTEMPT, LABEL_BUILD, LABEL_INSTANCE};
use super::error::DockerError;

/// A tag of an image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedImage {
    /// Like `sha256:…`.
    pub id: String,
    /// What stands after the colon.
    pub tag: String,
    pub labels: HashMap<String, String>,
}

/// Images that nothing named any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of images; layers that went with them are not among them.
    pub images: Vec<String>,
    /// Bytes that they took.
    pub bytes: u64,
}

impl Docker {
    /// Makes an image of a container's files, and gives it a name that an older image may have had
    /// until now. What the service had put aside or added to run its script is as in the image that
    /// the container was made of; what volumes hold is left out.
    ///
    /// # Errors
    /// `NotFound` if the container, or the image it was made of, is gone; `Refused` with what the
    /// engine said; `Unreachable`, `Late`.
    pub async fn commit(
        &self,
        container: &str,
        repository: &str,
        tag: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<String, DockerError> {
        let engine = self.engine()?;
        let inspected = engine.inspect_container(container, None);
        let inspected = self.answer("tell of a container", inspected).await?;
        let image = inspected.image.ok_or_else(|| {
            DockerError::Nonsense("a container that was made of no image".to_owned())
        })?;
        let original = engine.inspect_image(&image);
        let original = self.answer("tell of an image", original).await?;
        let options = CommitContainerOptionsBuilder::new()
            .container(container)
            .repo(repository)
            .tag(tag)
            .build();
        let config = config_of(original.config.unwrap_or_default(), labels);
        let made = engine.commit_container(options, config);
        Ok(self.labour("commit a container", made).await?.id)
    }

    /// The images of one name, one for each of its tags.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn images_of(&self, repository: &str) -> Result<Vec<TaggedImage>, DockerError> {
        let filters = HashMap::from([("reference".to_owned(), vec![repository.to_owned()])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let engine = self.engine()?;
        let images = engine.list_images(Some(options));
        let images = self.answer("list images", images).await?;
        let tags = images.into_iter().flat_map(|image| {
            let ImageSummary {
                id,
                repo_tags,
                labels,
                ..
            } = image;
            repo_tags.into_iter().filter_map(move |name| {
                let tag = name.strip_prefix(repository)?.strip_prefix(':')?.to_owned();
                Some(TaggedImage {
                    id: id.clone(),
                    tag,
                    labels: labels.clone(),
                })
            })
        });
        Ok(tags.collect())
    }

    /// Removes images that have no name and of which no container is made.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`; `Conflict` while somebody else does the same.
    pub async fn remove_dangling_images(&self) -> Result<Pruned, DockerError> {
        let filters = HashMap::from([("dangling".to_owned(), vec!["true".to_owned()])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let engine = self.engine()?;
        let dangling = engine.list_images(Some(options));
        let dangling = self.answer("list images", dangling).await?;
        let options = PruneImagesOptionsBuilder::new().filters(&filters).build();
        let pruned = engine.prune_images(Some(options));
        let answer = self.labour("remove images without a name", pruned).await?;
        let deleted = answer.images_deleted.unwrap_or_default();
        // With an image go layers, which have ids too.
        let is_image = |id: &String| dangling.iter().any(|image| image.id == *id);
        let images = deleted.into_iter().filter_map(|item| item.deleted);
        Ok(Pruned {
            images: images.filter(is_image).collect(),
            bytes: answer
                .space_reclaimed
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(0),
        })
    }
}

/// The engine takes what is missing here from the container, so nothing that was changed for the
/// build may be missing. A label cannot be taken back; it is made empty, and so means nothing.
fn config_of(original: ImageConfig, labels: BTreeMap<String, String>) -> ContainerConfig {
    let emptied =
        [LABEL_BUILD, LABEL_INSTANCE, LABEL_ATTEMPT].map(|label| (label.to_owned(), String::new()));
    ContainerConfig {
        entrypoint: Some(original.entrypoint.unwrap_or_default()),
        cmd: Some(original.cmd.unwrap_or_default()),
        user: original.user,
        working_dir: original.working_dir,
        healthcheck: original.healthcheck,
        labels: Some(emptied.into_iter().chain(labels).collect()),
        ..Default::default()
    }
}
