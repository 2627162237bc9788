//! One followed log, from the place that a client asked for, under the number that it was given.

use std::io;

use super::protocol::{LARGEST_PIECE, Place};
use crate::domain::build::Build;
use crate::domain::names::BuildId;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::log::LogReader;
use crate::service::follow::Follower;

pub struct Channel {
    pub number: u32,
    /// In line … of the log, when the channel began.
    pub first_line: u64,
    pub log: Follower,
}

impl Channel {
    pub async fn begin(
        web: &Web,
        number: u32,
        build: &Build,
        place: Place,
    ) -> Result<Self, Failure> {
        let (mut follower, log) = Follower::begin(&web.service, build, LARGEST_PIECE).await?;
        let (offset, first_line) = match log {
            Some(log) => {
                let found = web.read_disk(move || find(&log, place)).await?;
                found.map_err(|limit| beyond(&build.id, limit))?
            }
            None => match place {
                Place::Offset(0) | Place::Line(1) | Place::Tail(_) => (0, 1),
                _ => return Err(beyond(&build.id, Limit { bytes: 0, lines: 0 })),
            },
        };
        follower.offset = offset;
        Ok(Self {
            number,
            first_line,
            log: follower,
        })
    }
}

/// How long a log is.
struct Limit {
    bytes: u64,
    lines: u64,
}

/// Offset and line of a place; the log's length where it lies beyond it.
fn find(log: &LogReader, place: Place) -> io::Result<Result<(u64, u64), Limit>> {
    let offset = match place {
        Place::Offset(offset) => (offset <= log.len()?).then_some(offset),
        Place::Line(line) => log.offset_of_line(line)?,
        Place::Tail(lines) => Some(log.tail_offset(lines)?),
    };
    match offset {
        Some(offset) => Ok(Ok((offset, log.line_at_offset(offset)?))),
        None => Ok(Err(Limit {
            bytes: log.len()?,
            lines: log.lines()?,
        })),
    }
}

fn beyond(build: &BuildId, limit: Limit) -> Failure {
    let Limit { bytes, lines } = limit;
    Failure::bad_request(
        format!("this place is not in the log of build {build}"),
        format!("the log has {bytes} bytes and {lines} lines so far; the first line is 1"),
    )
}
