//! Many durations as two numbers.

use std::time::Duration;

/// Durations, sorted.
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of these, in any order.
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort();
        Self(durations)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nearest rank, in milliseconds; NaN of none.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        let found = self.0.get(rank.max(1) - 1);
        found.map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
    }
}

/// The middle one of a few measurements; the upper one of an even number.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
