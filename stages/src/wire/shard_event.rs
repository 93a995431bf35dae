//! What a shard says: committed on `ops.transition.<shard>`, relayed into the desk's log.

use crate::series::Labels;
use crate::time::{Span, Time};
use crate::wire::glimpse::Glimpses;
use crate::wire::rollback::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing a shard says to the desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ShardEvent {
    /// An alert moved along its axis or changed its data flag.
    Transition(Box<Transition>),
    /// A verification asked for by the desk has its verdict.
    Verified(Box<Verified>),
    /// A hole in log time or in the log itself.
    DataGap(DataGap),
    /// Something people should know about the product itself.
    Notice(Notice),
    /// What it sees of rules whose metrics lie in several shards.
    Glimpses(Box<Glimpses>),
}

/// An alert (rule x group of labels) moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// Version of this shape.
    pub schema: u32,
    /// Shard it comes from; of a rule judged at the desk, the shard of its first metric.
    pub shard: u32,
    /// It was judged at the desk, for its rule's metrics lie in several shards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_desk: bool,
    /// Position of the step that caused it, in the log in which it was judged.
    pub position: u64,
    /// Log time of the evaluation: the end of its step or a due instant before it. At the desk that of the glimpses it was
    /// judged by.
    pub time: Time,
    /// Rule.
    pub rule: String,
    /// Group of labels; empty where the rule groups by nothing.
    pub group: Labels,
    /// Severity: the rule's, or the one it has now of several.
    pub severity: String,
    /// Where the alert was.
    pub from: Axis,
    /// Where it is. Equal to `from` where only a flag changed.
    pub to: Axis,
    /// Why.
    pub cause: Cause,
    /// The data flag after it.
    pub data: DataFlag,
    /// Whether it flaps, after it.
    pub flapping: bool,
    /// Nobody hears of it: its rule is a shadow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// The incident, from the firing that opened it to the transition that leaves it: 16 hex digits of
    /// hash(log's creation time, rule, group, opening position).
    pub incident: Option<String>,
    /// What was seen.
    pub evidence: Evidence,
}

/// The axis of an alert.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Not yet evaluated with enough samples.
    #[default]
    Unknown,
    /// No breach.
    Ok,
    /// In breach, shorter than `for`.
    Pending,
    /// In breach.
    Firing,
    /// Firing, but the value is at or beyond `recover`, shorter than `keep_firing_for`.
    Recovering,
}

/// Whether there is data to go by.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DataFlag {
    /// A sample within `fresh_for` and at least `min_samples`.
    Fresh,
    /// Samples in the window, none within `fresh_for`.
    Stale,
    /// Fewer than `min_samples`.
    Insufficient,
    /// An empty window, or none yet.
    #[default]
    NoData,
    /// None for two windows while siblings report.
    MissingSeries,
}

/// Why an alert moved. Log text, metric label and JSON value at once.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// First evaluation with enough samples, no breach.
    FirstData,
    /// The threshold was crossed.
    Breach,
    /// The breach held for `for`.
    Held,
    /// A fresh value without breach.
    NoBreach,
    /// The value is at or beyond `recover`.
    Recovered,
    /// In breach again before it was over.
    BreachAgain,
    /// It stayed recovered for `keep_firing_for`.
    StayedRecovered,
    /// A gap outlasted `gap_tolerance` while pending.
    Gap,
    /// Only the data flag changed.
    Data,
    /// Only the severity changed, of a rule that has several.
    Severity,
    /// No data, where the rule says that is an alert, or beyond `keep_max`.
    NoData,
    /// No data, where the rule says that is fine.
    NoDataOk,
    /// Absence is the condition, and it holds.
    Absent,
    /// A sample came where absence was the condition.
    Present,
    /// The series vanished among reporting siblings.
    Retired,
    /// Too many firings; or quiet again.
    Flapping,
    /// The rule was changed; its alert was carried over.
    RuleChanged,
    /// The rule is gone.
    RuleRemoved,
}

/// What an evaluation saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The rule's statistic over the window; none where there was no sample.
    pub value: Option<f64>,
    /// Mean of the newest 10 s with data: the current level, shown on log lines.
    pub level: Option<f64>,
    /// What `value` was compared with.
    pub threshold: f64,
    /// Samples in the window.
    pub count: u64,
    /// Mean over the window.
    pub mean: Option<f64>,
    /// Smallest value in the window.
    pub min: Option<f64>,
    /// Largest value in the window.
    pub max: Option<f64>,
    /// 50th, 95th and 99th percentile, where the rule keeps a histogram.
    pub percentiles: Option<[f64; 3]>,
    /// Start of the oldest pane in the window.
    pub window_start: Time,
    /// Log time of the evaluation.
    pub window_end: Time,
    /// Panes of the window, or of the time since the series began if that is shorter.
    pub panes: u32,
    /// How many of those hold samples.
    pub panes_filled: u32,
    /// Series that contributed.
    pub series: u32,
    /// Position of the log when the window began, and of the step evaluated: the log range. At the desk that of the shard
    /// that saw it.
    pub log_range: (u64, u64),
    /// What each term saw, of a rule over several metrics or windows; the rest is that of the term that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<TermSeen>,
}

/// What one term of a rule saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TermSeen {
    /// What it watches, in words: `errors / requests`.
    pub term: String,
    /// Its value.
    pub value: Option<f64>,
    /// What that was compared with.
    pub threshold: f64,
    /// Samples in its window; of a ratio those it is divided by.
    pub count: u64,
    /// Whether it is in breach.
    pub breach: bool,
}

/// The verdict of a verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// Version of this shape.
    pub schema: u32,
    /// The incident that was rolled back.
    pub incident: String,
    /// The plan.
    pub plan: String,
    /// What was found.
    pub verdict: Verdict,
    /// Log time of the verdict.
    pub time: Time,
    /// Position of the step that caused it.
    pub position: u64,
    /// What was seen, on samples after the script and its settling only.
    pub evidence: Evidence,
}

/// A hole: nothing was stored for longer than 15 s, or entries are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataGap {
    /// Version of this shape.
    pub schema: u32,
    /// Log time before the hole.
    pub from: Time,
    /// Log time after it.
    pub to: Time,
    /// Its length; all clocks froze over it.
    pub length: Span,
    /// Position of the step behind it; 0 in what older versions said.
    #[serde(default)]
    pub position: u64,
    /// Sequences that are gone from the stream, first and last; none where only time is missing.
    pub lost: Option<(u64, u64)>,
}

/// Something people should know about the product itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Version of this shape.
    pub schema: u32,
    /// Log time.
    pub time: Time,
    /// Position of the step that caused it; 0 in what older versions said.
    #[serde(default)]
    pub position: u64,
    /// What kind: `series_limit`, `source_late`, `source_future`, `settings_refused`.
    pub kind: String,
    /// What it is about, for instance a metric.
    pub subject: String,
    /// One sentence for people.
    pub text: String,
}
