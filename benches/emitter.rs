//! The script of the benchmark's builds: writes lines, and leaves its own clock.
//!
//! It uses nothing but std and is linked static, so that one file runs in any image, as a build's
//! script and by `docker exec` alike. Environment:
//!
//! | | |
//! | --- | --- |
//! | `EMITTER_LINES` | how many lines of 100 bytes, line end included |
//! | `EMITTER_BLOCK` | bytes gathered before they are written: 100 and each line is written alone |
//! | `EMITTER_RATE` | lines a second, each written alone and with its time; 0: as fast as it goes |
//!
//! At the end it writes `<start> <end>`, nanoseconds since 1970, into the build's artifact, or
//! outside of a build to stderr.

use std::env;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LINE: usize = 100;

fn main() {
    let lines = number("EMITTER_LINES");
    let rate = number("EMITTER_RATE");
    let started = now();
    let written = if rate == 0 {
        at_once(lines, number("EMITTER_BLOCK"))
    } else {
        paced(lines, rate)
    };
    written.expect("stdout takes every line");
    let report = format!("{started} {}\n", now());
    match (
        env::var("AUTOBUILDER_ARCHIVES"),
        env::var("AUTOBUILDER_ARTIFACT"),
    ) {
        (Ok(folder), Ok(name)) => fs::write(Path::new(&folder).join(name), report),
        _ => io::stderr().write_all(report.as_bytes()),
    }
    .expect("the report has a place");
}

fn at_once(lines: u64, block: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(block as usize, raw_stdout()?);
    // Looks like a compiler's words, and is made faster than anyone can read it.
    let mut line: [u8; LINE] =
        *b"line 0000000000: [ 42%] Building C object lib/CMakeFiles/example.dir/source/module_with_a_name.cc.o\n";
    for _ in 0..lines {
        count_up(&mut line[5..15]);
        out.write_all(&line)?;
    }
    out.flush()
}

fn paced(lines: u64, rate: u64) -> io::Result<()> {
    let mut out = raw_stdout()?;
    let begun = Instant::now();
    for number in 0..lines {
        let due = begun + Duration::from_nanos(number * 1_000_000_000 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut line = format!("paced {number:010} {:020} ", now()).into_bytes();
        line.resize(LINE - 1, b'.');
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

/// Adds one to a number in decimal digits.
fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

/// Not `io::stdout()`, which cuts at line ends.
fn raw_stdout() -> io::Result<fs::File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn number(name: &str) -> u64 {
    let value = env::var(name).unwrap_or_default();
    value.parse().unwrap_or(0)
}

fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later than 1970")
        .as_nanos()
}
