//! Containers as the engine sees them.

use super::*;

#[tokio::test]
async fn secrets_are_in_no_configuration() {
    let job = Job {
        environment: vec![("TOKEN".to_owned(), "hunter2".to_owned())],
        ..job("echo $TOKEN; sleep 1000")
    };
    let container = Container::start(&spec(), &job).await;
    let mut frames = container.docker.follow(&container.id, 0);
    let frame = frames.next().await.unwrap().unwrap();
    assert!(
        matches!(frame, Frame::Chunk { ref bytes, .. } if bytes == "hunter2\n"),
        "{frame:?}"
    );
    let inspected = docker_command(&["inspect", &container.id]);
    assert!(!inspected.contains("hunter2") && !inspected.contains("TOKEN"));
    assert_eq!(
        container
            .exec("ls /.autobuilder/job; grep -c hunter2 /proc/1/environ")
            .trim(),
        "0"
    );
}

#[tokio::test]
async fn an_image_s_entrypoint_command_user_and_health_check_are_put_aside() {
    // An image made by `docker import`, so that no builder is needed.
    let name = format!("{}:stubborn", new_name());
    let made = docker_command(&["create", IMAGE, "true"]);
    let change = |change: &str| format!("--change={change}");
    docker_command(&[
        "commit",
        &change("ENTRYPOINT [\"/bin/false\"]"),
        &change("CMD [\"--never\"]"),
        &change("USER nobody"),
        &change("WORKDIR /nowhere"),
        &change("HEALTHCHECK --interval=1s CMD touch /was-checked"),
        made.trim(),
        &name,
    ]);
    docker_command(&["rm", made.trim()]);
    let script = "id -u; sleep 2.5; ls /was-checked; exit 0";
    let container = Container::start(
        &ContainerSpec {
            image: name.clone(),
            ..spec()
        },
        &job(script),
    )
    .await;
    let log = container.log().await;
    drop(container);
    docker_command(&["rmi", &name]);
    assert_eq!(
        log.text(),
        "0\nls: /was-checked: No such file or directory\n"
    );
}

#[tokio::test]
async fn a_name_that_is_taken_says_by_whom() {
    let spec = spec();
    let container = Container::create(&spec).await;
    match container.docker.create(&spec).await {
        Err(DockerError::NameTaken { name, by }) => {
            assert_eq!((name, by), (spec.name, container.id.clone()))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_container_is_seen_by_name_by_label_and_in_every_state() {
    let instance = new_name();
    let mut spec = spec();
    spec.labels
        .insert(LABEL_INSTANCE.to_owned(), instance.clone());
    spec.labels.insert(LABEL_ATTEMPT.to_owned(), "2".to_owned());
    let container = Container::create(&spec).await;
    let docker = container.docker.clone();

    let state = docker.inspect(&spec.name).await.unwrap().unwrap();
    assert_eq!(
        (state.id.as_str(), state.running, state.exit_code),
        (container.id.as_str(), false, None)
    );

    container.run(&job("sleep 1000")).await;
    docker
        .start(&container.id)
        .await
        .expect("starting it again is no error");
    let ours = docker.list_ours(&instance).await.unwrap();
    assert_eq!(ours.len(), 1);
    assert_eq!(
        (ours[0].name.as_str(), ours[0].attempt, ours[0].running),
        (spec.name.as_str(), Some(2), true)
    );
    assert_eq!(ours[0].build.as_ref(), spec.labels.get(LABEL_BUILD));

    docker.kill(&container.id).await.unwrap();
    let state = docker.inspect(&container.id).await.unwrap().unwrap();
    assert_eq!((state.running, state.exit_code), (false, Some(137)));

    docker.remove(&container.id).await.unwrap();
    docker
        .remove(&container.id)
        .await
        .expect("removing it again is no error");
    assert!(docker.inspect(&spec.name).await.unwrap().is_none());
    assert!(docker.list_ours(&instance).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_runner_waits_when_all_is_over_and_ignores_polite_requests_to_end() {
    let container = Container::of("true").await;
    container.log().await;
    docker_command(&["kill", "--signal=TERM", &container.id]);
    docker_command(&["kill", "--signal=INT", &container.id]);
    assert_eq!(container.log().await.exit(), Exit::Code(0));
}

#[tokio::test]
async fn a_container_that_somebody_starts_again_runs_nothing_again() {
    let container = Container::of("echo once").await;
    container.log().await;
    container.docker.kill(&container.id).await.unwrap();
    container.docker.start(&container.id).await.unwrap();
    until("it has ended", async || {
        let state = container
            .docker
            .inspect(&container.id)
            .await
            .unwrap()
            .unwrap();
        state.exit_code == Some(125)
    })
    .await;
    let log = Log::read(container.docker.spool_of_stopped(&container.id, 0, MAX_LOG))
        .await
        .unwrap();
    assert_eq!(log.text(), "once\n");
}

#[tokio::test]
async fn a_folder_arrives_as_it_is_and_belongs_to_root() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join("a/b/large"), vec![b'x'; 3_000_000]).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("a/link")).unwrap();
    let container = Container::create(&spec()).await;
    container
        .docker
        .upload(&container.id, vec![folder_at(folder.path(), "/deep/app")])
        .await
        .unwrap();
    let script = "cd /deep/app/a; wc -c < b/large; readlink link; stat -c %u:%g b/large link .";
    container.run(&job(script)).await;
    assert_eq!(
        container.log().await.text(),
        "3000000\n/etc/hostname\n0:0\n0:0\n0:0\n"
    );
}

#[tokio::test]
async fn an_upload_that_cannot_work_says_so() {
    let container = Container::create(&spec()).await;
    let docker = container.docker.clone();
    let error = docker
        .upload(&container.id, vec![folder_at("/no/such", "/app")])
        .await
        .unwrap_err();
    assert!(matches!(error, DockerError::File { .. }), "{error}");
    let error = docker
        .upload("autobuilder-test-none", vec![Upload::Job(job("true"))])
        .await
        .unwrap_err();
    assert!(matches!(error, DockerError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn an_engine_says_that_it_filters_system_calls() {
    assert!(docker().await.has_seccomp().await.unwrap());
}

#[tokio::test]
async fn containers_of_one_network_cannot_reach_each_other() {
    let docker = docker().await;
    let name = new_name();
    let make = || docker.ensure_network(&name, "tests");
    let (network, at_once) = tokio::join!(make(), make());
    let network = network.unwrap();
    assert_eq!(
        at_once.unwrap(),
        network,
        "two builds start together and share one network"
    );
    assert_eq!(make().await.unwrap(), network);
    let inspected = docker_command(&["network", "inspect", &name]);

    let spec = || ContainerSpec {
        network: network.clone(),
        ..spec()
    };
    let server = Container::start(
        &spec(),
        &job("nc -l -p 4000 -e echo reached & hostname -i; sleep 1000"),
    )
    .await;
    let mut frames = server.docker.follow(&server.id, 0);
    let Frame::Chunk { bytes, .. } = frames.next().await.unwrap().unwrap() else {
        panic!("no address")
    };
    let address = String::from_utf8_lossy(&bytes).trim().to_owned();
    let client = Container::start(
        &spec(),
        &job(&format!("nc -w 2 {address} 4000 </dev/null; true")),
    )
    .await;
    let text = client.log().await.text();
    drop((server, client));
    docker_command(&["network", "rm", &name]);
    let bridge = inspected
        .split_once("\"com.docker.network.bridge.name\": \"ab-")
        .and_then(|(_, rest)| rest.split('"').next());
    assert_eq!(bridge.map(str::len), Some(12), "{inspected}");
    assert!(
        inspected.contains("\"com.docker.network.bridge.enable_icc\": \"false\""),
        "{inspected}"
    );
    assert!(!text.contains("reached"), "{text}");
}

#[tokio::test]
async fn a_network_of_our_name_that_is_another_is_not_taken() {
    let docker = docker().await;
    let label = format!("{LABEL_INSTANCE}=tests");
    let apart = "com.docker.network.bridge.enable_icc=false";
    for (options, problem) in [
        (vec!["--opt", apart], "was not made by this service"),
        (vec!["--label", &label], "lets builds reach each other"),
    ] {
        let name = new_name();
        let mut command = vec!["network", "create"];
        command.extend(options);
        command.push(&name);
        docker_command(&command);
        let answer = docker.ensure_network(&name, "tests").await;
        docker_command(&["network", "rm", &name]);
        let error = answer.unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains(problem), "{error}");
    }

    // As the releases before this one made it.
    let name = new_name();
    docker_command(&[
        "network", "create", "--opt", apart, "--label", &label, &name,
    ]);
    let answer = docker.ensure_network(&name, "tests").await;
    docker_command(&["network", "rm", &name]);
    assert!(answer.is_ok(), "{answer:?}");
}
