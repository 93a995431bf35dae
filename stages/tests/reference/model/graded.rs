//! An alert of several severities: one life for each of them, as if it were a rule of its own.

use super::Row;
use super::alert::{Alert, Seen};
use stages::settings::{Compare, Grade, Rule, Stat};
use stages::time::Time;
use stages::wire::{Axis, Cause};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Graded {
    pub first: Alert,
    above: Vec<(Rule, Alert)>,
}

impl Graded {
    pub fn of(rule: &Rule) -> Self {
        let above = above(rule).map(|own| (own, Alert::default())).collect();
        Self { first: Alert::default(), above }
    }

    /// Whether a clock of its own runs out at `now`.
    pub fn is_due(&self, rule: &Rule, now: Time) -> bool {
        self.first.due(rule) == Some(now)
            || self.above.iter().any(|(rule, alert)| alert.due(rule) == Some(now))
    }

    pub fn evaluate(&mut self, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        let before = self.worst();
        for (rule, alert) in &mut self.above {
            let mut seen = seen.clone();
            seen.evidence.threshold = rule.threshold;
            // What the value says, it says anew at every bound.
            if matches!(seen.said, Some(Some((_, Cause::Breach | Cause::NoBreach)))) {
                seen.said = None;
            }
            alert.evaluate(rule, &seen, false, &mut Vec::new());
        }
        self.first.evaluate(rule, seen, before != self.worst(), rows);
        let after = self.worst();
        if !self.first.is_open() {
            self.above.iter_mut().for_each(|(_, alert)| alert.end());
        }
        dress(rule, (before, after), rows);
    }

    /// The rule is edited, and sees what it saw.
    pub fn change(&mut self, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        let grade = self.worst();
        self.first.change(seen, rows);
        dress(rule, (grade, grade), rows);
    }

    /// The rule is edited, and sees other panes from now on.
    pub fn rebase(&mut self, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        let before = self.worst();
        self.above.iter_mut().for_each(|(_, alert)| alert.rebase(seen, &mut Vec::new()));
        self.first.rebase(seen, rows);
        dress(rule, (before, self.worst()), rows);
    }

    /// The rule is gone, or what it is about.
    pub fn close(&mut self, cause: Cause, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        let before = self.worst();
        self.first.close(cause, seen, rows);
        dress(rule, (before, before), rows);
    }

    /// The rule has other clocks and bounds from now on. If it has other grades, each lives on by the name of its
    /// severity, as a rule of its own would. An open alert keeps its severity where there still is one of this name, else
    /// the worst of those that ask for no more than it had reached. Whether it has another severity by that.
    pub fn follow(&mut self, old: &Rule, new: &Rule) -> bool {
        if old.grades == new.grades {
            self.above.iter_mut().zip(above(new)).for_each(|((rule, _), own)| *rule = own);
            return false;
        }
        let severities = |rule: &Rule| -> Vec<String> {
            let all = rule.grades.iter().map(|grade| grade.severity.clone());
            if rule.grades.is_empty() { vec![rule.severity.clone()] } else { all.collect() }
        };
        let (before, after) = (severities(old), severities(new));
        let severity = before[self.worst()].clone();
        let reached = old.grades.get(self.worst()).map_or(bound(old), |grade| grade.bound);
        let kept = new.grades.iter().position(|grade| grade.severity == severity).or_else(|| {
            new.grades.iter().rposition(|grade| match new.compare {
                Compare::Less | Compare::LessEqual => grade.bound >= reached,
                _ => grade.bound <= reached,
            })
        });
        let lives = std::iter::once(&self.first).chain(self.above.iter().map(|(_, alert)| alert));
        let lives: BTreeMap<String, Alert> = before.into_iter().zip(lives.cloned()).collect();
        let own = above(new).zip(&after[1..]);
        self.above =
            own.map(|(own, name)| (own, lives.get(name).cloned().unwrap_or_default())).collect();
        if !self.first.is_open() {
            return false;
        }
        for (at, (_, alert)) in (1..).zip(&mut self.above) {
            // An edit alone makes nothing better or worse.
            let counts = at <= kept.unwrap_or_default();
            if counts && !alert.is_open() {
                alert.fire_by_hand();
            } else if !counts && alert.is_open() {
                *alert = Alert::default();
            }
        }
        severity != after[self.worst()]
    }

    fn worst(&self) -> usize {
        self.above.iter().rposition(|(_, alert)| alert.is_open()).map_or(0, |at| at + 1)
    }
}

/// The grades above the first, each as a rule of its own.
fn above(rule: &Rule) -> impl Iterator<Item = Rule> {
    let own = |grade: &Grade| {
        let recover = rule.recover.map(|back| grade.bound + (back - rule.threshold));
        Rule { threshold: grade.bound, recover, ..rule.clone() }
    };
    rule.grades.iter().skip(1).map(own)
}

fn bound(rule: &Rule) -> f64 {
    match rule.stat {
        Stat::Above | Stat::Below => rule.share.unwrap(),
        _ => rule.threshold,
    }
}

/// What a rule's rows say of it, at the grades before and after.
fn dress(rule: &Rule, (before, after): (usize, usize), rows: &mut [Row]) {
    for row in rows {
        row.shadow = !rule.mode.is_live();
        row.severity.clone_from(&rule.severity);
        let open = matches!(row.to, Axis::Firing | Axis::Recovering);
        let Some(grade) = rule.grades.get(if open { after } else { before }) else { continue };
        row.severity.clone_from(&grade.severity);
        row.evidence.threshold = grade.bound;
    }
}
