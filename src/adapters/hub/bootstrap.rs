//! The server that machines boot from.

use reqwest::Method;

use super::exchange::{Authority, Request, endpoint};
use super::upload::Upload;
use super::{Hub, HubError, Listener, Local, Token};

/// Where it is, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapSettings {
    /// Without a slash at its end.
    pub url: String,
    pub token: Token,
}

impl Hub {
    pub async fn upload_kernel(
        &self,
        settings: &BootstrapSettings,
        local: Local<'_>,
        listener: Listener<'_>,
    ) -> Result<(), HubError> {
        let request = Request {
            operation: "bootstrap_upload",
            what: "the upload to the bootstrap server",
            method: Method::POST,
            url: endpoint(&settings.url, &["api", "kernel"])?,
            upload: Some(Upload {
                local,
                field: "kernel",
            }),
            answer_within: self.patience.conversion,
        };
        self.ask(&request, &authority(settings)?, listener).await?;
        Ok(())
    }

    /// Makes a name point to a kernel that is there.
    pub async fn link_kernel(
        &self,
        settings: &BootstrapSettings,
        target: &str,
        link: &str,
        listener: Listener<'_>,
    ) -> Result<(), HubError> {
        let request = Request {
            operation: "bootstrap_link",
            what: "the link on the bootstrap server",
            method: Method::GET,
            url: endpoint(&settings.url, &["api", "symlink", link, target])?,
            upload: None,
            answer_within: self.patience.answer,
        };
        self.ask(&request, &authority(settings)?, listener).await?;
        Ok(())
    }
}

fn authority(settings: &BootstrapSettings) -> Result<Authority, HubError> {
    let token = settings.token.clone();
    let cookie = format!("token={}", token.expose());
    Authority::new("the bootstrap server", vec![token]).cookies(&cookie)
}
