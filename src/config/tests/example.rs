//! `config.example.yaml` says the truth: it holds every key, with its default.

use std::collections::BTreeSet;

use super::super::branch::parse_branch_file;
use super::super::{Configuration, ServiceConfig, coverage};
use super::{nothing, read};

const KEY: &str = include_str!("../../../tests/keys/app.pem");

const EXAMPLE: &str = include_str!("../../../config.example.yaml");

/// The example with its commented-out keys taken in: of each pair of alternatives only one, so
/// the blocks that begin with one of `left_out` are left as they are.
fn with_optional_keys(left_out: &[&str]) -> String {
    let mut skipped_indentation = None;
    let mut lines = Vec::new();
    for line in EXAMPLE.lines() {
        let key = line.trim_start();
        let indentation = line.len() - key.len();
        let commented = key
            .strip_prefix('#')
            .filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        if skipped_indentation.is_some_and(|skipped| indentation <= skipped) {
            skipped_indentation = None;
        }
        let plain = commented.unwrap_or(key);
        if left_out.iter().any(|left_out| plain.starts_with(left_out)) {
            skipped_indentation = Some(indentation);
        }
        lines.push(match (commented, skipped_indentation) {
            (Some(key), None) => format!("{}{key}", " ".repeat(indentation)),
            (None, None) => line.to_owned(),
            (_, Some(_)) => String::new(),
        });
    }
    lines.join("\n")
}

/// In two goes, because some keys exclude each other.
const ALTERNATIVES: [&[&str]; 2] = [
    &["repository:", "branch:", "app:"],
    &["path:", "token: ${GITHUB_TOKEN}"],
];

fn read_with_optional_keys(left_out: &[&str]) -> ServiceConfig {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("github-app.pem"), KEY).unwrap();
    let text = with_optional_keys(left_out);
    let environment = |name: &str| Some(format!("value of {name}"));
    let read = ServiceConfig::parse(&text, "config.yaml", folder.path(), &environment);
    let (config, _) = read.unwrap_or_else(|findings| panic!("{findings}"));
    config
}

#[test]
fn the_example_holds_the_defaults() {
    let (config, warnings) = read(EXAMPLE).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(config, ServiceConfig::default());
    assert!(warnings.is_empty(), "{warnings}");
}

#[test]
fn the_example_with_its_optional_keys_is_read() {
    let config = read_with_optional_keys(ALTERNATIVES[0]);
    assert_eq!(
        config.github.token.unwrap().expose(),
        "value of GITHUB_TOKEN"
    );
    assert!(config.hub.is_some() && config.redis.is_some());
    assert_eq!(config.kernels.repositories.len(), 2);

    let config = read_with_optional_keys(ALTERNATIVES[1]);
    assert!(matches!(
        config.configuration,
        Configuration::Repository { .. }
    ));
    assert_eq!(
        config.github.app.unwrap().private_key.expose().trim(),
        KEY.trim()
    );
}

#[test]
fn the_example_for_zero_os_is_read() {
    const ZERO_OS: &str = include_str!("../../../examples/zero-os.yaml");
    let folder = tempfile::tempdir().unwrap();
    let environment = |name: &str| Some(format!("value of {name}"));
    let read = ServiceConfig::parse(ZERO_OS, "config.yaml", folder.path(), &environment);
    let (config, warnings) = read.unwrap_or_else(|findings| panic!("{findings}"));
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(config.kernels.repositories.len(), 3);
    assert!(config.hub.is_some() && config.kernels.bootstrap.is_some());
    assert!(config.redis.is_some_and(|redis| redis.legacy_topics));
}

#[test]
fn the_example_holds_every_key() {
    // The keys that each reading met a struct for and did not find in the file.
    let mut absent: Vec<BTreeSet<String>> = Vec::new();
    for left_out in ALTERNATIVES {
        coverage::start();
        read_with_optional_keys(left_out);
        absent.push(coverage::absent());
    }
    let never = &absent[0] & &absent[1];
    assert!(never.is_empty(), "not in the example: {never:?}");
}

#[test]
fn the_reference_describes_every_key() {
    const REFERENCE: &str = include_str!("../../../docs/configuration.md");
    const BRANCH_FILE: &str = "buildscripts: [x]\nx: {artifact: y}\n";
    coverage::start();
    for left_out in ALTERNATIVES {
        read_with_optional_keys(left_out);
    }
    assert!(parse_branch_file(BRANCH_FILE).0.is_some());
    for key in coverage::known() {
        let forms = [format!("`{key}`"), format!(".{key}`")];
        let is_there = forms.iter().any(|form| REFERENCE.contains(form));
        assert!(is_there, "docs/configuration.md does not mention {key}");
    }
}

#[test]
fn every_path_of_the_example_is_relative_to_the_file() {
    for left_out in ALTERNATIVES {
        let text = with_optional_keys(left_out);
        let key = format!("private_key: {KEY:?}");
        let text = text.replace("private_key_file: ./github-app.pem", &key);
        // All other paths that are null by default.
        let text = text
            .replace("temp_directory: null", "temp_directory: ./temp")
            .replace("binaries: null", "binaries: ./binaries")
            .replace("  directory: null", "  directory: ./kernels");
        let environment = |_: &str| Some("value".to_owned());
        let base = std::path::Path::new("/base");
        let (config, _) =
            ServiceConfig::parse(&text, "config.yaml", base, &environment).expect("it is read");
        let shown = format!("{config:?}");
        let mut paths = 0;
        for line in text.lines().filter(|line| !line.trim().starts_with('#')) {
            if let Some((_, path)) = line.split_once(": ./") {
                assert!(shown.contains(&format!("\"/base/{path}\"")), "{line}");
                paths += 1;
            }
        }
        assert!(paths >= 5, "{paths}");
    }
}

#[test]
fn an_almost_empty_file_means_the_defaults() {
    let text = "configuration: {path: ./examples/configuration}\ngithub:\nbuilds:\n  timeout:\n";
    assert_eq!(read(text).unwrap().0, ServiceConfig::default());
    assert!(ServiceConfig::load(std::path::Path::new("/nowhere/config.yaml"), &nothing).is_err());
}
