//! What the collector counts, for the product's own metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds, in seconds, of the classes publish times fall into; the last class has none.
pub const PUBLISH_BOUNDS: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// Sums since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub requests: AtomicU64,
    pub samples: AtomicU64,
    pub entries: AtomicU64,
    pub entry_bytes: AtomicU64,
    pub retries: AtomicU64,
    pub dead_letters: AtomicU64,
    pub dead_letters_dropped: AtomicU64,
    /// Why the bus did not take the newest entry; none once it takes one.
    trouble: Mutex<Option<Arc<str>>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    turned_away: Mutex<BTreeMap<u16, u64>>,
    publish: [AtomicU64; PUBLISH_BOUNDS.len() + 1],
    publish_micros: AtomicU64,
}

/// The counts of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectorCounts {
    /// Requests that came to `/metric`.
    pub requests: u64,
    /// Samples the bus has stored.
    pub samples: u64,
    /// Samples refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests answered with neither 202 nor 400, by status.
    pub turned_away: BTreeMap<u16, u64>,
    /// Log entries stored.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Publishes that had to be repeated.
    pub retries: u64,
    /// Dead letters stored, and those left out because there were too many or the bus did not take them.
    pub dead_letters: (u64, u64),
    /// Bytes of bodies held right now.
    pub queue_bytes: u64,
    /// Publishes by how long they took ([`PUBLISH_BOUNDS`]), not cumulative.
    pub publish: [u64; PUBLISH_BOUNDS.len() + 1],
    /// All of that time, in seconds.
    pub publish_seconds: f64,
}

impl Counters {
    pub(crate) fn refuse(&self, reason: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() +=
            1;
    }

    pub(crate) fn turn_away(&self, status: u16) {
        let mut counts = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(status).or_default() += 1;
    }

    pub(crate) fn in_trouble(&self, why: Option<&str>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why.map(Arc::from);
    }

    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn published(&self, bytes: usize, took: Duration) {
        self.in_trouble(None);
        self.entries.fetch_add(1, Relaxed);
        self.entry_bytes.fetch_add(bytes as u64, Relaxed);
        let seconds = took.as_secs_f64();
        let class = PUBLISH_BOUNDS.iter().position(|bound| seconds <= *bound);
        self.publish[class.unwrap_or(PUBLISH_BOUNDS.len())].fetch_add(1, Relaxed);
        self.publish_micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    pub(crate) fn counts(&self, queue_bytes: usize) -> CollectorCounts {
        let read = |count: &AtomicU64| count.load(Relaxed);
        CollectorCounts {
            requests: read(&self.requests),
            samples: read(&self.samples),
            refused: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            turned_away: self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            entries: read(&self.entries),
            entry_bytes: read(&self.entry_bytes),
            retries: read(&self.retries),
            dead_letters: (read(&self.dead_letters), read(&self.dead_letters_dropped)),
            queue_bytes: queue_bytes as u64,
            publish: std::array::from_fn(|class| read(&self.publish[class])),
            publish_seconds: read(&self.publish_micros) as f64 / 1e6,
        }
    }
}
