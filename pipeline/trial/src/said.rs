//! What was said in a trial, read back from the bytes for people and tools.

use serde::de::DeserializeOwned;
use stages::output::Output;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{
    AlertEvent, Command, Intent, RollbackEvent, ShardEvent, Transition, VerifyRequest, Withdraw,
};

/// One thing that was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A shard speaks.
    Shard(ShardEvent),
    /// The desk says what happened to an alert or incident.
    Alert(AlertEvent),
    /// Somebody is told.
    Message(Intent),
    /// Where a rollback stands.
    Rollback(RollbackEvent),
    /// A script is to run.
    Command(Command),
    /// A command is to be withdrawn.
    Withdraw(Withdraw),
    /// A shard is asked to verify.
    Request(VerifyRequest),
}

impl Said {
    /// Reads an output; none of what a trial has no use for.
    pub(crate) fn read(subjects: &Subjects, output: &Output) -> Option<Self> {
        let rest = output.subject.strip_prefix(subjects.prefix())?.strip_prefix('.')?;
        let (family, last) = (rest.split('.').next()?, rest.rsplit('.').next()?);
        let payload = &output.payload;
        match (family, last) {
            ("transition", _) => json(payload).map(Self::Shard),
            ("alert", _) => json(payload).map(Self::Alert),
            ("notify", _) => json(payload).map(Self::Message),
            ("rollback", "command") => json(payload).map(Self::Command),
            ("rollback", "withdraw") => json(payload).map(Self::Withdraw),
            ("rollback", _) => json(payload).map(Self::Rollback),
            ("request", _) => json(payload).map(Self::Request),
            _ => None,
        }
    }
}

fn json<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload).ok()
}

/// Something said, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// Log time of the step that said it.
    pub time: Time,
    /// Which desk it belongs to ([`crate::Trial::with_desks`]); what shards say about all is every desk's, and 0 here.
    pub desk: usize,
    /// What.
    pub said: Said,
}

impl Spoken {
    /// The transition, if it is one.
    pub fn transition(&self) -> Option<&Transition> {
        match &self.said {
            Said::Shard(ShardEvent::Transition(moved)) => Some(moved),
            _ => None,
        }
    }
}
