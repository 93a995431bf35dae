//! What the stages say, ready for the bus: the engine moves it and need not understand it.

use bytes::Bytes;
use serde::Serialize;

/// Most messages are shorter: a buffer that need not grow while one is written.
const MOST: usize = 1_000;

/// Where an output belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Into the atomic commit of its step, in order.
    Commit,
    /// Rollups: published after the commit, idempotent.
    Rollup,
    /// Refused input: published after the commit, idempotent.
    DeadLetter,
}

/// One message to the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where it belongs.
    pub target: Target,
    /// Subject.
    pub subject: String,
    /// Bytes.
    pub payload: Bytes,
}

impl Output {
    /// A committed message with `body` as JSON.
    pub fn commit(subject: String, body: &impl Serialize) -> Self {
        let mut json = Vec::with_capacity(MOST);
        // Wire types are structs of plain fields with string keys: serde_json cannot fail on them.
        serde_json::to_writer(&mut json, body).expect("wire types serialise");
        // Copied, not handed over: what is kept until it is published has no room to spare.
        Self { target: Target::Commit, subject, payload: Bytes::copy_from_slice(&json) }
    }
}

/// Plain sums since they were last taken, for the product's own metrics. Not covered by the promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Samples placed.
    pub samples: u64,
    /// Samples older than every window that could hold them.
    pub late: u64,
    /// Samples larger than percentiles tell apart, of metrics with one: clamped there.
    pub clamped: u64,
    /// Samples refused, by reason.
    pub refused: std::collections::BTreeMap<&'static str, u64>,
    /// Repeats dropped.
    pub repeated: u64,
    /// Evaluations of a rule x group.
    pub evaluations: u64,
    /// Series known now.
    pub series: u64,
    /// Alerts known now, by axis: unknown, ok, pending, firing, recovering.
    pub alerts: [u64; 5],
}
