//! What was said as lines of a test, and the comparison with the lines that were expected.

use crate::case::{Difference, Missing};
use crate::said::{Said, Spoken};
use serde::Serialize;
use serde_json::json;
use settings::cases::{About, Expected, group_text};
use stages::series::Labels;
use stages::time::{Span, Time};
use stages::wire::{
    AlertState, Axis, DataFlag, Intent, Reason, RollbackState, ShardEvent, Transition,
};
use std::collections::BTreeMap;

/// A line as it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// When, after the beginning.
    pub at: Span,
    /// Its fields, in the order they are shown.
    pub fields: Vec<(&'static str, String)>,
}

impl Found {
    fn new(time: Time, start: Time, fields: Vec<(&'static str, String)>) -> Self {
        Self { at: time.since(start), fields }
    }

    /// Whether it is what was expected.
    fn fits(&self, expected: &Expected) -> bool {
        (expected.at.0..=expected.at.1).contains(&self.at) && self.unlike(expected) == 0
    }

    /// How many of the fields that matter are other than expected.
    fn unlike(&self, expected: &Expected) -> usize {
        let other = |(name, text): &&(&str, String)| self.field(name) != Some(text.as_str());
        expected.fields.iter().filter(other).count()
    }

    /// A field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    }
}

/// Holds what was said against the lines of one list.
pub(crate) fn hold(
    about: About,
    rows: &[Expected],
    spoken: &[Spoken],
    start: Time,
) -> Option<Difference> {
    let difference = match about {
        About::Alerts => states(rows, spoken, start),
        _ => {
            let found = spoken.iter().filter_map(|one| line(about, one, start)).collect();
            pair(about, rows, found)
        }
    };
    (!difference.missing.is_empty() || !difference.surplus.is_empty()).then_some(difference)
}

/// Each expected line takes the first found one that fits it: the order of what happens in one instant is nobody's business.
fn pair(about: About, rows: &[Expected], mut found: Vec<Found>) -> Difference {
    let (mut missing, mut same) = (Vec::new(), Vec::new());
    for row in rows {
        match found.iter().position(|one| one.fits(row)) {
            Some(at) => same.push(found.remove(at)),
            None => missing.push(row.clone()),
        }
    }
    let near = |row: &Expected, found: &mut Vec<Found>| {
        let distance = |one: &Found| {
            let early = row.at.0.0.saturating_sub(one.at.0).max(0);
            let late = one.at.0.saturating_sub(row.at.1.0).max(0);
            (one.unlike(row), early.max(late))
        };
        let alike =
            found.iter().enumerate().filter(|(_, one)| one.unlike(row) < row.fields.len().max(1));
        let nearest = alike.min_by_key(|(_, one)| distance(one)).map(|(at, _)| at);
        nearest.map(|at| found.remove(at))
    };
    let missing = missing.into_iter().map(|expected| {
        let instead = near(&expected, &mut found);
        Missing { expected, instead }
    });
    let missing = missing.collect();
    Difference { about, missing, surplus: found, same }
}

/// Where alerts are at the times that are asked for.
fn states(rows: &[Expected], spoken: &[Spoken], start: Time) -> Difference {
    let mut difference = Difference {
        about: About::Alerts,
        missing: Vec::new(),
        surplus: Vec::new(),
        same: Vec::new(),
    };
    for row in rows {
        let at = start.plus(row.at.1);
        let rule =
            row.fields.iter().find(|(name, _)| *name == "rule").map(|(_, rule)| rule.as_str());
        let mut alerts = alerts_at(spoken, rule.unwrap_or_default(), at, start);
        if let Some((_, group)) = row.fields.iter().find(|(name, _)| *name == "group") {
            alerts.retain(|found| found.field("group") == Some(group));
        }
        match alerts.iter().find(|found| found.unlike(row) > 0) {
            Some(other) => difference
                .missing
                .push(Missing { expected: row.clone(), instead: Some(other.clone()) }),
            None => difference.same.extend(alerts),
        }
    }
    difference
}

/// All alerts of a rule as they are at a time; one that never moved is unknown.
fn alerts_at(spoken: &[Spoken], rule: &str, at: Time, start: Time) -> Vec<Found> {
    let mut newest: BTreeMap<&Labels, &Transition> = BTreeMap::new();
    for moved in spoken.iter().filter_map(Spoken::transition) {
        if moved.rule == rule && moved.time <= at {
            newest.insert(&moved.group, moved);
        }
    }
    let state = |group: &Labels, axis: Axis, data: DataFlag, severity: &str, flapping: bool| {
        let fields = vec![
            ("rule", rule.to_owned()),
            ("group", group_of(group)),
            ("state", word(&axis)),
            ("data", word(&data)),
            ("severity", severity.to_owned()),
            ("flapping", flapping.to_string()),
        ];
        Found::new(at, start, fields)
    };
    if newest.is_empty() {
        return vec![state(&Labels::new(), Axis::Unknown, DataFlag::NoData, "", false)];
    }
    let known = newest.into_values();
    known.map(|one| state(&one.group, one.to, one.data, &one.severity, one.flapping)).collect()
}

/// Something said as a line of a list; none where it belongs to another.
pub(crate) fn line(about: About, spoken: &Spoken, start: Time) -> Option<Found> {
    match (about, &spoken.said) {
        (About::Transitions, Said::Shard(ShardEvent::Transition(moved)))
            if moved.from != moved.to =>
        {
            let fields = vec![
                ("rule", moved.rule.clone()),
                ("group", group_of(&moved.group)),
                ("from", word(&moved.from)),
                ("to", word(&moved.to)),
                ("cause", word(&moved.cause)),
                ("data", word(&moved.data)),
                ("severity", moved.severity.clone()),
            ];
            Some(Found::new(moved.time, start, fields))
        }
        (About::Incidents, Said::Alert(event)) => {
            let quiet =
                [AlertState::Pending, AlertState::Calm, AlertState::Recovering, AlertState::Notice];
            if quiet.contains(&event.state) {
                return None;
            }
            let mut told = event.notified.clone();
            told.sort();
            let fields = vec![
                ("rule", event.rule.clone()),
                ("group", group_of(&event.group)),
                ("state", word(&event.state)),
                ("severity", event.severity.clone()),
                ("told", told.join(", ")),
                ("untold", event.untold.clone().unwrap_or_default()),
            ];
            Some(Found::new(event.time, start, fields))
        }
        (About::Messages, Said::Message(intent)) => Some(message(intent, start)),
        (About::Pages, Said::Message(intent)) if pages(intent.reason) => {
            Some(message(intent, start))
        }
        (About::Rollbacks, Said::Rollback(event)) => {
            let between =
                [RollbackState::Claimed, RollbackState::Running, RollbackState::Verifying];
            if between.contains(&event.state) {
                return None;
            }
            let fields = vec![
                ("plan", event.plan.clone()),
                ("rule", event.rule.clone()),
                ("state", word(&event.state)),
                ("why", event.why.map(|why| word(&why)).unwrap_or_default()),
            ];
            Some(Found::new(event.time, start, fields))
        }
        _ => None,
    }
}

/// Whether a message wants somebody to do something.
pub(crate) fn pages(reason: Reason) -> bool {
    match reason {
        Reason::Fired
        | Reason::Reminded
        | Reason::SeverityChanged
        | Reason::ActionResult
        | Reason::NotRecovered
        | Reason::Flapping => true,
        Reason::Resolved | Reason::Acknowledged | Reason::Digest | Reason::Notice => false,
    }
}

fn message(intent: &Intent, start: Time) -> Found {
    let fields = vec![
        ("to", intent.receiver.clone()),
        ("rule", intent.rule.clone()),
        ("group", group_of(&intent.group)),
        ("reason", word(&intent.reason)),
        ("severity", intent.severity.clone()),
        ("message", intent.summary.clone()),
    ];
    Found::new(intent.time, start, fields)
}

pub(crate) fn group_of(labels: &Labels) -> String {
    group_text(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// An enum of the wire as its word.
pub(crate) fn word(value: &impl Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}
