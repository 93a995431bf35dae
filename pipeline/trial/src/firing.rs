//! Which alerts fire at a time, as test files of `promtool` ask it: by name, with labels and filled-in annotations.

use crate::case::{Difference, Missing};
use crate::found::Found;
use crate::said::Spoken;
use settings::cases::{About, Expected, UNSAID, firing_text};
use stages::desk::template::{Story, fill};
use stages::series::Labels;
use stages::settings::{Rule, Settings};
use stages::time::Time;
use stages::wire::{Axis, Reason, Transition};
use std::collections::BTreeMap;

/// Holds each question against what fires then; the values in texts are those of the alert's last move.
pub(crate) fn hold(
    rows: &[Expected],
    (spoken, start): (&[Spoken], Time),
    settings: &Settings,
) -> Option<Difference> {
    let mut difference = Difference {
        about: About::Firing,
        missing: Vec::new(),
        surplus: Vec::new(),
        same: Vec::new(),
    };
    for row in rows {
        let field = |name| row.fields.iter().find(|(known, _)| *known == name);
        let Some((_, alert)) = field("alert") else { continue };
        let firing = firing(alert, (spoken, start.plus(row.at.1)), settings);
        let fields = vec![("alert", alert.clone()), ("firing", firing)];
        let found = Found { at: row.at.0, fields };
        if found.fields == row.fields {
            difference.same.push(found);
        } else {
            difference.missing.push(Missing { expected: row.clone(), instead: Some(found) });
        }
    }
    (!difference.missing.is_empty()).then_some(difference)
}

fn firing(alert: &str, (spoken, at): (&[Spoken], Time), settings: &Settings) -> String {
    let mut all: Vec<(Labels, Labels)> = Vec::new();
    let named = |rule: &&std::sync::Arc<Rule>| {
        rule.labels.get("alertname").is_some_and(|name| name == alert)
    };
    for rule in settings.rules.iter().filter(named) {
        let mut newest: BTreeMap<&Labels, &Transition> = BTreeMap::new();
        let moves = spoken.iter().filter_map(Spoken::transition);
        for moved in moves.filter(|moved| moved.rule == rule.name && moved.time <= at) {
            newest.insert(&moved.group, moved);
        }
        let fires = |moved: &&Transition| matches!(moved.to, Axis::Firing | Axis::Recovering);
        all.extend(newest.into_values().filter(fires).map(|moved| one(rule, moved)));
    }
    firing_text(all.iter().map(|(labels, texts)| (labels, texts)))
}

/// Labels and texts of an alert.
fn one(rule: &Rule, moved: &Transition) -> (Labels, Labels) {
    let mut labels = rule.labels.clone();
    labels.extend(moved.group.clone());
    if moved.severity != UNSAID {
        labels.insert("severity".to_owned(), moved.severity.clone());
    }
    let story = Story {
        rule,
        group: &moved.group,
        severity: &moved.severity,
        incident: moved.incident.as_deref().unwrap_or_default(),
        reason: Reason::Fired,
        evidence: Some(&moved.evidence),
    };
    (labels, fill(&rule.annotations, &story))
}
