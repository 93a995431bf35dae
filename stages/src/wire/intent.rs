//! Notification intents, on `ops.notify.<receiver>`, and what became of them, on `ops.status.notify.<receiver>`.

use crate::series::Labels;
use crate::time::Time;
use crate::wire::rollback::RollbackState;
use crate::wire::shard_event::Evidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why somebody is told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An incident was opened.
    Fired,
    /// It is still open.
    Reminded,
    /// Its severity changed.
    SeverityChanged,
    /// An action was proposed, forbidden, or ended.
    ActionResult,
    /// The rollback did not help.
    NotRecovered,
    /// It is over.
    Resolved,
    /// It flaps.
    Flapping,
    /// Somebody has taken it.
    Acknowledged,
    /// Many messages folded into one.
    Digest,
    /// Something about the product itself.
    Notice,
}

impl Reason {
    /// Whether it moves what a channel of this kind keeps. A pager's incident and an alert behind a webhook are open
    /// until a "resolved" comes, and a pager goes on waking people until an "acknowledged" does.
    pub fn moves(self, channel: &str) -> bool {
        match channel {
            "pager_duty" => matches!(self, Self::Resolved | Self::Acknowledged),
            "webhook" => self == Self::Resolved,
            _ => false,
        }
    }
}

/// The decision to tell one receiver one thing. Delivered at least once, always under the same keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// Version of this shape.
    pub schema: u32,
    /// `Message-ID` and `Idempotency-Key`: 32 hex digits of H(incident, transition, reminder, receiver).
    pub key: String,
    /// `dedup_key` of PagerDuty: 32 hex digits of H(incident, receiver). All digests of a receiver have one key; what has
    /// no incident, or comes after it, has one of its own.
    pub dedup_key: String,
    /// Who is told.
    pub receiver: String,
    /// Kinds of channel to try, in order.
    pub channels: Vec<String>,
    /// Why.
    pub reason: Reason,
    /// The incident; none for a digest or a notice.
    pub incident: Option<String>,
    /// Rule.
    pub rule: String,
    /// Metric of the rule.
    pub metric: String,
    /// Group of labels.
    pub group: Labels,
    /// Severity.
    pub severity: String,
    /// One line, for instance `county_api_ms 1580 ms (threshold 1000)`.
    pub summary: String,
    /// Log time of the decision.
    pub time: Time,
    /// When the incident was opened.
    pub opened: Option<Time>,
    /// When it was over. Set, the message closes what others under its `dedup_key` opened.
    pub ended: Option<Time>,
    /// Given up after this, on the bus's clock.
    pub deadline: Time,
    /// Position in the desk's log of the entry that caused it.
    pub position: u64,
    /// Unit of the values.
    pub unit: String,
    /// What was seen.
    pub evidence: Option<Evidence>,
    /// What the automatic action is doing.
    pub action: Option<RollbackState>,
    /// The action as the rule names it, for instance `ROLLBACK:DOCKET_RULE`.
    pub action_name: Option<String>,
    /// A sentence about the action: why it was forbidden, what the script said.
    pub action_detail: Option<String>,
    /// Where the fix is described.
    pub runbook: Option<String>,
    /// Labels of the rule.
    pub labels: Labels,
    /// Texts of the rule.
    pub annotations: Labels,
    /// What was folded into it, for a digest: newest last, bounded; `folded_count` says how many in all.
    pub folded: Vec<Folded>,
    /// How many messages were folded into it.
    pub folded_count: u64,
}

impl Intent {
    /// Whether it closes what earlier messages under its `dedup_key` opened.
    pub fn closes(&self) -> bool {
        self.reason == Reason::Resolved || self.ended.is_some()
    }

    /// Whether the channel that is tried first keeps something that this moves: then it is told by itself, however late.
    pub fn moves(&self) -> bool {
        let reason = if self.closes() { Reason::Resolved } else { self.reason };
        self.channels.first().is_some_and(|kind| reason.moves(kind))
    }
}

/// One line of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Folded {
    /// Why it would have been sent.
    pub reason: Reason,
    /// The incident.
    pub incident: Option<String>,
    /// Its line.
    pub summary: String,
    /// Log time.
    pub time: Time,
}

/// How an attempt or a delivery ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The provider took it.
    Delivered,
    /// Written to the outbox folder, because no provider is configured.
    Outbox,
    /// This attempt failed and will be repeated.
    Retrying,
    /// This channel is given up; the next one is tried.
    NextChannel,
    /// All channels and the fallback receiver failed.
    Failed,
}

/// What became of an intent: one for every attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Version of this shape.
    pub schema: u32,
    /// The intent's key.
    pub key: String,
    /// Its receiver.
    pub receiver: String,
    /// Its incident.
    pub incident: Option<String>,
    /// Channel of this attempt.
    pub channel: String,
    /// Attempt on this channel, from 1.
    pub attempt: u32,
    /// How it ended.
    pub state: DeliveryState,
    /// What the provider said, without secrets.
    pub detail: Option<String>,
}
