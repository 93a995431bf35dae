//! How a message of one stream becomes an entry of a log: wrapped, with where it came from.
//!
//! A reader ignores an entry whose source sequence is not above the last it saw of that source, so a
//! relay may repeat itself and two relays may be alive at once.

use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A relayed message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Relayed<Body> {
    /// Version of this shape.
    pub schema: u32,
    /// Where it was stored first.
    pub source: Source,
    /// Subject there.
    pub subject: String,
    /// What it says.
    pub body: Body,
}

/// Where a relayed message was stored first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Role of the stream: `events` or `outcomes`; of one made in the place of another, with `@` and when that was in
    /// milliseconds behind it. Sequences of one rise.
    pub stream: String,
    /// Sequence there.
    pub sequence: u64,
    /// When the bus stored it there.
    pub time: Time,
}
