//! A Docker engine across the network: nothing of a build depends on sharing a machine with it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{RESULT, Service, docker, script_output, within};

/// A second Docker engine on this machine, which shares nothing with the first.
struct Engine {
    /// dockerd, or the sudo in front of it.
    process: Child,
    folder: TempDir,
    host: String,
}

impl Engine {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("tcp://127.0.0.1:{port}");
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let log = fs::File::create(path("dockerd.log")).unwrap();
        let process = as_root("dockerd")
            .args(["--host", &host, "--tls=false", "--data-root", &path("data"), "--exec-root", &path("exec")])
            // No bridge and no rules, so that it does not meddle with the first one's.
            .args(["--pidfile", &path("pid"), "--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["--storage-driver=vfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("dockerd can be run");
        let engine = Self {
            process,
            folder,
            host,
        };
        within(
            Duration::from_secs(30),
            "the second engine answers",
            async || {
                engine
                    .docker(&["info"])
                    .output()
                    .unwrap()
                    .status
                    .success()
                    .then_some(())
            },
        )
        .await;
        engine
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host]).args(arguments);
        command
    }

    fn take_image(&self, image: &str) {
        let archive = self.folder.path().join("image.tar");
        docker(&["save", "--output", archive.to_str().unwrap(), image]);
        let loaded = self
            .docker(&["load", "--input", archive.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            loaded.status.success(),
            "{}",
            String::from_utf8_lossy(&loaded.stderr)
        );
    }

    fn containers(&self) -> String {
        let output = self.docker(&["ps", "--all", "--quiet"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log =
                fs::read_to_string(self.folder.path().join("dockerd.log")).unwrap_or_default();
            eprintln!("---- the second engine's log\n{log}----");
        }
        if let Ok(id) = fs::read_to_string(self.folder.path().join("pid")) {
            let _ = as_root("kill").arg(id.trim()).status();
        }
        let _ = self.process.wait();
        // What it wrote belongs to root.
        let _ = as_root("rm")
            .args(["-rf", "--one-file-system"])
            .arg(self.folder.path())
            .status();
    }
}

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

#[tokio::test]
async fn a_push_is_built_on_an_engine_across_the_network() {
    let engine = Engine::start().await;
    engine.take_image("autobuilder/busybox:test");
    // Without a bridge there is no network of its own to be made.
    let service = Service::start_with(json!({"docker": {"host": engine.host, "network": "none"}}));
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\necho far away\n{RESULT}"))
        .await;
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(script_output(&service.log(&build).await), "far away\n");
    assert_eq!(ended["artifacts"][0]["size"], 5);
    within(
        Duration::from_secs(30),
        "its container is removed",
        async || engine.containers().is_empty().then_some(()),
    )
    .await;
}
