//! An engine across the network, with and without TLS. Nothing is bind-mounted, so nothing differs.

use super::*;
use std::path::Path;

/// A second engine, with everything of its own: data, runtime, containerd, and a bridge. Not
/// `--bridge=none`, with which dockerd removes the `docker0` of the first one as it starts.
struct Engine {
    // Ends before its folder and its bridge go.
    _server: Server,
    _bridge: Bridge,
    address: String,
    folder: tempfile::TempDir,
}

impl Engine {
    async fn start(options: impl FnOnce(&Path) -> Vec<String>) -> Self {
        // Sockets live below it, whose paths may have a hundred characters.
        let folder = tempfile::Builder::new()
            .prefix("dockerd")
            .tempdir_in("/tmp")
            .unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let bridge = Bridge::make();
        let within = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new("dockerd");
        command
            .arg(format!("--host=tcp://{address}"))
            .arg(format!("--host=unix://{}", within("docker.sock")))
            .arg(format!("--data-root={}", within("data")))
            .arg(format!("--exec-root={}", within("run")))
            .arg(format!("--pidfile={}", within("pid")))
            .arg(format!("--bridge={}", bridge.0))
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ])
            .args(options(folder.path()));
        let engine = Self {
            _server: Server::start(&mut command),
            _bridge: bridge,
            address,
            folder,
        };
        let socket = engine.socket();
        let local = Docker::connect(&DockerSettings {
            host: Some(socket.clone()),
            certificates: None,
        })
        .unwrap();
        until("the second engine answers", async || {
            local.ping().await.is_ok()
        })
        .await;

        let image = engine.folder.path().join("image.tar");
        let image = image.to_str().unwrap();
        docker_command(&["save", "--output", image, IMAGE]);
        docker_command(&["--host", &socket, "load", "--quiet", "--input", image]);
        engine
    }

    fn socket(&self) -> String {
        format!(
            "unix://{}",
            self.folder.path().join("docker.sock").display()
        )
    }
}

/// A network device that goes away with the test.
struct Bridge(String);

impl Bridge {
    fn make() -> Self {
        // Names have at most fifteen characters; a free port is as good as any number.
        let bridge = Self(format!("abtest{}", free_port()));
        let made = Command::new("ip")
            .args(["link", "add", &bridge.0, "type", "bridge"])
            .status();
        assert!(
            made.is_ok_and(|made| made.success()),
            "this test needs ip (Debian: iproute2)"
        );
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "delete", &self.0])
            .status();
    }
}

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        eprintln!("not run: only root can start a second dockerd");
    }
    root
}

/// A whole build, from a folder to an artifact, with a follower that is lost in the middle.
async fn build_on(docker: Docker) {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(
        source.path().join("build.sh"),
        "#!/bin/sh\nseq 1 100000 | tee /target/result\n",
    )
    .unwrap();
    let container = Container::create_on(docker, &spec()).await;
    let docker = &container.docker;
    docker
        .upload(&container.id, vec![folder_at(source.path(), "/app")])
        .await
        .unwrap();
    let job = Job {
        folder: "/app".to_owned(),
        arguments: vec!["./build.sh".to_owned()],
        ..job("")
    };
    container.run(&job).await;

    let mut frames = docker.follow(&container.id, 0);
    let Frame::Chunk { bytes, .. } = frames.next().await.unwrap().unwrap() else {
        panic!("no bytes")
    };
    drop(frames);
    let rest = Log::read(docker.follow(&container.id, bytes.len() as u64))
        .await
        .unwrap();
    let log = [&bytes[..], &rest.bytes].concat();
    assert_eq!(rest.exit(), Exit::Code(0));

    let into = source.path().join("result");
    docker
        .fetch_artifact(&container.id, "/target", "result", &into, 1 << 20)
        .await
        .unwrap();
    let expected: String = (1..=100_000).map(|i| format!("{i}\n")).collect();
    assert!(log == expected.as_bytes() && std::fs::read(&into).unwrap() == log);
}

#[tokio::test]
async fn an_engine_may_be_reached_by_tcp() {
    if !is_root() {
        return;
    }
    let engine = Engine::start(|_| Vec::new()).await;
    let host = Some(format!("tcp://{}", engine.address));
    build_on(
        Docker::connect(&DockerSettings {
            host,
            certificates: None,
        })
        .unwrap(),
    )
    .await;
}

#[tokio::test]
async fn an_engine_may_be_reached_by_tls_and_wants_to_know_who_asks() {
    if !is_root() {
        return;
    }
    let engine = Engine::start(|folder| {
        make_certificates(folder);
        let file = |name: &str| folder.join(name).display().to_string();
        vec![
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", file("ca.pem")),
            format!("--tlscert={}", file("cert.pem")),
            format!("--tlskey={}", file("key.pem")),
        ]
    })
    .await;
    let with = |folder: &Path| DockerSettings {
        host: Some(format!("https://{}", engine.address)),
        certificates: Some(folder.to_owned()),
    };
    build_on(Docker::connect(&with(engine.folder.path())).unwrap()).await;

    let strangers = tempfile::tempdir().unwrap();
    make_certificates(strangers.path());
    let error = Docker::connect(&with(strangers.path()))
        .unwrap()
        .ping()
        .await
        .unwrap_err();
    assert!(matches!(error, DockerError::Unreachable(_)), "{error}");
}

/// An authority, and a certificate of it that serves both sides.
fn make_certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output();
        let output = output.expect("this test needs the openssl command");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    std::fs::write(
        folder.join("extensions"),
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=tests-authority"
    ));
    openssl(&format!(
        "req {key} -keyout key.pem -out request.pem -subj /CN=tests"
    ));
    openssl(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 2 -extfile extensions",
    );
}
