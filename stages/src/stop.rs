//! Why a log stands still: a stage panicked over an entry, or could not take the log up.
//!
//! The stages say which entry they are reading ([`at`]), so that a panic can be laid at its door. What panics once the
//! entries of a step are read, while the step is judged, is laid at the door of the whole step.

use crate::log::{Entry, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::Cell;

/// Why a log stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stop {
    /// First and last entry it stands still before; none where it could not be taken up at all.
    pub entries: Option<(u64, u64)>,
    /// What the stage said.
    pub why: String,
}

impl Stop {
    /// A log that could not be taken up.
    pub(crate) fn before_all(why: String) -> Self {
        Self { entries: None, why }
    }

    /// A panic in `step`: the entry that was being read, else all of them.
    pub(crate) fn in_step(step: &Step, why: String) -> Self {
        let reading = READING.take();
        let whole = || Some((step.entries.first()?.sequence, step.position()));
        Self { entries: reading.map(|entry| (entry, entry)).or_else(whole), why }
    }

    /// Where it stands still, for people.
    pub fn place(&self) -> String {
        match self.entries {
            None => "cannot be taken up".to_owned(),
            Some((first, last)) if first == last => format!("stands still before entry {last}"),
            Some((first, last)) => format!("stands still before entries {first} to {last}"),
        }
    }
}

thread_local! {
    static READING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From here on it is this entry whose fault a panic is; none: the step's.
pub(crate) fn at(entry: Option<&Entry>) {
    READING.set(entry.map(|entry| entry.sequence));
    #[cfg(debug_assertions)]
    entry.into_iter().for_each(failpoint::check);
}

/// A panic on demand, for tests of what comes after one. Not in release builds.
#[cfg(debug_assertions)]
pub mod failpoint {
    use crate::log::Entry;
    use std::sync::OnceLock;

    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();

    /// Makes every stage of this process panic over entries that hold `text`. The first call counts.
    pub fn panic_over(text: &[u8]) {
        let _ = TEXT.set(text.to_vec());
    }

    pub(super) fn check(entry: &Entry) {
        let Some(text) = TEXT.get() else { return };
        let found = entry.payload.windows(text.len().max(1)).any(|bytes| bytes == text);
        assert!(!found, "asked to panic");
    }
}
