//! The samples of a window as they came: a percentile is one look-up.

use super::bucket::{BUCKETS, Bucket};

/// Samples as they came, each with the slot of its pane, sorted by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub(super) Vec<u32>);

const SLOT_BITS: u32 = 15;

impl Raw {
    /// Adds a sample of the pane in `slot`.
    #[inline]
    pub fn add(&mut self, bucket: Bucket, slot: usize) {
        let packed = ((bucket.0 + BUCKETS) as u32) << SLOT_BITS | slot as u32;
        if self.0.len() == self.0.capacity() {
            // By an eighth, not by twice: this is most of a cell's memory.
            self.0.reserve_exact(self.0.len() / 8 + 8);
        }
        let at = self.0.partition_point(|other| *other < packed);
        self.0.insert(at, packed);
    }

    /// Drops the samples of the pane in `slot`.
    pub fn drop_pane(&mut self, slot: usize) {
        self.0.retain(|packed| packed & ((1 << SLOT_BITS) - 1) != slot as u32);
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The samples by rising bucket, each with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (Bucket, usize)> {
        self.0.iter().map(|packed| {
            let bucket = Bucket((packed >> SLOT_BITS) as i32 - BUCKETS);
            (bucket, (packed & ((1 << SLOT_BITS) - 1)) as usize)
        })
    }

    pub(super) fn at_rank(&self, rank: u64) -> Option<Bucket> {
        let packed = self.0.get(usize::try_from(rank).ok()?.checked_sub(1)?)?;
        Some(Bucket((packed >> SLOT_BITS) as i32 - BUCKETS))
    }

    pub(super) fn below(&self, bucket: Bucket) -> u64 {
        let edge = ((bucket.0 + BUCKETS) as u32) << SLOT_BITS;
        self.0.partition_point(|packed| *packed < edge) as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u32>()
    }
}
