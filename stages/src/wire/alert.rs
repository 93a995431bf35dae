//! What operators subscribe to: `ops.alert.<severity>.<rule>.<state>`, committed by the desk.

use crate::series::Labels;
use crate::time::Time;
use crate::wire::shard_event::{Axis, Cause, DataFlag, Evidence};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to an incident.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// In breach, shorter than `for`; nobody is told.
    Pending,
    /// An incident was opened (or reopened).
    Fired,
    /// The value is back, the incident is not over yet.
    Recovering,
    /// In breach again, same incident.
    FiredAgain,
    /// The incident has another severity of the several its rule has.
    SeverityChanged,
    /// No data while firing.
    NoData,
    /// It flaps.
    Flapping,
    /// The incident is over: the alert is Ok and any rollback it caused has its verdict.
    Resolved,
    /// The incident was closed for another reason than recovery: rule removed, series retired, a person.
    Closed,
    /// A person has taken it.
    Acknowledged,
    /// Pending ended without firing.
    Calm,
    /// Something about the product itself, see `detail`.
    Notice,
}

impl AlertState {
    /// The subject token.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fired => "fired",
            Self::Recovering => "recovering",
            Self::FiredAgain => "fired_again",
            Self::SeverityChanged => "severity_changed",
            Self::NoData => "no_data",
            Self::Flapping => "flapping",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
            Self::Acknowledged => "acknowledged",
            Self::Calm => "calm",
            Self::Notice => "notice",
        }
    }
}

/// An event of an alert or its incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertEvent {
    /// Version of this shape.
    pub schema: u32,
    /// What happened.
    pub state: AlertState,
    /// The incident, where there is one.
    pub incident: Option<String>,
    /// Rule.
    pub rule: String,
    /// Metric of the rule.
    pub metric: String,
    /// Group of labels.
    pub group: Labels,
    /// Severity.
    pub severity: String,
    /// Log time of the desk.
    pub time: Time,
    /// Position in the desk's log of the entry that caused it.
    pub position: u64,
    /// When the incident was opened.
    pub opened: Option<Time>,
    /// Where the alert is on its axis.
    pub axis: Axis,
    /// Whether there is data.
    pub data: DataFlag,
    /// Why it moved.
    pub cause: Option<Cause>,
    /// Current level: mean of the newest 10 s with data.
    pub level: Option<f64>,
    /// Threshold of the rule.
    pub threshold: f64,
    /// Unit of both.
    pub unit: String,
    /// What a log line shows, in words: the current level where the rule watches one (`1580 ms`), else its statistic
    /// (`p99 4000 ms`, `12 samples`).
    #[serde(default)]
    pub reading: Option<String>,
    /// What that is held against, in words: `threshold 1000`, `share 0.3`.
    #[serde(default)]
    pub limit: Option<String>,
    /// What was seen.
    pub evidence: Evidence,
    /// Where the fix is described.
    pub runbook: Option<String>,
    /// Labels of the rule.
    pub labels: Labels,
    /// Receivers that are told.
    pub notified: Vec<String>,
    /// Receivers whose message went into a digest, because their budget was spent.
    #[serde(default)]
    pub folded: Vec<String>,
    /// Why nobody was told, where that is so: `outside_hours`, `silenced`, `inhibited`, `folded`, `acknowledged`.
    pub untold: Option<String>,
    /// A sentence: who acknowledged, why it was closed.
    pub detail: Option<String>,
}
