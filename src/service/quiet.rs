//! For tests: a service that speaks to nobody, with a real store and real logs.

use std::sync::Arc;

use tokio::sync::watch;

use super::github::{github_observer, github_settings};
use super::hub::hub_observer;
use super::{Component, DataDirectory, Disk, LoadedConfiguration, Logs, Service};
use crate::adapters::docker::{Docker, DockerSettings};
use crate::adapters::git::{self, Git};
use crate::adapters::github::Github;
use crate::adapters::hub::Hub;
use crate::config::ServiceConfig;
use crate::domain::recipe::Catalog;
use crate::metrics::Metrics;
use crate::store::Store;

/// What actors tell a service, in the hands of a test.
pub struct Inputs {
    pub config: watch::Sender<Arc<ServiceConfig>>,
    pub catalog: watch::Sender<Arc<Catalog>>,
    pub loaded: watch::Sender<Option<Arc<LoadedConfiguration>>>,
    pub readiness: watch::Sender<Vec<Component>>,
}

impl Inputs {
    pub fn new(config: ServiceConfig, catalog: Catalog) -> Self {
        Self {
            config: watch::Sender::new(Arc::new(config)),
            catalog: watch::Sender::new(Arc::new(catalog)),
            loaded: watch::Sender::new(None),
            readiness: watch::Sender::new(Vec::new()),
        }
    }

    /// `origin`: where repositories are cloned from, if a test does that.
    pub fn service(&self, directory: DataDirectory, store: Store, origin: &str) -> Service {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let nowhere = DockerSettings {
            host: Some("unix:///nonexistent/docker.sock".into()),
            certificates: None,
        };
        let metrics = Metrics::default();
        let settings = github_settings(&self.config.borrow());
        let git = git::Settings::new(origin, directory.mirrors());
        Service {
            store,
            logs: Logs::new(directory.builds()),
            docker: Docker::connect(&nowhere).unwrap(),
            git: Git::new(git).unwrap(),
            github: Github::new(settings, github_observer(&metrics)),
            hub: Hub::new(directory.hub_token(), hub_observer(&metrics)),
            webhooks: Default::default(),
            obstacles: watch::Sender::new(Vec::new()),
            standstills: Default::default(),
            publishing: Default::default(),
            legacy: Default::default(),
            disk: watch::Sender::new(Disk::look(&self.config.borrow(), None, None)),
            metrics,
            config: self.config.subscribe(),
            catalog: self.catalog.subscribe(),
            loaded: self.loaded.subscribe(),
            readiness: self.readiness.subscribe(),
            directory,
        }
    }
}
