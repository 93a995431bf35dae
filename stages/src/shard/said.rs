//! What a shard says, and in which order: by turn, never by worker or by interleaving.

use super::marks::Marks;
use super::place::Place;
use crate::output::{Output, Target};
use crate::subject::Subjects;
use crate::time::Time;
use crate::wire::{Glimpses, PartSeen, SCHEMA, ShardEvent};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Bytes of glimpses in one message: half of what relays carry. More of one instant are several messages.
const GLIMPSES_BYTES: usize = 256 << 10;

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
    /// Rule, or what stands in for it (a metric), and group of labels, as one text that sorts like the two.
    about: Box<str>,
    index: u64,
}

impl Turn {
    /// The `index`th thing said at the end of a step by somebody who says all there is in order.
    pub fn at_end(time: Time, index: u64) -> Self {
        Self { phase: Phase::End, time, about: about("", ""), index }
    }
}

/// Rule and group as one text: what comes after the rule is less than whatever may go on in a longer name.
fn about(rule: &str, group: &str) -> Box<str> {
    [rule, "\0", group].concat().into_boxed_str()
}

/// An output and its turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// When within the step.
    pub turn: Turn,
    /// What.
    pub output: Output,
    /// What can be put together with what other workers say of the same instant.
    pub(crate) glimpses: Option<Box<Glimpses>>,
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

    /// Says what is seen of rules that are apart, by a revision and since when absence is; committed.
    pub(super) fn glimpses(
        &mut self,
        time: Time,
        (revision, armed): (String, Time),
        parts: Vec<PartSeen>,
    ) {
        let (shard, position) = (self.shard, self.position);
        let (schema, more) = (SCHEMA, false);
        let glimpses = Glimpses { schema, shard, position, time, revision, armed, more, parts };
        let output = Output::commit(self.transition.clone(), &());
        // Whenever in its step: they are one message with what is seen at its end.
        let phase = std::mem::replace(&mut self.phase, Phase::End);
        self.say(time, ("", ""), output);
        self.phase = phase;
        if let Some(said) = self.said.last_mut() {
            said.glimpses = Some(Box::new(glimpses));
        }
    }

    /// All that was said, for the end of a step.
    pub(super) fn take(&mut self) -> Vec<Said> {
        self.index = 0;
        in_order(std::mem::take(&mut self.said))
    }

    fn say(&mut self, time: Time, (rule, group): (&str, &str), output: Output) {
        let index = self.index;
        self.index += 1;
        let turn = Turn { phase: self.phase, time, about: about(rule, group), index };
        self.said.push(Said { turn, output, glimpses: None });
    }
}

/// What was said in a step, by any number of workers, in its order; glimpses of one instant are put together.
pub(crate) fn in_order(mut said: Vec<Said>) -> Vec<Said> {
    said.sort_by(|one, other| one.turn.cmp(&other.turn));
    if said.iter().all(|one| one.glimpses.is_none()) {
        return said;
    }
    let (mut ordered, mut together): (Vec<Said>, Vec<Said>) = (Vec::new(), Vec::new());
    for one in said {
        let instant = |one: &Said| (one.turn.phase, one.turn.time);
        let goes_on = one.glimpses.is_some()
            && together.first().is_none_or(|first| instant(first) == instant(&one));
        if !goes_on {
            ordered.append(&mut put_together(std::mem::take(&mut together)));
        }
        match one.glimpses {
            Some(_) => together.push(one),
            None => ordered.push(one),
        }
    }
    ordered.append(&mut put_together(together));
    ordered
}

/// Glimpses of one instant as one message, or as several where it would be too long.
fn put_together(said: Vec<Said>) -> Vec<Said> {
    let mut parts: BTreeMap<_, PartSeen> = BTreeMap::new();
    let mut whole: Option<(Turn, String, Glimpses)> = None;
    for Said { turn, output, glimpses } in said {
        let Some(mut glimpses) = glimpses else { continue };
        for mut part in std::mem::take(&mut glimpses.parts) {
            let key = (part.rule.clone(), part.incident.clone(), part.term, part.per);
            match parts.entry(key) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(part)),
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    let known = place.get_mut();
                    known.last = known.last.max(part.last);
                    known.groups.append(&mut part.groups);
                }
            }
        }
        whole.get_or_insert((turn, output.subject, *glimpses));
    }
    let Some((turn, subject, head)) = whole else { return Vec::new() };
    for part in parts.values_mut() {
        part.groups.sort_by(|one, other| one.group.cmp(&other.group));
    }
    let messages = cut(parts.into_values().collect());
    let last = messages.len() - 1;
    let message = |(at, parts): (usize, Vec<PartSeen>)| {
        let glimpses = Box::new(Glimpses { parts, more: at < last, ..head.clone() });
        let output = Output::commit(subject.clone(), &ShardEvent::Glimpses(glimpses.clone()));
        let turn = Turn { index: turn.index + at as u64, ..turn.clone() };
        Said { turn, output, glimpses: Some(glimpses) }
    };
    messages.into_iter().enumerate().map(message).collect()
}

/// Parts, cut where a message has [`GLIMPSES_BYTES`]; one at least, be it empty.
fn cut(parts: Vec<PartSeen>) -> Vec<Vec<PartSeen>> {
    let (mut messages, mut bytes) = (vec![Vec::new()], 0);
    for mut part in parts {
        let groups = std::mem::take(&mut part.groups);
        let mut open = part.clone();
        for glimpse in groups {
            // Plain fields and text keys: serde_json cannot fail on them.
            let size = serde_json::to_vec(&glimpse).map_or(0, |json| json.len() + 1);
            if bytes + size > GLIMPSES_BYTES && bytes > 0 {
                if !open.groups.is_empty() {
                    let full = std::mem::replace(&mut open, part.clone());
                    messages.last_mut().expect("there is one").push(full);
                }
                messages.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            open.groups.push(glimpse);
        }
        bytes += 200 + part.rule.len();
        messages.last_mut().expect("there is one").push(open);
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Glimpse;

    fn glimpse(group: &str) -> Glimpse {
        Glimpse {
            group: [("host".to_owned(), group.to_owned())].into(),
            value: Some(1.5),
            earlier: None,
            last: Some(Time(7)),
            count: 1,
            mean: Some(1.5),
            min: Some(1.5),
            max: Some(1.5),
            percentiles: None,
            window_start: Time(0),
            panes: 1,
            panes_filled: 1,
            series: 1,
            log_start: 0,
        }
    }

    fn part(rule: &str, groups: impl Iterator<Item = String>) -> PartSeen {
        let groups = groups.map(|group| glimpse(&group)).collect();
        PartSeen { rule: rule.to_owned(), incident: None, term: 0, per: false, last: None, groups }
    }

    fn said(time: i64, parts: Vec<PartSeen>) -> Said {
        let glimpses = Glimpses {
            schema: 1,
            shard: 0,
            position: 9,
            time: Time(time),
            revision: "a".to_owned(),
            armed: Time(0),
            more: false,
            parts,
        };
        let output = Output::commit("ops.transition.0".to_owned(), &());
        let mut said = Said { turn: Turn::at_end(Time(time), 0), output, glimpses: None };
        said.glimpses = Some(Box::new(glimpses));
        said
    }

    fn bytes(said: Vec<Said>) -> Vec<Bytes> {
        said.into_iter().map(|said| said.output.payload).collect()
    }

    #[test]
    fn glimpses_of_one_instant_are_the_same_bytes_whoever_says_which_part_of_them() {
        let names = |from: usize, to: usize| (from..to).map(|n| format!("h{n:05}"));
        let all = || vec![part("a", names(0, 3_000)), part("b", names(0, 2_000))];
        let alone = bytes(in_order(vec![said(1, all()), said(2, Vec::new())]));
        assert!(alone.len() > 3, "they are several messages: {}", alone.len());
        assert!(alone.iter().all(|message| message.len() < GLIMPSES_BYTES + 1_000));
        let one = in_order(vec![said(1, vec![part("b", names(0, 2_000))]), said(2, Vec::new())]);
        let other = in_order(vec![said(1, vec![part("a", names(1_500, 3_000))])]);
        let third = in_order(vec![said(1, vec![part("a", names(0, 1_500))]), said(2, Vec::new())]);
        let together = [one, other, third].concat();
        assert_eq!(bytes(in_order(together)), alone);
    }

    #[test]
    fn only_the_last_message_of_an_instant_is_the_end_of_it() {
        let names = (0..4_000).map(|n| format!("h{n:05}"));
        let said = in_order(vec![said(1, vec![part("a", names)])]);
        let more: Vec<bool> =
            said.iter().map(|one| one.glimpses.as_ref().is_some_and(|it| it.more)).collect();
        let (last, before) = more.split_last().unwrap();
        assert!(!last && before.iter().all(|more| *more) && !before.is_empty(), "{more:?}");
    }
}
