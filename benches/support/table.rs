//! The table: one row a figure, aligned for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One figure.
pub struct Row {
    /// What was measured.
    pub name: String,
    /// What came out, with its unit.
    pub figure: String,
    /// Held against what was measured beside it in the same run.
    pub ratio: String,
    /// What was aimed at.
    pub goal: String,
    /// Whether that was reached; none where there is no goal.
    pub reached: Option<bool>,
}

/// The rows of one bench.
pub struct Table {
    bench: &'static str,
    rows: Vec<Row>,
}

/// A goal for a number: it is at least, or at most, this.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Not less than.
    AtLeast(f64),
    /// Not more than.
    AtMost(f64),
}

impl Goal {
    /// Whether `number` reaches it.
    pub fn reached(self, number: f64) -> bool {
        match self {
            Self::AtLeast(goal) => number >= goal,
            Self::AtMost(goal) => number <= goal,
        }
    }

    fn text(self, unit: &str) -> String {
        let (sign, number) = match self {
            Self::AtLeast(number) => (">=", number),
            Self::AtMost(number) => ("<=", number),
        };
        format!("{sign} {number} {unit}").trim_end().to_owned()
    }
}

impl Table {
    /// An empty table of `bench`.
    pub fn new(bench: &'static str) -> Self {
        Self { bench, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, row: Row) {
        eprintln!("  {}: {} {}", row.name, row.figure, row.ratio);
        self.rows.push(row);
    }

    /// Adds a figure without a goal.
    pub fn note(&mut self, name: impl Into<String>, figure: String, ratio: impl Into<String>) {
        let (name, ratio) = (name.into(), ratio.into());
        self.row(Row { name, figure, ratio, goal: String::new(), reached: None });
    }

    /// Adds a number with its goal, in `unit`; `ratio` says what it was held against, if anything.
    pub fn goal(
        &mut self,
        name: impl Into<String>,
        (number, unit): (f64, &str),
        goal: Goal,
        ratio: impl Into<String>,
    ) {
        let figure = format!("{} {unit}", short(number)).trim_end().to_owned();
        let (goal, reached) = (goal.text(unit), Some(goal.reached(number)));
        self.row(Row { name: name.into(), figure, ratio: ratio.into(), goal, reached });
    }

    /// Adds a figure whose goal is about its ratio to what was measured beside it.
    pub fn goal_of_ratio(
        &mut self,
        name: impl Into<String>,
        figure: String,
        (ratio, of): (f64, &str),
        goal: Goal,
    ) {
        let ratio_text = format!("{ratio:.2} x {of}");
        let (goal, reached) = (goal.text("x"), Some(goal.reached(ratio)));
        self.row(Row { name: name.into(), figure, ratio: ratio_text, goal, reached });
    }

    /// Prints the table and keeps it for `make bench`.
    pub fn finish(self) {
        let text = self.text();
        println!("\n{text}");
        let path = kept().join(format!("{}.txt", self.bench));
        let kept = std::fs::create_dir_all(kept()).and_then(|()| std::fs::write(&path, &text));
        if let Err(error) = kept {
            eprintln!("{}: the table is not kept: {error}", path.display());
        }
    }

    fn text(&self) -> String {
        let head = [self.bench, "figure", "ratio", "goal", "reached"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(|row| {
            let reached = row.reached.map_or("", |yes| if yes { "yes" } else { "NO" });
            let Row { name, figure, ratio, goal, .. } = row;
            [name.clone(), figure.clone(), ratio.clone(), goal.clone(), reached.to_owned()]
        }));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or(0));
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!(" {cell:<width$} "));
            let _ = writeln!(text, "|{}|", cells.collect::<Vec<_>>().join("|"));
            if at == 0 {
                let rules = widths.map(|width| "-".repeat(width + 2));
                let _ = writeln!(text, "|{}|", rules.join("|"));
            }
        }
        text
    }
}

/// A number with three significant digits.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// Millions a second.
pub fn millions(per_second: f64) -> String {
    format!("{} M/s", short(per_second / 1e6))
}

/// Where tables are kept.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/measured")
}
