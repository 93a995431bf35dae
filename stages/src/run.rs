//! Runs: samples of one series that lie close together in time, added up before they go anywhere.
//!
//! A series seldom sends one sample at a time, and what most statistics need of several is the same as of one: how
//! many, their sum, smallest, largest and newest. So samples are added up per series first, a few nanoseconds
//! each, and windows, levels and rollups take the whole run at once. A run never crosses the edge of a pane: its
//! samples lie within one *unit* of time, which divides the panes of everything that takes it.
//!
//! ```
//! use stages::run::Sums;
//! let mut sums = Sums::of(2.0);
//! assert!(sums.add(0.5) && sums.add(-1.0));
//! assert_eq!((sums.count, sums.sum(), sums.min, sums.max), (3, 1.5, -1.0, 2.0));
//! ```

use crate::exact::{Sum, fixed};
use crate::time::{Span, Time};

/// How many, their exact sum, the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sums {
    /// Samples.
    pub count: u32,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    total: Total,
}

/// An exact sum, as far as it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Total {
    /// Units of 2^-64, as low and high half: aligned to 8 bytes, not to 16.
    Units([u64; 2]),
    /// A single value that does not fit those, or a sum that need not be exact.
    Float(f64),
}

impl Sums {
    /// One sample.
    #[inline]
    pub fn of(value: f64) -> Self {
        let total = fixed(value).map_or(Total::Float(value), |units| Total::Units(split(units)));
        Self { count: 1, min: value, max: value, total }
    }

    /// Samples added up elsewhere, their sum no longer exact.
    pub(crate) fn whole(count: u32, sum: f64, min: f64, max: f64) -> Self {
        Self { count, min, max, total: Total::Float(sum) }
    }

    /// Adds a sample; false, and nothing has changed, if the sum would not be exact.
    #[inline]
    pub fn add(&mut self, value: f64) -> bool {
        let Total::Units(units) = self.total else { return false };
        let Some(sum) = fixed(value).and_then(|part| join(units).checked_add(part)) else {
            return false;
        };
        if self.count == u32::MAX {
            return false;
        }
        self.total = Total::Units(split(sum));
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        true
    }

    /// The float nearest to the sum.
    #[inline]
    pub fn sum(&self) -> f64 {
        match self.total {
            // A power of two, so only the first step rounds.
            Total::Units(units) => join(units) as f64 * POW_MINUS_64,
            Total::Float(value) => value,
        }
    }

    /// The exact sum.
    pub(crate) fn exact(&self) -> Sum {
        match self.total {
            Total::Units(units) => Sum::of_narrow(join(units)),
            Total::Float(value) => {
                let mut sum = Sum::default();
                sum.add(value);
                sum
            }
        }
    }

    /// The exact sum in units of 2^-64, if it fits those.
    #[inline]
    pub(crate) fn units(&self) -> Option<i128> {
        match self.total {
            Total::Units(units) => Some(join(units)),
            Total::Float(_) => None,
        }
    }
}

const POW_MINUS_64: f64 = 1.0 / (1_u128 << 64) as f64;

#[inline]
pub(crate) fn split(units: i128) -> [u64; 2] {
    [units as u64, (units >> 64) as u64]
}

#[inline]
pub(crate) fn join([low, high]: [u64; 2]) -> i128 {
    i128::from(high as i64) << 64 | i128::from(low)
}

/// Samples of one series within one unit of time.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Start of the unit they lie in.
    pub start: Time,
    /// The earliest event time.
    pub first: Time,
    /// The newest event time and its value; of two with one time, the one that came later.
    pub newest: (Time, f64),
    /// What they add up to.
    pub sums: Sums,
}

impl Run {
    /// A run of one sample in a unit this long.
    #[inline]
    pub fn of(time: Time, value: f64, unit: Span) -> Self {
        let start = Time(time.0.div_euclid(unit.0).wrapping_mul(unit.0));
        Self { start, first: time, newest: (time, value), sums: Sums::of(value) }
    }

    /// Adds a sample; false, and nothing has changed, if it does not belong here.
    #[inline]
    pub fn add(&mut self, time: Time, value: f64, unit: Span) -> bool {
        if !(0..unit.0).contains(&time.0.wrapping_sub(self.start.0)) || !self.sums.add(value) {
            return false;
        }
        self.first = self.first.min(time);
        if time >= self.newest.0 {
            self.newest = (time, value);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Span = Span::from_secs(1);

    fn at(millis: i64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_run_keeps_to_its_unit() {
        let mut run = Run::of(at(1_500), 1.0, UNIT);
        assert!(run.add(at(1_000), 2.0, UNIT) && run.add(at(1_999), 3.0, UNIT));
        assert!(!run.add(at(999), 4.0, UNIT) && !run.add(at(2_000), 4.0, UNIT));
        assert_eq!((run.start, run.first, run.newest), (at(1_000), at(1_000), (at(1_999), 3.0)));
        assert_eq!((run.sums.count, run.sums.sum()), (3, 6.0));
        let before = Run::of(at(-1), 1.0, UNIT);
        assert_eq!(before.start, at(-1_000));
    }

    #[test]
    fn of_two_with_one_time_the_later_is_the_newest() {
        let mut run = Run::of(at(5), 1.0, UNIT);
        assert!(run.add(at(5), 2.0, UNIT) && run.add(at(4), 3.0, UNIT));
        assert_eq!(run.newest, (at(5), 2.0));
    }

    #[test]
    fn what_would_not_be_exact_stays_out() {
        let mut sums = Sums::of(1.0);
        assert!(!sums.add(1e-300) && !sums.add(1e300));
        assert_eq!(sums, Sums::of(1.0));
        let mut alone = Sums::of(1e-300);
        assert_eq!((alone.sum(), alone.exact().value(), alone.units()), (1e-300, 1e-300, None));
        assert!(!alone.add(1.0));
        let mut large = Sums::of(2_f64.powi(58));
        assert!((0..100).all(|_| large.add(2_f64.powi(58))) || large.count < 101);
        assert_eq!(large.sum(), f64::from(large.count) * 2_f64.powi(58));
    }
}
