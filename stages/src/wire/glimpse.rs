//! What a shard sees of rules whose metrics lie in several shards: the desk judges those by it.
//!
//! A *part* is one window over one metric of such a rule: condition `term` of it, or what that is divided by (`per`). A
//! glimpse is what one label set of a part shows at an instant. Of all that is not in a message, what was said of it
//! last still holds at the whole second at or before `time`; so a message without parts says that as well.

use crate::series::Labels;
use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All that a shard has to show of one instant, or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Glimpses {
    /// Version of this shape.
    pub schema: u32,
    /// Shard it comes from.
    pub shard: u32,
    /// Position of the step that caused it.
    pub position: u64,
    /// Log time of what is seen.
    pub time: Time,
    /// The revision of the settings the shard works by: the desk takes nothing of a rule from before it was edited.
    pub revision: String,
    /// Since when the shard can see that something is absent: its first entry, or the end of its last hole.
    pub armed: Time,
    /// More of the same instant follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// What changed, sorted.
    pub parts: Vec<PartSeen>,
}

/// What is seen of one part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartSeen {
    /// Rule.
    pub rule: String,
    /// The incident whose rollback is verified, where the part was opened for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Which condition of the rule, from 0, through all its lists.
    pub term: u32,
    /// It is what the condition's metric is divided by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per: bool,
    /// When the last sample of any label set came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
    /// Label sets that changed, sorted.
    pub groups: Vec<Glimpse>,
}

/// What is seen of one label set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Glimpse {
    /// The label set; empty where the rule groups by nothing.
    pub group: Labels,
    /// The condition's statistic over the window; none where there is nothing to compute it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The same of the earlier window, where the condition has a baseline that was seen whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<f64>,
    /// When the last sample came, moved on over holes in log time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
    /// Samples in the window.
    pub count: u64,
    /// Mean over the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Smallest value in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// 50th, 95th and 99th percentile, where the statistic keeps a histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentiles: Option<[f64; 3]>,
    /// Start of the oldest pane in the window.
    pub window_start: Time,
    /// Panes of the window, or of the time since the series began if that is shorter.
    pub panes: u32,
    /// How many of those hold samples.
    pub panes_filled: u32,
    /// Series that contributed.
    pub series: u32,
    /// Position of the shard's log when the window began.
    pub log_start: u64,
}
