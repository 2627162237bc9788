//! What the documentation promises and names a test for, has that test.

use std::fs;
use std::path::{Path, PathBuf};

/// Their tables name tests in the last column.
const DOCUMENTS: [&str; 2] = ["docs/security.md", "docs/reliability.md"];

const STORIES: &str = "web/e2e/stories";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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

/// All that is written in Rust here, as one text.
fn sources() -> String {
    let mut files = Vec::new();
    for folder in ["src", "runner/src", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.collect()
}

/// The rows of all tables, each with the names in its last cell.
fn rows(document: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |at: usize| lines[at].starts_with("| ") && !lines[at].starts_with("| --- ");
    let is_head = |at: usize| {
        lines
            .get(at + 1)
            .is_some_and(|next| next.starts_with("| --- "))
    };
    let rows = (0..lines.len()).filter(|&at| is_row(at) && !is_head(at));
    let rows = rows.map(|at| {
        let last = lines[at].trim_end_matches(['|', ' ']).rsplit(" | ").next();
        let names = last.unwrap_or_default().split('`').skip(1).step_by(2);
        (lines[at].to_owned(), names.map(str::to_owned).collect())
    });
    rows.collect()
}

#[test]
fn every_promise_is_held_by_a_test_that_exists() {
    let sources = sources();
    for document in DOCUMENTS {
        let rows = rows(document);
        assert!(rows.len() > 5, "{document} has no table");
        for (row, tests) in rows {
            assert!(!tests.is_empty(), "{document} names no test for: {row}");
            for test in tests {
                let exists = match test.ends_with(".ts") {
                    true => root().join(STORIES).join(&test).exists(),
                    false => sources.contains(&format!("fn {test}(")),
                };
                assert!(exists, "{document} names a test that is not there: {test}");
            }
        }
    }
}
