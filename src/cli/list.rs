//! A list of builds: a table on a terminal, tab-separated lines for programs.

use std::fmt::Write as _;

use serde::Deserialize;

use super::output::clean;
use crate::domain::build::State;
use crate::domain::time::Timestamp;

/// What the table shows of a build.
#[derive(Debug, Deserialize)]
pub struct Row {
    pub id: String,
    pub repository: String,
    pub branch: String,
    pub commit: String,
    pub script: String,
    pub tag: Option<String>,
    pub state: State,
    pub queued: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

const HEADER: [&str; 8] = [
    "ID",
    "STATE",
    "REPOSITORY",
    "BRANCH",
    "COMMIT",
    "SCRIPT",
    "QUEUED",
    "TIME",
];

/// Columns that keep their width; `now` is for how long ago and how long so far.
pub fn table(rows: &[Row], now: Timestamp, colour: bool) -> String {
    let cells: Vec<[String; 8]> = rows.iter().map(|row| cells(row, now)).collect();
    let width = |column: usize| {
        let cells = cells.iter().map(|row| row[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    push_line(&mut text, HEADER.map(str::to_owned), &widths, |_, cell| {
        cell
    });
    for (row, cells) in rows.iter().zip(cells) {
        push_line(&mut text, cells, &widths, |column, cell| {
            match (colour, column) {
                (true, 1) => format!("\x1b[{}m{cell}\x1b[0m", colour_of(row.state)),
                _ => cell,
            }
        });
    }
    text
}

fn push_line(
    text: &mut String,
    cells: [String; 8],
    widths: &[usize; 8],
    paint: impl Fn(usize, String) -> String,
) {
    let mut line = String::new();
    for (column, cell) in cells.into_iter().enumerate() {
        let width = widths[column];
        let padded = match column {
            7 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        };
        let separator = if column == 0 { "" } else { "  " };
        let _ = write!(line, "{separator}{}", paint(column, padded));
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn cells(row: &Row, now: Timestamp) -> [String; 8] {
    let script = match &row.tag {
        Some(tag) => format!("{} ({tag})", row.script),
        None => row.script.clone(),
    };
    let time = row
        .started
        .map(|started| row.ended.unwrap_or(now).since(started));
    [
        clean(&row.id),
        row.state.to_string(),
        clean(&row.repository),
        clean(&row.branch),
        row.commit.chars().take(10).collect(),
        clean(&script),
        format!("{} ago", duration(now.since(row.queued))),
        time.map(duration).unwrap_or_default(),
    ]
}

/// One line a build: id, state, repository, branch, commit, script, tag, queued, started, ended;
/// what is not there is empty.
pub fn tab_separated(rows: &[Row]) -> String {
    let mut text = String::new();
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    for row in rows {
        let fields = [
            row.id.clone(),
            row.state.to_string(),
            row.repository.clone(),
            row.branch.clone(),
            row.commit.clone(),
            row.script.clone(),
            row.tag.clone().unwrap_or_default(),
            row.queued.to_string(),
            time(row.started),
            time(row.ended),
        ];
        text.push_str(&fields.map(|field| clean(&field)).join("\t"));
        text.push('\n');
    }
    text
}

/// The two largest units: `2h 5m`, `3m 20s`, `12s`.
pub fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Of ECMA-48: green, red, yellow, cyan, or faint for what waits.
fn colour_of(state: State) -> &'static str {
    match state {
        State::Succeeded => "32",
        State::Failed | State::TimedOut => "31",
        State::Errored | State::Cancelled | State::Superseded => "33",
        State::Queued | State::Skipped => "2",
        _ => "36",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rows() -> Vec<Row> {
        let text = r#"[
            {"id": "0123456789ab", "repository": "acme/app", "branch": "feature/x", "commit":
             "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "script": "autobuild/build.sh", "tag": "special",
             "state": "building", "queued": "2024-01-01T12:00:00.000Z", "started": "2024-01-01T12:00:10.000Z",
             "ended": null},
            {"id": "zz23456789ab", "repository": "acme/a", "branch": "main", "commit":
             "0113728f27ae82c7b1a177c8d03f9e96e0adf246", "script": "build.sh", "tag": null, "state":
             "timed_out", "queued": "2023-12-30T10:00:00.000Z", "started": "2023-12-30T10:00:00.000Z",
             "ended": "2023-12-30T11:05:00.000Z"}
        ]"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn people_get_columns() {
        let now: Timestamp = serde_json::from_str("\"2024-01-01T12:03:30.000Z\"").unwrap();
        insta::assert_snapshot!(table(&rows(), now, false), @r###"
        ID            STATE      REPOSITORY  BRANCH     COMMIT      SCRIPT                        QUEUED        TIME
        0123456789ab  building   acme/app    feature/x  6113728f27  autobuild/build.sh (special)  3m 30s ago  3m 20s
        zz23456789ab  timed_out  acme/a      main       0113728f27  build.sh                      2d 2h ago    1h 5m
        "###);
        assert!(table(&rows(), now, true).contains("\x1b[36mbuilding \x1b[0m"));
    }

    #[test]
    fn programs_get_tabs() {
        insta::assert_snapshot!(tab_separated(&rows()).replace('\t', "|"), @r###"
        0123456789ab|building|acme/app|feature/x|6113728f27ae82c7b1a177c8d03f9e96e0adf246|autobuild/build.sh|special|2024-01-01T12:00:00.000Z|2024-01-01T12:00:10.000Z|
        zz23456789ab|timed_out|acme/a|main|0113728f27ae82c7b1a177c8d03f9e96e0adf246|build.sh||2023-12-30T10:00:00.000Z|2023-12-30T10:00:00.000Z|2023-12-30T11:05:00.000Z
        "###);
    }

    #[test]
    fn durations_are_short() {
        let shown = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(200), "3m 20s");
        assert_eq!(shown(7500), "2h 5m");
        assert_eq!(shown(180_000), "2d 2h");
    }
}
