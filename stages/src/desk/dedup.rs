//! Telling once: the same news of one incident is told once, whatever brings it up again.
//!
//! Repeats of relayed entries never come this far ([`super::intake`]). What this stage stops is news that two
//! entries bring: an outcome by ledger and by status, a page owed since a silence ended, a flapping notice.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was told of one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    topics: BTreeSet<String>,
    receivers: BTreeSet<String>,
}

impl Told {
    /// Takes note of `topic`; whether it is new.
    pub fn first(&mut self, topic: &str) -> bool {
        self.topics.insert(topic.to_owned())
    }

    /// Takes note that `receiver` was told of the incident.
    pub fn heard(&mut self, receiver: &str) {
        if !self.receivers.contains(receiver) {
            self.receivers.insert(receiver.to_owned());
        }
    }

    /// Whether `receiver` was ever told of the incident.
    pub fn has_heard(&self, receiver: &str) -> bool {
        self.receivers.contains(receiver)
    }

    /// Whether anybody was.
    pub fn anybody(&self) -> bool {
        !self.receivers.is_empty()
    }
}
