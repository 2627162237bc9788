//! Mirrors that were left half done, damaged, or large.

use super::*;

#[tokio::test]
async fn what_a_killed_git_left_behind_is_in_nobodys_way() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    world.git.update(&app, SILENT).await.unwrap();
    let mirror = world.mirror(&app);
    let leftovers = [
        "packed-refs.lock",
        "refs/heads/master.lock",
        "config.lock",
        "shallow.lock",
        "gc.pid",
        "objects/pack/tmp_pack_abcdef",
    ];
    for name in leftovers {
        fs::write(mirror.join(name), "").unwrap();
    }
    fs::create_dir_all(mirror.join("objects/tmp_objdir-incoming-x")).unwrap();
    git(&world.server(&app), &["branch", "tmp_branch"]);

    // A service that starts anew over the same folder.
    let git_again = Git::new(world.git.shared.settings.clone()).unwrap();
    let commit = world.commit(&app, "two", "2");
    git_again
        .checkout(
            &app,
            &commit,
            &branch("master"),
            &world.path("checkout"),
            SILENT,
        )
        .await
        .unwrap();
    for name in leftovers {
        assert!(!mirror.join(name).exists(), "{name}");
    }
    assert!(!mirror.join("objects/tmp_objdir-incoming-x").exists());
    assert!(git(&mirror, &["branch"]).contains("tmp_branch"));
}

#[tokio::test]
async fn a_git_that_outlived_the_service_is_waited_for() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    world.git.update(&app, SILENT).await.unwrap();
    // It holds the lock as its standard input, like a fetch whose service was killed.
    let lock = fs::File::options()
        .write(true)
        .open(world.path("mirrors/acme/app.lock"))
        .unwrap();
    // A process that another test starts at this moment may hold a copy of it until it runs.
    lock.lock().unwrap();
    let mut orphan = Command::new("sleep")
        .arg("1000")
        .stdin(lock)
        .spawn()
        .unwrap();

    let git_again = Git::new(world.git.shared.settings.clone()).unwrap();
    let mut update = Box::pin(git_again.update(&app, SILENT));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut update).await;
    assert!(early.is_err(), "it must not work beside another");
    orphan.kill().unwrap();
    orphan.wait().unwrap();
    update.await.unwrap();
}

#[tokio::test]
async fn a_damaged_mirror_is_fetched_again() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    world.git.update(&app, SILENT).await.unwrap();
    let packs = world.mirror(&app).join("objects/pack");
    for entry in fs::read_dir(&packs).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let commit = world.commit(&app, "two", "2");
    let into = world.path("checkout");
    world
        .git
        .checkout(&app, &commit, &branch("master"), &into, SILENT)
        .await
        .unwrap();
    git(&into, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_mirror_that_lost_some_content_is_fetched_again() {
    let world = World::new();
    let app = world.repository("acme/app");
    let commit = world.commit(&app, "one", "only here");
    world.git.update(&app, SILENT).await.unwrap();
    // The commit is found, and what it holds is not: loose objects without the file's.
    let mirror = world.mirror(&app);
    let pack = fs::read_dir(mirror.join("objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pack")
        })
        .unwrap();
    let away = world.path("pack");
    fs::rename(&pack, &away).unwrap();
    fs::remove_dir_all(mirror.join("objects/pack")).unwrap();
    let unpacked = Command::new("git")
        .current_dir(&mirror)
        .args(["unpack-objects", "-q"])
        .stdin(fs::File::open(&away).unwrap())
        .status();
    assert!(unpacked.unwrap().success());
    let blob = git(&mirror, &["rev-parse", &format!("{commit}:one")]);
    fs::remove_file(mirror.join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();

    let into = world.path("checkout");
    let lines = Mutex::new(Vec::new());
    let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
    world
        .git
        .checkout(&app, &commit, &branch("master"), &into, &progress)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(into.join("one")).unwrap(), "only here");
    assert_eq!(
        lines.lock().unwrap()[0],
        crate::adapters::git::mirror::DAMAGED
    );
}

#[tokio::test]
async fn a_name_that_sounds_like_damage_does_not_cost_the_mirror() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    let server = world.server(&app);
    let blob = git(&server, &["rev-parse", "HEAD:one"]);
    // Longer than what a file system takes, so git says it when it fails.
    let name = format!("corrupt{}", "a".repeat(260));
    let entry = format!("100644,{blob},{name}");
    git(&server, &["update-index", "--add", "--cacheinfo", &entry]);
    git(&server, &["commit", "--quiet", "--message=hostile"]);
    let commit = world.head(&app);
    world.git.update(&app, SILENT).await.unwrap();
    let witness = world.mirror(&app).join("witness");
    fs::write(&witness, "").unwrap();
    for attempt in ["one", "two"] {
        let lines = Mutex::new(Vec::new());
        let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let into = world.path(attempt);
        let master = branch("master");
        let checkout = world.git.checkout(&app, &commit, &master, &into, &progress);
        let error = checkout.await.unwrap_err().to_string();
        assert!(error.contains("corruptaaa"), "{error}");
        assert_eq!(lines.into_inner().unwrap(), [""; 0]);
    }
    assert!(witness.exists());
}

#[tokio::test]
async fn a_mirror_with_a_broken_pack_is_fetched_again() {
    let world = World::new();
    let app = world.repository("acme/app");
    let commit = world.commit(&app, "one", &"nothing to compress: 7Gh2kQ ".repeat(3));
    world.git.update(&app, SILENT).await.unwrap();
    let mut files = fs::read_dir(world.mirror(&app).join("objects/pack")).unwrap();
    let pack = files
        .find_map(|file| {
            let path = file.unwrap().path();
            path.extension()
                .is_some_and(|it| it == "pack")
                .then_some(path)
        })
        .unwrap();
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    // All objects, between the header and the checksum.
    let last = bytes.len() - 20;
    bytes[12..last].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&pack, bytes).unwrap();
    let into = world.path("checkout");
    let master = branch("master");
    let checkout = world.git.checkout(&app, &commit, &master, &into, SILENT);
    checkout.await.unwrap();
    git(&into, &["fsck", "--strict"]);
}

fn packs(mirror: &Path) -> usize {
    let files = fs::read_dir(mirror.join("objects/pack")).unwrap();
    let extensions = files.map(|file| file.unwrap().path().extension().map(ToOwned::to_owned));
    extensions.flatten().filter(|it| it == "pack").count()
}

#[tokio::test]
async fn a_mirror_is_tidied_and_still_serves() {
    let world = World::new();
    let app = world.repository("acme/app");
    let mut commit = world.commit(&app, "one", "1");
    for number in 0..25 {
        commit = world.commit(&app, "counter", &number.to_string());
        world.git.update(&app, SILENT).await.unwrap();
    }
    assert!(packs(&world.mirror(&app)) >= 25);
    world.git.maintain(&app).await.unwrap();
    assert!(packs(&world.mirror(&app)) <= 2);
    world
        .git
        .checkout(
            &app,
            &commit,
            &branch("master"),
            &world.path("checkout"),
            SILENT,
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mirror_that_could_not_be_tidied_is_left_alone_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("server").to_str().unwrap().to_owned();
    let mut settings = Settings::new(&url, folder.path().join("mirrors"));
    settings.tidying_timeout = Duration::from_millis(200);
    let git = Git::new(settings).unwrap();
    let world = World { folder, git };
    let app = world.repository("acme/app");
    for number in 0..25 {
        world.commit(&app, "counter", &number.to_string());
        world.git.update(&app, SILENT).await.unwrap();
    }
    // What git reads first does not come.
    let config = world.mirror(&app).join("config");
    fs::rename(&config, world.path("config")).unwrap();
    let made = Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    let error = world.git.maintain(&app).await.unwrap_err();
    assert_eq!(error.to_string(), "git gc took longer than 0.2 s");
    fs::rename(world.path("config"), &config).unwrap();
    world.git.maintain(&app).await.unwrap();
    assert!(packs(&world.mirror(&app)) >= 25);
}

#[tokio::test]
async fn who_waits_for_an_idle_mirror_waits_for_who_works_on_it() {
    let world = World::new();
    let app = world.repository("acme/app");
    let mirror = world.git.mirror(&app);
    let held = world.git.hold(&app, &mirror).await.unwrap();
    let mut idle = std::pin::pin!(world.git.idle(&app));
    assert!(futures_util::poll!(&mut idle).is_pending());
    drop(held);
    idle.await;
}

#[tokio::test]
async fn a_mirror_that_was_removed_is_fetched_again() {
    let world = World::new();
    let repositories = ["acme/app", "acme/lib"].map(|name| world.repository(name));
    assert_eq!(world.git.mirrored().await.unwrap(), []);
    let mut commits = Vec::new();
    for repository in &repositories {
        commits.push(world.commit(repository, "one", "1"));
        world.git.update(repository, SILENT).await.unwrap();
    }
    let mut mirrored = world.git.mirrored().await.unwrap();
    mirrored.sort();
    assert_eq!(mirrored, repositories);

    let [app, lib] = repositories;
    world.git.remove(&app).await.unwrap();
    assert!(!world.mirror(&app).exists());
    assert_eq!(world.git.mirrored().await.unwrap(), [lib]);
    world.git.remove(&app).await.unwrap();
    let into = world.path("checkout");
    let lines = Mutex::new(Vec::new());
    let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
    world
        .git
        .checkout(&app, &commits[0], &branch("master"), &into, &progress)
        .await
        .unwrap();
    let damaged = crate::adapters::git::mirror::DAMAGED.to_owned();
    assert!(!lines.lock().unwrap().contains(&damaged));
    assert_eq!(fs::read_to_string(into.join("one")).unwrap(), "1");
}
