//! What rules mean, the long way: every sample is kept, every window is added up anew at every tenth of a second.

mod alert;
mod edits;
mod graded;
mod group;
mod joint;
pub mod joints;
mod numbers;

use group::{Group, edge, pane, width};
use serde::Deserialize;
use serde_json::value::RawValue;
use stages::log::{EntryKind, Step};
use stages::matcher::{Matcher, Operator};
use stages::settings::Rule;
use stages::time::{Span, Time};
use stages::wire::{Axis, Cause, DataFlag, Evidence};
use std::collections::{BTreeMap, BTreeSet};

const TENTH: i64 = 100_000_000;

/// A transition, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub time: Time,
    pub from: Axis,
    pub to: Axis,
    pub cause: Cause,
    pub data: DataFlag,
    pub flapping: bool,
    pub open: bool,
    pub severity: String,
    pub shadow: bool,
    pub evidence: Evidence,
}

impl Row {
    /// Whether both say the same; roots and slopes up to rounding, percentiles up to their bucket.
    pub fn agrees(&self, other: &Self) -> bool {
        let (one, two) = (&self.evidence, &other.evidence);
        let near = |one: Option<f64>, two: Option<f64>, within: f64| match (one, two) {
            (Some(one), Some(two)) => {
                one == two || (one - two).abs() <= within * one.abs().max(two.abs()) + 1e-300
            }
            (None, None) => true,
            _ => false,
        };
        let percentiles = match (one.percentiles, two.percentiles) {
            (Some(one), Some(two)) => {
                one.iter().zip(two).all(|(one, two)| near(Some(*one), Some(two), 2e-3))
            }
            (one, two) => one.is_none() && two.is_none(),
        };
        let bucketed = two.percentiles.is_some();
        (self.time, self.from, self.to, self.cause)
            == (other.time, other.from, other.to, other.cause)
            && (self.data, self.flapping, self.open) == (other.data, other.flapping, other.open)
            && (&self.severity, self.shadow) == (&other.severity, other.shadow)
            && near(one.value, two.value, if bucketed { 2e-3 } else { 1e-9 })
            && one.level == two.level
            && (one.threshold, one.count, one.mean) == (two.threshold, two.count, two.mean)
            && (one.min, one.max, one.series) == (two.min, two.max, two.series)
            && (one.window_start, one.window_end) == (two.window_start, two.window_end)
            && (one.panes, one.panes_filled) == (two.panes, two.panes_filled)
            && percentiles
            && one.terms.len() == two.terms.len()
            && one.terms.iter().zip(&two.terms).all(|(one, two)| {
                let alike =
                    (&one.term, one.count, one.breach) == (&two.term, two.count, two.breach);
                alike && one.threshold == two.threshold && near(one.value, two.value, 2e-3)
            })
    }
}

/// One sample as it was sent.
#[derive(Deserialize)]
struct Sent<'a> {
    name: String,
    #[serde(borrow)]
    val: &'a RawValue,
    ts: Option<i64>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    kind: String,
    id: Option<String>,
}

/// One sample as a group keeps it.
#[derive(Clone, Debug)]
struct Kept {
    arrived: Time,
    time: Time,
    value: f64,
    series: String,
    counter: bool,
}

/// All rules, by hand.
#[derive(Default)]
pub struct Model {
    rules: BTreeMap<String, Rule>,
    /// Since when rules see what they see, where an edit had them begin anew.
    begun: BTreeMap<String, Time>,
    /// The revision with which they did, or came.
    since: BTreeMap<String, u64>,
    revision: u64,
    /// The window each rule looks through: those that see the same since the same revision share one.
    alike: BTreeMap<String, usize>,
    /// Those windows in the order of the first rules that look through them, and how many there ever were.
    laid: Vec<(edits::Panes, usize)>,
    made: usize,
    /// By rule and labels.
    groups: BTreeMap<(String, String), Group>,
    /// Series by metric, and their labels.
    known: BTreeSet<(String, BTreeMap<String, String>)>,
    ids: BTreeMap<(String, String), Time>,
    now: Time,
    /// What was said, by rule and group.
    pub rows: BTreeMap<(String, String), Vec<Row>>,
}

impl Model {
    pub fn new(now: Time) -> Self {
        Self { now, ..Self::default() }
    }

    pub fn step(&mut self, step: &Step) {
        assert_eq!((step.began.0 % TENTH, step.ended.0 % TENTH), (0, 0), "off the grid");
        let mut at = self.now.0 + TENTH;
        while at < step.began.0 {
            self.evaluate(Time(at), true);
            at += TENTH;
        }
        // Windows that are due when an edit comes are judged by the rules of the edit that look through them.
        let asked =
            if step.began > self.now { self.asked(step.began, true) } else { BTreeSet::new() };
        let mut due: BTreeSet<(usize, String)> =
            asked.into_iter().map(|(name, text)| (self.alike[&name], text)).collect();
        for entry in step.entries.iter().filter(|entry| entry.kind == EntryKind::Settings) {
            let settings = serde_json::from_slice(&entry.payload).unwrap();
            for (part, of) in self.edit(&settings, step.began) {
                let texts: Vec<_> = due.iter().filter(|it| it.0 == of).cloned().collect();
                due.extend(texts.into_iter().map(|(_, text)| (part, text)));
            }
        }
        // What begins anew with it is owed nothing yet.
        let is_due = |((name, text), group): &(&(String, String), &Group)| {
            group.armed < step.began && due.contains(&(self.alike[name], text.clone()))
        };
        let due = self.groups.iter().filter(is_due).map(|(of, _)| of.clone()).collect();
        self.judge(&due, step.began);
        for entry in &step.entries {
            if let EntryKind::Metric(_) = entry.kind {
                self.sample(&serde_json::from_slice(&entry.payload).unwrap(), entry.time);
            }
        }
        // What was due when the step began was looked at before its samples, and is not again.
        self.evaluate(step.ended, step.ended > step.began);
        self.now = step.ended;
    }

    fn sample(&mut self, sent: &Sent<'_>, arrived: Time) {
        let time = sent.ts.map_or(arrived, Time::from_millis);
        let series = serde_json::to_string(&sent.labels).unwrap();
        // A series is known from its first sample on, even if that one is refused.
        self.known.insert((sent.name.clone(), sent.labels.clone()));
        let rules = self.rules.values().filter(|rule| rule.metric == sent.name);
        let groups: Vec<_> = rules
            .filter_map(|rule| Some((rule.name.clone(), group_of(rule, &sent.labels)?)))
            .collect();
        for of in &groups {
            let rule = &self.rules[&of.0];
            let begun = self.begun.get(&of.0).copied();
            self.groups.entry(of.clone()).or_insert_with(|| Group::since(rule, arrived, begun));
        }
        if time.0 > arrived.0 + Span::from_secs(300).0 {
            return;
        }
        if let Some(id) = &sent.id {
            let id = (sent.name.clone(), id.clone());
            let known =
                self.ids.get(&id).is_some_and(|at| arrived.since(*at) < Span::from_secs(120));
            if known {
                return;
            }
            self.ids.insert(id, arrived);
        }
        for of in groups {
            let rule = &self.rules[&of.0];
            let group = self.groups.get_mut(&of).unwrap();
            if pane(rule, time) <= edge(rule, arrived) || time < group.from {
                continue;
            }
            (group.last, group.touched) = (Some(arrived), true);
            group.samples.push(Kept {
                arrived,
                time,
                value: sent.val.get().parse().unwrap(),
                series: series.clone(),
                counter: sent.kind == "counter",
            });
        }
    }

    fn evaluate(&mut self, now: Time, dues: bool) {
        let mut asked = self.asked(now, dues);
        let touched = self
            .groups
            .iter_mut()
            .filter_map(|(of, group)| std::mem::take(&mut group.touched).then(|| of.clone()));
        asked.extend(touched);
        let asked = self.together(asked);
        self.judge(&asked, now);
    }

    /// Who is to be looked at for time's sake alone.
    fn asked(&mut self, now: Time, dues: bool) -> BTreeSet<(String, String)> {
        let mut asked = BTreeSet::new();
        for (of, group) in &mut self.groups {
            let rule = &self.rules[&of.0];
            let turned = group.turn(rule, now);
            if turned || (dues && group.is_due(rule, now)) {
                asked.insert(of.clone());
            }
        }
        asked
    }

    /// Rules that see the same of a label set are looked at together. That shows where what is seen has changed and
    /// nobody's clock ran out by it: there may be enough evidence to act, now that the window holds fewer panes.
    fn together(&self, asked: BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
        if asked.is_empty() {
            return asked;
        }
        let seen: BTreeSet<_> = asked.iter().map(|(name, text)| (self.alike[name], text)).collect();
        let all =
            self.groups.keys().filter(|(name, text)| seen.contains(&(self.alike[name], text)));
        all.cloned().collect()
    }

    fn judge(&mut self, asked: &BTreeSet<(String, String)>, now: Time) {
        let mut reporting: BTreeMap<String, Time> = BTreeMap::new();
        for ((rule, _), group) in &self.groups {
            let newest = reporting.entry(rule.clone()).or_default();
            *newest = (*newest).max(group.last.unwrap_or_default());
        }
        for of in asked {
            let Some(group) = self.groups.get_mut(of) else { continue };
            let rule = &self.rules[&of.0];
            let seen = group.see(rule, reporting[&of.0], now);
            let mut rows = Vec::new();
            group.alert.evaluate(rule, &seen, &mut rows);
            if !rows.is_empty() {
                self.rows.entry(of.clone()).or_default().extend(rows);
            }
        }
    }
}

/// The group of a rule that a series with these labels falls into, if the rule looks at it.
fn group_of(rule: &Rule, labels: &BTreeMap<String, String>) -> Option<String> {
    if !rule.matchers.iter().all(|it| looks_at(it, labels)) {
        return None;
    }
    let label = |name: &String| (name.clone(), labels.get(name).cloned().unwrap_or_default());
    let group: BTreeMap<_, _> = rule.group_by.iter().map(label).collect();
    Some(serde_json::to_string(&group).unwrap())
}

/// Whether a rule with this matcher looks at a series; patterns here are texts between bars.
fn looks_at(matcher: &Matcher, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&matcher.label).map_or("", String::as_str);
    let wanted = matcher.value.as_str();
    match matcher.op {
        Operator::Equal => value == wanted,
        Operator::NotEqual => value != wanted,
        Operator::Matches => wanted.split('|').any(|text| text == value),
        Operator::MatchesNot => wanted.split('|').all(|text| text != value),
    }
}
