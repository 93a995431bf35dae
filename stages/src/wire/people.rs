//! What people and deployment tooling write into the desk's log, under their own names.

use crate::time::{Span, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `ops.desk.ack.<author>`: I have taken this incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// Version of this shape.
    pub schema: u32,
    /// Incident.
    pub incident: String,
    /// Who.
    pub author: String,
    /// Why.
    pub comment: Option<String>,
}

/// `ops.desk.silence.<author>`: do not tell anybody about these for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// Version of this shape.
    pub schema: u32,
    /// Chosen by the author; a later entry with the same id replaces it.
    pub id: String,
    /// Who.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Labels an alert must have, all of them; `rule` and `severity` count as labels.
    pub matchers: BTreeMap<String, String>,
    /// From when; from now on if none.
    pub starts: Option<Time>,
    /// Until when. In the past: ends the silence.
    pub ends: Time,
    /// Whether automatic actions are silenced too.
    pub actions: bool,
}

/// `ops.desk.approve.<author>`: a rollback may go ahead, or may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approve {
    /// Version of this shape.
    pub schema: u32,
    /// Incident.
    pub incident: String,
    /// Who.
    pub author: String,
    /// Yes or no.
    pub approved: bool,
    /// Why.
    pub comment: Option<String>,
}

/// `ops.desk.change.<target>`: a target was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Version of this shape.
    pub schema: u32,
    /// What was changed.
    pub target: String,
    /// To which revision.
    pub revision: String,
    /// Who or what did it.
    pub author: String,
    /// Why.
    pub comment: Option<String>,
}

/// `ops.desk.freeze.<author>`: the kill switch of automatic actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Freeze {
    /// Version of this shape.
    pub schema: u32,
    /// On or off.
    pub frozen: bool,
    /// Who.
    pub author: String,
    /// Why.
    pub comment: Option<String>,
}

/// `ops.desk.unlock.<author>`: a plan that locked itself after too many runs may run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unlock {
    /// Version of this shape.
    pub schema: u32,
    /// Plan.
    pub plan: String,
    /// Who.
    pub author: String,
    /// Why it may.
    pub comment: String,
}

/// `ops.desk.close.<author>`: this incident is over, whatever the data says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Close {
    /// Version of this shape.
    pub schema: u32,
    /// Incident.
    pub incident: String,
    /// Who.
    pub author: String,
    /// Why.
    pub comment: String,
}

/// How long one [`Look`] makes rollups carry histograms; whoever looks repeats it in half of that.
pub const LOOK_KEEPS: Span = Span::from_secs(600);

/// `ops.log.<shard>.look`: somebody looks at a metric, so its percentiles are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// Version of this shape.
    pub schema: u32,
    /// Metric.
    pub metric: String,
}
