//! Panes: the aligned slices of time a window is made of, by arithmetic alone.

use crate::time::{Span, Time};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Widths a pane may have, smallest first.
pub const WIDTHS: [Span; 17] = [
    Span(100 * MS),
    Span(200 * MS),
    Span(500 * MS),
    Span(SECOND),
    Span(2 * SECOND),
    Span(5 * SECOND),
    Span(10 * SECOND),
    Span(30 * SECOND),
    Span(MINUTE),
    Span(2 * MINUTE),
    Span(5 * MINUTE),
    Span(10 * MINUTE),
    Span(30 * MINUTE),
    Span(HOUR),
    Span(6 * HOUR),
    Span(12 * HOUR),
    // Windows beyond 30 days: the settings refuse them; here they stay bounded in memory all the same.
    Span(24 * HOUR),
];

/// The width of the panes of a window this long: the smallest that is at least a sixtieth of it.
pub fn width(window: Span) -> Span {
    let least = window.0.div_euclid(60) + i64::from(window.0.rem_euclid(60) > 0);
    WIDTHS.into_iter().find(|width| width.0 >= least).unwrap_or(WIDTHS[WIDTHS.len() - 1])
}

/// How a window's panes lie in time. A pane's number is its start divided by the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panes {
    /// Length of the window.
    pub window: Span,
    /// Width of a pane.
    pub width: Span,
    /// How many panes the window is long; 0 if it is no whole number of them.
    whole: i64,
}

impl Panes {
    /// The panes of a window this long.
    pub fn of(window: Span) -> Self {
        let width = width(window);
        let whole = if window.0 % width.0 == 0 { window.0 / width.0 } else { 0 };
        Self { window, width, whole }
    }

    /// Number of the pane `time` lies in.
    #[inline]
    pub const fn number(self, time: Time) -> i64 {
        time.0.div_euclid(self.width.0)
    }

    /// Start of a pane.
    pub const fn start(self, number: i64) -> Time {
        Time(number.saturating_mul(self.width.0))
    }

    /// Number of the oldest pane in the window at `now`: starts in (now - window - width, now].
    pub const fn oldest(self, now: Time) -> i64 {
        let edge = now.0.saturating_sub(self.window.0).saturating_sub(self.width.0);
        edge.div_euclid(self.width.0) + 1
    }

    /// The same, where the number of the pane at `now` is known: without a division where the window is a
    /// whole number of panes, as nearly all are.
    #[inline]
    pub(crate) const fn oldest_of(self, current: i64, now: Time) -> i64 {
        if self.whole > 0 { current.saturating_sub(self.whole) } else { self.oldest(now) }
    }

    /// The instant from which on a pane is no longer in the window.
    pub const fn leaves(self, number: i64) -> Time {
        self.start(number).plus(self.window).plus(self.width)
    }

    /// Most panes a window holds at once.
    pub const fn slots(self) -> usize {
        let (window, width) = (self.window.0, self.width.0);
        (window / width + (window % width > 0) as i64 + 1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_follow_the_table() {
        for (window, expected) in [
            ("1s", 100),
            ("6s", 100),
            ("10s", 200),
            ("1m", 1_000),
            ("3m", 5_000),
            ("5m", 5_000),
            ("10m", 10_000),
            ("1h", 60_000),
            ("6h", 600_000),
            ("1d", 1_800_000),
            ("30d", 43_200_000),
        ] {
            let window = Span::parse(window).expect("valid");
            assert_eq!(width(window), Span::from_millis(expected), "{window}");
        }
        assert_eq!(width(Span(60_000 * MS + 1)), Span(2 * SECOND));
    }

    #[test]
    fn the_window_is_every_start_after_its_far_edge() {
        let panes = Panes::of(Span::from_secs(60));
        for now in [0, 1, 999_999_999, 1_000_000_000, 61_000_000_000, -5, 123_456_789_012] {
            let now = Time(now);
            let inside = |number: i64| {
                let start = panes.start(number).0;
                start > now.0 - 61 * SECOND && start <= now.0
            };
            let (oldest, newest) = (panes.oldest(now), panes.number(now));
            assert!(inside(oldest) && !inside(oldest - 1) && inside(newest) && !inside(newest + 1));
            assert!((newest - oldest + 1) as usize <= panes.slots());
            assert_eq!(panes.oldest_of(newest, now), oldest);
            assert!(panes.leaves(oldest) > now && panes.leaves(oldest - 1) <= now);
        }
    }
}
