//! One file of the configuration repository: the recipes of one branch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::document::{self, Kind, Node, shorten};
use super::finding::Finding;
use super::read::{did_you_mean, read};
use super::values::{
    Cores, Image, Memory, Period, Superseding, VariableName, VariableValue, optional, table,
};
use crate::domain::names::{ArtifactName, ContainerPath, RecipeTag, RepositoryName, ScriptPath};
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
    format: Format,
    #[serde(default)]
    dependencies: Vec<RepositoryName>,
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

fn default_archives() -> ContainerPath {
    "/target".parse().expect("the default is valid")
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchFile {
    /// In the order in which the file lists them, each with the line of its section.
    pub recipes: Vec<(Recipe, super::finding::Place)>,
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

    let mut aside = BTreeSet::new();
    let scripts = listed_scripts(&root, &mut aside, &mut findings);
    let mut recipes = Vec::new();
    let mut listed = BTreeMap::new();
    for (script, item) in &scripts {
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
                let mut problems = Vec::new();
                let section: Option<Section> =
                    read(&entry.value, Path::new(""), &mut aside, &mut problems);
                for problem in &mut problems {
                    problem.key = match problem.key.as_str() {
                        "" => shorten(&entry.key),
                        key => format!("{}.{key}", shorten(&entry.key)),
                    };
                    // "`artifact` is missing" points to the script's name, not to its first key.
                    if problem.place == entry.value.place {
                        problem.place = entry.key_place;
                    }
                }
                findings.append(&mut problems);
                if let Some(section) = section {
                    recipes.push((recipe(script.clone(), section), entry.key_place));
                }
            }
        }
    }
    for entry in entries {
        if entry.key != SCRIPTS && !listed.contains_key(entry.key.as_str()) {
            findings.push(unlisted(entry, scripts.is_empty()));
        }
    }
    let is_good = !findings.iter().any(Finding::is_error);
    (is_good.then_some(BranchFile { recipes }), findings)
}

const FORM: &str = "`buildscripts:` with a list of scripts, and a section for each of them";

/// The scripts under `buildscripts`, each with its node.
fn listed_scripts<'a>(
    root: &'a Node,
    aside: &mut BTreeSet<usize>,
    findings: &mut Vec<Finding>,
) -> Vec<(ScriptPath, &'a Node)> {
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
        findings.push(finding);
        return Vec::new();
    };
    let Kind::Sequence(items) = &entry.value.kind else {
        findings.push(
            Finding::error(entry.key_place, "this is not a list")
                .key(SCRIPTS)
                .expected("a list of scripts, each in a line that begins with `- `"),
        );
        return Vec::new();
    };
    if items.is_empty() {
        findings.push(
            Finding::error(entry.key_place, "no script is listed")
                .key(SCRIPTS)
                .expected("at least one"),
        );
    }
    let mut scripts = Vec::new();
    for item in items {
        let mut problems = Vec::new();
        if let Some(script) = read::<ScriptPath>(item, Path::new(""), aside, &mut problems) {
            scripts.push((script, item));
        }
        findings.extend(problems.into_iter().map(|problem| problem.key(SCRIPTS)));
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

fn unlisted(entry: &document::Entry, is_nothing_listed: bool) -> Finding {
    let name = shorten(&entry.key);
    let message = format!("`{name}` is not listed under `{SCRIPTS}` and will not be built");
    let finding = Finding::warning(entry.key_place, message).key(name);
    match is_nothing_listed {
        true => finding,
        false => finding.hint(format!("list it under `{SCRIPTS}`, or remove it")),
    }
}

fn recipe(script: ScriptPath, section: Section) -> Recipe {
    Recipe {
        script,
        artifact: section.artifact,
        archives: section.archives,
        baseimage: section.baseimage,
        tag: section.tag,
        format: section.format,
        dependencies: section.dependencies,
        timeout: section.timeout,
        supersede: section.supersede,
        memory: section.memory,
        cpus: section.cpus,
        environment: section.environment,
    }
}
