//! Counts by bucket of one pane: sorted, with new samples waiting to be merged.

use super::bucket::{Bucket, rank};
use smallvec::SmallVec;

/// Counts by bucket, sorted; new ones wait unsorted until there are enough to merge.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub(super) sorted: Vec<(Bucket, u32)>,
    /// A dozen in place: a gauge read every second has no more in ten.
    pub(super) waiting: SmallVec<[Bucket; 12]>,
}

/// How many samples wait: a merge then costs a few nanoseconds for each.
const WAITING_MAX: usize = 256;

impl Counts {
    /// Adds a sample.
    #[inline]
    pub fn add(&mut self, bucket: Bucket) {
        self.waiting.push(bucket);
        if self.waiting.len() >= WAITING_MAX {
            self.merge();
        }
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        let sorted: u64 = self.sorted.iter().map(|(_, count)| u64::from(*count)).sum();
        sorted + self.waiting.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty() && self.waiting.is_empty()
    }

    /// (bucket, count) by rising bucket.
    pub fn merged(&mut self) -> &[(Bucket, u32)] {
        self.merge();
        &self.sorted
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &mut Self) {
        // A few new ones may as well wait here.
        if other.sorted.is_empty() && self.waiting.len() + other.waiting.len() <= WAITING_MAX {
            self.waiting.extend_from_slice(&other.waiting);
            return;
        }
        let old = std::mem::take(self.merge_mut());
        self.sorted = merge(&old, other.merged());
    }

    /// The bucket of a rank, counted from 1.
    pub fn at_rank(&mut self, rank: u64) -> Option<Bucket> {
        let mut seen = 0;
        self.merged().iter().find_map(|(bucket, count)| {
            seen += u64::from(*count);
            (seen >= rank).then_some(*bucket)
        })
    }

    /// The value shown for the percentile `q`; none if there are no samples.
    pub fn percentile(&mut self, q: f64) -> Option<f64> {
        let count = self.len();
        if count == 0 {
            return None;
        }
        self.at_rank(rank(count, q)).map(Bucket::value)
    }

    fn merge_mut(&mut self) -> &mut Vec<(Bucket, u32)> {
        self.merge();
        &mut self.sorted
    }

    pub(super) fn merge(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.waiting.sort_unstable();
        let mut new: Vec<(Bucket, u32)> = Vec::new();
        for bucket in self.waiting.drain(..) {
            match new.last_mut() {
                Some((last, count)) if *last == bucket => *count += 1,
                _ => new.push((bucket, 1)),
            }
        }
        self.sorted = merge(&self.sorted, &new);
    }

    pub(super) fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<(Bucket, u32)>()
            + (if self.waiting.spilled() {
                self.waiting.capacity() * size_of::<Bucket>()
            } else {
                0
            })
    }
}

fn merge(old: &[(Bucket, u32)], new: &[(Bucket, u32)]) -> Vec<(Bucket, u32)> {
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        match a.0.cmp(&b.0) {
            std::cmp::Ordering::Less => merged.extend(old.next()),
            std::cmp::Ordering::Greater => merged.extend(new.next()),
            std::cmp::Ordering::Equal => {
                merged.push((a.0, a.1.saturating_add(b.1)));
                old.next();
                new.next();
            }
        }
    }
    merged.extend(old);
    merged.extend(new);
    merged.shrink_to_fit();
    merged
}

impl PartialEq for Counts {
    fn eq(&self, other: &Self) -> bool {
        self.clone().merged() == other.clone().merged()
    }
}
