//! Stories with real git: servers are repositories in temporary folders, reached by path and by
//! `file://`, and sockets that never answer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

const SILENT: Progress<'static> = &|_| {};

/// A server with repositories at `<folder>/server/<owner>/<name>`, and a service beside it.
struct World {
    folder: TempDir,
    git: Git,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("server").to_str().unwrap().to_owned();
        Self::with_url(folder, &url)
    }

    fn with_url(folder: TempDir, url: &str) -> Self {
        let mut settings = Settings::new(url, folder.path().join("mirrors"));
        settings.retry_after = Duration::from_millis(1);
        let git = Git::new(settings).unwrap();
        Self { folder, git }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, repository: &RepositoryName) -> PathBuf {
        self.path("server").join(repository.as_str())
    }

    fn mirror(&self, repository: &RepositoryName) -> PathBuf {
        self.path("mirrors").join(format!("{repository}.git"))
    }

    fn repository(&self, name: &str) -> RepositoryName {
        let repository: RepositoryName = name.parse().unwrap();
        let folder = self.server(&repository);
        fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet", "--initial-branch=master"]);
        repository
    }

    /// Commits a file on the branch that is checked out on the server.
    fn commit(&self, repository: &RepositoryName, file: &str, content: &str) -> CommitSha {
        let folder = self.server(repository);
        fs::write(folder.join(file), content).unwrap();
        git(&folder, &["add", "--all"]);
        git(
            &folder,
            &["commit", "--quiet", "--message", &format!("add {file}")],
        );
        self.head(repository)
    }

    fn head(&self, repository: &RepositoryName) -> CommitSha {
        git(&self.server(repository), &["rev-parse", "HEAD"])
            .parse()
            .unwrap()
    }
}

/// Runs git as a developer would, with a configuration of its own.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=A Developer",
            "-c",
            "user.email=dev@example.org",
        ])
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .args(arguments)
        .env_remove("GIT_DIR")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn branch(name: &str) -> GitRef {
    GitRef::Branch(name.parse().unwrap())
}

fn tag(name: &str) -> GitRef {
    GitRef::Tag(name.parse().unwrap())
}

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
    assert_eq!(https.shared.protocols, "https:ssh");

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
    lock.try_lock().unwrap();
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
async fn a_server_that_never_answers_is_given_up_and_no_process_stays() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["git", "http"] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mut settings = Settings::new(&url, folder.path().join("mirrors"));
        settings.network_timeout = Duration::from_millis(500);
        settings.retry_after = Duration::from_millis(1);
        settings.attempts = 2;
        let git = Git::new(settings).unwrap();
        let app: RepositoryName = "acme/app".parse().unwrap();
        let since = Instant::now();
        let lines = Mutex::new(Vec::new());
        let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let error = git.update(&app, &progress).await.unwrap_err();
        assert_eq!(error.to_string(), "git fetch took longer than 0.5 s");
        assert!(since.elapsed() < Duration::from_secs(10));
        assert_eq!(
            *lines.lock().unwrap(),
            ["git fetch took longer than 0.5 s; trying again in 0.001 s"]
        );
        wait_until_nobody_mentions(&url).await;

        // Nobody waits for it any more.
        let waiting = tokio::time::timeout(Duration::from_millis(200), git.heads(&app));
        assert!(waiting.await.is_err());
        wait_until_nobody_mentions(&url).await;
    }
}

/// Waits until no process has this text among its arguments.
async fn wait_until_nobody_mentions(text: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|arguments| String::from_utf8_lossy(&arguments).contains(text))
        });
        if !found {
            return;
        }
        assert!(Instant::now() < deadline, "a process is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = World::with_url(folder, &url);
    let error = world
        .git
        .update(&"acme/app".parse().unwrap(), SILENT)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn the_server_is_shown_the_credential_and_nobody_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = World::with_url(
        tempfile::tempdir().unwrap(),
        &format!("http://user:pass@{address}/base/"),
    );
    let app: RepositoryName = "acme/app".parse().unwrap();
    assert_eq!(
        world.git.url(&app),
        format!("http://{address}/base/acme/app")
    );
    assert_eq!(
        world.git.credential(),
        Some(Credential::basic("user", "pass"))
    );
    world
        .git
        .set_credential(Some(Credential::basic("x-access-token", "t0ken")));
    assert!(
        !format!("{:?}", world.git).contains(&Credential::basic("x-access-token", "t0ken").header)
    );

    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        connection
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let (request, result) = tokio::join!(server, world.git.heads(&app));
    assert!(
        request.contains(&Credential::basic("x-access-token", "t0ken").header),
        "{request}"
    );
    let error = result.unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("t0ken"));
}

#[tokio::test]
async fn heads_and_the_default_branch_are_read_from_the_server() {
    let world = World::new();
    let app = world.repository("acme/app");
    assert_eq!(world.git.heads(&app).await.unwrap(), []);
    let commit = world.commit(&app, "one", "1");
    let server = world.server(&app);
    git(&server, &["tag", "--annotate", "--message=x", "v1"]);
    git(&server, &["branch", "x/master"]);
    let object: CommitSha = git(&server, &["rev-parse", "v1"]).parse().unwrap();
    let head = |git_ref, object: &CommitSha| Head {
        git_ref,
        object: object.clone(),
        commit: commit.clone(),
    };
    assert_eq!(
        world.git.heads(&app).await.unwrap(),
        [
            head(branch("master"), &commit),
            head(branch("x/master"), &commit),
            head(tag("v1"), &object)
        ]
    );
    let master: BranchName = "master".parse().unwrap();
    assert_eq!(
        world.git.head_of(&app, &master).await.unwrap(),
        Some(commit)
    );
    assert_eq!(
        world
            .git
            .head_of(&app, &"none".parse().unwrap())
            .await
            .unwrap(),
        None
    );
    assert_eq!(world.git.default_branch(&app).await.unwrap(), Some(master));
}

#[tokio::test]
async fn ancestry_and_history_are_known() {
    let world = World::new();
    let app = world.repository("acme/app");
    let first = world.commit(&app, "one", "1");
    let second = world.commit(&app, "two", "2");
    let third = world.commit(&app, "three", "3");
    let server = world.server(&app);
    git(
        &server,
        &["checkout", "--quiet", "-b", "side", first.as_str()],
    );
    let side = world.commit(&app, "side", "s");

    let is_ancestor =
        async |a: &CommitSha, b: &CommitSha| world.git.is_ancestor(&app, a, b).await.unwrap();
    assert!(is_ancestor(&first, &third).await);
    assert!(is_ancestor(&third, &third).await);
    assert!(!is_ancestor(&third, &first).await);
    assert!(!is_ancestor(&side, &third).await);

    let ids = async |before: Option<&CommitSha>, max| -> Vec<CommitSha> {
        let commits = world.git.commits(&app, before, &third, max).await.unwrap();
        commits.into_iter().map(|commit| commit.id).collect()
    };
    assert_eq!(ids(Some(&first), 10).await, [third.clone(), second.clone()]);
    assert_eq!(ids(Some(&side), 10).await, [third.clone(), second.clone()]);
    assert_eq!(ids(None, 2).await, [third.clone(), second.clone()]);
    let unknown: CommitSha = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(ids(Some(&unknown), 1).await, std::slice::from_ref(&third));
    let commits = world.git.commits(&app, None, &third, 1).await.unwrap();
    assert_eq!(commits[0].author_name, "A Developer");
    assert_eq!(commits[0].author_email, "dev@example.org");
    assert_eq!(commits[0].message, "add three");
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
    let packs = || {
        fs::read_dir(world.mirror(&app).join("objects/pack"))
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "pack")
            })
            .count()
    };
    assert!(packs() >= 25);
    world.git.maintain(&app).await.unwrap();
    assert!(packs() <= 2);
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

#[test]
fn the_reason_is_found_in_what_git_says() {
    assert_eq!(
        command::gist("Cloning…\nfatal: no such thing\nfatal: giving up\n"),
        "no such thing"
    );
    assert_eq!(command::gist("warning: x\nsomething\n\n"), "something");
    assert_eq!(command::gist(""), "it gave no reason");
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
        git.heads(&app).await.unwrap();
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
