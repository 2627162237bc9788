//! The walls of `src/`: lower never imports higher, and a library that speaks to the outside is
//! imported in one place only.

use std::fs;
use std::path::{Path, PathBuf};

/// Each with what it may import of the crate, beside itself.
const LAYERS: [(&str, &[&str]); 16] = [
    ("domain", &[]),
    ("config", &["domain"]),
    ("store", &["domain"]),
    ("log", &["domain"]),
    ("adapters", &["domain"]),
    ("metrics", &["domain"]),
    ("memory", &[]),
    (
        "service",
        &["domain", "config", "store", "log", "adapters", "metrics"],
    ),
    (
        "actors",
        &[
            "domain", "config", "store", "log", "adapters", "metrics", "service",
        ],
    ),
    (
        "http",
        &[
            "domain", "config", "store", "log", "adapters", "metrics", "service", "actors",
        ],
    ),
    // A client of the service: it knows the API's shapes and not the service's insides.
    (
        "cli",
        &["domain", "config", "http", "service", "serve", "import"],
    ),
    ("import", &["domain", "config", "store", "log", "service"]),
    (
        "serve",
        &[
            "domain", "config", "store", "log", "adapters", "metrics", "service", "actors", "http",
        ],
    ),
    ("fuzz", &["adapters", "config", "http", "log"]),
    ("lib", &["cli", "memory"]),
    ("main", &[]),
];

/// Each with the only places where it is imported.
const LIBRARIES: [(&str, &[&str]); 11] = [
    ("bollard", &["src/adapters/docker"]),
    ("octocrab", &["src/adapters/github"]),
    ("fred", &["src/adapters/redis.rs"]),
    ("rusqlite", &["src/store"]),
    ("ractor", &["src/actors"]),
    ("notify", &["src/actors/configuration"]),
    ("warp", &["src/http"]),
    (
        "reqwest",
        &[
            "src/cli",
            "src/adapters/http.rs",
            "src/adapters/github",
            "src/adapters/hub",
        ],
    ),
    (
        "flate2",
        &[
            "src/adapters/hub",
            "src/http/monitor.rs",
            "src/http/tests/webhook.rs",
        ],
    ),
    ("saphyr_parser", &["src/config"]),
    ("clap", &["src/cli", "src/lib.rs"]),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of `src/` without its comments, by its path.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    let without_comments = |file: &PathBuf| -> String {
        let text = fs::read_to_string(file).unwrap();
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    files
        .iter()
        .map(|file| {
            (
                file.strip_prefix(root).unwrap().display().to_string(),
                without_comments(file),
            )
        })
        .collect()
}

fn layer_of(file: &str) -> &str {
    let below_src = file.strip_prefix("src/").unwrap();
    below_src.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Names that follow `crate::` in a file, those in braces included.
fn imported_layers(source: &str) -> Vec<&str> {
    source
        .match_indices("crate::")
        .flat_map(|(at, prefix)| {
            let rest = &source[at + prefix.len()..];
            let names = match rest.strip_prefix('{') {
                Some(list) => &list[..list.find('}').unwrap_or(list.len())],
                None => {
                    &rest[..rest
                        .find(|c: char| !c.is_alphanumeric() && c != '_')
                        .unwrap_or(rest.len())]
                }
            };
            names
                .split(',')
                .map(|name| name.trim().split("::").next().unwrap_or(""))
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn lower_never_imports_higher() {
    for (file, source) in sources() {
        let layer = layer_of(&file);
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == layer)
            .unwrap_or_else(|| panic!("{file} stands in no layer that this test knows"));
        for imported in imported_layers(&source) {
            let is_layer = LAYERS.iter().any(|(name, _)| *name == imported);
            assert!(
                !is_layer || imported == layer || allowed.contains(&imported),
                "{file} imports crate::{imported}, which is not below it"
            );
        }
    }
}

#[test]
fn a_library_that_speaks_to_the_outside_has_one_place() {
    for (file, source) in sources() {
        for (library, places) in LIBRARIES {
            let used = source.contains(&format!("use {library}::"))
                || source.contains(&format!(" {library}::"));
            let is_allowed = places.iter().any(|place| file.starts_with(place));
            assert!(
                !used || is_allowed,
                "{file} uses {library}, which belongs to {places:?}"
            );
        }
    }
}

#[test]
fn the_domain_does_no_io() {
    for (file, source) in sources()
        .iter()
        .filter(|(file, _)| file.starts_with("src/domain/"))
    {
        for forbidden in ["tokio", "std::fs", "std::net", "std::process"] {
            assert!(!source.contains(forbidden), "{file} uses {forbidden}");
        }
    }
}
