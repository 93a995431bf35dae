//! Samples of the past from files: JSON lines, CSV, and what Prometheus exports.
//!
//! | form | how it is known | |
//! |---|---|---|
//! | JSON lines | a line begins with `{` | as the collector takes them, `ts` needed |
//! | CSV | a head with `ts` or `time`, `name` and `val` or `value` | further columns are labels, `kind` is not |
//! | range query | a JSON document with `data.result` | `/api/v1/query_range` |
//! | text | `name{label="v"} value time` | OpenMetrics, `promtool tsdb dump` |

mod csv;
mod json;
mod text;

use rustc_hash::FxHashMap;
use stages::batch::{Kind, TimedFrame};
use stages::log::STEP;
use stages::time::Time;
use std::fmt;
use std::path::Path;

/// Most samples of a file: 24 bytes each, so at most 2.4 GB.
const SAMPLES_MAX: usize = 100_000_000;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file as it is shown.
    pub file: String,
    /// Line and column, from 1; none for the file as a whole.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, message, remedy } = self;
        match place {
            Some((line, column)) => write!(f, "{file}:{line}:{column}: {message}: {remedy}"),
            None => write!(f, "{file}: {message}: {remedy}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A fault before its file is known.
struct Flaw {
    place: Option<(usize, usize)>,
    message: String,
    remedy: &'static str,
}

impl Flaw {
    fn at(line: usize, column: usize, message: impl Into<String>, remedy: &'static str) -> Self {
        Self { place: Some((line, column)), message: message.into(), remedy }
    }
}

/// Samples of a file, in order of their time.
#[derive(Debug, Default)]
pub struct Samples {
    series: Vec<(String, Kind)>,
    known: FxHashMap<Box<str>, u32>,
    all: Vec<(Time, u32, f64)>,
}

impl Samples {
    /// Reads a file, whatever of the forms it has.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let file = path.display().to_string();
        let flaw = |flaw: Flaw| Fault {
            file: file.clone(),
            place: flaw.place,
            message: flaw.message,
            remedy: flaw.remedy.to_owned(),
        };
        let bytes = std::fs::read(path).map_err(|error| Fault {
            file: file.clone(),
            place: None,
            message: format!("cannot be read ({error})"),
            remedy: "name a file of samples that this user may read".to_owned(),
        })?;
        let mut samples = Self::parse(&bytes).map_err(flaw)?;
        samples.sort();
        Ok(samples)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let text = std::str::from_utf8(bytes).map_err(|fault| {
            let before = &bytes[..fault.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Flaw::at(line, 1, "bytes that are not UTF-8", "save the file as UTF-8 text")
        })?;
        let mut samples = Self::default();
        let first =
            text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        match first {
            None => {
                let remedy = "name a file of JSON lines, CSV, or what Prometheus exports";
                return Err(Flaw { place: None, message: "no samples".to_owned(), remedy });
            }
            Some(_) if json::is_query(text) => json::query(text, &mut samples)?,
            Some(line) if line.starts_with(['{', '[']) && !line.starts_with("{__name__") => {
                json::lines(text, &mut samples)?;
            }
            Some(line) if csv::is_head(line) => csv::read(text, &mut samples)?,
            Some(_) => text::read(text, &mut samples)?,
        }
        Ok(samples)
    }

    /// Puts a sample of `key` to the others; [`Samples::sort`] follows.
    pub(crate) fn put(
        &mut self,
        (time, value): (Time, f64),
        key: &str,
        kind: Kind,
    ) -> Result<(), String> {
        let series = self.number(key, kind);
        self.add(time, series, value).map_err(|flaw| flaw.message)
    }

    /// Into the order of time. In one instant the order they came in stays.
    pub(crate) fn sort(&mut self) {
        // Files of one series after the other are common.
        if !self.all.is_sorted_by_key(|(time, ..)| *time) {
            self.all.sort_by_key(|(time, ..)| *time);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When the first and the last of them are.
    pub fn span(&self) -> Option<(Time, Time)> {
        Some((self.all.first()?.0, self.all.last()?.0))
    }

    /// Names of their metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.series.iter().map(|(key, _)| stages::series::split_key(key).0)
    }

    /// Hands them out as entries of a log: those of one step in one, stored when the last of them is.
    ///
    /// # Errors
    /// What `take` says; it is also told how many samples are done.
    pub fn each<Error>(
        &self,
        mut take: impl FnMut(Time, Vec<u8>, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut frame = TimedFrame::new(&self.series);
        let mut rest = &self.all[..];
        while let Some((first, ..)) = rest.first() {
            let end = first.floor(STEP).plus(STEP);
            let count = rest.iter().take_while(|(time, ..)| *time < end).count();
            let (now, later) = rest.split_at(count);
            rest = later;
            let stored = now.last().map_or(*first, |(time, ..)| *time);
            take(stored, frame.write(now), self.all.len() - rest.len())?;
        }
        Ok(())
    }

    /// The number of a series.
    fn number(&mut self, key: &str, kind: Kind) -> u32 {
        if let Some(number) = self.known.get(key) {
            return *number;
        }
        let number = self.series.len() as u32;
        self.series.push((key.to_owned(), kind));
        self.known.insert(key.into(), number);
        number
    }

    fn add(&mut self, time: Time, series: u32, value: f64) -> Result<(), Flaw> {
        if self.all.len() >= SAMPLES_MAX {
            let message = format!("more than {SAMPLES_MAX} samples");
            return Err(Flaw { place: None, message, remedy: "split the file by time" });
        }
        self.all.push((time, series, value));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
