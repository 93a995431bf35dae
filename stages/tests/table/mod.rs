//! Tables of text that line up, and the goldens they are kept as.

#![allow(dead_code, reason = "each test uses its part")]

use serde::Serialize;
use serde_json::json;
use std::path::Path;

/// Rows of cells below a title; the first cell of a row names it.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    pub fn row(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        self.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }

    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = format!("    {}", cells.collect::<Vec<_>>().join(" | "));
            format!("{}\n", line.trim_end())
        };
        format!("\n{}\n{}", self.title, self.rows.iter().map(line).collect::<String>())
    }
}

/// Holds a text against `tests/golden/<name>`.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{name} is other; OPS_WRITE_GOLDEN=1 rewrites it:\n{text}");
}

/// An enum of the wire as its word.
pub fn word(value: &impl Serialize) -> String {
    json!(value).as_str().unwrap().to_owned()
}
