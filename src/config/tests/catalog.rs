//! The configuration repository: its files, and which version of each is in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use super::super::branch::parse_branch_file;
use super::super::catalog::LastGood;
use super::super::catalog::Loaded;
use super::super::{FileState, Files, load_directory};
use super::resolve;
use crate::domain::images::AllowedImages;
use crate::domain::recipe::{Format, Supersede};

const GOOD: &str = "buildscripts: [build.sh]\nbuild.sh: {artifact: result.tar.gz}\n";
const BETTER: &str = "buildscripts: [build.sh]\nbuild.sh: {artifact: better.tar.gz}\n";
const TAGGED: &str = "buildscripts: [build.sh]\nbuild.sh: {artifact: r.tar.gz, tag: x}\n";
const BROKEN: &str = "buildscripts: [build.sh]\n";

fn files(files: &[(&str, &str)]) -> Files {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Ok((*text).to_owned())))
        .collect()
}

fn good(files: &[(&str, &str)]) -> LastGood {
    let loaded = resolve(&self::files(files), &BTreeMap::new());
    assert_eq!(loaded.last_good.len(), files.len(), "{}", loaded.findings);
    loaded.last_good
}

/// Each file's state, and the artifact that is in force for it, as lines.
fn summary(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    for file in &loaded.files {
        lines.push(format!("{}: {:?}", file.path, file.state));
    }
    for repository in loaded.catalog.repositories() {
        for branch in loaded.catalog.branches(repository) {
            let recipes = loaded.catalog.recipes(repository, branch).unwrap();
            let artifacts: Vec<_> = recipes.iter().map(|recipe| &recipe.artifact).collect();
            lines.push(format!("{repository} {branch} → {}", artifacts[0]));
        }
    }
    lines.join("\n")
}

#[test]
fn a_file_is_read_whole() {
    let text = "\
buildscripts:
  - autobuild/build.sh
  - other.sh
autobuild/build.sh: &common
  artifact: result.tar.gz
  archives: /tmp/archives
  baseimage: ubuntu:16.04
  tag: special
  format: binary
  dependencies: [owner/other]
  paths:
    - src/**
    - '!**.md'
  timeout: 2h
  supersede: queued
  memory: 4GiB
  cpus: 2
  environment: {KEY: value, NUMBER: 1.10, YES: true}
other.sh:
  <<: *common
  tag: 1.10
  artifact: other.tar.gz
";
    let (file, findings) = parse_branch_file(text);
    assert_eq!(findings, []);
    let recipes: Vec<_> = file
        .unwrap()
        .recipes
        .into_iter()
        .map(|(recipe, _)| recipe)
        .collect();
    let first = &recipes[0];
    assert_eq!(first.script.as_str(), "autobuild/build.sh");
    assert_eq!(first.artifact.as_str(), "result.tar.gz");
    assert_eq!(first.archives.as_str(), "/tmp/archives");
    assert_eq!(first.baseimage.as_deref(), Some("ubuntu:16.04"));
    assert_eq!(first.format, Format::Binary);
    assert_eq!(first.dependencies[0].as_str(), "owner/other");
    let filter = serde_json::to_string(&first.path_filter).unwrap();
    assert_eq!(filter, r#"{"paths":["src/**","!**.md"]}"#);
    assert_eq!(first.timeout.unwrap().as_secs(), 7200);
    assert_eq!(first.supersede, Some(Supersede::Queued));
    assert_eq!(first.memory, Some(4 << 30));
    assert_eq!(first.cpus, Some(2.0));
    let environment: Vec<_> = first.environment.iter().collect();
    assert_eq!(
        format!("{environment:?}"),
        r#"[("KEY", "value"), ("NUMBER", "1.10"), ("YES", "true")]"#
    );
    let second = &recipes[1];
    assert_eq!(second.tag.as_ref().unwrap().as_str(), "1.10");
    assert_eq!(second.artifact.as_str(), "other.tar.gz");
    assert_eq!(second.memory, first.memory);

    let (file, _) = parse_branch_file(GOOD);
    let (recipe, _) = &file.unwrap().recipes[0];
    assert_eq!(recipe.archives.as_str(), "/target");
    assert_eq!(recipe.format, Format::Flist);
    assert_eq!(recipe.supersede, None);
    assert_eq!(recipe.path_filter, None);
}

#[test]
fn a_mistake_in_a_path_filter_is_told_where_it_is() {
    let text = "\
buildscripts: [a.sh, b.sh, c.sh, d.sh, e.sh, f.sh]
a.sh:
  artifact: a
  paths:
    - '!src/**'
    - '[a'
    - /docs/**
b.sh: {artifact: a, tag: b, paths: ['!docs/**']}
c.sh: {artifact: a, tag: c, paths_ignore: []}
d.sh: {artifact: a, tag: d, paths: src/**}
e.sh: {artifact: a, tag: e, paths: [a], paths_ignore: [b]}
f.sh: {artifact: a, tag: f, paths-ignore: [b]}
";
    let loaded = resolve(&files(&[("acme/app/master.yaml", text)]), &BTreeMap::new());
    assert_snapshot!(loaded.findings, @r#"
    acme/app/master.yaml:6:7: error: a.sh.paths.2: "[a" is not a pattern: the `[` at character 1 has no `]`
     6 |     - '[a'
       |       ^^^^
    acme/app/master.yaml:7:7: error: a.sh.paths.3: "/docs/**" is not a pattern: it begins with /, and paths are told from the repository's root without that
     7 |     - /docs/**
       |       ^^^^^^^^
    acme/app/master.yaml:8:29: error: b.sh.paths: every pattern begins with !, so there is nothing that they exclude from
     8 | b.sh: {artifact: a, tag: b, paths: ['!docs/**']}
       |                             ^^^^^
    acme/app/master.yaml:9:29: error: c.sh.paths_ignore: no pattern is listed
     9 | c.sh: {artifact: a, tag: c, paths_ignore: []}
       |                             ^^^^^^^^^^^^
    acme/app/master.yaml:10:36: error: d.sh.paths: found the text "src/**"; expected a list
     10 | d.sh: {artifact: a, tag: d, paths: src/**}
        |                                    ^^^^^^
    acme/app/master.yaml:11:41: error: e.sh.paths_ignore: both `paths` and `paths_ignore` are given
     11 | e.sh: {artifact: a, tag: e, paths: [a], paths_ignore: [b]}
        |                                         ^^^^^^^^^^^^
       hint: give `paths` alone: its patterns that begin with ! exclude files
    acme/app/master.yaml:12:29: error: f.sh.paths-ignore: `paths-ignore` is not a known key
     12 | f.sh: {artifact: a, tag: f, paths-ignore: [b]}
        |                             ^^^^^^^^^^^^
       hint: did you mean `paths_ignore`?
    "#);
    assert_eq!(loaded.catalog, Default::default());
}

#[test]
fn every_mistake_in_a_file_is_told() {
    let text = "\
buildscripts:
  - autobuild/build.sh
  - autobuild/tset.sh
  - autobuild/build.sh
  - ../escape.sh
  - empty.sh
  - same.sh
  - again.sh
autobuild/build.sh:
  artefact: result.tar.gz
  archives: target
  dependencies: [other]
  memory: 1
  format: tar
autobuild/test.sh:
  artifact: x
empty.sh:
same.sh: {artifact: a/b}
again.sh: {artifact: x, tag: -x, cpus: all}
";
    let loaded = resolve(&files(&[("acme/app/master.yaml", text)]), &BTreeMap::new());
    assert_snapshot!(loaded.findings, @r#"
    acme/app/master.yaml:3:5: error: buildscripts: `autobuild/tset.sh` is listed and has no section
     3 |   - autobuild/tset.sh
       |     ^^^^^^^^^^^^^^^^^
       hint: did you mean `autobuild/test.sh`?
    acme/app/master.yaml:4:5: error: buildscripts: `autobuild/build.sh` is listed twice
     4 |   - autobuild/build.sh
       |     ^^^^^^^^^^^^^^^^^^
       hint: the first time in line 2
    acme/app/master.yaml:5:5: error: buildscripts: "../escape.sh" is not a path inside the repository: a part between slashes is empty, . or ..
     5 |   - ../escape.sh
       |     ^^^^^^^^^^^^
    acme/app/master.yaml:10:3: error: autobuild/build.sh.artefact: `artefact` is not a known key
     10 |   artefact: result.tar.gz
        |   ^^^^^^^^
       hint: did you mean `artifact`?
    acme/app/master.yaml:11:13: error: autobuild/build.sh.archives: "target" is not an absolute path in the container: it does not begin with a slash
     11 |   archives: target
        |             ^^^^^^
    acme/app/master.yaml:12:18: error: autobuild/build.sh.dependencies.1: "other" is not a repository (owner/name): there is no slash in it
     12 |   dependencies: [other]
        |                  ^^^^^
    acme/app/master.yaml:13:11: error: autobuild/build.sh.memory: found "1"; expected at least 6MiB, the least that Docker takes
     13 |   memory: 1
        |           ^
    acme/app/master.yaml:14:11: error: autobuild/build.sh.format: found "tar"; expected flist | binary
     14 |   format: tar
        |           ^^^
    acme/app/master.yaml:15:1: warning: autobuild/test.sh: is not listed under `buildscripts` and will not be built
     15 | autobuild/test.sh:
        | ^^^^^^^^^^^^^^^^^
       hint: list it there, or remove it
    acme/app/master.yaml:17:1: error: empty.sh: the key `artifact` is missing
     17 | empty.sh:
        | ^^^^^^^^
    acme/app/master.yaml:18:21: error: same.sh.artifact: "a/b" is not a file name: it holds a slash
     18 | same.sh: {artifact: a/b}
        |                     ^^^
    acme/app/master.yaml:19:30: error: again.sh.tag: "-x" is not a recipe's tag: it begins with a dash or a dot
     19 | again.sh: {artifact: x, tag: -x, cpus: all}
        |                              ^^
    acme/app/master.yaml:19:40: error: again.sh.cpus: found the text "all"; expected a number
     19 | again.sh: {artifact: x, tag: -x, cpus: all}
        |                                        ^^^
    "#);
    assert_eq!(loaded.catalog, Default::default());
}

#[test]
fn what_is_not_a_list_of_scripts_is_told() {
    let told = |text: &str| {
        let loaded = resolve(&files(&[("acme/app/master.yaml", text)]), &BTreeMap::new());
        loaded.findings.render(false)
    };
    assert_snapshot!(told(""), @r#"
    acme/app/master.yaml:1:1: error: the file is empty; expected `buildscripts:` with a list of scripts, and a section for each of them
    "#);
    assert_snapshot!(told("- build.sh\n"), @r#"
    acme/app/master.yaml:1:1: error: this is not a section; expected `buildscripts:` with a list of scripts, and a section for each of them
     1 | - build.sh
       | ^
    "#);
    assert_snapshot!(told("buildscript: [build.sh]\nbuild.sh: {artifact: x}\n"), @r#"
    acme/app/master.yaml:1:1: error: `buildscript` is not a known key
     1 | buildscript: [build.sh]
       | ^^^^^^^^^^^
       hint: did you mean `buildscripts`?
    "#);
    assert_snapshot!(told("buildscripts: build.sh\nbuild.sh: {artifact: x}\n"), @r#"
    acme/app/master.yaml:1:1: error: buildscripts: this is not a list; expected a list of scripts, each in a line that begins with `- `
     1 | buildscripts: build.sh
       | ^^^^^^^^^^^^
    "#);
    assert_snapshot!(told("buildscripts: []\n"), @r#"
    acme/app/master.yaml:1:1: error: buildscripts: no script is listed; expected at least one
     1 | buildscripts: []
       | ^^^^^^^^^^^^
    "#);
    assert_snapshot!(told("buildscripts: [a.sh, b.sh]\na.sh: {artifact: x}\nb.sh: {artifact: x}\n"), @r#"
    acme/app/master.yaml:3:1: error: b.sh: would publish under the same name as `a.sh` in line 2
     3 | b.sh: {artifact: x}
       | ^^^^
       hint: give each of them a `tag` of its own
    "#);
}

#[test]
fn a_path_says_what_a_file_is_for() {
    let loaded = resolve(
        &files(&[
            ("README.md", ""),
            (".github/workflows/ci.yaml", "x"),
            ("acme/app/.hidden.yaml", "x"),
            ("acme/app/master.yaml", GOOD),
            ("acme/app/feature/x.yml", GOOD),
            ("acme/app/1.1.0-alpha.yaml", GOOD),
            ("acme/app.yaml", GOOD),
            ("ac me/app/master.yaml", GOOD),
            ("acme/app/a..b.yaml", GOOD),
            ("acme/app/two.yaml", GOOD),
            ("acme/app/two.yml", GOOD),
        ]),
        &BTreeMap::new(),
    );
    assert_snapshot!(summary(&loaded), @r#"
    .github/workflows/ci.yaml: Ignored
    README.md: Ignored
    ac me/app/master.yaml: Broken { in_force: false }
    acme/app.yaml: Ignored
    acme/app/.hidden.yaml: Ignored
    acme/app/1.1.0-alpha.yaml: Tracked
    acme/app/a..b.yaml: Broken { in_force: false }
    acme/app/feature/x.yml: Tracked
    acme/app/master.yaml: Tracked
    acme/app/two.yaml: Broken { in_force: false }
    acme/app/two.yml: Broken { in_force: false }
    acme/app 1.1.0-alpha → result.tar.gz
    acme/app feature/x → result.tar.gz
    acme/app master → result.tar.gz
    "#);
    assert_snapshot!(loaded.findings, @r#"
    ac me/app/master.yaml: error: "ac me/app" is not a repository (owner/name): only letters, digits, dash, underscore and dot are allowed
    acme/app.yaml: warning: is ignored
       hint: a branch's file is <owner>/<repository>/<branch>.yaml
    acme/app/a..b.yaml: error: "a..b" is not a branch name: it holds .. or @{, is @, or ends in a dot
    acme/app/two.yaml: error: acme/app/two.yml is for the same branch
       hint: remove one of the two
    acme/app/two.yml: error: acme/app/two.yaml is for the same branch
       hint: remove one of the two
    "#);
}

#[test]
fn a_broken_file_keeps_its_last_good_version() {
    let before = good(&[
        ("a/a/master.yaml", GOOD),
        ("a/b/master.yaml", GOOD),
        ("a/c/master.yaml", GOOD),
        ("a/e/x.yaml", GOOD),
    ]);
    let now = files(&[
        ("a/a/master.yaml", BROKEN),
        ("a/b/master.yaml", BETTER),
        ("a/d/master.yaml", BROKEN),
        // Renamed, and broken on the way.
        ("a/e/x.yml", BROKEN),
    ]);
    let loaded = resolve(&now, &before);
    assert_snapshot!(summary(&loaded), @r#"
    a/a/master.yaml: Broken { in_force: true }
    a/b/master.yaml: Tracked
    a/c/master.yaml: Removed
    a/d/master.yaml: Broken { in_force: false }
    a/e/x.yml: Broken { in_force: true }
    a/a master → result.tar.gz
    a/b master → better.tar.gz
    a/e x → result.tar.gz
    "#);
    // The same again changes nothing but what is new.
    let again = resolve(&now, &loaded.last_good);
    assert_eq!(again.last_good, loaded.last_good);
    assert_eq!(again.catalog, loaded.catalog);
    assert!(
        again
            .files
            .iter()
            .all(|file| file.state != FileState::Tracked)
    );
}

#[test]
fn a_file_that_cannot_be_read_counts_as_broken() {
    let before = good(&[("a/a/master.yaml", GOOD)]);
    let mut now = files(&[]);
    now.insert("a/a/master.yaml".to_owned(), Err("is not UTF-8".to_owned()));
    let loaded = resolve(&now, &before);
    assert_eq!(loaded.last_good, before);
    assert_eq!(loaded.files[0].state, FileState::Broken { in_force: true });
}

#[test]
fn of_two_files_with_one_name_neither_new_one_comes_into_force() {
    // Both are new.
    let both = files(&[
        ("acme/app/master.yaml", TAGGED),
        ("acme/app-x/master.yaml", GOOD),
        ("acme/z/a/b.yaml", GOOD),
        ("acme/z/a-b.yaml", GOOD),
    ]);
    let loaded = resolve(&both, &BTreeMap::new());
    assert_snapshot!(loaded.findings, @r#"
    acme/app-x/master.yaml:2:1: error: build.sh: would publish under the name acme-app-x-master, as build.sh of acme/app/master.yaml does
     2 | build.sh: {artifact: result.tar.gz}
       | ^^^^^^^^
       hint: give one of the two another `tag`
    acme/app/master.yaml:2:1: error: build.sh: would publish under the name acme-app-x-master, as build.sh of acme/app-x/master.yaml does
     2 | build.sh: {artifact: r.tar.gz, tag: x}
       | ^^^^^^^^
       hint: give one of the two another `tag`
    acme/z/a-b.yaml:2:1: error: build.sh: would publish under the name acme-z-a-b, as build.sh of acme/z/a/b.yaml does
     2 | build.sh: {artifact: result.tar.gz}
       | ^^^^^^^^
       hint: give one of the two another `tag`
    acme/z/a/b.yaml:2:1: error: build.sh: would publish under the name acme-z-a-b, as build.sh of acme/z/a-b.yaml does
     2 | build.sh: {artifact: result.tar.gz}
       | ^^^^^^^^
       hint: give one of the two another `tag`
    "#);
    assert_eq!(loaded.catalog, Default::default());

    // One was there before: it stays, also when the same is read again.
    let before = good(&[("acme/app-x/master.yaml", GOOD)]);
    let both = files(&[
        ("acme/app/master.yaml", TAGGED),
        ("acme/app-x/master.yaml", GOOD),
    ]);
    let mut loaded = resolve(&both, &before);
    assert_snapshot!(summary(&loaded), @r#"
    acme/app-x/master.yaml: Broken { in_force: true }
    acme/app/master.yaml: Broken { in_force: false }
    acme/app-x master → result.tar.gz
    "#);
    for _ in 0..2 {
        loaded = resolve(&both, &loaded.last_good);
        assert_eq!(loaded.last_good, before);
        assert_eq!(loaded.files[1].state, FileState::Broken { in_force: false });
    }

    // Both were there, and one is changed into the other's name: it stays as it was.
    let before = good(&[
        ("acme/app/master.yaml", GOOD),
        ("acme/app-x/master.yaml", GOOD),
    ]);
    let both = files(&[
        ("acme/app/master.yaml", TAGGED),
        ("acme/app-x/master.yaml", BETTER),
    ]);
    let loaded = resolve(&both, &before);
    assert_eq!(loaded.last_good, before);
    assert_eq!(loaded.findings.errors(), 2);

    // The conflict is gone: both come into force.
    let both = files(&[
        ("acme/app/master.yaml", BETTER),
        ("acme/app-x/master.yaml", BETTER),
    ]);
    let loaded = resolve(&both, &loaded.last_good);
    assert!(loaded.findings.is_empty());
    assert!(
        loaded
            .files
            .iter()
            .all(|file| file.state == FileState::Tracked)
    );

    // A flist and a binary go to different places.
    let binary = GOOD.replace("artifact:", "format: binary, artifact:");
    let both = files(&[
        ("acme/app/master.yaml", TAGGED),
        ("acme/app-x/master.yaml", &binary),
    ]);
    assert!(resolve(&both, &BTreeMap::new()).findings.is_empty());
}

#[test]
fn two_spellings_of_one_repository_are_told() {
    let depends = "buildscripts: [build.sh]\n\
                   build.sh: {artifact: result.tar.gz, dependencies: [acme/app, acme/LIB]}\n";
    let loaded = resolve(
        &files(&[
            ("acme/App/main.yaml", GOOD),
            ("acme/lib/main.yaml", GOOD),
            ("acme/other/main.yaml", depends),
        ]),
        &BTreeMap::new(),
    );
    assert_eq!(loaded.last_good.len(), 3, "{}", loaded.findings);
    assert_snapshot!(loaded.findings.to_string(), @r"
    acme/App/main.yaml: warning: acme/App is also spelled acme/app; to GitHub it is one repository
       hint: spell it as GitHub does, in the names of folders and in dependencies
    acme/lib/main.yaml: warning: acme/lib is also spelled acme/LIB; to GitHub it is one repository
       hint: spell it as GitHub does, in the names of folders and in dependencies
    acme/other/main.yaml: warning: acme/LIB is also spelled acme/lib; to GitHub it is one repository
       hint: spell it as GitHub does, in the names of folders and in dependencies
    acme/other/main.yaml: warning: acme/app is also spelled acme/App; to GitHub it is one repository
       hint: spell it as GitHub does, in the names of folders and in dependencies
    ");
}

#[test]
fn a_directory_is_read_as_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("README.md", "read me");
    write(".git/config", "x");
    write("acme/app/master.yaml", GOOD);
    write("acme/app/feature/x.yaml", BETTER);
    write("acme/app/large.yaml", &"#".repeat(2 << 20));
    fs::write(folder.path().join("outside.yaml"), GOOD).unwrap();
    let link = |target: &str, path: &str| {
        std::os::unix::fs::symlink(target, root.join(path)).unwrap();
    };
    link("master.yaml", "acme/app/inside.yaml");
    link("../../../outside.yaml", "acme/app/outside.yaml");
    link("/dev/zero", "acme/app/device.yaml");
    link("nowhere", "acme/app/dangling.yaml");
    link(".", "acme/app/loop");
    let loaded = load_directory(&root, &BTreeMap::new(), &AllowedImages::default()).unwrap();
    // `inside` is a branch of its own.
    assert_snapshot!(summary(&loaded), @r#"
    README.md: Ignored
    acme/app/dangling.yaml: Broken { in_force: false }
    acme/app/device.yaml: Broken { in_force: false }
    acme/app/feature/x.yaml: Tracked
    acme/app/inside.yaml: Tracked
    acme/app/large.yaml: Broken { in_force: false }
    acme/app/loop: Ignored
    acme/app/master.yaml: Tracked
    acme/app/outside.yaml: Broken { in_force: false }
    acme/app feature/x → better.tar.gz
    acme/app inside → result.tar.gz
    acme/app master → result.tar.gz
    "#);
    assert_snapshot!(loaded.findings, @r#"
    acme/app/dangling.yaml: error: cannot be read: No such file or directory (os error 2)
    acme/app/device.yaml: error: is a link that leads out of the configuration directory
    acme/app/large.yaml: error: is larger than 1048576 bytes
    acme/app/outside.yaml: error: is a link that leads out of the configuration directory
    "#);

    assert!(
        load_directory(
            &root.join("nowhere"),
            &BTreeMap::new(),
            &AllowedImages::default()
        )
        .is_err()
    );
    assert!(
        load_directory(
            Path::new("/dev/null"),
            &BTreeMap::new(),
            &AllowedImages::default()
        )
        .is_err()
    );
}

#[test]
fn an_image_that_the_operator_does_not_allow_is_told_with_its_line() {
    let text = "\
buildscripts: [build.sh, other.sh]
build.sh: {artifact: result.tar.gz, baseimage: ubuntu:18.04}
other.sh:
  artifact: other.tar.gz
  tag: other
  baseimage: evil.example/library/ubuntu:18.04
";
    let images = vec!["docker.io/library/ubuntu:*".parse().unwrap()];
    let images = AllowedImages::new(images).unwrap();
    let files = files(&[
        ("acme/app/master.yaml", text),
        ("acme/other/master.yaml", GOOD),
    ]);
    let loaded = super::super::resolve(&files, &BTreeMap::new(), &images);
    assert_snapshot!(loaded.findings.render(false), @r"
    acme/app/master.yaml:6:14: error: other.sh.baseimage: the service's operator does not allow evil.example/library/ubuntu:18.04; expected what docker.images of the service file lists: docker.io/library/ubuntu:*
     6 |   baseimage: evil.example/library/ubuntu:18.04
       |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    ");
    assert_snapshot!(summary(&loaded), @r"
    acme/app/master.yaml: Broken { in_force: false }
    acme/other/master.yaml: Tracked
    acme/other master → result.tar.gz
    ");

    // What was in force before the list was made stays so, until a build chooses its image.
    let before = good(&[("acme/app/master.yaml", text)]);
    let loaded = super::super::resolve(&files, &before, &images);
    assert_snapshot!(summary(&loaded), @r"
    acme/app/master.yaml: Broken { in_force: true }
    acme/other/master.yaml: Tracked
    acme/app master → result.tar.gz
    acme/other master → result.tar.gz
    ");
}
