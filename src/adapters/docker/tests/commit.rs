//! Images made of containers, and images that nothing names.

use serde_json::Value;

use super::*;

const LABEL: &str = "autobuilder.test";

/// A container whose script has ended.
async fn done(spec: &ContainerSpec, script: &str) -> Container {
    let container = Container::start(spec, &job(script)).await;
    container.log().await;
    container
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(LABEL.to_owned(), "kept".to_owned())])
}

fn inspect_image(name: &str) -> Value {
    let text = docker_command(&["image", "inspect", name]);
    let images: Value = serde_json::from_str(&text).unwrap();
    images[0].clone()
}

/// Goes away with the test.
struct Image(String);

impl Image {
    fn new() -> Self {
        Self(format!("autobuilder-test/{}", new_name()))
    }

    fn tagged(&self, tag: &str) -> String {
        format!("{}:{tag}", self.0)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let listed = docker_command(&["images", "--quiet", "--no-trunc", &self.0]);
        for id in listed.split_whitespace() {
            let _ = Command::new("docker").args(["rmi", "--force", id]).output();
        }
    }
}

#[tokio::test]
async fn an_image_has_the_containers_files_and_nothing_of_the_service() {
    let image = Image::new();
    let job = Job {
        environment: vec![("TOKEN".to_owned(), "hunter2".to_owned())],
        ..job("echo new > /made; echo stale > /target/vmlinuz.efi; ls /.autobuilder")
    };
    let container = Container::start(&spec(), &job).await;
    container.log().await;
    let made = container
        .docker
        .commit(&container.id, &image.0, "main", labels())
        .await
        .unwrap();

    let (ours, original) = (inspect_image(&image.tagged("main")), inspect_image(IMAGE));
    assert_eq!(ours["Id"], made.as_str());
    let (config, before) = (&ours["Config"], &original["Config"]);
    // An empty list is as good as none.
    let list = |config: &Value, key: &str| config[key].as_array().cloned().unwrap_or_default();
    for key in ["Entrypoint", "Cmd"] {
        assert_eq!(list(config, key), list(before, key), "{key}");
    }
    assert_eq!(config["Env"], before["Env"]);
    assert_eq!(config["Volumes"], Value::Null);
    assert_eq!(config["Labels"][LABEL], "kept");
    for label in [LABEL_BUILD, LABEL_INSTANCE, LABEL_ATTEMPT] {
        let value = config["Labels"][label].as_str().unwrap_or_default();
        assert_eq!(value, "", "{label}");
    }
    assert!(!ours.to_string().contains("hunter2"));
    let script = "cat /made; find /target /.autobuilder";
    let files = docker_command(&["run", "--rm", "--network=none", &made, "sh", "-c", script]);
    assert_eq!(files, "new\n/target\n/.autobuilder\n");
}

#[tokio::test]
async fn a_container_of_a_committed_image_is_nobodys_to_remove() {
    let image = Image::new();
    let mut spec = spec();
    let instance = new_name();
    spec.labels
        .insert(LABEL_INSTANCE.to_owned(), instance.clone());
    let container = done(&spec, "true").await;
    let docker = container.docker.clone();
    docker
        .commit(&container.id, &image.0, "main", labels())
        .await
        .unwrap();
    let ours = docker.list_ours(&instance).await.unwrap();
    assert_eq!(ours.len(), 1, "the build's own");
    let of_a_user = docker_command(&["create", &image.tagged("main"), "true"]);
    let seen = docker.list_ours(&instance).await.unwrap();
    docker_command(&["rm", of_a_user.trim()]);
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn what_an_image_starts_is_as_before() {
    let base = Image::new();
    let made = docker_command(&["create", IMAGE, "true"]);
    let change = |change: &str| format!("--change={change}");
    docker_command(&[
        "commit",
        &change("ENTRYPOINT [\"/bin/sh\", \"-c\"]"),
        &change("CMD [\"echo hello\"]"),
        &change("USER 65534"),
        &change("WORKDIR /tmp"),
        &change("ENV COLOUR=blue"),
        &change("HEALTHCHECK --interval=3s CMD true"),
        made.trim(),
        &base.tagged("stubborn"),
    ]);
    docker_command(&["rm", made.trim()]);
    let image = Image::new();
    let of_base = ContainerSpec {
        image: base.tagged("stubborn"),
        ..spec()
    };
    let container = done(&of_base, "true").await;
    container
        .docker
        .commit(&container.id, &image.0, "main", labels())
        .await
        .unwrap();
    let (ours, original) = (
        inspect_image(&image.tagged("main")),
        inspect_image(&base.tagged("stubborn")),
    );
    for key in [
        "Entrypoint",
        "Cmd",
        "User",
        "WorkingDir",
        "Env",
        "Healthcheck",
    ] {
        assert_eq!(ours["Config"][key], original["Config"][key], "{key}");
    }
    drop(container);
    assert_eq!(
        docker_command(&["run", "--rm", "--network=none", &image.tagged("main")]),
        "hello\n"
    );
}

#[tokio::test]
async fn images_of_a_name_are_found_with_tag_and_labels() {
    let image = Image::new();
    let container = done(&spec(), "true").await;
    let docker = container.docker.clone();
    for tag in ["main", "1.1.0-alpha"] {
        let labels = BTreeMap::from([(LABEL.to_owned(), tag.to_owned())]);
        docker
            .commit(&container.id, &image.0, tag, labels)
            .await
            .unwrap();
    }
    let mut found = docker.images_of(&image.0).await.unwrap();
    found.sort_by(|one, other| one.tag.cmp(&other.tag));
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|image| (image.tag.as_str(), image.labels[LABEL].as_str()))
        .collect();
    assert_eq!(found, [("1.1.0-alpha", "1.1.0-alpha"), ("main", "main")]);
    let none = docker.images_of("autobuilder-test/none").await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn a_dangling_image_goes_unless_a_container_is_made_of_it() {
    let image = Image::new();
    let container = done(&spec(), "echo 1 > /made").await;
    let docker = container.docker.clone();
    let commit = || docker.commit(&container.id, &image.0, "main", labels());
    let unused = commit().await.unwrap();
    let used = commit().await.unwrap();
    assert_ne!(unused, used);
    let user = docker_command(&["create", &used, "true"]);
    let named = commit().await.unwrap();

    // Another test may be at the same: only one of the two is told what went.
    docker.remove_dangling_images().await.unwrap();
    let is_there = |id: &str| {
        let found = Command::new("docker")
            .args(["image", "inspect", id])
            .output();
        found.unwrap().status.success()
    };
    let there = [&unused, &used, &named].map(|id| is_there(id));
    docker_command(&["rm", user.trim()]);
    assert_eq!(there, [false, true, true]);
}
