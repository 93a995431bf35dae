//! What a log is made of: entries, and the steps they are grouped into.
//!
//! A [`Step`] is the unit of work of the dataflow and of a commit. Where a step ends is decided by the
//! log alone ([`Stepper`]): at its 100 ms boundary of log time, or earlier at a tick. So any reader that
//! starts at the end of a step cuts the rest of the log into the same steps.

use crate::revision::Ahead;
use crate::time::{Span, Time};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Length of a step of log time.
pub const STEP: Span = Span::from_millis(100);

/// Names a log: one shard of the samples, or the desk.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogId {
    /// A shard of `OPS_LOG`.
    Shard(u32),
    /// The log of `OPS_DESK`.
    Desk,
}

impl fmt::Display for LogId {
    /// The token used in `ops.commit.<log>` and `ops.own.<log>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => write!(f, "{shard}"),
            Self::Desk => f.write_str("desk"),
        }
    }
}

/// One stored message of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the stream; rises, with holes where other shards' entries lie.
    pub sequence: u64,
    /// When the bus stored it.
    pub time: Time,
    /// What it is.
    pub kind: EntryKind,
    /// The bytes as stored.
    pub payload: Bytes,
}

/// What an entry is, read off its subject by [`crate::subject::Subjects::entry_kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `ops.log.<shard>.metric.<name>`: samples of one metric as JSON; holds `<name>` (UTF-8 checked).
    Metric(Bytes),
    /// `ops.log.<shard>.batch`: many samples in the binary encoding of [`crate::batch`].
    Batch,
    /// `...tick`: lets time pass and ends the step.
    Tick,
    /// `...settings`: a revision of the settings, whole or a part of one.
    Settings,
    /// `ops.log.<shard>.verify`: the desk asks this shard to judge a verification.
    Verify,
    /// `ops.log.<shard>.look`: somebody looks at a metric ([`crate::wire::Look`]): its rollups carry
    /// histograms for [`crate::wire::people::LOOK_KEEPS`] of log time from here on.
    Look,
    /// `ops.desk.<kind>.>`: anything else the desk reads; holds `<kind>`'s meaning.
    Desk(DeskKind),
    /// Left out by hand, because a stage panics over it: time passes, and nothing else.
    Skipped,
    /// A subject this version does not know. Counted and passed over.
    Unknown,
}

/// What an entry of the desk's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeskKind {
    /// A relayed [`crate::wire::ShardEvent`].
    Transition,
    /// A relayed outcome or ledger record of an edge.
    Outcome,
    /// A person acknowledges an incident.
    Ack,
    /// A person sets or ends a silence.
    Silence,
    /// A person approves or denies a rollback.
    Approve,
    /// A change of a target was made (deployment tooling says so).
    Change,
    /// The kill switch of automatic actions.
    Freeze,
    /// A person closes an incident.
    Close,
    /// A person lifts the lock of a plan.
    Unlock,
}

/// Whole entries of one log between two step ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Log time at which the step's first entry was stored, never before the end of the step before it.
    pub began: Time,
    /// Log time at which the step is evaluated: its 100 ms boundary, or the tick that ended it.
    pub ended: Time,
    /// Entries in order; never empty.
    pub entries: Vec<Entry>,
    /// Settings among them that were read already.
    pub ahead: Ahead,
}

impl Step {
    /// Sequence of the last entry: the position once this step is committed.
    pub fn position(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.sequence)
    }
}

/// Cuts one log into steps.
#[derive(Debug)]
pub struct Stepper {
    /// Log time so far; stored times that go back do not take it back.
    now: Time,
    each_entry_ends: bool,
    open: Vec<Entry>,
    began: Time,
}

impl Stepper {
    /// A stepper for `log` that goes on at log time `now` (the `ended` of the last committed step).
    pub fn new(log: LogId, now: Time) -> Self {
        // At the desk every entry ends a step: people and rollbacks do not wait for a boundary.
        Self { now, each_entry_ends: log == LogId::Desk, open: Vec::new(), began: now }
    }

    /// Takes the next entry. Zero, one or two steps end by it: the open one because the entry lies beyond
    /// its boundary, and the entry's own because it is a tick (or the log is the desk's).
    pub fn push(&mut self, entry: Entry, ended: &mut Vec<Step>) {
        let time = self.now.max(entry.time);
        if !self.open.is_empty() && time >= self.boundary() {
            let boundary = self.boundary();
            ended.extend(self.close(boundary));
        }
        if self.open.is_empty() {
            self.began = time;
        }
        self.now = time;
        let ends = self.each_entry_ends || entry.kind == EntryKind::Tick;
        self.open.push(entry);
        if ends {
            ended.extend(self.close(time));
        }
    }

    /// Whether entries wait for their step to end; the owner then owes the log a tick by [`Self::boundary`].
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Log time at which the open step ends by itself.
    pub fn boundary(&self) -> Time {
        self.began.floor(STEP).plus(STEP)
    }

    /// Log time so far.
    pub fn now(&self) -> Time {
        self.now
    }

    fn close(&mut self, ended: Time) -> Option<Step> {
        // Steps of a busy log are alike: room for as many entries again spares their moving as the next one grows.
        let room = Vec::with_capacity(self.open.len());
        let entries = std::mem::replace(&mut self.open, room);
        self.now = self.now.max(ended);
        let ahead = Ahead::default();
        (!entries.is_empty()).then_some(Step { began: self.began, ended, entries, ahead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, millis: i64, kind: EntryKind) -> Entry {
        Entry { sequence, time: Time::from_millis(millis), kind, payload: Bytes::new() }
    }

    fn cut(log: LogId, entries: &[(u64, i64, EntryKind)]) -> Vec<(u64, i64, i64)> {
        let (mut stepper, mut steps) = (Stepper::new(log, Time(0)), Vec::new());
        for (sequence, millis, kind) in entries {
            stepper.push(entry(*sequence, *millis, kind.clone()), &mut steps);
        }
        steps.iter().map(|s| (s.position(), s.began.as_millis(), s.ended.as_millis())).collect()
    }

    #[test]
    fn a_step_ends_at_its_boundary_or_at_a_tick() {
        use EntryKind::{Batch, Tick};
        let log = [
            (1, 10, Batch),
            (2, 20, Batch),
            (3, 130, Batch),
            (4, 140, Tick),
            (5, 150, Batch),
            (6, 250, Tick),
        ];
        assert_eq!(
            cut(LogId::Shard(0), &log),
            [(2, 10, 100), (4, 130, 140), (5, 150, 200), (6, 250, 250)]
        );
    }

    #[test]
    fn a_reader_that_starts_at_any_step_end_cuts_the_same_steps() {
        let log: Vec<_> = (1..200_u64)
            .map(|n| {
                (
                    n,
                    (n as i64 * 37) % 50 + n as i64 * 20,
                    if n % 7 == 0 { EntryKind::Tick } else { EntryKind::Batch },
                )
            })
            .collect();
        let (mut whole, mut steps) = (Stepper::new(LogId::Shard(0), Time(0)), Vec::new());
        log.iter().for_each(|(s, m, k)| whole.push(entry(*s, *m, k.clone()), &mut steps));
        for (index, step) in steps.iter().enumerate() {
            let (mut again, mut rest) = (Stepper::new(LogId::Shard(0), step.ended), Vec::new());
            for (s, m, k) in log.iter().filter(|(s, ..)| *s > step.position()) {
                again.push(entry(*s, *m, k.clone()), &mut rest);
            }
            assert_eq!(rest, steps[index + 1..]);
        }
    }

    #[test]
    fn stored_times_that_go_back_do_not_take_log_time_back() {
        let log =
            [(1, 500, EntryKind::Batch), (2, 100, EntryKind::Tick), (3, 510, EntryKind::Tick)];
        assert_eq!(cut(LogId::Shard(0), &log), [(2, 500, 500), (3, 510, 510)]);
    }

    #[test]
    fn every_entry_of_the_desk_ends_a_step() {
        let log = [(1, 5, EntryKind::Settings), (2, 6, EntryKind::Tick)];
        assert_eq!(cut(LogId::Desk, &log), [(1, 5, 5), (2, 6, 6)]);
    }
}
