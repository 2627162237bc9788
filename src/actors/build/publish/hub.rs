//! Flists: an archive goes up to the hub once, and a link of the hub's is the stable name.

use std::path::{Path, PathBuf};

use super::{Failure, Publication, cannot_publish};
use crate::adapters::hub::{HubSettings, Local, pack_kernel};
use crate::domain::publication::{Names, hub_name};
use crate::domain::room;
use crate::store::Place;

impl Publication<'_> {
    /// The artifact, which is an archive by itself.
    pub(super) async fn publish_flist(
        &self,
        settings: &HubSettings,
        names: &Names,
    ) -> Result<(), Failure> {
        let artifact = self.artifact();
        let upload = self.upload_archive(settings, &names.file, &artifact);
        self.publish_on_hub(settings, names, upload).await
    }

    /// The artifact, in an archive that is made for this and then removed.
    pub(super) async fn publish_kernel_flist(
        &self,
        settings: &HubSettings,
        names: &Names,
    ) -> Result<(), Failure> {
        self.publish_on_hub(settings, names, async {
            let directory = &self.service.directory;
            let folder = directory.temporary_folder(&self.build.id);
            let failed = |error: std::io::Error| {
                let words = room::in_words(&error, directory.temporary());
                cannot_publish(&names.file, words)
            };
            let folder = folder.map_err(failed)?;
            let archive = folder.path().join("kernel.tar.gz");
            pack(self.artifact(), archive.clone())
                .await
                .map_err(failed)?;
            self.upload_archive(settings, &names.file, &archive).await
        })
        .await
    }

    async fn publish_on_hub(
        &self,
        settings: &HubSettings,
        names: &Names,
        upload: impl Future<Output = Result<String, Failure>>,
    ) -> Result<(), Failure> {
        let flist = hub_name(&names.file);
        let flist = self.upload_once(Place::Hub, &flist, upload).await?;
        let link = &names.link;
        self.move_name(Place::Hub, link, async {
            let hub = &self.service.hub;
            hub.link(settings, &flist, link, &|line| self.note(line))
                .await
                .map_err(|error| cannot_publish(link, error))
        })
        .await?;
        Ok(())
    }

    /// Returns the flist's name on the hub.
    async fn upload_archive(
        &self,
        settings: &HubSettings,
        name: &str,
        path: &Path,
    ) -> Result<String, Failure> {
        let hub = &self.service.hub;
        let stored = hub
            .upload(settings, Local { path, name }, &|line| self.note(line))
            .await
            .map_err(|error| cannot_publish(name, error))?
            .unwrap_or_else(|| hub_name(name));
        self.note(format!("{stored} is on the hub"));
        Ok(stored)
    }
}

async fn pack(kernel: PathBuf, to: PathBuf) -> std::io::Result<()> {
    tokio::task::spawn_blocking(move || pack_kernel(&kernel, &to))
        .await
        .map_err(std::io::Error::other)?
}
