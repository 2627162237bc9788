//! What strangers write, given to what reads it. Each target takes any bytes: it must neither panic
//! nor break what it asserts, and be done soon.
//!
//! `make fuzz` looks for such bytes; what it found worth keeping is in `fuzz/corpus`, and goes through
//! all targets again with every test run.

use crate::{adapters, config, http, log};

type Target = (&'static str, fn(&[u8]));

/// By the names of their folders in `fuzz/corpus` and of their programs in `fuzz/fuzz_targets`.
const TARGETS: [Target; 6] = [
    ("webhook", http::fuzz::webhook),
    ("branch_file", config::fuzz::branch_file),
    ("service_file", config::fuzz::service_file),
    ("log", log::fuzz::log),
    ("artifact", adapters::docker::fuzz::artifact),
    ("live_message", http::fuzz::live_message),
];

/// Runs one of them.
///
/// # Panics
/// Where there is none of this name, or the target has found a fault.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect(name);
    target(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_was_found_before_is_read_without_a_fault() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, target) in TARGETS {
            assert!(
                fuzz.join("fuzz_targets")
                    .join(format!("{name}.rs"))
                    .exists(),
                "{name}"
            );
            let inputs = files_in(&fuzz.join("corpus").join(name));
            assert!(inputs.len() >= 10, "the corpus of {name} is gone");
            for input in inputs {
                // Its name stands in the output if the target panics.
                println!("{}", input.display());
                target(&fs::read(&input).unwrap());
            }
        }
    }
}
