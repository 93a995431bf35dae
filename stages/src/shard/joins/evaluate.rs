//! Evaluation of a joined rule's group: each term judges by its own cells, together they judge as one rule.

use super::{Join, JoinGroup, Joins, Way};
use crate::due::Due;
use crate::joint::{self, Joint};
use crate::judge::{self, Judgement, Sight};
use crate::shard::evaluate::Seen;
use crate::shard::{Shard, Whom};
use crate::time::Time;
use crate::track::Evaluation;
use crate::track::axis::Event;
use crate::window::{Glance, Reading};
use crate::wire::{Axis, TermSeen};
use std::sync::Arc;

/// What one term sees and says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) judged: Judgement,
    pub(super) glance: Glance,
}

/// What all terms of a group say at an instant.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) lists: Vec<Vec<Look>>,
    pub(super) joint: Joint,
}

impl Looks {
    pub(super) fn decisive(&self) -> &Look {
        &self.lists[self.joint.decisive.0][self.joint.decisive.1]
    }
}

impl Joins {
    /// What the terms of a group say at `now`.
    pub(super) fn look(&mut self, id: u32, now: Time) -> Option<Looks> {
        let group = self.groups.get(id)?;
        let (text, armed) = (Arc::clone(&group.text), group.armed);
        let ways = Arc::clone(&self.joins[group.join].lists);
        let mut lists = Vec::with_capacity(ways.len());
        for list in ways.iter() {
            let looks = list.iter().map(|way| self.look_one(way, &text, (armed, now)));
            lists.push(looks.collect::<Vec<_>>());
        }
        let judged = |list: &Vec<Look>| list.iter().map(|look| look.judged).collect();
        let joint = joint::join(&lists.iter().map(judged).collect::<Vec<_>>())?;
        Some(Looks { lists, joint })
    }

    fn look_one(&mut self, way: &Way, text: &str, (armed, now): (Time, Time)) -> Look {
        let (of, of_last, of_due) = self.glance(way.of, text, now);
        let (mut glance, mut last, mut due) = (of, of_last, of_due);
        if let Some(per) = way.per {
            let (per, per_last, per_due) = self.glance(per, text, now);
            (glance, last) = (per, per_last);
            due = [due, per_due].into_iter().flatten().min();
        }
        let mut earlier = None;
        if way.term.baseline.is_some() {
            let cell = self.parts[way.of].cells.get(text).map(|id| &self.cells[*id]);
            let history = cell.and_then(|cell| cell.history.as_ref());
            earlier =
                history.and_then(|history| history.value(way.rule.stat, way.rule.min_samples, now));
            due = [due, history.map(|history| history.turns(now))].into_iter().flatten().min();
        }
        glance.value = way.term.value((of.value, of.count), glance.value, earlier);
        let part = &self.parts[way.per.unwrap_or(way.of)];
        let sight = Sight {
            now,
            // What has no value is as good as no sample: insufficient.
            count: if glance.value.is_some() { glance.count } else { 0 },
            value: glance.value,
            last,
            armed,
            siblings: part.key.is_grouped().then(|| part.last.unwrap_or_default()),
        };
        let mut judged = judge::judge(&way.rule, &sight);
        judged.due = [judged.due, due].into_iter().flatten().filter(|due| *due > now).min();
        Look { judged, glance }
    }

    fn glance(&mut self, part: u32, text: &str, now: Time) -> (Glance, Option<Time>, Option<Time>) {
        let Some(id) = self.parts[part].cells.get(text) else {
            return (Glance { value: None, count: 0, panes: 0, panes_filled: 0 }, None, None);
        };
        let cell = &mut self.cells[*id];
        cell.note_leaves(now);
        (cell.window.glance(now), cell.last, cell.window.next_leave())
    }

    /// What is shown of a term: all its window says, with its value. Of a ratio it is the window it is divided by,
    /// without the sizes of its samples.
    pub(super) fn read(&mut self, way: &Way, text: &str, look: &Look, now: Time) -> Reading {
        let cell = self.parts[way.per.unwrap_or(way.of)].cells.get(text);
        let mut reading = match cell {
            Some(id) => self.cells[*id].window.read(now),
            None => Reading::nothing(now),
        };
        reading.value = look.glance.value;
        if way.per.is_some() {
            (reading.mean, reading.min, reading.max) = (None, None, None);
            reading.percentiles = None;
        }
        reading
    }
}

impl Shard {
    /// Evaluates a group of a joined rule at `now` and says what its alert does.
    pub(in crate::shard) fn evaluate_join(&mut self, id: u32, now: Time) {
        let Some(looks) = self.joins.look(id, now) else { return };
        let join = self.joins.groups[id].join;
        if self.joins.joins[join].watched().is_some() {
            return self.look_at_watched(id, &looks, now);
        }
        let (rule, look) = (Arc::clone(&self.joins.joins[join].rule), *looks.decisive());
        let judged = looks.joint.judged;
        let (filled, panes) = (look.glance.panes_filled, look.glance.panes);
        let enough = rule.action.is_some()
            && judge::enough_to_act(look.glance.count, (filled, panes), rule.action_min_samples);
        // Severities are of the one value there is.
        let value = rule.lone_term().and(look.glance.value);
        let position = self.speaker.position;
        let alert = &mut self.joins.groups[id].alert;
        let before = alert.state.axis();
        let evaluation = Evaluation { rule: &rule, judged: &judged, value, now, position, enough };
        alert.evaluate(&evaluation, &mut self.moves);
        let due = alert.due(&rule, &judged, now);
        self.axes.moved(before, alert.state.axis());
        self.counters.evaluations += 1;
        self.dues.set(&mut self.joins.groups[id].due, due, Whom::Join(id));
        self.say_join(id, &looks, now);
    }

    /// Says what an alert did, with what was seen.
    fn say_join(&mut self, id: u32, looks: &Looks, now: Time) {
        if self.moves.is_empty() {
            return;
        }
        let group = &self.joins.groups[id];
        let (join, text) = (&self.joins.joins[group.join], Arc::clone(&group.text));
        let (rule, lists) = (Arc::clone(&join.rule), Arc::clone(&join.lists));
        let (list, at) = looks.joint.decisive;
        let way = &lists[list][at];
        let reading = self.joins.read(way, &text, looks.decisive(), now);
        let limit = judge::limit(&way.rule);
        let terms = terms_seen(&lists, looks);
        let seen =
            Seen { text: &text, level: None, rule: &rule, reading: &reading, limit, terms, now };
        self.speaker.moves(&seen, &mut self.moves);
    }

    /// Lets something other than an evaluation happen to the alert of a group, and says it.
    pub(super) fn happen_to_join(&mut self, id: u32, event: Event, now: Time) {
        let Some(looks) = self.joins.look(id, now) else { return };
        let group = &self.joins.groups[id];
        let rule = Arc::clone(&self.joins.joins[group.join].rule);
        let alert = &mut self.joins.groups[id].alert;
        let before = alert.state.axis();
        alert.happen(event, &rule, (now, self.speaker.position), &mut self.moves);
        self.axes.moved(before, alert.state.axis());
        self.say_join(id, &looks, now);
    }

    /// A hole is over: what a group reads is looked at once.
    pub(in crate::shard) fn join_wakes(&mut self, id: u32, to: Time) {
        self.dues.set(&mut self.joins.groups[id].due, Some(to), Whom::Join(id));
    }

    /// A due instant of a group.
    pub(in crate::shard) fn join_due(&mut self, id: u32, at: Time) {
        let Some(group) = self.joins.groups.get_mut(id) else { return };
        if group.due.take(at, Whom::Join(id), &mut self.dues) {
            self.evaluate_join(id, at);
        }
    }

    /// The groups that read a cell are there from now on.
    pub(super) fn groups_of_cell(&mut self, cell: u32, now: Time) {
        let cell = &self.joins.cells[cell];
        let (text, joins) = (Arc::clone(&cell.text), self.joins.parts[cell.part].joins.clone());
        for join in joins {
            if self.joins.joins[join].alerts() {
                self.join_group(join, &text, now);
            }
        }
    }

    /// The group of this text, made if it is new at `now`.
    pub(super) fn join_group(&mut self, join: u32, text: &Arc<str>, now: Time) -> u32 {
        let owner: &mut Join = &mut self.joins.joins[join];
        if let Some(id) = owner.groups.get(text) {
            return *id;
        }
        let group = JoinGroup {
            join,
            text: Arc::clone(text),
            alert: Default::default(),
            armed: now,
            due: Due::default(),
        };
        if owner.alerts() {
            self.axes.came(Axis::Unknown);
        }
        let id = self.joins.groups.insert(group);
        owner.groups.insert(Arc::clone(text), id);
        self.joins.touched.insert(id);
        id
    }

    /// Forgets a group of which no cell is left.
    pub(super) fn drop_group_without_cells(&mut self, join: u32, text: &Arc<str>) {
        let owner = &self.joins.joins[join];
        let mut parts = owner.lists.iter().flatten().flat_map(|way| [Some(way.of), way.per]);
        let left = parts
            .any(|part| part.is_some_and(|part| self.joins.parts[part].cells.contains_key(text)));
        if !left && owner.alerts() {
            self.drop_join_group(join, text);
        }
    }

    pub(super) fn drop_join_group(&mut self, join: u32, text: &Arc<str>) {
        let owner = &mut self.joins.joins[join];
        let Some(id) = owner.groups.remove(text) else { return };
        let alerts = owner.alerts();
        self.joins.touched.remove(&id);
        if let Some(group) = self.joins.groups.remove(id).filter(|_| alerts) {
            self.axes.went(group.alert.state.axis());
        }
    }
}

/// What each term saw, for the evidence.
pub(super) fn terms_seen(lists: &[Vec<Way>], looks: &Looks) -> Vec<TermSeen> {
    let seen = |(way, look): (&Way, &Look)| TermSeen {
        term: way.term.shown(),
        value: look.glance.value,
        threshold: judge::limit(&way.rule),
        count: look.glance.count,
        breach: matches!(look.judged.verdict, judge::Verdict::Breach(_)),
    };
    let looks = looks.lists.iter().flatten();
    lists.iter().flatten().zip(looks).map(seen).collect()
}
