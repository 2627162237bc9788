//! A build's log over HTTP: exact bytes, whole or any part, when its lines came, and search.
//!
//! However much is asked for, a block at a time is read, when the client has taken the one
//! before. Of a log that is being written, what was there when the request came is the answer.

mod search;
mod times;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};

pub use self::search::{__path_marks, __path_search};
pub use self::times::__path_times;
use super::{READING, find};
use crate::domain::build::Build;
use crate::domain::time::Timestamp;
use crate::http::answer::{self, Answer, Response, TEXT, respond};
use crate::http::failure::{ErrorView, Failure};
use crate::http::{Web, filters};
use crate::log::LogReader;

const BLOCK: usize = 64 * 1024;

/// Where an answer to `lines=` stops.
const LARGEST_LINES: usize = 1024 * 1024;
const DEFAULT_LINES: u64 = 1000;

const NEXT_LINE: HeaderName = HeaderName::from_static("x-next-line");
const LOG_OFFSET: HeaderName = HeaderName::from_static("x-log-offset");
const LOG_TIME: HeaderName = HeaderName::from_static("x-log-time");
const LOG_STYLE: HeaderName = HeaderName::from_static("x-log-style");

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let text = warp::path!("api" / "v1" / "builds" / String / "log")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|id: String, web: Arc<Web>, query: String| async move {
            respond(log(&web, &id, &query).await)
        });
    text.or(search::routes(web))
        .unify()
        .or(times::routes(web))
        .unify()
        .boxed()
}

/// The log as it is now: what is written from now on is not seen. `None` where nothing was
/// written yet.
async fn open_as_it_is(web: &Web, build: &Build) -> Result<Option<LogReader>, Failure> {
    let written = web
        .service
        .logs
        .watch(&build.id)
        .map(|mark| mark.borrow().bytes);
    let Some(log) = web.open_log(build).await? else {
        return Ok(None);
    };
    // The file may be a moment ahead of what was announced, which alone is never taken back.
    if let Some(bytes) = written {
        return Ok(Some(log.at_length(bytes)));
    }
    let log = web.read_disk(move || log.len().map(|bytes| log.at_length(bytes)));
    log.await.map(Some)
}

/// Which part of a log: bytes (`offset`, `limit`) or lines (`line`, `lines`); neither: all of it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// From this byte on, counted from 0.
    offset: Option<u64>,
    /// So many bytes at most.
    limit: Option<u64>,
    /// From this line on, counted from 1.
    #[param(minimum = 1)]
    line: Option<u64>,
    /// So many lines at most; 1000 if left out.
    lines: Option<u64>,
}

/// The log, exactly as it was written.
///
/// With `line` or `lines` the answer stops after a whole line within 1 MiB; the header
/// `X-Next-Line` says which line follows, and is missing at the end of the log.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/log",
    tag = "log",
    params(("id" = String, Path, description = "the build's id"), LogQuery),
    responses(
        (status = 200, description = "log bytes; UTF-8 is not promised", body = String, content_type = "text/plain", headers(
            ("X-Log-Offset" = u64, description = "where the answer's first byte stands in the log"),
            ("X-Log-Time" = String, description = "when the answer's first line was written, to a tenth of a second"),
            ("X-Log-Style" = String, description = "with `line` or `lines`: colours and the like that were set above the answer and still hold, as SGR parameters: `1;38;5;208`; missing where none does. Those set more than 1 MiB above are not seen"),
            ("X-Next-Line" = u64, description = "the line after the answer, if there is one"),
        )),
        (status = 400, description = "bytes and lines were asked for at once", body = ErrorView),
        (status = 404, description = "no such build, or its log is no longer kept", body = ErrorView),
    )
)]
pub async fn log(web: &Web, id: &str, query: &str) -> Answer {
    let query: LogQuery = filters::parse_query(query)?;
    let build = find(web, id).await?;
    let by_lines = query.line.is_some() || query.lines.is_some();
    let by_bytes = query.offset.is_some() || query.limit.is_some();
    match (by_lines, by_bytes) {
        (true, true) => Err(Failure::bad_request(
            "bytes and lines were asked for at once",
            "give offset and limit, or line and lines",
        )),
        (true, false) => lines(web, &build, &query).await,
        _ => {
            let limit = query.limit.unwrap_or(u64::MAX);
            stream_log(web, &build, query.offset.unwrap_or(0), limit).await
        }
    }
}

/// For the addresses of old that name a log.
pub async fn stream_whole_log(web: &Web, build: &Build) -> Answer {
    stream_log(web, build, 0, u64::MAX).await
}

/// A parameter that is a line.
fn checked_line(name: &str, line: Option<u64>) -> Result<Option<u64>, Failure> {
    match line {
        Some(0) => Err(Failure::bad_request(
            format!("{name} is 0"),
            "the first line is 1",
        )),
        line => Ok(line),
    }
}

async fn lines(web: &Web, build: &Build, query: &LogQuery) -> Answer {
    let first = checked_line("line", query.line)?.unwrap_or(1);
    let count = query.lines.unwrap_or(DEFAULT_LINES);
    let Some(log) = open_as_it_is(web, build).await? else {
        return Ok(answer::with_type(TEXT, Bytes::new()));
    };
    let (lines, time, style) = web
        .read_disk(move || {
            let lines = log.read_lines(first, count, LARGEST_LINES)?;
            let time = log.time_at_offset(lines.offset)?;
            let style = log.style_at(lines.offset)?;
            Ok((lines, time, style))
        })
        .await?;
    let mut response = answer::with_type(TEXT, lines.bytes);
    answer::set(&mut response, LOG_OFFSET, lines.offset);
    let time = Timestamp::from_unsigned_millis(time);
    answer::set(&mut response, LOG_TIME, time);
    if !style.is_empty() {
        answer::set(&mut response, LOG_STYLE, style);
    }
    if let Some(next) = lines.next_line {
        answer::set(&mut response, NEXT_LINE, next);
    }
    Ok(response)
}

async fn stream_log(web: &Web, build: &Build, offset: u64, limit: u64) -> Answer {
    let Some(log) = open_as_it_is(web, build).await? else {
        return Ok(answer::with_type(TEXT, Bytes::new()));
    };
    let log = Arc::new(log);
    let length = {
        let log = Arc::clone(&log);
        web.read_disk(move || log.len()).await?
    };
    let start = offset.min(length);
    let end = start.saturating_add(limit).min(length);
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(send_log(log, start, end, sender));
    let mut response = answer::stream(pieces);
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    answer::set(&mut response, CONTENT_LENGTH, end - start);
    answer::set(&mut response, LOG_OFFSET, start);
    Ok(response)
}

/// Ends early when the client has gone, or with an error, which cuts the connection: a shortened
/// log must not look whole.
async fn send_log(
    log: Arc<LogReader>,
    start: u64,
    end: u64,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut offset = start;
    while offset < end {
        // A place first: nothing is read for a client that is not ready for it.
        let Ok(place) = sender.reserve().await else {
            return;
        };
        let wanted = usize::try_from(end - offset).unwrap_or(BLOCK).min(BLOCK);
        let block = {
            let log = Arc::clone(&log);
            tokio::task::spawn_blocking(move || log.read_at(offset, wanted)).await
        };
        let block = match block {
            Ok(Ok(block)) if block.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(block) => block,
            Err(error) => Err(io::Error::other(error)),
        };
        match block {
            Ok(block) => {
                offset += block.len() as u64;
                place.send(Ok(block.into()));
            }
            Err(error) => {
                tracing::error!(%error, "a log could not be read to its end");
                place.send(Err(error));
                return;
            }
        }
    }
}
