//! The servers that the service needs fail, in the ways that networks and machines do: nobody
//! listens, nothing is answered, half of it, garbage, something without an end, somebody else.
//!
//! Each way is a service of its own with one such server, all at once, since most of it is waiting.
//! What takes longer than a minute to be given up is held by the adapters' own tests.

use faulty::{Fault, Faulty};
use futures_util::future::join_all;
use github_model::Model as GitHub;
use hub_model::Model as Hub;
use serde_json::json;

use crate::support::{
    Engine, GITHUB_TOKEN, Pulled, RECIPE, REDIS_PASSWORD, RESULT, Redis, Registry, Repository,
    Service, story_folder, until,
};

/// The most that the service may take whatever is sent to it, in MiB.
const MOST_MEMORY: u64 = 200;

fn script(does: &str) -> String {
    format!("#!/bin/sh\n{does}\n{RESULT}")
}

/// The most memory that the service ever had, in MiB.
fn peak(service: &Service) -> u64 {
    let status = format!("/proc/{}/status", service.process_id());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

async fn is_met(what: &str, server: &Faulty) {
    until(&format!("{what}: it was met"), async || {
        (server.met() > 0).then_some(())
    })
    .await;
}

// ---- GitHub's API

#[tokio::test]
async fn whatever_github_does_no_build_waits_and_the_status_is_right_in_the_end() {
    let elsewhere = Faulty::alone();
    let rows = [
        (Fault::refuses(), "cannot be reached: Connection refused"),
        (Fault::passes(100).resets(), "cannot be reached: "),
        (Fault::passes(100), "cannot be reached: "),
        (Fault::garbage(), "cannot be reached: "),
        (Fault::page(), "is not understood: its status is 200 OK"),
        (
            Fault::endless("application/json", " "),
            "is not understood: its status is 200 OK",
        ),
        (Fault::redirects(&elsewhere.url()), "another server"),
        // Given up after half a minute, which nothing here waits for.
        (Fault::silent(), ""),
        (Fault::begins("application/json", "{"), ""),
    ];
    join_all(rows.map(|(fault, problem)| github_fails(fault, problem))).await;
    assert_eq!(elsewhere.met(), 0, "a credential is for one server");
}

async fn github_fails(fault: Fault, problem: &str) {
    let what = format!("{fault:?}");
    let folder = story_folder();
    let github = GitHub::start(&folder.path().join("git")).await;
    github.token(GITHUB_TOKEN).all();
    let proxy = Faulty::before_url(&github.url());
    let settings = json!({"github": {"api_url": proxy.url(), "token": GITHUB_TOKEN}});
    let service = Service::start_in(folder, settings);
    let app = service.tracked_on(&github, "acme/app").await;

    let refuses = problem.contains("refused");
    proxy.fail(fault);
    let build = service.push_script(&app, &script("true")).await;
    service.wait_for(&build, "succeeded").await;
    if !refuses {
        is_met(&what, &proxy).await;
    }
    if !problem.is_empty() {
        until(&format!("{what}: the build says {problem:?}"), async || {
            let status = service.build(&build).await["status"].clone();
            status["problem"].as_str()?.contains(problem).then_some(())
        })
        .await;
    }
    proxy.heal();
    until(&format!("{what}: GitHub shows it"), async || {
        let shown = github.status("acme/app", &app.head(), "autobuilder/build.sh")?;
        (shown.state == "success").then_some(())
    })
    .await;
    assert!(
        peak(&service) < MOST_MEMORY,
        "{what}: {} MiB",
        peak(&service)
    );
    assert!(!service.own_log().contains(GITHUB_TOKEN), "{what}");
}

// ---- Git

#[tokio::test]
async fn whatever_the_git_server_does_its_builds_say_so_and_others_go_on() {
    let folder = story_folder();
    let github = GitHub::start(&folder.path().join("git")).await;
    github.token(GITHUB_TOKEN).all();
    let (proxy, elsewhere) = (Faulty::before_url(&github.url()), Faulty::alone());
    elsewhere.fail(Fault::page());
    let settings = json!({
        "github": {"api_url": github.url(), "git_url": proxy.url(), "token": GITHUB_TOKEN},
        "builds": {"concurrency": 20},
    });
    let service = Service::start_in(folder, settings);

    // Amid a pack, as that is most of what is sent.
    const AMID: usize = 50_000;
    let advertisement = "application/x-git-upload-pack-advertisement";
    let ends = [
        ("reset", Fault::passes(AMID).resets()),
        ("half", Fault::passes(AMID)),
        ("garbage", Fault::garbage()),
        ("page", Fault::page()),
        (
            "nonsense",
            Fault::http("200 OK", advertisement, "001enothing that git knows\n0000"),
        ),
        (
            "broken",
            Fault::http("502 Bad Gateway", "text/plain", "later"),
        ),
        ("elsewhere", Fault::redirects(&elsewhere.url())),
    ];
    let hangs = [
        ("silent", Fault::silent()),
        ("amid", Fault::passes(AMID).hangs()),
    ];
    let noise = noise(200_000);
    let begin = async |name: &str| {
        let app = service.repository(&format!("acme/{name}"));
        github.repository(&app.name).await;
        service.configure(&app.name, "main", RECIPE).await;
        app.commit(&[
            ("noise", &noise),
            ("build.sh", &script(&format!("echo {name}"))),
        ]);
        app
    };
    let well = begin("well").await;
    let mut fail = Vec::new();
    for (name, _) in ends.iter().chain(&hangs) {
        fail.push((*name, begin(name).await));
    }
    until("all are known", async || {
        let mut all = fail.iter().map(|(_, app)| app);
        all.all(|app| service.has_seen(app)).then_some(())
    })
    .await;
    let faults = ends.iter().chain(&hangs).cloned();
    let of = |name: &str| format!("acme/{name}/");
    proxy.fail_where(faults.map(|(name, fault)| (of(name), fault)));

    let mut builds = Vec::new();
    for (name, app) in &fail {
        builds.push((*name, service.pushed(&app.push("main")).await));
    }
    let other = service.pushed(&well.push("main")).await;
    service.wait_for(&other, "succeeded").await;
    let (hanging, ended): (Vec<_>, Vec<_>) = builds
        .iter()
        .partition(|(name, _)| hangs.iter().any(|(hangs, _)| hangs == name));
    for (name, build) in &ended {
        let ended = service.wait_for(build, "errored").await;
        let reason = ended["reason"].as_str().unwrap();
        let url = format!("{}/acme/{name}", proxy.url());
        assert!(reason.contains(&url), "{name}: {reason}");
        assert!(!reason.contains(GITHUB_TOKEN), "{name}: {reason}");
        assert!(proxy.met_where(&of(name)) > 0, "{name}: it was met");
    }
    assert!(elsewhere.met() > 0);
    for (name, build) in &hanging {
        until(&format!("{name}: it is met"), async || {
            (proxy.met_where(&of(name)) > 0).then_some(())
        })
        .await;
        assert_eq!(service.state(build).await, "preparing", "{name}");
    }

    proxy.heal();
    for (_, build) in &hanging {
        service.wait_for(build, "succeeded").await;
    }
    for (_, build) in &ended {
        let again = service.rebuild(build).await;
        service.wait_for(&again, "succeeded").await;
    }

    // Away altogether.
    proxy.fail(Fault::refuses());
    well.commit(&[("more", "")]);
    let build = service.pushed(&well.push("main")).await;
    let ended = service.wait_for(&build, "errored").await;
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("cannot be reached"), "{reason}");
    assert_eq!(service.get("/readyz").await.status, 200);
    proxy.heal();
    let again = service.rebuild(&build).await;
    service.wait_for(&again, "succeeded").await;
}

/// Text that no compression makes small.
fn noise(length: usize) -> String {
    let mut bytes = vec![0; length / 2];
    getrandom::fill(&mut bytes).unwrap();
    hex::encode(bytes)
}

// ---- The hub and the bootstrap server

const HUB_TOKEN: &str = "token-of-the-hub";
const BOOT_TOKEN: &str = "token-of-the-bootstrap-server";

/// What becomes of a build whose upload meets a fault.
#[derive(Clone, Copy)]
enum Upload {
    /// It says this, and tries again.
    Waits(&'static str),
    /// It ends, and says this.
    Ends(&'static str),
    /// The answer may come any minute.
    Hangs,
}

use Upload::{Ends, Hangs, Waits};

fn uploads(elsewhere: &Faulty) -> [(Fault, Upload); 9] {
    [
        (
            Fault::refuses(),
            Waits("gave no answer: Connection refused"),
        ),
        (Fault::says("").resets(), Waits("gave no answer: ")),
        (Fault::passes(60).resets(), Waits("gave no answer: ")),
        (Fault::garbage(), Waits("gave no answer: ")),
        (
            Fault::page(),
            Ends("gives an answer that is not understood, 200 OK: <html>"),
        ),
        (
            Fault::endless("application/json", " "),
            Ends("gives an answer of more than 1048576 bytes"),
        ),
        (
            Fault::redirects(&elsewhere.url()),
            Ends("redirects to http://"),
        ),
        (Fault::silent(), Hangs),
        (Fault::begins("application/json", "{"), Hangs),
    ]
}

#[tokio::test]
async fn whatever_the_hub_does_a_flist_is_there_in_the_end_or_the_build_says_why() {
    let elsewhere = Faulty::alone();
    let rows = uploads(&elsewhere);
    join_all(rows.map(async |(fault, upload)| {
        let hub = Hub::start();
        hub.accept(HUB_TOKEN);
        let proxy = Faulty::before_url(&hub.url());
        let service = Service::start_with(json!({
            "hub": {"url": proxy.url(), "username": "acme-org", "token": HUB_TOKEN},
        }));
        let app = service.tracked("acme/app").await;
        let script = "#!/bin/sh\necho one > file\ntar -czf /target/result.tar.gz file\n";
        app.commit(&[("build.sh", script)]);
        upload_fails(&service, &app, &proxy, fault, upload, "the hub").await;
        let flist = format!("acme-app-main-{}.flist", &app.head()[..10]);
        assert_eq!(hub.link("acme-org", "acme-app-main.flist"), Some(flist));
    }))
    .await;
    assert_eq!(elsewhere.met(), 0, "a token is for one server");
}

#[tokio::test]
async fn whatever_the_bootstrap_server_does_a_kernel_is_there_in_the_end_or_the_build_says_why() {
    let elsewhere = Faulty::alone();
    // By the code that uploads to the hub, so not each of them again.
    let rows = uploads(&elsewhere).into_iter().step_by(2);
    join_all(rows.map(async |(fault, upload)| {
        let boot = Hub::start();
        boot.accept(BOOT_TOKEN);
        let proxy = Faulty::before_url(&boot.url());
        let service = Service::start_with(json!({"kernels": {
            "directory": "./kernels",
            "bootstrap": {"url": proxy.url(), "token": BOOT_TOKEN},
            "repositories": {"acme/kernel": {"script": "build.sh"}},
        }}));
        let kernel = service.repository("acme/kernel");
        let script = "#!/bin/sh\necho a kernel > /target/vmlinuz.efi\n";
        kernel.commit(&[("build.sh", script)]);
        upload_fails(
            &service,
            &kernel,
            &proxy,
            fault,
            upload,
            "the bootstrap server",
        )
        .await;
        let file = format!("zero-os-main-generic-{}.efi", &kernel.head()[..10]);
        assert_eq!(boot.symlink("zero-os-main-generic.efi"), Some(file));
    }))
    .await;
    assert_eq!(elsewhere.met(), 0, "a token is for one server");
}

async fn upload_fails(
    service: &Service,
    repository: &Repository,
    proxy: &Faulty,
    fault: Fault,
    upload: Upload,
    server: &str,
) {
    let what = format!("{server}, {fault:?}");
    proxy.fail(fault);
    let build = service.pushed(&repository.push("main")).await;
    let build = match upload {
        Waits(problem) => {
            let line = format!("failed: {server} {problem}");
            service.wait_for_log(&build, &line).await;
            service
                .wait_for_log(&build, "; it is tried again in 2 s")
                .await;
            proxy.heal();
            build
        }
        Ends(problem) => {
            let ended = service.wait_for(&build, "errored").await;
            let reason = ended["reason"].as_str().unwrap();
            assert!(reason.starts_with("cannot publish "), "{what}: {reason}");
            assert!(
                reason.contains(&format!("{server} {problem}")),
                "{what}: {reason}"
            );
            proxy.heal();
            service.rebuild(&build).await
        }
        Hangs => {
            is_met(&what, proxy).await;
            assert_eq!(service.state(&build).await, "publishing", "{what}");
            assert_eq!(service.get("/readyz").await.status, 200, "{what}");
            proxy.heal();
            build
        }
    };
    service.wait_for(&build, "succeeded").await;
    assert!(peak(service) < MOST_MEMORY, "{what}: {} MiB", peak(service));
    let mut shown = service.own_log();
    for build in service.builds().await {
        shown.push_str(&build.to_string());
        shown.push_str(&service.log(build["id"].as_str().unwrap()).await);
    }
    for token in [HUB_TOKEN, BOOT_TOKEN] {
        assert!(!shown.contains(token), "{what}");
    }
}

// ---- Redis

#[tokio::test]
async fn whatever_redis_does_builds_go_on_and_it_hears_of_them_again() {
    let rows = [
        Fault::refuses(),
        Fault::silent(),
        Fault::says("").resets(),
        Fault::passes(10).resets(),
        Fault::garbage(),
        Fault::page(),
        // Yes to whatever is asked.
        Fault::says("+OK\r\n".repeat(1000)).hangs(),
    ];
    join_all(rows.map(redis_fails)).await;
}

async fn redis_fails(fault: Fault) {
    let what = format!("{fault:?}");
    let redis = Redis::start();
    let proxy = Faulty::before(redis.address());
    let url = format!("redis://:{REDIS_PASSWORD}@{}", proxy.address());
    proxy.fail(fault);
    let service = Service::start_with(json!({"redis": {"url": url, "legacy_topics": true}}));
    let app = service.tracked("acme/app").await;
    let build = service.push_script(&app, &script("true")).await;
    service.wait_for(&build, "succeeded").await;
    let said = |words: &str| service.own_log().matches(words).count();
    until(&format!("{what}: it is noticed"), async || {
        (said("redis does not take the legacy topics") == 1).then_some(())
    })
    .await;
    assert_eq!(service.get("/readyz").await.status, 200, "{what}");
    let mut gateway = redis.subscribe().await;
    proxy.heal();
    gateway
        .until(|topic, history| {
            topic == "autobuilder-history" && history[0]["id"] == build.as_str()
        })
        .await;
    assert!(
        peak(&service) < MOST_MEMORY,
        "{what}: {} MiB",
        peak(&service)
    );
    assert!(!service.own_log().contains(REDIS_PASSWORD), "{what}");
}

// ---- A registry

/// Not among them is an answer without an end, which Docker 20.10 keeps in its memory.
#[tokio::test]
async fn whatever_a_registry_does_the_build_names_it_and_the_next_one_pulls() {
    let elsewhere = Faulty::alone();
    elsewhere.fail(Fault::page());
    let registry = Registry::start(&noise(3_000_000));
    let service = Service::start_with(json!({"builds": {"concurrency": 20}}));
    let rows = [
        // Amid a layer, with which Docker goes on five seconds later. The first, and one only: what
        // any pull has fetched, the others have.
        (Fault::passes(1_000_000).resets(), ""),
        (Fault::refuses(), "cannot be reached: connection refused"),
        (
            Fault::says("").resets(),
            "cannot be reached: connection reset by peer",
        ),
        (Fault::garbage(), "gives an answer that is not understood: "),
        (Fault::page(), "gives an answer that is not understood: "),
        (
            Fault::http("503 Service Unavailable", "text/plain", "later"),
            "cannot be reached: ",
        ),
        (
            Fault::redirects(&elsewhere.url()),
            "gives an answer that is not understood: ",
        ),
    ];
    let mut pulled = Vec::new();
    let mut builds = Vec::new();
    for (number, (fault, problem)) in rows.into_iter().enumerate() {
        let proxy = Faulty::before(registry.address());
        let what = format!("{fault:?}");
        proxy.fail(fault);
        let image = Pulled(registry.image(proxy.address()));
        let app = service.repository(&format!("acme/app-{number}"));
        let recipe = format!("{RECIPE}  baseimage: {}\n", image.0);
        service.configure(&app.name, "main", &recipe).await;
        let build = service.push_script(&app, &script("test -e /layer")).await;
        pulled.push(image);
        builds.push((what, proxy, problem, build));
    }
    for (what, proxy, problem, build) in &builds {
        if problem.is_empty() {
            is_met(what, proxy).await;
            proxy.heal();
            service.wait_for(build, "succeeded").await;
            continue;
        }
        let ended = service.wait_for(build, "errored").await;
        let reason = ended["reason"].as_str().unwrap();
        let image = registry.image(proxy.address());
        let expected = format!("image {image}: {} {problem}", proxy.address());
        assert!(reason.starts_with(&expected), "{what}: {reason}");
        proxy.heal();
        let again = service.rebuild(build).await;
        service.wait_for(&again, "succeeded").await;
    }
}

// ---- Docker

#[tokio::test]
async fn whatever_docker_does_new_builds_wait_and_say_for_what() {
    let engine = Engine::start().await;
    engine.take_image("autobuilder/busybox:test");
    let rows = [
        (Fault::refuses(), "docker does not answer: "),
        (Fault::silent(), "docker did not "),
        (Fault::begins("application/json", "{"), "docker did not "),
        (Fault::says("").resets(), "docker does not answer: "),
        (Fault::garbage(), "docker does not answer: "),
        (Fault::page(), "docker's answer makes no sense: "),
    ];
    join_all(rows.map(|(fault, problem)| docker_fails(&engine, fault, problem))).await;
}

async fn docker_fails(engine: &Engine, fault: Fault, problem: &str) {
    let what = format!("{fault:?}");
    let proxy = Faulty::before_url(&engine.host);
    let host = proxy.url().replace("http://", "tcp://");
    let service = Service::start_with(json!({"docker": {"host": host, "network": "none"}}));
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let hold = script("echo holding; until [ -e /released ]; do sleep 0.1; done; echo through");
    let running = service.push_script(&app, &hold).await;
    service.wait_for_log(&running, "holding").await;

    proxy.fail(fault);
    until(&format!("{what}: it is not ready"), async || {
        let ready = service.get("/readyz").await;
        (ready.status == 503 && ready.text.contains(problem)).then_some(())
    })
    .await;
    let waiting = service.push_script(&other, &script("true")).await;
    until(&format!("{what}: it waits"), async || {
        let waiting = service.build(&waiting).await["waiting"].clone();
        let says = format!("waits for Docker: {problem}");
        waiting.as_str()?.starts_with(&says).then_some(())
    })
    .await;
    proxy.heal();
    let ended = service.wait_for(&waiting, "succeeded").await;
    assert_eq!(ended["attempt"], 1, "{what}");
    engine.docker(&[
        "exec",
        &service.container_of(&running),
        "touch",
        "/released",
    ]);
    let ended = service.wait_for(&running, "succeeded").await;
    assert_eq!(ended["attempt"], 1, "{what}: what runs goes on");
    assert!(
        peak(&service) < MOST_MEMORY,
        "{what}: {} MiB",
        peak(&service)
    );
}
