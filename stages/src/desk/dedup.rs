//! Telling once: the same news of one incident is told once, whatever brings it up again.
//!
//! Repeats of relayed entries never come this far ([`super::intake`]). What this stage stops is news that two
//! entries bring: an outcome by ledger and by status, a page owed since a silence ended, a flapping notice.

use crate::wire::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was told of one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    topics: BTreeSet<String>,
    receivers: BTreeSet<String>,
    /// Receivers with a message of its own that nothing has closed.
    open: BTreeSet<String>,
    /// Receivers whose digests hold it.
    folded: BTreeSet<String>,
}

impl Told {
    /// Takes note of `topic`; whether it is new.
    pub fn first(&mut self, topic: &str) -> bool {
        self.topics.insert(topic.to_owned())
    }

    /// Whether `topic` was told.
    pub fn knows(&self, topic: &str) -> bool {
        self.topics.contains(topic)
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

    /// Takes note that `receiver` gets a message of its own.
    pub fn sent(&mut self, receiver: &str, reason: Reason) {
        match reason {
            Reason::Resolved => {
                self.open.remove(receiver);
            }
            Reason::Acknowledged => {}
            Reason::Fired
            | Reason::Reminded
            | Reason::SeverityChanged
            | Reason::ActionResult
            | Reason::NotRecovered
            | Reason::Flapping
            | Reason::Digest
            | Reason::Notice => {
                if !self.open.contains(receiver) {
                    self.open.insert(receiver.to_owned());
                }
            }
        }
    }

    /// Receivers with a message of its own that nothing has closed.
    pub fn open(&self) -> &BTreeSet<String> {
        &self.open
    }

    /// Takes note that a digest of `receiver` holds it; whether that is new.
    pub fn folded(&mut self, receiver: &str) -> bool {
        !self.folded.contains(receiver) && self.folded.insert(receiver.to_owned())
    }

    /// It is over: the receivers whose digests hold it.
    pub fn unfold(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.folded)
    }

    /// Whether anybody was.
    pub fn anybody(&self) -> bool {
        !self.receivers.is_empty()
    }
}
