//! The adapter and the runner against a real engine.

mod artifact;
mod commit;
mod container;
mod follow;
mod hanging;
mod hostile;
mod leftovers;
mod limits;
mod measure;
mod registry;
mod remote;
mod script;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;

use super::*;

/// A tiny image: busybox, and `sh` among its names.
pub const IMAGE: &str = "autobuilder/busybox:test";

/// No story here takes longer, on the busiest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub async fn docker() -> Docker {
    let docker = Docker::connect(&DockerSettings::default()).expect("settings");
    if let Err(error) = docker.version().await {
        panic!("these tests need Docker, run scripts/setup docker test-images: {error}");
    }
    if let Err(error) = docker
        .ensure_image(IMAGE, Pull::Never, &BTreeMap::new(), |_| ())
        .await
    {
        panic!("run scripts/setup test-images: {error}");
    }
    docker
}

/// Another name each time, also when tests of two checkouts run side by side.
pub fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "autobuilder-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A folder of this machine, for an upload.
pub fn folder_at(from: impl Into<std::path::PathBuf>, to: &str) -> Upload {
    Upload::Folder {
        from: from.into(),
        to: to.to_owned(),
    }
}

pub fn spec() -> ContainerSpec {
    let name = new_name();
    ContainerSpec {
        labels: BTreeMap::from([
            (LABEL_BUILD.to_owned(), name.clone()),
            (LABEL_INSTANCE.to_owned(), "tests".to_owned()),
        ]),
        name,
        image: IMAGE.to_owned(),
        pids: Some(256),
        network: "none".to_owned(),
        archives: "/target".to_owned(),
        ..Default::default()
    }
}

pub const MAX_LOG: u64 = 1 << 30;

pub fn job(script: &str) -> Job {
    Job {
        folder: "/".to_owned(),
        arguments: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        environment: Vec::new(),
        max_log: MAX_LOG,
    }
}

/// A container that goes away with the test, however that ends.
pub struct Container {
    pub docker: Docker,
    pub id: String,
}

impl Container {
    pub async fn create(spec: &ContainerSpec) -> Self {
        Self::create_on(docker().await, spec).await
    }

    pub async fn create_on(docker: Docker, spec: &ContainerSpec) -> Self {
        let created = docker.create(spec).await.expect("created");
        Self {
            docker,
            id: created.id,
        }
    }

    pub async fn start(spec: &ContainerSpec, job: &Job) -> Self {
        let container = Self::create(spec).await;
        container.run(job).await;
        container
    }

    /// Runs a shell script in a container like all others.
    pub async fn of(script: &str) -> Self {
        Self::start(&spec(), &job(script)).await
    }

    pub async fn run(&self, job: &Job) {
        self.docker
            .upload(&self.id, vec![Upload::Job(job.clone())])
            .await
            .expect("uploaded");
        self.docker.start(&self.id).await.expect("started");
    }

    pub async fn log(&self) -> Log {
        let frames = self.docker.follow(&self.id, 0);
        tokio::time::timeout(DEADLINE, Log::read(frames))
            .await
            .expect("ends in time")
            .expect("whole log")
    }

    /// Waits until the script has written this.
    pub async fn says(&self, text: &str) {
        let mut frames = self.docker.follow(&self.id, 0);
        let mut said = Vec::new();
        let waited = tokio::time::timeout(DEADLINE, async {
            while let Some(frame) = frames.next().await {
                let Frame::Chunk { bytes, .. } = frame.expect("the log goes on") else {
                    break;
                };
                said.extend_from_slice(&bytes);
                if String::from_utf8_lossy(&said).contains(text) {
                    return true;
                }
            }
            false
        });
        assert!(waited.await == Ok(true), "the script never said {text}");
    }

    /// What a command in the container prints, asked by Docker's own client.
    pub fn exec(&self, command: &str) -> String {
        let output = Command::new("docker")
            .args(["exec", &self.id, "sh", "-c", command])
            .output()
            .expect("the docker command is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let (docker, id) = (self.docker.clone(), std::mem::take(&mut self.id));
        // The test's own runtime may be about to end.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(docker.remove(&id))
        });
        let removed = removed.join().expect("no panic");
        if !std::thread::panicking() {
            removed.expect("removed");
        }
    }
}

/// A log that was followed to its end.
#[derive(Debug)]
pub struct Log {
    pub bytes: Vec<u8>,
    pub limit: bool,
    pub outcome: Option<Outcome>,
}

impl Log {
    pub async fn read(
        frames: impl futures_util::Stream<Item = Result<Frame, DockerError>>,
    ) -> Result<Self, DockerError> {
        let mut log = Self {
            bytes: Vec::new(),
            limit: false,
            outcome: None,
        };
        let mut frames = std::pin::pin!(frames);
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Chunk { bytes, .. } => log.bytes.extend_from_slice(&bytes),
                Frame::Limit => log.limit = true,
                Frame::End(outcome) => log.outcome = Some(outcome),
            }
        }
        Ok(log)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn exit(&self) -> Exit {
        self.outcome().exit
    }

    pub fn outcome(&self) -> Outcome {
        self.outcome.expect("the runner said how it ended")
    }
}

/// A server that a test starts, and that ends with it.
pub struct Server(std::process::Child);

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // Politely, so that a dockerd ends its own containerd.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let begun = std::time::Instant::now();
        while begun.elapsed() < DEADLINE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of 127.0.0.1 that nobody listens on as yet.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Runs Docker's own client. Returns what it printed.
pub fn docker_command(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("the docker command is there");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(
            std::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
