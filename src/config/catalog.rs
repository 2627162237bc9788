//! All files of the configuration repository → one Catalog.
//!
//! Pure: what the files hold, and which texts of them were last good, goes in; the Catalog and
//! the texts that are good now come out. Where the files come from (a directory, a commit) and
//! where the last good ones are kept is the caller's.
//!
//! A broken file keeps its last good version in force. So does each of two files that would
//! publish under one name, of those that changed: what already publishes there goes on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::branch::{BranchFile, NamedImage, parse_branch_file};
use super::document::shorten;
use super::finding::{Finding, Findings, Place, locate};
use crate::domain::images::AllowedImages;
use crate::domain::names::{BranchName, NameError, RepositoryName};
use crate::domain::publication;
use crate::domain::recipe::{Catalog, Format};

/// Path (`owner/repository/branch.yaml`, with `/` between its parts) → text, or why it cannot be
/// read. The texts of files that are ignored are not looked at and may be empty.
pub type Files = BTreeMap<String, Result<String, String>>;

/// Path → text of the version that is in force.
pub type LastGood = BTreeMap<String, String>;

/// What a set of files means.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub catalog: Catalog,
    /// To be kept, and handed to the next [`resolve`].
    pub last_good: LastGood,
    /// Each file there is, and those that were removed, by path.
    pub files: Vec<FileOutcome>,
    pub findings: Findings,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOutcome {
    pub path: String,
    #[serde(flatten)]
    pub state: FileState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum FileState {
    /// New or changed, and in force.
    Tracked,
    /// In force, with the text it had before.
    Unchanged,
    /// Not in force; `in_force`: its last good version is.
    Broken { in_force: bool },
    /// It was in force and is gone: its branch is not built any more.
    Removed,
    /// Not a branch's file.
    Ignored,
}

impl FileState {
    /// Whether a version of the file is in force.
    pub fn is_in_force(self) -> bool {
        matches!(
            self,
            Self::Tracked | Self::Unchanged | Self::Broken { in_force: true }
        )
    }
}

/// What a path says about its file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Branch(Key),
    /// Meant as a branch's file, with a name that cannot be one.
    Misnamed(NameError),
    /// A YAML file where no branch's file can be.
    Misplaced,
    Other,
}

type Key = (RepositoryName, BranchName);

fn meaning(path: &str) -> Meaning {
    let is_hidden = path.split('/').any(|part| part.starts_with('.'));
    let stem = path
        .strip_suffix(".yaml")
        .or_else(|| path.strip_suffix(".yml"));
    let Some(stem) = stem.filter(|_| !is_hidden) else {
        return Meaning::Other;
    };
    let mut parts = stem.splitn(3, '/');
    let (Some(owner), Some(name), Some(branch)) = (parts.next(), parts.next(), parts.next()) else {
        return Meaning::Misplaced;
    };
    let parsed = format!("{owner}/{name}")
        .parse()
        .and_then(|repository| Ok((repository, branch.parse()?)));
    match parsed {
        Ok(key) => Meaning::Branch(key),
        Err(error) => Meaning::Misnamed(error),
    }
}

/// Whether a file's text matters: only such files need to be read.
pub fn is_branch_file(path: &str) -> bool {
    matches!(meaning(path), Meaning::Branch(_))
}

/// One version of one branch's file.
#[derive(Clone)]
struct Version<'a> {
    path: &'a str,
    text: &'a str,
    content: BranchFile,
    /// It is the text that the file has now, so its places can be pointed to.
    is_current: bool,
    /// It differs from the version in force so far.
    is_new: bool,
}

/// The paths of each branch's file: one, or `.yaml` and `.yml` by mistake.
type PathsByKey<'a> = BTreeMap<Key, Vec<&'a str>>;

/// Reads all files, and decides for each which version of it is in force. `images`: what they may
/// name.
pub fn resolve(files: &Files, last_good: &LastGood, images: &AllowedImages) -> Loaded {
    let mut report = Report::default();
    let mut states = BTreeMap::new();
    let mut paths_by_key = PathsByKey::new();
    for path in files.keys() {
        states.insert(path.as_str(), FileState::Ignored);
        match meaning(path) {
            Meaning::Branch(key) => paths_by_key.entry(key).or_default().push(path),
            Meaning::Misnamed(error) => {
                report.error(path, error.to_string(), None);
                states.insert(path, FileState::Broken { in_force: false });
            }
            Meaning::Misplaced => report.push(
                path,
                Finding::warning(Place::FILE, "is ignored")
                    .hint("a branch's file is <owner>/<repository>/<branch>.yaml"),
            ),
            Meaning::Other => {}
        }
    }

    let fallbacks = read_last_good(last_good);
    let mut in_force: BTreeMap<Key, Version> = BTreeMap::new();
    for (key, paths) in &paths_by_key {
        let fallback = fallbacks.get(key);
        let current = read_current(key, paths, files, fallback, images, &mut report);
        if let Some(version) = current.or_else(|| fallback.cloned()) {
            in_force.insert(key.clone(), version);
        }
    }
    settle_conflicts(&mut in_force, &fallbacks, &mut report);
    warn_of_two_spellings(&in_force, &mut report);

    for (key, paths) in &paths_by_key {
        for path in paths {
            states.insert(path, state(path, in_force.get(key), &report));
        }
    }
    for path in last_good.keys() {
        let is_there =
            matches!(meaning(path), Meaning::Branch(key) if paths_by_key.contains_key(&key));
        if !is_there {
            states.insert(path, FileState::Removed);
        }
    }
    let states = states.into_iter().map(|(path, state)| FileOutcome {
        path: path.to_owned(),
        state,
    });
    let states = states.collect();
    let (catalog, last_good) = put_in_force(in_force);
    Loaded {
        catalog,
        last_good,
        files: states,
        findings: report.conclude(files),
    }
}

fn state(path: &str, in_force: Option<&Version>, report: &Report) -> FileState {
    match in_force {
        _ if report.broken.contains(path) => FileState::Broken {
            in_force: in_force.is_some(),
        },
        Some(version) if version.is_new => FileState::Tracked,
        Some(_) => FileState::Unchanged,
        // Only a file with a finding is out of force.
        None => FileState::Broken { in_force: false },
    }
}

fn put_in_force(versions: BTreeMap<Key, Version>) -> (Catalog, LastGood) {
    let mut catalog = Catalog::default();
    let mut last_good = LastGood::new();
    for ((repository, branch), version) in versions {
        last_good.insert(version.path.to_owned(), version.text.to_owned());
        let recipes = version.content.recipes.into_iter();
        let recipes = recipes.map(|(recipe, _)| recipe).collect();
        catalog.insert(repository, branch, recipes);
    }
    (catalog, last_good)
}

#[derive(Default)]
struct Report {
    /// By the file's path.
    findings: BTreeMap<String, Vec<Finding>>,
    broken: BTreeSet<String>,
}

impl Report {
    fn push(&mut self, path: &str, finding: Finding) {
        if finding.is_error() {
            self.broken.insert(path.to_owned());
        }
        let of_file = self.findings.entry(path.to_owned()).or_default();
        of_file.push(finding);
    }

    /// An error of a file as a whole.
    fn error(&mut self, path: &str, message: String, hint: Option<String>) {
        self.push(path, Finding::error(Place::FILE, message).maybe_hint(hint));
    }

    fn conclude(self, files: &Files) -> Findings {
        let mut findings = Vec::new();
        for (path, of_file) in self.findings {
            let text = files.get(&path).and_then(|text| text.as_deref().ok());
            findings.extend(locate(of_file, &path, text.unwrap_or_default(), false));
        }
        Findings::new(findings)
    }
}

/// The version that the file has now, if it is a good one.
fn read_current<'a>(
    key: &Key,
    paths: &[&'a str],
    files: &'a Files,
    fallback: Option<&Version>,
    images: &AllowedImages,
    report: &mut Report,
) -> Option<Version<'a>> {
    let [path] = *paths else {
        for (path, other) in paths.iter().zip(paths.iter().rev()) {
            let message = format!("{other} is for the same branch");
            report.error(path, message, Some("remove one of the two".to_owned()));
        }
        return None;
    };
    let text = match &files[path] {
        Ok(text) => text,
        Err(reason) => {
            report.error(path, reason.clone(), None);
            return None;
        }
    };
    let (content, findings) = parse_branch_file(text);
    for finding in findings {
        report.push(path, finding);
    }
    let content = content?;
    let mut refused = content
        .images
        .iter()
        .filter(|named| !images.allows(&named.image))
        .peekable();
    if refused.peek().is_some() {
        for named in refused {
            report.push(path, not_allowed(named, images));
        }
        return None;
    }
    for (recipe, place) in &content.recipes {
        if recipe.dependencies.contains(&key.0) {
            let message = "depends on its own repository, whose pushes build it anyway";
            let finding = Finding::warning(*place, message);
            report.push(path, finding.key(shorten(recipe.script.as_str())));
        }
    }
    Some(Version {
        path,
        text,
        content,
        is_current: true,
        is_new: fallback.is_none_or(|fallback| fallback.text != text),
    })
}

fn not_allowed(named: &NamedImage, images: &AllowedImages) -> Finding {
    let message = format!(
        "the service's operator does not allow {}",
        shorten(&named.image)
    );
    Finding::error(named.place, message)
        .key(format!("{}.baseimage", shorten(named.script.as_str())))
        .expected(format!(
            "what docker.images of the service file lists: {}",
            shorten(&images.to_string())
        ))
}

/// The versions in force so far. One that this program cannot read any more is gone.
fn read_last_good(last_good: &LastGood) -> BTreeMap<Key, Version<'_>> {
    let mut versions = BTreeMap::new();
    for (path, text) in last_good {
        let Meaning::Branch(key) = meaning(path) else {
            continue;
        };
        if let (Some(content), _) = parse_branch_file(text) {
            let version = Version {
                path,
                text,
                content,
                is_current: false,
                is_new: false,
            };
            versions.insert(key, version);
        }
    }
    versions
}

/// One recipe's claim to a published name.
struct Claim {
    key: Key,
    path: String,
    script: String,
    place: Place,
}

/// Until no two files publish under one name: those that changed go back to their last good
/// version; where none of them changed, all of them go.
fn settle_conflicts<'a>(
    in_force: &mut BTreeMap<Key, Version<'a>>,
    fallbacks: &BTreeMap<Key, Version<'a>>,
    report: &mut Report,
) {
    // Each round takes at least one version away, so it ends.
    loop {
        let conflicts = conflicts(in_force);
        if conflicts.is_empty() {
            return;
        }
        let mut losers = BTreeSet::new();
        for (name, claims) in &conflicts {
            for claim in claims {
                report_conflict(name, claim, claims, report);
            }
            let changed = || {
                claims
                    .iter()
                    .filter(|claim| in_force[&claim.key].is_new)
                    .map(|claim| claim.key.clone())
            };
            match changed().next() {
                Some(_) => losers.extend(changed()),
                None => losers.extend(claims.iter().map(|claim| claim.key.clone())),
            }
        }
        for key in losers {
            let Some(loser) = in_force.remove(&key) else {
                continue;
            };
            if let Some(fallback) = fallbacks.get(&key).filter(|_| loser.is_new) {
                in_force.insert(key, fallback.clone());
            }
        }
    }
}

/// To GitHub, names that differ only by upper and lower case are one repository. Here they are two,
/// of which only one hears of a push by a webhook.
fn warn_of_two_spellings(in_force: &BTreeMap<Key, Version>, report: &mut Report) {
    let named = |(key, version): (&Key, &Version)| {
        let recipes = version.content.recipes.iter();
        let dependencies = recipes.flat_map(|(recipe, _)| recipe.dependencies.clone());
        let mut names: BTreeSet<RepositoryName> = dependencies.collect();
        names.insert(key.0.clone());
        names
    };
    let mut spellings: BTreeMap<String, BTreeSet<RepositoryName>> = BTreeMap::new();
    for name in in_force.iter().flat_map(named) {
        let same_on_github = name.to_string().to_ascii_lowercase();
        spellings.entry(same_on_github).or_default().insert(name);
    }
    for (key, version) in in_force {
        for name in named((key, version)) {
            let same_on_github = name.to_string().to_ascii_lowercase();
            let mut others = spellings[&same_on_github].iter();
            if let Some(other) = others.find(|other| **other != name) {
                let message =
                    format!("{name} is also spelled {other}; to GitHub it is one repository");
                let finding = Finding::warning(Place::FILE, message);
                let hint = "spell it as GitHub does, in the names of folders and in dependencies";
                report.push(version.path, finding.hint(hint));
            }
        }
    }
}

/// The names that recipes of more than one file would publish under.
fn conflicts(in_force: &BTreeMap<Key, Version>) -> Vec<(String, Vec<Claim>)> {
    let mut claims: BTreeMap<(String, bool), Vec<Claim>> = BTreeMap::new();
    for (key, version) in in_force {
        for (recipe, place) in &version.content.recipes {
            let name = publication::stem(&key.0, recipe.tag.as_ref(), &key.1);
            // The hub and the folder of binaries are two places.
            let is_binary = recipe.format == Format::Binary;
            claims.entry((name, is_binary)).or_default().push(Claim {
                key: key.clone(),
                path: version.path.to_owned(),
                script: recipe.script.to_string(),
                place: match version.is_current {
                    true => *place,
                    false => Place::FILE,
                },
            });
        }
    }
    claims
        .into_iter()
        .filter(|(_, claims)| claims.len() > 1)
        .map(|((name, _), claims)| (name, claims))
        .collect()
}

fn report_conflict(name: &str, claim: &Claim, claims: &[Claim], report: &mut Report) {
    let Some(other) = claims.iter().find(|other| other.key != claim.key) else {
        return;
    };
    let message = format!(
        "would publish under the name {}, as {} of {} does",
        shorten(name),
        shorten(&other.script),
        other.path
    );
    let finding = Finding::error(claim.place, message)
        .key(shorten(&claim.script))
        .hint("give one of the two another `tag`");
    report.push(&claim.path, finding);
}
