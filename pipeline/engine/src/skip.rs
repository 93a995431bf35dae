//! The way on for a log that stands still before an entry: go on without that entry.
//!
//! Done by hand, and only while the newest position record says that the log stands still before exactly that entry: the
//! record is rewritten by compare-and-set, so whoever has come further in between is not touched. From then on the record
//! names what is left out, every reader of the log passes over it, and whoever owns the log finds the record not
//! to be theirs and takes the log up anew.

use crate::boot::Boot;
use crate::commit::record_message;
use crate::error::EngineError;
use crate::notices::{ENTRY_SKIPPED, notice};
use crate::ownership::{newest_record, stream_of};
use bus::{BusError, SharedBus};
use serde::Serialize;
use stages::log::LogId;
use stages::stop::Stop;
use stages::subject::Subjects;
use stages::wire::CommitRecord;

/// Entries of one log that may be left out at a time, until they have left the log: each is carried in every position
/// record, in 20 bytes. So many faults are for a new version to mend.
const SKIPPED_MAX: usize = 200;
/// Times the record may be renewed while this looks at it.
const ATTEMPTS_MAX: usize = 10;

/// What is to be left out, and on whose word.
#[derive(Clone, Debug)]
pub struct Skip {
    /// Which log.
    pub log: LogId,
    /// The entry it stands still before; the last one, where it is several.
    pub sequence: u64,
    /// Who says so.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// What was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Which log, as subjects name it.
    pub log: String,
    /// First and last entry.
    pub entries: (u64, u64),
    /// Why the log stood still.
    pub why: String,
}

/// The logs that stand still, and why.
///
/// # Errors
/// The bus does not answer, or a record cannot be read.
pub async fn stops(
    bus: &SharedBus,
    subjects: &Subjects,
    logs: impl Iterator<Item = LogId>,
) -> Result<Vec<(LogId, Stop)>, EngineError> {
    let mut stops = Vec::new();
    for log in logs {
        let record = newest_record(bus, subjects, log).await?;
        stops.extend(record.and_then(|(_, record)| Some((log, record.stopped?))));
    }
    Ok(stops)
}

/// Lets a log go on without what it stands still before.
///
/// # Errors
/// [`EngineError::NotStopped`] if it does not stand still there; the bus does not answer.
pub async fn skip(
    bus: &SharedBus,
    subjects: &Subjects,
    skip: &Skip,
) -> Result<Skipped, EngineError> {
    let (log, boot) = (skip.log, Boot::new("skip"));
    for _ in 0..ATTEMPTS_MAX {
        let (sequence, record) =
            newest_record(bus, subjects, log).await?.ok_or_else(|| not_stopped(skip, None))?;
        let ours =
            record.stopped.clone().zip(record.stopped.as_ref().and_then(|stop| stop.entries));
        let Some((stop, entries)) = ours.filter(|(_, (_, last))| *last == skip.sequence) else {
            return Err(not_stopped(skip, record.stopped.as_ref()));
        };
        let first = bus.state(stream_of(log)).await?.first;
        let mut skipped = record.skipped.clone();
        skipped.retain(|(_, last)| *last >= first);
        if skipped.len() >= SKIPPED_MAX {
            return Err(EngineError::Unrecoverable {
                log,
                why: format!("{SKIPPED_MAX} entries are left out of it already"),
                remedy: "start a version of ops that does not stop before them",
            });
        }
        skipped.push(entries);
        let renewed = CommitRecord {
            attempt: boot.attempt(),
            // What its owner said behind this record alone.
            outputs_behind: record.outputs_behind.or(Some(sequence)),
            stopped: None,
            skipped,
            ..record
        };
        let text = told(skip, entries, &stop);
        let place = (renewed.time, renewed.position);
        let batch = vec![
            notice(subjects, log, place, ENTRY_SKIPPED, text),
            record_message(subjects, log, &renewed, sequence),
        ];
        match bus.commit(batch).await {
            Ok(_) => {}
            Err(BusError::Conflict { .. } | BusError::Unclear { .. }) => {
                let found = newest_record(bus, subjects, log).await?;
                let stored = found.is_some_and(|(_, found)| found.skipped.contains(&entries));
                if !stored {
                    continue;
                }
            }
            Err(error) => return Err(error.into()),
        }
        return Ok(Skipped { log: log.to_string(), entries, why: stop.why });
    }
    Err(BusError::Conflict { subject: subjects.commit(log) }.into())
}

fn not_stopped(skip: &Skip, stop: Option<&Stop>) -> EngineError {
    let found = stop.map_or_else(
        || "it does not stand still".to_owned(),
        |stop| format!("it {}: {}", stop.place(), stop.why),
    );
    EngineError::NotStopped { log: skip.log, sequence: skip.sequence, found }
}

/// What people are told, who said so and why included: this is the record of it.
fn told(skip: &Skip, (first, last): (u64, u64), stop: &Stop) -> String {
    let Skip { log, author, reason, .. } = skip;
    let what =
        if first == last { format!("entry {last}") } else { format!("entries {first} to {last}") };
    let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    format!(
        "log {log} goes on without {what}, left out by {author}{because}; it stood still: {}",
        stop.why
    )
}
