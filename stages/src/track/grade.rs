//! Grades: the severities of one alert, where its rule has several.
//!
//! The first grade is the alert itself. Each further one goes up and down the same table with its own bound, as if it
//! were a rule of its own with the same clocks: it counts when that rule would be firing, recovering or flapping. So
//! `for`, `recover`, `keep_firing_for`, gaps and flapping mean to a change of severity what they mean to an alert,
//! and there is still one alert and one incident. The severity is that of the highest grade that counts.

use super::axis::{self, Clocks, Event, State};
use super::{Alert, FLAP_FIRINGS, note_firing, recent};
use crate::judge::{self, Verdict};
use crate::settings::{Compare, Rule};
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// A grade above the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Where it stands.
    pub state: State,
    /// When it fired, as for an alert.
    pub firings: Vec<Time>,
}

impl Rung {
    /// Lets an event happen to it.
    fn act(&mut self, event: Event, clocks: &Clocks) {
        let flaps = recent(&self.firings, clocks.now, clocks.flap_window) + 1 >= FLAP_FIRINGS;
        let clocks = Clocks { flaps, ..*clocks };
        // As for an alert: flapping that ends leaves an ordinary firing one to the same evaluation.
        for _ in 0..2 {
            let old = self.state;
            self.state = axis::step(old, event, &clocks).0;
            if old.opened().is_none() && self.state.opened().is_some() {
                note_firing(&mut self.firings, clocks.now);
            }
            if !old.is_flapping() || self.state.is_flapping() {
                break;
            }
            self.firings.clear();
        }
    }
}

impl Alert {
    /// The grade whose severity the alert has: 0 for the first.
    pub fn grade(&self) -> usize {
        let counts = |rung: &Rung| rung.state.opened().is_some();
        self.above.iter().rposition(counts).map_or(0, |at| at + 1)
    }

    /// Takes an evaluation at the grades above the first.
    pub(super) fn climb(&mut self, verdict: Verdict, rule: &Rule, seen: (Option<f64>, Clocks)) {
        let (value, clocks) = seen;
        self.fit(rule);
        for (at, rung) in self.above.iter_mut().enumerate() {
            rung.act(judge::at_grade(rule, at + 1, verdict, value).into(), &clocks);
        }
    }

    /// Lets an event that is no evaluation happen to them.
    pub(super) fn shake(&mut self, event: Event, clocks: &Clocks) {
        self.above.iter_mut().for_each(|rung| rung.act(event, clocks));
    }

    /// Where the alert is over, no grade of it goes on.
    pub(super) fn step_down(&mut self) {
        if self.state.opened().is_none() {
            for rung in self.above.iter_mut().filter(|rung| rung.state.opened().is_some()) {
                if rung.state.is_flapping() {
                    rung.firings.clear();
                }
                rung.state = State::Ok;
            }
        }
    }

    /// The rule has other grades from now on. Each goes on from where the one of its severity stood, by its new bound. The
    /// alert keeps its severity where the rule still has it, else the worst of those that ask for no more than it had
    /// reached: an edit alone makes nothing better or worse. What it has reached by then shows in the next evaluation.
    /// Whether an open one has another severity by that.
    pub fn regrade(&mut self, before: &Rule, after: &Rule) -> bool {
        if before.grades == after.grades {
            return false;
        }
        let severity = before.severity_at(self.grade()).to_owned();
        let kept = self.kept_grade(before, after).unwrap_or(0);
        let goes_on = |at: usize| self.standing_of(before, after.severity_at(at));
        self.above = (1..after.grades.len()).map(goes_on).collect();
        if let Some(opened) = self.state.opened() {
            for (at, rung) in (1..).zip(&mut self.above) {
                match (rung.state.opened(), at <= kept) {
                    (None, true) => rung.state = State::Firing { opened },
                    (Some(_), false) => *rung = Rung::default(),
                    (Some(_), true) | (None, false) => {}
                }
            }
        }
        self.state.opened().is_some() && after.severity_at(self.grade()) != severity
    }

    /// The grade of `after` that the alert is to have, by what it has of `before`.
    fn kept_grade(&self, before: &Rule, after: &Rule) -> Option<usize> {
        let severity = before.severity_at(self.grade());
        let reached = judge::limit_at(before, self.grade());
        let named = (0..after.grades.len()).find(|at| after.severity_at(*at) == severity);
        let milder = (0..after.grades.len()).rfind(|at| {
            let bound = judge::limit_at(after, *at);
            match after.compare {
                Compare::Greater | Compare::GreaterEqual => bound <= reached,
                Compare::Less | Compare::LessEqual => bound >= reached,
                // Such rules have one severity.
                Compare::Equal | Compare::NotEqual => false,
            }
        });
        named.or(milder)
    }

    /// Where the grade of a severity stands; one that the rule has not begins.
    fn standing_of(&self, rule: &Rule, severity: &str) -> Rung {
        let grades = 0..rule.grades.len().max(1);
        match grades.into_iter().find(|at| rule.severity_at(*at) == severity) {
            None => Rung::default(),
            Some(0) => Rung { state: self.state, firings: self.firings.clone() },
            Some(at) => self.above.get(at - 1).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn freeze_grades(&mut self, hole: Span) {
        for rung in &mut self.above {
            rung.state = rung.state.frozen_over(hole);
            rung.firings.iter_mut().for_each(|firing| *firing = firing.plus(hole));
        }
    }

    fn fit(&mut self, rule: &Rule) {
        let wanted = rule.grades.len().saturating_sub(1);
        if self.above.len() != wanted {
            let mut above = std::mem::take(&mut self.above).into_vec();
            above.resize_with(wanted, Rung::default);
            self.above = above.into_boxed_slice();
        }
    }
}
