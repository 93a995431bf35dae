//! Where a shard's state lives: which worker has which metrics.
//!
//! Metrics fall into [`SLICES`] slices by a hash of their name, and worker `i` of `n` has the slices equal to
//! `i` modulo `n`. A slice is whole on one worker, whatever their number. So what is bounded per shard (series,
//! remembered sample ids) is bounded per slice, and a snapshot is cut by slices: neither depends on `n`.

use crate::subject::{Subjects, fnv1a_32};
use crate::time::Time;
use crate::timely_adapter::Seat;

/// Slices of a shard, and so the most workers there can be.
pub const SLICES: usize = crate::dataflow::WORKERS_MAX;

/// Which shard this is, of which log, on which worker.
#[derive(Clone, Debug)]
pub struct Place {
    /// The shard.
    pub shard: u32,
    /// How many there are.
    pub shards: u32,
    /// When the log's stream was created: part of every incident's identity.
    pub created: Time,
    /// Subjects.
    pub subjects: Subjects,
    /// The worker.
    pub seat: Seat,
}

impl Place {
    /// Whether this worker says what concerns the shard as a whole.
    pub fn is_first(&self) -> bool {
        self.seat.index == 0
    }

    /// Whether this worker has `slice`.
    pub fn owns(&self, slice: usize) -> bool {
        slice % self.seat.of == self.seat.index
    }

    /// Whether this worker has the slice of `metric`. A lone worker has all, and need not hash.
    pub fn owns_metric(&self, metric: &str) -> bool {
        self.seat.of == 1 || self.owns(slice_of(metric))
    }

    /// Whether samples of `metric` come to this shard.
    pub fn is_of_shard(&self, metric: &str) -> bool {
        self.subjects.shard_of(metric, self.shards) == self.shard
    }
}

/// The slice of `metric`. Mixed once more than the hash that chose the shard, or all metrics of a shard would
/// fall into few slices.
pub fn slice_of(metric: &str) -> usize {
    let hash = u64::from(fnv1a_32(metric.bytes())).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 40) as usize % SLICES
}
