//! A configuration that lies in a local directory. It has no commits, so its loads are no builds.

use std::path::Path;
use std::sync::Arc;

use ractor::ActorProcessingErr;

use super::State;
use crate::config::{self, Findings};
use crate::domain::time::Timestamp;
use crate::service::{LoadedConfiguration, Source};

impl State {
    pub(super) async fn load_directory(
        &mut self,
        directory: &Path,
    ) -> Result<(), ActorProcessingErr> {
        let last_good = self.service.store.configuration().await?.last_good;
        let source = Source::Directory {
            path: directory.display().to_string(),
        };
        let (path, known) = (directory.to_owned(), last_good.clone());
        let images = self.sources.config.borrow().docker.images.clone();
        let load = move || config::load_directory(&path, &known, &images);
        let loaded = tokio::task::spawn_blocking(load).await?;
        match loaded {
            Ok(loaded) => {
                // It is looked at again and again: the report of the newest change stays.
                let is_known = self.sources.loaded.borrow().as_ref().is_some_and(|known| {
                    known.source == source && known.findings == loaded.findings
                });
                if is_known && loaded.last_good == last_good {
                    self.replace_catalog(loaded.catalog);
                    return Ok(());
                }
                // Nobody is kept waiting for what is looked at again.
                if self.service.store.lacks_room().is_some() {
                    let text = "what it said before stays in force until the database has room";
                    self.report("configuration", text.to_owned());
                    return Ok(());
                }
                self.put_in_force(loaded, source).await
            }
            Err(findings) => {
                let text = format!(
                    "what it said before stays in force\n{}",
                    findings.render(false)
                );
                self.report("configuration", text);
                self.show_unreadable(source, findings);
                Ok(())
            }
        }
    }

    /// The files that were known stay in force.
    fn show_unreadable(&self, source: Source, findings: Findings) {
        let known = self.sources.loaded.borrow().clone();
        let report = LoadedConfiguration {
            source,
            loaded: known
                .as_ref()
                .map_or_else(Timestamp::now, |known| known.loaded),
            files: known.map(|known| known.files.clone()).unwrap_or_default(),
            findings,
        };
        self.sources.loaded.send_replace(Some(Arc::new(report)));
    }
}
