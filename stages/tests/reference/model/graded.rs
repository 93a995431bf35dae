//! An alert of several severities: one life for each of them, as if it were a rule of its own.

use super::Row;
use super::alert::{Alert, Seen};
use stages::settings::{Grade, Rule};
use stages::time::Time;
use stages::wire::{Axis, Cause};

#[derive(Clone, Debug, Default)]
pub struct Graded {
    pub first: Alert,
    above: Vec<(Rule, Alert)>,
}

impl Graded {
    pub fn of(rule: &Rule) -> Self {
        let own = |grade: &Grade| {
            let recover = rule.recover.map(|back| grade.bound + (back - rule.threshold));
            (Rule { threshold: grade.bound, recover, ..rule.clone() }, Alert::default())
        };
        Self { first: Alert::default(), above: rule.grades.iter().skip(1).map(own).collect() }
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
        for row in rows {
            let open = matches!(row.to, Axis::Firing | Axis::Recovering);
            let Some(grade) = rule.grades.get(if open { after } else { before }) else { continue };
            row.severity.clone_from(&grade.severity);
            row.evidence.threshold = grade.bound;
        }
    }

    fn worst(&self) -> usize {
        self.above.iter().rposition(|(_, alert)| alert.is_open()).map_or(0, |at| at + 1)
    }
}
