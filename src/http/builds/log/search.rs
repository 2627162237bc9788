//! Searching a build's log: the lines that match, and how they are spread over it.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::super::{READING, find};
use super::{checked_line, open_as_it_is};
use crate::http::Web;
use crate::http::answer::{self, Answer, Response, respond};
use crate::http::failure::{ErrorView, Failure};
use crate::http::filters::{self, checked_count};
use crate::log::{Direction, Enough, Found, Marks, Query};

/// A search returns at most so many matches, and looks through about so many bytes, before it
/// says where to go on: a request stays a matter of a second.
const MATCHES: usize = 1000;
const SEARCHED_BYTES: u64 = 1024 * 1024 * 1024;
const LONGEST_PATTERN: usize = 1000;

/// A scroll bar has no more pixels.
const LARGEST_BUCKETS: u64 = 2000;
const DEFAULT_BUCKETS: u64 = 500;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    let found = warp::path!("api" / "v1" / "builds" / String / "log" / "search")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|id: String, web: Arc<Web>, query: String| async move {
            respond(search(&web, &id, &query).await)
        });
    let marks = warp::path!("api" / "v1" / "builds" / String / "log" / "search" / "marks")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|id: String, web: Arc<Web>, query: String| async move {
            respond(marks(&web, &id, &query).await)
        });
    found.or(marks).unify().boxed()
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
    /// In place of `from`: backward from the line before this one.
    #[param(minimum = 1)]
    before: Option<u64>,
    /// So many matches at most; 1000 if left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A part of a search's results.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Found")]
pub struct FoundView {
    /// By line; with `before`, the last line comes first.
    pub matches: Vec<MatchView>,
    /// The value of `from`, or of `before`, with which to go on; null when the log was searched
    /// to its end, or to its beginning.
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
    /// Bytes of the log, with the escape sequences within the match.
    pub length: u64,
    /// Some of the line around the match, without escape sequences; what is not UTF-8 is replaced.
    pub excerpt: String,
    /// Where the excerpt's first byte stands in its line, in bytes, from 1. As `column`, it counts
    /// the escape sequences, which the excerpt does not have.
    pub excerpt_column: u64,
}

impl From<Found> for FoundView {
    fn from(found: Found) -> Self {
        let matches = found.matches.into_iter().map(|found| MatchView {
            line: found.line,
            column: found.column,
            length: found.length,
            excerpt: String::from_utf8_lossy(&found.excerpt).into_owned(),
            excerpt_column: found.excerpt_column,
        });
        Self {
            matches: matches.collect(),
            next: found.next_line,
        }
    }
}

/// Lines of the log that match.
///
/// At most `limit` matches, and those of about a GiB of log; `next` says where to go on. Escape
/// sequences of terminals are not looked at: what is found is what is shown.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/log/search",
    tag = "log",
    params(("id" = String, Path, description = "the build's id"), SearchQuery),
    responses(
        (status = 200, description = "the first match of each line that has one", body = FoundView),
        (status = 400, description = "the expression cannot be read, or a parameter is wrong", body = ErrorView),
        (status = 404, description = "no such build, or its log is no longer kept", body = ErrorView),
    )
)]
pub async fn search(web: &Web, id: &str, query: &str) -> Answer {
    let query: SearchQuery = filters::parse_query(query)?;
    let pattern = pattern(&query.q, query.case, query.regex)?;
    let before = checked_line("before", query.before)?;
    let direction = match (query.from, before) {
        (Some(_), Some(_)) => {
            return Err(Failure::bad_request(
                "from and before were asked for at once",
                "give from to search forward, or before to search backward",
            ));
        }
        (_, Some(line)) => Direction::Backward(line),
        (from, None) => Direction::Forward(from.unwrap_or(1)),
    };
    let limit = checked_count("limit", query.limit, MATCHES, MATCHES)?;
    let build = find(web, id).await?;
    let Some(log) = open_as_it_is(web, &build).await? else {
        return answer::ok(&FoundView {
            matches: Vec::new(),
            next: None,
        });
    };
    let enough = Enough {
        limit,
        max_bytes: SEARCHED_BYTES,
    };
    let found = in_place(web, move |stop| {
        log.search(&pattern, direction, enough, stop)
    });
    answer::ok(&FoundView::from(found.await?))
}

/// What is counted in a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MarksQuery {
    /// The text, or the regular expression.
    q: String,
    /// Whether upper and lower case differ; `false` if left out.
    case: Option<bool>,
    /// Whether `q` is a regular expression, in the syntax of Rust's regex crate; `false` if left out.
    regex: Option<bool>,
    /// How many counts at most; 500 if left out.
    #[param(minimum = 1, maximum = 2000)]
    buckets: Option<u64>,
}

/// How the lines that match are spread over the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Marks")]
pub struct MarksView {
    /// Lines in the log; an unfinished last one counts.
    pub lines: u64,
    /// How many lines each count stands for; the last one may stand for fewer.
    pub bucket_lines: u64,
    /// Matching lines: the first number is that of lines 1 to `bucket_lines`, and so on.
    pub counts: Vec<u64>,
    /// All matching lines.
    pub matches: u64,
}

impl From<Marks> for MarksView {
    fn from(marks: Marks) -> Self {
        Self {
            lines: marks.lines,
            bucket_lines: marks.bucket_lines,
            matches: marks.counts.iter().sum(),
            counts: marks.counts,
        }
    }
}

/// Where in the log lines match.
///
/// The whole log is searched, as it was when the request came, without its escape sequences.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/log/search/marks",
    tag = "log",
    params(("id" = String, Path, description = "the build's id"), MarksQuery),
    responses(
        (status = 200, description = "how many lines match in each range of lines", body = MarksView),
        (status = 400, description = "the expression cannot be read, or a parameter is wrong", body = ErrorView),
        (status = 404, description = "no such build, or its log is no longer kept", body = ErrorView),
    )
)]
pub async fn marks(web: &Web, id: &str, query: &str) -> Answer {
    let query: MarksQuery = filters::parse_query(query)?;
    let pattern = pattern(&query.q, query.case, query.regex)?;
    let buckets = checked_count("buckets", query.buckets, DEFAULT_BUCKETS, LARGEST_BUCKETS)?;
    let build = find(web, id).await?;
    let Some(log) = open_as_it_is(web, &build).await? else {
        return answer::ok(&MarksView {
            lines: 0,
            bucket_lines: 1,
            counts: Vec::new(),
            matches: 0,
        });
    };
    let marks = in_place(web, move |stop| log.marks(&pattern, buckets, stop));
    answer::ok(&MarksView::from(marks.await?))
}

fn pattern(text: &str, case: Option<bool>, regex: Option<bool>) -> Result<Query, Failure> {
    if text.is_empty() || text.len() > LONGEST_PATTERN {
        return Err(Failure::bad_request(
            "the text to look for is empty or too long",
            format!("it may have 1 to {LONGEST_PATTERN} bytes"),
        ));
    }
    let case = case.unwrap_or(false);
    let pattern = match regex.unwrap_or(false) {
        true => Query::regex(text, case),
        false => Query::text(text, case),
    };
    pattern.map_err(|error| {
        if let regex::Error::CompiledTooBig(_) = error {
            return Failure::bad_request(
                "the expression is too large",
                "make it shorter, above all what it repeats",
            );
        }
        // The message shows the expression with a mark below it; its last line says what is wrong.
        let error = error.to_string();
        let what = error
            .lines()
            .last()
            .unwrap_or("")
            .trim_start_matches("error: ");
        Failure::bad_request(
            format!("the expression cannot be read: {what}"),
            "correct the expression, or search for it as plain text",
        )
    })
}

/// Searches when it is this request's turn, and stops soon after the client has gone.
async fn in_place<T: Send + 'static>(
    web: &Web,
    search: impl FnOnce(&CancellationToken) -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let place = Arc::clone(&web.searches).acquire_owned().await;
    let stop = CancellationToken::new();
    let _stopped_with_the_request = stop.clone().drop_guard();
    let searched = tokio::task::spawn_blocking(move || {
        // Given back when the search has ended, which is a little after its request.
        let _place = place;
        search(&stop)
    });
    match searched.await {
        Ok(found) => found.map_err(|error| Failure::internal("the log could not be read", &error)),
        Err(error) => Err(Failure::internal("searching the log failed", &error)),
    }
}
