//! `autobuilder serve`: opens what is on disk, starts the actors, then listens; ends in the
//! opposite order. Builds that run go on without the service and are taken over by the next one.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::actors::{self, Sources};
use crate::adapters::docker::{Docker, DockerSettings};
use crate::adapters::git::Git;
use crate::adapters::github::Github;
use crate::adapters::hub::Hub;
use crate::config::{self, ServiceConfig};
use crate::domain::recipe::Catalog;
use crate::http;
use crate::metrics::Metrics;
use crate::service::{
    self, Component, DataDirectory, DirectoryError, Disk, LoadedConfiguration, Logs, Service,
    Webhooks,
};
use crate::store::Store;

pub async fn serve(service_file: &Path) -> anyhow::Result<()> {
    let (config, warnings) = match ServiceConfig::load(service_file, &config::process_environment) {
        Ok(loaded) => loaded,
        Err(findings) => bail!("{}", findings.render(false)),
    };
    if !warnings.is_empty() {
        tracing::warn!("{}", warnings.render(false));
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let directory = DataDirectory::open(&config.data_directory, &config.temp_directory())?;
    warn_of_folders(&config);
    let grace = config.shutdown_grace;

    let (config_sender, config) = watch::channel(Arc::new(config));
    let (catalog_sender, catalog) = watch::channel(Arc::new(Catalog::default()));
    let (loaded_sender, loaded) = watch::channel(None);
    let starting = Component {
        name: "docker",
        problem: Some("not asked yet".to_owned()),
    };
    let (readiness_sender, readiness) = watch::channel(vec![starting]);
    let store = Store::open(&directory.database())?;
    let service = open(directory, store, config, catalog, loaded, readiness)?;
    let service = Arc::new(service);
    // Before a build is taken over, whose time goes on.
    service.look_at_the_clock().await;

    let sources = Sources {
        service_file: service_file.to_owned(),
        config: config_sender,
        catalog: catalog_sender,
        loaded: loaded_sender,
    };
    let mut tree = actors::start(Arc::clone(&service), sources, readiness_sender).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let address = listener.local_addr()?;
    let shutdown = async {
        let _ = stopped.await;
    };
    let mut http = tokio::spawn(http::serve(
        listener,
        Arc::clone(&service),
        tree.projects.clone(),
        shutdown,
    ));
    tracing::info!(%address, instance = service.store.instance(), "ready");

    let outcome = tokio::select! {
        signal = termination() => {
            tracing::info!(signal = signal?, "stopping; builds that run are taken over at the next start");
            Ok(())
        }
        why = tree.failed() => Err(anyhow::Error::msg(why)),
        ended = &mut http => Err(match ended {
            Ok(()) => anyhow::anyhow!("the HTTP server has ended by itself"),
            Err(error) => anyhow::Error::new(error).context("the HTTP server failed"),
        }),
    };
    drop(stop);
    // One that was waited for to its end may not be asked again.
    if !http.is_finished() && tokio::time::timeout(grace, http).await.is_err() {
        tracing::warn!("some connections did not end within shutdown_grace");
    }
    tree.stop(grace).await;
    outcome
}

/// Names folders for published files that cannot be written, before a build fails for it.
fn warn_of_folders(config: &ServiceConfig) {
    let kernels = !config.kernels.repositories.is_empty();
    let kernels = kernels.then(|| ("kernels.directory", config.kernels_directory()));
    let binaries = ("artifacts.binaries", config.binaries_directory());
    for (key, folder) in [binaries].into_iter().chain(kernels) {
        if let Err(error) = service::files::check_writable(&folder) {
            tracing::warn!(
                "nothing can be published in {} ({key}): {error}; make it a folder that this \
                 service's user may write to, or name another one",
                folder.display()
            );
        }
    }
}

/// Removes what may go, or only finds it, without a service. `None` where one holds the data
/// directory: it is to be asked.
pub async fn gc(service_file: &Path, dry_run: bool) -> anyhow::Result<Option<http::GcView>> {
    let (config, _) = match ServiceConfig::load(service_file, &config::process_environment) {
        Ok(loaded) => loaded,
        Err(findings) => bail!("{}", findings.render(false)),
    };
    let directory =
        match DataDirectory::open_as_it_is(&config.data_directory, &config.temp_directory()) {
            Ok(directory) => directory,
            Err(DirectoryError::InUse(..)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    let store = Store::open_as_it_is(&directory.database())?;
    let (_config, config) = watch::channel(Arc::new(config));
    let (_catalog, catalog) = watch::channel(Arc::default());
    let (_loaded, loaded) = watch::channel(None);
    let (_readiness, readiness) = watch::channel(Vec::new());
    let service = open(directory, store, config, catalog, loaded, readiness)?;
    let found = actors::gc(&Arc::new(service), dry_run).await;
    Ok(Some(http::GcView::of(found, dry_run)))
}

fn open(
    directory: DataDirectory,
    store: Store,
    config: watch::Receiver<Arc<ServiceConfig>>,
    catalog: watch::Receiver<Arc<Catalog>>,
    loaded: watch::Receiver<Option<Arc<LoadedConfiguration>>>,
    readiness: watch::Receiver<Vec<Component>>,
) -> anyhow::Result<Service> {
    let now = Arc::clone(&config.borrow());
    let docker = Docker::connect(&DockerSettings {
        host: now.docker.host.clone(),
        certificates: now.docker.certificates.clone(),
    })?;
    let metrics = Metrics::default();
    let github = Github::new(
        service::github::github_settings(&now),
        service::github::github_observer(&metrics),
    );
    let git = Git::with_provider(
        service::github::git_settings(&now, directory.mirrors()),
        Some(service::github::git_credentials(&github)),
    )?;
    let hub = Hub::new(directory.hub_token(), service::hub::hub_observer(&metrics));
    Ok(Service {
        store,
        logs: Logs::new(directory.builds()),
        git,
        github,
        hub,
        docker,
        metrics,
        config,
        catalog,
        loaded,
        readiness,
        webhooks: Webhooks::default(),
        obstacles: watch::Sender::new(Vec::new()),
        standstills: Default::default(),
        publishing: Default::default(),
        legacy: Default::default(),
        disk: watch::Sender::new(Disk::look(&now, None, None)),
        directory,
    })
}

async fn termination() -> anyhow::Result<&'static str> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
