//! Which files a push changed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

async fn changed(world: &World, app: &RepositoryName, before: &CommitSha) -> Vec<String> {
    let after = world.head(app);
    match world.git.changed_files(app, before, &after).await.unwrap() {
        ChangedFiles::These(files) => files,
        ChangedFiles::Any(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn what_several_commits_changed_is_told_at_once() {
    let world = World::new();
    let app = world.repository("acme/app");
    let folder = world.server(&app);
    fs::create_dir_all(folder.join("src/deep")).unwrap();
    let old_text = "of some length, so that git sees that it is the same file\n".repeat(20);
    world.commit(&app, "src/deep/old", &old_text);
    world.commit(&app, "removed", "1");
    let before = world.commit(&app, "untouched", "1");

    world.commit(&app, "added and gone again", "1");
    fs::remove_file(folder.join("added and gone again")).unwrap();
    fs::remove_file(folder.join("removed")).unwrap();
    fs::rename(folder.join("src/deep/old"), folder.join("src/new")).unwrap();
    world.commit(&app, "src/added", "1");
    assert_eq!(
        changed(&world, &app, &before).await,
        ["removed", "src/added", "src/deep/old", "src/new"]
    );
    // Asked of a mirror that has it all, it needs no server.
    fs::rename(world.path("server"), world.path("away")).unwrap();
    let after = git(&world.path("away/acme/app"), &["rev-parse", "HEAD"]);
    let again = world
        .git
        .changed_files(&app, &before, &after.parse().unwrap())
        .await
        .unwrap();
    assert!(matches!(again, ChangedFiles::These(files) if files.len() == 4));
}

#[tokio::test]
async fn an_empty_commit_changes_no_file() {
    let world = World::new();
    let app = world.repository("acme/app");
    let before = world.commit(&app, "one", "1");
    let folder = world.server(&app);
    git(
        &folder,
        &["commit", "--quiet", "--allow-empty", "--message", "x"],
    );
    assert!(changed(&world, &app, &before).await.is_empty());
}

#[tokio::test]
async fn names_come_as_they_are() {
    let world = World::new();
    let app = world.repository("acme/app");
    let before = world.commit(&app, "one", "1");
    let names: [&[u8]; 6] = [
        b"-rf",
        b" two\nlines\t",
        "\"quotes\" \\ and ünïcode".as_bytes(),
        b":(glob)**",
        b"\x1b[2J",
        b"not utf-8 \xff\xfe",
    ];
    for name in names {
        fs::write(world.server(&app).join(OsStr::from_bytes(name)), "").unwrap();
    }
    world.commit(&app, "z", "1");
    let mut expected: Vec<String> = names
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .chain(["z".to_owned()])
        .collect();
    expected.sort();
    let mut found = changed(&world, &app, &before).await;
    found.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_commit_that_is_gone_means_any_file_and_so_do_too_many() {
    let world = World::new();
    let app = world.repository("acme/app");
    let first = world.commit(&app, "one", "1");
    let gone: CommitSha = "0123456789012345678901234567890123456789".parse().unwrap();
    let any = async |before: &CommitSha, after: &CommitSha| {
        let result = world.git.changed_files(&app, before, after).await;
        matches!(result, Ok(ChangedFiles::Any(_)))
    };
    assert!(any(&gone, &first).await);
    let error = world.git.changed_files(&app, &first, &gone).await;
    assert!(
        matches!(error, Err(GitError::CommitGone { .. })),
        "{error:?}"
    );

    let folder = world.server(&app).join("many");
    fs::create_dir(&folder).unwrap();
    for number in 0..9_999 {
        fs::write(folder.join(number.to_string()), "").unwrap();
    }
    let many = world.commit(&app, "two", "2");
    assert_eq!(changed(&world, &app, &first).await.len(), 10_000);
    fs::write(folder.join("one more"), "").unwrap();
    let too_many = world.commit(&app, "two", "3");
    assert!(any(&first, &too_many).await);
    assert!(!any(&many, &too_many).await);
}
