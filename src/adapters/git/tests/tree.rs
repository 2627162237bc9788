//! The files of a commit, without a checkout.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

/// Commits a tree of `depth` folders in each other, each of which has `width` entries: of the last,
/// all are one file of 1 KiB.
fn bomb(world: &World, repository: &RepositoryName, width: usize, depth: usize) -> CommitSha {
    let blob = format!("blob-{depth}");
    world.commit(repository, &blob, &"x".repeat(1024));
    let server = world.server(repository);
    let blob = git(&server, &["rev-parse", &format!("HEAD:{blob}")]);
    let mut object = format!("100644 blob {blob}");
    for _ in 0..depth {
        let entries = (0..width).map(|number| format!("{object}\t{number:03}\n"));
        let list = world.path("list");
        fs::write(&list, entries.collect::<String>()).unwrap();
        let made = Command::new("git")
            .current_dir(&server)
            .arg("mktree")
            .stdin(fs::File::open(&list).unwrap())
            .output()
            .unwrap();
        let tree = String::from_utf8(made.stdout).unwrap();
        object = format!("040000 tree {}", tree.trim());
    }
    let tree = object.split(' ').next_back().unwrap();
    let commit = git(&server, &["commit-tree", tree, "-m", "bomb"]);
    git(&server, &["update-ref", "refs/heads/bomb", &commit]);
    commit.parse().unwrap()
}

#[tokio::test]
async fn a_bomb_of_trees_is_refused_before_it_is_checked_out() {
    let world = World::new();
    let app = world.repository("acme/app");
    let check = async |commit: &CommitSha, most: u64| {
        let checked = world.git.check_size(&app, commit, most, SILENT).await;
        checked.map_err(|error| error.to_string())
    };
    let small = bomb(&world, &app, 10, 3);
    assert_eq!(check(&small, 1000 * 1024).await, Ok(()));
    assert_eq!(
        check(&small, 1000 * 1024 - 1).await,
        Err(format!(
            "commit {} of acme/app holds files of 1000.0 KiB, more than builds.max_source (1000.0 KiB)",
            small.short()
        ))
    );
    // A hundred million million of them.
    let large = bomb(&world, &app, 100, 7);
    let since = Instant::now();
    assert_eq!(
        check(&large, u64::MAX).await,
        Err(format!(
            "commit {} of acme/app holds more files than are taken: their list is longer than 128.0 MiB",
            large.short()
        ))
    );
    assert!(
        since.elapsed() < Duration::from_secs(60),
        "{:?}",
        since.elapsed()
    );
}

const LIMITS: TreeLimits = TreeLimits {
    files: 100,
    file_bytes: 1000,
    all_bytes: 10_000,
};

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml")
}

fn file(content: &str) -> Content {
    Content::File(content.as_bytes().to_vec())
}

impl World {
    /// Commits whatever lies in the server's work tree.
    fn commit_all(&self, repository: &RepositoryName) -> CommitSha {
        let folder = self.server(repository);
        git(&folder, &["add", "--all"]);
        git(&folder, &["commit", "--quiet", "--message", "all of it"]);
        self.head(repository)
    }

    async fn files(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        limits: TreeLimits,
    ) -> Result<Vec<(String, Content)>, GitError> {
        let tree = self
            .git
            .files(repository, commit, is_yaml, limits, SILENT)
            .await?;
        Ok(tree.into_iter().collect())
    }
}

#[tokio::test]
async fn the_files_of_exactly_that_commit_are_read_whatever_they_hold() {
    let world = World::new();
    let app = world.repository("acme/app");
    let folder = world.server(&app);
    fs::create_dir_all(folder.join("a/b")).unwrap();
    let binary = b"\xff\0\n\n0123 blob 7\nmissing\n".to_vec();
    fs::write(folder.join("a/b/binary.yaml"), &binary).unwrap();
    fs::write(folder.join("a/empty.yaml"), "").unwrap();
    fs::write(folder.join("a/twice.yaml"), "same").unwrap();
    fs::write(folder.join("b.yaml"), "same").unwrap();
    fs::write(folder.join("README"), "not read").unwrap();
    let commit = world.commit_all(&app);
    world.commit(&app, "later.yaml", "of a later commit");

    let files = world.files(&app, &commit, LIMITS).await.unwrap();
    let expected = [
        ("README", Content::Unread),
        ("a/b/binary.yaml", Content::File(binary)),
        ("a/empty.yaml", file("")),
        ("a/twice.yaml", file("same")),
        ("b.yaml", file("same")),
    ];
    assert_eq!(
        files,
        expected.map(|(path, content)| (path.to_owned(), content))
    );
}

#[tokio::test]
async fn names_may_hold_anything_and_what_is_no_file_is_not_read() {
    let world = World::new();
    let app = world.repository("acme/app");
    let folder = world.server(&app);
    let hostile = [
        "-r.yaml",
        "tab\tand\nline.yaml",
        "\"quoted\".yaml",
        "ü.yaml",
    ];
    for name in hostile {
        fs::write(folder.join(name), name).unwrap();
    }
    let not_utf8 = std::ffi::OsStr::from_bytes(b"\xff.yaml");
    fs::write(folder.join(not_utf8), "left out").unwrap();
    symlink("/etc/passwd", folder.join("link.yaml")).unwrap();
    let other = world.repository("acme/other");
    world.commit(&other, "file", "");
    let other = world.server(&other);
    let add = ["submodule", "--quiet", "add", other.to_str().unwrap()];
    git(&folder, &[&add[..], &["module.yaml"]].concat());
    let commit = world.commit_all(&app);

    let files = world.files(&app, &commit, LIMITS).await.unwrap();
    let mut expected: Vec<(String, Content)> = hostile
        .iter()
        .map(|name| ((*name).to_owned(), file(name)))
        .collect();
    expected.push((".gitmodules".to_owned(), Content::Unread));
    expected.push(("link.yaml".to_owned(), Content::Link));
    expected.push(("module.yaml".to_owned(), Content::Submodule));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(files, expected);
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let world = World::new();
    let app = world.repository("acme/app");
    let folder = world.server(&app);
    for (name, size) in [("fits.yaml", 1000), ("large.yaml", 1001), ("ignored", 5000)] {
        fs::write(folder.join(name), "x".repeat(size)).unwrap();
    }
    let commit = world.commit_all(&app);
    let files = world.files(&app, &commit, LIMITS).await.unwrap();
    assert_eq!(files[1], ("ignored".to_owned(), Content::Unread));
    assert_eq!(files[0].1, file(&"x".repeat(1000)));
    assert_eq!(files[2].1, Content::TooLarge);

    let two_files = TreeLimits { files: 2, ..LIMITS };
    let error = world.files(&app, &commit, two_files).await.unwrap_err();
    let expected = format!(
        "commit {} of acme/app holds more than 2 files",
        commit.short()
    );
    assert_eq!(error.to_string(), expected);
    let few_bytes = TreeLimits {
        all_bytes: 999,
        ..LIMITS
    };
    let error = world.files(&app, &commit, few_bytes).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
}

/// Eight folders in each of eight folders, and so on: a few small objects, 16 million files.
#[tokio::test]
async fn a_tree_of_millions_of_files_is_given_up_early() {
    let world = World::new();
    let app = world.repository("acme/app");
    let folder = world.server(&app);
    let write = |kind: &str, text: &str| {
        let source = world.path("source");
        fs::write(&source, text).unwrap();
        match kind {
            "blob" => git(&folder, &["hash-object", "-w", source.to_str().unwrap()]),
            _ => {
                let made = Command::new("git")
                    .current_dir(&folder)
                    .arg("mktree")
                    .stdin(fs::File::open(&source).unwrap())
                    .output()
                    .unwrap();
                String::from_utf8(made.stdout).unwrap().trim().to_owned()
            }
        }
    };
    let blob = write("blob", "x");
    let list = |kind: &str, mode: &str, object: &str| -> String {
        (0..8)
            .map(|number| format!("{mode} {kind} {object}\t{number}\n"))
            .collect()
    };
    let mut tree = write("tree", &list("blob", "100644", &blob));
    for _ in 0..7 {
        tree = write("tree", &list("tree", "040000", &tree));
    }
    let commit = git(&folder, &["commit-tree", &tree, "-m", "a bomb"]);
    git(&folder, &["update-ref", "refs/heads/bomb", &commit]);

    let begun = Instant::now();
    let error = world.files(&app, &commit.parse().unwrap(), LIMITS).await;
    assert!(matches!(error, Err(GitError::TooLarge { .. })), "{error:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_commit_that_does_not_exist_and_a_server_that_is_away_are_told() {
    let world = World::new();
    let app = world.repository("acme/app");
    let known = world.commit(&app, "a.yaml", "1");
    assert_eq!(
        world.files(&app, &known, LIMITS).await.unwrap().len(),
        1,
        "the mirror is made"
    );
    let unknown: CommitSha = "1234567890123456789012345678901234567890".parse().unwrap();
    let error = world.files(&app, &unknown, LIMITS).await.unwrap_err();
    assert!(matches!(error, GitError::CommitGone { .. }), "{error}");

    fs::rename(world.path("server"), world.path("away")).unwrap();
    let error = world.files(&app, &unknown, LIMITS).await.unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
    // What is here needs nobody.
    assert_eq!(
        world.files(&app, &known, LIMITS).await.unwrap()[0].1,
        file("1")
    );
}

#[tokio::test]
async fn a_mirror_that_lost_a_file_is_fetched_again() {
    let world = World::new();
    let app = world.repository("acme/app");
    let commit = world.commit(&app, "a.yaml", "only here");
    world.git.update(&app, SILENT).await.unwrap();
    let mirror = world.mirror(&app);
    let packs = mirror.join("objects/pack");
    let away = world.path("packs");
    fs::rename(&packs, &away).unwrap();
    fs::create_dir(&packs).unwrap();
    for entry in fs::read_dir(&away).unwrap() {
        let pack = entry.unwrap().path();
        if pack
            .extension()
            .is_some_and(|extension| extension == "pack")
        {
            let unpacked = Command::new("git")
                .current_dir(&mirror)
                .args(["unpack-objects", "-q"])
                .stdin(fs::File::open(&pack).unwrap())
                .status();
            assert!(unpacked.unwrap().success());
        }
    }
    let blob = git(&mirror, &["rev-parse", &format!("{commit}:a.yaml")]);
    fs::remove_file(mirror.join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let files = world.files(&app, &commit, LIMITS).await.unwrap();
    assert_eq!(files[0].1, file("only here"));
}
