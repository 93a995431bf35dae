//! An alert of several severities: one life for each of them, as if it were a rule of its own.

use super::Row;
use super::alert::{Alert, Seen};
use stages::settings::{Compare, Grade, Rule, Stat};
use stages::time::Time;
use stages::wire::{Axis, Cause};

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

    /// The rule has other clocks and bounds from now on. If it has other grades, an open alert keeps its severity
    /// where there still is one of this name, else the worst of those that ask for no more than it had reached.
    /// Whether it has another severity by that.
    pub fn follow(&mut self, old: &Rule, new: &Rule) -> bool {
        let own = above(new);
        if old.grades == new.grades {
            self.above.iter_mut().zip(own).for_each(|((rule, _), own)| *rule = own);
            return false;
        }
        let severity_of = |rule: &Rule, at: usize| {
            rule.grades.get(at).map_or(rule.severity.clone(), |grade| grade.severity.clone())
        };
        let severity = severity_of(old, self.worst());
        let reached = old.grades.get(self.worst()).map_or(bound(old), |grade| grade.bound);
        let kept = new.grades.iter().position(|grade| grade.severity == severity).or_else(|| {
            new.grades.iter().rposition(|grade| match new.compare {
                Compare::Less | Compare::LessEqual => grade.bound >= reached,
                _ => grade.bound <= reached,
            })
        });
        self.above = own.map(|own| (own, Alert::default())).collect();
        if !self.first.is_open() {
            return false;
        }
        for (_, alert) in self.above.iter_mut().take(kept.unwrap_or_default()) {
            *alert = Alert::firing();
        }
        severity != severity_of(new, self.worst())
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
