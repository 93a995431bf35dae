//! The samples of a window as they came, and the few around the percentile it is asked for.
//!
//! All samples in sorted order were tried: a look-up is quick, but each sample moves half of a kilobyte that is in no
//! near cache. Here a sample is appended, a pane leaves at the front, and a short sorted *band* of samples
//! around the rank asked for last follows both; only when the rank wanders out of it are all samples looked through.

use super::bucket::{BUCKETS, Bucket};
use std::collections::VecDeque;

/// Samples as they came, each with the slot of its pane.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    samples: VecDeque<u32>,
    band: Band,
}

const SLOT_BITS: u32 = 15;

/// Samples of a band: a rank is 8 away from leaving a fresh one.
const BAND: usize = 16;

/// A part of the samples in sorted order; empty: not known.
#[derive(Clone, Debug, Default)]
struct Band {
    /// Samples sorted before its first.
    under: u32,
    len: u32,
    sorted: [Bucket; BAND],
}

impl Raw {
    /// Adds a sample of the pane in `slot`.
    #[inline]
    pub fn add(&mut self, bucket: Bucket, slot: usize) {
        if self.samples.len() == self.samples.capacity() {
            // By an eighth, not by twice: this is most of a cell's memory.
            self.samples.reserve_exact(self.samples.len() / 8 + 8);
        }
        self.samples.push_back(((bucket.0 + BUCKETS) as u32) << SLOT_BITS | slot as u32);
        self.band.add(bucket);
    }

    /// Drops the `count` samples of the pane in `slot`.
    pub fn drop_pane(&mut self, slot: usize, mut count: u64) {
        while count > 0
            && let Some((bucket, at)) = self.samples.front().map(|packed| unpack(*packed))
            && at == slot
        {
            self.samples.pop_front();
            self.band.remove(bucket);
            count -= 1;
        }
        if count > 0 {
            // Some came late, behind samples of later panes.
            let band = &mut self.band;
            self.samples.retain(|packed| {
                let (bucket, at) = unpack(*packed);
                if at == slot {
                    band.remove(bucket);
                }
                at != slot
            });
        }
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The samples as they came, each with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (Bucket, usize)> {
        self.samples.iter().map(|packed| unpack(*packed))
    }

    /// The bucket of a rank, from 1, that will be asked for again.
    #[inline]
    pub(super) fn follow(&mut self, rank: u64) -> Option<Bucket> {
        let at = u32::try_from(rank).ok()?.checked_sub(1)?;
        if !(self.band.under..self.band.under + self.band.len).contains(&at) {
            self.seek(at as usize)?;
        }
        Some(self.band.sorted[(at - self.band.under) as usize])
    }

    /// Lays the band around place `at` of the sorted samples.
    #[cold]
    fn seek(&mut self, at: usize) -> Option<()> {
        if at >= self.samples.len() {
            return None;
        }
        let mut all: Vec<Bucket> = self.iter().map(|(bucket, _)| bucket).collect();
        let len = all.len().min(BAND);
        let under = at.saturating_sub(BAND / 2).min(all.len() - len);
        all.select_nth_unstable(under);
        let rest = &mut all[under..];
        rest.select_nth_unstable(len - 1);
        rest[..len].sort_unstable();
        self.band.sorted[..len].copy_from_slice(&rest[..len]);
        (self.band.under, self.band.len) = (under as u32, len as u32);
        Some(())
    }

    /// The bucket of a rank, from 1.
    pub(super) fn at_rank(&self, rank: u64) -> Option<Bucket> {
        let at = usize::try_from(rank).ok()?.checked_sub(1)?;
        let mut all: Vec<Bucket> = self.iter().map(|(bucket, _)| bucket).collect();
        (at < all.len()).then(|| *all.select_nth_unstable(at).1)
    }

    pub(super) fn below(&self, bucket: Bucket) -> u64 {
        let edge = ((bucket.0 + BUCKETS) as u32) << SLOT_BITS;
        let (one, other) = self.samples.as_slices();
        let count = |some: &[u32]| some.iter().filter(|packed| **packed < edge).count() as u64;
        count(one) + count(other)
    }

    pub(super) fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<u32>()
    }

    /// Reads a little of where the next sample goes, and of what leaves next.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        let end = |packed: Option<&u32>| u64::from(packed.copied().unwrap_or(0));
        end(self.samples.back()) ^ end(self.samples.front())
    }
}

fn unpack(packed: u32) -> (Bucket, usize) {
    let bucket = Bucket((packed >> SLOT_BITS) as i32 - BUCKETS);
    (bucket, (packed & ((1 << SLOT_BITS) - 1)) as usize)
}

impl Band {
    /// The edges of what it holds; of samples equal to one of them there may be more outside.
    #[inline]
    fn edges(&self) -> Option<(Bucket, Bucket)> {
        let last = (self.len as usize).checked_sub(1)?;
        Some((self.sorted[0], self.sorted[last]))
    }

    #[inline]
    fn add(&mut self, bucket: Bucket) {
        let Some((first, last)) = self.edges() else { return };
        if bucket < first {
            self.under += 1;
        } else if bucket <= last {
            self.insert(bucket);
        }
    }

    fn insert(&mut self, bucket: Bucket) {
        if self.len as usize == BAND {
            // The last one is left to those behind.
            self.len -= 1;
        }
        let len = self.len as usize;
        let at = self.sorted[..len].partition_point(|other| *other <= bucket);
        self.sorted.copy_within(at..len, at + 1);
        self.sorted[at] = bucket;
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, bucket: Bucket) {
        let Some((first, last)) = self.edges() else { return };
        if bucket < first {
            self.under -= 1;
        } else if bucket <= last {
            // Equal samples are as good as each other: the one inside goes.
            let len = self.len as usize;
            let at = self.sorted[..len].partition_point(|other| *other < bucket);
            self.sorted.copy_within(at + 1..len, at);
            self.len -= 1;
        }
    }
}
