//! A pushed commit becomes a folder that needs nothing else.

use super::*;

#[tokio::test]
async fn a_pushed_commit_is_checked_out_exactly_and_needs_no_mirror() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    git(
        &world.server(&app),
        &["tag", "--annotate", "--message=first", "v1.0"],
    );
    fs::write(world.server(&app).join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(
        world.server(&app).join("run.sh"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let pushed = world.commit(&app, "two", "2");
    world.commit(&app, "three", "the branch went on");

    let into = world.path("checkout");
    let lines = Mutex::new(Vec::new());
    let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let commit = world
        .git
        .checkout(&app, &pushed, &branch("master"), &into, &progress)
        .await
        .unwrap();
    fs::remove_dir_all(world.path("mirrors")).unwrap();
    fs::rename(world.path("server"), world.path("away")).unwrap();

    assert_eq!(commit, pushed);
    assert!(into.join("two").exists() && !into.join("three").exists());
    let mode = fs::metadata(into.join("run.sh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o111, 0o111);
    assert_eq!(git(&into, &["rev-parse", "HEAD"]), pushed.as_str());
    assert_eq!(git(&into, &["symbolic-ref", "HEAD"]), "refs/heads/master");
    assert!(git(&into, &["describe"]).starts_with("v1.0-1-g"));
    assert_eq!(
        git(&into, &["remote", "get-url", "origin"]),
        world.git.url(&app)
    );
    assert_eq!(git(&into, &["status", "--porcelain"]), "");
    assert_eq!(
        git(
            &into,
            &["for-each-ref", "--format=%(refname)", "refs/heads"]
        ),
        "refs/heads/master"
    );
    assert_eq!(
        git(&into, &["config", "branch.master.merge"]),
        "refs/heads/master"
    );
    git(&into, &["fsck", "--strict"]);
    assert!(!into.join(".git/objects/info/alternates").exists());
    let lines = lines.into_inner().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("fetched 2 refs in "), "{lines:?}");
    assert!(lines[1].starts_with("checked out "), "{lines:?}");
}

#[tokio::test]
async fn nothing_is_fetched_for_a_commit_that_is_there() {
    let world = World::new();
    let app = world.repository("acme/app");
    let commit = world.commit(&app, "one", "1");
    world.git.update(&app, SILENT).await.unwrap();
    fs::rename(world.path("server"), world.path("away")).unwrap();
    world
        .git
        .checkout(
            &app,
            &commit,
            &branch("gone/since"),
            &world.path("checkout"),
            SILENT,
        )
        .await
        .unwrap();
    let missing: CommitSha = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = world
        .git
        .checkout(
            &app,
            &missing,
            &branch("master"),
            &world.path("other"),
            SILENT,
        )
        .await
        .unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_pushed_tag_is_known_even_if_its_commit_was_built_before() {
    let world = World::new();
    let app = world.repository("acme/app");
    let commit = world.commit(&app, "one", "1");
    world.git.update(&app, SILENT).await.unwrap();
    git(
        &world.server(&app),
        &["tag", "--annotate", "--message=x", "release/2.0"],
    );
    let object: CommitSha = git(&world.server(&app), &["rev-parse", "release/2.0"])
        .parse()
        .unwrap();
    assert_ne!(object, commit);

    for (name, pushed) in [("by-commit", &commit), ("by-tag", &object)] {
        let into = world.path(name);
        let found = world
            .git
            .checkout(&app, pushed, &tag("release/2.0"), &into, SILENT)
            .await
            .unwrap();
        assert_eq!(found, commit);
        assert_eq!(git(&into, &["describe", "--exact-match"]), "release/2.0");
        assert_eq!(git(&into, &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    }
}

#[tokio::test]
async fn a_commit_that_a_forced_push_replaced_is_built_while_the_server_has_it() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    let replaced = world.commit(&app, "two", "2");
    let server = world.server(&app);
    git(&server, &["reset", "--quiet", "--hard", "HEAD~1"]);
    world.commit(&app, "other", "x");
    let into = world.path("checkout");
    world
        .git
        .checkout(&app, &replaced, &branch("master"), &into, SILENT)
        .await
        .unwrap();
    assert!(into.join("two").exists());

    let other = World::with_url(
        tempfile::tempdir().unwrap(),
        &format!("file://{}", world.path("server").display()),
    );
    git(&server, &["reflog", "expire", "--expire=now", "--all"]);
    git(&server, &["gc", "--quiet", "--prune=now"]);
    let error = other
        .git
        .checkout(
            &app,
            &replaced,
            &branch("master"),
            &other.path("checkout"),
            SILENT,
        )
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "commit {replaced} no longer exists in acme/app, it was probably replaced by a forced push"
        )
    );
}

#[tokio::test]
async fn branches_may_have_slashes_and_signs_and_take_each_others_place() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    let server = world.server(&app);
    for name in ["feature/fix#12", "a=b", "größe", "1.1.0-alpha"] {
        git(&server, &["checkout", "--quiet", "-b", name]);
        let commit = world.commit(&app, "name", name);
        let into = world.path(&name.replace('/', "_"));
        world
            .git
            .checkout(&app, &commit, &branch(name), &into, SILENT)
            .await
            .unwrap();
        assert_eq!(git(&into, &["symbolic-ref", "--short", "HEAD"]), name);
        let upstream = git(&into, &["rev-parse", "--abbrev-ref", "@{upstream}"]);
        assert_eq!(upstream, format!("origin/{name}"));
    }
    // A branch where a folder of branches was.
    git(&server, &["checkout", "--quiet", "master"]);
    git(&server, &["branch", "--quiet", "-D", "feature/fix#12"]);
    git(&server, &["checkout", "--quiet", "-b", "feature"]);
    let commit = world.commit(&app, "name", "feature");
    let into = world.path("feature");
    world
        .git
        .checkout(&app, &commit, &branch("feature"), &into, SILENT)
        .await
        .unwrap();
    // Pruned from the mirror, so no checkout knows it.
    assert!(!git(&into, &["branch", "--remotes"]).contains("fix#12"));
}

#[tokio::test]
async fn submodules_are_there_also_with_relative_urls_and_without_the_server() {
    let world = World::new();
    let library = world.repository("acme/library");
    world.commit(&library, "lib.c", "int x;");
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    let server = world.server(&app);
    git(
        &server,
        &["submodule", "--quiet", "add", "../library", "deps/library"],
    );
    let pushed = world.commit(&app, "two", "2");
    let pinned = world.head(&library);
    world.commit(&library, "later.c", "int y;");

    let into = world.path("checkout");
    world
        .git
        .checkout(&app, &pushed, &branch("master"), &into, SILENT)
        .await
        .unwrap();
    fs::remove_dir_all(world.path("mirrors")).unwrap();
    fs::rename(world.path("server"), world.path("away")).unwrap();
    let moved = world.path("moved");
    fs::rename(&into, &moved).unwrap();
    let submodule = moved.join("deps/library");
    assert!(submodule.join("lib.c").exists() && !submodule.join("later.c").exists());
    assert_eq!(git(&submodule, &["rev-parse", "HEAD"]), pinned.as_str());
    assert_eq!(git(&moved, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_submodule_cannot_run_commands_or_read_this_machine() {
    let world = World::new();
    let app = world.repository("acme/app");
    world.commit(&app, "one", "1");
    let library = world.repository("acme/library");
    let pinned = world.commit(&library, "lib.c", "int x;");
    let witness = world.path("witness");
    // Served over a protocol that is not the machine's own files.
    let https = Git::new(Settings::new("https://git.invalid", world.path("other"))).unwrap();
    assert_eq!(https.shared.protocols, "https");

    for url in [
        format!("ext::sh -c touch% {}", witness.display()),
        format!("--upload-pack=touch {}", witness.display()),
    ] {
        let modules = format!(
            "[submodule \"x\"]\n\tpath = x\n\turl = {url}\n\tupdate = !touch {}\n",
            witness.display()
        );
        let server = world.server(&app);
        fs::write(server.join(".gitmodules"), modules).unwrap();
        git(
            &server,
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("160000,{pinned},x"),
            ],
        );
        git(&server, &["add", ".gitmodules"]);
        git(
            &server,
            &["commit", "--quiet", "--allow-empty", "--message=hostile"],
        );
        let commit = world.head(&app);
        let into = world.path(&format!("into-{commit}"));
        let error = world
            .git
            .checkout(&app, &commit, &branch("master"), &into, SILENT)
            .await
            .unwrap_err();
        assert!(matches!(error, GitError::Failed { .. }), "{error}");
        assert!(!witness.exists());
    }
}

#[tokio::test]
async fn checkouts_of_one_repository_can_be_made_at_once() {
    let world = World::new();
    let app = world.repository("acme/app");
    let first = world.commit(&app, "one", "1");
    let second = world.commit(&app, "two", "2");
    let (one, two) = (world.path("one"), world.path("two"));
    let master = branch("master");
    let (left, right) = tokio::join!(
        world.git.checkout(&app, &first, &master, &one, SILENT),
        world.git.checkout(&app, &second, &master, &two, SILENT),
    );
    left.unwrap();
    right.unwrap();
    assert!(!one.join("two").exists() && two.join("two").exists());
}

/// The actors run these as tasks, on whichever thread is free.
#[tokio::test]
async fn the_futures_can_be_spawned() {
    let world = World::new();
    let app = world.repository("acme/app");
    let commit = world.commit(&app, "one", "1");
    let (git, into) = (world.git.clone(), world.path("checkout"));
    tokio::spawn(async move {
        git.update(&app, &|_| {}).await.unwrap();
        git.checkout(&app, &commit, &branch("master"), &into, &|_| {})
            .await
            .unwrap();
        git.refs(&app).await.unwrap();
        git.is_ancestor(&app, &commit, &commit).await.unwrap();
        git.commits(&app, None, &commit, 20).await.unwrap();
        git.maintain(&app).await.unwrap();
    })
    .await
    .unwrap();
}

/// `cargo test --release warm_checkout -- --ignored --nocapture`
#[tokio::test]
#[ignore = "prints how long a checkout takes with a warm mirror"]
async fn measure_warm_checkout() {
    let world = World::new();
    let app = world.repository("acme/app");
    let mut commit = world.commit(&app, "one", "1");
    for number in 0..200 {
        fs::write(
            world.server(&app).join(format!("file-{number}")),
            vec![b'x'; 5_000],
        )
        .unwrap();
    }
    for number in 0..20 {
        commit = world.commit(&app, "counter", &number.to_string());
        world.git.update(&app, SILENT).await.unwrap();
    }
    let mut times = Vec::new();
    for number in 0..20 {
        let into = world.path(&format!("into-{number}"));
        let since = Instant::now();
        world
            .git
            .checkout(&app, &commit, &branch("master"), &into, SILENT)
            .await
            .unwrap();
        times.push(since.elapsed());
    }
    times.sort();
    println!(
        "20 packs, 200 files: median {:?}, slowest {:?}",
        times[10], times[19]
    );
}
