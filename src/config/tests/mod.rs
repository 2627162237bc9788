//! What the module as a whole promises; the parts' own tests stand beside them.

mod catalog;
mod errors;
mod example;
mod hostile;

use std::path::Path;

use super::catalog::LastGood;
use super::{Files, Findings, Loaded, ServiceConfig};
use crate::domain::images::AllowedImages;

/// Where all images are allowed.
fn resolve(files: &Files, last_good: &LastGood) -> Loaded {
    super::resolve(files, last_good, &AllowedImages::default())
}

/// An environment in which no variable is set.
fn nothing(_: &str) -> Option<String> {
    None
}

/// Reads a service file's text as `config.yaml` in the current folder.
fn read(text: &str) -> Result<(ServiceConfig, Findings), Findings> {
    ServiceConfig::parse(text, "config.yaml", Path::new(""), &nothing)
}

/// What an operator is told about a service file, warnings included.
fn told(text: &str) -> String {
    match read(text) {
        Ok((_, warnings)) => warnings.render(false),
        Err(findings) => findings.render(false),
    }
}
