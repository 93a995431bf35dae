//! What happens in a rule's test besides samples: people, deployments, holes, and what becomes of rollbacks.

use super::series::{OFFSET, selector};
use crate::fields::{Fields, Said};
use crate::problem::{Kind as Fault, Place};
use stages::batch::Kind;
use stages::series::{Labels, series_key};
use stages::time::Span;
use stages::wire::RollbackState;

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where it is written.
    pub place: Place,
    /// When, after the beginning.
    pub at: Span,
    /// Who does it.
    pub by: String,
    /// What.
    pub deed: Deed,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// A target is changed to a revision.
    Change(String, String),
    /// A silence of alerts with these labels begins.
    Silence {
        /// Labels they have.
        matchers: Labels,
        /// How long it lasts.
        length: Span,
        /// Whether actions are silenced, too.
        actions: bool,
    },
    /// The newest incident of a rule is acknowledged.
    Ack(String),
    /// The rollback of a rule's newest incident is approved, or denied.
    Approve(String, bool),
    /// The newest incident of a rule is closed.
    Close(String),
    /// The kill switch is thrown, or let go.
    Freeze(bool),
    /// The lock of a plan is lifted.
    Unlock(String),
    /// Nothing is stored for so long: the bus is down.
    Hole(Span),
    /// A sample is stored.
    Sample {
        /// Its series.
        key: String,
        /// Its metric.
        metric: String,
        /// Gauge or counter.
        kind: Kind,
        /// Its value.
        value: f64,
        /// Its event time, after the beginning; none: when it is stored.
        ts: Option<Span>,
    },
}

/// What becomes of commands of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// How long after the command an agent claims it; none: nobody does.
    pub claimed_after: Option<Span>,
    /// How long the script runs.
    pub takes: Span,
    /// How it ends.
    pub outcome: RollbackState,
}

/// What a deed needs to know of the settings.
pub(super) struct Names<'a> {
    /// Checks that a rule of this name exists.
    pub rule: &'a dyn Fn(&Said),
    /// The same for a plan.
    pub plan: &'a dyn Fn(&Said),
}

const DEEDS: [&str; 10] =
    ["change", "silence", "ack", "approve", "deny", "close", "freeze", "unlock", "hole", "sample"];

/// Reads one event of a list.
pub(super) fn read(fields: Fields<'_>, names: &Names<'_>) -> Option<Event> {
    let at = fields.span("at", OFFSET);
    fields.missing("at", "at: 30s, the time after the beginning");
    let by = fields.text("by").map_or_else(|| "operator".to_owned(), |said| said.text);
    let said: Vec<&str> = DEEDS.into_iter().filter(|name| fields.has(name)).collect();
    let place = fields.place.clone();
    if said.len() != 1 {
        let message = match said.len() {
            0 => "an event in which nothing happens".to_owned(),
            _ => format!("{} in one event", said.join(" and ")),
        };
        let remedy = format!("write one of {}", DEEDS.join(", "));
        fields.report.error(&place, Fault::Conflict, message, remedy);
    }
    let deed = match said.first().copied().unwrap_or_default() {
        "change" => change(&fields),
        "silence" => silence(&fields),
        "ack" => rule(&fields, "ack", names).map(Deed::Ack),
        "approve" => rule(&fields, "approve", names).map(|rule| Deed::Approve(rule, true)),
        "deny" => rule(&fields, "deny", names).map(|rule| Deed::Approve(rule, false)),
        "close" => rule(&fields, "close", names).map(Deed::Close),
        "freeze" => fields.flag("freeze").map(Deed::Freeze),
        "unlock" => fields.text("unlock").map(|said| {
            (names.plan)(&said);
            Deed::Unlock(said.text)
        }),
        "hole" => fields.span("hole", Span::from_millis(1)..=*OFFSET.end()).map(Deed::Hole),
        "sample" => sample(&fields),
        _ => None,
    };
    // Every deed is known; which of them belong together was judged above.
    for name in DEEDS.into_iter().filter(|name| fields.has(name)) {
        fields.node(name);
    }
    fields.finish();
    Some(Event { place, at: at?, by, deed: deed? })
}

fn rule(fields: &Fields<'_>, name: &'static str, names: &Names<'_>) -> Option<String> {
    let said = fields.text(name)?;
    (names.rule)(&said);
    Some(said.text)
}

fn change(fields: &Fields<'_>) -> Option<Deed> {
    let revision = fields.words("revision");
    fields.missing("revision", "revision: v42, what it was changed to");
    Some(Deed::Change(fields.text("change")?.text, revision?.text))
}

fn silence(fields: &Fields<'_>) -> Option<Deed> {
    let length = fields.span("for", Span::from_secs(1)..=*OFFSET.end());
    fields.missing("for", "for: 1h, how long it lasts");
    let actions = fields.flag("actions").unwrap_or(false);
    let matchers = fields.text_map("silence", |_, _, _| {});
    if matchers.is_empty() {
        let message = "a silence of everything";
        let remedy = "write labels, like silence: {rule: county_api}";
        fields.report.error(fields.place_of("silence"), Fault::BadValue, message, remedy);
    }
    Some(Deed::Silence { matchers, length: length?, actions })
}

fn sample(fields: &Fields<'_>) -> Option<Deed> {
    let said = fields.text("sample");
    let value = fields.number("value");
    fields.missing("value", "value: 1500");
    let kind = fields.word("kind", &[("gauge", Kind::Gauge), ("counter", Kind::Counter)]);
    let ts = fields.span("ts", OFFSET);
    let (metric, labels) = selector(&said?, fields.report)?;
    let (key, kind) = (series_key(&metric, &labels), kind.unwrap_or_default());
    Some(Deed::Sample { key, metric, kind, value: value?, ts })
}

const OUTCOMES: [(&str, Option<RollbackState>); 5] = [
    ("succeeded", Some(RollbackState::Succeeded)),
    ("failed", Some(RollbackState::Failed)),
    ("timed_out", Some(RollbackState::TimedOut)),
    ("unknown", Some(RollbackState::Unknown)),
    ("unclaimed", None),
];

/// Reads what becomes of a plan's commands.
pub(super) fn script(fields: Fields<'_>) -> Script {
    let outcome = fields.word("outcome", &OUTCOMES).unwrap_or(Some(RollbackState::Succeeded));
    let claimed_after = fields.span("claimed_after", OFFSET).unwrap_or_default();
    let takes = fields.span("takes", OFFSET).unwrap_or(Span::from_secs(1));
    fields.finish();
    Script {
        claimed_after: outcome.map(|_| claimed_after),
        takes,
        outcome: outcome.unwrap_or(RollbackState::Unknown),
    }
}
