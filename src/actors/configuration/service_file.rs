//! The service file, read again.

use super::{State, replace, root};
use crate::adapters::github::{CredentialKind, Github};
use crate::config::{self, ServiceConfig};
use crate::service::github::github_settings;

impl State {
    pub(super) fn load_service_file(&mut self) {
        let file = self.sources.service_file.clone();
        let (new, warnings) = match ServiceConfig::load(&file, &config::process_environment) {
            Ok(loaded) => loaded,
            Err(findings) => {
                let text = format!(
                    "what it said before stays in force\n{}",
                    findings.render(false)
                );
                self.report("service file", text);
                return;
            }
        };
        self.report("service file", warnings.render(false));
        let (new, fixed) = self.sources.config.borrow().reload(new);
        let text = match fixed.is_empty() {
            true => String::new(),
            false => format!(
                "{} will change only with a restart of the service",
                fixed.join(", ")
            ),
        };
        self.report("service file, keys", text);
        // Before others hear of the new values: what was refused is tried again at once.
        if self.service.github.configure(github_settings(&new)) {
            report_credential(self.service.github.clone());
        }
        if self
            .sources
            .config
            .send_if_modified(|known| replace(known, new))
        {
            tracing::info!(file = %file.display(), "the service file was loaded again");
            let _ = self.root.cast(root::Message::ConfigurationChanged);
        }
    }
}

/// One line that says what the credential is good for; nobody waits for GitHub.
pub fn report_credential(github: Github) {
    if github.credential() == CredentialKind::None {
        tracing::info!(
            "no GitHub credential: statuses are kept and not sent, webhooks are not managed, \
             private repositories are not fetched; set github.token or github.app"
        );
        return;
    }
    tokio::spawn(async move {
        match github.check().await {
            Ok(credential) => tracing::info!(credential, "GitHub knows the credential"),
            Err(error) => tracing::warn!(%error, "the GitHub credential could not be checked"),
        }
    });
}
