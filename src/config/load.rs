//! The service file, from its text to one checked value.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::document::{self, MAX_BYTES, Node};
use super::finding::{Finding, Findings, locate};
use super::interpolation::{Environment, interpolate};
use super::read::Reading;
use super::rules;
use super::service::{ClientConfig, ServiceConfig};

impl ServiceConfig {
    /// Reads a service file. The findings beside a configuration are warnings; without one, at
    /// least one is an error. `environment` looks up the variables of `${NAME}`; see
    /// [`process_environment`](super::process_environment).
    pub fn load(path: &Path, environment: Environment) -> Result<(Self, Findings), Findings> {
        let (file, base) = names(path);
        Self::parse(&text_of(path)?, &file, base, environment)
    }

    /// Reads a service file's text. `file` is its name in findings, `base` what relative paths
    /// are relative to.
    pub fn parse(
        text: &str,
        file: &str,
        base: &Path,
        environment: Environment,
    ) -> Result<(Self, Findings), Findings> {
        let (root, findings) = document::parse(text);
        let Some(mut root) = root else {
            return Err(Findings::new(locate(findings, file, text, true)));
        };
        let (mut config, mut findings) = read_tree::<Self>(&mut root, findings, base, environment);
        if let Some(config) = &mut config {
            config.resolve_paths(base);
            let broken_rules = rules::check(config, &root);
            let not_misread = |finding: &Finding| !is_misread(finding, &findings);
            let mut broken_rules: Vec<Finding> =
                broken_rules.into_iter().filter(not_misread).collect();
            findings.append(&mut broken_rules);
        }
        let findings = Findings::new(locate(findings, file, text, true));
        match config {
            Some(config) if !findings.has_errors() => Ok((config, findings)),
            _ => Err(findings),
        }
    }
}

impl ClientConfig {
    /// Reads no other keys of a service file, so that commands work in a shell that has none of
    /// the service's variables.
    pub fn load(path: &Path, environment: Environment) -> Result<Self, Findings> {
        let (file, base) = names(path);
        let text = text_of(path)?;
        let (root, findings) = document::parse(&text);
        let (config, findings) = match root {
            Some(mut root) => {
                root.retain(&Self::KEYS);
                read_tree(&mut root, findings, base, environment)
            }
            None => (None, findings),
        };
        let findings = Findings::new(locate(findings, &file, &text, true));
        let mut config: Self = config.filter(|_| !findings.has_errors()).ok_or(findings)?;
        config.resolve_paths(base);
        Ok(config)
    }
}

fn names(path: &Path) -> (String, &Path) {
    let base = path.parent().unwrap_or(Path::new(""));
    (path.display().to_string(), base)
}

fn text_of(path: &Path) -> Result<String, Findings> {
    read_file(path).map_err(|reason| {
        let finding = Finding::file_error(path.display().to_string(), reason);
        Findings::new(vec![finding])
    })
}

fn read_tree<T: DeserializeOwned>(
    root: &mut Node,
    findings: Vec<Finding>,
    base: &Path,
    environment: Environment,
) -> (Option<T>, Vec<Finding>) {
    let unresolved = interpolate(root, environment);
    let mut reading = Reading::new(base, findings);
    for (id, finding) in unresolved {
        reading.put_aside(id, finding);
    }
    let config = reading.read(root, root.place);
    (config, reading.findings)
}

/// Rules about what was read wrongly would report errors of errors.
fn is_misread(finding: &Finding, findings: &[Finding]) -> bool {
    let mut errors = findings.iter().filter(|other| other.is_error());
    errors.any(|error| {
        finding.key == error.key || finding.key.starts_with(&format!("{}.", error.key))
    })
}

/// A file's text; otherwise why there is none, in words.
pub fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    text_of_bytes(bytes)
}

/// A file's content as text; otherwise what is wrong with it, in words.
pub fn text_of_bytes(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > MAX_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + bytes_before(error.as_bytes(), valid);
        format!("is not UTF-8 text (line {line})")
    })
}

/// What is wrong with a file above [`MAX_BYTES`].
pub fn too_large() -> String {
    format!("is larger than {MAX_BYTES} bytes")
}

fn bytes_before(bytes: &[u8], end: usize) -> usize {
    bytes[..end].iter().filter(|byte| **byte == b'\n').count()
}
