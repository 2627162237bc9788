//! A real registry of a story's own, and an image in it that is on no machine.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::{SOON, docker, docker_answers, keep_port};

/// What stands behind the registry's address.
const NAME: &str = "story/base:1";

/// Ends with its owner.
pub struct Registry {
    server: Child,
    address: SocketAddr,
    _port: TcpSocket,
    folder: TempDir,
}

impl Registry {
    /// With an image that has a layer of its own, which holds this.
    pub fn start(layer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = keep_port();
        let address = port.local_addr().unwrap();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: {address}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n",
            folder.path().join("storage").display(),
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, configuration).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry can be run: scripts/setup registry");
        let registry = Self {
            server,
            address,
            _port: port,
            folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < SOON, "docker-registry does not listen");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        registry.push(layer);
        registry
    }

    fn push(&self, layer: &str) {
        let (image, file) = (self.image(self.address), self.folder.path().join("layer"));
        fs::write(&file, layer).unwrap();
        let container = docker(&["create", "autobuilder/busybox:test", "true"]);
        docker(&["cp", file.to_str().unwrap(), &format!("{container}:/layer")]);
        docker(&["commit", &container, &image]);
        docker(&["push", "--quiet", &image]);
        docker(&["rm", &container]);
        docker(&["rmi", &image]);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The image's name where the registry is reached at this address.
    pub fn image(&self, address: SocketAddr) -> String {
        format!("{address}/{NAME}")
    }
}

/// An image that is pulled in a story, and removed with this.
pub struct Pulled(pub String);

impl Drop for Pulled {
    fn drop(&mut self) {
        docker_answers(&["rmi", "--force", &self.0]);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
