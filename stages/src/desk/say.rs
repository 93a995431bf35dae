//! What the desk says, spelled out: alert events, notification intents and their keys.

use crate::desk::budget::Digest;
use crate::desk::column::{Heard, News, Untold};
use crate::desk::incident::Incident;
use crate::desk::{template, words};
use crate::series::Labels;
use crate::settings::{Action, Receiver, Rule, Stat};
use crate::time::{Span, Time};
use crate::wire::{
    AlertEvent, AlertState, Axis, Cause, DataFlag, Evidence, Intent, Reason, SCHEMA,
};
use sha2::{Digest as _, Sha256};

/// The severity that may use reserves and has the short deadline.
pub const CRITICAL: &str = "critical";
/// Severity of what the product says about itself.
pub const WARNING: &str = "warning";
/// How long a critical message is tried; after that it is the next receiver's.
const DEADLINE_CRITICAL: Span = Span::from_secs(5 * 60);
/// How long any other is.
const DEADLINE: Span = Span::from_secs(15 * 60);

/// 32 hex digits of SHA-256 over `parts`, each closed by U+001F, which stands in no name.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0x1f]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// How long a message of this severity is tried.
pub fn deadline(severity: &str, now: Time) -> Time {
    now.plus(if severity == CRITICAL { DEADLINE_CRITICAL } else { DEADLINE })
}

/// Where an alert is, for its event.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Its rule.
    pub rule: &'a Rule,
    /// Group of labels.
    pub group: &'a Labels,
    /// Severity.
    pub severity: &'a str,
    /// Place on its axis.
    pub axis: Axis,
    /// Whether there is data.
    pub data: DataFlag,
    /// Why it moved.
    pub cause: Option<Cause>,
    /// What was seen.
    pub evidence: &'a Evidence,
}

/// The event of an alert or incident, as it stands after `heard`.
pub fn alert(
    (now, position): (Time, u64),
    facts: &Facts<'_>,
    incident: Option<&Incident>,
    state: AlertState,
    heard: &Heard,
    detail: Option<String>,
) -> AlertEvent {
    AlertEvent {
        schema: SCHEMA,
        state,
        incident: incident.map(|incident| incident.id.clone()),
        rule: facts.rule.name.clone(),
        metric: facts.rule.metric.clone(),
        group: facts.group.clone(),
        severity: facts.severity.to_owned(),
        time: now,
        position,
        opened: incident.map(|incident| incident.opened),
        axis: facts.axis,
        data: facts.data,
        cause: facts.cause,
        level: facts.evidence.level,
        threshold: shown_threshold(facts.rule, facts.severity),
        unit: facts.rule.unit_shown().to_owned(),
        reading: words::reading(facts.rule, facts.evidence, state == AlertState::Resolved),
        limit: Some(words::limit(facts.rule, facts.severity)),
        evidence: facts.evidence.clone(),
        runbook: facts.rule.runbook.clone(),
        labels: facts.rule.labels.clone(),
        notified: heard.notified.clone(),
        folded: heard.folded.clone(),
        untold: heard.untold.map(|why| Untold::word(why).to_owned()),
        detail,
    }
}

/// The threshold at this severity; for shares the one samples are held against, at every severity.
fn shown_threshold(rule: &Rule, severity: &str) -> f64 {
    match (rule.stat, rule.grades.get(rule.grade_of(severity))) {
        (Stat::Above | Stat::Below, _) | (_, None) => rule.threshold,
        (_, Some(grade)) => grade.bound,
    }
}

/// The intent to tell `receiver` of `news`.
pub fn intent(
    (now, position): (Time, u64),
    incident: &Incident,
    rule: &Rule,
    receiver: &Receiver,
    news: &News,
) -> Intent {
    let story = template::Story {
        rule,
        group: &incident.group,
        severity: &incident.severity,
        incident: &incident.id,
        reason: news.reason,
        evidence: news.evidence.as_ref(),
    };
    Intent {
        key: key(&["message", &incident.id, &news.topic, &receiver.name]),
        dedup_key: key(&["incident", &incident.id, &receiver.name]),
        reason: news.reason,
        incident: Some(incident.id.clone()),
        rule: rule.name.clone(),
        metric: rule.metric.clone(),
        group: incident.group.clone(),
        summary: news.summary.clone(),
        opened: Some(incident.opened),
        ended: news.ended,
        unit: rule.unit_shown().to_owned(),
        evidence: news.evidence.clone(),
        action: news.action,
        action_name: rule.action.as_ref().map(|action| match action {
            Action::Rollback(plan) => format!("ROLLBACK:{plan}"),
        }),
        action_detail: news.action_detail.clone(),
        runbook: rule.runbook.clone(),
        labels: rule.labels.clone(),
        annotations: template::fill(&rule.annotations, &story),
        ..bare((now, position), receiver, &incident.severity)
    }
}

/// The intent to send a digest that was folded for the receiver named `name` to `receiver`.
pub fn digest_intent(
    at: (Time, u64),
    (name, receiver): (&str, &Receiver),
    digest: Digest,
    summary: String,
) -> Intent {
    let number = digest.number.to_string();
    let severity = if digest.critical { CRITICAL } else { WARNING };
    Intent {
        key: key(&["digest", name, &number, &receiver.name]),
        dedup_key: key(&["digests", name, &receiver.name]),
        reason: Reason::Digest,
        summary,
        folded: digest.lines.into(),
        folded_count: digest.count,
        ..bare(at, receiver, severity)
    }
}

/// The intent to tell `receiver` something about the product itself.
pub fn notice_intent(
    at: (Time, u64),
    receiver: &Receiver,
    kind: &str,
    subject: &str,
    text: &str,
) -> Intent {
    let position = at.1.to_string();
    Intent {
        key: key(&["notice", kind, subject, &position, &receiver.name]),
        dedup_key: key(&["notice", kind, subject, &receiver.name]),
        reason: Reason::Notice,
        rule: kind.to_owned(),
        summary: text.to_owned(),
        ..bare(at, receiver, WARNING)
    }
}

/// The end of what `intent` opened, in the words of `summary`.
pub fn end((now, position): (Time, u64), summary: String, intent: Intent) -> Intent {
    Intent {
        key: key(&["end", &intent.key]),
        summary,
        time: now,
        ended: Some(now),
        deadline: deadline(&intent.severity, now),
        position,
        evidence: None,
        ..intent
    }
}

fn bare((now, position): (Time, u64), receiver: &Receiver, severity: &str) -> Intent {
    Intent {
        schema: SCHEMA,
        key: String::new(),
        dedup_key: String::new(),
        receiver: receiver.name.clone(),
        channels: receiver.channels.clone(),
        reason: Reason::Notice,
        incident: None,
        rule: String::new(),
        metric: String::new(),
        group: Labels::new(),
        severity: severity.to_owned(),
        summary: String::new(),
        time: now,
        opened: None,
        ended: None,
        deadline: deadline(severity, now),
        position,
        unit: String::new(),
        evidence: None,
        action: None,
        action_name: None,
        action_detail: None,
        runbook: None,
        labels: Labels::new(),
        annotations: Labels::new(),
        folded: Vec::new(),
        folded_count: 0,
    }
}
