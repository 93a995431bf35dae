//! The current level: what a log line shows. The mean of the newest 10 s with data.
//!
//! A sample counts at its event time, but never later than the log time it came at: seconds that are still to come
//! would make all others old, and one host with a fast clock would be the level of everybody.
//!
//! Sums are exact, as those of windows are. In plain floats the level of a rule depended on which other rules its metric
//! has, for they decide what is added up before it comes here.

use crate::batch::{BatchError, varint};
use crate::exact::Sum;
use crate::run::{Sums, join, split};
use crate::time::{Span, Time};

const SLOTS: i64 = 10;
const SECOND: Span = Span::from_secs(1);

/// Ahead of a saved level whose sums are exact; no newest second is this. Before version 8 they were plain floats.
const EXACT: i64 = i64::MAX;

/// Ten sums of a second each.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Number of the newest second with data; meaningless while all counts are zero.
    newest: i64,
    /// Units of 2^-64, as low and high half: aligned to 8 bytes, not to 16.
    sums: [[u64; 2]; SLOTS as usize],
    counts: [u32; SLOTS as usize],
    /// What does not fit those, while there is any.
    wide: Option<Box<[Sum; SLOTS as usize]>>,
}

impl Default for Level {
    fn default() -> Self {
        let (sums, counts) = ([[0; 2]; SLOTS as usize], [0; SLOTS as usize]);
        Self { newest: i64::MIN, sums, counts, wide: None }
    }
}

impl Level {
    /// Adds samples of the second of `time`, which is not later than log time.
    #[inline]
    pub fn add(&mut self, time: Time, samples: &Sums) {
        let second = time.0.div_euclid(SECOND.0);
        if second > self.newest {
            let gone = second.saturating_sub(self.newest).min(SLOTS);
            (second - gone + 1..=second).for_each(|number| self.clear(slot_of(number)));
            self.newest = second;
        } else if second <= self.newest - SLOTS {
            return;
        }
        let slot = slot_of(second);
        match samples.units().and_then(|part| join(self.sums[slot]).checked_add(part)) {
            Some(sum) => self.sums[slot] = split(sum),
            None => self.wide.get_or_insert_default()[slot].add_sum(&samples.exact()),
        }
        self.counts[slot] = self.counts[slot].saturating_add(samples.count);
    }

    fn clear(&mut self, slot: usize) {
        (self.sums[slot], self.counts[slot]) = ([0; 2], 0);
        if let Some(wide) = &mut self.wide {
            wide[slot] = Sum::default();
            if wide.iter().all(|sum| sum.narrow() == Some(0)) {
                self.wide = None;
            }
        }
    }

    /// Reads a little of it.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.newest as u64 ^ self.sums[SLOTS as usize / 2][0] ^ u64::from(self.counts[0])
    }

    /// The level; none before the first sample.
    pub fn value(&self) -> Option<f64> {
        let count: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let mut all = Sum::default();
        (0..SLOTS as usize).for_each(|slot| all.add_sum(&self.sum(slot)));
        (count > 0).then(|| all.value() / count as f64)
    }

    fn sum(&self, slot: usize) -> Sum {
        let mut sum = Sum::of_narrow(join(self.sums[slot]));
        if let Some(wide) = &self.wide {
            sum.add_sum(&wide[slot]);
            sum.settle();
        }
        sum
    }

    /// Appends it to a snapshot.
    pub fn save(&self, out: &mut Vec<u8>) {
        varint::put_signed(out, EXACT);
        varint::put_signed(out, self.newest);
        for (slot, count) in self.counts.iter().enumerate() {
            varint::put(out, u64::from(*count));
            if *count > 0 {
                self.sum(slot).save(out);
            }
        }
    }

    /// Reads what [`Self::save`] wrote, of this version or one before; answers the bytes after it too.
    ///
    /// # Errors
    /// The bytes are not that.
    pub fn load(bytes: &[u8]) -> Result<(Self, &[u8]), BatchError> {
        let mut cursor = varint::Cursor::new(bytes);
        let first = cursor.signed()?;
        let exact = first == EXACT;
        let newest = if exact { cursor.signed()? } else { first };
        // Seconds of a time in nanoseconds: arithmetic with those cannot overflow.
        let farthest = i64::MAX / SECOND.0 + 1;
        if newest != i64::MIN && !(-farthest..=farthest).contains(&newest) {
            return Err(BatchError::Corrupt("a second"));
        }
        let mut level = Self { newest, ..Self::default() };
        for slot in 0..SLOTS as usize {
            level.counts[slot] =
                u32::try_from(cursor.unsigned()?).map_err(|_| BatchError::Corrupt("a count"))?;
            if level.counts[slot] == 0 {
                continue;
            }
            let mut sum = Sum::default();
            if exact {
                sum = Sum::load(&mut cursor)?;
            } else {
                sum.add(cursor.float()?);
            }
            match sum.narrow() {
                Some(units) => level.sums[slot] = split(units),
                None => level.wide.get_or_insert_default()[slot] = sum,
            }
        }
        Ok((level, cursor.rest()))
    }
}

fn slot_of(second: i64) -> usize {
    second.rem_euclid(SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn one(value: f64) -> Sums {
        Sums::of(value)
    }

    #[test]
    fn the_newest_ten_seconds_with_data_count() {
        let mut level = Level::default();
        assert_eq!(level.value(), None);
        (0..30).for_each(|second| {
            level.add(at(second), &one(if second < 20 { 100.0 } else { 200.0 }))
        });
        assert_eq!(level.value(), Some(200.0));
        level.add(at(19), &one(1e9));
        assert_eq!(level.value(), Some(200.0));
        level.add(at(25), &one(310.0));
        assert_eq!(level.value(), Some(210.0));
        level.add(at(1000), &one(7.0));
        assert_eq!(level.value(), Some(7.0));
    }

    #[test]
    fn a_saved_level_is_the_same() {
        let mut level = Level::default();
        (0..7).for_each(|second| level.add(at(second), &one(second as f64)));
        let mut bytes = Vec::new();
        level.save(&mut bytes);
        bytes.push(9);
        assert_eq!(Level::load(&bytes).expect("sound"), (level, &[9_u8][..]));
        assert!(Level::load(&bytes[..3]).is_err());
        let mut far = Vec::new();
        varint::put_signed(&mut far, i64::MAX - 1);
        far.extend([0; 10]);
        assert!(Level::load(&far).is_err());
    }

    #[test]
    fn no_order_changes_a_level() {
        let values = [1e300, 0.1, -1e300, 7e-7, 42.0, 5e-324, -2e12, 0.2];
        let level = |values: &mut dyn Iterator<Item = &f64>| {
            let mut level = Level::default();
            values.for_each(|value| level.add(at(3), &one(*value)));
            level
        };
        let (one_way, other) = (level(&mut values.iter()), level(&mut values.iter().rev()));
        let mut exact = Sum::default();
        values.iter().for_each(|value| exact.add(*value));
        assert_eq!(one_way.value(), Some(exact.value() / 8.0));
        assert_eq!(other.value(), one_way.value());
        let mut bytes = Vec::new();
        one_way.save(&mut bytes);
        let (mut again, rest) = Level::load(&bytes).expect("sound");
        assert_eq!((again.value(), rest.len()), (one_way.value(), 0));
        // Once all of that is past, it is as small as before.
        again.add(at(30), &one(1.0));
        assert!(again.wide.is_none() && again.value() == Some(1.0));
    }

    #[test]
    fn a_level_in_plain_floats_is_still_read() {
        let mut bytes = Vec::new();
        varint::put_signed(&mut bytes, 12);
        for slot in 0..SLOTS {
            varint::put(&mut bytes, u64::from(slot < 2));
            if slot < 2 {
                bytes.extend([0.5_f64, 1e300][slot as usize].to_le_bytes());
            }
        }
        let (level, rest) = Level::load(&bytes).expect("sound");
        assert_eq!((level.value(), rest.len()), (Some(5e299), 0));
    }
}
