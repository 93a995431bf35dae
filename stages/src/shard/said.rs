//! What a shard says, and in which order: by turn, never by worker or by interleaving.

use super::marks::Marks;
use super::place::Place;
use crate::output::{Output, Target};
use crate::subject::Subjects;
use crate::time::Time;
use crate::wire::ShardEvent;
use bytes::Bytes;

/// A part of a step, in the order a step is worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A hole in log time before the step.
    Hole,
    /// Settings, verify requests.
    Control,
    /// Due instants up to the step's beginning.
    DueBefore,
    /// Samples.
    Samples,
    /// Due instants up to the step's end.
    Due,
    /// Evaluation of what got samples.
    End,
    /// Rollups.
    After,
}

/// When something is said within a step. Sorting by it makes the number of workers invisible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    phase: Phase,
    time: Time,
    /// Rule, or what stands in for it (a metric).
    rule: String,
    /// Group of labels, as text.
    group: String,
    index: u64,
}

impl Turn {
    /// The `index`th thing said at the end of a step by somebody who says all there is in order.
    pub fn at_end(time: Time, index: u64) -> Self {
        Self { phase: Phase::End, time, rule: String::new(), group: String::new(), index }
    }
}

/// An output and its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When within the step.
    pub turn: Turn,
    /// What.
    pub output: Output,
}

/// Collects what is said in a step.
#[derive(Debug)]
pub(super) struct Speaker {
    subjects: Subjects,
    transition: String,
    /// The shard.
    pub(super) shard: u32,
    /// When the log was created.
    pub(super) created: Time,
    /// Position of the step being worked off.
    pub(super) position: u64,
    /// Positions by log time.
    pub(super) marks: Marks,
    /// Part of the step being worked off.
    pub(super) phase: Phase,
    index: u64,
    said: Vec<Said>,
}

impl Speaker {
    pub(super) fn new(place: &Place) -> Self {
        Self {
            subjects: place.subjects.clone(),
            transition: place.subjects.transition(place.shard),
            shard: place.shard,
            created: place.created,
            position: 0,
            marks: Marks::default(),
            phase: Phase::Control,
            index: 0,
            said: Vec::new(),
        }
    }

    /// Says an event about `(rule, group)`; committed.
    pub(super) fn event(&mut self, time: Time, (rule, group): (&str, &str), event: &ShardEvent) {
        let output = Output::commit(self.transition.clone(), event);
        self.say(time, (rule, group), output);
    }

    /// Puts refused bytes of `metric` aside.
    pub(super) fn dead_letter(&mut self, time: Time, metric: &str, reason: &str, payload: Bytes) {
        let subject = self.subjects.deadletter(reason);
        let output = Output { target: Target::DeadLetter, subject, payload };
        self.say(time, (metric, ""), output);
    }

    /// Publishes a pack of rollups of one tier.
    pub(super) fn rollup(&mut self, time: Time, tier: &str, payload: Bytes) {
        let subject = self.subjects.rollup(tier, self.shard);
        self.say(time, (tier, ""), Output { target: Target::Rollup, subject, payload });
    }

    /// All that was said, for the end of a step.
    pub(super) fn take(&mut self) -> Vec<Said> {
        self.index = 0;
        let mut said = std::mem::take(&mut self.said);
        said.sort_by(|one, other| one.turn.cmp(&other.turn));
        said
    }

    fn say(&mut self, time: Time, (rule, group): (&str, &str), output: Output) {
        let index = self.index;
        self.index += 1;
        let (phase, rule, group) = (self.phase, rule.to_owned(), group.to_owned());
        self.said.push(Said { turn: Turn { phase, time, rule, group, index }, output });
    }
}
