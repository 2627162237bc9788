//! The service in a container, as deploy/ has it: its image, its compose files, its service file.
//! What compose would do with them is done here with `docker run`, so that a story needs no compose
//! and what it makes is its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::containers::{docker, docker_answers};
use super::engine::Engine;
use super::process::PROGRAM;
use super::readable_to_all;
use super::service::{WEBHOOK_SECRET, container_prefix, merge};

/// Where the Docker socket of this machine is, also inside.
const SOCKET: &str = "/var/run/docker.sock";

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file)
}

fn read_yaml(file: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(deploy(file)).unwrap()).unwrap()
}

/// What deploy/Dockerfile makes of the program under test. It is made once for all stories that
/// run at the same time, and removed after the last of them.
struct Image(String);

static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());

impl Image {
    fn get() -> Arc<Self> {
        let mut made = IMAGE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = made.upgrade() {
            return image;
        }
        let context = tempfile::tempdir().unwrap();
        fs::copy(PROGRAM, context.path().join("program")).unwrap();
        let image = Self(format!("autobuilder/story:{:x}", getrandom::u64().unwrap()));
        docker(&[
            "build",
            "--file",
            deploy("Dockerfile").to_str().unwrap(),
            // Whatever becomes of the engine's own bridge meanwhile.
            "--network",
            "host",
            "--build-arg",
            "BASE=autobuilder/debian:12",
            "--build-arg",
            "BINARY=program",
            "--tag",
            &image.0,
            context.path().to_str().unwrap(),
        ]);
        let image = Arc::new(image);
        *made = Arc::downgrade(&image);
        image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker_answers(&["rmi", &self.0]);
    }
}

/// A container for the service, its volume and its network.
pub struct Nest {
    image: Arc<Image>,
    /// Begins as those of the builds do, so that whoever goes by names alone would take it for one.
    pub container: String,
    options: Vec<String>,
}

impl Nest {
    /// As deploy/compose.yaml has it: with the Docker of this machine.
    pub fn with_socket(folder: &TempDir) -> Self {
        let group = fs::metadata(SOCKET).unwrap().gid().to_string();
        let nest = Self::of("compose.yaml", folder, &group, Path::new(""));
        docker(&["network", "create", &nest.container]);
        let network = ["--network".to_owned(), nest.container.clone()];
        nest.with(network).with(["--publish", "127.0.0.1::5560"])
    }

    /// As deploy/compose.tcp.yaml has it. An engine that listens on loopback only is reached on
    /// the network of this machine.
    pub fn with_engine(folder: &TempDir, engine: &Engine) -> Self {
        Self::of(
            "compose.tcp.yaml",
            folder,
            &engine.host,
            &engine.certificates(),
        )
        .with(["--network", "host"])
    }

    /// Takes over a compose file: the one variable in it, and whatever belongs to the story.
    fn of(file: &str, folder: &TempDir, variable: &str, certificates: &Path) -> Self {
        let image = Image::get();
        let container = format!("{}service", container_prefix(folder));
        let filled = |text: &Value| {
            let text = text.as_str().unwrap();
            if text.starts_with("${") {
                variable
            } else {
                text
            }
            .to_owned()
        };
        let mounted = |volume: &Value| {
            let (source, rest) = volume.as_str().unwrap().split_once(':').unwrap();
            let source = match source {
                "./config" => folder.path(),
                "./certificates" => certificates,
                "data" => Path::new(&container),
                other => Path::new(other),
            };
            format!("{}:{rest}", source.display())
        };
        let compose = read_yaml(file);
        let service = &compose["services"]["autobuilder"];
        let list = |key: &str| service[key].as_array().into_iter().flatten();

        let mut options = Vec::new();
        if service["init"] == true {
            options.push("--init".to_owned());
        }
        for group in list("group_add") {
            options.extend(["--group-add".to_owned(), filled(group)]);
        }
        for volume in list("volumes") {
            options.extend(["--volume".to_owned(), mounted(volume)]);
        }
        for (name, value) in service["environment"].as_object().into_iter().flatten() {
            options.extend(["--env".to_owned(), format!("{name}={}", filled(value))]);
        }
        let secrets = folder.path().join("secrets");
        fs::create_dir(&secrets).unwrap();
        for name in list("secrets") {
            let name = name.as_str().unwrap();
            let path = secrets.join(name);
            fs::write(&path, WEBHOOK_SECRET).unwrap();
            let mount = format!("{}:/run/secrets/{name}:ro", path.display());
            options.extend(["--volume".to_owned(), mount]);
        }
        readable_to_all(folder.path());
        Self {
            image,
            container,
            options,
        }
    }

    fn with<const N: usize>(mut self, options: [impl Into<String>; N]) -> Self {
        self.options.extend(options.map(Into::into));
        self
    }

    /// deploy/config/config.yaml, but with the GitHub of a story, which wants no credential.
    pub fn settings(&self) -> Value {
        let mut settings = read_yaml("config/config.yaml");
        merge(
            &mut settings,
            json!({"github": {"git_url": "/etc/autobuilder/git", "token_file": null}}),
        );
        // What the files of other stories have instead.
        settings["github"]["webhook_secret"] = Value::Null;
        settings["artifacts"] = Value::Null;
        settings
    }

    /// Starts it and stays with it: what it writes is written, its exit code is handed on, and so
    /// are signals.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        if docker_answers(&["container", "inspect", &self.container]) {
            command.args(["start", "--attach", &self.container]);
        } else {
            command
                .args(["run", "--name", &self.container])
                .args(&self.options)
                .arg(&self.image.0);
        }
        command
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        docker_answers(&["rm", "--force", "--volumes", &self.container]);
        docker_answers(&["volume", "rm", &self.container]);
        docker_answers(&["network", "rm", &self.container]);
    }
}
