//! The claim ledger `ops.exec.<plan>.<incident>`: who may act on a command, and how far it got.
//!
//! Created once (that is the claim) and changed by compare-and-set only. Withdrawing a command is the same
//! create-once record, so a claim and a withdrawal exclude each other.
//!
//! An agent may read its subjects only, and so gets its answers from any copy of the stream, which may lag. What it has
//! stored, or was refused for, says how new an answer must be at least: an older one is asked for again. Before its
//! first write nothing does, and nothing need: an answer that lags leads to a write that is refused.

use crate::patience::until_answered;
use bus::{BusError, Expect, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{Command, LedgerRecord, LedgerState, SCHEMA};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a copy may lag. One that is further behind is cut off; the command comes again and meets another.
const LAG_MAX: Duration = Duration::from_secs(30);
/// Pause before an answer that is too old is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

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
pub struct Ledger {
    bus: SharedBus,
    subject: String,
    plan: String,
    incident: String,
    name: String,
    /// The record stands here, or further on.
    known: AtomicU64,
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
            known: AtomicU64::new(0),
        }
    }

    /// What it says now, at least as new as what we know of it.
    ///
    /// # Errors
    /// Those the bus will not answer differently later; [`BusError::Unavailable`] where its answers stay too old.
    pub async fn read(&self) -> Result<Option<Held>, BusError> {
        let began = Instant::now();
        let ask = || self.bus.last(Stream::Outcomes, &self.subject);
        let message = loop {
            let message = until_answered("ledger", ask).await?;
            let (sequence, known) = (message.as_ref().map_or(0, |m| m.sequence), self.known());
            if sequence >= known {
                break message;
            }
            if began.elapsed() > LAG_MAX {
                let why = format!("the answer is of {sequence}, older than {known}: a copy lags");
                return Err(BusError::Unavailable { what: self.subject.clone(), why });
            }
            tokio::time::sleep(ASK_AGAIN).await;
        };
        let Some(message) = message else { return Ok(None) };
        self.knows(message.sequence);
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
            Ok(stored) => self.knows(stored.sequence),
            // Something lies behind what was expected.
            Err(BusError::Conflict { .. }) => self.knows(expected + 1),
            Err(error) => return Err(error),
        }
        self.read().await
    }

    fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    fn knows(&self, sequence: u64) {
        self.known.fetch_max(sequence, Ordering::Relaxed);
    }
}
