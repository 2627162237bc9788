//! Files of the configuration directory, and the service file.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Finding, ServiceConfig, finding, resolve};
use crate::domain::images::AllowedImages;

pub fn branch_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let files = [("a/b/c.yaml".to_owned(), Ok(text.to_owned()))].into();
    let resolved = resolve(&files, &BTreeMap::new(), &AllowedImages::default());
    check_places(text, resolved.findings.iter());
}

pub fn service_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let environment = |name: &str| (name == "A").then(|| "a".to_owned());
    match ServiceConfig::parse(text, "config.yaml", Path::new("/nonexistent"), &environment) {
        Ok((_, warnings)) => check_places(text, warnings.iter()),
        Err(findings) => {
            assert!(findings.iter().any(Finding::is_error));
            check_places(text, findings.iter());
        }
    }
}

/// What is wrong is in the file.
fn check_places<'a>(text: &str, findings: impl Iterator<Item = &'a Finding>) {
    let lines = finding::lines(text).count();
    for finding in findings {
        assert!(finding.place.line <= lines + 1, "{finding:?}");
        assert!(!finding.message.is_empty());
    }
}
