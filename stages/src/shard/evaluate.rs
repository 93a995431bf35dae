//! Evaluation of a group: every rule of its view judges by one glance at the window, every alert is tracked, and
//! what moved is said with its evidence, for which the window is read whole.

use super::Shard;
use super::metric::{Group, View, group_labels};
use super::said::Speaker;
use crate::judge::{self, Sight};
use crate::settings::Rule;
use crate::time::Time;
use crate::track::axis::Event;
use crate::track::{Evaluation, Moved};
use crate::window::{Glance, Reading};
use crate::wire::{Evidence, SCHEMA, ShardEvent, TermSeen, Transition};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

impl Shard {
    /// Evaluates a group at `now` and says what its alerts do.
    pub(super) fn evaluate(&mut self, id: u32, now: Time) {
        let group = &mut self.groups[id];
        let view = &mut self.views[group.view];
        let glance = group.window.glance(now);
        let mut due = group.window.next_leave();
        let sight = sight(group, view, &glance, now);
        let position = self.speaker.position;
        let chosen = &mut self.chosen;
        let choice = view.calm.as_ref().zip(group.restless.as_ref());
        let stale = choice.and_then(|(calm, restless)| calm.choose(&sight, restless, chosen));
        if stale.is_none() {
            chosen.clear();
            chosen.extend(0..view.rules.len() as u32);
        }
        due = [due, stale].into_iter().flatten().min();
        for at in chosen.iter().map(|at| *at as usize) {
            let rule = &view.rules[at];
            let judged = judge::judge(rule, &sight);
            let enough = rule.action.is_some()
                && judge::enough_to_act(
                    glance.count,
                    (glance.panes_filled, glance.panes),
                    rule.action_min_samples,
                );
            let alert = &mut group.alerts[at];
            let before = alert.state.axis();
            let (judged_by, value) = (&judged, glance.value);
            let evaluation = Evaluation { rule, judged: judged_by, value, now, position, enough };
            alert.evaluate(&evaluation, &mut self.moves);
            due = [due, alert.due(rule, &judged, now)].into_iter().flatten().min();
            if !self.moves.is_empty() {
                self.axes.moved(before, alert.state.axis());
                view.axes.moved(before, alert.state.axis());
                let reading = group.window.read(now);
                let seen = Seen::of(group, rule, &reading, now);
                self.speaker.moves(&seen, &mut self.moves);
            }
        }
        if view.calm.is_some() {
            let restless = group.restless.get_or_insert_default();
            let alerts = &group.alerts;
            restless.clear();
            restless.extend(chosen.iter().filter(|at| !alerts[**at as usize].is_well()));
        }
        self.counters.evaluations += view.rules.len() as u64;
        self.dues.set(&mut group.due, due, super::Whom::Group(id));
    }

    /// Lets something other than an evaluation happen to one alert of a group, and says it.
    pub(super) fn happen(&mut self, id: u32, at: usize, event: Event, now: Time) {
        let group = &mut self.groups[id];
        let view = &mut self.views[group.view];
        let rule = &view.rules[at];
        let alert = &mut group.alerts[at];
        group.restless = None;
        let before = alert.state.axis();
        alert.happen(event, rule, (now, self.speaker.position), &mut self.moves);
        self.axes.moved(before, alert.state.axis());
        view.axes.moved(before, alert.state.axis());
        if self.moves.is_empty() {
            return;
        }
        let reading = group.window.read(now);
        let seen = Seen::of(group, rule, &reading, now);
        self.speaker.moves(&seen, &mut self.moves);
    }
}

fn sight(group: &Group, view: &View, glance: &Glance, now: Time) -> Sight {
    Sight {
        now,
        count: glance.count,
        value: glance.value,
        last: group.last,
        armed: group.armed,
        // None has reported yet: as if the last did long ago, so that it is looked for all the same.
        siblings: (!view.key.group_by.is_empty()).then(|| view.last.unwrap_or_default()),
    }
}

/// What an evaluation saw, for its evidence.
pub(super) struct Seen<'a> {
    pub(super) text: &'a str,
    pub(super) level: Option<f64>,
    pub(super) rule: &'a Rule,
    pub(super) reading: &'a Reading,
    /// What the value was compared with, where the rule has one severity.
    pub(super) limit: f64,
    pub(super) terms: Vec<TermSeen>,
    pub(super) now: Time,
}

impl<'a> Seen<'a> {
    fn of(group: &'a Group, rule: &'a Rule, reading: &'a Reading, now: Time) -> Self {
        let (level, limit) = (group.level.value(), judge::limit(rule));
        Self { text: &group.text, level, rule, reading, limit, terms: Vec::new(), now }
    }
}

impl Speaker {
    pub(super) fn moves(&mut self, seen: &Seen<'_>, moves: &mut Vec<Moved>) {
        for moved in moves.drain(..) {
            let Seen { text, rule, reading, now, .. } = *seen;
            let grade = rule.grades.get(moved.grade);
            let limit = grade.map_or(seen.limit, |grade| grade.bound);
            let mut evidence = self.evidence(reading, seen.level, limit, now);
            evidence.terms.clone_from(&seen.terms);
            let transition = Transition {
                schema: SCHEMA,
                shard: self.shard,
                at_desk: false,
                position: self.position,
                time: now,
                rule: rule.name.clone(),
                group: group_labels(text),
                severity: rule.severity_at(moved.grade).to_owned(),
                from: moved.from,
                to: moved.to,
                cause: moved.cause,
                data: moved.data,
                flapping: moved.flapping,
                shadow: !rule.mode.is_live(),
                incident: moved
                    .opened
                    .map(|opened| incident(self.created, &rule.name, text, opened)),
                evidence,
            };
            let event = ShardEvent::Transition(Box::new(transition));
            self.event(now, (&rule.name, text), &event);
        }
    }

    /// What `reading` showed at `now`.
    pub(super) fn evidence(
        &self,
        reading: &Reading,
        level: Option<f64>,
        threshold: f64,
        now: Time,
    ) -> Evidence {
        Evidence {
            value: reading.value,
            level,
            threshold,
            count: reading.count,
            mean: reading.mean,
            min: reading.min,
            max: reading.max,
            percentiles: reading.percentiles,
            window_start: reading.window_start,
            window_end: now,
            panes: reading.panes,
            panes_filled: reading.panes_filled,
            series: reading.series,
            log_range: (self.marks.before(reading.window_start), self.position),
            terms: Vec::new(),
        }
    }
}

/// Identity of an incident: the first 16 hex digits of SHA-256 over the log's creation time (nanoseconds,
/// 8 bytes), the rule and the group (each a length of 8 bytes and its text), and the position that opened it
/// (8 bytes), numbers with the highest byte first.
pub(crate) fn incident(created: Time, rule: &str, group: &str, opened: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(created.0.to_be_bytes());
    for text in [rule, group] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.update(opened.to_be_bytes());
    hash.finalize().iter().take(8).fold(String::new(), |mut id, byte| {
        // Writing to a string does not fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}
