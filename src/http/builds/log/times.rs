//! When the lines of a build's log were written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::super::{READING, find};
use super::{DEFAULT_LINES, checked_line, open_as_it_is};
use crate::domain::time::Timestamp;
use crate::http::Web;
use crate::http::answer::{self, Answer, Response, respond};
use crate::http::failure::ErrorView;
use crate::http::filters::{self, checked_count};

const LARGEST_LINES: u64 = 10_000;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "builds" / String / "log" / "times")
        .and(filters::reading(READING))
        .and(filters::given(web))
        .and(filters::query())
        .then(|id: String, web: Arc<Web>, query: String| async move {
            respond(times(&web, &id, &query).await)
        })
        .boxed()
}

/// Which lines' times.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimesQuery {
    /// From this line on, counted from 1.
    #[param(minimum = 1)]
    line: Option<u64>,
    /// So many lines at most; 1000 if left out.
    #[param(minimum = 1, maximum = 10_000)]
    lines: Option<u64>,
}

/// When some lines were written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Times")]
pub struct TimesView {
    /// The first of the lines, and each whose time differs from that of the line before it.
    pub times: Vec<LineTimeView>,
    /// The line after them; null at the end of the log.
    pub next: Option<u64>,
}

/// When a line was begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "LineTime")]
pub struct LineTimeView {
    /// From 1.
    pub line: u64,
    /// To a tenth of a second.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
}

/// When lines were written.
///
/// Only changes are listed: a line that is not has the time of the nearest one above it that is.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/log/times",
    tag = "log",
    params(("id" = String, Path, description = "the build's id"), TimesQuery),
    responses(
        (status = 200, description = "times, to a tenth of a second", body = TimesView),
        (status = 400, description = "a parameter is wrong", body = ErrorView),
        (status = 404, description = "no such build, or its log is no longer kept", body = ErrorView),
    )
)]
pub async fn times(web: &Web, id: &str, query: &str) -> Answer {
    let query: TimesQuery = filters::parse_query(query)?;
    let line = checked_line("line", query.line)?.unwrap_or(1);
    let lines = checked_count("lines", query.lines, DEFAULT_LINES, LARGEST_LINES)?;
    let build = find(web, id).await?;
    let Some(log) = open_as_it_is(web, &build).await? else {
        return answer::ok(&TimesView {
            times: Vec::new(),
            next: None,
        });
    };
    let times = web.read_disk(move || log.times(line, lines)).await?;
    let changes = times.changes.into_iter().map(|change| LineTimeView {
        line: change.line,
        time: Timestamp::from_unsigned_millis(change.time_ms),
    });
    answer::ok(&TimesView {
        times: changes.collect(),
        next: times.next_line,
    })
}
