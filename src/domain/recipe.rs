//! What to build: recipes, and the catalog of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kernel::Kernel;
use super::names::{
    ArtifactName, BranchName, ContainerPath, RecipeTag, RepositoryName, ScriptPath,
};
use super::paths::PathFilter;

/// How one script of one branch is built. What is `None` is the service's to decide, at the
/// moment the build starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub script: ScriptPath,
    pub artifact: ArtifactName,
    pub archives: ContainerPath,
    pub baseimage: Option<String>,
    pub tag: Option<RecipeTag>,
    pub format: Format,
    pub dependencies: Vec<RepositoryName>,
    /// Which pushes it is for; `None` is all of them. Recipes that were stored before there were
    /// filters have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_filter: Option<PathFilter>,
    pub timeout: Option<Duration>,
    pub supersede: Option<Supersede>,
    /// Bytes.
    pub memory: Option<u64>,
    /// How many cores' worth of time; fractions are allowed.
    pub cpus: Option<f64>,
    pub environment: BTreeMap<String, String>,
}

#[cfg(test)]
impl Recipe {
    /// One that asks for nothing beyond what a recipe has to say.
    pub fn of_script(script: &str) -> Self {
        Self {
            script: script.parse().unwrap(),
            artifact: "result.tar.gz".parse().unwrap(),
            archives: "/target".parse().unwrap(),
            baseimage: None,
            tag: None,
            format: Format::Binary,
            dependencies: Vec::new(),
            path_filter: None,
            timeout: None,
            supersede: None,
            memory: None,
            cpus: None,
            environment: BTreeMap::new(),
        }
    }
}

/// What the artifact is, and so where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Uploaded to the hub.
    Flist,
    /// Copied to `artifacts.binaries`.
    Binary,
    /// Published in `kernels.directory`.
    Kernel(Kernel),
}

/// What a newer push to the same branch does to the older push's builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supersede {
    /// Cancels those that wait and those that run.
    #[default]
    All,
    /// Cancels those that wait.
    Queued,
    /// Cancels none.
    None,
}

/// Everything that is tracked: one value, replaced whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    branches: BTreeMap<RepositoryName, BTreeMap<BranchName, Vec<Recipe>>>,
}

impl Catalog {
    pub fn insert(&mut self, repository: RepositoryName, branch: BranchName, recipes: Vec<Recipe>) {
        self.branches
            .entry(repository)
            .or_default()
            .insert(branch, recipes);
    }

    pub fn is_tracked(&self, repository: &RepositoryName) -> bool {
        self.branches.contains_key(repository)
    }

    /// The recipes of a branch (or tag) of that name; `None` where it is not tracked.
    pub fn recipes(&self, repository: &RepositoryName, branch: &BranchName) -> Option<&[Recipe]> {
        self.branches
            .get(repository)?
            .get(branch)
            .map(Vec::as_slice)
    }

    /// Every recipe, with its repository and branch.
    pub fn all(&self) -> impl Iterator<Item = (&RepositoryName, &BranchName, &Recipe)> {
        self.branches.iter().flat_map(|(repository, branches)| {
            branches.iter().flat_map(move |(branch, recipes)| {
                recipes
                    .iter()
                    .map(move |recipe| (repository, branch, recipe))
            })
        })
    }

    pub fn repositories(&self) -> impl Iterator<Item = &RepositoryName> {
        self.branches.keys()
    }

    pub fn branches(&self, repository: &RepositoryName) -> impl Iterator<Item = &BranchName> {
        self.branches
            .get(repository)
            .into_iter()
            .flat_map(BTreeMap::keys)
    }
}
