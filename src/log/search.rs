//! Searching a log of any size: cut at lines' ends into parts, some of which are searched at the
//! same time, each by a thread of its own. What is found does not depend on the cutting.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::thread;

use tokio_util::sync::CancellationToken;

use super::query::Query;
use super::reader::LogReader;
use super::scan::{LineStart, Match, Part};

/// A search that wants a few matches begins with small parts, as they may be near, and takes
/// larger ones the longer it finds none.
const SMALLEST_PART: u64 = 256 * 1024;

/// Large enough that cutting it out costs nothing beside searching it.
const LARGEST_PART: u64 = 16 * 1024 * 1024;

/// The threads of one search. More than four would leave nothing to the builds of a larger host.
static THREADS: LazyLock<usize> = LazyLock::new(|| {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(4)
});

/// Which way a search goes, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this line on.
    Forward(u64),
    /// From the line before this one to the beginning.
    Backward(u64),
}

/// When a search that did not reach the log's end has enough.
#[derive(Debug, Clone, Copy)]
pub struct Enough {
    /// Matches.
    pub limit: usize,
    /// About so many bytes searched, but always a line at least.
    pub max_bytes: u64,
}

/// A part of a search's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order of the search: backward, the last line comes first.
    pub matches: Vec<Match>,
    /// The line with which to go on in the same direction; `None` when there is no more.
    pub next_line: Option<u64>,
}

/// How the lines that match are spread over a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Lines of the log.
    pub lines: u64,
    /// How many lines each count stands for; the last one may stand for fewer.
    pub bucket_lines: u64,
    /// Matching lines.
    pub counts: Vec<u64>,
}

impl LogReader {
    /// Looks for lines that match, in either direction.
    ///
    /// # Errors
    ///
    /// `Interrupted` soon after `stop` was told.
    pub fn search(
        &self,
        query: &Query,
        direction: Direction,
        enough: Enough,
        stop: &CancellationToken,
    ) -> io::Result<Found> {
        match direction {
            Direction::Forward(line) => self.search_forward(query, line.max(1), enough, stop),
            Direction::Backward(line) => self.search_backward(query, line.max(1), enough, stop),
        }
    }

    fn search_forward(
        &self,
        query: &Query,
        line: u64,
        enough: Enough,
        stop: &CancellationToken,
    ) -> io::Result<Found> {
        let mut matches: Vec<Match> = Vec::new();
        let Some(offset) = self.offset_of_line(line)? else {
            return Ok(Found {
                matches,
                next_line: None,
            });
        };
        let length = self.len()?;
        let end = length.min(offset.saturating_add(enough.max_bytes.max(1)));
        let mut reached = LineStart { offset, line };
        let mut size = SMALLEST_PART;
        while reached.offset < end {
            let mut parts = Vec::new();
            while reached.offset < end && parts.len() < *THREADS {
                let to = self.line_after(end.min(reached.offset + size) - 1)?;
                parts.push(Part { from: reached, to });
                reached = to;
            }
            let wanted = enough.limit - matches.len();
            let found = at_the_same_time(&parts, |part| {
                let mut first = Vec::new();
                self.scan(query, part, stop, |hit| {
                    first.push(hit.to_match());
                    match first.len() < wanted {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                })?;
                Ok(first)
            })?;
            matches.extend(found.into_iter().flatten().take(wanted));
            if matches.len() >= enough.limit {
                let next_line = matches.last().map(|last| last.line + 1);
                return Ok(Found { matches, next_line });
            }
            size = (size * 2).min(LARGEST_PART);
        }
        let next_line = (reached.offset < length).then_some(reached.line);
        Ok(Found { matches, next_line })
    }

    fn search_backward(
        &self,
        query: &Query,
        line: u64,
        enough: Enough,
        stop: &CancellationToken,
    ) -> io::Result<Found> {
        let mut reached = match self.offset_of_line(line)? {
            Some(offset) => LineStart { offset, line },
            None => LineStart {
                offset: self.len()?,
                line: self.lines()? + 1,
            },
        };
        let end = reached.offset.saturating_sub(enough.max_bytes.max(1));
        let mut matches: Vec<Match> = Vec::new();
        let mut size = SMALLEST_PART;
        while reached.offset > end {
            let mut parts = Vec::new();
            while reached.offset > end && parts.len() < *THREADS {
                let from = self.line_around(end.max(reached.offset.saturating_sub(size)))?;
                parts.push(Part { from, to: reached });
                reached = from;
            }
            let wanted = enough.limit - matches.len();
            let found = at_the_same_time(&parts, |part| {
                let mut last = VecDeque::new();
                self.scan(query, part, stop, |hit| {
                    if last.len() == wanted {
                        last.pop_front();
                    }
                    last.push_back(hit.to_match());
                    ControlFlow::Continue(())
                })?;
                Ok(last)
            })?;
            let nearest_first = found.into_iter().flat_map(|last| last.into_iter().rev());
            matches.extend(nearest_first.take(wanted));
            if matches.len() >= enough.limit {
                let next_line = matches.last().map(|last| last.line);
                return Ok(Found {
                    matches,
                    next_line: next_line.filter(|&line| line > 1),
                });
            }
            size = (size * 2).min(LARGEST_PART);
        }
        let next_line = (reached.line > 1).then_some(reached.line);
        Ok(Found { matches, next_line })
    }

    /// Counts the lines of the whole log that match, in at most so many ranges of equal length.
    ///
    /// # Errors
    ///
    /// `Interrupted` soon after `stop` was told.
    pub fn marks(
        &self,
        query: &Query,
        buckets: u64,
        stop: &CancellationToken,
    ) -> io::Result<Marks> {
        let (length, lines) = (self.len()?, self.lines()?);
        let bucket_lines = lines.div_ceil(buckets.max(1)).max(1);
        let bucket_of = |line: u64| ((line - 1) / bucket_lines) as usize;
        let mut counts = vec![0; lines.div_ceil(bucket_lines) as usize];
        let size = (length / *THREADS as u64).clamp(SMALLEST_PART, LARGEST_PART);
        let mut reached = LineStart { offset: 0, line: 1 };
        while reached.offset < length {
            let mut parts = Vec::new();
            while reached.offset < length && parts.len() < *THREADS {
                let to = self.line_after(length.min(reached.offset + size) - 1)?;
                parts.push(Part { from: reached, to });
                reached = to;
            }
            let counted = at_the_same_time(&parts, |part| {
                let first = bucket_of(part.from.line);
                let mut counts: Vec<u64> = Vec::new();
                self.scan(query, part, stop, |hit| {
                    let bucket = bucket_of(hit.line) - first;
                    if bucket >= counts.len() {
                        counts.resize(bucket + 1, 0);
                    }
                    counts[bucket] += 1;
                    ControlFlow::Continue(())
                })?;
                Ok((first, counts))
            })?;
            for (first, part) in counted {
                for (count, more) in counts[first..].iter_mut().zip(part) {
                    *count += more;
                }
            }
        }
        Ok(Marks {
            lines,
            bucket_lines,
            counts,
        })
    }

    /// The line in which the byte at this offset lies.
    fn line_around(&self, offset: u64) -> io::Result<LineStart> {
        let line = self.line_at_offset(offset)?;
        let offset = self.offset_of_line(line)?.unwrap_or(offset);
        Ok(LineStart { offset, line })
    }

    /// The line after that in which the byte at this offset lies; the log's end where that is
    /// the last.
    fn line_after(&self, offset: u64) -> io::Result<LineStart> {
        let line = self.line_at_offset(offset)? + 1;
        let offset = match self.offset_of_line(line)? {
            Some(offset) => offset,
            None => self.len()?,
        };
        Ok(LineStart { offset, line })
    }
}

/// Does the work for each part, the first on this thread; the results are in the parts' order.
fn at_the_same_time<T: Send>(
    parts: &[Part],
    work: impl Fn(Part) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let Some((&first, others)) = parts.split_first() else {
        return Ok(Vec::new());
    };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = others
            .iter()
            .map(|&part| thread::Builder::new().spawn_scoped(scope, move || work(part)))
            .collect::<io::Result<_>>()?;
        let mut results = vec![work(first)?];
        for other in others {
            let result = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            results.push(result?);
        }
        Ok(results)
    })
}
