//! The hub and the bootstrap server as the service file has them.

use std::sync::Arc;

use crate::adapters::hub::{BootstrapSettings, HubSettings, Observer, Token};
use crate::config::ServiceConfig;
use crate::metrics::Metrics;

/// `None`: flists are kept here only.
pub fn hub_settings(config: &ServiceConfig) -> Option<HubSettings> {
    let hub = config.hub.as_ref()?;
    Some(HubSettings {
        url: hub.url.as_str().to_owned(),
        username: hub.username.clone(),
        token: Token::new(hub.token.expose()),
        refresh_url: hub.refresh_url.as_ref().map(|url| url.as_str().to_owned()),
    })
}

/// `None`: kernels are kept here only.
pub fn bootstrap_settings(config: &ServiceConfig) -> Option<BootstrapSettings> {
    let bootstrap = config.kernels.bootstrap.as_ref()?;
    Some(BootstrapSettings {
        url: bootstrap.url.as_str().to_owned(),
        token: Token::new(bootstrap.token.expose()),
    })
}

/// Counts the requests to both.
pub fn hub_observer(metrics: &Metrics) -> Observer {
    let hub = metrics.hub.clone();
    Arc::new(move |tried| hub.tried(tried.operation, tried.result, tried.bytes))
}
