//! The service file, from its text to one checked value.

use std::collections::BTreeSet;
use std::path::Path;

use super::document::{self, MAX_BYTES};
use super::finding::{Finding, Findings};
use super::interpolation::{Environment, interpolate};
use super::read::read;
use super::rules;
use super::service::ServiceConfig;

impl ServiceConfig {
    /// Reads a service file. The findings beside a configuration are warnings; without one, at
    /// least one is an error. `environment` looks up the variables of `${NAME}`; see
    /// [`process_environment`](super::process_environment).
    pub fn load(path: &Path, environment: Environment) -> Result<(Self, Findings), Findings> {
        let file = path.display().to_string();
        let base = path.parent().unwrap_or(Path::new(""));
        let text = read_file(path)
            .map_err(|reason| Findings::new(vec![Finding::file_error(&file, reason)]))?;
        Self::parse(&text, &file, base, environment)
    }

    /// Reads a service file's text. `file` is its name in findings, `base` what relative paths
    /// are relative to.
    pub fn parse(
        text: &str,
        file: &str,
        base: &Path,
        environment: Environment,
    ) -> Result<(Self, Findings), Findings> {
        let (config, mut findings) = read_text(text, base, environment);
        for finding in &mut findings {
            finding.locate(file, text, true);
        }
        let findings = Findings::new(findings);
        match config {
            Some(config) if !findings.has_errors() => Ok((config, findings)),
            _ => Err(findings),
        }
    }
}

fn read_text(
    text: &str,
    base: &Path,
    environment: Environment,
) -> (Option<ServiceConfig>, Vec<Finding>) {
    let (root, mut findings) = document::parse(text);
    let Some(mut root) = root else {
        return (None, findings);
    };
    let unresolved = interpolate(&mut root, environment);
    let mut aside: BTreeSet<usize> = unresolved.keys().copied().collect();
    findings.extend(unresolved.into_values());
    let Some(mut config) = read::<ServiceConfig>(&root, base, &mut aside, &mut findings) else {
        return (None, findings);
    };
    // Rules about what was read wrongly would report errors of errors.
    let is_misread = |finding: &Finding| {
        let mut rest = findings.iter().filter(|other| other.is_error());
        rest.any(|other| {
            other.key == finding.key || finding.key.starts_with(&format!("{}.", other.key))
        })
    };
    let broken_rules: Vec<Finding> = rules::check(&config, &root)
        .into_iter()
        .filter(|finding| !is_misread(finding))
        .collect();
    findings.extend(broken_rules);
    config.resolve_paths(base);
    (Some(config), findings)
}

/// A file's text; otherwise why there is none, in words.
pub fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + bytes_before(error.as_bytes(), valid);
        format!("is not UTF-8 text (line {line})")
    })
}

fn bytes_before(bytes: &[u8], end: usize) -> usize {
    bytes[..end].iter().filter(|byte| **byte == b'\n').count()
}
