//! What an owner commits beside the outputs: position, ownership, snapshots.

use crate::stop::Stop;
use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `ops.commit.<log>`: how far the log is worked off. Written by compare-and-set, in the same atomic batch
/// as the outputs of the steps it covers, or after them where they are few.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitRecord {
    /// Version of this shape.
    pub schema: u32,
    /// Version of the stages that computed it.
    pub stages: u32,
    /// Last entry of the last step covered.
    pub position: u64,
    /// Log time at the end of that step.
    pub time: Time,
    /// Outputs of the step after `position` that are already out, where a step did not fit one batch.
    pub part: u32,
    /// Newest snapshot.
    pub snapshot: Option<SnapshotRef>,
    /// The one before it, kept in case the newest cannot be read.
    #[serde(default)]
    pub snapshot_before: Option<SnapshotRef>,
    /// Unique to the attempt: tells after an unclear ack whether it was this one.
    pub attempt: String,
    /// Sequence in `OPS_EVENTS` behind which outputs of steps after `position` may lie; none: this record's own.
    #[serde(default)]
    pub outputs_behind: Option<u64>,
    /// Why the log stands still behind `position`, if it does.
    #[serde(default)]
    pub stopped: Option<Stop>,
    /// Entries that `ops shard skip` left out, first and last of each: whoever reads the log passes over them.
    #[serde(default)]
    pub skipped: Vec<(u64, u64)>,
}

/// Names a snapshot in `OPS_STATE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotRef {
    /// Token of its subjects: `ops.state.<log>.<snapshot>.<chunk>`.
    pub id: String,
    /// Position it was taken at.
    pub position: u64,
    /// Log time it was taken at.
    pub time: Time,
    /// Number of chunks.
    pub chunks: u32,
    /// SHA-256 of all chunks in order, hex.
    pub sha256: String,
    /// Version of the stages that made it.
    pub stages: u32,
}

/// `ops.state.<log>.anchors.0`: the snapshots that are kept for audits and as a last resort, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnchorList {
    /// Version of this shape.
    pub schema: u32,
    /// Oldest first.
    pub anchors: Vec<Anchor>,
}

/// A snapshot that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anchor {
    /// Which.
    pub snapshot: SnapshotRef,
}

/// `ops.own.<log>`: whose log it is. Its stream sequence is the fence of every commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnRecord {
    /// Version of this shape.
    pub schema: u32,
    /// Process that owns it.
    pub process: String,
    /// Unique to this start of the process.
    pub boot: String,
    /// Given up in good order; anyone may take it at once.
    pub released: bool,
}
