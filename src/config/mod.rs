//! Configuration: text → one value, or every error in it at once.
//!
//! The way of a file: saphyr's parser gives events with positions, of which
//! [`document`] builds a bounded tree; in a service file, [`interpolation`] puts in the
//! environment; [`read`] hands the tree to the structs that serde derives its readers for
//! ([`service`], [`branch`]), whose fields are the only table of keys there is; [`rules`] looks
//! at what spans several keys. Each error is a [`Finding`] with its line.
//!
//! serde_yaml decides what a plain scalar is (null, a boolean, a number or a text). The tree is
//! not its, because its values carry no positions, its reader stops at the first error, and its
//! errors cannot say what was found and expected apart.
//!
//! Nothing here watches files or keeps state: callers load again and compare.

mod branch;
mod catalog;
#[cfg(test)]
mod coverage;
mod directory;
mod document;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod interpolation;
mod load;
mod problem;
mod read;
mod rules;
pub mod secret;
mod service;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::images::AllowedImages;

pub use catalog::{FileOutcome, FileState, Files, Loaded, is_branch_file, resolve};
pub use directory::{MAX_FILES, load_directory};
pub use document::MAX_BYTES;
pub use finding::{Finding, Findings};
pub use interpolation::Environment;
pub use load::{text_of_bytes, too_large};
pub use service::{
    ClientConfig, Configuration, FirstSight, Github, GithubApp, Pull, Redis, ServiceConfig,
    Submodules,
};
pub use values::HttpUrl;

/// The environment of this process, for [`ServiceConfig::load`]. A variable that is not UTF-8
/// counts as not set.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Everything wrong with a configuration directory or a service file. A service file that names
/// a directory has that checked too.
pub fn check(path: &Path, environment: Environment) -> Findings {
    if path.is_dir() {
        return match load_directory(path, &BTreeMap::new(), &AllowedImages::default()) {
            Ok(loaded) => loaded.findings,
            Err(findings) => findings,
        };
    }
    match ServiceConfig::load(path, environment) {
        Ok((config, warnings)) => {
            let mut findings = warnings.into_vec();
            if let Configuration::Directory(directory) = &config.configuration {
                let below = check_directory_of(directory, &config.docker.images);
                findings.extend(below);
            }
            Findings::new(findings)
        }
        Err(findings) => findings,
    }
}

/// As it is named from where the operator stands, not from inside of the directory.
fn check_directory_of(directory: &Path, images: &AllowedImages) -> Vec<Finding> {
    let loaded = match load_directory(directory, &BTreeMap::new(), images) {
        Ok(loaded) => loaded,
        Err(findings) => return findings.into_vec(),
    };
    let mut findings = loaded.findings.into_vec();
    for finding in &mut findings {
        finding.file = directory.join(&finding.file).display().to_string();
    }
    findings
}
