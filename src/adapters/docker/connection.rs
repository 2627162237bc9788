//! Which engine, and whether it answers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bollard::errors::Error as EngineError;
use bollard::{API_DEFAULT_VERSION, Docker as Engine};
use tokio::sync::Mutex;

use super::Patience;
use super::error::{DockerError, in_time, one_line};

const LOCAL_SOCKET: &str = "unix:///var/run/docker.sock";

/// Every request has a limit of ours. bollard's own covers a whole upload, and of an answer no more
/// than its beginning.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How often an engine at silent work is asked whether it still answers, in the time after which it
/// is given up.
const PINGS: u32 = 6;

/// Where the engine is.
#[derive(Debug, Clone, Default)]
pub struct DockerSettings {
    /// `unix://`, `tcp://` or `http://`, `https://`; none: `DOCKER_HOST`, else the local socket.
    pub host: Option<String>,
    /// For `https://`: a folder with ca.pem, cert.pem and key.pem; none: `DOCKER_CERT_PATH`, else
    /// `~/.docker`, as the docker command has it.
    pub certificates: Option<PathBuf>,
}

/// What an engine says of itself.
#[derive(Debug, Clone)]
pub struct EngineVersion {
    /// Like `20.10.24`.
    pub version: String,
    /// Like `1.41`.
    pub api: String,
    /// Like `linux/amd64`.
    pub platform: String,
}

/// A Docker engine. Cheap to clone; each request has a connection of its own.
///
/// bollard sends requests without an API version in their path, so an engine answers with its own
/// newest one: there is nothing to negotiate, and what we use is the same from 1.41 (20.10) on.
#[derive(Clone)]
pub struct Docker(Arc<Inner>);

struct Inner {
    host: Host,
    patience: Patience,
    engine: OnceLock<Engine>,
    network_turn: Mutex<()>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Unix(String),
    Http(String),
    Https {
        address: String,
        certificates: PathBuf,
    },
}

impl Docker {
    /// Takes the settings; speaks to nobody yet, so the service can start before Docker does.
    ///
    /// # Errors
    /// `Settings`: a host of another kind, certificates that cannot be read.
    pub fn connect(settings: &DockerSettings) -> Result<Self, DockerError> {
        Self::with_patience(settings, Patience::default())
    }

    pub(super) fn with_patience(
        settings: &DockerSettings,
        patience: Patience,
    ) -> Result<Self, DockerError> {
        let host = Host::find(settings, |name| {
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })?;
        let docker = Self(Arc::new(Inner {
            host,
            patience,
            engine: OnceLock::new(),
            network_turn: Mutex::default(),
        }));
        match docker.engine() {
            // A socket that is not there yet: each request looks again.
            Ok(_) | Err(DockerError::Unreachable(_)) => Ok(docker),
            Err(error) => Err(error),
        }
    }

    /// For requests, each of which needs a limit.
    pub(super) fn engine(&self) -> Result<Engine, DockerError> {
        if let Some(engine) = self.0.engine.get() {
            return Ok(engine.clone());
        }
        let engine = self.0.host.open()?;
        Ok(self.0.engine.get_or_init(|| engine).clone())
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.0.patience
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }

    /// Held while the network is looked for and made.
    pub(super) fn network_turn(&self) -> &Mutex<()> {
        &self.0.network_turn
    }

    /// Waits for a short answer, whole. `doing`: what the engine was asked to do.
    pub(super) async fn answer<T>(
        &self,
        doing: &'static str,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, DockerError> {
        Ok(in_time(self.0.patience.answer, doing, answer).await??)
    }

    /// The same of a question about health.
    pub(super) async fn health<T>(
        &self,
        doing: &'static str,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, DockerError> {
        Ok(in_time(self.0.patience.health, doing, answer).await??)
    }

    /// Waits for work that may take long and says nothing before it is done.
    pub(super) async fn labour<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, DockerError> {
        let Patience { stall, labour, .. } = self.0.patience;
        let stands_still = async {
            let mut heard = Instant::now();
            while heard.elapsed() < stall {
                tokio::time::sleep(stall / PINGS).await;
                if self.ping().await.is_ok() {
                    heard = Instant::now();
                }
            }
        };
        tokio::select! {
            done = in_time(labour, doing, work) => Ok(done??),
            () = stands_still => Err(DockerError::Stalled { doing, after: stall }),
        }
    }

    /// Asks the engine what it is, within three seconds.
    ///
    /// # Errors
    /// `Unreachable`, `Late`.
    pub async fn version(&self) -> Result<EngineVersion, DockerError> {
        let engine = self.engine()?;
        let answer = self.health("say its version", engine.version()).await?;
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        Ok(EngineVersion {
            version: or_unknown(answer.version),
            api: or_unknown(answer.api_version),
            platform: format!("{}/{}", or_unknown(answer.os), or_unknown(answer.arch)),
        })
    }

    /// Whether the engine denies containers the system calls that have harmed hosts before.
    ///
    /// # Errors
    /// `Unreachable`, `Late`.
    pub async fn has_seccomp(&self) -> Result<bool, DockerError> {
        let engine = self.engine()?;
        let about = self.health("tell about itself", engine.info()).await?;
        Ok(is_seccomp_on(&about.security_options.unwrap_or_default()))
    }

    /// Whether the engine answers at all, within three seconds.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Nonsense`.
    pub async fn ping(&self) -> Result<(), DockerError> {
        let engine = self.engine()?;
        match self.health("answer a ping", engine.ping()).await?.trim() {
            "OK" => Ok(()),
            other => Err(DockerError::Nonsense(one_line(other))),
        }
    }
}

/// Docker says `name=seccomp,profile=default`, since 23.0 `profile=builtin`, of a file that an
/// operator wrote its path, and nothing where the kernel has none.
fn is_seccomp_on(options: &[String]) -> bool {
    let mut options = options.iter().map(|option| option.split(','));
    options.any(|mut parts| {
        parts.next() == Some("name=seccomp") && parts.all(|part| part != "profile=unconfined")
    })
}

impl Host {
    fn find(
        settings: &DockerSettings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, DockerError> {
        let (address, source) = match (&settings.host, variable("DOCKER_HOST")) {
            (Some(host), _) => (host.clone(), "docker.host"),
            (None, Some(host)) => (host, "DOCKER_HOST"),
            (None, None) => (LOCAL_SOCKET.to_owned(), "docker.host"),
        };
        // With DOCKER_TLS_VERIFY the docker command speaks TLS to a tcp:// address.
        let from_environment = settings.host.is_none();
        let tls = from_environment && variable("DOCKER_TLS_VERIFY").is_some();
        let Some((scheme, rest)) = address
            .split_once("://")
            .filter(|(_, rest)| !rest.is_empty())
        else {
            return Err(DockerError::Settings(format!(
                "{source} is {address:?}; expected unix://, tcp:// or https:// and an address"
            )));
        };
        let rest = rest.trim_end_matches('/').to_owned();
        match scheme {
            "unix" => Ok(Self::Unix(rest)),
            "tcp" | "http" if !tls => Ok(Self::Http(rest)),
            "tcp" | "http" | "https" => {
                let home = || variable("HOME").map(|home| Path::new(&home).join(".docker"));
                let certificates = settings
                    .certificates
                    .clone()
                    .or_else(|| variable("DOCKER_CERT_PATH").map(PathBuf::from))
                    .or_else(home)
                    .ok_or_else(|| {
                        DockerError::Settings(format!(
                            "{source} is https://, and no certificates are configured"
                        ))
                    })?;
                Ok(Self::Https {
                    address: rest,
                    certificates,
                })
            }
            _ => Err(DockerError::Settings(format!(
                "{source} is {address:?}; expected unix://, tcp:// or https://"
            ))),
        }
    }

    fn open(&self) -> Result<Engine, DockerError> {
        let seconds = NO_LIMIT.as_secs();
        let opened = match self {
            Self::Unix(path) => Engine::connect_with_unix(path, seconds, API_DEFAULT_VERSION),
            Self::Http(address) => Engine::connect_with_http(address, seconds, API_DEFAULT_VERSION),
            Self::Https {
                address,
                certificates,
            } => {
                // bollard panics where no provider is installed. An error means that one is.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let [key, certificate, authority] =
                    ["key.pem", "cert.pem", "ca.pem"].map(|name| certificates.join(name));
                // bollard reads these two only with the first request, and hides what is wrong then.
                for file in [&key, &certificate] {
                    std::fs::metadata(file).map_err(|error| {
                        DockerError::Settings(format!(
                            "docker's certificates: {}: {error}",
                            file.display()
                        ))
                    })?;
                }
                Engine::connect_with_ssl(
                    address,
                    &key,
                    &certificate,
                    &authority,
                    seconds,
                    API_DEFAULT_VERSION,
                )
            }
        };
        opened.map_err(|error| match DockerError::from(error) {
            unreachable @ DockerError::Unreachable(_) => unreachable,
            other => DockerError::Settings(other.to_string()),
        })
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn find(host: Option<&str>, variables: &[(&str, &str)]) -> Result<Host, DockerError> {
        let settings = DockerSettings {
            host: host.map(str::to_owned),
            certificates: None,
        };
        Host::find(&settings, |name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_host_comes_from_the_settings_then_the_environment_then_the_socket() {
        let variables = [("DOCKER_HOST", "tcp://10.0.0.1:2375")];
        assert_eq!(
            find(Some("unix:///x.sock"), &variables).unwrap(),
            Host::Unix("/x.sock".to_owned())
        );
        assert_eq!(
            find(None, &variables).unwrap(),
            Host::Http("10.0.0.1:2375".to_owned())
        );
        assert_eq!(
            find(None, &[]).unwrap(),
            Host::Unix("/var/run/docker.sock".to_owned())
        );
    }

    #[test]
    fn seccomp_is_known_by_each_releases_word_for_it() {
        let is_on = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
            is_seccomp_on(&options)
        };
        assert!(is_on(&["name=apparmor", "name=seccomp,profile=default"]));
        assert!(is_on(&["name=seccomp,profile=builtin", "name=cgroupns"]));
        assert!(is_on(&["name=seccomp,profile=/etc/docker/seccomp.json"]));
        assert!(!is_on(&["name=seccomp,profile=unconfined"]));
        assert!(!is_on(&["name=apparmor"]));
    }

    #[test]
    fn tls_is_as_the_docker_command_has_it() {
        let variables = [
            ("DOCKER_HOST", "tcp://10.0.0.1:2376/"),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", "/certificates"),
        ];
        let tls = Host::Https {
            address: "10.0.0.1:2376".to_owned(),
            certificates: "/certificates".into(),
        };
        assert_eq!(find(None, &variables).unwrap(), tls);
        let variables = [("HOME", "/root")];
        let tls = Host::Https {
            address: "d:1".to_owned(),
            certificates: "/root/.docker".into(),
        };
        assert_eq!(find(Some("https://d:1"), &variables).unwrap(), tls);
    }

    #[test]
    fn an_address_of_another_kind_is_named() {
        let error = find(Some("ssh://host"), &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "docker.host is \"ssh://host\"; expected unix://, tcp:// or https://"
        );
        assert!(find(Some("unix://"), &[]).is_err());
        assert!(find(Some("/var/run/docker.sock"), &[]).is_err());
    }

    #[test]
    fn certificates_that_are_not_there_are_named() {
        let settings = DockerSettings {
            host: Some("https://127.0.0.1:1".to_owned()),
            certificates: Some("/no/such/folder".into()),
        };
        let error = Docker::connect(&settings)
            .err()
            .expect("no certificates")
            .to_string();
        assert!(error.contains("/no/such/folder/key.pem"), "{error}");
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_yet_is_no_error_until_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let host = format!("unix://{}/docker.sock", folder.path().display());
        let docker = Docker::connect(&DockerSettings {
            host: Some(host),
            certificates: None,
        })
        .unwrap();
        assert!(matches!(
            docker.ping().await,
            Err(DockerError::Unreachable(_))
        ));

        let refused = DockerSettings {
            host: Some("tcp://127.0.0.1:1".to_owned()),
            certificates: None,
        };
        let error = Docker::connect(&refused)
            .unwrap()
            .version()
            .await
            .unwrap_err();
        assert!(matches!(error, DockerError::Unreachable(_)), "{error}");
    }

    #[tokio::test]
    async fn an_engine_that_says_nothing_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", silent.local_addr().unwrap());
        let docker = Docker::connect(&DockerSettings {
            host: Some(host),
            certificates: None,
        })
        .unwrap();
        assert!(matches!(docker.ping().await, Err(DockerError::Late { .. })));
    }

    #[tokio::test]
    async fn requests_name_no_version_of_the_api() {
        use tokio::io::AsyncReadExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let docker = Docker::connect(&DockerSettings {
            host: Some(host),
            certificates: None,
        })
        .unwrap();
        let (_, line) = tokio::join!(docker.ping(), async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut beginning = [0; 10];
            connection.read_exact(&mut beginning).await.unwrap();
            String::from_utf8(beginning.to_vec()).unwrap()
        });
        assert_eq!(line, "GET /_ping");
    }
}
