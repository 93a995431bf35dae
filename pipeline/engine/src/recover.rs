//! The way out for a log that cannot be continued from what is on the bus: go on without what is gone.
//!
//! Done by hand, with the loss named first. It takes the log over like any owner, so whoever still works on it is locked
//! out; writes a position that can be continued; tells people; and releases the log to the next owner.

use crate::boot::Boot;
use crate::commit::{Tenure, record_message};
use crate::error::EngineError;
use crate::health::Register;
use crate::notices::{LOSS_ACCEPTED, notice};
use crate::options::EngineOptions;
use crate::ownership::{self, RECORDS_GONE, Taking, first_record, newest_record, stream_of};
use crate::recovery;
use crate::said::Said;
use bus::{Expect, Outgoing, Stream};
use serde::Serialize;
use stages::log::LogId;
use stages::wire::{CommitRecord, OwnRecord};
use std::time::Duration;

/// An owner that says nothing for so long, with a heartbeat a second, does not own the log any more.
const SILENT: Duration = Duration::from_secs(4);

/// Why a log cannot be continued, and what going on all the same costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// Which log, as subjects name it.
    pub log: String,
    /// Why it cannot.
    pub why: String,
    /// What is lost.
    pub lost: String,
    /// It was accepted: the log can be continued.
    pub accepted: bool,
}

/// Finds out whether `log` can be continued; none if it can. Where it cannot and `accept` says so, makes it continuable.
///
/// # Errors
/// The bus does not answer, or an owner of the log is alive.
pub async fn recover(
    options: &EngineOptions,
    log: LogId,
    accept: bool,
) -> Result<Option<Loss>, EngineError> {
    let EngineOptions { bus, subjects, .. } = options;
    let Some((_, record)) = newest_record(bus, subjects, log).await? else {
        if ownership::is_known(bus, subjects, log).await? {
            return records_gone(options, log, accept).await.map(Some);
        }
        return Ok(None);
    };
    let (fence, commit_sequence, said) = (0, 0, Said::default());
    let seen = Tenure { log, fence, commit_sequence, record: record.clone(), said };
    let register = Register::new(std::iter::once(log));
    let why = match recovery::start(options, &register, &seen).await {
        Ok(_) => return Ok(None),
        Err(EngineError::Unrecoverable { why, .. }) => why,
        Err(error) => return Err(error),
    };
    let anew = bus.state(stream_of(log)).await?.last < record.position;
    let lost = if anew {
        format!(
            "everything the log held up to entry {} ({}): windows, alerts and incidents begin anew with what its stream holds now",
            record.position, record.time
        )
    } else {
        format!(
            "what followed from entries that have left the log: windows and alerts are recomputed from what is left of it, up to entry {} ({}), and nothing is said of that",
            record.position, record.time
        )
    };
    let mut loss = Loss { log: log.to_string(), why, lost, accepted: false };
    if accept {
        accept_loss(options, &loss, log, anew).await?;
        loss.accepted = true;
    }
    Ok(Some(loss))
}

/// Nobody knows how far the log was worked off. All that it holds counts as said: what was not is lost, but nothing is
/// said, paged or rolled back a second time.
async fn records_gone(
    options: &EngineOptions,
    log: LogId,
    accept: bool,
) -> Result<Loss, EngineError> {
    let EngineOptions { bus, subjects, .. } = options;
    let newest = bus.last(stream_of(log), &subjects.entries(log)).await?;
    let created = bus.state(stream_of(log)).await?.created;
    let (position, time) = newest.map_or((0, created), |last| (last.sequence, last.time));
    let lost = format!(
        "what followed from the log up to entry {position} ({time}) and was not heard of before: all of that counts as said; windows and alerts are recomputed from it"
    );
    let why = RECORDS_GONE.to_owned();
    let mut loss = Loss { log: log.to_string(), why, lost, accepted: false };
    if accept {
        let first = first_record(created, options.stages.is);
        let record = CommitRecord { position, time, ..first };
        bus.publish(record_message(subjects, log, &record, 0)).await?;
        accept_loss(options, &loss, log, false).await?;
        loss.accepted = true;
    }
    Ok(loss)
}

async fn accept_loss(
    options: &EngineOptions,
    loss: &Loss,
    log: LogId,
    anew: bool,
) -> Result<(), EngineError> {
    let EngineOptions { bus, subjects, .. } = options;
    let alive = |process: String| EngineError::Unrecoverable {
        log,
        why: format!("process {process} owns it and is alive"),
        remedy: "stop it, then try again",
    };
    if let Some(process) = owner_alive(options, log).await? {
        return Err(alive(process));
    }
    let boot = Boot::of("recover", options.stages.is);
    let tenure = match ownership::take(bus, subjects, &boot, log, |_| true).await? {
        Taking::Taken(tenure) => *tenure,
        Taking::OwnedBy(process) => return Err(alive(process)),
    };
    // Snapshots and the list of those that stay: nobody starts from one of them any more.
    bus.purge(Stream::State, &subjects.state_of(log), 0).await?;
    let stream = bus.state(stream_of(log)).await?;
    let (position, time) =
        if anew { (0, stream.created) } else { (tenure.record.position, tenure.record.time) };
    let record = CommitRecord {
        position,
        time,
        part: 0,
        snapshot: None,
        snapshot_before: None,
        attempt: boot.attempt(),
        outputs_behind: None,
        stages: options.stages.is,
        stopped: None,
        ..tenure.record.clone()
    };
    bus.publish(record_message(subjects, log, &record, tenure.commit_sequence)).await?;
    let text = format!("log {log} goes on by hand although {}; lost: {}", loss.why, loss.lost);
    let own = Some(subjects.own(log));
    bus.publish(Outgoing {
        expect: Some(Expect { subject: own, sequence: tenure.fence }),
        ..notice(subjects, log, (time, position), LOSS_ACCEPTED, text)
    })
    .await?;
    ownership::release(bus, subjects, &boot, &tenure).await.map_err(EngineError::from)
}

/// The process that owns the log, if its heartbeat goes on.
async fn owner_alive(options: &EngineOptions, log: LogId) -> Result<Option<String>, EngineError> {
    let EngineOptions { bus, subjects, .. } = options;
    let own = bus.last(Stream::Events, &subjects.own(log)).await?;
    let own = own.and_then(|m| serde_json::from_slice::<OwnRecord>(&m.payload).ok());
    let Some(OwnRecord { process, .. }) = own.filter(|own| !own.released) else { return Ok(None) };
    let beat = async || {
        let beat = bus.last(Stream::Alive, &subjects.alive(&process)).await?;
        Ok::<_, EngineError>(beat.map(|beat| beat.sequence))
    };
    let before = beat().await?;
    tokio::time::sleep(SILENT).await;
    Ok((beat().await? != before).then_some(process))
}
