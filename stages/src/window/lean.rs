//! Counts and sums by pane in 12 bytes each: enough for nearly every window.
//!
//! A pane is one number of 96 bits: 20 of its count above 76 of its sum, so a sample, or a run of them, is one addition. The sum is
//! exact, in units of 2^`unit`; the unit is chosen so that all values seen are whole numbers of it, with room to
//! both sides, and again when a value does not fit. What cannot be held so ([`Lean::add`] says no) goes to the
//! full form, see [`super::tally`]. 64 bits without the count were tried: floats with all 53 bits in use, a few
//! powers of two apart, leave them after some hundred samples.

use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::exact::{Sum, parts};
use crate::run::Sums;
use std::ops::Range;

const SUM_BITS: u32 = 76;
const COUNT_MAX: u128 = (1 << 20) - 1;
/// One sample more.
const ONE: u128 = 1 << SUM_BITS;
/// No samples. Sums have this added, so that they are never below zero.
const EMPTY: u128 = 1 << (SUM_BITS - 1);
/// The unit exact sums of runs come in is two to this.
const EXACT_UNIT: i32 = -64;
/// A float's 53 bits shifted by this much still fit a sum.
const SHIFT_MAX: i32 = SUM_BITS as i32 - 1 - 53;
/// Units for which every total is zero, a normal float, or too large for one.
const UNITS: Range<i32> = -1000..900;

/// Counts and sums by slot, and the sum of all.
#[derive(Clone, Debug)]
pub(super) struct Lean {
    /// None before the first sample: most of the memory of a window, and many are made at a time.
    panes: Box<[[u32; 3]]>,
    /// Low and high half: aligned to 8 bytes, not to 16.
    total: [u64; 2],
    unit: i32,
    slots: u32,
}

impl Lean {
    pub(super) fn new(slots: usize) -> Self {
        Self { panes: Box::default(), total: [0; 2], unit: 0, slots: slots as u32 }
    }

    #[cold]
    fn make_panes(&mut self) {
        self.panes = vec![split(EMPTY); self.slots()].into();
    }

    /// Adds samples; false, and nothing has changed, if they do not fit.
    #[inline]
    pub(super) fn add(&mut self, slot: usize, sums: &Sums) -> bool {
        self.put(slot, sums) || (self.refit(sums) && self.put(slot, sums))
    }

    #[inline]
    fn put(&mut self, slot: usize, sums: &Sums) -> bool {
        let part = match sums.units() {
            Some(units) => rescaled(units, EXACT_UNIT - self.unit),
            None => in_units(sums.min, self.unit),
        };
        let Some(part) = part else { return false };
        if self.panes.is_empty() {
            self.make_panes();
        }
        let before = join(self.panes[slot]);
        let count = u128::from(sums.count);
        // A sum that leaves its bits changes the count by one more or less than it should.
        let after = before.wrapping_add((count << SUM_BITS).wrapping_add(part as u128));
        if after >> SUM_BITS != (before >> SUM_BITS) + count || after >> 96 != 0 {
            return false;
        }
        self.panes[slot] = split(after);
        self.set_total(self.total() + part);
        true
    }

    /// Chooses the unit anew, so that `sums` fits too; false if there is none.
    #[cold]
    fn refit(&mut self, sums: &Sums) -> bool {
        let mut bits = match sums.units() {
            Some(units) => span(units.unsigned_abs(), EXACT_UNIT),
            None => {
                let (mantissa, exponent, _) = parts(sums.min);
                span(u128::from(mantissa), exponent)
            }
        };
        for slot in 0..self.panes.len() {
            let other = span(self.sum(slot).unsigned_abs(), self.unit);
            bits = bits.start.min(other.start)..bits.end.max(other.end);
        }
        let spare = SUM_BITS as i32 - 1 - (bits.end - bits.start);
        // Two thirds of the room above: sums grow.
        let unit = bits.start - spare / 3;
        if spare < 1 || unit == self.unit || !UNITS.contains(&unit) {
            return false;
        }
        let shift = self.unit - unit;
        let moved = |sum: i128| if shift < 0 { sum >> -shift.max(-127) } else { sum << shift };
        for slot in 0..self.panes.len() {
            let sum = self.sum(slot);
            if sum != 0 {
                let count = u128::from(self.count(slot));
                self.panes[slot] =
                    split(count << SUM_BITS | (moved(sum) as u128).wrapping_add(EMPTY));
            }
        }
        let total = (0..self.panes.len()).map(|slot| self.sum(slot)).sum();
        self.set_total(total);
        self.unit = unit;
        true
    }

    #[inline]
    pub(super) fn count(&self, slot: usize) -> u64 {
        self.panes.get(slot).map_or(0, |pane| u64::from(pane[2] >> (SUM_BITS - 64)))
    }

    /// Empties a pane and says how many samples it held.
    #[inline]
    pub(super) fn drop_pane(&mut self, slot: usize) -> u64 {
        let (count, sum) = (self.count(slot), self.sum(slot));
        if let Some(pane) = self.panes.get_mut(slot) {
            *pane = split(EMPTY);
        }
        self.set_total(self.total() - sum);
        count
    }

    /// The sum of a pane.
    pub(super) fn pane(&self, slot: usize) -> Sum {
        Sum::of_units(self.sum(slot), self.unit)
    }

    /// The sum of all.
    pub(super) fn sum_of_all(&self) -> Sum {
        Sum::of_units(self.total(), self.unit)
    }

    /// The float nearest to the sum of all.
    #[inline]
    pub(super) fn value(&self) -> f64 {
        // A power of two, so only the first step rounds.
        self.total() as f64 * f64::from_bits(((self.unit + 1023) as u64) << 52)
    }

    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    pub(super) fn bytes(&self) -> usize {
        self.panes.len() * size_of::<[u32; 3]>()
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put_signed(out, i64::from(self.unit));
        let filled = || (0..self.panes.len()).filter(|slot| self.count(*slot) > 0);
        put(out, filled().count() as u64);
        for slot in filled() {
            put(out, slot as u64);
            self.panes[slot].iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
        }
    }

    pub(super) fn load(cursor: &mut Cursor<'_>, slots: usize) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Corrupt("saved panes");
        let mut lean = Self::new(slots);
        let unit = i32::try_from(cursor.signed()?).ok();
        // Before the first value that is not zero, the unit says nothing.
        lean.unit = unit.filter(|unit| UNITS.contains(unit)).ok_or(BAD)?;
        let filled = cursor.count(13)?;
        if filled > 0 {
            lean.make_panes();
        }
        for _ in 0..filled {
            let slot = usize::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let pane = lean.panes.get_mut(slot).ok_or(BAD)?;
            for part in pane.iter_mut() {
                *part = u32::from_le_bytes(cursor.fixed()?);
            }
        }
        lean.set_total((0..slots).map(|slot| lean.sum(slot)).sum());
        Ok(lean)
    }

    #[inline]
    fn sum(&self, slot: usize) -> i128 {
        let pane = self.panes.get(slot).map_or(EMPTY, |pane| join(*pane));
        (pane & (ONE - 1)) as i128 - EMPTY as i128
    }

    #[inline]
    fn total(&self) -> i128 {
        let [low, high] = self.total;
        i128::from(high as i64) << 64 | i128::from(low)
    }

    #[inline]
    fn set_total(&mut self, total: i128) {
        self.total = [total as u64, (total >> 64) as u64];
    }
}

#[inline]
fn join([low, middle, high]: [u32; 3]) -> u128 {
    u128::from(u64::from(middle) << 32 | u64::from(low)) | u128::from(high) << 64
}

#[inline]
fn split(pane: u128) -> [u32; 3] {
    debug_assert!(pane >> SUM_BITS <= COUNT_MAX);
    [pane as u32, (pane >> 32) as u32, (pane >> 64) as u32]
}

/// `value` as a number of 2^`unit`, if it is a whole one and small enough.
#[inline]
fn in_units(value: f64, unit: i32) -> Option<i128> {
    let (mantissa, exponent, negative) = parts(value);
    let shift = exponent - unit;
    let size = if (0..=SHIFT_MAX).contains(&shift) {
        i128::from(mantissa) << shift
    } else if mantissa == 0 {
        0
    } else if shift < 0 && mantissa.trailing_zeros() as i32 >= -shift {
        i128::from(mantissa >> -shift)
    } else {
        return None;
    };
    Some(if negative { -size } else { size })
}

/// `sum` times 2^`shift`, if that is whole and small enough.
#[inline]
fn rescaled(sum: i128, shift: i32) -> Option<i128> {
    let scaled = if shift < 0 {
        let down = shift.unsigned_abs();
        if down > 127 || (sum >> down) << down != sum {
            return (sum == 0).then_some(0);
        }
        sum >> down
    } else {
        let up = shift as u32;
        if up > 75 || (sum << up) >> up != sum {
            return (sum == 0).then_some(0);
        }
        sum << up
    };
    (scaled.unsigned_abs() < EMPTY).then_some(scaled)
}

/// Exponents of the lowest bit set and of the one above the highest; of zero, none that would widen another's.
#[expect(clippy::reversed_empty_ranges, reason = "the neutral element of widening is inside out")]
fn span(size: u128, unit: i32) -> Range<i32> {
    if size == 0 {
        return i32::MAX / 2..i32::MIN / 2;
    }
    unit + size.trailing_zeros() as i32..unit + 128 - size.leading_zeros() as i32
}
