//! The service file: its sections, keys and defaults.
//!
//! The structs are the table of keys: a key is a field, its reader and its default. What spans
//! several keys stands in [`rules`](super::rules).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::secret::{ApiToken, Secret, Secrets};
use super::values::{
    Capability, Cores, Count, DockerHost, DockerName, FilePath, GitBase, Grace, HostAddress,
    HostAndPort, HostName, HttpUrl, Image, Line, Listen, Memory, Network, Period, Size,
    Superseding, VariableName, VariableValue, images, list, optional, table, via,
};
use crate::domain::images::AllowedImages;
use crate::domain::kernel::{self, Kernel};
use crate::domain::names::{BranchName, BuildId, RepositoryName, ScriptPath};
use crate::domain::recipe::{Catalog, Format, Recipe, Supersede};
use crate::domain::token::TokenHash;
use crate::domain::tracking::{ConfigurationBranch, Tracking};

/// Everything that an operator decides. Paths are already relative to the process, not to the
/// file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceConfig {
    #[serde(deserialize_with = "via::<Listen, _, _>")]
    pub listen: SocketAddr,
    pub public_url: HttpUrl,
    #[serde(deserialize_with = "via::<FilePath, _, _>")]
    pub data_directory: PathBuf,
    /// `None`: under the data directory, see [`Self::temp_directory`].
    #[serde(deserialize_with = "optional::<FilePath, _, _>")]
    pub temp_directory: Option<PathBuf>,
    /// Bytes.
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub min_free_disk: u64,
    /// `None`: of the token in the data directory.
    #[serde(deserialize_with = "optional::<ApiToken, _, _>")]
    pub api_token: Option<TokenHash>,
    #[serde(deserialize_with = "list::<Network, _, _>")]
    pub trusted_proxies: Vec<IpNet>,
    #[serde(deserialize_with = "via::<Grace, _, _>")]
    pub shutdown_grace: Duration,
    pub configuration: Configuration,
    pub github: Github,
    pub docker: Docker,
    pub builds: Builds,
    pub retention: Retention,
    pub monitor: Monitor,
    pub redis: Option<Redis>,
    pub hub: Option<Hub>,
    pub artifacts: Artifacts,
    pub kernels: Kernels,
}

/// What of the service file a client on the same machine needs to reach the service.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct ClientConfig {
    #[serde(deserialize_with = "via::<Listen, _, _>")]
    pub listen: SocketAddr,
    #[serde(deserialize_with = "via::<FilePath, _, _>")]
    pub data_directory: PathBuf,
    pub api_token: Option<ApiToken>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let ServiceConfig {
            listen,
            data_directory,
            ..
        } = ServiceConfig::default();
        Self {
            listen,
            data_directory,
            api_token: None,
        }
    }
}

impl ClientConfig {
    /// The keys of its fields.
    pub(super) const KEYS: [&str; 4] = ["listen", "data_directory", "api_token", "api_token_file"];

    /// Makes relative paths relative to `base`, the folder of the file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        self.data_directory = below(base, &self.data_directory);
    }
}

/// Where the build configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ConfigurationKeys")]
pub enum Configuration {
    /// A local directory, watched for changes.
    Directory(PathBuf),
    /// A branch of a repository on GitHub.
    Repository(ConfigurationBranch),
}

impl Configuration {
    pub fn branch(&self) -> Option<&ConfigurationBranch> {
        match self {
            Self::Directory(_) => None,
            Self::Repository(branch) => Some(branch),
        }
    }
}

#[derive(Deserialize)]
struct ConfigurationKeys {
    repository: Option<RepositoryName>,
    branch: Option<BranchName>,
    #[serde(default, deserialize_with = "optional::<FilePath, _, _>")]
    path: Option<PathBuf>,
}

impl TryFrom<ConfigurationKeys> for Configuration {
    type Error = &'static str;

    fn try_from(keys: ConfigurationKeys) -> Result<Self, &'static str> {
        match (keys.path, keys.repository) {
            (Some(_), Some(_)) => Err("found both `path` and `repository`; expected one of them"),
            (None, None) => Err("found neither `path` nor `repository`; expected one of them"),
            (Some(path), None) => Ok(Self::Directory(path)),
            (None, Some(repository)) => Ok(Self::Repository(ConfigurationBranch {
                repository,
                branch: keys.branch.unwrap_or_else(|| known("master")),
            })),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Github {
    pub token: Option<Secret>,
    pub app: Option<GithubApp>,
    pub webhook_secret: Option<Secret>,
    pub api_url: HttpUrl,
    /// A repository is cloned from `<git_url>/<owner>/<name>`.
    #[serde(deserialize_with = "via::<GitBase, _, _>")]
    pub git_url: String,
    pub manage_webhooks: bool,
    #[serde(deserialize_with = "via::<Period, _, _>")]
    pub reconcile_every: Duration,
    pub first_sight: FirstSight,
    pub submodules: Submodules,
    #[serde(deserialize_with = "optional::<Line, _, _>")]
    pub legacy_context: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GithubApp {
    pub id: u64,
    pub private_key: Secret,
}

/// What to do with the heads of a repository that is seen for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstSight {
    Build,
    Record,
}

/// Which submodules on `git_url` are fetched with the credential of the repository that names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Submodules {
    None,
    Owner,
    All,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Docker {
    /// `None`: `DOCKER_HOST`, else the local socket.
    #[serde(deserialize_with = "optional::<DockerHost, _, _>")]
    pub host: Option<String>,
    /// A folder with ca.pem, cert.pem and key.pem.
    #[serde(deserialize_with = "optional::<FilePath, _, _>")]
    pub certificates: Option<PathBuf>,
    #[serde(deserialize_with = "via::<DockerName, _, _>")]
    pub container_prefix: String,
    #[serde(deserialize_with = "via::<Image, _, _>")]
    pub default_image: String,
    /// What builds may start from.
    #[serde(deserialize_with = "images")]
    pub images: AllowedImages,
    pub pull: Pull,
    /// By host, as it stands at the beginning of an image's name.
    #[serde(deserialize_with = "table::<HostAndPort, Registry, _, _>")]
    pub registries: BTreeMap<String, Registry>,
    /// Bytes.
    #[serde(deserialize_with = "via::<Memory, _, _>")]
    pub memory: u64,
    #[serde(deserialize_with = "optional::<Cores, _, _>")]
    pub cpus: Option<f64>,
    #[serde(deserialize_with = "via::<Count, _, _>")]
    pub pids: u64,
    #[serde(deserialize_with = "list::<Capability, _, _>")]
    pub cap_add: Vec<String>,
    /// Of Docker's own; one that is in `cap_add` too stays.
    #[serde(deserialize_with = "list::<Capability, _, _>")]
    pub cap_drop: Vec<String>,
    /// Host name → address.
    #[serde(deserialize_with = "table::<HostName, HostAddress, _, _>")]
    pub extra_hosts: BTreeMap<String, String>,
    /// `None`: one network for this instance.
    #[serde(deserialize_with = "optional::<DockerName, _, _>")]
    pub network: Option<String>,
    /// Bytes that a build may write; `None`: no limit.
    #[serde(deserialize_with = "optional::<Size, _, _>")]
    pub disk: Option<u64>,
}

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    Missing,
    Always,
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Registry {
    pub username: String,
    pub password: Secret,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Builds {
    #[serde(deserialize_with = "via::<Count, _, _>")]
    pub concurrency: u64,
    #[serde(deserialize_with = "via::<Period, _, _>")]
    pub timeout: Duration,
    #[serde(deserialize_with = "via::<Superseding, _, _>")]
    pub supersede: Supersede,
    /// Bytes.
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub max_log: u64,
    /// Bytes.
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub max_artifact: u64,
    /// Bytes of a commit's files, without its history.
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub max_source: u64,
    #[serde(deserialize_with = "table::<VariableName, VariableValue, _, _>")]
    pub environment: BTreeMap<String, String>,
    pub secrets: Secrets,
}

/// How much of the past is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// How many builds.
    #[serde(deserialize_with = "via::<Count, _, _>")]
    pub builds: u64,
    #[serde(deserialize_with = "via::<Period, _, _>")]
    pub logs: Duration,
    #[serde(deserialize_with = "via::<Period, _, _>")]
    pub artifacts: Duration,
    /// Of versioned files in published folders; `None`: for ever.
    #[serde(deserialize_with = "optional::<Period, _, _>")]
    pub published: Option<Duration>,
}

/// Who may watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Monitor {
    /// Whether builds are shown only to who has the API token.
    pub private: bool,
    /// Names beside that of `public_url` under which it is opened.
    #[serde(deserialize_with = "list::<HostName, _, _>")]
    pub hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Redis {
    /// Secret, because it may hold a password.
    pub url: Secret,
    /// Bytes of each build's log.
    #[serde(
        default = "default_redis_log_size",
        deserialize_with = "via::<Size, _, _>"
    )]
    pub log_size: u64,
    /// After the build's end.
    #[serde(
        default = "default_redis_log_expiry",
        deserialize_with = "via::<Period, _, _>"
    )]
    pub log_expiry: Duration,
    #[serde(default)]
    pub legacy_topics: bool,
}

fn default_redis_log_size() -> u64 {
    16 * 1024 * 1024
}

fn default_redis_log_expiry() -> Duration {
    Duration::from_secs(3600)
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hub {
    #[serde(default = "default_hub")]
    pub url: HttpUrl,
    #[serde(deserialize_with = "via::<Line, _, _>")]
    pub username: String,
    pub token: Secret,
    #[serde(default)]
    pub refresh_url: Option<HttpUrl>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Artifacts {
    /// `None`: under the data directory, see [`ServiceConfig::binaries_directory`].
    #[serde(deserialize_with = "optional::<FilePath, _, _>")]
    pub binaries: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Kernels {
    /// `None`: `kernels` under the data directory.
    #[serde(deserialize_with = "optional::<FilePath, _, _>")]
    pub directory: Option<PathBuf>,
    pub bootstrap: Option<Bootstrap>,
    pub repositories: BTreeMap<RepositoryName, KernelKeys>,
}

/// The server that machines boot from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bootstrap {
    pub url: HttpUrl,
    pub token: Secret,
}

/// How pushes to one repository become kernels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KernelKeys {
    /// A base build starts from this image; `None`: `docker.default_image`.
    #[serde(default, deserialize_with = "optional::<Image, _, _>")]
    pub baseimage: Option<String>,
    /// An incremental build starts from the image that builds of this repository made.
    pub base: Option<RepositoryName>,
    pub script: ScriptPath,
    /// Whether the container becomes the image that incremental builds start from.
    #[serde(default)]
    pub commit: bool,
    /// Whether a base whose image is gone is built again before what needs it.
    #[serde(default)]
    pub rebuild_base: bool,
    /// `None`: `builds.timeout`.
    #[serde(default, deserialize_with = "optional::<Period, _, _>")]
    pub timeout: Option<Duration>,
}

impl KernelKeys {
    /// A kernel of an older commit is worth its build: only those that wait are superseded.
    fn recipe(&self) -> Recipe {
        let kernel = match &self.base {
            Some(base) => Kernel::Incremental {
                base: base.clone(),
                rebuild_base: self.rebuild_base,
            },
            None => Kernel::Base {
                commit: self.commit,
            },
        };
        Recipe {
            script: self.script.clone(),
            artifact: known(kernel::ARTIFACT),
            archives: known(kernel::ARCHIVES),
            baseimage: self.baseimage.clone(),
            tag: None,
            format: Format::Kernel(kernel),
            dependencies: Vec::new(),
            path_filter: None,
            timeout: self.timeout,
            supersede: Some(Supersede::Queued),
            memory: None,
            cpus: None,
            environment: BTreeMap::new(),
        }
    }
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            listen: known("127.0.0.1:5560"),
            public_url: url("http://127.0.0.1:5560"),
            data_directory: PathBuf::from("data"),
            temp_directory: None,
            min_free_disk: 2 * bytesize::GIB,
            api_token: None,
            trusted_proxies: Vec::new(),
            shutdown_grace: Duration::from_secs(5),
            // What the example file names. A service file must name its own.
            configuration: Configuration::Directory(PathBuf::from("examples/configuration")),
            github: Github::default(),
            docker: Docker::default(),
            builds: Builds::default(),
            retention: Retention::default(),
            monitor: Monitor::default(),
            redis: None,
            hub: None,
            artifacts: Artifacts::default(),
            kernels: Kernels::default(),
        }
    }
}

impl Default for Github {
    fn default() -> Self {
        Self {
            token: None,
            app: None,
            webhook_secret: None,
            api_url: url("https://api.github.com"),
            git_url: "https://github.com".to_owned(),
            manage_webhooks: true,
            reconcile_every: Duration::from_secs(10 * 60),
            first_sight: FirstSight::Build,
            submodules: Submodules::Owner,
            legacy_context: None,
        }
    }
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            host: None,
            certificates: None,
            container_prefix: "autobuilder-".to_owned(),
            default_image: "ubuntu:16.04".to_owned(),
            images: AllowedImages::default(),
            pull: Pull::Missing,
            registries: BTreeMap::new(),
            memory: 16 * bytesize::GIB,
            cpus: None,
            pids: 4096,
            cap_add: Vec::new(),
            // By raw sockets a build could take the addresses of others on its network.
            cap_drop: vec!["NET_RAW".to_owned()],
            extra_hosts: BTreeMap::new(),
            network: None,
            disk: None,
        }
    }
}

impl Default for Builds {
    fn default() -> Self {
        Self {
            concurrency: 2,
            timeout: Duration::from_secs(45 * 60),
            supersede: Supersede::All,
            max_log: bytesize::GIB,
            max_artifact: 8 * bytesize::GIB,
            max_source: 16 * bytesize::GIB,
            environment: BTreeMap::new(),
            secrets: Secrets::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            builds: 1000,
            logs: 90 * DAY,
            artifacts: 30 * DAY,
            published: None,
        }
    }
}

/// A default of this file, which a test reads.
fn known<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("the default {text} is valid"))
}

fn url(text: &str) -> HttpUrl {
    HttpUrl::try_from(text.to_owned()).expect("the default is valid")
}

fn default_hub() -> HttpUrl {
    url("https://hub.grid.tf")
}

/// Names each key that is taken over only by a restart, once, for comparing and for keeping.
macro_rules! fixed_keys {
    ($running:ident, $new:ident, $changed:ident, $($($key:ident).+),+ $(,)?) => {
        $(if $running.$($key).+ != $new.$($key).+ {
            $new.$($key).+ = $running.$($key).+.clone();
            $changed.push(stringify!($($key).+));
        })+
    };
}

impl ServiceConfig {
    /// What comes into force when `new` is loaded while `self` runs, and the keys that differ but
    /// keep their running value until a restart.
    pub fn reload(&self, mut new: Self) -> (Self, Vec<&'static str>) {
        let running = self;
        let mut changed = Vec::new();
        fixed_keys!(
            running,
            new,
            changed,
            // Sockets and files that are open.
            listen,
            data_directory,
            temp_directory,
            redis,
            // Where running builds have their containers, and by what name they are known.
            docker.host,
            docker.certificates,
            docker.container_prefix,
            // What the mirrors were opened with.
            github.git_url,
            github.submodules,
        );
        (new, changed)
    }

    /// The build's page, which GitHub links to.
    pub fn build_url(&self, build: &BuildId) -> String {
        format!("{}/monitor/builds/{build}", self.public_url.as_str())
    }

    /// Whether GitHub cannot reach this service, because only its own machine can.
    pub fn is_out_of_reach(&self) -> bool {
        self.public_url.is_loopback() && !self.github.api_url.is_loopback()
    }

    /// Everything whose pushes matter.
    pub fn tracking<'a>(&'a self, catalog: &'a Catalog) -> Tracking<'a> {
        let kernels = self.kernels.repositories.iter();
        Tracking {
            catalog,
            configuration: self.configuration.branch(),
            kernels: kernels
                .map(|(repository, keys)| (repository, keys.recipe()))
                .collect(),
        }
    }

    /// Where downloads are spooled.
    pub fn temp_directory(&self) -> PathBuf {
        or_below(&self.temp_directory, &self.data_directory, "tmp")
    }

    /// Where artifacts of format binary go.
    pub fn binaries_directory(&self) -> PathBuf {
        or_below(&self.artifacts.binaries, &self.data_directory, "binaries")
    }

    /// Where kernels go.
    pub fn kernels_directory(&self) -> PathBuf {
        or_below(&self.kernels.directory, &self.data_directory, "kernels")
    }

    /// Makes relative paths relative to `base`, the folder of the file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let configuration = match &mut self.configuration {
            Configuration::Directory(path) => Some(path),
            Configuration::Repository(_) => None,
        };
        let paths = [
            Some(&mut self.data_directory),
            self.temp_directory.as_mut(),
            configuration,
            self.docker.certificates.as_mut(),
            self.artifacts.binaries.as_mut(),
            self.kernels.directory.as_mut(),
        ];
        for path in paths.into_iter().flatten() {
            *path = below(base, path);
        }
        let is_path = !self.github.git_url.contains("://");
        if is_path && let Some(path) = below(base, Path::new(&self.github.git_url)).to_str() {
            self.github.git_url = path.to_owned();
        }
    }
}

fn or_below(path: &Option<PathBuf>, data: &Path, name: &str) -> PathBuf {
    path.clone().unwrap_or_else(|| data.join(name))
}

/// `./data` below `/etc` is `/etc/data`; `..` is left for the system to follow.
fn below(base: &Path, path: &Path) -> PathBuf {
    let joined = base.join(path);
    let kept = joined
        .components()
        .filter(|component| *component != std::path::Component::CurDir);
    let path: PathBuf = kept.collect();
    match path.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => path,
    }
}
