//! Names in a folder of this machine: the file under its own, and a link that is stable.

use std::io;
use std::path::Path;

use super::{Failure, Publication, cannot_publish};
use crate::domain::publication::Names;
use crate::service::files::{copy_durably, swap_link};
use crate::store::Place;

impl Publication<'_> {
    pub(super) async fn publish_file(
        &self,
        place: Place,
        folder: &Path,
        names: &Names,
    ) -> Result<(), Failure> {
        let Names { file, link } = names;
        let artifacts = self.service.logs.artifacts(&self.build.id);
        let from = artifacts.join(self.recipe.artifact.as_str());
        let to = folder.join(file);
        let _turn = self.service.publishing.take_file(place, file).await;
        blocking(move || copy_durably(&from, &to))
            .await
            .map_err(|error| cannot_publish(file, error))?;
        let store = &self.service.store;
        let recorded = store.record_file(place, file.clone(), &self.build.id).await;
        recorded.map_err(|error| cannot_publish(file, error))?;
        self.note(format!("published as {file}"));
        let (target, name) = (file.clone(), folder.join(link));
        self.move_name(place, link, async {
            blocking(move || swap_link(&target, &name))
                .await
                .map_err(|error| cannot_publish(link, error))
        })
        .await?;
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
