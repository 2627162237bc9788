//! Compiles the runner to one static program, which the service carries in its own.
//!
//! Not as a dependency: cargo builds those for the service's own C library, and the runner must
//! run in images that have none. It has no dependencies, so one call of rustc does it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=runner/src");
    // The monitor is embedded as it is built at that moment. A folder that does not exist would
    // make cargo run this again each time.
    std::fs::create_dir_all("web/dist").expect("web/ can be written to");
    println!("cargo::rerun-if-changed=web/dist");
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = PathBuf::from(variable("OUT_DIR")).join("runner");

    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args([
            "runner/src/main.rs",
            "--crate-name=runner",
            "--crate-type=bin",
            "--edition=2024",
        ])
        .args([
            "--target",
            &variable("TARGET"),
            "-Ctarget-feature=+crt-static",
        ])
        .args(["-Copt-level=3", "-Cpanic=abort", "-Cstrip=symbols"])
        .arg("-o")
        .arg(&out);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.status().expect("rustc starts");
    assert!(
        status.success(),
        "the runner did not compile; linking it needs the static C library (Debian: libc6-dev)"
    );
}
