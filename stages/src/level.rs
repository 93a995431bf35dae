//! The current level: what a log line shows. The mean of the newest 10 s with data.
//!
//! A sample counts at its event time, but never later than the log time it came at: seconds that are still to come
//! would make all others old, and one host with a fast clock would be the level of everybody.
//!
//! Plain floats added in the order of the log: a series' samples meet one worker in that order, and the
//! newest seconds are dropped whole, never subtracted, so the level is as reproducible as the log.

use crate::batch::{BatchError, varint};
use crate::time::{Span, Time};

const SLOTS: i64 = 10;
const SECOND: Span = Span::from_secs(1);

/// Ten sums of a second each.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Number of the newest second with data; meaningless while all counts are zero.
    newest: i64,
    sums: [f64; SLOTS as usize],
    counts: [u32; SLOTS as usize],
}

impl Default for Level {
    fn default() -> Self {
        Self { newest: i64::MIN, sums: [0.0; SLOTS as usize], counts: [0; SLOTS as usize] }
    }
}

impl Level {
    /// Adds samples of the second of `time`, which is not later than log time: their sum, and how many.
    #[inline]
    pub fn add(&mut self, time: Time, sum: f64, count: u32) {
        let second = time.0.div_euclid(SECOND.0);
        if second > self.newest {
            let gone = second.saturating_sub(self.newest).min(SLOTS);
            for number in second - gone + 1..=second {
                let slot = number.rem_euclid(SLOTS) as usize;
                (self.sums[slot], self.counts[slot]) = (0.0, 0);
            }
            self.newest = second;
        } else if second <= self.newest - SLOTS {
            return;
        }
        let slot = second.rem_euclid(SLOTS) as usize;
        self.sums[slot] += sum;
        self.counts[slot] = self.counts[slot].saturating_add(count);
    }

    /// Reads a little of it.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.newest as u64 ^ self.sums[SLOTS as usize / 2].to_bits() ^ u64::from(self.counts[0])
    }

    /// The level; none before the first sample.
    pub fn value(&self) -> Option<f64> {
        if self.newest == i64::MIN {
            return None;
        }
        // Oldest second first, whatever slot it has.
        let slots = (self.newest - SLOTS + 1..=self.newest).map(|n| n.rem_euclid(SLOTS) as usize);
        let (sum, count) = slots.fold((0.0, 0_u64), |(sum, count), slot| {
            (sum + self.sums[slot], count + u64::from(self.counts[slot]))
        });
        (count > 0).then(|| sum / count as f64)
    }

    /// Appends it to a snapshot.
    pub fn save(&self, out: &mut Vec<u8>) {
        varint::put_signed(out, self.newest);
        for (sum, count) in self.sums.iter().zip(self.counts) {
            varint::put(out, u64::from(count));
            if count > 0 {
                out.extend_from_slice(&sum.to_le_bytes());
            }
        }
    }

    /// Reads what [`Self::save`] wrote; answers the bytes after it too.
    ///
    /// # Errors
    /// The bytes are not that.
    pub fn load(bytes: &[u8]) -> Result<(Self, &[u8]), BatchError> {
        let mut cursor = varint::Cursor::new(bytes);
        let mut level = Self { newest: cursor.signed()?, ..Self::default() };
        // Seconds of a time in nanoseconds: arithmetic with those cannot overflow.
        let farthest = i64::MAX / SECOND.0 + 1;
        if level.newest != i64::MIN && !(-farthest..=farthest).contains(&level.newest) {
            return Err(BatchError::Corrupt("a second"));
        }
        for slot in 0..SLOTS as usize {
            level.counts[slot] =
                u32::try_from(cursor.unsigned()?).map_err(|_| BatchError::Corrupt("a count"))?;
            if level.counts[slot] > 0 {
                level.sums[slot] = cursor.float()?;
            }
        }
        Ok((level, cursor.rest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn the_newest_ten_seconds_with_data_count() {
        let mut level = Level::default();
        assert_eq!(level.value(), None);
        (0..30)
            .for_each(|second| level.add(at(second), if second < 20 { 100.0 } else { 200.0 }, 1));
        assert_eq!(level.value(), Some(200.0));
        level.add(at(19), 1e9, 1);
        assert_eq!(level.value(), Some(200.0));
        level.add(at(25), 310.0, 1);
        assert_eq!(level.value(), Some(210.0));
        level.add(at(1000), 7.0, 1);
        assert_eq!(level.value(), Some(7.0));
    }

    #[test]
    fn a_saved_level_is_the_same() {
        let mut level = Level::default();
        (0..7).for_each(|second| level.add(at(second), second as f64, 1));
        let mut bytes = Vec::new();
        level.save(&mut bytes);
        bytes.push(9);
        assert_eq!(Level::load(&bytes).expect("sound"), (level, &[9_u8][..]));
        assert!(Level::load(&bytes[..3]).is_err());
        let mut far = Vec::new();
        varint::put_signed(&mut far, i64::MAX);
        far.extend([0; 10]);
        assert!(Level::load(&far).is_err());
    }
}
