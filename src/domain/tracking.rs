//! What a push means for this service: the builds it causes, in its own repository and in those
//! that depend on it.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Work;
use super::names::{BranchName, GitRef, RepositoryName};
use super::recipe::{Catalog, Recipe};

/// The branch that the configuration is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationBranch {
    pub repository: RepositoryName,
    pub branch: BranchName,
}

/// Everything whose pushes matter.
#[derive(Debug, Clone)]
pub struct Tracking<'a> {
    pub catalog: &'a Catalog,
    pub configuration: Option<&'a ConfigurationBranch>,
    /// Repositories of which each push of a branch or tag becomes a kernel.
    pub kernels: BTreeMap<&'a RepositoryName, Recipe>,
}

/// A script that is also built when another repository is pushed to.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependent {
    pub repository: RepositoryName,
    pub branch: BranchName,
    pub recipe: Recipe,
}

impl Tracking<'_> {
    /// What is done for a push to this ref.
    pub fn work(&self, repository: &RepositoryName, reference: &GitRef) -> Vec<Work> {
        let load = self
            .is_configuration(repository, reference)
            .then_some(Work::Configuration);
        let recipes = self.recipes(repository, reference.short_name());
        let scripts = recipes.into_iter().cloned().map(Work::from);
        load.into_iter().chain(scripts).collect()
    }

    /// The recipes of a branch or tag of that name.
    pub fn recipes(&self, repository: &RepositoryName, branch: &BranchName) -> Vec<&Recipe> {
        let kernel = self.kernels.get(repository);
        let scripts = self.catalog.recipes(repository, branch).unwrap_or_default();
        kernel.into_iter().chain(scripts).collect()
    }

    /// Whether this script is still built for this ref, or the configuration loaded from it.
    pub fn has(&self, repository: &RepositoryName, reference: &GitRef, script: &str) -> bool {
        let work = self.work(repository, reference);
        work.iter().any(|work| work.script() == script)
    }

    pub fn is_configuration(&self, repository: &RepositoryName, reference: &GitRef) -> bool {
        self.configuration.is_some_and(|configuration| {
            configuration.repository == *repository
                && *reference == GitRef::Branch(configuration.branch.clone())
        })
    }

    /// The scripts that depend on a repository, of whatever branch. Its own are not among them:
    /// each push builds them anyway.
    pub fn dependents(&self, of: &RepositoryName) -> Vec<Dependent> {
        self.catalog
            .all()
            .filter(|(repository, _, recipe)| *repository != of && recipe.dependencies.contains(of))
            .map(|(repository, branch, recipe)| Dependent {
                repository: repository.clone(),
                branch: branch.clone(),
                recipe: recipe.clone(),
            })
            .collect()
    }

    /// The repositories whose pushes are to be heard of.
    pub fn repositories(&self) -> BTreeSet<&RepositoryName> {
        let recipes = self.catalog.all();
        let dependencies = recipes.flat_map(|(_, _, recipe)| &recipe.dependencies);
        self.built().into_iter().chain(dependencies).collect()
    }

    /// The repositories whose own pushes cause builds.
    pub fn built(&self) -> BTreeSet<&RepositoryName> {
        let configuration = self
            .configuration
            .map(|configuration| &configuration.repository);
        self.catalog
            .repositories()
            .chain(configuration)
            .chain(self.kernels.keys().copied())
            .collect()
    }

    pub fn is_built(&self, repository: &RepositoryName) -> bool {
        self.catalog.is_tracked(repository)
            || self
                .configuration
                .is_some_and(|configuration| configuration.repository == *repository)
            || self.kernels.contains_key(repository)
    }

    /// The branches of a repository that are named: each push to them causes builds.
    pub fn branches(&self, repository: &RepositoryName) -> BTreeSet<GitRef> {
        let configuration = self
            .configuration
            .filter(|configuration| configuration.repository == *repository)
            .map(|configuration| &configuration.branch);
        self.catalog
            .branches(repository)
            .chain(configuration)
            .cloned()
            .map(GitRef::Branch)
            .collect()
    }

    /// A repository's name as it is spelled here. GitHub's own spelling, which its webhooks have,
    /// may differ by upper and lower case.
    pub fn spelling(&self, name: RepositoryName) -> RepositoryName {
        if self.is_watched(&name) {
            return name;
        }
        let watched = self.repositories();
        let same = watched.into_iter().find(|it| it.is_same_on_github(&name));
        same.cloned().unwrap_or(name)
    }

    pub fn is_watched(&self, repository: &RepositoryName) -> bool {
        let depends = |(_, _, recipe): (_, _, &Recipe)| recipe.dependencies.contains(repository);
        self.is_built(repository) || self.catalog.all().any(depends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(script: &str, dependencies: &[&str]) -> Recipe {
        Recipe {
            dependencies: dependencies
                .iter()
                .map(|name| name.parse().unwrap())
                .collect(),
            ..Recipe::of_script(script)
        }
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let mut insert = |repository: &str, branch: &str, recipes| {
            catalog.insert(
                repository.parse().unwrap(),
                branch.parse().unwrap(),
                recipes,
            );
        };
        insert(
            "acme/app",
            "main",
            vec![recipe("build.sh", &["acme/lib"]), recipe("test.sh", &[])],
        );
        insert(
            "acme/lib",
            "main",
            vec![recipe("build.sh", &["acme/core", "acme/lib"])],
        );
        insert("acme/configuration", "main", vec![recipe("lint.sh", &[])]);
        catalog
    }

    fn scripts(work: &[Work]) -> Vec<&str> {
        work.iter().map(Work::script).collect()
    }

    #[test]
    fn a_push_means_its_branchs_scripts_and_to_one_branch_a_load() {
        let catalog = catalog();
        let configuration = ConfigurationBranch {
            repository: "acme/configuration".parse().unwrap(),
            branch: "main".parse().unwrap(),
        };
        let tracking = Tracking {
            catalog: &catalog,
            configuration: Some(&configuration),
            kernels: BTreeMap::new(),
        };
        let work = |repository: &str, reference: &str| {
            let work = tracking.work(&repository.parse().unwrap(), &reference.parse().unwrap());
            scripts(&work).join(" ")
        };
        assert_eq!(work("acme/app", "refs/heads/main"), "build.sh test.sh");
        assert_eq!(work("acme/app", "refs/heads/other"), "");
        assert_eq!(
            work("acme/configuration", "refs/heads/main"),
            "configuration lint.sh"
        );
        assert_eq!(work("acme/configuration", "refs/heads/draft"), "");
        // A tag of that name is no branch.
        assert_eq!(work("acme/configuration", "refs/tags/main"), "lint.sh");
    }

    #[test]
    fn every_branch_and_tag_of_a_kernel_repository_is_built_beside_its_scripts() {
        let catalog = catalog();
        let (app, other) = ("acme/app".parse().unwrap(), "acme/kernel".parse().unwrap());
        let kernel = recipe("kernel.sh", &[]);
        let tracking = Tracking {
            catalog: &catalog,
            configuration: None,
            kernels: BTreeMap::from([(&app, kernel.clone()), (&other, kernel)]),
        };
        for (repository, reference, expected) in [
            (&app, "refs/heads/main", "kernel.sh build.sh test.sh"),
            (&app, "refs/heads/other", "kernel.sh"),
            (&other, "refs/tags/v1", "kernel.sh"),
        ] {
            let reference = reference.parse().unwrap();
            assert_eq!(
                scripts(&tracking.work(repository, &reference)).join(" "),
                expected
            );
            assert!(tracking.has(repository, &reference, "kernel.sh"));
            assert!(!tracking.has(repository, &reference, "other.sh"));
        }
        assert!(tracking.is_watched(&other) && tracking.repositories().contains(&other));
    }

    #[test]
    fn whatever_matters_is_watched() {
        let catalog = catalog();
        let tracking = Tracking {
            catalog: &catalog,
            configuration: None,
            kernels: BTreeMap::new(),
        };
        let watched: Vec<&str> = tracking
            .repositories()
            .into_iter()
            .map(RepositoryName::as_str)
            .collect();
        assert_eq!(
            watched,
            ["acme/app", "acme/configuration", "acme/core", "acme/lib"]
        );
        for repository in watched {
            assert!(
                tracking.is_watched(&repository.parse().unwrap()),
                "{repository}"
            );
        }
        assert!(!tracking.is_watched(&"acme/other".parse().unwrap()));
    }

    #[test]
    fn a_name_is_spelled_as_it_is_watched() {
        let mut catalog = catalog();
        let (mixed, branch) = ("acme/App".parse().unwrap(), "main".parse().unwrap());
        catalog.insert(mixed, branch, vec![recipe("build.sh", &["Acme/Core"])]);
        let tracking = Tracking {
            catalog: &catalog,
            configuration: None,
            kernels: BTreeMap::new(),
        };
        for (name, expected) in [
            ("acme/app", "acme/app"),
            ("acme/App", "acme/App"),
            ("ACME/LIB", "acme/lib"),
            ("Acme/Core", "Acme/Core"),
            ("acme/Other", "acme/Other"),
        ] {
            let spelled = tracking.spelling(name.parse().unwrap());
            assert_eq!(spelled.as_str(), expected);
        }
    }

    #[test]
    fn a_repository_is_not_its_own_dependent() {
        let catalog = catalog();
        let tracking = Tracking {
            catalog: &catalog,
            configuration: None,
            kernels: BTreeMap::new(),
        };
        let of = |repository: &str| -> Vec<String> {
            let dependents = tracking.dependents(&repository.parse().unwrap());
            let name =
                |it: &Dependent| format!("{} {} {}", it.repository, it.branch, it.recipe.script);
            dependents.iter().map(name).collect()
        };
        assert_eq!(of("acme/lib"), ["acme/app main build.sh"]);
        assert_eq!(of("acme/core"), ["acme/lib main build.sh"]);
        assert_eq!(of("acme/app"), Vec::<String>::new());
    }
}
