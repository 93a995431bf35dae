//! Evaluation of a rule that is apart: each condition by what its shard showed last, together as one rule.

use super::{Cell, Group, Speaks, View};
use crate::desk::Desk;
use crate::joint::{self, Joint};
use crate::judge::{self, Judgement, Sight, Verdict};
use crate::output::Output;
use crate::settings::Rule;
use crate::shard::{group_labels, incident};
use crate::term::Term;
use crate::time::Time;
use crate::track::axis::Event;
use crate::track::{Evaluation, Moved};
use crate::wire::{DataFlag, Evidence, SCHEMA, ShardEvent, TermSeen, Transition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// By what and when a view is looked at.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) shards: &'a BTreeMap<u32, Speaks>,
    /// The desk's time.
    pub(super) now: Time,
}

/// What one condition sees and says.
#[derive(Debug)]
struct Look<'a> {
    term: &'a Term,
    judged: Judgement,
    value: Option<f64>,
    limit: f64,
    /// What its samples are counted by.
    cell: Option<&'a Cell>,
}

/// What all conditions of a label set say together.
#[derive(Debug)]
pub(super) struct Looks<'a> {
    lists: Vec<Vec<Look<'a>>>,
    pub(super) joint: Joint,
}

impl View {
    /// What the conditions of `rule` say of a label set that can be absent since `armed`.
    pub(super) fn look<'a>(
        &'a self,
        rule: &'a Rule,
        (text, armed): (&str, Time),
        moment: Moment<'_>,
    ) -> Option<Looks<'a>> {
        let (mut lists, mut number) = (Vec::with_capacity(rule.any_of.len()), 0);
        for (terms, judges) in rule.any_of.iter().zip(&self.judges) {
            let mut looks = Vec::with_capacity(terms.len());
            for (term, judge) in terms.iter().zip(judges) {
                looks.push(self.look_one((number, term, judge), (text, armed), moment)?);
                number += 1;
            }
            lists.push(looks);
        }
        let judged = |list: &Vec<Look<'_>>| list.iter().map(|look| look.judged).collect();
        let joint = joint::join(&lists.iter().map(judged).collect::<Vec<_>>())?;
        Some(Looks { lists, joint })
    }

    fn look_one<'a>(
        &'a self,
        (number, term, judge): (u32, &'a Term, &'a Rule),
        (text, armed): (&str, Time),
        Moment { shards, now }: Moment<'_>,
    ) -> Option<Look<'a>> {
        let of = self.part(number, false)?;
        let measured = self.part(number, true).unwrap_or(of);
        let seen = of.cells.get(text).map(|cell| &cell.glimpse);
        let cell = measured.cells.get(text);
        let glimpse = cell.map(|cell| &cell.glimpse);
        let value = term.value(
            (seen.and_then(|seen| seen.value), seen.map_or(0, |seen| seen.count)),
            glimpse.and_then(|glimpse| glimpse.value),
            seen.and_then(|seen| seen.earlier),
        );
        let limit = judge::limit(judge);
        let clock = self.clock.unwrap_or(now);
        let spoken = [of, measured].map(|part| shards.get(&part.shard).zip(part.began));
        let undecided =
            |data| Judgement { verdict: Verdict::Undecided, data, due: None, keep_until: None };
        let judged = match spoken {
            [Some((one, _)), Some((other, _))]
                if one.is_silent(now, clock) || other.is_silent(now, clock) =>
            {
                undecided(DataFlag::Stale)
            }
            [Some(_), Some((speaks, began))] => {
                let sight = Sight {
                    // Up to here its shard has shown everything.
                    now: speaks.shown(),
                    // What has no value is as good as no sample: insufficient.
                    count: value.and(glimpse).map_or(0, |glimpse| glimpse.count),
                    value,
                    last: glimpse.and_then(|glimpse| glimpse.last),
                    armed: armed.max(began).max(speaks.armed),
                    siblings: (!judge.group_by.is_empty())
                        .then(|| measured.last.unwrap_or_default()),
                };
                judge::judge(judge, &sight)
            }
            [None, _] | [_, None] => undecided(DataFlag::NoData),
        };
        Some(Look { term, judged, value, limit, cell })
    }
}

impl Looks<'_> {
    fn decisive(&self) -> &Look<'_> {
        &self.lists[self.joint.decisive.0][self.joint.decisive.1]
    }

    /// The value, where the rule has one.
    fn lone_value(&self, rule: &Rule) -> Option<f64> {
        rule.lone_term().and(self.decisive().value)
    }

    fn is_enough(&self, rule: &Rule) -> bool {
        let glimpse = self.decisive().cell.map(|cell| &cell.glimpse);
        let enough = glimpse.is_some_and(|seen| {
            let panes = (seen.panes_filled, seen.panes);
            judge::enough_to_act(seen.count, panes, rule.action_min_samples)
        });
        rule.action.is_some() && enough
    }

    /// When the last sample came that the condition that decided is judged by.
    pub(super) fn last(&self) -> Option<Time> {
        self.decisive().cell.and_then(|cell| cell.glimpse.last)
    }

    /// What was seen, at `now`: all that the condition that decided saw, and of each what it came to.
    pub(super) fn evidence(&self, now: Time) -> Evidence {
        let look = self.decisive();
        let terms = self.lists.iter().flatten().map(|look| TermSeen {
            term: look.term.shown(),
            value: look.value,
            threshold: look.limit,
            count: look.cell.map_or(0, |cell| cell.glimpse.count),
            breach: matches!(look.judged.verdict, Verdict::Breach(_)),
        });
        let mut evidence = Evidence {
            value: look.value,
            threshold: look.limit,
            window_start: now,
            window_end: now,
            terms: terms.collect(),
            ..Evidence::default()
        };
        let Some(Cell { glimpse, position, .. }) = look.cell else { return evidence };
        evidence.count = glimpse.count;
        evidence.window_start = glimpse.window_start;
        (evidence.panes, evidence.panes_filled) = (glimpse.panes, glimpse.panes_filled);
        evidence.series = glimpse.series;
        evidence.log_range = (glimpse.log_start, *position);
        // The sizes of samples say nothing of a ratio.
        if look.term.per.is_none() {
            (evidence.mean, evidence.min, evidence.max) = (glimpse.mean, glimpse.min, glimpse.max);
            evidence.percentiles = glimpse.percentiles;
        }
        evidence
    }
}

impl Desk {
    /// Evaluates a label set of a rule, and lets what its alert does be followed.
    pub(super) fn judge_apart(&mut self, name: &str, text: &str) {
        let Some(rule) = self.state.rule(name) else { return };
        let (now, position) = (self.state.now, self.state.position);
        let apart = &mut self.state.apart;
        let Some(judged) = apart.rules.get_mut(name) else { return };
        let Some(group) = judged.groups.get_mut(text) else { return };
        let (view, moment) = (&judged.view, Moment { shards: &apart.shards, now });
        let Some(looks) = view.look(&rule, (text, group.armed), moment) else { return };
        let clock = view.clock.unwrap_or(now);
        let (value, enough) = (looks.lone_value(&rule), looks.is_enough(&rule));
        let mut moves = Vec::new();
        let (seen, at) = (&looks.joint.judged, clock);
        let evaluation = Evaluation { rule: &rule, judged: seen, value, now: at, position, enough };
        group.alert.evaluate(&evaluation, &mut moves);
        self.counters.evaluations += 1;
        if !moves.is_empty() {
            let evidence = looks.evidence(clock);
            self.say_judged(&rule, text, &moves, (evidence, clock));
        }
    }

    /// Lets something other than an evaluation happen to all alerts of a rule; `rule` is it as it was before.
    pub(super) fn happen_apart(&mut self, rule: &Arc<Rule>, event: Event) {
        let Some(judged) = self.state.apart.rules.get(&rule.name) else { return };
        let texts = judged.groups.keys().cloned().collect();
        self.happen_apart_to(rule, texts, event);
    }

    /// The same to those of these label sets.
    pub(super) fn happen_apart_to(&mut self, rule: &Arc<Rule>, texts: Vec<String>, event: Event) {
        let (now, position) = (self.state.now, self.state.position);
        for text in texts {
            let apart = &mut self.state.apart;
            let Some(judged) = apart.rules.get_mut(&rule.name) else { return };
            let Some(Group { alert, armed }) = judged.groups.get_mut(&text) else { continue };
            let moment = Moment { shards: &apart.shards, now };
            let looks = judged.view.look(rule, (&text, *armed), moment);
            let evidence = looks.map_or_else(Evidence::default, |looks| looks.evidence(now));
            let (clock, mut moves) = (judged.view.clock.unwrap_or(now), Vec::new());
            alert.happen(event, rule, (clock, position), &mut moves);
            self.say_judged(rule, &text, &moves, (evidence, now));
        }
    }

    /// Says what an alert did, and takes it as what a shard says.
    fn say_judged(
        &mut self,
        rule: &Arc<Rule>,
        text: &str,
        moves: &[Moved],
        (evidence, time): (Evidence, Time),
    ) {
        for moved in moves {
            let mut evidence = evidence.clone();
            if let Some(grade) = rule.grades.get(moved.grade) {
                evidence.threshold = grade.bound;
            }
            let opened = moved.opened;
            let transition = Transition {
                schema: SCHEMA,
                shard: self.subjects.shard_of(&rule.metric, self.shards),
                at_desk: true,
                position: self.state.position,
                time,
                rule: rule.name.clone(),
                group: group_labels(text),
                severity: rule.severity_at(moved.grade).to_owned(),
                from: moved.from,
                to: moved.to,
                cause: moved.cause,
                data: moved.data,
                flapping: moved.flapping,
                shadow: !rule.mode.is_live(),
                incident: opened.map(|at| incident(self.created, &rule.name, text, at)),
                evidence,
            };
            let event = ShardEvent::Transition(Box::new(transition));
            self.out.push(Output::commit(self.subjects.judged(), &event));
            if let ShardEvent::Transition(transition) = event {
                self.transition(&transition);
            }
        }
    }
}
