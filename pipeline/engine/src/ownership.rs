//! Whose log it is: `ops.own.<log>`, taken and released by compare-and-set.
//!
//! Taking is one atomic batch of the rewritten commit record and the own record. The own record's sequence is the
//! fence of every commit; the rewritten commit record alone already locks the old owner out. What the old owner said
//! behind its last record is looked up after that, when it can say no more.

use crate::boot::Boot;
use crate::commit::{Tenure, record_message};
use crate::error::EngineError;
use crate::said::{self, Said};
use bus::{BusError, Expect, Message, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{CommitRecord, OwnRecord, SCHEMA};

/// What trying to take a log came to.
pub(crate) enum Taking {
    /// It is ours.
    Taken(Box<Tenure>),
    /// Another process owns it.
    OwnedBy(String),
}

/// Why a log cannot be taken of which there are snapshots but no position record.
pub(crate) const RECORDS_GONE: &str = "it has snapshots, but its position records are gone: the stream of events was made anew, and what was said is not \
     known";

/// The stream a log lies in.
pub(crate) const fn stream_of(log: LogId) -> Stream {
    match log {
        LogId::Shard(_) => Stream::Log,
        LogId::Desk => Stream::Desk,
    }
}

/// Whose `log` is at the moment, by its own record; none if nobody's.
pub(crate) async fn owner(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
) -> Result<Option<OwnRecord>, EngineError> {
    let own = bus.last(Stream::Events, &subjects.own(log)).await?;
    let owner: Option<OwnRecord> = own.as_ref().map(|own| read(log, own)).transpose()?;
    Ok(owner.filter(|owner| !owner.released))
}

/// The newest position record of a log, with its sequence.
pub(crate) async fn newest_record(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
) -> Result<Option<(u64, CommitRecord)>, EngineError> {
    let newest = bus.last(Stream::Events, &subjects.commit(log)).await?;
    let Some(message) = newest else { return Ok(None) };
    let record: CommitRecord = read(log, &message)?;
    if record.schema > SCHEMA {
        let (found, own) = (record.schema, SCHEMA);
        return Err(EngineError::Newer { log, what: "its position records", found, own });
    }
    Ok(Some((message.sequence, record)))
}

/// Whether somebody has worked on the log: then there are snapshots, and there was a position record before them.
pub(crate) async fn is_known(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
) -> Result<bool, EngineError> {
    Ok(bus.last(Stream::State, &subjects.state_of(log)).await?.is_some())
}

fn records_gone(log: LogId) -> EngineError {
    EngineError::Unrecoverable {
        log,
        why: RECORDS_GONE.to_owned(),
        remedy: "restore the stream of events, or see what `ops recover` would give up",
    }
}

/// Takes `log` if nobody has it, it was released, or `may_take` says so of its owner.
pub(crate) async fn take(
    bus: &SharedBus,
    subjects: &Subjects,
    boot: &Boot,
    log: LogId,
    may_take: impl FnOnce(&OwnRecord) -> bool,
) -> Result<Taking, EngineError> {
    let own = bus.last(Stream::Events, &subjects.own(log)).await?;
    let owner: Option<OwnRecord> = own.as_ref().map(|own| read(log, own)).transpose()?;
    if let Some(owner) = owner.filter(|owner| !owner.released)
        && !may_take(&owner)
    {
        return Ok(Taking::OwnedBy(owner.process));
    }
    let (commit, mut record) = match newest_record(bus, subjects, log).await? {
        Some(newest) => newest,
        None if is_known(bus, subjects, log).await? => return Err(records_gone(log)),
        None => (0, first_record(bus.state(stream_of(log)).await?.created, boot.stages)),
    };
    if record.stages > boot.stages {
        let (found, own) = (record.stages, boot.stages);
        return Err(EngineError::Newer { log, what: "the stages", found, own });
    }
    record.attempt = boot.attempt();
    let mine = OwnRecord {
        schema: SCHEMA,
        process: boot.process.clone(),
        boot: boot.id.clone(),
        released: false,
    };
    let own = sequence(own.as_ref());
    let behind = *record.outputs_behind.get_or_insert(commit);
    let batch = vec![
        record_message(subjects, log, &record, commit),
        own_message(subjects, log, &mine, own),
    ];
    let fence = match bus.commit(batch).await {
        Ok(fence) => fence,
        Err(BusError::Conflict { .. } | BusError::Unclear { .. }) => {
            let own = bus.last(Stream::Events, &subjects.own(log)).await?;
            let owner: Option<OwnRecord> = own.as_ref().map(|own| read(log, own)).transpose()?;
            match owner {
                Some(owner) if owner == mine => sequence(own.as_ref()),
                owner => return Ok(Taking::OwnedBy(owner.map_or_else(String::new, |o| o.process))),
            }
        }
        Err(error) => return Err(error.into()),
    };
    // Messages of a batch have neighbouring sequences: the record lies right before the fence.
    let commit_sequence = fence - 1;
    let found = said::find(bus, subjects, log, behind, commit_sequence - 1).await?;
    let until = bus.state(stream_of(log)).await?.last;
    let said = Said::new(behind, until, found);
    Ok(Taking::Taken(Box::new(Tenure { log, fence, commit_sequence, record, said })))
}

/// Gives a log up in good order. A conflict means that it is somebody else's already.
pub(crate) async fn release(
    bus: &SharedBus,
    subjects: &Subjects,
    boot: &Boot,
    tenure: &Tenure,
) -> Result<(), BusError> {
    let record = OwnRecord {
        schema: SCHEMA,
        process: boot.process.clone(),
        boot: boot.id.clone(),
        released: true,
    };
    match bus.publish(own_message(subjects, tenure.log, &record, tenure.fence)).await {
        Ok(_) | Err(BusError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn own_message(subjects: &Subjects, log: LogId, record: &OwnRecord, expected: u64) -> Outgoing {
    Outgoing {
        subject: subjects.own(log),
        payload: Bytes::from(serde_json::to_vec(record).expect("wire types serialise")),
        expect: Some(Expect { subject: None, sequence: expected }),
        keep_forever: true,
        ..Outgoing::default()
    }
}

/// Of a log nobody has worked on.
pub(crate) fn first_record(created: Time, stages: u32) -> CommitRecord {
    CommitRecord {
        schema: SCHEMA,
        stages,
        position: 0,
        time: created,
        part: 0,
        snapshot: None,
        snapshot_before: None,
        attempt: String::new(),
        outputs_behind: None,
        stopped: None,
        skipped: Vec::new(),
    }
}

fn sequence(message: Option<&Message>) -> u64 {
    message.map_or(0, |message| message.sequence)
}

fn read<Record: serde::de::DeserializeOwned>(
    log: LogId,
    message: &Message,
) -> Result<Record, EngineError> {
    serde_json::from_slice(&message.payload).map_err(|error| EngineError::Unrecoverable {
        log,
        why: format!(
            "{}, sequence {}: {error}",
            String::from_utf8_lossy(&message.subject),
            message.sequence
        ),
        remedy: "start a version of ops that can read it",
    })
}
