//! The claim ledger `ops.exec.<plan>.<incident>`: who may act on a command, and how far it got.
//!
//! Created once (that is the claim) and changed by compare-and-set only. Withdrawing a command is the same
//! create-once record, so a claim and a withdrawal exclude each other.

use crate::patience::until_answered;
use bus::{BusError, Expect, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{Command, LedgerRecord, LedgerState, SCHEMA};

/// The record as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Where our execution stands, or that it is somebody else's.
    pub by: Holder,
    /// Its place in the stream.
    pub sequence: u64,
    /// When the bus stored it.
    pub time: Time,
}

/// Whose record it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Holder {
    /// Ours.
    Us(LedgerState),
    /// Another agent's, the desk's withdrawal, or a tool's we cannot read.
    Other(String),
}

/// The record of one command.
#[derive(Clone)]
pub struct Ledger {
    bus: SharedBus,
    subject: String,
    plan: String,
    incident: String,
    name: String,
}

impl Ledger {
    /// The record of `command`, as the agent `name` sees it.
    pub fn of(bus: &SharedBus, subjects: &Subjects, name: &str, command: &Command) -> Self {
        Self {
            bus: bus.clone(),
            subject: subjects.ledger(&command.plan, &command.incident),
            plan: command.plan.clone(),
            incident: command.incident.clone(),
            name: name.to_owned(),
        }
    }

    /// What it says now, read from the leader.
    ///
    /// # Errors
    /// Only those the bus will not answer differently later.
    pub async fn read(&self) -> Result<Option<Held>, BusError> {
        let ask = || self.bus.last(Stream::Outcomes, &self.subject);
        let Some(message) = until_answered("ledger", ask).await? else { return Ok(None) };
        let by = match serde_json::from_slice::<LedgerRecord>(&message.payload) {
            Ok(record) if record.holder == self.name => Holder::Us(record.state),
            Ok(record) => Holder::Other(record.holder),
            Err(error) => Holder::Other(format!("a record that cannot be read: {error}")),
        };
        Ok(Some(Held { by, sequence: message.sequence, time: message.time }))
    }

    /// Puts `state` on the record if its last sequence is still `expected` (0: there is none), and returns what
    /// stands there afterwards: ours with the bus's stamp, or whatever was faster.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn put(&self, state: LedgerState, expected: u64) -> Result<Option<Held>, BusError> {
        let record = LedgerRecord {
            schema: SCHEMA,
            plan: self.plan.clone(),
            incident: self.incident.clone(),
            holder: self.name.clone(),
            state,
        };
        let payload = Bytes::from(serde_json::to_vec(&record).expect("a ledger record is JSON"));
        let message = Outgoing {
            subject: self.subject.clone(),
            payload,
            expect: Some(Expect { subject: None, sequence: expected }),
            ..Outgoing::default()
        };
        // A conflict may be our own earlier try whose ack was lost: reading back tells.
        match until_answered("ledger", || self.bus.publish(message.clone())).await {
            Ok(_) | Err(BusError::Conflict { .. }) => self.read().await,
            Err(error) => Err(error),
        }
    }
}
