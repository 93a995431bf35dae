//! What a rule's test expects: lists of what is said, each exhaustive where it is written at all, and states of alerts.
//!
//! Every line names a time (`57s`, or `57s..58s`) and as many fields as matter; a field that is left out may be anything.

use super::series::OFFSET;
use crate::fields::{Fields, Said, short};
use crate::hint::did_you_mean;
use crate::problem::{Kind as Fault, Place};
use crate::yaml::{Node, Value};
use stages::settings::Settings;
use stages::time::Span;

/// What a list of expectations is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Where alerts are at a time. Not exhaustive: alerts that are not named may be anywhere.
    Alerts,
    /// Every move of an alert on its axis.
    Transitions,
    /// What happens to incidents: fired, resolved, and so on.
    Incidents,
    /// Messages that want somebody to do something.
    Pages,
    /// All messages.
    Messages,
    /// What is decided and what becomes of rollbacks.
    Rollbacks,
    /// All alerts of one name that are firing at a time, with labels and annotations: of test files of `promtool`.
    Firing,
}

impl About {
    /// Those people write, in the order they are shown.
    pub const ALL: [Self; 6] = [
        Self::Alerts,
        Self::Transitions,
        Self::Incidents,
        Self::Pages,
        Self::Messages,
        Self::Rollbacks,
    ];

    /// The field they stand behind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Transitions => "transitions",
            Self::Incidents => "incidents",
            Self::Pages => "pages",
            Self::Messages => "messages",
            Self::Rollbacks => "rollbacks",
            Self::Firing => "firing",
        }
    }

    const fn fields(self) -> &'static [(&'static str, Form)] {
        use Form::{Flag, Group, Names, Plan, Receiver, Rule, Text, Word};
        match self {
            Self::Alerts => &[
                ("rule", Rule),
                ("group", Group),
                ("state", Word(&AXES)),
                ("data", Word(&DATA)),
                ("severity", Text),
                ("flapping", Flag),
            ],
            Self::Transitions => &[
                ("rule", Rule),
                ("group", Group),
                ("from", Word(&AXES)),
                ("to", Word(&AXES)),
                ("cause", Word(&CAUSES)),
                ("data", Word(&DATA)),
                ("severity", Text),
            ],
            Self::Incidents => &[
                ("rule", Rule),
                ("group", Group),
                ("state", Word(&INCIDENTS)),
                ("severity", Text),
                ("told", Names),
                ("untold", Word(&UNTOLD)),
            ],
            Self::Pages | Self::Messages => &[
                ("to", Receiver),
                ("rule", Rule),
                ("group", Group),
                ("reason", Word(&REASONS)),
                ("severity", Text),
                ("message", Text),
            ],
            Self::Firing => &[("alert", Text), ("firing", Text)],
            Self::Rollbacks => &[
                ("plan", Plan),
                ("rule", Rule),
                ("state", Word(&ROLLBACKS)),
                ("why", Word(&FORBIDDEN)),
            ],
        }
    }
}

/// How a field is written.
#[derive(Clone, Copy)]
enum Form {
    Rule,
    Plan,
    Receiver,
    /// A mapping of labels.
    Group,
    Word(&'static [&'static str]),
    Text,
    Flag,
    /// One name or several.
    Names,
}

/// Places on the axis of an alert, as the wire writes them.
pub const AXES: [&str; 5] = ["unknown", "ok", "pending", "firing", "recovering"];
/// Data flags.
pub const DATA: [&str; 5] = ["fresh", "stale", "insufficient", "no_data", "missing_series"];
/// Why alerts move.
pub const CAUSES: [&str; 17] = [
    "first_data",
    "breach",
    "held",
    "no_breach",
    "recovered",
    "breach_again",
    "stayed_recovered",
    "gap",
    "data",
    "no_data",
    "no_data_ok",
    "absent",
    "present",
    "retired",
    "flapping",
    "rule_changed",
    "rule_removed",
];
/// What happens to incidents.
pub const INCIDENTS: [&str; 8] = [
    "fired",
    "fired_again",
    "severity_changed",
    "no_data",
    "flapping",
    "resolved",
    "closed",
    "acknowledged",
];
/// Why nobody is told.
pub const UNTOLD: [&str; 8] = [
    "inhibited",
    "outside_hours",
    "silenced",
    "repeated",
    "never_told",
    "no_receiver",
    "grouped",
    "folded",
];
/// Why somebody is told.
pub const REASONS: [&str; 10] = [
    "fired",
    "reminded",
    "severity_changed",
    "action_result",
    "not_recovered",
    "resolved",
    "flapping",
    "acknowledged",
    "digest",
    "notice",
];
/// States of a rollback that are decisions or ends; what lies between is not listed.
pub const ROLLBACKS: [&str; 14] = [
    "proposed",
    "awaiting_approval",
    "denied",
    "expired",
    "cancelled",
    "suppressed",
    "commanded",
    "succeeded",
    "failed",
    "timed_out",
    "unknown",
    "recovered",
    "not_recovered",
    "inconclusive",
];
/// What forbids a rollback or ends it.
pub const FORBIDDEN: [&str; 21] = [
    "not_fresh",
    "flapping",
    "silenced",
    "evidence",
    "cooldown",
    "locked",
    "in_flight",
    "fleet_budget",
    "frozen",
    "no_change",
    "unless",
    "dry_run",
    "attempted",
    "stale",
    "no_plan",
    "late",
    "unclaimed",
    "unapproved",
    "recovered_first",
    "closed",
    "severity",
];

/// One line of expectations.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Where it is written.
    pub place: Place,
    /// When at the earliest and at the latest, after the beginning.
    pub at: (Span, Span),
    /// Fields that matter, as text.
    pub fields: Vec<(&'static str, String)>,
}

/// Reads all lists; none for those that are not written.
pub(super) fn read(fields: &Fields<'_>, settings: &Settings) -> Vec<(About, Vec<Expected>)> {
    let mut all = Vec::new();
    for about in About::ALL {
        let Some(node) = fields.node(about.name()) else { continue };
        let Value::List(items) = &node.value else {
            fields.wrong_type(about.name(), node, "write a list; [] where nothing is expected");
            continue;
        };
        let rows = items
            .iter()
            .filter_map(|item| row(Fields::open(item, fields.report)?, about, settings));
        all.push((about, rows.collect()));
    }
    all
}

fn row(fields: Fields<'_>, about: About, settings: &Settings) -> Option<Expected> {
    let at = at(&fields);
    fields.missing("at", "at: 57s, or at: 57s..58s");
    let mut said = Vec::new();
    for (name, form) in about.fields() {
        if let Some(text) = text(&fields, name, *form, settings) {
            said.push((*name, text));
        }
    }
    if about == About::Alerts {
        fields.missing("rule", "rule: county_api");
    }
    let place = fields.place.clone();
    fields.finish();
    Some(Expected { place, at: at?, fields: said })
}

fn text(
    fields: &Fields<'_>,
    name: &'static str,
    form: Form,
    settings: &Settings,
) -> Option<String> {
    match form {
        Form::Rule => {
            let said = fields.text(name)?;
            known_rule(fields, &said, settings);
            Some(said.text)
        }
        Form::Plan => {
            let said = fields.text(name)?;
            known_plan(fields, &said, settings);
            Some(said.text)
        }
        Form::Receiver => {
            let said = fields.text(name)?;
            let known = || settings.receivers.iter().map(|one| one.name.as_str());
            check(fields, &said, (Fault::UnknownReceiver, "receiver"), known);
            Some(said.text)
        }
        Form::Group => {
            let map = fields.has(name).then(|| fields.text_map(name, |_, _, _| {}))?;
            Some(group_text(map.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
        }
        Form::Word(words) => {
            let pairs: Vec<(&'static str, &'static str)> =
                words.iter().map(|word| (*word, *word)).collect();
            fields.word(name, &pairs).map(str::to_owned)
        }
        Form::Text => fields.words(name).map(|said| said.text),
        Form::Flag => fields.flag(name).map(|flag| flag.to_string()),
        Form::Names => {
            let mut names: Vec<String> =
                fields.texts(name)?.into_iter().map(|said| said.text).collect();
            names.sort();
            Some(names.join(", "))
        }
    }
}

/// Labels as a line shows them: `region=eu,service=docket`.
pub fn group_text<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// `57s`, or `57s..58s`.
fn at(fields: &Fields<'_>) -> Option<(Span, Span)> {
    let node: &Node = fields.node("at")?;
    let Value::Text(text) = &node.value else {
        return fields.span("at", OFFSET).map(|at| (at, at));
    };
    let Some((from, to)) = text.split_once("..") else {
        return fields.span("at", OFFSET).map(|at| (at, at));
    };
    match (Span::parse(from.trim()), Span::parse(to.trim())) {
        (Ok(from), Ok(to)) if from <= to => Some((from, to)),
        _ => {
            let message = format!("at {:?} is no time", short(text));
            let remedy = "write 57s, or 57s..58s";
            fields.report.error(&node.place, Fault::BadDuration, message, remedy);
            None
        }
    }
}

/// Notes a rule that does not exist.
pub(super) fn known_rule(fields: &Fields<'_>, said: &Said, settings: &Settings) {
    let known = || settings.rules.iter().map(|rule| rule.name.as_str());
    check(fields, said, (Fault::UnknownRule, "rule"), known);
}

/// Notes a plan that does not exist.
pub(super) fn known_plan(fields: &Fields<'_>, said: &Said, settings: &Settings) {
    let known = || settings.plans.iter().map(|plan| plan.name.as_str());
    check(fields, said, (Fault::UnknownPlan, "plan"), known);
}

fn check<'a, Known: Iterator<Item = &'a str>>(
    fields: &Fields<'_>,
    said: &Said,
    (fault, what): (Fault, &str),
    known: impl Fn() -> Known,
) {
    if known().any(|name| name == said.text) {
        return;
    }
    let remedy = did_you_mean(&said.text, known(), || format!("name a {what} of the settings"));
    let message = format!("{what} {:?} does not exist", short(&said.text));
    fields.report.error(&said.place, fault, message, remedy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::json;
    use stages::wire::{AlertState, Axis, Cause, DataFlag, Forbidden, Reason, RollbackState};

    fn reads<T: DeserializeOwned>(words: &[&str]) {
        for word in words {
            assert!(serde_json::from_value::<T>(json!(word)).is_ok(), "{word}");
        }
    }

    #[test]
    fn every_word_of_a_test_is_a_word_of_the_wire() {
        reads::<Axis>(&AXES);
        reads::<DataFlag>(&DATA);
        reads::<Cause>(&CAUSES);
        reads::<AlertState>(&INCIDENTS);
        reads::<Reason>(&REASONS);
        reads::<RollbackState>(&ROLLBACKS);
        reads::<Forbidden>(&FORBIDDEN);
    }
}
