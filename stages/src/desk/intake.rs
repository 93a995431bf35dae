//! Reading the desk's entries: relayed ones are taken once, whatever relays repeat; one that cannot be read is
//! named and costs nothing beside it.

use crate::log::{DeskKind, Entry, EntryKind};
use crate::revision::{Ahead, Collected, Taken};
use crate::subject::Subjects;
use crate::time::Time;
use crate::wire::{
    Ack, Approve, Change, Close, Delivery, Freeze, LedgerRecord, Relayed, RollbackOutcome, SCHEMA,
    ShardEvent, Silence, Unlock,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What an entry says.
#[derive(Debug)]
pub enum Input {
    /// Time passes.
    Tick,
    /// A revision of the settings, or a part of one.
    Settings(Box<Taken>),
    /// A shard speaks.
    Shard(ShardEvent),
    /// The claim ledger speaks; stored there at this moment.
    Ledger(LedgerRecord, Time),
    /// Somebody put a record on the ledger, which is a claim, but not one of ours.
    StrangeClaim(Box<StrangeClaim>),
    /// An agent speaks; stored there at this moment.
    Outcome(Box<RollbackOutcome>, Time),
    /// A delivery was tried.
    Delivery(Box<Delivery>),
    /// A person or a tool speaks.
    People(Box<People>),
    /// It was read before.
    Repeat,
    /// Nothing for the desk.
    Foreign,
    /// It cannot be read: what it is, and why.
    Unreadable(&'static str, String),
}

/// A claim whose record cannot be read: what was claimed stands in its subject.
#[derive(Debug)]
pub struct StrangeClaim {
    /// Plan.
    pub plan: String,
    /// Incident.
    pub incident: String,
    /// When the bus stored it.
    pub stored: Time,
    /// Why it cannot be read.
    pub why: String,
}

/// What a person or a tool says.
#[derive(Debug)]
pub enum People {
    /// I have taken it.
    Ack(Ack),
    /// Do not tell.
    Silence(Silence),
    /// Go ahead, or do not.
    Approve(Approve),
    /// A target was changed.
    Change(Change),
    /// The kill switch.
    Freeze(Freeze),
    /// It is over.
    Close(Close),
    /// A plan may run again.
    Unlock(Unlock),
}

/// What earlier entries left behind for later ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Last source sequence by stream and family of subjects.
    pub seen: BTreeMap<String, u64>,
    /// Parts of the next revision.
    pub collected: Collected,
}

/// Reads `entry` in the light of those before it.
pub fn read((entry, ahead): (&Entry, &Ahead), subjects: &Subjects, memory: &mut Memory) -> Input {
    let seen = &mut memory.seen;
    match &entry.kind {
        EntryKind::Tick => Input::Tick,
        EntryKind::Settings => {
            let came = (entry.sequence, &*entry.payload);
            Input::Settings(Box::new(memory.collected.take_entry(came, ahead)))
        }
        EntryKind::Desk(DeskKind::Transition) => transition(entry, seen),
        EntryKind::Desk(DeskKind::Outcome) => outcome(entry, subjects, seen),
        EntryKind::Desk(DeskKind::Ack) => {
            json("ack", entry, |it| Input::People(Box::new(People::Ack(it))))
        }
        EntryKind::Desk(DeskKind::Silence) => {
            json("silence", entry, |it| Input::People(Box::new(People::Silence(it))))
        }
        EntryKind::Desk(DeskKind::Approve) => {
            json("approve", entry, |it| Input::People(Box::new(People::Approve(it))))
        }
        EntryKind::Desk(DeskKind::Change) => {
            json("change", entry, |it| Input::People(Box::new(People::Change(it))))
        }
        EntryKind::Desk(DeskKind::Freeze) => {
            json("freeze", entry, |it| Input::People(Box::new(People::Freeze(it))))
        }
        EntryKind::Desk(DeskKind::Close) => {
            json("close", entry, |it| Input::People(Box::new(People::Close(it))))
        }
        EntryKind::Desk(DeskKind::Unlock) => {
            json("unlock", entry, |it| Input::People(Box::new(People::Unlock(it))))
        }
        EntryKind::Skipped
        | EntryKind::Metric(_)
        | EntryKind::Batch
        | EntryKind::Verify
        | EntryKind::Look
        | EntryKind::Unknown => Input::Foreign,
    }
}

fn json<T: DeserializeOwned>(
    what: &'static str,
    entry: &Entry,
    into: impl FnOnce(T) -> Input,
) -> Input {
    match parse(&entry.payload) {
        Ok(body) => into(body),
        Err(why) => Input::Unreadable(what, why),
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    schema: u32,
}

/// A body of a shape this version knows. A newer one may mean something else by the same fields.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match serde_json::from_slice::<Head>(body) {
        Ok(Head { schema }) if schema > SCHEMA => Err(format!(
            "it is of schema {schema}, from a newer version of ops; this one reads up to {SCHEMA}: start the newer one, then say it again"
        )),
        _ => serde_json::from_slice(body).map_err(|error| error.to_string()),
    }
}

type Envelope = Relayed<Box<RawValue>>;

/// The envelope, unless it was read before. Families are as fine as the sequences that rise together: one
/// shard's transitions are a family (two shards' may overtake each other), the outcomes are one.
fn envelope(
    entry: &Entry,
    fine: bool,
    seen: &mut BTreeMap<String, u64>,
) -> Result<Envelope, Input> {
    let envelope: Envelope =
        parse(&entry.payload).map_err(|why| Input::Unreadable("relayed entry", why))?;
    let mut family = envelope.source.stream.clone();
    if fine {
        family.push('/');
        family.push_str(&envelope.subject);
    }
    let last = seen.entry(family).or_default();
    if envelope.source.sequence <= *last {
        return Err(Input::Repeat);
    }
    *last = envelope.source.sequence;
    Ok(envelope)
}

fn transition(entry: &Entry, seen: &mut BTreeMap<String, u64>) -> Input {
    let envelope = match envelope(entry, true, seen) {
        Ok(envelope) => envelope,
        Err(input) => return input,
    };
    match parse(envelope.body.get().as_bytes()) {
        Ok(event) => Input::Shard(event),
        Err(why) => Input::Unreadable("transition", why),
    }
}

fn outcome(entry: &Entry, subjects: &Subjects, seen: &mut BTreeMap<String, u64>) -> Input {
    let envelope = match envelope(entry, false, seen) {
        Ok(envelope) => envelope,
        Err(input) => return input,
    };
    let (subject, body, time) = (&envelope.subject, envelope.body.get(), envelope.source.time);
    if let Some((plan, incident)) = subjects.claimed(subject) {
        ledger(plan, incident, body, time)
    } else if subject.starts_with(&subjects.of("status.rollback.")) {
        let outcome = parse(body.as_bytes());
        outcome.map_or_else(
            |why| Input::Unreadable("outcome", why),
            |outcome| Input::Outcome(Box::new(outcome), time),
        )
    } else if subject.starts_with(&subjects.of("status.notify.")) {
        let delivery = parse(body.as_bytes());
        delivery.map_or_else(
            |why| Input::Unreadable("delivery", why),
            |delivery| Input::Delivery(Box::new(delivery)),
        )
    } else {
        Input::Foreign
    }
}

/// Whoever creates the record has the command, whatever stands in it: tools of others may write what they like.
fn ledger(plan: String, incident: String, body: &str, stored: Time) -> Input {
    let why = match parse::<LedgerRecord>(body.as_bytes()) {
        Ok(record) if (&record.plan, &record.incident) == (&plan, &incident) => {
            return Input::Ledger(record, stored);
        }
        Ok(record) => format!("it names plan {:?}, incident {:?}", record.plan, record.incident),
        Err(why) => why,
    };
    Input::StrangeClaim(Box::new(StrangeClaim { plan, incident, stored, why }))
}
