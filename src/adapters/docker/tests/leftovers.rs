//! What is told of images, networks and volumes that may be left over, and what an engine refuses.

use super::*;

/// Images and containers that go away with the test, the newest first.
#[derive(Default)]
struct Made(Vec<[String; 2]>);

impl Made {
    fn add(&mut self, kind: &str, arguments: &[&str]) -> String {
        let id = docker_command(arguments).trim().to_owned();
        self.0.push([kind.to_owned(), id.clone()]);
        id
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for [kind, id] in self.0.iter().rev() {
            let _ = Command::new("docker").args([kind, "rm", id]).output();
        }
    }
}

#[tokio::test]
async fn an_image_of_ours_is_told_from_what_others_made_of_it_and_stays_while_it_is_used() {
    let docker = docker().await;
    let label = new_name();
    let mut made = Made::default();
    let container = made.add(
        "container",
        &[
            "create",
            "--network=none",
            IMAGE,
            "sh",
            "-c",
            "echo 12345 > /new",
        ],
    );
    docker_command(&["start", "--attach", &container]);
    let change = format!("LABEL {label}=x");
    let name = format!("{label}:ours");
    // With a name, so that no other test prunes it.
    let ours = made.add("image", &["commit", "--change", &change, &container, &name]);
    let user = made.add("container", &["create", &ours, "true"]);
    let derived = format!("{label}:derived");
    let child = made.add("image", &["commit", &user, &derived]);
    docker_command(&["rm", &user]);

    let told = async || {
        let images = docker.images_labelled(&label).await.unwrap();
        assert_eq!(images.len(), 1, "{images:?}");
        images.into_iter().next().unwrap()
    };
    let image = told().await;
    assert_eq!((&image.id, &image.names), (&ours, &vec![name.clone()]));
    assert_eq!(image.labels[&label], "x");
    assert_eq!(image.bytes, Some(6), "of what its container wrote");
    assert!(image.is_used, "by its child");
    docker_command(&["rmi", &child]);
    assert!(!told().await.is_used);

    // A stopped container counts as well.
    let user = made.add("container", &["create", &ours, "true"]);
    assert!(told().await.is_used);
    let refused = docker.remove_image(&ours).await;
    assert!(
        matches!(refused, Err(DockerError::Conflict(_))),
        "{refused:?}"
    );
    docker_command(&["rm", &user]);
    docker.remove_image(&ours).await.unwrap();
    docker
        .remove_image(&ours)
        .await
        .expect("it is gone already");
    assert!(docker.images_labelled(&label).await.unwrap().is_empty());
    docker_command(&["image", "inspect", IMAGE]);
}

#[tokio::test]
async fn networks_and_volumes_are_ours_by_label_and_unused_when_no_container_has_them() {
    let docker = docker().await;
    let instance = new_name();
    let label = format!("--label={LABEL_INSTANCE}={instance}");
    let [unused, used] = ["unused", "used"].map(|what| format!("{instance}-{what}"));
    let mut made = Made::default();
    for name in [&unused, &used] {
        made.add("network", &["network", "create", &label, name]);
        let build = format!("--label={LABEL_BUILD}={name}");
        made.add("volume", &["volume", "create", &label, &build, name]);
    }
    let (network, volume) = (format!("--network={used}"), format!("-v={used}:/x"));
    // It never runs, so the engine says that nobody is on the network.
    made.add("container", &["create", &network, &volume, IMAGE, "true"]);

    let networks = docker.unused_networks(&instance).await.unwrap();
    let names: Vec<&str> = networks
        .iter()
        .map(|network| network.name.as_str())
        .collect();
    assert_eq!(names, [&unused]);
    let volumes = docker.unused_volumes(&instance).await.unwrap();
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    assert_eq!(
        (&volumes[0].name, volumes[0].build.as_ref()),
        (&unused, Some(&unused))
    );

    let refused = docker.remove_volume(&used).await;
    assert!(
        matches!(refused, Err(DockerError::Conflict(_))),
        "{refused:?}"
    );
    for _again in 0..2 {
        docker.remove_volume(&unused).await.unwrap();
        docker.remove_network(&networks[0].id).await.unwrap();
    }
    assert!(docker.unused_networks(&instance).await.unwrap().is_empty());
    assert!(docker.unused_volumes(&instance).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_container_s_volumes_bear_its_labels_and_go_with_it() {
    let mut spec = spec();
    let instance = new_name();
    spec.labels
        .insert(LABEL_INSTANCE.to_owned(), instance.clone());
    let filter = format!("label={LABEL_INSTANCE}={instance}");
    let volumes = || docker_command(&["volume", "ls", "--quiet", "--filter", &filter]);
    let container = Container::create(&spec).await;
    assert_eq!(volumes().lines().count(), 2);
    let unused = container.docker.unused_volumes(&instance).await.unwrap();
    assert!(unused.is_empty(), "the container has them");
    container.docker.remove(&container.id).await.unwrap();
    assert_eq!(volumes(), "");
}

#[tokio::test]
async fn the_folder_of_an_engine_elsewhere_is_not_asked_for() {
    let elsewhere = DockerSettings {
        host: Some("tcp://127.0.0.1:1".to_owned()),
        certificates: None,
    };
    let elsewhere = Docker::connect(&elsewhere).unwrap();
    assert_eq!(elsewhere.root_here().await.unwrap(), None);
    let here = docker().await.root_here().await.unwrap();
    let said = docker_command(&["info", "--format", "{{.DockerRootDir}}"]);
    let said = std::path::PathBuf::from(said.trim());
    assert_eq!(here, said.is_dir().then_some(said));
}
