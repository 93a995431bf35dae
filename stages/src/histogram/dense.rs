//! The running total of a counted window.

use super::bucket::{BUCKETS, Bucket};

/// The running total of a window: counters over the range of buckets in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Dense {
    first: i32,
    pub(super) counters: Vec<u32>,
    pub(super) total: u64,
    /// A place, and the samples before it: where the rank asked for last was found.
    found: usize,
    under: u64,
}

impl Dense {
    #[inline]
    pub(super) fn add(&mut self, bucket: Bucket, count: u32) {
        let at = bucket.0.wrapping_sub(self.first);
        if at < 0 || at as usize >= self.counters.len() {
            self.widen(bucket);
        }
        let at = (bucket.0 - self.first) as usize;
        self.counters[at] += count;
        self.total += u64::from(count);
        self.under += if at < self.found { u64::from(count) } else { 0 };
    }

    /// The same for bytes from elsewhere: false if that many cannot be.
    pub(super) fn add_checked(&mut self, bucket: Bucket, count: u32) -> bool {
        self.add(bucket, 0);
        let at = (bucket.0 - self.first) as usize;
        let fits = self.counters[at].checked_add(count).is_some();
        if fits {
            self.add(bucket, count);
        }
        fits
    }

    pub(super) fn sub(&mut self, bucket: Bucket, count: u32) {
        // Only what was added is taken away: panes are what the total is made of.
        let at = (bucket.0 - self.first) as usize;
        self.counters[at] -= count;
        self.total -= u64::from(count);
        self.under -= if at < self.found { u64::from(count) } else { 0 };
    }

    /// Makes room for `bucket`, with a margin so that it seldom happens.
    fn widen(&mut self, bucket: Bucket) {
        let (first, last) = if self.counters.is_empty() {
            (bucket.0, bucket.0)
        } else {
            (self.first.min(bucket.0), (self.first + self.counters.len() as i32 - 1).max(bucket.0))
        };
        let margin = (last - first) / 8 + 32;
        let (first, last) = ((first - margin).max(-BUCKETS), (last + margin).min(BUCKETS));
        let mut counters = vec![0; (last - first + 1) as usize];
        if !self.counters.is_empty() {
            let from = (self.first - first) as usize;
            counters[from..from + self.counters.len()].copy_from_slice(&self.counters);
        }
        (self.first, self.counters) = (first, counters);
        (self.found, self.under) = (0, 0);
    }

    /// The bucket of a rank that will be asked for again: from where the last one was found, a few places on.
    pub(super) fn follow(&mut self, rank: u64) -> Option<Bucket> {
        if rank == 0 || rank > self.total {
            return None;
        }
        while self.under >= rank {
            self.found -= 1;
            self.under -= u64::from(self.counters[self.found]);
        }
        while self.under + u64::from(self.counters[self.found]) < rank {
            self.under += u64::from(self.counters[self.found]);
            self.found += 1;
        }
        Some(Bucket(self.first + self.found as i32))
    }

    pub(super) fn at_rank(&self, rank: u64) -> Option<Bucket> {
        // From whichever end is nearer.
        let mut left = rank;
        if rank * 2 > self.total {
            left = self.total + 1 - rank;
            let found = self.counters.iter().rposition(|count| take(&mut left, *count))?;
            return Some(Bucket(self.first + found as i32));
        }
        let found = self.counters.iter().position(|count| take(&mut left, *count))?;
        Some(Bucket(self.first + found as i32))
    }

    pub(super) fn below(&self, bucket: Bucket) -> u64 {
        let end = (bucket.0 - self.first).clamp(0, self.counters.len() as i32) as usize;
        self.counters[..end].iter().map(|count| u64::from(*count)).sum()
    }
}

fn take(left: &mut u64, count: u32) -> bool {
    *left = left.saturating_sub(u64::from(count));
    *left == 0
}
