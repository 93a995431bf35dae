//! What a group looked like earlier, in coarse panes: what a `baseline` is read from.
//!
//! Rollups are for display and may be lost; a baseline decides, so it is state of the engine. Panes are as wide as the
//! window's own, and at least so wide that [`PANES_MAX`] of them reach from now to the far edge of the earlier
//! window. A filled pane takes some 110 bytes in memory, so a group at most 230 KB, and what was quiet takes nothing.
//!
//! The earlier window is made of whole panes that had ended by then, as many as the window is long; so it lies up to
//! one pane further back than `offset`. Before the group has been seen for offset and window, and where the
//! earlier window is too thin, there is no answer, and the rule is insufficient.

use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::exact::Sum;
use crate::pane::{self, WIDTHS};
use crate::settings::Stat;
use crate::time::{Span, Time};
use std::collections::BTreeMap;

/// Panes from now to the far edge of the earlier window.
pub const PANES_MAX: i64 = 2_048;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    window: Span,
    offset: Span,
    width: Span,
    /// Since when samples come here.
    began: Time,
    panes: BTreeMap<i64, Pane>,
}

#[derive(Clone, Debug, PartialEq)]
struct Pane {
    count: u64,
    sum: Sum,
    min: f64,
    max: f64,
}

/// Width of the panes for a window this long, this much earlier.
pub fn width(window: Span, offset: Span) -> Span {
    let reach = offset.0.saturating_add(window.0);
    let least = pane::width(window).0.max(reach / PANES_MAX + i64::from(reach % PANES_MAX > 0));
    WIDTHS.into_iter().find(|width| width.0 >= least).unwrap_or(WIDTHS[WIDTHS.len() - 1])
}

impl History {
    /// Of a window this long, from `began` on.
    pub fn new(window: Span, offset: Span, began: Time) -> Self {
        Self { window, offset, width: width(window, offset), began, panes: BTreeMap::new() }
    }

    /// Adds a sample that came at log time `now`; false if it is older than all that will be asked for.
    pub fn add(&mut self, time: Time, value: f64, now: Time) -> bool {
        let (pane, oldest) = (self.number(time), self.oldest(now));
        if time < self.began || pane < oldest {
            return false;
        }
        while self.panes.first_key_value().is_some_and(|(pane, _)| *pane < oldest) {
            self.panes.pop_first();
        }
        let pane = self.panes.entry(pane).or_insert_with(|| Pane {
            count: 0,
            sum: Sum::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        });
        pane.count += 1;
        pane.sum.add(value);
        (pane.min, pane.max) = (pane.min.min(value), pane.max.max(value));
        true
    }

    /// The statistic over the earlier window at `now`, if that was seen whole and holds `min_samples`. Sums and counts
    /// are those of a window as long as the rule's.
    pub fn value(&self, stat: Stat, min_samples: u64, now: Time) -> Option<f64> {
        let (oldest, length) = (self.oldest(now), self.length());
        if self.start(oldest) < self.began {
            return None;
        }
        let (mut count, mut sum) = (0, Sum::default());
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for pane in self.panes.range(oldest..oldest + length).map(|(_, pane)| pane) {
            count += pane.count;
            sum.add_sum(&pane.sum);
            (min, max) = (min.min(pane.min), max.max(pane.max));
        }
        if count == 0 || count < min_samples {
            return None;
        }
        let part = self.window.0 as f64 / (length as f64 * self.width.0 as f64);
        match stat {
            Stat::Mean => Some(sum.value() / count as f64),
            Stat::Min => Some(min),
            Stat::Max => Some(max),
            Stat::Sum => Some(sum.value() * part),
            Stat::Count => Some(count as f64 * part),
            // Settings refuse these: coarse panes do not hold what they need.
            Stat::Rate
            | Stat::Last
            | Stat::Stddev
            | Stat::Percentile(_)
            | Stat::Above
            | Stat::Below => None,
        }
    }

    /// The next instant at which the earlier window is another one.
    pub fn turns(&self, now: Time) -> Time {
        self.start(self.number(now.minus(self.offset)) + 1).plus(self.offset)
    }

    fn number(&self, time: Time) -> i64 {
        time.0.div_euclid(self.width.0)
    }

    fn start(&self, number: i64) -> Time {
        Time(number.saturating_mul(self.width.0))
    }

    /// Panes of the earlier window.
    fn length(&self) -> i64 {
        (self.window.0 / self.width.0 + i64::from(self.window.0 % self.width.0 > 0)).max(1)
    }

    /// The first of them at `now`.
    fn oldest(&self, now: Time) -> i64 {
        self.number(now.minus(self.offset)) - self.length()
    }

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_signed(out, self.began.0);
        put(out, self.panes.len() as u64);
        for (number, pane) in &self.panes {
            put_signed(out, *number);
            put(out, pane.count);
            pane.sum.save(out);
            out.extend_from_slice(&pane.min.to_le_bytes());
            out.extend_from_slice(&pane.max.to_le_bytes());
        }
    }

    pub(crate) fn load(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        self.began = Time(cursor.signed()?);
        for _ in 0..cursor.count(35)? {
            let (number, count) = (cursor.signed()?, cursor.unsigned()?);
            let sum = Sum::load(cursor)?;
            let (min, max) = (cursor.float()?, cursor.float()?);
            self.panes.insert(number, Pane { count, sum, min, max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Span = Span::from_secs(60);

    fn at(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn panes_stay_within_their_number() {
        for (window, offset, seconds) in
            [(300, 604_800, 300), (3_600, 86_400, 60), (30, 3_600, 2), (60, 60, 1)]
        {
            let (window, offset) = (Span::from_secs(window), Span::from_secs(offset));
            let width = width(window, offset);
            assert_eq!(width, Span::from_secs(seconds));
            assert!((window.0 + offset.0) / width.0 <= PANES_MAX);
        }
    }

    #[test]
    fn there_is_no_answer_before_there_is_a_history() {
        let mut history = History::new(MINUTE, Span(5 * MINUTE.0), at(0));
        for second in 0..=420 {
            assert!(history.add(at(second), second as f64, at(second)));
            let earlier = history.value(Stat::Mean, 1, at(second));
            assert_eq!(earlier.is_some(), second >= 360, "{second}");
        }
        // Seconds 60 to 119 at 420, whole panes of a second.
        assert_eq!(history.value(Stat::Mean, 60, at(420)), Some(89.5));
        assert_eq!(history.value(Stat::Mean, 61, at(420)), None);
        assert_eq!(history.value(Stat::Count, 1, at(420)), Some(60.0));
        assert_eq!(
            (history.value(Stat::Min, 1, at(420)), history.value(Stat::Max, 1, at(420))),
            (Some(60.0), Some(119.0))
        );
        assert_eq!(history.turns(at(420)), at(421));
        let mut bytes = Vec::new();
        history.save(&mut bytes);
        let mut again = History::new(MINUTE, Span(5 * MINUTE.0), at(9));
        again.load(&mut Cursor::new(&bytes)).unwrap();
        assert_eq!(again, history);
    }

    #[test]
    fn what_is_older_than_all_that_is_asked_for_goes() {
        let mut history = History::new(MINUTE, MINUTE, at(0));
        for second in 0..10_000 {
            history.add(at(second), 1.0, at(second));
        }
        assert!(history.panes.len() < 125, "{}", history.panes.len());
        assert!(!history.add(at(5), 1.0, at(9_999)));
        assert!(history.panes.first_key_value().is_some_and(|(pane, _)| *pane > 5));
    }
}
