//! Under which names what was built is published, and which build may move a stable name.
//!
//! The names are those of the service that this one replaces: links to them are out there.

use super::names::{BranchName, CommitSha, RecipeTag, RepositoryName};

/// What all names of one recipe's artifacts begin with: `<owner>-<repo>[-<tag>]-<branch>`, with
/// `/` turned into `-`. Two recipes that share it overwrite each other.
pub fn stem(repository: &RepositoryName, tag: Option<&RecipeTag>, branch: &BranchName) -> String {
    let tag = tag.map(|tag| format!("-{tag}")).unwrap_or_default();
    flat(&format!("{repository}{tag}-{branch}"))
}

/// The archive as it is kept, and uploaded to the hub: `<stem>-<commit10>.tar.gz`. An artifact of
/// format binary gets the same name, whatever it holds.
pub fn archive_name(
    repository: &RepositoryName,
    tag: Option<&RecipeTag>,
    branch: &BranchName,
    commit: &CommitSha,
) -> String {
    format!(
        "{}-{}.tar.gz",
        stem(repository, tag, branch),
        commit.short()
    )
}

/// What the hub makes of an archive's name.
pub fn hub_name(archive_name: &str) -> String {
    let stem = archive_name.strip_suffix(".tar.gz").unwrap_or(archive_name);
    format!("{stem}.flist")
}

/// The stable name: `<stem>.flist`, a link of the hub, or a symlink among the binaries.
pub fn link_name(
    repository: &RepositoryName,
    tag: Option<&RecipeTag>,
    branch: &BranchName,
) -> String {
    format!("{}.flist", stem(repository, tag, branch))
}

/// The names of a file: its own, and one that is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub file: String,
    pub link: String,
}

/// A base kernel's: `zero-os-<branch>-generic-<commit10>.efi`, `zero-os-<branch>-generic.efi`.
pub fn base_kernel(branch: &BranchName, commit: &CommitSha) -> Names {
    let commit = commit.short();
    Names {
        file: flat(&format!("zero-os-{branch}-generic-{commit}.efi")),
        link: flat(&format!("zero-os-{branch}-generic.efi")),
    }
}

/// An incremental kernel's: `zero-os-<branch>-<repository name>-<commit10>.efi`, `zero-os-<branch>.efi`.
pub fn incremental_kernel(
    repository: &RepositoryName,
    branch: &BranchName,
    commit: &CommitSha,
) -> Names {
    let (name, commit) = (repository.name(), commit.short());
    Names {
        file: flat(&format!("zero-os-{branch}-{name}-{commit}.efi")),
        link: flat(&format!("zero-os-{branch}.efi")),
    }
}

/// A kernel's archive for the hub, and the link there: the kernel's names without `.efi`.
pub fn kernel_flist(kernel: &Names) -> Names {
    let stem = |name: &str| name.strip_suffix(".efi").unwrap_or(name).to_owned();
    Names {
        file: format!("{}.tar.gz", stem(&kernel.file)),
        link: format!("{}.flist", stem(&kernel.link)),
    }
}

/// The first digits of the commit that a versioned file is named after, as all of these are.
pub fn commit_in(file: &str) -> Option<&str> {
    let (_, end) = file.rsplit_once('-')?;
    let (commit, _) = end.split_once('.')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (commit.len() == 10 && commit.bytes().all(is_digit)).then_some(commit)
}

fn flat(name: &str) -> String {
    name.replace('/', "-")
}

/// A build that wants to move a stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The number of the push that the build is of, in the order of arrival. A rebuild has the
    /// number of the original push.
    pub push: u64,
    /// Whether that push was forced: then it is newer, whatever the ancestry says.
    pub forced: bool,
}

/// Whether a build may move a stable name (or an image's tag) that points to what another build
/// published, as far as the pushes tell: not if its push came earlier, and always if it was pushed
/// by force. `None`: if its commit is no strict ancestor of the published one.
pub fn may_move(candidate: Candidate, published_push: u64) -> Option<bool> {
    match candidate.push < published_push {
        true => Some(false),
        false => candidate.forced.then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> RepositoryName {
        "threefoldtech/0-core".parse().unwrap()
    }

    fn branch(name: &str) -> BranchName {
        name.parse().unwrap()
    }

    fn commit() -> CommitSha {
        "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
    }

    #[test]
    fn archives_and_links_are_named_as_before() {
        let tag: RecipeTag = "special".parse().unwrap();
        for (tag, on, archive, link) in [
            (
                None,
                "master",
                "threefoldtech-0-core-master-0123456789.tar.gz",
                "threefoldtech-0-core-master.flist",
            ),
            (
                Some(&tag),
                "feature/x/y",
                "threefoldtech-0-core-special-feature-x-y-0123456789.tar.gz",
                "threefoldtech-0-core-special-feature-x-y.flist",
            ),
        ] {
            let branch = branch(on);
            let name = archive_name(&repository(), tag, &branch, &commit());
            assert_eq!(name, archive);
            assert_eq!(hub_name(&name), archive.replace(".tar.gz", ".flist"));
            assert_eq!(link_name(&repository(), tag, &branch), link);
        }
    }

    #[test]
    fn kernels_are_named_as_before() {
        let branch = branch("feature/x");
        let kernel = base_kernel(&branch, &commit());
        assert_eq!(
            kernel,
            Names {
                file: "zero-os-feature-x-generic-0123456789.efi".to_owned(),
                link: "zero-os-feature-x-generic.efi".to_owned(),
            }
        );
        let flist = kernel_flist(&kernel);
        assert_eq!(
            hub_name(&flist.file),
            "zero-os-feature-x-generic-0123456789.flist"
        );
        assert_eq!(flist.link, "zero-os-feature-x-generic.flist");
        assert_eq!(
            incremental_kernel(&repository(), &branch, &commit()),
            Names {
                file: "zero-os-feature-x-0-core-0123456789.efi".to_owned(),
                link: "zero-os-feature-x.efi".to_owned(),
            }
        );
    }

    #[test]
    fn a_versioned_name_tells_its_commit() {
        for (file, expected) in [
            ("zero-os-main-0-fs-0123456789.efi", Some("0123456789")),
            ("acme-app-x-0123456789.tar.gz", Some("0123456789")),
            ("zero-os-main-generic.efi", None),
            ("acme-app-0123456789", None),
            ("acme-app-01234567890.efi", None),
            ("acme-app-012345678Z.efi", None),
            ("0123456789.efi", None),
        ] {
            assert_eq!(commit_in(file), expected, "{file}");
        }
    }

    #[test]
    fn recipes_that_differ_may_share_a_stem() {
        let tag: RecipeTag = "x".parse().unwrap();
        let (app, app_x): (RepositoryName, RepositoryName) =
            ("acme/app".parse().unwrap(), "acme/app-x".parse().unwrap());
        let master = branch("master");
        assert_eq!(stem(&app, Some(&tag), &master), stem(&app_x, None, &master));
        assert_eq!(
            stem(&app, None, &branch("a/b")),
            stem(&app, None, &branch("a-b"))
        );
    }

    #[test]
    fn only_a_newer_push_moves_a_stable_name() {
        const PUBLISHED: u64 = 10;
        for (what, push, forced, expected) in [
            ("the next push, or an older commit", 11, false, None),
            ("the same push, built again", 10, false, None),
            ("an older push, or a rebuild of it", 9, false, Some(false)),
            ("a late, older push that was forced", 9, true, Some(false)),
            ("the branch set back by force", 11, true, Some(true)),
        ] {
            let candidate = Candidate { push, forced };
            assert_eq!(may_move(candidate, PUBLISHED), expected, "{what}");
        }
    }
}
