//! One file of the configuration repository: the recipes of one branch.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::document::{self, Kind, Node, shorten};
use super::finding::{Finding, Place};
use super::problem::did_you_mean;
use super::read::{MAX_ERRORS, Reading};
use super::values::{
    Cores, Image, Memory, Period, Superseding, VariableName, VariableValue, optional, table,
};
use crate::domain::names::{ArtifactName, ContainerPath, RecipeTag, RepositoryName, ScriptPath};
use crate::domain::paths::{PathFilter, Pattern, Patterns};
use crate::domain::recipe::{Format, Recipe, Supersede};

const SCRIPTS: &str = "buildscripts";

/// The keys of a script's section.
#[derive(Deserialize)]
struct Section {
    artifact: ArtifactName,
    #[serde(default = "default_archives")]
    archives: ContainerPath,
    #[serde(default, deserialize_with = "optional::<Image, _, _>")]
    baseimage: Option<String>,
    tag: Option<RecipeTag>,
    #[serde(default)]
    format: FormatKey,
    #[serde(default)]
    dependencies: Vec<RepositoryName>,
    paths: Option<Vec<Pattern>>,
    paths_ignore: Option<Vec<Pattern>>,
    #[serde(default, deserialize_with = "optional::<Period, _, _>")]
    timeout: Option<Duration>,
    #[serde(default, deserialize_with = "optional::<Superseding, _, _>")]
    supersede: Option<Supersede>,
    #[serde(default, deserialize_with = "optional::<Memory, _, _>")]
    memory: Option<u64>,
    #[serde(default, deserialize_with = "optional::<Cores, _, _>")]
    cpus: Option<f64>,
    #[serde(
        default,
        deserialize_with = "table::<VariableName, VariableValue, _, _>"
    )]
    environment: BTreeMap<String, String>,
}

/// Kernels are described in the service file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatKey {
    #[default]
    Flist,
    Binary,
}

fn default_archives() -> ContainerPath {
    "/target".parse().expect("the default is valid")
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchFile {
    /// In the order in which the file lists them, each with the line of its section.
    pub recipes: Vec<(Recipe, Place)>,
    /// The images that recipes name.
    pub images: Vec<NamedImage>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NamedImage {
    pub image: String,
    pub script: ScriptPath,
    pub place: Place,
}

/// Reads the text of one file. Without a value there is at least one error; with one there may be
/// warnings. The findings carry places, but no file.
pub fn parse_branch_file(text: &str) -> (Option<BranchFile>, Vec<Finding>) {
    let (root, mut findings) = document::parse(text);
    let Some(root) = root else {
        return (None, findings);
    };
    if root.is_null() {
        findings.push(Finding::error(root.place, "the file is empty").expected(FORM));
        return (None, findings);
    }
    let Kind::Mapping(entries) = &root.kind else {
        findings.push(Finding::error(root.place, "this is not a section").expected(FORM));
        return (None, findings);
    };

    let mut reading = Reading::new(Path::new(""), findings);
    let scripts = listed_scripts(&root, &mut reading);
    let mut recipes: Vec<(Recipe, Place)> = Vec::new();
    let mut images = Vec::new();
    let mut listed = BTreeMap::new();
    for (script, item) in &scripts {
        // Each of these errors is looked up among all sections for what was meant.
        if reading.findings.len() > MAX_ERRORS {
            break;
        }
        let findings = &mut reading.findings;
        if let Some(line) = listed.insert(script.as_str(), item.place.line) {
            findings.push(
                Finding::error(item.place, format!("`{script}` is listed twice"))
                    .key(SCRIPTS)
                    .hint(format!("the first time in line {line}")),
            );
            continue;
        }
        match root.entry(script.as_str()) {
            None => findings.push(undefined(script, item, &root)),
            Some(entry) => {
                let earlier = reading.findings.len();
                let section: Option<Section> = reading.read(&entry.value, entry.key_place);
                // Of what could not be read, the rest is not judged.
                let filter = match &section {
                    Some(section) if reading.findings.len() == earlier => {
                        path_filter(section, &entry.value, &mut reading.findings)
                    }
                    _ => None,
                };
                for finding in &mut reading.findings[earlier..] {
                    let keys = [shorten(&entry.key), std::mem::take(&mut finding.key)];
                    finding.key = keys.join(".").trim_end_matches('.').to_owned();
                }
                if let Some(section) = section {
                    images.extend(named_image(script, &section, &entry.value));
                    recipes.push((recipe(script.clone(), section, filter), entry.key_place));
                }
            }
        }
    }
    let mut findings = reading.findings;
    findings.extend(same_names(&recipes));
    for entry in entries {
        let is_listed = entry.key == SCRIPTS || listed.contains_key(entry.key.as_str());
        // With a broken list, every section would be reported.
        if !is_listed && !listed.is_empty() {
            findings.push(unlisted(entry));
        }
    }
    let is_good = !findings.iter().any(Finding::is_error);
    (is_good.then_some(BranchFile { recipes, images }), findings)
}

const FORM: &str = "`buildscripts:` with a list of scripts, and a section for each of them";

/// Two scripts of one branch that differ neither in tag nor in format would overwrite each other.
fn same_names(recipes: &[(Recipe, Place)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, (recipe, place)) in recipes.iter().enumerate() {
        let mut others = recipes[..index].iter();
        let same =
            others.find(|(other, _)| other.tag == recipe.tag && other.format == recipe.format);
        if let Some((other, other_place)) = same {
            let message = format!(
                "would publish under the same name as `{}` in line {}",
                other.script, other_place.line
            );
            findings.push(
                Finding::error(*place, message)
                    .key(shorten(recipe.script.as_str()))
                    .hint("give each of them a `tag` of its own"),
            );
        }
    }
    findings
}

/// The scripts under `buildscripts`, each with its node.
fn listed_scripts<'a>(root: &'a Node, reading: &mut Reading<'a>) -> Vec<(ScriptPath, &'a Node)> {
    let Some(entry) = root.entry(SCRIPTS) else {
        let near = root
            .entries()
            .iter()
            .find(|entry| did_you_mean(&entry.key, [SCRIPTS].into_iter()).is_some());
        let finding = match near {
            Some(entry) => Finding::error(
                entry.key_place,
                format!("`{}` is not a known key", shorten(&entry.key)),
            )
            .hint(format!("did you mean `{SCRIPTS}`?")),
            None => {
                Finding::error(root.place, format!("the key `{SCRIPTS}` is missing")).expected(FORM)
            }
        };
        reading.findings.push(finding);
        return Vec::new();
    };
    let Kind::Sequence(items) = &entry.value.kind else {
        reading.findings.push(
            Finding::error(entry.key_place, "this is not a list")
                .key(SCRIPTS)
                .expected("a list of scripts, each in a line that begins with `- `"),
        );
        return Vec::new();
    };
    if items.is_empty() {
        reading.findings.push(
            Finding::error(entry.key_place, "no script is listed")
                .key(SCRIPTS)
                .expected("at least one"),
        );
    }
    let mut scripts = Vec::new();
    for item in items {
        let earlier = reading.findings.len();
        if let Some(script) = reading.read::<ScriptPath>(item, item.place) {
            scripts.push((script, item));
        }
        for finding in &mut reading.findings[earlier..] {
            finding.key = SCRIPTS.to_owned();
        }
    }
    scripts
}

fn undefined(script: &ScriptPath, item: &Node, root: &Node) -> Finding {
    let sections = root.entries().iter().map(|entry| entry.key.as_str());
    let hint = did_you_mean(script.as_str(), sections.filter(|key| *key != SCRIPTS))
        .unwrap_or_else(|| format!("add a section `{script}:` with at least `artifact:`"));
    Finding::error(
        item.place,
        format!("`{script}` is listed and has no section"),
    )
    .key(SCRIPTS)
    .hint(hint)
}

fn unlisted(entry: &document::Entry) -> Finding {
    let message = format!("is not listed under `{SCRIPTS}` and will not be built");
    Finding::warning(entry.key_place, message)
        .key(shorten(&entry.key))
        .hint("list it there, or remove it")
}

/// The filter of a section, of which GitHub Actions too takes one or the other.
/// Source: <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#onpushpull_requestpull_request_targetpathspaths-ignore>.
fn path_filter(section: &Section, node: &Node, findings: &mut Vec<Finding>) -> Option<PathFilter> {
    let place_of = |key| node.entry(key).map_or(node.place, |entry| entry.key_place);
    let (key, patterns, filter): (_, _, fn(Patterns) -> PathFilter) =
        match (&section.paths, &section.paths_ignore) {
            (None, None) => return None,
            (Some(patterns), None) => ("paths", patterns, PathFilter::Paths),
            (None, Some(patterns)) => ("paths_ignore", patterns, PathFilter::PathsIgnore),
            (Some(_), Some(_)) => {
                let both = "both `paths` and `paths_ignore` are given";
                let hint = "give `paths` alone: its patterns that begin with ! exclude files";
                findings.push(
                    Finding::error(place_of("paths_ignore"), both)
                        .key("paths_ignore")
                        .hint(hint),
                );
                return None;
            }
        };
    match Patterns::try_from(patterns.clone()) {
        Ok(patterns) => Some(filter(patterns)),
        Err(error) => {
            findings.push(Finding::error(place_of(key), error.to_string()).key(key));
            None
        }
    }
}

fn named_image(script: &ScriptPath, section: &Section, node: &Node) -> Option<NamedImage> {
    Some(NamedImage {
        image: section.baseimage.clone()?,
        script: script.clone(),
        place: node.entry("baseimage")?.value.place,
    })
}

fn recipe(script: ScriptPath, section: Section, path_filter: Option<PathFilter>) -> Recipe {
    Recipe {
        script,
        artifact: section.artifact,
        archives: section.archives,
        baseimage: section.baseimage,
        tag: section.tag,
        format: match section.format {
            FormatKey::Flist => Format::Flist,
            FormatKey::Binary => Format::Binary,
        },
        dependencies: section.dependencies,
        path_filter,
        timeout: section.timeout,
        supersede: section.supersede,
        memory: section.memory,
        cpus: section.cpus,
        environment: section.environment,
    }
}
