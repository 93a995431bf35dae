//! All rules over several metrics, by hand: which there are, what they know of series, and what edits do to them.
//!
//! An edit does to them what it does to others (`edits.rs`). Rules whose first metrics lie in one slice look from one place,
//! and a series is known there from its first sample on, as long as any of them reads its metric.

use super::joint::Joint;
use super::{Row, TENTH, group_of};
use serde_json::Value;
use stages::log::{EntryKind, Step};
use stages::settings::{Rule, Settings};
use stages::shard::slice_of;
use stages::term::Term;
use stages::time::{Span, Time};
use stages::wire::Cause;
use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A rule and a label set.
type Of = (String, String);

#[derive(Default)]
pub struct Joints {
    joints: BTreeMap<String, Joint>,
    /// Slice of those who look, and the metric.
    known: BTreeMap<(usize, String), BTreeSet<Labels>>,
    ids: BTreeMap<(usize, String, String), Time>,
    /// All rules in force, those of one metric too.
    names: BTreeSet<String>,
    now: Time,
    /// What was said, by rule and group.
    pub rows: BTreeMap<Of, Vec<Row>>,
}

impl Joints {
    pub fn new(now: Time) -> Self {
        Self { now, ..Self::default() }
    }

    pub fn step(&mut self, step: &Step) {
        let mut at = self.now.0 + TENTH;
        while at < step.began.0 {
            self.evaluate(Time(at));
            at += TENTH;
        }
        let (began, passes) = (step.began, step.began > self.now);
        let settings: Vec<&_> =
            step.entries.iter().filter(|entry| entry.kind == EntryKind::Settings).collect();
        if settings.is_empty() && passes {
            self.evaluate(began);
        } else if !settings.is_empty() {
            // What is due when an edit comes is judged by the rules of the edit.
            let due = if passes { self.due(began) } else { Vec::new() };
            for entry in settings {
                self.edit(&serde_json::from_slice(&entry.payload).unwrap(), began);
            }
            due.iter().for_each(|of| self.judge(of, began, true));
        }
        for entry in &step.entries {
            if let EntryKind::Metric(_) = entry.kind {
                let body: Value = serde_json::from_slice(&entry.payload).unwrap();
                self.sample(&body, entry.time);
            }
        }
        self.evaluate(step.ended);
        self.now = step.ended;
    }

    fn sample(&mut self, body: &Value, arrived: Time) {
        let metric = body["name"].as_str().unwrap();
        let labels: Labels = serde_json::from_value(body["labels"].clone()).unwrap();
        let readers = self.joints.values().filter(|joint| reads(&joint.rule, metric));
        let homes: BTreeSet<usize> = readers.map(home).collect();
        for at in homes {
            self.known.entry((at, metric.to_owned())).or_default().insert(labels.clone());
            let repeated = body["id"].as_str().is_some_and(|id| {
                let id = (at, metric.to_owned(), id.to_owned());
                let known =
                    self.ids.get(&id).is_some_and(|at| arrived.since(*at) < Span::from_secs(120));
                if !known {
                    self.ids.insert(id, arrived);
                }
                known
            });
            for joint in self.joints.values_mut().filter(|joint| home(joint) == at) {
                joint.enter(metric, &labels, arrived);
                if !repeated {
                    joint.sample(body, &labels, arrived);
                }
            }
        }
    }

    fn evaluate(&mut self, now: Time) {
        let all = self.joints.values().flat_map(Joint::all).collect::<Vec<_>>();
        all.iter().for_each(|of| self.judge(of, now, false));
        self.joints.values_mut().for_each(|joint| joint.note_turns(now));
    }

    fn judge(&mut self, (name, text): &Of, now: Time, if_older: bool) {
        let Some(joint) = self.joints.get_mut(name) else { return };
        let mut rows = Vec::new();
        joint.judge(text, (now, if_older), &mut rows);
        self.take_down((name, text), rows);
    }

    fn take_down(&mut self, (name, text): (&str, &str), rows: Vec<Row>) {
        if !rows.is_empty() {
            self.rows.entry((name.to_owned(), text.to_owned())).or_default().extend(rows);
        }
    }

    /// Who is to be looked at for time's sake alone.
    fn due(&self, now: Time) -> Vec<Of> {
        let all = self.joints.values().flat_map(Joint::all);
        all.filter(|(name, text)| self.joints[name].is_due(text, now)).collect()
    }

    fn edit(&mut self, settings: &Settings, now: Time) {
        let wanted = || settings.rules.iter().filter(|rule| rule.is_joined());
        let names: BTreeSet<&str> = settings.rules.iter().map(|rule| &*rule.name).collect();
        let stays = |old: &Rule| {
            wanted().any(|rule| (&rule.name, &rule.metric) == (&old.name, &old.metric))
        };
        let gone: Vec<String> = self
            .joints
            .values()
            .filter(|joint| !stays(&joint.rule))
            .map(|joint| joint.rule.name.clone())
            .collect();
        for name in gone {
            let cause =
                if names.contains(&*name) { Cause::RuleChanged } else { Cause::RuleRemoved };
            let mut joint = self.joints.remove(&name).unwrap();
            joint.end(cause, now, |text, rows| self.take_down((&name, text), rows));
        }
        let mut renamed = Vec::new();
        for rule in wanted() {
            let texts = self.texts(rule);
            let Some(mut joint) = self.joints.remove(&rule.name) else {
                // One that read something else before begins anew.
                let moved = self.names.contains(&rule.name).then_some(now);
                self.joints.insert(rule.name.clone(), Joint::new(rule, now, moved));
                continue;
            };
            let tell = |text: &str, rows: Vec<Row>| self.take_down((&rule.name, text), rows);
            renamed.extend(joint.change(rule, &texts, now, tell));
            self.joints.insert(rule.name.clone(), joint);
        }
        self.names = names.into_iter().map(str::to_owned).collect();
        let rules: Vec<_> =
            self.joints.values().map(|joint| (home(joint), joint.rule.clone())).collect();
        self.known.retain(|(at, metric), _| {
            rules.iter().any(|(home, rule)| home == at && reads(rule, metric))
        });
        for ((at, metric), series) in &self.known {
            for joint in self.joints.values_mut().filter(|joint| home(joint) == *at) {
                series.iter().for_each(|labels| joint.enter(metric, labels, now));
            }
        }
        for (name, text) in renamed {
            let mut rows = Vec::new();
            self.joints.get_mut(&name).unwrap().say_again(&text, now, &mut rows);
            self.take_down((&name, &text), rows);
        }
    }

    /// Label sets of a rule that are there without any sample of them to come.
    fn texts(&self, rule: &Rule) -> BTreeSet<String> {
        let home = slice_of(&rule.metric);
        let mut texts: BTreeSet<String> = BTreeSet::new();
        texts.extend(rule.group_by.is_empty().then(|| "{}".to_owned()));
        for term in rule.terms() {
            let of_term = rule.of_term(term);
            let series = term.metrics().filter_map(|it| self.known.get(&(home, it.to_owned())));
            texts.extend(series.flatten().filter_map(|labels| group_of(&of_term, labels)));
        }
        texts
    }
}

fn home(joint: &Joint) -> usize {
    slice_of(&joint.rule.metric)
}

fn reads(rule: &Rule, metric: &str) -> bool {
    rule.terms().flat_map(Term::metrics).any(|it| it == metric)
}
