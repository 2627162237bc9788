//! A second Docker engine on this machine, which shares nothing with the first.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::disk::SmallDisk;
use super::process::{as_root, end, output};
use super::{SOON, docker, within};

pub struct Engine {
    /// dockerd, or the sudo in front of it.
    process: Child,
    /// Not `--bridge=none`, with which dockerd removes the `docker0` of the first one as it starts.
    bridge: String,
    folder: TempDir,
    arguments: Vec<String>,
    /// `tcp://`, whether it speaks TLS there or not.
    pub host: String,
}

impl Engine {
    pub async fn start() -> Self {
        Self::start_with(|_| vec!["--tls=false".to_owned()]).await
    }

    /// One whose containers run on while it is away, and are its own again.
    pub async fn start_with_live_restore() -> Self {
        Self::start_with(|_| vec!["--tls=false".to_owned(), "--live-restore".to_owned()]).await
    }

    /// One that keeps its own on this disk.
    pub async fn start_on(disk: &SmallDisk) -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(disk.path(), folder.path().join("data")).unwrap();
        Self::start_in(folder, |_| vec!["--tls=false".to_owned()]).await
    }

    /// One that wants to see a certificate; those for its clients are in [`Self::certificates`].
    pub async fn start_with_tls() -> Self {
        Self::start_with(|certificates| {
            make_certificates(certificates);
            let file = |name: &str| certificates.join(name).display().to_string();
            vec![
                "--tlsverify".to_owned(),
                format!("--tlscacert={}", file("ca.pem")),
                format!("--tlscert={}", file("cert.pem")),
                format!("--tlskey={}", file("key.pem")),
            ]
        })
        .await
    }

    async fn start_with(further: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), further).await
    }

    async fn start_in(folder: TempDir, further: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("tcp://127.0.0.1:{port}");
        let bridge = format!("abstory{port}");
        let made = output(as_root("ip").args(["link", "add", &bridge, "type", "bridge"]));
        let error = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "ip (Debian: iproute2): {error}");
        let certificates = folder.path().join("certificates");
        fs::create_dir(&certificates).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let socket = format!("unix://{}", path("docker.sock"));
        let (data, exec, pid) = (path("data"), path("exec"), path("pid"));
        let arguments = [
            vec![
                "--host",
                &host,
                "--host",
                &socket,
                "--data-root",
                &data,
                "--exec-root",
                &exec,
            ],
            // No rules, so that it does not meddle with the first one's.
            vec![
                "--pidfile",
                &pid,
                "--bridge",
                &bridge,
                "--iptables=false",
                "--ip6tables=false",
            ],
            vec![
                "--ip-forward=false",
                "--ip-masq=false",
                "--storage-driver=vfs",
            ],
        ];
        let arguments = arguments.into_iter().flatten().map(str::to_owned);
        let arguments: Vec<String> = arguments.chain(further(&certificates)).collect();
        let engine = Self {
            process: dockerd(folder.path(), &arguments),
            bridge,
            folder,
            arguments,
            host,
        };
        engine.answers().await;
        engine
    }

    async fn answers(&self) {
        let limit = Duration::from_secs(30);
        let answers = async || self.try_docker(&["info"]).is_ok().then_some(());
        within(limit, "the second engine answers", answers).await;
    }

    /// SIGKILL, as of a crash. Its containers run on, without an engine.
    pub fn kill(&mut self) {
        let pid_file = self.folder.path().join("exec/containerd/containerd.pid");
        let read = output(as_root("cat").arg(&pid_file)).stdout;
        let containerd = String::from_utf8(read).unwrap();
        self.signal("KILL");
        end(&mut self.process, SOON);
        // It is killed with dockerd, which would wait in vain for one that it finds while that ends.
        let stat = format!("/proc/{}/stat", containerd.trim());
        let begun = Instant::now();
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(begun.elapsed() < SOON, "containerd has not ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        output(as_root("rm").arg("-f").arg(&pid_file));
    }

    /// Starts it again where it was: containers that ran are ended then, but for live-restore.
    pub async fn start_again(&mut self) {
        self.process = dockerd(self.folder.path(), &self.arguments);
        self.answers().await;
    }

    /// It says nothing any more, and keeps its connections.
    pub fn freeze(&self, freeze: bool) {
        self.signal(if freeze { "STOP" } else { "CONT" });
    }

    fn signal(&self, signal: &str) {
        let id = fs::read_to_string(self.folder.path().join("pid")).unwrap();
        let sent = output(as_root("kill").args([&format!("-{signal}"), id.trim()]));
        assert!(
            sent.status.success(),
            "{}",
            String::from_utf8_lossy(&sent.stderr)
        );
    }

    /// ca.pem, cert.pem and key.pem, for anyone on this machine to read.
    pub fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    /// Runs `docker` with this engine, which has to succeed, and returns what it prints.
    pub fn docker(&self, arguments: &[&str]) -> String {
        match self.try_docker(arguments) {
            Ok(output) => output,
            Err(error) => panic!("docker {arguments:?}: {error}"),
        }
    }

    fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        // The socket is root's.
        let mut command = as_root("docker");
        command
            .arg("--host")
            .arg(format!(
                "unix://{}",
                self.folder.path().join("docker.sock").display()
            ))
            .args(arguments);
        let output = output(&mut command);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    pub fn take_image(&self, image: &str) {
        let archive = self.folder.path().join("image.tar");
        docker(&["save", "--output", archive.to_str().unwrap(), image]);
        self.docker(&["load", "--input", archive.to_str().unwrap()]);
    }

    pub fn containers(&self) -> String {
        self.docker(&["ps", "--all", "--quiet"])
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
            output(as_root("kill").args(["-CONT", id.trim()]));
            output(as_root("kill").arg(id.trim()));
        }
        end(&mut self.process, SOON);
        output(as_root("ip").args(["link", "delete", &self.bridge]));
        // What it wrote belongs to root.
        let folder = self.folder.path();
        output(as_root("rm").args(["-rf", "--one-file-system"]).arg(folder));
    }
}

fn dockerd(folder: &Path, arguments: &[String]) -> Child {
    let mut log = fs::File::options();
    let log = log
        .create(true)
        .append(true)
        .open(folder.join("dockerd.log"))
        .unwrap();
    as_root("dockerd")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("dockerd can be run")
}

/// An authority, and a certificate of it that serves both sides.
fn make_certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder);
        let output = output(&mut command);
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    fs::write(
        folder.join("extensions"),
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=stories-authority"
    ));
    openssl(&format!(
        "req {key} -keyout key.pem -out request.pem -subj /CN=stories"
    ));
    openssl(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 2 -extfile extensions",
    );
    super::readable_to_all(&folder.join("key.pem"));
}
