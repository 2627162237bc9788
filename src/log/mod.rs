//! The log of one build, as files in a folder of its own.
//!
//! The log file is the buffer between a build and everyone who watches it: one [`LogWriter`]
//! appends and moves a watermark, each reader pulls with its own [`LogReader`] from its own
//! offset. Nothing is queued for a reader, so a slow one costs no memory, and what readers get,
//! joined, is what was written.
//!
//! | file | |
//! | --- | --- |
//! | `log` | the bytes as the script wrote them, secrets masked |
//! | `log.index` | a record each 16 KiB or 100 ms: see [`index`] |
//! | `log.zst` | in place of `log` once the build is over: see [`compress`] |
//!
//! A line ends with `\n`. Lines are counted from 1, offsets from 0; an unfinished last line
//! counts as a line. Everything here blocks on the disk: call it where blocking is allowed.

mod compress;
mod escapes;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod index;
mod query;
mod reader;
mod scan;
mod search;
mod style;
mod tail;
mod times;
mod writer;

#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;

pub use compress::{compress, delete};
pub use query::Query;
pub use reader::LogReader;
pub use search::{Direction, Enough, Found, Marks};
pub use writer::{LogWriter, Watermark};

const LOG: &str = "log";
const INDEX: &str = "log.index";
const COMPRESSED: &str = "log.zst";

/// Lines in a piece of a log.
fn count_newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
