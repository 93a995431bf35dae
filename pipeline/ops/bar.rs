//! How far long work is, on a terminal; silent elsewhere.

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// A bar on stderr.
pub struct Bar {
    what: String,
    unit: &'static str,
    began: Instant,
    shown: Option<Instant>,
}

impl Bar {
    /// A bar for `what`, whose speed is counted in `unit`.
    pub fn new(what: impl Into<String>, unit: &'static str) -> Self {
        Self { what: what.into(), unit, began: Instant::now(), shown: None }
    }

    /// So much of it is done; `counted` units took the time so far.
    pub fn show(&mut self, done: u64, whole: u64, counted: u64) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY);
        if !due || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown = Some(Instant::now());
        let part = done as f64 / whole.max(1) as f64;
        let rate = counted as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
        let full = "#".repeat((part * 30.0) as usize);
        let percent = part * 100.0;
        eprint!("\r{}: [{full:<30}] {percent:3.0} %  {rate:.0} {}/s ", self.what, self.unit);
        let _ = std::io::stderr().flush();
    }

    /// Takes it off the terminal.
    pub fn end(&self) {
        if self.shown.is_some() {
            eprint!("\r{:78}\r", "");
        }
    }
}
