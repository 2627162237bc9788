//! Numbers as text.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970. Containers share this clock.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

pub fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

pub fn milliseconds(nanos: i64) -> f64 {
    nanos as f64 / 1e6
}

pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One figure, measured some times.
#[derive(Debug, Clone, Default)]
pub struct Figure(Vec<f64>);

impl Figure {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub fn runs(&self) -> usize {
        self.0.len()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Of all values, this share is not larger.
    pub fn quantile(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        let value = self.0.get(place.max(1) - 1);
        value.copied().unwrap_or(f64::NAN)
    }

    /// `1.25 (1.21–1.30)`: the median, and between which values all runs were.
    pub fn show(&self, digits: usize) -> String {
        let (least, most) = (self.0.first(), self.0.last());
        let (Some(least), Some(most)) = (least, most) else {
            return "–".to_owned();
        };
        let median = self.median();
        if self.0.len() == 1 {
            return format!("{median:.digits$}");
        }
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

impl FromIterator<f64> for Figure {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

/// Rows with their columns under each other; the first row is the heading.
pub fn table(title: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = format!("\n{title}\n\n");
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, " {cell:width$} ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
        if number == 0 {
            let total: usize = widths.iter().map(|width| width + 2).sum();
            let _ = writeln!(text, "  {}", "-".repeat(total.saturating_sub(2)));
        }
    }
    text
}

pub fn row<const COLUMNS: usize>(cells: [&str; COLUMNS]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
