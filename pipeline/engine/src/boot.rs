//! Who this start of the process is: told apart from every other start, also of the same process.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// One start of a process.
#[derive(Debug)]
pub(crate) struct Boot {
    /// Its name.
    pub process: String,
    /// Unique to this start.
    pub id: String,
    /// Version of its stages.
    pub stages: u32,
    attempts: AtomicU64,
}

impl Boot {
    pub fn new(process: &str) -> Self {
        Self::of(process, stages::VERSION)
    }

    /// One with other stages than the product's.
    pub fn of(process: &str, stages: u32) -> Self {
        // The standard library's hash seeds come from the operating system: 64 random bits without a crate.
        let id = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Self { process: process.to_owned(), id, stages, attempts: AtomicU64::new(0) }
    }

    /// A token no other write to the bus carries.
    pub fn attempt(&self) -> String {
        format!("{}-{}", self.id, self.attempts.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_attempts_are_equal() {
        let (one, other) = (Boot::new("a"), Boot::new("a"));
        let all = [one.attempt(), one.attempt(), other.attempt(), other.attempt()];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
