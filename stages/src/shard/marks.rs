//! From log time back to positions, for the log range of evidence.

use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::time::{Span, Time};
use std::collections::VecDeque;

/// Marks kept over the longest window: 3 600 of 16 bytes are 56 KiB.
const MARKS: i64 = 3_600;
/// Closest marks.
const WIDTH_MIN: Span = Span::from_secs(1);

/// Where the log stood at some instants, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    marks: VecDeque<(Time, u64)>,
}

impl Marks {
    /// Remembers that everything up to `position` was stored before `time`. `longest` is the longest window
    /// of any rule: nothing older is asked for.
    pub(super) fn remember(&mut self, time: Time, position: u64, longest: Span) {
        let width = Span((longest.0 / MARKS).max(WIDTH_MIN.0));
        if self.marks.back().is_some_and(|(last, _)| time.since(*last) < width) {
            return;
        }
        self.marks.push_back((time, position));
        // The mark before the window's start is the one that answers, so one older stays.
        let edge = time.minus(longest).minus(longest);
        while self.marks.get(1).is_some_and(|(second, _)| *second < edge) {
            self.marks.pop_front();
        }
    }

    /// A position such that everything stored at or after `time` comes later.
    pub(super) fn before(&self, time: Time) -> u64 {
        let after = self.marks.partition_point(|(mark, _)| *mark <= time);
        after.checked_sub(1).and_then(|at| self.marks.get(at)).map_or(0, |(_, position)| *position)
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put(out, self.marks.len() as u64);
        for (time, position) in &self.marks {
            put_signed(out, time.0);
            put(out, *position);
        }
    }

    pub(super) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        let count = cursor.count(2)?;
        let marks = (0..count).map(|_| Ok((Time(cursor.signed()?), cursor.unsigned()?)));
        Ok(Self { marks: marks.collect::<Result<_, BatchError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_before_everything_the_window_holds() {
        let mut marks = Marks::default();
        for n in 0..1_000_u64 {
            marks.remember(Time(n as i64 * 300_000_000), n, Span::from_secs(60));
        }
        for seconds in 200..299 {
            let time = Time(seconds * 1_000_000_000);
            let position = marks.before(time);
            assert!(position as i64 * 300_000_000 <= time.0);
            assert!(position as i64 * 300_000_000 > time.0 - 2_000_000_000);
        }
        assert!(marks.marks.len() < 130, "{}", marks.marks.len());
        assert_eq!(Marks::default().before(Time(5)), 0);
    }
}
