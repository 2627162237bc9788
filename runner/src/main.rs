//! The program that a build's container starts with, and that `docker exec` runs beside it.
//!
//!     runner                   as PID 1: run the job in /.autobuilder/job, then wait for ever
//!     runner follow <offset>   write the spool from that offset, framed, to stdout, to its end
//!     runner used <folder>…    print the bytes that these folders take on disk
//!     runner list <folder>     print the names in a folder, each ended by a NUL, at most 20
//!
//! It is static and needs nothing from the image that it runs in.

mod cgroup;
mod disk;
mod follow;
mod processes;
#[allow(
    dead_code,
    reason = "half of it is for the service, which uses it through lib.rs"
)]
mod protocol;
mod spool;
mod supervise;
mod sys;

use std::io;
use std::path::Path;
use std::process::ExitCode;

const MOST_NAMES: usize = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] if std::process::id() == 1 => supervise::supervise(),
        ["follow", offset] => match offset.parse() {
            Ok(offset) => follow::follow(offset),
            Err(_) => Err(io::Error::other("the offset is no number")),
        },
        ["used", ..] => {
            println!("{}", disk::used(&arguments[1..]));
            Ok(())
        }
        ["list", folder] => disk::list(Path::new(folder), MOST_NAMES),
        _ => Err(io::Error::other(
            "this is for autobuilder's own use, inside of a container",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner: {error}");
            // What `docker run` itself ends with when it cannot start a container.
            ExitCode::from(125)
        }
    }
}
