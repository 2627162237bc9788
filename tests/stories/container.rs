//! What a script finds in its container, and what the container is to the machine.

use serde_json::json;

use crate::support::git as git_in;
use crate::support::{
    Delivery, HOLD, RESULT, Service, docker, docker_answers, inspect, script_output, until,
};

#[tokio::test]
async fn a_script_finds_what_it_was_promised() {
    let service = Service::start_with(json!({
        "builds": {"environment": {"OF_THE_SERVICE": "one", "BOTH": "service"}},
    }));
    let app = service.repository("acme/app");
    service
        .configure(
            "acme/app",
            "feature/x",
            "
buildscripts: [autobuild/show.sh]
autobuild/show.sh:
  artifact: result.tar.gz
  archives: /tmp/archives
  tag: special
  environment: {OF_THE_RECIPE: two, BOTH: recipe}
",
        )
        .await;
    app.commit(&[(
        "autobuild/show.sh",
        r#"#!/bin/sh
for name in CI AUTOBUILDER AUTOBUILDER_BUILD AUTOBUILDER_REPOSITORY AUTOBUILDER_BRANCH \
    AUTOBUILDER_COMMIT AUTOBUILDER_REF AUTOBUILDER_TAG AUTOBUILDER_SCRIPT AUTOBUILDER_ARCHIVES \
    AUTOBUILDER_ARTIFACT OF_THE_SERVICE OF_THE_RECIPE BOTH; do
    eval "echo $name=\$$name"
done
echo "in $(pwd), executed as $0"
[ "$(stat -c %u /proc/self)" = 0 ] && echo "as root"
[ -t 0 ] || [ -t 1 ] || echo "without a tty"
[ -z "$(ls -A /tmp/archives)" ] && echo "the folder for artifacts is empty"
cat .git/HEAD
echo kept > /tmp/archives/result.tar.gz
"#,
    )]);
    let push = app.push("feature/x");
    let build = service.pushed(&push).await;
    service.wait_for(&build, "succeeded").await;

    let commit = &push.commit;
    let expected = format!(
        "CI=true
AUTOBUILDER=true
AUTOBUILDER_BUILD={build}
AUTOBUILDER_REPOSITORY=acme/app
AUTOBUILDER_BRANCH=feature/x
AUTOBUILDER_COMMIT={commit}
AUTOBUILDER_REF=refs/heads/feature/x
AUTOBUILDER_TAG=special
AUTOBUILDER_SCRIPT=autobuild/show.sh
AUTOBUILDER_ARCHIVES=/tmp/archives
AUTOBUILDER_ARTIFACT=result.tar.gz
OF_THE_SERVICE=one
OF_THE_RECIPE=two
BOTH=recipe
in /app, executed as ./autobuild/show.sh
as root
without a tty
the folder for artifacts is empty
"
    );
    let output = script_output(&service.log(&build).await);
    let (promised, head) = output.split_at(expected.len().min(output.len()));
    assert_eq!(promised, expected);
    // HEAD is the commit itself, or the branch of that name.
    assert!(
        [
            format!("{commit}\n"),
            "ref: refs/heads/feature/x\n".to_owned()
        ]
        .contains(&head.to_owned()),
        "{head}"
    );
}

#[tokio::test]
async fn git_in_the_container_knows_the_commit_and_its_tags() {
    let service =
        Service::start_with(json!({"docker": {"default_image": "autobuilder/debian:12"}}));
    let app = service.tracked("acme/app").await;
    app.commit(&[("README", "first")]);
    service
        .deliver(&Delivery::of(&app.push_tag("v1.2.0")))
        .await;
    // Debian's image has no git of its own: what git would read is looked at instead, and git
    // itself is asked outside, on a copy of that .git that has nothing else to lean on.
    let build = service
        .push_script(&app, "#!/bin/sh\ntest ! -e .git/objects/info/alternates\ntar -cf /target/result.tar.gz .git\n")
        .await;
    service.wait_for(&build, "succeeded").await;

    let archive = service
        .get(&format!("/api/v1/builds/{build}/artifacts/result.tar.gz"))
        .await
        .bytes;
    let folder = service.path("copy");
    tar::Archive::new(&archive[..]).unpack(&folder).unwrap();
    std::fs::remove_dir_all(service.path("data/mirrors")).unwrap();
    let git = |arguments: &[&str]| git_in(&folder, arguments);
    assert_eq!(git(&["rev-parse", "HEAD"]), app.head());
    assert_eq!(
        git(&["describe", "--tags"]),
        format!("v1.2.0-1-g{}", &app.head()[..7])
    );
    git(&["fsck", "--full"]);
    assert_eq!(git(&["log", "--format=%s"]), "A change\nA change");
}

#[tokio::test]
async fn a_container_is_labelled_limited_and_holds_no_folder_of_the_host() {
    let service = Service::start_with(json!({
        "docker": {"cap_add": ["SYS_ADMIN"], "extra_hosts": {"mirror.example": "127.0.0.9"}},
    }));
    let app = service.repository("acme/app");
    service
        .configure(
            "acme/app",
            "main",
            "
buildscripts: [build.sh]
build.sh: {artifact: result.tar.gz, memory: 64MiB, cpus: 0.5}
",
        )
        .await;
    let build = service
        .push_script(&app, &format!("#!/bin/sh\ncat /etc/hosts\n{HOLD}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;

    let container = inspect(&service.container_of(&build));
    let labels = &container["Config"]["Labels"];
    assert_eq!(labels["autobuilder.build"], build.as_str());
    assert_eq!(labels["autobuilder.instance"], service.instance());
    let host = &container["HostConfig"];
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemorySwap"], 64 << 20);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["PidsLimit"], 200);
    assert_eq!(
        (&host["Privileged"], &host["CapAdd"]),
        (&json!(false), &json!(["SYS_ADMIN"]))
    );
    assert!(host["Binds"].is_null(), "{}", host["Binds"]);
    assert!(container["Config"]["Volumes"].is_null());
    let mounts = container["Mounts"].as_array().unwrap();
    assert!(
        mounts.iter().all(|mount| mount["Type"] == "volume"),
        "{mounts:?}"
    );
    let volumes: Vec<&str> = mounts
        .iter()
        .map(|mount| mount["Name"].as_str().unwrap())
        .collect();
    assert_eq!(volumes.len(), 2);

    service.release(&build);
    service.wait_for(&build, "succeeded").await;
    assert!(script_output(&service.log(&build).await).contains("127.0.0.9\tmirror.example"));
    until("the container and its volumes are gone", async || {
        let gone = |volume: &&str| !docker_answers(&["volume", "inspect", volume]);
        volumes.iter().all(gone).then_some(())
    })
    .await;
}

/// What a script finds of its own rights, and of the machine.
const RIGHTS: &str = r#"#!/bin/sh
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
ls /dev | paste -s -d ' '
find / -xdev -type b -o -xdev -type s -o -name 'docker.sock*'
mknod /tmp/disk b 254 0 && dd if=/tmp/disk count=1 2>&1
ping -c 1 127.0.0.1 2>&1 >/dev/null
echo done > /target/result.tar.gz
"#;

#[tokio::test]
async fn a_script_has_no_rights_beyond_those_that_are_configured() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, RIGHTS).await;
    service.wait_for(&build, "succeeded").await;
    // Docker's own fourteen capabilities without NET_RAW (0x2000); 2: system calls are filtered.
    // MKNOD is among them and makes no disk readable.
    let expected = "\
CapEff:\t00000000a80405fb
CapBnd:\t00000000a80405fb
NoNewPrivs:\t1
Seccomp:\t2
fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero
dd: can't open '/tmp/disk': Operation not permitted
ping: permission denied (are you root?)
";
    assert_eq!(script_output(&service.log(&build).await), expected);
    drop(service);

    let service = Service::start_with(json!({
        "docker": {"cap_add": ["SYS_ADMIN"], "cap_drop": ["MKNOD", "NET_RAW"]},
    }));
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, RIGHTS).await;
    service.wait_for(&build, "succeeded").await;
    let output = script_output(&service.log(&build).await);
    assert!(
        output.starts_with("CapEff:\t00000000a02405fb\n"),
        "{output}"
    );
    assert!(output.contains("NoNewPrivs:\t1\nSeccomp:\t2\n"), "{output}");
}

#[tokio::test]
async fn builds_that_run_at_the_same_time_cannot_reach_each_other() {
    let service = Service::start();
    let script =
        format!("#!/bin/sh\necho reached > /tmp/index.html\nhttpd -p 8080 -h /tmp\n{HOLD}{RESULT}");
    let mut builds = Vec::new();
    for name in ["acme/app", "acme/other"] {
        let repository = service.tracked(name).await;
        builds.push(service.push_script(&repository, &script).await);
    }
    let mut networks = Vec::new();
    for build in &builds {
        service.wait_for_log(build, "holding").await;
        let all = &inspect(&service.container_of(build))["NetworkSettings"]["Networks"];
        let network = all.as_object().unwrap().values().next().unwrap();
        let of = |key: &str| network[key].as_str().unwrap().to_owned();
        networks.push((of("IPAddress"), of("Gateway")));
    }
    // Something outside of their network: the test itself, at an address that only containers see.
    let outside = tokio::net::TcpListener::bind((networks[0].1.as_str(), 0))
        .await
        .unwrap();
    let outside_port = outside.local_addr().unwrap().port();

    let first = service.container_of(&builds[0]);
    // busybox's static wget needs a C library that it does not have.
    let fetches = |address: &str| {
        let request =
            format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 8080 | grep reached");
        docker_answers(&["exec", &first, "sh", "-c", &request])
    };
    assert!(fetches(&networks[0].0), "its own server answers");
    assert!(!fetches(&networks[1].0), "one build reaches the other");
    let (gateway, port) = (networks[0].1.clone(), outside_port.to_string());
    let dials = tokio::task::spawn_blocking(move || {
        docker_answers(&[
            "exec", &first, "nc", "-w", "5", &gateway, &port, "-e", "true",
        ])
    });
    tokio::time::timeout(std::time::Duration::from_secs(20), outside.accept())
        .await
        .expect("what is outside of the network is reached")
        .unwrap();
    dials.await.unwrap();
    for build in &builds {
        service.release(build);
        service.wait_for(build, "succeeded").await;
    }
}

/// An image that is made for one story.
struct Image(String);

impl Image {
    /// One that would do everything wrong if it had its way: it ends at once, as another user,
    /// never healthy, and brings an artifact of its own.
    fn wilful(service: &Service) -> Self {
        let image = Self(format!("{}wilful", service.container_prefix()));
        let maker = format!("{}maker", service.container_prefix());
        docker(&[
            "create",
            "--name",
            &maker,
            "autobuilder/busybox:test",
            "true",
        ]);
        let target = service.path("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("result.tar.gz"), "stale").unwrap();
        docker(&["cp", target.to_str().unwrap(), &format!("{maker}:/")]);
        let mut commit = vec!["commit"];
        for change in [
            r#"ENTRYPOINT ["/bin/echo", "the entrypoint ran"]"#,
            r#"CMD ["the command"]"#,
            "HEALTHCHECK --interval=1s CMD false",
            "VOLUME /target",
            "USER 1000",
            "WORKDIR /tmp",
        ] {
            commit.extend(["--change", change]);
        }
        commit.extend([maker.as_str(), image.0.as_str()]);
        docker(&commit);
        docker(&["rm", &maker]);
        image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker_answers(&["rmi", "--force", &self.0]);
    }
}

#[tokio::test]
async fn an_images_own_wishes_are_put_aside() {
    let service = Service::start();
    let image = Image::wilful(&service);
    let app = service.repository("acme/app");
    let recipe = format!(
        "buildscripts: [build.sh]\nbuild.sh: {{artifact: result.tar.gz, baseimage: {}}}\n",
        image.0
    );
    service.configure("acme/app", "main", &recipe).await;

    let script = format!("#!/bin/sh\npwd\nstat -c %u /proc/self\nls /target\n{HOLD}{RESULT}");
    let build = service.push_script(&app, &script).await;
    service.wait_for_log(&build, "holding").await;
    let container = inspect(&service.container_of(&build));
    assert!(
        container["State"]["Health"].is_null(),
        "{}",
        container["State"]
    );
    service.release(&build);
    let ended = service.wait_for(&build, "succeeded").await;
    assert_eq!(ended["image"], image.0.as_str());
    assert_eq!(
        script_output(&service.log(&build).await),
        "/app\n0\nholding\n"
    );

    // What lies in the image is not what the script has made.
    let build = service
        .push_script(&app, "#!/bin/sh\necho nothing made\n")
        .await;
    service.wait_for(&build, "failed").await;
    until("its containers let go of the image", async || {
        docker_answers(&["rmi", &image.0]).then_some(())
    })
    .await;
}
