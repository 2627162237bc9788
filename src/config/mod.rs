//! Stand-in until the configuration is merged: the keys that HTTP and the CLI read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    pub listen: SocketAddr,
    pub public_url: HttpUrl,
    pub data_directory: PathBuf,
    pub api_token: Option<Secret>,
    pub shutdown_grace: Duration,
    pub github: Github,
    pub docker: Docker,
    pub builds: Builds,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Github {
    pub webhook_secret: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    pub memory: u64,
    pub cpus: Option<f64>,
    pub pids: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Builds {
    pub concurrency: u64,
    pub timeout: Duration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5560".parse().unwrap(),
            public_url: HttpUrl("http://127.0.0.1:5560".into()),
            data_directory: "data".into(),
            api_token: None,
            shutdown_grace: Duration::from_secs(5),
            github: Github::default(),
            docker: Docker {
                memory: 16 << 30,
                cpus: None,
                pids: 4096,
            },
            builds: Builds {
                concurrency: 2,
                timeout: Duration::from_secs(45 * 60),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct HttpUrl(String);

impl HttpUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}
