//! What all sections share: a temporary folder with repositories and a configuration, Docker, and
//! the service, started as often as a section likes on the same data directory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Measure;
use super::emitter;
use super::figures::now;
use super::process::Process;
use super::repository::{Delivery, Repository, WEBHOOK_SECRET};

pub const IMAGE: &str = "autobuilder/busybox:test";

/// On the containers of the raw client: whose they are.
pub const RAW_LABEL: &str = "autobuilder.benchmark";

/// The branches of the repository with the emitter: what their builds write.
pub const LINES: &str = "lines";
pub const BLOCKS: &str = "blocks";
pub const MANY_LINES: &str = "many-lines";
pub const PACED: &str = "paced";
/// Keeps its place for as long as it is let.
pub const HOLD: &str = "hold";
/// Only ever waits.
pub const WAITING: &str = "waiting";

/// The one branch of the small repository.
pub const ECHO: &str = "echo";

pub const PACE: u64 = 1000;

/// Bytes in a write: a line, as shells and make and whatever writes to stderr do it; or what a C
/// library gathers for a pipe.
pub const LINEWISE: u64 = emitter::LINE;
pub const BLOCKWISE: u64 = 4096;

/// A line, and the artifact that every build has to leave.
const ECHO_SCRIPT: &[u8] = b"#!/bin/sh\n\
    echo hello\n\
    [ -z \"$AUTOBUILDER_ARCHIVES\" ] || echo hello > \"$AUTOBUILDER_ARCHIVES/$AUTOBUILDER_ARTIFACT\"\n";

/// A build of ten million lines takes some seconds; nothing here takes minutes.
const BUILD_LIMIT: Duration = Duration::from_secs(120);

/// How long Docker may take to remove what is left at the end.
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

pub struct Stage {
    folder: TempDir,
    pub docker: Docker,
    pub http: reqwest::Client,
    pub emitter: Vec<u8>,
    pub emitters: Repository,
    pub echoes: Repository,
    instance: OnceLock<String>,
}

/// A service that runs.
pub struct Service<'a> {
    stage: &'a Stage,
    pub process: Process,
}

/// A push that the service has taken.
pub struct Pushed {
    pub build: String,
    /// When the request was sent and its answer had come: nanoseconds since 1970.
    pub sent: i64,
    pub answered: i64,
}

impl Stage {
    pub async fn set_up(measure: &Measure) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("autobuilder-bench-")
            .tempdir()?;
        let docker = Docker::connect_with_defaults().context("Docker")?;
        docker
            .inspect_image(IMAGE)
            .await
            .with_context(|| format!("{IMAGE} is needed: scripts/setup docker test-images"))?;
        let emitter = emitter::compile(folder.path())?;
        let git = folder.path().join("git");
        let emitters = Repository::create(&git, "bench/emitter", &[("build", &emitter)])?;
        let echoes = Repository::create(&git, "bench/echo", &[("build", ECHO_SCRIPT)])?;
        let stage = Self {
            folder,
            docker,
            http: reqwest::Client::builder().no_proxy().build()?,
            emitter,
            emitters,
            echoes,
            instance: OnceLock::new(),
        };
        stage.write_configuration(measure)?;
        let network = NetworkCreateRequest {
            name: stage.name(),
            labels: Some([(RAW_LABEL.to_owned(), stage.name())].into()),
            ..Default::default()
        };
        stage.docker.create_network(network).await?;
        Ok(stage)
    }

    fn write_configuration(&self, measure: &Measure) -> anyhow::Result<()> {
        let service = json!({
            "listen": "127.0.0.1:0",
            "data_directory": "./data",
            "shutdown_grace": "2s",
            "configuration": {"path": "./configuration"},
            "github": {
                "webhook_secret": WEBHOOK_SECRET,
                "git_url": self.path("git"),
                "manage_webhooks": false,
                "first_sight": "record",
            },
            "docker": {
                "container_prefix": format!("{}-", self.name()),
                "default_image": IMAGE,
                "pull": "never",
                "memory": "1GiB",
            },
            "builds": {"concurrency": 1, "supersede": false, "max_log": "4GiB", "secrets": secrets()},
            "retention": {"builds": 1_000_000},
        });
        fs::write(self.path("config.yaml"), serde_yaml::to_string(&service)?)?;
        let paced_lines = PACE * measure.paced_seconds;
        let branches = [
            ("emitter", LINES, measure.lines, LINEWISE, 0),
            ("emitter", BLOCKS, measure.lines, BLOCKWISE, 0),
            ("emitter", MANY_LINES, measure.many_lines, BLOCKWISE, 0),
            ("emitter", PACED, paced_lines, 0, PACE),
            ("emitter", HOLD, 1_000_000, 0, 1),
            ("emitter", WAITING, 1, 0, 1),
            ("echo", ECHO, 0, 0, 0),
        ];
        for (repository, branch, lines, block, rate) in branches {
            let recipe = json!({
                "buildscripts": ["build"],
                "build": {
                    "artifact": "times",
                    "environment": {
                        "EMITTER_LINES": lines.to_string(),
                        "EMITTER_BLOCK": block.to_string(),
                        "EMITTER_RATE": rate.to_string(),
                    },
                },
            });
            let folder = self.path("configuration").join("bench").join(repository);
            fs::create_dir_all(&folder)?;
            let file = folder.join(format!("{branch}.yaml"));
            fs::write(file, serde_yaml::to_string(&recipe)?)?;
        }
        Ok(())
    }

    /// Unique on this machine, and allowed in the names of containers. It is also that of the raw
    /// containers' network: builds have a network of their own, too.
    pub fn name(&self) -> String {
        let name = self.folder.path().file_name().unwrap_or_default();
        let name = name.to_string_lossy().to_lowercase();
        name.replace(|character: char| !character.is_ascii_alphanumeric(), "-")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn database(&self) -> PathBuf {
        self.path("data/autobuilder.sqlite")
    }

    pub fn build_folder(&self, build: &str) -> PathBuf {
        self.path("data/builds").join(build)
    }

    /// Returns when the service is ready and has put away what earlier builds left: what is
    /// measured next has the machine for itself.
    pub async fn start(&self) -> anyhow::Result<Service<'_>> {
        let process = Process::start(&self.path("config.yaml"), &self.path("service.log"))?;
        let _ = self.instance.set(process.instance.clone());
        let begun = Instant::now();
        while self.has_plain_logs()? {
            ensure!(begun.elapsed() < BUILD_LIMIT, "finished logs stay plain");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Service {
            stage: self,
            process,
        })
    }

    /// Logs that the service has not compressed yet.
    fn has_plain_logs(&self) -> anyhow::Result<bool> {
        let Ok(builds) = fs::read_dir(self.path("data/builds")) else {
            return Ok(false);
        };
        for build in builds {
            if build?.path().join("log").exists() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the figures depend on.
    pub async fn describe(&self) -> anyhow::Result<String> {
        let cores = std::thread::available_parallelism()?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = memory.lines().next().unwrap_or_default();
        let kib = memory.split_whitespace().nth(1).unwrap_or("0");
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, model)| model);
        let info = self.docker.info().await?;
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split_whitespace().next().unwrap_or("?").to_owned();
        let unknown = || "unknown".to_owned();
        let mut text = format!(
            "autobuilder {}; {cores} cores ({model}), {:.0} GiB; Linux {}; Docker {}, {}; load {load}",
            env!("CARGO_PKG_VERSION"),
            kib.parse::<f64>()? / f64::from(1 << 20),
            info.kernel_version.unwrap_or_else(unknown),
            info.server_version.unwrap_or_else(unknown),
            info.driver.unwrap_or_else(unknown),
        );
        if load.parse::<f64>().is_ok_and(|load| load > 0.5) {
            text.push_str("\nThe machine is busy with something else: these figures say little.");
        }
        Ok(text)
    }

    pub fn end_of_log(&self) -> String {
        let log = fs::read(self.path("service.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Removes every container and network of this run; the folder goes by itself.
    pub async fn clean_up(&self) -> anyhow::Result<()> {
        let mut labels = vec![format!("{RAW_LABEL}={}", self.name())];
        let of_instance = |instance| format!("autobuilder.instance={instance}");
        labels.extend(self.instance.get().map(of_instance));
        for label in labels {
            let filters = [("label".to_owned(), vec![label])].into();
            self.remove_containers(&filters).await?;
            let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
            for network in self.docker.list_networks(Some(options)).await? {
                let id = network.id.unwrap_or_default();
                self.docker.remove_network(&id).await?;
            }
        }
        Ok(())
    }

    async fn remove_containers(
        &self,
        filters: &HashMap<String, Vec<String>>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let options = ListContainersOptionsBuilder::new()
                .all(true)
                .filters(filters)
                .build();
            let left = self.docker.list_containers(Some(options)).await?;
            if left.is_empty() {
                return Ok(());
            }
            let mut refused = None;
            for container in left {
                let id = container.id.unwrap_or_default();
                let options = RemoveContainerOptionsBuilder::new()
                    .force(true)
                    .v(true)
                    .build();
                // The service may have asked for it a moment ago: then it is refused, and goes.
                refused = self.docker.remove_container(&id, Some(options)).await.err();
            }
            if begun.elapsed() > REMOVAL_LIMIT {
                bail!("containers stay: {refused:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Service<'_> {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.address)
    }

    pub fn hook(&self) -> String {
        self.url("/build/bench/hook")
    }

    /// Tells of a push that causes one build.
    pub async fn push(&self, delivery: &Delivery) -> anyhow::Result<Pushed> {
        let request = delivery.request(&self.stage.http, &self.hook());
        let sent = now();
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        let answered = now();
        ensure!(status == 202, "the push was answered with {status}: {text}");
        let answer: Value = serde_json::from_str(&text)?;
        let build = answer["builds"][0]["id"].as_str();
        Ok(Pushed {
            build: build.context("a build")?.to_owned(),
            sent,
            answered,
        })
    }

    pub async fn build(&self, id: &str) -> anyhow::Result<Value> {
        let text = self.get(&format!("/api/v1/builds/{id}")).await?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.stage.http.get(self.url(path)).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        ensure!(
            status.is_success(),
            "{path}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body.into())
    }

    /// Waits until a build has succeeded.
    pub async fn until_succeeded(&self, id: &str) -> anyhow::Result<Value> {
        let build = self.until(id, |build| !build["ended"].is_null()).await?;
        if build["state"] != "succeeded" {
            bail!("build {id} is {}: {}", build["state"], build["reason"]);
        }
        Ok(build)
    }

    pub async fn until(&self, id: &str, holds: fn(&Value) -> bool) -> anyhow::Result<Value> {
        let begun = Instant::now();
        loop {
            let build = self.build(id).await?;
            if holds(&build) {
                return Ok(build);
            }
            let state = &build["state"];
            ensure!(begun.elapsed() < BUILD_LIMIT, "build {id} is still {state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn times(&self, build: &str) -> anyhow::Result<emitter::Times> {
        let path = format!("/api/v1/builds/{build}/artifacts/times");
        emitter::Times::parse(&String::from_utf8(self.get(&path).await?)?)
    }

    pub fn stop(self) -> anyhow::Result<()> {
        self.process.stop()
    }
}

/// A time of the API, in nanoseconds since 1970; it has milliseconds.
pub fn moment(time: &Value) -> anyhow::Result<i64> {
    let text = time.as_str().with_context(|| format!("no time: {time}"))?;
    let time: jiff::Timestamp = text.parse()?;
    Ok(i64::try_from(time.as_nanosecond())?)
}

/// As many as a large company's builds have, none of which occurs: each log is masked while it streams.
fn secrets() -> BTreeMap<String, String> {
    let secrets = (1..=100u64).map(|number| {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (
            format!("SECRET_{number}"),
            format!("{random:016x}/{random:020}+="),
        )
    });
    secrets.collect()
}
