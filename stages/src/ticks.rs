//! When the owner owes a log a tick. Its own clock decides only when to append one; what it means is in the log.
//!
//! That clock is given: any that goes evenly, for the engine the time since it began, for a trial the virtual time.
//!
//! A shard that was quiet gets one at once with its first entry, so that an isolated bad sample alerts within
//! milliseconds. While entries come, the next one beyond the boundary ends the step; only when none comes does the
//! owner end it. A tick lets due instants pass, and a silent log gets one every few seconds.

use crate::log::{STEP, Stepper};
use crate::time::{Span, Time};

/// A tick that was sent and did not come back within this is thought lost.
const LOST_AFTER: Span = Span::from_secs(1);
/// A silent log gets a tick this often.
pub const QUIET: Span = Span::from_secs(5);

/// When one log is owed its next tick.
#[derive(Debug)]
pub struct Ticks {
    /// A silent log gets a tick this often.
    every: Span,
    /// When the newest entry was read, and log time then.
    read: (Time, Time),
    /// When the newest entry with content was read; none yet counts as busy, it may be an old log read fast.
    content: Time,
    /// The open step was begun by the first entry after a silence.
    woken: bool,
    /// Log time at which the open step ends by itself.
    boundary: Option<Time>,
    /// Next due instant, as the stages said it last.
    due: Option<Time>,
    /// A tick that has not come back yet.
    sent: Option<Time>,
}

impl Ticks {
    /// A log whose log time is `now` when its owner's clock says `at`.
    pub fn new(now: Time, at: Time, every: Span) -> Self {
        let read = (at, now);
        Self { every, read, content: at, woken: false, boundary: None, due: None, sent: None }
    }

    /// Entries were read at `at` and pushed into `stepper`: were there any with content, any ticks?
    pub fn entries(&mut self, stepper: &Stepper, at: Time, content: bool, tick: bool) {
        if tick {
            self.sent = None;
        }
        let boundary = stepper.is_open().then(|| stepper.boundary());
        if content {
            let silence = at.since(self.content);
            self.woken = boundary != self.boundary && silence > STEP;
            self.content = at;
        }
        self.boundary = boundary;
        self.read = (at, stepper.now());
    }

    /// The stages said when they are due next.
    pub fn due(&mut self, due: Option<Time>) {
        self.due = due;
    }

    /// A tick was sent.
    pub fn sent(&mut self, at: Time) {
        self.sent = Some(at);
        self.woken = false;
    }

    /// When the next tick is owed.
    pub fn owed(&self) -> Time {
        let (at, now) = self.read;
        let after = |time: Time| at.plus(time.since(now));
        let mut owed = at.plus(self.every);
        if let Some(boundary) = self.boundary {
            owed = owed.min(if self.woken { at } else { after(boundary) });
        }
        // One at or before log time was met by an entry already read; its answer is on the way.
        if let Some(due) = self.due.filter(|due| *due > now) {
            owed = owed.min(after(due));
        }
        match self.sent {
            Some(sent) => owed.max(sent.plus(LOST_AFTER)),
            None => owed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Entry, EntryKind, LogId};
    use bytes::Bytes;

    struct Log {
        stepper: Stepper,
        ticks: Ticks,
        sequence: u64,
    }

    impl Log {
        fn new() -> Self {
            let stepper = Stepper::new(LogId::Shard(0), Time(0));
            Self { stepper, ticks: Ticks::new(Time(0), Time(0), QUIET), sequence: 0 }
        }

        fn entry(&mut self, millis: i64, kind: EntryKind) {
            self.sequence += 1;
            let tick = kind == EntryKind::Tick;
            let time = Time::from_millis(millis);
            let entry = Entry { sequence: self.sequence, time, kind, payload: Bytes::new() };
            self.stepper.push(entry, &mut Vec::new());
            self.ticks.entries(&self.stepper, time, !tick, tick);
        }

        fn owed_ms(&self) -> i64 {
            self.ticks.owed().as_millis()
        }
    }

    #[test]
    fn the_first_entry_of_a_quiet_shard_is_owed_a_tick_at_once() {
        let mut log = Log::new();
        assert_eq!(log.owed_ms(), 5_000);
        log.entry(1_010, EntryKind::Batch);
        assert_eq!(log.owed_ms(), 1_010);
        log.ticks.sent(Time::from_millis(1_010));
        log.entry(1_012, EntryKind::Tick);
        assert_eq!(log.owed_ms(), 6_012);
    }

    #[test]
    fn while_entries_come_a_step_is_ended_at_its_boundary_at_the_earliest() {
        let mut log = Log::new();
        log.entry(1_010, EntryKind::Batch);
        log.entry(1_011, EntryKind::Tick);
        log.entry(1_020, EntryKind::Batch);
        assert_eq!(log.owed_ms(), 1_100);
        log.entry(1_050, EntryKind::Batch);
        assert_eq!(log.owed_ms(), 1_100);
        log.entry(1_120, EntryKind::Batch);
        assert_eq!(log.owed_ms(), 1_200);
    }

    #[test]
    fn a_due_instant_is_owed_a_tick_then() {
        let mut log = Log::new();
        log.entry(1_000, EntryKind::Tick);
        log.ticks.due(Some(Time::from_millis(1_700)));
        assert_eq!(log.owed_ms(), 1_700);
        log.ticks.due(Some(Time::from_millis(900)));
        assert_eq!(log.owed_ms(), 6_000);
    }

    #[test]
    fn a_tick_on_its_way_is_not_sent_again_until_it_is_thought_lost() {
        let mut log = Log::new();
        log.entry(1_010, EntryKind::Batch);
        log.ticks.sent(Time::from_millis(1_010));
        log.entry(1_020, EntryKind::Batch);
        assert_eq!(log.owed_ms(), 2_010);
    }
}
