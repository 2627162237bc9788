//! Kernels on the server that machines boot from.

use super::{Failure, Publication, cannot_publish};
use crate::adapters::hub::{BootstrapSettings, Local};
use crate::domain::publication::Names;
use crate::store::Place;

impl Publication<'_> {
    pub(super) async fn publish_on_bootstrap(
        &self,
        settings: &BootstrapSettings,
        names: &Names,
    ) -> Result<(), Failure> {
        let Names { file, link } = names;
        let hub = &self.service.hub;
        self.upload_once(Place::Bootstrap, file, async {
            let path = self.artifact();
            let local = Local {
                path: &path,
                name: file,
            };
            hub.upload_kernel(settings, local, &|line| self.note(line))
                .await
                .map_err(|error| cannot_publish(file, error))?;
            self.note(format!("{file} is on the bootstrap server"));
            Ok(file.clone())
        })
        .await?;
        self.move_name(Place::Bootstrap, link, async {
            hub.link_kernel(settings, file, link, &|line| self.note(line))
                .await
                .map_err(|error| cannot_publish(link, error))
        })
        .await?;
        Ok(())
    }
}
