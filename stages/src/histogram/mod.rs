//! Histograms over the buckets of `hdrhistogram` with 3 significant digits, for values of either sign.
//!
//! # Buckets
//!
//! HDR splits each power of two into 1024 equal buckets, so a bucket is the sign, the exponent and the first ten
//! bits of the mantissa of a float: [`Bucket::of`] reads it off the bits. One HDR histogram of 64 bits
//! cannot hold 1e-6 to 1e12 at full resolution (60 powers of two and ten bits), so on the wire there are up
//! to four, of magnitudes below and from 1, of either sign ([`Counts::save`]); inside, a bucket is a number.
//!
//! A bucket is shown by its edge nearer to zero, so every value of up to three digits that is a whole number shows
//! as itself; the value shown is off by less than 2^-10 (0.098 %), always towards zero. Magnitudes below 1e-6
//! count as zero, above 1e12 as 1e12. Everything is compared at this resolution.
//!
//! # Levels
//!
//! A window keeps its samples as they are, one `u32` each ([`Raw`]): a gauge read every few seconds never needs more.
//! Past [`RAW_MAX`] samples it counts: sparse panes of (bucket,
//! count), and a dense running total over the range of buckets in use, added to and subtracted from exactly.
//! `hdrhistogram`'s own `subtract` is not used: it fails half-way.
//!
//! ```
//! use stages::histogram::Histo;
//! let mut histogram = Histo::default();
//! (1..=200).for_each(|value| histogram.add(f64::from(value), usize::from(value > 100), 2));
//! assert_eq!(histogram.percentile(99.0), Some(198.0));
//! histogram.drop_pane(0, 100);
//! assert_eq!((histogram.len(), histogram.percentile(50.0)), (100, Some(150.0)));
//! ```

mod bucket;
mod counts;
mod dense;
mod raw;
mod save;
#[cfg(test)]
mod tests;
mod wire;

pub use bucket::{Bucket, MAGNITUDE_MAX, MAGNITUDE_MIN, rank};
pub use counts::Counts;
pub use raw::Raw;

use dense::Dense;

/// Samples a window keeps one by one before it counts. 1024 x 4 bytes: less than the counts would take.
pub const RAW_MAX: usize = 1024;

/// The histogram of a window: all its samples, each known to be of one pane.
#[derive(Clone, Debug)]
pub enum Histo {
    /// As they came.
    Raw(Raw),
    /// Counted.
    Counted(Box<Counted>),
}

/// Sparse panes by slot, and their total.
#[derive(Clone, Debug)]
pub struct Counted {
    panes: Vec<Counts>,
    total: Dense,
}

impl Default for Histo {
    fn default() -> Self {
        Self::Raw(Raw::default())
    }
}

impl Histo {
    /// Adds a sample to the pane in `slot`, one of `slots`.
    #[inline]
    pub fn add(&mut self, value: f64, slot: usize, slots: usize) {
        let bucket = Bucket::of(value);
        match self {
            Self::Raw(raw) => {
                raw.add(bucket, slot);
                if raw.len() > RAW_MAX as u64 {
                    self.count(slots);
                }
            }
            Self::Counted(counted) => {
                counted.panes[slot].add(bucket);
                counted.total.add(bucket, 1);
            }
        }
    }

    fn count(&mut self, slots: usize) {
        if let Self::Raw(raw) = self {
            let mut counted =
                Counted { panes: vec![Counts::default(); slots], total: Dense::default() };
            for (bucket, slot) in raw.iter() {
                counted.panes[slot].add(bucket);
                counted.total.add(bucket, 1);
            }
            *self = Self::Counted(Box::new(counted));
        }
    }

    /// Drops the pane in `slot`, which holds `count` samples; goes back to raw once few are left.
    pub fn drop_pane(&mut self, slot: usize, count: u64) {
        let counted = match self {
            Self::Raw(raw) => return raw.drop_pane(slot, count),
            Self::Counted(counted) => counted,
        };
        let mut pane = std::mem::take(&mut counted.panes[slot]);
        for (bucket, count) in pane.merged() {
            counted.total.sub(*bucket, *count);
        }
        // Well below the way up, so that a window does not go to and fro.
        if counted.total.total <= RAW_MAX as u64 / 4 {
            let mut raw = Raw::default();
            for (slot, pane) in counted.panes.iter_mut().enumerate() {
                for (bucket, count) in pane.merged() {
                    (0..*count).for_each(|_| raw.add(*bucket, slot));
                }
            }
            *self = Self::Raw(raw);
        }
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        match self {
            Self::Raw(raw) => raw.len(),
            Self::Counted(counted) => counted.total.total,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value shown for the percentile `q` (0 < q <= 100), by nearest rank; none without samples.
    pub fn percentile(&self, q: f64) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        let rank = rank(self.len(), q);
        let bucket = match self {
            Self::Raw(raw) => raw.at_rank(rank),
            Self::Counted(counted) => counted.total.at_rank(rank),
        };
        bucket.map(Bucket::value)
    }

    /// The same, for one that is asked for after nearly every sample.
    #[inline]
    pub fn follow(&mut self, q: f64) -> Option<f64> {
        let rank = rank(self.len(), q);
        let bucket = match self {
            Self::Raw(raw) => raw.follow(rank),
            Self::Counted(counted) => counted.total.follow(rank),
        };
        bucket.map(Bucket::value)
    }

    /// Samples in buckets below that of `threshold`.
    pub fn below(&self, threshold: f64) -> u64 {
        self.under(Bucket::of(threshold))
    }

    /// Samples in buckets above that of `threshold`.
    pub fn above(&self, threshold: f64) -> u64 {
        self.len() - self.under(Bucket(Bucket::of(threshold).0 + 1))
    }

    fn under(&self, bucket: Bucket) -> u64 {
        match self {
            Self::Raw(raw) => raw.below(bucket),
            Self::Counted(counted) => counted.total.below(bucket),
        }
    }

    /// Reads a little of where the next sample may go.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        match self {
            Self::Raw(raw) => raw.touch(),
            Self::Counted(counted) => counted.total.total,
        }
    }

    /// Memory it holds beside itself, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Raw(raw) => raw.bytes(),
            Self::Counted(counted) => {
                let panes: usize =
                    counted.panes.iter().map(|p| size_of::<Counts>() + p.bytes()).sum();
                size_of::<Counted>() + panes + counted.total.counters.capacity() * size_of::<u32>()
            }
        }
    }

    /// Samples of one pane.
    pub(crate) fn pane_len(&self, slot: usize) -> u64 {
        match self {
            Self::Raw(raw) => raw.iter().filter(|(_, other)| *other == slot).count() as u64,
            Self::Counted(counted) => counted.panes[slot].len(),
        }
    }
}
