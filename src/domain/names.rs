//! Names that come from outside: repositories, refs, commits, scripts, artifacts.
//!
//! Each is a string that was checked once, when it was parsed. From then on it can be a path
//! component, an argument of git or a part of a URL without being looked at again: none is
//! empty, begins with a dash, holds a character that cannot be seen, or can climb out of a folder.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::{Match, Regex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}: {reason}")]
pub struct NameError {
    text: String,
    expected: &'static str,
    reason: &'static str,
}

impl NameError {
    fn new(text: &str, expected: &'static str, reason: &'static str) -> Self {
        // A hostile name may be megabytes long; the message is for people.
        let text = match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        Self {
            text,
            expected,
            reason,
        }
    }

    /// The rule that was broken, alone.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text).map_err(|reason| NameError::new(text, $expected, reason))?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name!(
    /// A repository on GitHub: `owner/name`.
    RepositoryName,
    "a repository (owner/name)",
    check_repository
);
checked_name!(
    /// A branch, without `refs/heads/`. May contain slashes.
    BranchName,
    "a branch name",
    check_ref_name
);
checked_name!(
    /// A full commit id: 40 (or, for SHA-256 repositories, 64) lower-case hexadecimal digits.
    CommitSha,
    "a commit id (40 hexadecimal digits)",
    check_commit
);
checked_name!(
    /// A build's id: 12 characters of `0-9a-z`. Opaque to everyone outside.
    BuildId,
    "a build id (12 characters of 0-9 and a-z)",
    check_build_id
);
checked_name!(
    /// A script's path inside the repository, such as `autobuild/build.sh`.
    ScriptPath,
    "a path inside the repository",
    check_relative_path
);
checked_name!(
    /// The name of an artifact: one path component.
    ArtifactName,
    "a file name",
    check_file_name
);
checked_name!(
    /// An absolute folder inside a container, such as `/tmp/archives`.
    ContainerPath,
    "an absolute path in the container",
    check_container_path
);
checked_name!(
    /// The tag of a recipe: added to the artifact's name and to the status context.
    RecipeTag,
    "a recipe's tag",
    check_recipe_tag
);

impl RepositoryName {
    pub fn owner(&self) -> &str {
        self.parts().0
    }

    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// Whether they are one repository to GitHub, where upper and lower case are the same.
    pub fn is_same_on_github(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').expect("checked when it was parsed")
    }
}

impl CommitSha {
    /// The first ten digits, as file names and pages show a commit.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl BuildId {
    /// An id from 60 random bits: a million builds collide with a chance of one in two million.
    pub fn from_random(bits: u64) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let id = (0..12)
            .map(|position| DIGITS[(bits >> (position * 5) & 31) as usize] as char)
            .collect();
        Self(id)
    }

    /// The id of a build of the service before this one, whose ids look otherwise: always the
    /// same, so that its old links are found without a table.
    pub fn of_imported(old: &str) -> Self {
        let digest = Sha256::digest(old.as_bytes());
        let bits = digest
            .iter()
            .take(8)
            .fold(0, |bits, &byte| bits << 8 | u64::from(byte));
        Self::from_random(bits >> 4)
    }
}

/// What was pushed to: `refs/heads/…` or `refs/tags/…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum GitRef {
    Branch(BranchName),
    Tag(BranchName),
}

impl GitRef {
    /// The name without `refs/heads/` or `refs/tags/`: the name of the configuration's file.
    pub fn short_name(&self) -> &BranchName {
        match self {
            Self::Branch(name) | Self::Tag(name) => name,
        }
    }

    pub fn is_tag(&self) -> bool {
        matches!(self, Self::Tag(_))
    }
}

impl FromStr for GitRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(branch) = text.strip_prefix("refs/heads/") {
            branch.parse().map(Self::Branch)
        } else if let Some(tag) = text.strip_prefix("refs/tags/") {
            tag.parse().map(Self::Tag)
        } else {
            Err(NameError::new(
                text,
                "a ref",
                "it begins with neither refs/heads/ nor refs/tags/",
            ))
        }
    }
}

impl TryFrom<String> for GitRef {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<GitRef> for String {
    fn from(reference: GitRef) -> String {
        reference.to_string()
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(formatter, "refs/heads/{name}"),
            Self::Tag(name) => write!(formatter, "refs/tags/{name}"),
        }
    }
}

type Check = Result<(), &'static str>;

/// What nobody sees, or takes for a space: it makes two names look alike, or one look like another.
/// Control and format characters (those that turn the direction of writing among them), line ends and
/// spaces but the common one, and letters and marks without a shape.
/// Source: <https://www.unicode.org/reports/tr44/#General_Category_Values>.
static HIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"[[\p{Cc}\p{Cf}\p{Co}\p{Z}\u{34F}\u{115F}\u{1160}\u{17B4}\u{17B5}\u{2800}\u{3164}\u{FFA0}]--[ ]]",
    )
    .expect("it is well formed")
});

fn check_visible(text: &str) -> Check {
    let is_hidden = |found: Match<'_>| {
        // It joins two pictures to one, as in a woman's and a laptop's.
        let before = text[..found.start()].chars().next_back();
        let is_picture = |letter: char| !letter.is_ascii() && !letter.is_alphanumeric();
        found.as_str() != "\u{200D}" || !before.is_some_and(is_picture)
    };
    match HIDDEN.find_iter(text).any(is_hidden) {
        true => Err("it holds a character that cannot be seen"),
        false => Ok(()),
    }
}

fn check_repository(text: &str) -> Check {
    let (owner, name) = text.split_once('/').ok_or("there is no slash in it")?;
    check_github_word(owner)?;
    check_github_word(name)
}

/// GitHub's own alphabet for owners and repositories.
fn check_github_word(text: &str) -> Check {
    if text.is_empty() {
        return Err("one part is empty");
    }
    if text.len() > 100 {
        return Err("one part is longer than 100 characters");
    }
    if text == "." || text == ".." {
        return Err("a part may not be . or ..");
    }
    if text.starts_with('-') {
        return Err("a part may not begin with a dash");
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Err("only letters, digits, dash, underscore and dot are allowed");
    }
    Ok(())
}

/// The rules of `git check-ref-format`, and a length that fits a file name.
fn check_ref_name(text: &str) -> Check {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 240 {
        return Err("it is longer than 240 bytes");
    }
    if text.starts_with('-') {
        return Err("it begins with a dash");
    }
    if text
        .bytes()
        .any(|byte| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte))
    {
        return Err("it holds a space, a control character or one of ~^:?*[\\");
    }
    check_visible(text)?;
    if text.contains("..") || text.contains("@{") || text == "@" || text.ends_with('.') {
        return Err("it holds .. or @{, is @, or ends in a dot");
    }
    if text
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"))
    {
        return Err("a part between slashes is empty, begins with a dot or ends in .lock");
    }
    Ok(())
}

fn check_commit(text: &str) -> Check {
    if text.len() != 40 && text.len() != 64 {
        return Err("it is not 40 characters long");
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        return Err("it holds something other than 0-9 and a-f");
    }
    Ok(())
}

fn check_build_id(text: &str) -> Check {
    if text.len() != 12 {
        return Err("it is not 12 characters long");
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    {
        return Err("it holds something other than 0-9 and a-z");
    }
    Ok(())
}

fn check_relative_path(text: &str) -> Check {
    if text.starts_with('/') {
        return Err("it begins with a slash");
    }
    if text.starts_with('-') {
        return Err("it begins with a dash");
    }
    check_path_parts(text)
}

fn check_container_path(text: &str) -> Check {
    let relative = text
        .strip_prefix('/')
        .ok_or("it does not begin with a slash")?;
    if relative.is_empty() {
        return Err("it is the root folder");
    }
    if relative == ".autobuilder" || relative.starts_with(".autobuilder/") {
        return Err("/.autobuilder belongs to the service");
    }
    check_path_parts(relative)
}

fn check_path_parts(text: &str) -> Check {
    if text.len() > 1000 {
        return Err("it is longer than 1000 bytes");
    }
    check_visible(text)?;
    if text
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err("a part between slashes is empty, . or ..");
    }
    Ok(())
}

fn check_file_name(text: &str) -> Check {
    if text.contains('/') {
        return Err("it holds a slash");
    }
    if text.len() > 200 {
        return Err("it is longer than 200 bytes");
    }
    if text.starts_with('-') {
        return Err("it begins with a dash");
    }
    check_path_parts(text)
}

fn check_recipe_tag(text: &str) -> Check {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 60 {
        return Err("it is longer than 60 characters");
    }
    if text.starts_with(['-', '.']) {
        return Err("it begins with a dash or a dot");
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Err("only letters, digits, dash, underscore and dot are allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::kernel::ImageName;

    #[test]
    fn a_repository_has_two_parts_of_githubs_alphabet() {
        let repository: RepositoryName = "threefoldtech/0-core".parse().unwrap();
        assert_eq!(
            (repository.owner(), repository.name()),
            ("threefoldtech", "0-core")
        );
        for bad in [
            "", "a", "a/", "/b", "a/b/c", "../b", "a/..", "-a/b", "a/-b", "a b/c", "a/b\n", "ä/b",
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_branch_follows_gits_rules() {
        for good in ["master", "feature/x", "1.1.0-alpha", "fix#12", "größe"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good:?}");
        }
        for bad in [
            "", "-x", "a..b", "a b", "a//b", "/a", "a/", ".a", "a/.b", "a.lock", "@", "a@{0}",
            "a\0b", "a\\b", "a.",
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(241).parse::<BranchName>().is_err());
    }

    #[test]
    fn a_ref_keeps_branch_and_tag_apart() {
        assert_eq!(
            "refs/heads/v1".parse::<GitRef>().unwrap(),
            GitRef::Branch("v1".parse().unwrap())
        );
        assert_eq!(
            "refs/tags/v1".parse::<GitRef>().unwrap().to_string(),
            "refs/tags/v1"
        );
        assert!("v1".parse::<GitRef>().is_err());
        assert!("refs/heads/../x".parse::<GitRef>().is_err());
    }

    #[test]
    fn paths_cannot_climb() {
        assert!("autobuild/build.sh".parse::<ScriptPath>().is_ok());
        for bad in ["", "/x", "../x", "a/../b", "a/./b", "a//b", "-x", "a\nb"] {
            assert!(bad.parse::<ScriptPath>().is_err(), "{bad:?}");
        }
        for bad in ["", "/", "tmp", "/a/../b", "/.autobuilder/spool", "/a\0"] {
            assert!(bad.parse::<ContainerPath>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "-x", "a\0b"] {
            assert!(bad.parse::<ArtifactName>().is_err(), "{bad:?}");
        }
    }

    /// Of each kind of name, one text that is good with this in it.
    fn with(part: &str) -> [Result<String, NameError>; 7] {
        fn parsed<Name: FromStr<Err = NameError> + ToString>(
            text: &str,
        ) -> Result<String, NameError> {
            text.parse().map(|name: Name| name.to_string())
        }
        [
            parsed::<RepositoryName>(&format!("acme/{part}")),
            parsed::<BranchName>(part),
            parsed::<GitRef>(&format!("refs/heads/{part}")),
            parsed::<ScriptPath>(part),
            parsed::<ArtifactName>(part),
            parsed::<ContainerPath>(&format!("/{part}")),
            parsed::<RecipeTag>(part),
        ]
    }

    #[test]
    fn what_is_hostile_is_no_name() {
        let good = with("release");
        assert!(good.iter().all(Result::is_ok), "{good:?}");
        let long = "x".repeat(10_000);
        for hostile in [
            "",
            "..",
            "../x",
            "x/..",
            "x/../../etc",
            "/etc/passwd",
            "//x",
            "x\0",
            "x\ny",
            "x\r\ny",
            "x\ty",
            "\u{1b}[2J",
            "x\u{7f}",
            "x\u{85}y",
            "x\u{9b}31m",
            "fe\u{202e}gpj.exe",
            "x\u{2066}y",
            "x\u{200b}y",
            "x\u{200c}y",
            "x\u{200d}y",
            "\u{feff}x",
            "x\u{2060}y",
            "x\u{2028}y",
            "x\u{2029}y",
            "x\u{ad}y",
            "x\u{a0}y",
            "x\u{3000}y",
            "x\u{3164}y",
            "x\u{e0041}y",
            "x\u{fff9}y",
            long.as_str(),
        ] {
            for name in with(hostile) {
                assert!(name.is_err(), "{hostile:?} became {name:?}");
            }
        }
        // After a slash it is no option.
        let options = with("--upload-pack=x");
        assert!([0, 1, 3, 4, 6].iter().all(|&kind| options[kind].is_err()));
        // What looks like a Latin letter is another one: only GitHub's own alphabet has no other.
        let look_alike = with("rel\u{435}ase");
        assert!(look_alike[0].is_err() && look_alike[6].is_err());
        assert_ne!(look_alike[1], good[1]);
    }

    #[test]
    fn what_people_write_is_a_name() {
        for branch in [
            "größe",
            "cafe\u{301}",
            "功能/登录",
            "fix-🚀",
            "❤\u{fe0f}",
            "👩\u{200d}💻",
            "👩🏽\u{200d}💻",
            "Ελληνικά",
            "עברית",
            "हिन्दी",
        ] {
            let parsed = branch.parse::<BranchName>();
            assert!(parsed.is_ok(), "{parsed:?}");
            assert!(branch.parse::<ScriptPath>().is_ok(), "{branch}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_safe_where_names_go(
            text in prop_oneof![
                proptest::string::string_regex("\\PC{0,30}").unwrap(),
                proptest::collection::vec(proptest::char::any(), 0..12).prop_map(String::from_iter),
                proptest::string::string_regex("[-./@{} a\u{0}\n\u{202e}\u{200b}]{1,12}").unwrap(),
            ],
        ) {
            for (kind, name) in with(&text).into_iter().enumerate() {
                let Ok(name) = name else { continue };
                // A path, relative or in a container.
                let path = std::path::Path::new(name.trim_start_matches('/'));
                let mut parts = path.components();
                prop_assert!(parts.all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert!(!name.is_empty() && name.len() < 1100 && !name.ends_with('/'));
                // An argument and a header's value.
                prop_assert!(!name.starts_with('-') && !name.contains('\0'), "{kind}: {name:?}");
                prop_assert!(hyper::header::HeaderValue::from_bytes(name.as_bytes()).is_ok());
                // A line of text.
                prop_assert!(!name.chars().any(char::is_control), "{kind}: {name:?}");
                prop_assert_eq!(name.lines().count(), 1);
            }
            if let Ok(branch) = text.parse::<BranchName>() {
                let image = ImageName::of_base(&"acme/app".parse().unwrap(), &branch);
                let tag = Regex::new("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$").unwrap();
                prop_assert!(tag.is_match(&image.tag), "{image}");
            }
        }
    }

    #[test]
    fn an_error_is_short_even_for_a_long_name() {
        let error = "a/".repeat(10_000).parse::<RepositoryName>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn an_old_id_stands_for_one_build() {
        let old = "5f0c54b1-a3c1-4f4e-9f39-3f8a3a4f3c55";
        let id = BuildId::of_imported(old);
        assert_eq!(id.as_str().parse::<BuildId>().unwrap(), id);
        // Of what was imported once, every later release must find the same.
        assert_eq!(id.as_str(), "fphww86zkq7r");
        assert_ne!(BuildId::of_imported("another"), id);
    }

    #[test]
    fn build_ids_from_random_bits_parse_again() {
        for bits in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = BuildId::from_random(bits);
            assert_eq!(id.as_str().parse::<BuildId>().unwrap(), id);
        }
    }
}
