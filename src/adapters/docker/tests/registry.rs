//! Images out of a registry that wants to know who asks.

use super::*;
use crate::adapters::docker::error::ImageProblem;
use base64::Engine as _;
use faulty::{Fault, Faulty};

const USER: &str = "builder";
const PASSWORD: &str = "correct horse";
/// That password, as htpasswd writes it with bcrypt, the one way that the registry reads.
const HTPASSWD: &str = "builder:$2b$04$eJ.mQc1MIL0Fz10lNN2Wl.NqeNBhZ.N8.J2HWUrgJy3c0raoY44im\n";

struct Registry {
    // Ends before its folder goes.
    _server: Server,
    _folder: tempfile::TempDir,
    address: String,
    image: String,
}

impl Registry {
    /// Starts a registry and pushes the tests' image to it.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let password_file = folder.path().join("htpasswd");
        std::fs::write(&password_file, HTPASSWD).unwrap();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: {address}}}\nauth: {{htpasswd: {{realm: tests, path: {}}}}}\n",
            folder.path().join("storage").display(),
            password_file.display(),
        );
        let configuration_file = folder.path().join("config.yml");
        std::fs::write(&configuration_file, configuration).unwrap();
        if Command::new("docker-registry")
            .arg("--version")
            .output()
            .is_err()
        {
            panic!("this test needs docker-registry, run scripts/setup registry");
        }
        let server = Server::start(
            Command::new("docker-registry")
                .arg("serve")
                .arg(&configuration_file),
        );
        until("the registry listens", async || {
            tokio::net::TcpStream::connect(&address).await.is_ok()
        })
        .await;

        let image = format!("{address}/tests/busybox:1");
        let login = base64::prelude::BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let login = format!("{{\"auths\": {{\"{address}\": {{\"auth\": \"{login}\"}}}}}}");
        std::fs::write(folder.path().join("config.json"), login).unwrap();
        docker_command(&["tag", IMAGE, &image]);
        docker_command(&[
            "--config",
            folder.path().to_str().unwrap(),
            "push",
            "--quiet",
            &image,
        ]);
        docker_command(&["rmi", &image]);
        Self {
            address,
            image,
            _folder: folder,
            _server: server,
        }
    }

    fn credentials(&self, password: &str) -> BTreeMap<String, Credentials> {
        let credentials = Credentials {
            username: USER.to_owned(),
            password: password.to_owned(),
        };
        BTreeMap::from([(self.address.clone(), credentials)])
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", &self.image]).output();
    }
}

#[tokio::test]
async fn a_registry_is_asked_when_it_should_be_and_told_who_asks() {
    let docker = docker().await;
    let registry = Registry::start().await;
    let pull = async |image: &str, pull: Pull, credentials: &BTreeMap<String, Credentials>| {
        let mut lines = Vec::new();
        let image = docker
            .ensure_image(image, pull, credentials, |line| lines.push(line))
            .await;
        image
            .map(|image| (image, lines))
            .map_err(|error| error.to_string())
    };
    let (image, address) = (&registry.image, &registry.address);
    let right = registry.credentials(PASSWORD);

    let error = pull(image, Pull::Missing, &BTreeMap::new())
        .await
        .unwrap_err();
    let denied = format!("image {image}: {address} denies access or has no such repository");
    assert_eq!(
        error,
        format!("{denied}; no credentials are configured for it")
    );
    let error = pull(image, Pull::Missing, &registry.credentials("wrong"))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        format!("{denied}; the configured credentials were used")
    );
    let error = pull(image, Pull::Never, &right).await.unwrap_err();
    assert_eq!(
        error,
        format!("image {image}: it is not on this machine, and `pull` is `never`")
    );

    let (pulled, lines) = pull(image, Pull::Missing, &right).await.unwrap();
    assert!(
        pulled.id.starts_with("sha256:") && pulled.size > 1_000_000,
        "{pulled:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], format!("pulling image {image}"));
    assert!(
        lines[1].starts_with(&format!("pulled image {image} (sha256:")),
        "{lines:?}"
    );

    let (again, lines) = pull(image, Pull::Missing, &right).await.unwrap();
    assert_eq!(
        (again.id, lines.len()),
        (pulled.id, 1),
        "it is there, the registry is not asked"
    );
    pull(image, Pull::Always, &registry.credentials("wrong"))
        .await
        .unwrap_err();
    pull(image, Pull::Always, &right).await.unwrap();

    let other = format!("{address}/tests/busybox:other");
    let error = pull(&other, Pull::Missing, &right).await.unwrap_err();
    assert_eq!(
        error,
        format!("image {other}: {address} has no such image or tag")
    );
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let docker = docker().await;
    let image = format!("127.0.0.1:{}/tests/busybox:1", free_port());
    let error = docker
        .ensure_image(&image, Pull::Missing, &BTreeMap::new(), |_| ())
        .await
        .unwrap_err();
    match error {
        DockerError::Image {
            problem: ImageProblem::Unreachable { reason, .. },
            ..
        } => {
            assert_eq!(reason, "connection refused");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_registry_that_stops_amid_its_answer_is_named() {
    let registry = Faulty::alone();
    registry.fail(Fault::begins("application/json", "{"));
    let patience = Patience {
        pull_stall: Duration::from_secs(1),
        ..Patience::default()
    };
    let docker = Docker::with_patience(&DockerSettings::default(), patience).unwrap();
    let address = registry.address();
    let image = format!("{address}/tests/busybox:1");
    let error = docker
        .ensure_image(&image, Pull::Missing, &BTreeMap::new(), |_| ())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "image {image}: {address} cannot be reached: the pull has stood still for 1 seconds"
        )
    );
    assert!(registry.met() > 0);
}
