//! What rules mean, the long way: every sample is kept, every window is added up anew at every tenth of a second.

mod alert;
mod edits;
mod graded;
pub mod joint;
mod numbers;

use alert::Seen;
use graded::Graded;
use serde::Deserialize;
use serde_json::value::RawValue;
use stages::log::{EntryKind, Step};
use stages::matcher::{Matcher, Operator};
use stages::settings::{NoData, Rule, Stat};
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
    /// Whether both say the same; roots, slopes and levels up to rounding, percentiles up to their bucket.
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
            && near(one.level, two.level, 1e-9)
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
pub struct Model {
    rules: BTreeMap<String, Rule>,
    /// Since when rules see what they see, where an edit had them begin anew.
    begun: BTreeMap<String, Time>,
    /// By rule and labels.
    groups: BTreeMap<(String, String), Group>,
    /// Series by metric, and their labels.
    known: BTreeSet<(String, BTreeMap<String, String>)>,
    ids: BTreeMap<(String, String), Time>,
    now: Time,
    /// What was said, by rule and group.
    pub rows: BTreeMap<(String, String), Vec<Row>>,
}

#[derive(Clone, Debug)]
struct Group {
    armed: Time,
    /// Samples of an earlier time of their own do not count.
    from: Time,
    last: Option<Time>,
    samples: Vec<Kept>,
    /// Those that came too late for the window; a history may want them.
    older: Vec<Kept>,
    alert: Graded,
    touched: bool,
    /// Samples in the window, when it was last looked at, and the sum of their places.
    inside: (usize, usize),
}

impl Model {
    pub fn new(now: Time) -> Self {
        let (rules, begun, groups) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (known, ids, rows) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { rules, begun, groups, known, ids, now, rows }
    }

    pub fn step(&mut self, step: &Step) {
        assert_eq!((step.began.0 % TENTH, step.ended.0 % TENTH), (0, 0), "off the grid");
        let mut at = self.now.0 + TENTH;
        while at < step.began.0 {
            self.evaluate(Time(at), true);
            at += TENTH;
        }
        // What is due when an edit comes is judged by the rules of the edit.
        let mut due =
            if step.began > self.now { self.asked(step.began, true) } else { BTreeSet::new() };
        for entry in step.entries.iter().filter(|entry| entry.kind == EntryKind::Settings) {
            self.edit(&serde_json::from_slice(&entry.payload).unwrap(), step.began);
        }
        // What begins anew with it is owed nothing yet.
        due.retain(|of| self.groups.get(of).is_some_and(|group| group.armed < step.began));
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

/// Width of a rule's panes: the smallest of the list that is at least a sixtieth of the window.
fn width(rule: &Rule) -> i64 {
    let widths = [100, 200, 500, 1_000, 2_000, 5_000, 10_000].map(|millis| millis * 1_000_000);
    widths.into_iter().find(|width| width * 60 >= rule.window.0).unwrap()
}

/// Start of the pane a moment lies in.
fn pane(rule: &Rule, time: Time) -> i64 {
    time.0.div_euclid(width(rule)) * width(rule)
}

/// Panes that start later than this are in the window.
fn edge(rule: &Rule, now: Time) -> i64 {
    now.0 - rule.window.0 - width(rule)
}

impl Group {
    fn new(rule: &Rule, armed: Time) -> Self {
        let alert = Graded::of(rule);
        Self {
            armed,
            from: Time(i64::MIN),
            last: None,
            samples: Vec::new(),
            older: Vec::new(),
            alert,
            touched: true,
            inside: (0, 0),
        }
    }

    /// One that sees only what came from `begun` on.
    fn since(rule: &Rule, armed: Time, begun: Option<Time>) -> Self {
        Self { from: begun.unwrap_or(Time(i64::MIN)), ..Self::new(rule, armed) }
    }

    /// Since when there is silence.
    fn silent_since(&self) -> Time {
        self.last.map_or(self.armed, |last| last.max(self.armed))
    }

    /// Whether samples have come into the window or left it.
    fn turn(&mut self, rule: &Rule, now: Time) -> bool {
        let (edge, width) = (edge(rule, now), width(rule));
        let mut inside = (0, 0);
        for (at, kept) in self.samples.iter().enumerate() {
            let start = kept.time.0 - kept.time.0.rem_euclid(width);
            if start > edge && start <= now.0 {
                inside = (inside.0 + 1, inside.1 + at);
            }
        }
        std::mem::replace(&mut self.inside, inside) != inside
    }

    /// Whether a clock runs out at `now`. Siblings that come and go are no reason to look at a silent group.
    fn is_due(&self, rule: &Rule, now: Time) -> bool {
        let silent = now.0 - self.silent_since().0;
        // Only among siblings there is something to see later on.
        let again = !rule.group_by.is_empty() && silent > 0 && silent % rule.window.0 == 0;
        let looks = self.inside.0 == 0 && (again || silent == rule.window.0);
        let missing = self.alert.first.data == DataFlag::MissingSeries;
        (looks && !(missing && silent > rule.window.0 * 2))
            || self.last.is_some_and(|last| last.plus(rule.fresh_for) == now)
            || (self.alert.first.is_kept()
                && rule.no_data == NoData::Keep
                && silent == rule.keep_max.0)
            || rule.absent.is_some_and(|absent| silent == absent.0)
            || self.alert.is_due(rule, now)
    }

    /// What is to be seen at `now`.
    fn see(&self, rule: &Rule, reporting: Time, now: Time) -> Seen {
        let inside = |kept: &&Kept| {
            let start = pane(rule, kept.time);
            start > edge(rule, now) && start <= now.0
        };
        let window: Vec<&Kept> = self.samples.iter().filter(inside).collect();
        let silent = self.silent_since();
        let fresh = self.last.is_some_and(|last| now.0 - last.0 < rule.fresh_for.0);
        // Absence goes by when samples came, not by what they say of themselves.
        let gone = window.is_empty() && now.0 - silent.0 >= rule.window.0;
        let missing = gone
            && !rule.group_by.is_empty()
            && rule.absent.is_none()
            && now.0 - silent.0 >= 2 * rule.window.0
            && now.0 - reporting.0 < rule.window.0;
        let data = match (window.is_empty(), fresh) {
            (false, false) => DataFlag::Stale,
            (false, true) if (window.len() as u64) < rule.min_samples => DataFlag::Insufficient,
            (false, true) => DataFlag::Fresh,
            (true, _) if missing => DataFlag::MissingSeries,
            (true, _) if gone || self.last.is_none() => DataFlag::NoData,
            (true, true) => DataFlag::Insufficient,
            (true, false) => DataFlag::Stale,
        };
        let kept = gone && !missing && rule.no_data == NoData::Keep && rule.absent.is_none();
        Seen {
            now,
            data,
            gone: gone && !missing,
            absent_for: Span(now.0 - silent.0),
            reported: self.last.is_some(),
            overdue: kept && now.0 - silent.0 >= rule.keep_max.0,
            evidence: self.evidence(rule, &window, now),
            said: None,
        }
    }

    /// What the window holds at `now`.
    fn evidence_at(&self, rule: &Rule, now: Time) -> Evidence {
        let inside = |kept: &&Kept| {
            let start = pane(rule, kept.time);
            start > edge(rule, now) && start <= now.0
        };
        let window: Vec<&Kept> = self.samples.iter().filter(inside).collect();
        self.evidence(rule, &window, now)
    }

    fn evidence(&self, rule: &Rule, window: &[&Kept], now: Time) -> Evidence {
        let values: Vec<f64> = window.iter().map(|kept| kept.value).collect();
        let some = |value: f64| (!values.is_empty()).then_some(value);
        let count = values.len() as u64;
        let panes: BTreeSet<i64> = window.iter().map(|kept| pane(rule, kept.time)).collect();
        let series: BTreeSet<&str> = window.iter().map(|kept| kept.series.as_str()).collect();
        let bucketed = rule.stat.needs_histogram() && !values.is_empty();
        let first = edge(rule, now).div_euclid(width(rule)) * width(rule) + width(rule);
        let began = self.began(rule, now).max(first);
        Evidence {
            value: numbers::statistic(rule, window),
            level: numbers::level(&self.samples),
            threshold: match rule.stat {
                Stat::Above | Stat::Below => rule.share.unwrap(),
                _ => rule.threshold,
            },
            count,
            mean: some(numbers::sum(&values) / count as f64),
            min: values.iter().copied().reduce(f64::min),
            max: values.iter().copied().reduce(f64::max),
            percentiles: bucketed
                .then(|| [50.0, 95.0, 99.0].map(|q| numbers::percentile(&values, q))),
            window_start: Time(first).max(self.from),
            window_end: now,
            panes: match values.is_empty() {
                true => 0,
                false => ((pane(rule, now) - began) / width(rule) + 1) as u32,
            },
            panes_filled: panes.len() as u32,
            series: series.len() as u32,
            log_range: (0, 0),
            terms: Vec::new(),
        }
    }

    /// First pane since the window was last empty.
    fn began(&self, rule: &Rule, now: Time) -> i64 {
        // In the order in which they began to count: when they came, or when their pane began.
        let counts = |kept: &Kept| kept.arrived.0.max(pane(rule, kept.time));
        let mut counted: Vec<&Kept> =
            self.samples.iter().filter(|kept| pane(rule, kept.time) <= now.0).collect();
        counted.sort_by_key(|kept| (counts(kept), kept.arrived.0 >= pane(rule, kept.time)));
        let (mut began, mut newest) = (i64::MAX, i64::MIN);
        for kept in counted {
            let start = pane(rule, kept.time);
            let empty = newest <= edge(rule, Time(counts(kept)));
            began = if empty { start } else { began.min(start) };
            newest = newest.max(start);
        }
        began
    }
}
