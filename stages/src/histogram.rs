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
//! A window keeps its samples as they are, one `u32` each, sorted ([`Raw`]): a percentile is one look-up, and
//! a gauge read every few seconds never needs more. Past [`RAW_MAX`] samples it counts: sparse panes of (bucket,
//! count), and a dense running total over the range of buckets in use, added to and subtracted from exactly.
//! `hdrhistogram`'s own `subtract` is not used: it fails half-way.

use crate::batch::BatchError;
use crate::batch::varint::{self, Cursor};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

/// Samples a window keeps one by one before it counts. 1024 x 4 bytes: less than the counts would take.
pub const RAW_MAX: usize = 1024;
/// Magnitudes below this count as zero.
pub const MAGNITUDE_MIN: f64 = 1e-6;
/// Magnitudes above this count as this.
pub const MAGNITUDE_MAX: f64 = 1e12;

const EXPONENT_MIN: i64 = -20;
const OCTAVES: i64 = 60;
const PER_OCTAVE: i64 = 1024;
/// Buckets of one sign.
const BUCKETS: i32 = (OCTAVES * PER_OCTAVE) as i32;

/// A bucket: 0 for zero, positive for positive values, rising with the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(i32);

impl Bucket {
    /// The bucket of a finite value.
    #[inline]
    pub fn of(value: f64) -> Self {
        let size = value.abs();
        if size < MAGNITUDE_MIN {
            return Self(0);
        }
        let bits = size.min(MAGNITUDE_MAX).to_bits() as i64;
        let index = ((bits >> 42) - ((EXPONENT_MIN + 1023) << 10)) as i32 + 1;
        Self(if value < 0.0 { -index } else { index })
    }

    /// The value it is shown by: its edge nearer to zero.
    pub fn value(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        let index = i64::from(self.0.unsigned_abs() - 1);
        let size = f64::from_bits(((index + ((EXPONENT_MIN + 1023) << 10)) << 42) as u64);
        if self.0 < 0 { -size } else { size }
    }

    /// Whether a value's magnitude lies beyond what buckets tell apart, and was clamped.
    pub fn clamps(value: f64) -> bool {
        value.abs() > MAGNITUDE_MAX
    }
}

/// Rank of a nearest-rank percentile, from 1: the smallest rank with at least `q` percent at or below it.
pub fn rank(count: u64, q: f64) -> u64 {
    // 99.9 % of 1000 is 999, though the product of the floats is a hair above.
    let exact = q * count as f64 / 100.0;
    let near = exact.round();
    let rank = if (exact - near).abs() <= near * 1e-12 { near } else { exact.ceil() };
    (rank as u64).clamp(1, count.max(1))
}

/// Samples as they came, each with the slot of its pane, sorted by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(Vec<u32>);

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

    fn at_rank(&self, rank: u64) -> Option<Bucket> {
        let packed = self.0.get(usize::try_from(rank).ok()?.checked_sub(1)?)?;
        Some(Bucket((packed >> SLOT_BITS) as i32 - BUCKETS))
    }

    fn below(&self, bucket: Bucket) -> u64 {
        let edge = ((bucket.0 + BUCKETS) as u32) << SLOT_BITS;
        self.0.partition_point(|packed| *packed < edge) as u64
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u32>()
    }
}

/// Counts by bucket, sorted; new ones wait unsorted until there are enough to merge.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    sorted: Vec<(Bucket, u32)>,
    waiting: Vec<Bucket>,
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

    fn merge(&mut self) {
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

    fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<(Bucket, u32)>()
            + self.waiting.capacity() * size_of::<Bucket>()
    }

    /// Appends it in the form of the wire: `zeros:varint parts:u8`, then for each bit of `parts` (1: from 1 up,
    /// 2: below 1, 4 and 8: the same of negative values) a length and a histogram in HDR's V2 encoding.
    /// Recorded there is the magnitude times 2^10 (from 1 up) or 2^30 (below 1).
    pub fn save(&mut self, out: &mut Vec<u8>) {
        let mut zeros = 0;
        let mut parts: [Option<Histogram<u64>>; 4] = [None, None, None, None];
        for (bucket, count) in self.merged() {
            if bucket.0 == 0 {
                zeros += u64::from(*count);
                continue;
            }
            let size = bucket.value().abs();
            let part = usize::from(size < 1.0) + 2 * usize::from(bucket.0 < 0);
            let recorded = (size * SCALES[part & 1]) as u64;
            // 2^51 and three digits are within the crate's bounds, and so is every bucket.
            let histogram = parts[part].get_or_insert_with(|| {
                Histogram::new_with_bounds(1, 1 << 51, 3).expect("bounds HDR allows")
            });
            histogram.record_n(recorded, u64::from(*count)).expect("a bucket within the bounds");
        }
        varint::put(out, zeros);
        let present = (0..4).map(|at| u8::from(parts[at].is_some()) << at).sum();
        out.push(present);
        for histogram in parts.iter().flatten() {
            let mut bytes = Vec::new();
            // Writing to a vector cannot fail, and the encoding holds every histogram of these bounds.
            V2Serializer::new().serialize(histogram, &mut bytes).expect("serialises into memory");
            varint::put_bytes(out, &bytes);
        }
    }

    /// Reads what [`Self::save`] wrote.
    pub(crate) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Corrupt("a histogram");
        let mut sorted = Vec::new();
        let zeros = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
        if zeros > 0 {
            sorted.push((Bucket(0), zeros));
        }
        let present = cursor.byte()?;
        for part in (0..4).filter(|part| present >> part & 1 == 1) {
            let mut bytes = cursor.bytes()?;
            // The header says how large the counters become: refuse what we never write before it allocates.
            let bounds = bytes.get(16..32).ok_or(BAD)?;
            let (low, high) = bounds.split_at(8);
            if low != 1_u64.to_be_bytes() || high != (1_u64 << 51).to_be_bytes() {
                return Err(BAD);
            }
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes).map_err(|_| BAD)?;
            for step in histogram.iter_recorded() {
                let lowest = histogram.lowest_equivalent(step.value_iterated_to());
                let size = lowest as f64 / SCALES[part & 1];
                let value = if part & 2 == 0 { size } else { -size };
                let count = u32::try_from(step.count_at_value()).map_err(|_| BAD)?;
                sorted.push((Bucket::of(value), count));
            }
        }
        sorted.sort_unstable();
        Ok(Self { sorted, waiting: Vec::new() })
    }
}

/// What magnitudes are multiplied with before HDR records them: from 1 up, below 1.
const SCALES: [f64; 2] = [1024.0, (1_u64 << 30) as f64];

fn merge(old: &[(Bucket, u32)], new: &[(Bucket, u32)]) -> Vec<(Bucket, u32)> {
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        match a.0.cmp(&b.0) {
            std::cmp::Ordering::Less => merged.extend(old.next()),
            std::cmp::Ordering::Greater => merged.extend(new.next()),
            std::cmp::Ordering::Equal => {
                merged.push((a.0, a.1.saturating_add(b.1)));
                (old.next(), new.next());
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

/// The running total of a window: counters over the range of buckets in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Dense {
    first: i32,
    counters: Vec<u32>,
    total: u64,
}

impl Dense {
    #[inline]
    fn add(&mut self, bucket: Bucket, count: u32) {
        let at = bucket.0.wrapping_sub(self.first);
        if at < 0 || at as usize >= self.counters.len() {
            self.widen(bucket);
        }
        self.counters[(bucket.0 - self.first) as usize] += count;
        self.total += u64::from(count);
    }

    fn sub(&mut self, bucket: Bucket, count: u32) {
        // Only what was added is taken away: panes are what the total is made of.
        self.counters[(bucket.0 - self.first) as usize] -= count;
        self.total -= u64::from(count);
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
    }

    fn at_rank(&self, rank: u64) -> Option<Bucket> {
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

    fn below(&self, bucket: Bucket) -> u64 {
        let end = (bucket.0 - self.first).clamp(0, self.counters.len() as i32) as usize;
        self.counters[..end].iter().map(|count| u64::from(*count)).sum()
    }
}

fn take(left: &mut u64, count: u32) -> bool {
    *left = left.saturating_sub(u64::from(count));
    *left == 0
}

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
                if raw.0.len() > RAW_MAX {
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

    /// Drops the pane in `slot`; goes back to raw once few samples are left.
    pub fn drop_pane(&mut self, slot: usize) {
        let Self::Counted(counted) = self else {
            if let Self::Raw(raw) = self {
                raw.drop_pane(slot);
            }
            return;
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

    /// Appends (slot, bucket, count) of every pane with samples.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let mut all = match self {
            Self::Raw(raw) => raw.iter().map(|(bucket, slot)| (slot, bucket, 1)).collect(),
            Self::Counted(counted) => {
                let mut all = Vec::new();
                for (slot, pane) in counted.panes.iter().enumerate() {
                    let mut pane = pane.clone();
                    all.extend(pane.merged().iter().map(|(bucket, count)| (slot, *bucket, *count)));
                }
                all
            }
        };
        all.sort_unstable();
        out.push(u8::from(matches!(self, Self::Counted(_))));
        varint::put(out, all.len() as u64);
        let mut before = Bucket(0);
        for (slot, bucket, count) in all {
            varint::put(out, slot as u64);
            varint::put_signed(out, i64::from(bucket.0) - i64::from(before.0));
            varint::put(out, u64::from(count));
            before = bucket;
        }
    }

    pub(crate) fn load(cursor: &mut Cursor<'_>, slots: usize) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Corrupt("a saved histogram");
        let mut histogram = Self::default();
        if cursor.byte()? != 0 {
            histogram.count(slots);
        }
        let (mut bucket, rows) = (0_i64, cursor.count(3)?);
        for _ in 0..rows {
            let slot =
                usize::try_from(cursor.unsigned()?).ok().filter(|s| *s < slots).ok_or(BAD)?;
            bucket = bucket.checked_add(cursor.signed()?).ok_or(BAD)?;
            if bucket.abs() > i64::from(BUCKETS) {
                return Err(BAD);
            }
            let count = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let bucket = Bucket(bucket as i32);
            match &mut histogram {
                Self::Raw(raw) if count == 1 && raw.0.len() < RAW_MAX => raw.add(bucket, slot),
                Self::Raw(_) => return Err(BAD),
                Self::Counted(counted) => {
                    counted.panes[slot].merge();
                    counted.panes[slot].sorted.push((bucket, count));
                    counted.total.add(bucket, count);
                }
            }
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_whole_numbers_show_as_themselves() {
        for value in 0..2048 {
            let value = f64::from(value);
            assert_eq!(Bucket::of(value).value(), value);
            assert_eq!(Bucket::of(-value).value(), -value);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_clamped() {
        assert_eq!(Bucket::of(9.9e-7), Bucket(0));
        assert!(Bucket::of(1e-6) > Bucket(0));
        assert_eq!(Bucket::of(1e300), Bucket::of(1e12));
        assert!(Bucket::of(1e12).0 <= BUCKETS && Bucket::of(-1e12).0 >= -BUCKETS);
        assert!(Bucket::clamps(-1.1e12) && !Bucket::clamps(1e12));
    }

    #[test]
    fn ranks_are_nearest_ranks() {
        for (count, q, expected) in [
            (1000, 99.9, 999),
            (100, 99.0, 99),
            (3, 50.0, 2),
            (1, 1.0, 1),
            (10, 100.0, 10),
            (4, 25.0, 1),
        ] {
            assert_eq!(rank(count, q), expected, "{q} of {count}");
        }
    }

    #[test]
    fn buckets_are_those_of_hdr() {
        let histogram: Histogram<u64> = Histogram::new_with_bounds(1, 1 << 51, 3).expect("bounds");
        for value in [1.0, 1.0009, 1.001, 1000.3, 1580.7, 123_456.789, 9.99e11] {
            let recorded = (value * SCALES[0]) as u64;
            let lowest = histogram.lowest_equivalent(recorded) as f64 / SCALES[0];
            assert_eq!(Bucket::of(value).value(), lowest, "{value}");
        }
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![-2000.0..2000.0, -1e-4..1e-4, 1e-8..1.0, Just(0.0), -1e14..1e14]
    }

    proptest! {
        #[test]
        fn a_bucket_is_off_by_less_than_a_thousandth(a in any_value(), b in any_value()) {
            let shown = Bucket::of(a).value();
            if (MAGNITUDE_MIN..=MAGNITUDE_MAX).contains(&a.abs()) {
                prop_assert!(shown.abs() <= a.abs() && (a - shown).abs() <= a.abs() / 1024.0);
            }
            prop_assert_eq!(Bucket::of(shown), Bucket::of(a));
            prop_assert!(a > b || Bucket::of(a) <= Bucket::of(b));
        }

        #[test]
        fn every_level_says_what_sorting_says(
            steps in proptest::collection::vec((any_value(), 0..5_usize, any::<bool>()), 1..200),
            times in 1..12_usize, q in 0.1..100.0_f64, threshold in any_value(),
        ) {
            let (mut histogram, mut all) = (Histo::default(), Vec::new());
            for (value, slot, drop) in steps {
                if drop && slot == 4 {
                    histogram.drop_pane(0);
                    all.retain(|(at, _)| *at != 0);
                }
                for _ in 0..times {
                    histogram.add(value, slot, 5);
                    all.push((slot, Bucket::of(value)));
                }
            }
            let mut bytes = Vec::new();
            histogram.save(&mut bytes);
            let loaded = Histo::load(&mut Cursor::new(&bytes), 5).expect("just saved");
            let mut sorted: Vec<_> = all.iter().map(|(_, bucket)| *bucket).collect();
            sorted.sort_unstable();
            for histogram in [histogram, loaded] {
                prop_assert_eq!(histogram.len(), sorted.len() as u64);
                let expected = sorted[rank(sorted.len() as u64, q) as usize - 1].value();
                prop_assert_eq!(histogram.percentile(q), Some(expected));
                let edge = Bucket::of(threshold);
                let above = sorted.iter().filter(|bucket| **bucket > edge).count() as u64;
                let below = sorted.iter().filter(|bucket| **bucket < edge).count() as u64;
                prop_assert_eq!((histogram.above(threshold), histogram.below(threshold)), (above, below));
            }
        }

        #[test]
        fn the_wire_keeps_every_bucket(values in proptest::collection::vec(any_value(), 0..600)) {
            let mut counts = Counts::default();
            values.iter().for_each(|value| counts.add(Bucket::of(*value)));
            let mut bytes = Vec::new();
            counts.save(&mut bytes);
            prop_assert_eq!(Counts::load(&mut Cursor::new(&bytes)).expect("just saved"), counts);
        }
    }
}
