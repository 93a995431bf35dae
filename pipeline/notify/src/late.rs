//! Folds intents that are too old to be sent one by one into one "happened while down" digest per receiver.
//!
//! Intents that come while others of their receiver wait are folded with them; a short quiet time ends a digest.
//! What was folded is acknowledged only when the digest is delivered.

use crate::delivery::{Deliverer, Final, wall_clock};
use crate::key;
use crate::wording::utc;
use stages::series::Labels;
use stages::time::Span;
use stages::wire::{Folded, Intent, Reason, SCHEMA};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A digest ends when nothing more came for this long. Redelivered intents come in thousands a second.
const QUIET: Duration = Duration::from_millis(500);
/// Lines shown in a digest; the rest is counted.
const LINES_MAX: usize = 50;
/// Time a digest has.
const DEADLINE: Span = Span::from_secs(300);

/// An intent and who waits for what becomes of it.
pub type Waiting = (Intent, oneshot::Sender<Final>);

/// Whether an intent is folded. One that closes what a pager or a webhook keeps still goes by itself: it wakes nobody,
/// and without it the pager's incident would stay open.
pub fn is_late(intent: &Intent, late_after: Duration) -> bool {
    let age = wall_clock().since(intent.time).as_std();
    age > late_after && !intent.moves() && intent.reason != Reason::Digest
}

/// Collects late intents until the other end is dropped.
pub async fn collect(deliverer: Arc<Deliverer>, mut from: mpsc::UnboundedReceiver<Waiting>) {
    while let Some(first) = from.recv().await {
        let mut all = vec![first];
        while let Ok(Some(more)) = tokio::time::timeout(QUIET, from.recv()).await {
            all.push(more);
        }
        let mut by_receiver: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
        for waiting in all {
            by_receiver.entry(waiting.0.receiver.clone()).or_default().push(waiting);
        }
        let digests = by_receiver.into_values().map(|waiting| send(&deliverer, waiting));
        futures::future::join_all(digests).await;
    }
}

async fn send(deliverer: &Deliverer, waiting: Vec<Waiting>) {
    let (intents, askers): (Vec<Intent>, Vec<_>) = waiting.into_iter().unzip();
    let count = intents.len() as u64;
    let digest = digest(intents);
    let state = deliverer.deliver(&digest).await;
    deliverer.counters.change(|counters| counters.late += count);
    for asker in askers {
        // Whoever asked may have been stopped meanwhile.
        let _ = asker.send(state);
    }
}

/// One intent for many; they are of one receiver and at least one.
fn digest(mut intents: Vec<Intent>) -> Intent {
    intents.sort_by(|a, b| (a.time, &a.key).cmp(&(b.time, &b.key)));
    let (first, last) = (&intents[0], &intents[intents.len() - 1]);
    let keys: Vec<&str> = intents.iter().map(|intent| intent.key.as_str()).collect();
    let key = key::of(&keys);
    let critical = intents.iter().any(|intent| intent.severity == "critical");
    let summary = format!(
        "{} notifications happened while down, from {} to {}",
        intents.len(),
        utc(first.time),
        utc(last.time)
    );
    let shown = intents.len().saturating_sub(LINES_MAX);
    let now = wall_clock();
    Intent {
        schema: SCHEMA,
        // One for a receiver: what a pager shows of one is joined by the next.
        dedup_key: key::of(&["late", &last.receiver]),
        key,
        receiver: last.receiver.clone(),
        channels: last.channels.clone(),
        reason: Reason::Digest,
        incident: None,
        rule: String::new(),
        metric: String::new(),
        group: Labels::new(),
        severity: if critical { "critical".to_owned() } else { last.severity.clone() },
        summary,
        time: now,
        opened: None,
        ended: None,
        deadline: now.plus(DEADLINE),
        position: last.position,
        unit: String::new(),
        evidence: None,
        action: None,
        action_name: None,
        action_detail: None,
        runbook: None,
        labels: Labels::new(),
        annotations: Labels::new(),
        folded: intents[shown..].iter().map(folded).collect(),
        folded_count: intents.len() as u64,
    }
}

fn folded(intent: &Intent) -> Folded {
    Folded {
        reason: intent.reason,
        incident: intent.incident.clone(),
        summary: intent.summary.clone(),
        time: intent.time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wording::tests::county;
    use stages::time::Time;

    #[test]
    fn only_the_old_are_late_and_what_a_channel_keeps_is_always_closed() {
        let hour = Duration::from_secs(3600);
        let mut old = county(Reason::Fired);
        old.time = wall_clock().minus(Span::from_secs(7200));
        assert!(is_late(&old, hour));
        old.reason = Reason::Resolved;
        assert!(is_late(&old, hour));
        for kind in ["pager_duty", "webhook"] {
            old.channels = vec![kind.to_owned()];
            assert!(!is_late(&old, hour));
        }
        // A webhook keeps no word of who has taken it; a pager does.
        old.reason = Reason::Acknowledged;
        assert!(is_late(&old, hour));
        old.channels = vec!["pager_duty".to_owned()];
        assert!(!is_late(&old, hour));
        // The end of a notice closes it as well.
        old.reason = Reason::Notice;
        assert!(is_late(&old, hour));
        old.ended = Some(old.time);
        assert!(!is_late(&old, hour));
        let mut young = county(Reason::Fired);
        young.time = wall_clock();
        assert!(!is_late(&young, hour));
    }

    #[test]
    fn a_digest_counts_all_and_shows_the_newest() {
        let numbered = |number: i64| Intent {
            key: number.to_string(),
            time: Time::from_millis(number * 1000),
            summary: format!("number {number}"),
            ..county(Reason::Fired)
        };
        let digest = digest((0..120).rev().map(numbered).collect());
        assert_eq!((digest.folded_count, digest.folded.len()), (120, LINES_MAX));
        assert_eq!(digest.folded.last().unwrap().summary, "number 119");
        assert!(digest.summary.starts_with("120 notifications happened while down"));
        assert_eq!(digest.severity, "critical");
        let other = super::digest(vec![county(Reason::Fired)]);
        assert_eq!(digest.dedup_key, other.dedup_key, "a pager joins them");
        assert_ne!(digest.key, other.key);
    }
}
