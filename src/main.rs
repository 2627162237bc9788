//! The program: [`autobuilder::main`].

use std::process::ExitCode;

fn main() -> ExitCode {
    autobuilder::main()
}
