//! What a build gets: the recipe's wishes, and the service's where it has none. Decided anew
//! each time it is asked, so a build that waits follows a service file that changes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::adapters::docker::{
    ContainerSpec, Credentials, FOLDER, Job, LABEL_ATTEMPT, LABEL_BUILD, LABEL_INSTANCE, Pull,
};
use crate::config::{self, ServiceConfig};
use crate::domain::build::Build;
use crate::domain::mask::Masker;
use crate::domain::names::BuildId;
use crate::domain::recipe::{Format, Recipe};

/// How much a build may use.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Limits {
    /// Bytes.
    pub memory: u64,
    /// Cores' worth of time.
    pub cpus: Option<f64>,
    /// Processes at once.
    pub pids: u64,
    /// Bytes written.
    pub disk: Option<u64>,
    /// Seconds that the script may take.
    pub timeout: u64,
}

impl Limits {
    pub fn of(config: &ServiceConfig, recipe: &Recipe) -> Self {
        Self {
            memory: recipe.memory.unwrap_or(config.docker.memory),
            cpus: recipe.cpus.or(config.docker.cpus),
            pids: config.docker.pids,
            disk: config.docker.disk,
            timeout: timeout(config, recipe).as_secs(),
        }
    }
}

/// How long the script may take.
pub fn timeout(config: &ServiceConfig, recipe: &Recipe) -> Duration {
    recipe.timeout.unwrap_or(config.builds.timeout)
}

pub fn container_name(config: &ServiceConfig, build: &BuildId) -> String {
    format!("{}{build}", config.docker.container_prefix)
}

pub fn image(config: &ServiceConfig, recipe: &Recipe) -> String {
    recipe
        .baseimage
        .clone()
        .unwrap_or_else(|| config.docker.default_image.clone())
}

/// The folder of the source in the container, which is also where the script runs.
pub fn source_folder(build: &Build, recipe: &Recipe) -> String {
    let repository = match &recipe.format {
        Format::Kernel(kernel) => kernel.source(&build.repository),
        Format::Flist | Format::Binary => &build.repository,
    };
    format!("/{}", repository.name())
}

/// Folders that the container itself has: what is put there is either not seen, as the kernel's own
/// file systems lie over it, or taken for what the runner says.
const NO_SOURCE: [&str; 4] = [FOLDER, "/dev", "/proc", "/sys"];

/// Why a source cannot be where the contract with scripts wants it.
pub fn no_place_for_source(build: &Build, recipe: &Recipe) -> Option<String> {
    let folder = source_folder(build, recipe);
    NO_SOURCE.contains(&folder.as_str()).then(|| {
        format!(
            "the source would be in {folder}, which belongs to the container itself: a repository \
             of this name cannot be built"
        )
    })
}

/// The network that this instance's builds share without reaching each other.
pub fn own_network(config: &ServiceConfig, instance: &str) -> String {
    format!("{}{instance}", config.docker.container_prefix)
}

pub fn pull(config: &ServiceConfig) -> Pull {
    match config.docker.pull {
        config::Pull::Missing => Pull::Missing,
        config::Pull::Always => Pull::Always,
        config::Pull::Never => Pull::Never,
    }
}

pub fn registries(config: &ServiceConfig) -> BTreeMap<String, Credentials> {
    let registries = config.docker.registries.iter().map(|(host, registry)| {
        let credentials = Credentials {
            username: registry.username.clone(),
            password: registry.password.expose().to_owned(),
        };
        (host.clone(), credentials)
    });
    registries.collect()
}

/// Masks the values of all secrets of the service file. A build's log is full of the build's names.
pub fn masker(config: &ServiceConfig, build: Option<&Build>) -> Masker {
    let public = build.map(|build| [build.repository.as_str(), build.branch().as_str()]);
    let secrets = config.builds.secrets.iter();
    Masker::new(
        secrets.map(|(name, value)| (name, value.expose())),
        public.as_ref().map_or(&[], |public| public.as_slice()),
    )
}

/// `image` and `network`: names or ids, of what is there.
pub fn container(
    config: &ServiceConfig,
    instance: &str,
    build: &Build,
    recipe: &Recipe,
    image: String,
    network: String,
) -> ContainerSpec {
    let limits = Limits::of(config, recipe);
    ContainerSpec {
        name: container_name(config, &build.id),
        image,
        labels: BTreeMap::from([
            (LABEL_BUILD.to_owned(), build.id.to_string()),
            (LABEL_INSTANCE.to_owned(), instance.to_owned()),
            (LABEL_ATTEMPT.to_owned(), build.attempt.to_string()),
        ]),
        archives: recipe.archives.to_string(),
        memory: Some(limits.memory),
        cpus: limits.cpus,
        pids: u32::try_from(limits.pids).ok(),
        disk: limits.disk,
        cap_add: config.docker.cap_add.clone(),
        cap_drop: config.docker.cap_drop.clone(),
        extra_hosts: config.docker.extra_hosts.clone(),
        network,
    }
}

/// All variables reach the script this way and not by the container's configuration: it may be
/// inspected by others, and a committed image keeps it.
pub fn job(config: &ServiceConfig, build: &Build, recipe: &Recipe) -> Job {
    let script = format!("./{}", build.script());
    let arguments = match &recipe.format {
        Format::Kernel(kernel) => kernel.arguments(&build.repository, &build.reference),
        Format::Flist | Format::Binary => Vec::new(),
    };
    let secrets = config.builds.secrets.iter();
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.expose().to_owned()));
    Job {
        folder: source_folder(build, recipe),
        arguments: [script].into_iter().chain(arguments).collect(),
        environment: variables(config, build, recipe)
            .into_iter()
            .chain(secrets)
            .collect(),
        max_log: config.builds.max_log,
    }
}

/// Later ones win: the recipe over the service, and what the service says of the build itself
/// over both.
fn variables(config: &ServiceConfig, build: &Build, recipe: &Recipe) -> BTreeMap<String, String> {
    let tag = recipe.tag.as_ref().map_or("", |tag| tag.as_str());
    let of_the_build = [
        ("CI", "true"),
        ("AUTOBUILDER", "true"),
        ("AUTOBUILDER_BUILD", build.id.as_str()),
        ("AUTOBUILDER_REPOSITORY", build.repository.as_str()),
        ("AUTOBUILDER_BRANCH", build.branch().as_str()),
        ("AUTOBUILDER_COMMIT", build.commit.as_str()),
        ("AUTOBUILDER_REF", &build.reference.to_string()),
        ("AUTOBUILDER_TAG", tag),
        ("AUTOBUILDER_SCRIPT", recipe.script.as_str()),
        ("AUTOBUILDER_ARCHIVES", recipe.archives.as_str()),
        ("AUTOBUILDER_ARTIFACT", recipe.artifact.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut variables = config.builds.environment.clone();
    variables.extend(recipe.environment.clone());
    variables.extend(of_the_build);
    variables
}
