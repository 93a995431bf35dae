//! The limits a sample must keep, whichever way it was read.

use super::refusal::{Refusal, RefusalReason};
use crate::batch::ID_BYTES_MAX;
use crate::series::{check_label_pairs, check_name};
use crate::time::Time;

/// The fields of a sample that have limits, but for its labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub name: &'a str,
    pub time: Option<Ts>,
    pub value: f64,
    pub id: Option<&'a str>,
}

impl Fields<'_> {
    /// Event time of sample `index` with these `labels` (sorted by name), if all keep their limits.
    ///
    /// # Errors
    /// The first that does not.
    pub(super) fn check<'l>(
        &self,
        labels: impl ExactSizeIterator<Item = (&'l str, &'l str)>,
        index: usize,
    ) -> Result<Option<Time>, Refusal> {
        use RefusalReason::{BadId, BadLabels, BadName, BadTs, BadValue, NegativeTs};
        let refuse = |reason, message: String| Refusal::new(index, reason, message);
        check_name(self.name).map_err(|error| refuse(BadName, error.to_string()))?;
        check_label_pairs(labels).map_err(|error| refuse(BadLabels, error.to_string()))?;
        if !self.value.is_finite() {
            return Err(refuse(BadValue, "val is too large for a number of 64 bits".into()));
        }
        let time = match self.time.map(Ts::time) {
            None => None,
            Some(Some(Time(nanos))) if nanos < 0 => {
                return Err(refuse(NegativeTs, "ts lies before 1970".into()));
            }
            Some(Some(time)) => Some(time),
            Some(None) => return Err(refuse(BadTs, "ts is out of range".into())),
        };
        if self.id.is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
            return Err(refuse(BadId, "id is empty or too long".into()));
        }
        Ok(time)
    }
}

/// A time as it was written: whole units, so that nanoseconds keep all their digits, or a fraction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ts {
    Whole(i64),
    Fraction(f64),
}

/// Below these, numbers are seconds, milliseconds, microseconds; else nanoseconds.
const UNITS: [(f64, i64); 3] = [(1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)];

/// The moment a number of Unix time means, in whatever unit its size says; none of any other text, or before 1970.
pub fn time_of(text: &str) -> Option<Time> {
    Ts::parse(text).and_then(Ts::time).filter(|time| time.0 >= 0)
}

impl Ts {
    /// A number as JSON writes it; none for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Some(Self::Whole(number));
        }
        let digits = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        text.parse::<f64>().ok().filter(|_| digits).map(Self::Fraction)
    }

    fn time(self) -> Option<Time> {
        let size = match self {
            Self::Whole(number) => number as f64,
            Self::Fraction(number) => number,
        };
        let unit = UNITS.iter().find(|(below, _)| size.abs() < *below).map_or(1, |(_, unit)| *unit);
        match self {
            Self::Whole(number) => number.checked_mul(unit).map(Time),
            Self::Fraction(number) => {
                // Whole part and fraction apart: 1700000000.1 keeps its nanoseconds as well as it had them.
                let whole = number.floor();
                let rest = ((number - whole) * unit as f64).round() as i64;
                if whole.abs() >= 9.2e18 {
                    return None;
                }
                (whole as i64).checked_mul(unit)?.checked_add(rest).map(Time)
            }
        }
    }
}
