//! A build's log over HTTP: exact bytes, whole or any part, and search.
//!
//! However much is asked for, a block at a time is read, when the client has taken the one
//! before. Of a log that is being written, what was there when the request came is the answer.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};

use super::{READING, find};
use crate::domain::build::Build;
use crate::domain::time::Timestamp;
use crate::http::answer::{self, Answer, Response, TEXT, respond};
use crate::http::failure::{ErrorView, Failure};
use crate::http::{Web, filters};
use crate::log::{LogReader, Query};

const BLOCK: usize = 64 * 1024;

/// Where an answer to `lines=` stops.
const LARGEST_LINES: usize = 1024 * 1024;
const DEFAULT_LINES: u64 = 1000;

/// A search returns at most so many matches, and looks through about so many bytes, before it
/// says where to go on: a request stays a matter of a second.
const MATCHES: usize = 1000;
const SEARCHED_BYTES: u64 = 1024 * 1024 * 1024;
const LONGEST_PATTERN: usize = 1000;

const NEXT_LINE: HeaderName = HeaderName::from_static("x-next-line");
const LOG_OFFSET: HeaderName = HeaderName::from_static("x-log-offset");
const LOG_TIME: HeaderName = HeaderName::from_static("x-log-time");

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let text = warp::path!("api" / "v1" / "builds" / String / "log")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|id: String, web: Arc<Web>, query: String| async move {
            respond(log(&web, &id, &query).await)
        });
    let found = warp::path!("api" / "v1" / "builds" / String / "log" / "search")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|id: String, web: Arc<Web>, query: String| async move {
            respond(search(&web, &id, &query).await)
        });
    text.or(found).unify().boxed()
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

async fn lines(web: &Web, build: &Build, query: &LogQuery) -> Answer {
    let first = query.line.unwrap_or(1);
    if first == 0 {
        return Err(Failure::bad_request("line is 0", "the first line is 1"));
    }
    let count = query.lines.unwrap_or(DEFAULT_LINES);
    let Some(log) = web.open_log(build).await? else {
        return Ok(answer::with_type(TEXT, Bytes::new()));
    };
    let (lines, time) = web
        .read_disk(move || {
            let lines = log.read_lines(first, count, LARGEST_LINES)?;
            let time = log.time_at_offset(lines.offset)?;
            Ok((lines, time))
        })
        .await?;
    let mut response = answer::with_type(TEXT, lines.bytes);
    answer::set(&mut response, LOG_OFFSET, lines.offset);
    let time = Timestamp::from_millis(i64::try_from(time).unwrap_or(i64::MAX));
    answer::set(&mut response, LOG_TIME, time);
    if let Some(next) = lines.next_line {
        answer::set(&mut response, NEXT_LINE, next);
    }
    Ok(response)
}

async fn stream_log(web: &Web, build: &Build, offset: u64, limit: u64) -> Answer {
    let written = web
        .service
        .logs
        .watch(&build.id)
        .map(|mark| mark.borrow().bytes);
    let Some(log) = web.open_log(build).await? else {
        return Ok(answer::with_type(TEXT, Bytes::new()));
    };
    let log = Arc::new(log);
    let length = match written {
        // The file may be a moment ahead of what was announced, which alone is never taken back.
        Some(bytes) => bytes,
        None => {
            let log = Arc::clone(&log);
            web.read_disk(move || log.len()).await?
        }
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

/// What is looked for in a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// The text, or the regular expression.
    q: String,
    /// Whether upper and lower case differ; `false` if left out.
    case: Option<bool>,
    /// Whether `q` is a regular expression, in the syntax of Rust's regex crate; `false` if left out.
    regex: Option<bool>,
    /// From this line on, counted from 1.
    #[param(minimum = 1)]
    from: Option<u64>,
}

/// A part of a search's results.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Found")]
pub struct FoundView {
    pub matches: Vec<MatchView>,
    /// The value of `from` with which to go on; null when the log was searched to its end.
    pub next: Option<u64>,
}

/// The first match in a line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Match")]
pub struct MatchView {
    /// From 1.
    pub line: u64,
    /// Where the match begins in its line, in bytes, from 1.
    pub column: u64,
    /// Bytes.
    pub length: u64,
    /// Some of the line around the match; what is not UTF-8 is replaced.
    pub excerpt: String,
    /// Where the excerpt begins in its line, in bytes, from 1.
    pub excerpt_column: u64,
}

/// Lines of the log that match.
///
/// At most 1000 matches, and those of about a GiB of log; `next` says where to go on.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/log/search",
    tag = "log",
    params(("id" = String, Path, description = "the build's id"), SearchQuery),
    responses(
        (status = 200, description = "the first match of each line that has one", body = FoundView),
        (status = 400, description = "the expression cannot be read", body = ErrorView),
        (status = 404, description = "no such build, or its log is no longer kept", body = ErrorView),
    )
)]
pub async fn search(web: &Web, id: &str, query: &str) -> Answer {
    let query: SearchQuery = filters::parse_query(query)?;
    if query.q.is_empty() || query.q.len() > LONGEST_PATTERN {
        return Err(Failure::bad_request(
            "q is empty or too long",
            format!("it may have 1 to {LONGEST_PATTERN} bytes"),
        ));
    }
    let case = query.case.unwrap_or(false);
    let pattern = match query.regex.unwrap_or(false) {
        true => Query::regex(&query.q, case),
        false => Query::text(&query.q, case),
    };
    let pattern = pattern.map_err(|error| {
        // The message shows the expression with a mark below it; its last line says what is wrong.
        let error = error.to_string();
        let what = error
            .lines()
            .last()
            .unwrap_or("")
            .trim_start_matches("error: ");
        Failure::bad_request(
            format!("the expression cannot be read: {what}"),
            "leave `regex` out to look for the text as it stands",
        )
    })?;
    let build = find(web, id).await?;
    let from = query.from.unwrap_or(1);
    let Some(log) = web.open_log(&build).await? else {
        return answer::ok(&FoundView {
            matches: Vec::new(),
            next: None,
        });
    };
    let found = web
        .read_disk(move || log.search(&pattern, from, MATCHES, SEARCHED_BYTES))
        .await?;
    let matches = found.matches.into_iter().map(|found| MatchView {
        line: found.line,
        column: found.column,
        length: found.length,
        excerpt: String::from_utf8_lossy(&found.excerpt).into_owned(),
        excerpt_column: found.excerpt_column,
    });
    let view = FoundView {
        matches: matches.collect(),
        next: found.next_line,
    };
    Ok(answer::json(StatusCode::OK, &view))
}
