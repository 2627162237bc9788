//! Kernels: repositories whose every push becomes one. A base kernel is built from scratch, and
//! its container becomes an image; an incremental kernel is built in such an image.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::{BranchName, CommitSha, GitRef, RepositoryName};

/// Where in the container a kernel's script leaves its result.
pub const ARCHIVES: &str = "/target";
pub const ARTIFACT: &str = "vmlinuz.efi";

/// Labels of an image that a base kernel's container became: what it was built from, and by which
/// build.
pub const LABEL_REPOSITORY: &str = "autobuilder.kernel.repository";
pub const LABEL_REF: &str = "autobuilder.kernel.ref";
pub const LABEL_COMMIT: &str = "autobuilder.kernel.commit";
pub const LABEL_BUILD: &str = "autobuilder.kernel.build";

/// What a kernel is built in, and what becomes of its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    Base {
        /// The container becomes the image of its branch.
        commit: bool,
    },
    Incremental {
        base: RepositoryName,
        /// Builds the base first when its image is gone from the Docker host.
        rebuild_base: bool,
    },
}

impl Kernel {
    /// What the script is called with: the branch, the folder that holds the base's source, and
    /// `release` for a tag.
    pub fn arguments(&self, repository: &RepositoryName, reference: &GitRef) -> Vec<String> {
        let folder = self.source(repository).name();
        let release = reference.is_tag().then(|| "release".to_owned());
        [reference.short_name().to_string(), folder.to_owned()]
            .into_iter()
            .chain(release)
            .collect()
    }

    /// The repository whose source the script belongs to: an incremental kernel's is in the image.
    pub fn source<'a>(&'a self, repository: &'a RepositoryName) -> &'a RepositoryName {
        match self {
            Self::Base { .. } => repository,
            Self::Incremental { base, .. } => base,
        }
    }
}

/// What an incremental kernel is built upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Base {
    /// The image's name.
    pub image: String,
    /// The branch or tag that it was built from.
    #[schema(value_type = String)]
    pub branch: BranchName,
    /// The commit that it was built from; `null` for an image that another service made.
    #[schema(value_type = Option<String>)]
    pub commit: Option<CommitSha>,
    #[serde(rename = "match")]
    pub how: Match,
}

/// Why an incremental kernel is built upon this base and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// The base was built from the branch of the same name.
    Same,
    /// Its branch's name, and then no letter or digit, begins the name: `1.1.0-alpha` for
    /// `1.1.0-alpha-issue-155`.
    Version,
    /// Its branch's name begins the name.
    Prefix,
    /// No branch's name begins the name.
    Fallback,
}

impl Match {
    /// As the log says it, after the base's name.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Same => "the branch of the same name",
            Self::Version => "the longest branch that this one's name is a variant of",
            Self::Prefix => "the longest branch that begins this one's name",
            Self::Fallback => "no other branch begins this one's name",
        }
    }
}

/// The branch that everything can be built upon.
const FALLBACK: &str = "master";

/// The base for a branch, among the branches (and tags) that bases were built from.
pub fn choose_base<'a>(
    branch: &BranchName,
    bases: impl IntoIterator<Item = &'a BranchName> + Clone,
) -> Option<(&'a BranchName, Match)> {
    let how = |base: &BranchName| {
        let rest = branch.as_str().strip_prefix(base.as_str())?;
        Some(match rest.chars().next() {
            None => Match::Same,
            Some(next) if !next.is_alphanumeric() => Match::Version,
            Some(_) => Match::Prefix,
        })
    };
    // A match of a better kind goes before a longer one.
    let best = bases
        .clone()
        .into_iter()
        .filter_map(|base| Some((base, how(base)?)))
        .max_by_key(|(base, how)| {
            let kind = match how {
                Match::Same => 2,
                Match::Version => 1,
                Match::Prefix | Match::Fallback => 0,
            };
            (kind, base.as_str().len())
        });
    best.or_else(|| {
        let fallback = bases.into_iter().find(|base| base.as_str() == FALLBACK)?;
        Some((fallback, Match::Fallback))
    })
}

/// An image's name, as Docker takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    pub repository: String,
    pub tag: String,
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.repository, self.tag)
    }
}

impl ImageName {
    /// The image that a base kernel's container becomes: `<repository>:<branch>`. What Docker would
    /// refuse becomes lower case or `-`, and then a hash of the real name keeps two names apart.
    /// Source: <https://docs.docker.com/reference/cli/docker/image/tag/>.
    pub fn of_base(repository: &RepositoryName, branch: &BranchName) -> Self {
        Self {
            repository: image_repository(repository),
            tag: image_tag(branch),
        }
    }
}

/// The name that all images of one base repository share.
pub fn image_repository(repository: &RepositoryName) -> String {
    let parts = [repository.owner(), repository.name()].map(path_component);
    let name = parts.join("/");
    match name == repository.as_str() {
        true => name,
        false => format!("{name}-{}", hash(repository.as_str())),
    }
}

fn path_component(text: &str) -> String {
    if is_path_component(text) {
        return text.to_owned();
    }
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    match words.is_empty() {
        true => hash(text),
        false => words.join("-").to_ascii_lowercase(),
    }
}

/// Words of lower-case letters and digits, with a dot, one or two underscores or any number of
/// dashes between two of them.
/// Source: <https://github.com/distribution/reference>.
fn is_path_component(text: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let mut separators = text
        .split(is_word)
        .filter(|separator| !separator.is_empty());
    text.starts_with(is_word)
        && text.ends_with(is_word)
        && separators.all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

/// Letters, digits, underscores, dots and dashes, the first of which is no dot and no dash.
fn image_tag(branch: &BranchName) -> String {
    const LONGEST: usize = 128;
    let branch = branch.as_str();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let tag: String = branch
        .chars()
        .map(|letter| if allowed(letter) { letter } else { '-' })
        .collect();
    if tag == branch && tag.len() <= LONGEST {
        return tag;
    }
    let hash = hash(branch);
    let room = LONGEST - hash.len() - 1;
    let tag = tag.trim_start_matches(['-', '.']);
    match tag.get(..room.min(tag.len())).unwrap_or_default() {
        "" => hash,
        tag => format!("{tag}-{hash}"),
    }
}

fn hash(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(name: &str) -> BranchName {
        name.parse().unwrap()
    }

    fn repository(name: &str) -> RepositoryName {
        name.parse().unwrap()
    }

    #[test]
    fn a_base_is_the_longest_that_the_branch_is_a_variant_of() {
        let bases: Vec<BranchName> = [
            "master",
            "1.1.0",
            "1.1.0-alpha",
            "1.1.0-alp",
            "development",
            "dev",
            "größ",
        ]
        .map(branch)
        .to_vec();
        for (on, expected, how) in [
            ("1.1.0-alpha", "1.1.0-alpha", Match::Same),
            ("1.1.0-alpha-issue-155", "1.1.0-alpha", Match::Version),
            // A longer name that ends amid a word is no better.
            ("1.1.0-alpine", "1.1.0", Match::Version),
            ("1.1.0/fix", "1.1.0", Match::Version),
            ("developer", "dev", Match::Prefix),
            ("developments", "development", Match::Prefix),
            ("größe", "größ", Match::Prefix),
            ("master2", "master", Match::Prefix),
            ("feature", "master", Match::Fallback),
            ("de", "master", Match::Fallback),
        ] {
            let chosen = choose_base(&branch(on), &bases);
            assert_eq!(chosen, Some((&branch(expected), how)), "{on}");
        }
        assert_eq!(choose_base(&branch("feature"), &bases[1..]), None);
        assert_eq!(choose_base(&branch("master"), &[]), None);
    }

    #[test]
    fn a_script_is_told_branch_folder_and_release() {
        let own = repository("threefoldtech/0-initramfs");
        let base = Kernel::Base { commit: true };
        let incremental = Kernel::Incremental {
            base: own.clone(),
            rebuild_base: false,
        };
        let on = |reference: &str| reference.parse::<GitRef>().unwrap();
        assert_eq!(
            base.arguments(&own, &on("refs/heads/feature/x")),
            ["feature/x", "0-initramfs"]
        );
        assert_eq!(
            incremental.arguments(&repository("threefoldtech/0-core"), &on("refs/tags/v1.4")),
            ["v1.4", "0-initramfs", "release"]
        );
    }

    #[test]
    fn an_image_is_named_by_its_branch_where_docker_allows_it() {
        let name =
            |of: &str, on: &str| ImageName::of_base(&repository(of), &branch(on)).to_string();
        for (of, on) in [
            ("threefoldtech/0-initramfs", "master"),
            ("a.b/c__d-e--f", "V1.1.0_alpha-2"),
        ] {
            assert_eq!(name(of, on), format!("{of}:{on}"));
        }
        assert_eq!(
            name("crit/Base", "feature#1"),
            "crit/base-7b02343f:feature-1-d4dd842f"
        );
        assert_eq!(name("a/.b_", "größe"), "a/b-df5a87a3:gr--e-d353a267");
        let long = name("a/b", &"x".repeat(240));
        assert_eq!(long.len(), "a/b:".len() + 128);
        assert_ne!(name("a/b", "x/y"), name("a/b", "x-y"));
        assert_ne!(name("a/b-c", "x"), name("a/B-c", "x"));
    }

    #[test]
    fn every_name_that_git_and_github_allow_has_an_image_name() {
        for (of, on) in [("_/_", "#"), ("a/...b", "(x)"), ("A/__", "ä")] {
            let image = ImageName::of_base(&repository(of), &branch(on));
            assert!(
                image.repository.split('/').all(is_path_component),
                "{image}"
            );
            assert!(
                image
                    .tag
                    .starts_with(|first: char| first.is_ascii_alphanumeric()),
                "{image}"
            );
        }
    }
}
