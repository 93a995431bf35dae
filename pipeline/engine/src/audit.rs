//! The audit: replays a log through the stages and compares every word that was said with what it recomputes.
//!
//! It begins at an anchor (or another snapshot, or the log's start), reads the log up to the newest committed position, and
//! walks through `OPS_EVENTS` beside it. It owns nothing and says nothing: it may run while the engine does.

mod replay;
mod standing;

use crate::anchors::Anchors;
use crate::error::EngineError;
use crate::notices;
use crate::options::StagesVersion;
use crate::ownership::stream_of;
use crate::said::says;
use crate::snapshot;
use crate::whole::is_whole_behind;
use bus::{Message, Reader, SharedBus, Stream};
use bytes::Bytes;
use replay::{Replay, Words};
use serde::{Deserialize, Serialize};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{CommitRecord, SnapshotRef};
pub use standing::{Stood, stood};
use std::collections::VecDeque;
use std::time::Duration;

/// What is replayed and how.
#[derive(Clone)]
pub struct AuditOptions {
    /// The bus.
    pub bus: SharedBus,
    /// Subjects on it.
    pub subjects: Subjects,
    /// Number of shards.
    pub shards: u32,
    /// From when on events are to be proven.
    pub since: Time,
    /// Which stages prove it.
    pub stages: StagesVersion,
}

/// What the audit of one log came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Which log, as subjects name it.
    pub log: String,
    /// Events that are exactly what the log says.
    pub proven: u64,
    /// Events their owner said by itself, for instance that entries were missing: there is nothing to recompute.
    pub by_owner: u64,
    /// Entries replayed.
    pub entries: u64,
    /// Log time and position replayed from, exclusive, and to.
    pub from: Option<(Time, u64)>,
    /// See [`Self::from`].
    pub to: Option<(Time, u64)>,
    /// Spans of the time asked for that cannot be proven, and why.
    pub unproven: Vec<Unproven>,
    /// The first event that is not what the log says.
    pub difference: Option<Difference>,
}

/// A span that cannot be proven.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unproven {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Why.
    pub why: String,
}

/// Where the bus and the log part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Entries of the log it follows from: behind the first, up to the second.
    pub entries: (u64, u64),
    /// Sequence in `OPS_EVENTS`, where something is there.
    pub sequence: Option<u64>,
    /// Subject and body as the log says them; none where it says nothing.
    pub recomputed: Option<(String, String)>,
    /// Subject and body on the bus; none where it has nothing.
    pub found: Option<(String, String)>,
}

/// How far it is: entries replayed, of how many at most.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// Audits one log.
///
/// # Errors
/// The bus does not answer, or the log has no position yet.
pub async fn audit(
    options: &AuditOptions,
    log: LogId,
    progress: Progress<'_>,
) -> Result<Audit, EngineError> {
    audit_until(options, log, Time(i64::MAX), progress).await
}

/// Audits one log up to what was stored by `until`; a step that goes on behind that is left out.
///
/// # Errors
/// As [`audit`].
pub async fn audit_until(
    options: &AuditOptions,
    log: LogId,
    until: Time,
    progress: Progress<'_>,
) -> Result<Audit, EngineError> {
    let AuditOptions { bus, subjects, since, .. } = options;
    let mut audit = Audit {
        log: log.to_string(),
        proven: 0,
        by_owner: 0,
        entries: 0,
        from: None,
        to: None,
        unproven: Vec::new(),
        difference: None,
    };
    let records = records(bus, subjects, log).await?;
    let Some((_, mut end)) = records.last().cloned() else { return Ok(audit) };
    let Some(start) = find_start(options, log, &records, &mut audit.unproven).await? else {
        return Ok(audit);
    };
    if let Some(why) = start.why.clone().filter(|_| start.time > *since) {
        audit.unproven.push(Unproven { from: *since, to: start.time, why });
    }
    if until < end.time {
        let beyond = bus.first_at(stream_of(log), until).await?;
        end.position = end.position.min(beyond).max(start.position);
        end.time = until;
    }
    (audit.from, audit.to) = (Some((start.time, start.position)), Some((end.time, end.position)));
    let mut said = Spoken::open(options, log, &records, &start, end.position).await?;
    let mut replay = Replay::start(options, log, &start)?;
    let mut messages = Vec::new();
    let mut read =
        bus.read(stream_of(log), Some(&subjects.entries(log)), start.position + 1).await?;
    let whole = end.position.saturating_sub(start.position);
    // A step may have ended by an entry beyond it.
    while replay.ended < end.position && audit.difference.is_none() {
        read.next(&mut messages).await?;
        for message in messages.drain(..) {
            audit.entries += u64::from(message.sequence <= end.position);
            replay.push(subjects, message, &end);
        }
        while let Some(done) = replay.next().await {
            compare(done, &mut said, &mut audit).await?;
        }
        progress(replay.ended.saturating_sub(start.position).min(whole), whole);
    }
    while let Some(done) = replay.last().await {
        compare(done, &mut said, &mut audit).await?;
    }
    if audit.difference.is_none()
        && let Some(left) = said.next().await?
    {
        audit.difference = Some(Difference {
            entries: (start.position, end.position),
            sequence: Some(left.sequence),
            recomputed: None,
            found: Some(text(&left.subject, &left.payload)),
        });
    }
    audit.by_owner = said.by_owner;
    Ok(audit)
}

/// Holds what a step says against what is on the bus.
async fn compare(
    (before, position, outputs): Words,
    said: &mut Spoken,
    audit: &mut Audit,
) -> Result<(), EngineError> {
    for output in outputs {
        if audit.difference.is_some() {
            break;
        }
        let found = said.next().await?;
        let same = found.as_ref().is_some_and(|found| {
            found.subject == output.subject.as_bytes() && found.payload == output.payload
        });
        if same {
            audit.proven += 1;
            continue;
        }
        audit.difference = Some(Difference {
            entries: (before, position),
            sequence: found.as_ref().map(|found| found.sequence),
            recomputed: Some((output.subject, lossy(&output.payload))),
            found: found.map(|found| text(&found.subject, &found.payload)),
        });
    }
    Ok(())
}

/// Where a replay begins.
struct Start {
    position: u64,
    time: Time,
    snapshot: Option<Vec<Bytes>>,
    created: Time,
    /// Why it does not begin earlier; none at the beginning of the log.
    why: Option<String>,
}

/// All position records of a log, with their sequences.
async fn records(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
) -> Result<Vec<(u64, CommitRecord)>, EngineError> {
    let subject = subjects.commit(log);
    let Some(newest) = bus.last(Stream::Events, &subject).await? else { return Ok(Vec::new()) };
    let mut reader = bus.read(Stream::Events, Some(&subject), 1).await?;
    let (mut records, mut messages, mut at) = (Vec::new(), Vec::new(), 0);
    while at < newest.sequence {
        reader.next(&mut messages).await?;
        for message in messages.drain(..) {
            at = message.sequence;
            if let Ok(record) = serde_json::from_slice(&message.payload) {
                records.push((at, record));
            }
        }
    }
    records.retain(|(sequence, _)| *sequence <= newest.sequence);
    Ok(records)
}

/// The latest place at or before `since` from which everything can be recomputed, else the earliest one after it.
async fn find_start(
    options: &AuditOptions,
    log: LogId,
    records: &[(u64, CommitRecord)],
    unproven: &mut Vec<Unproven>,
) -> Result<Option<Start>, EngineError> {
    let AuditOptions { bus, subjects, since, .. } = options;
    let stream = bus.state(stream_of(log)).await?;
    let no_time = Duration::ZERO;
    let anchors = Anchors::load(bus, subjects, log, (no_time, no_time)).await?;
    let (_, end) = records.last().expect("there is a record");
    // What another version said, this one cannot recompute.
    let other = records.iter().rfind(|(_, record)| record.stages != options.stages.is);
    let after = other.map_or(0, |(_, record)| record.position);
    let of_anchors = anchors.newest_first().map(|anchor| &anchor.snapshot);
    let named = [&end.snapshot, &end.snapshot_before].into_iter().flatten();
    let mut places: Vec<SnapshotRef> = named.chain(of_anchors).cloned().collect();
    places.retain(|place| place.position >= after && place.stages == options.stages.is);
    places.sort_by_key(|place| place.position);
    let whole = async |position| {
        is_whole_behind(bus, subjects, stream_of(log), position, stream.last).await
    };
    // Behind a later place there is less that could be missing.
    while let Some(place) = places.first()
        && !whole(place.position).await?
    {
        places.remove(0);
    }
    let from_start = after == 0 && whole(0).await?;
    let why = match other {
        Some((_, record)) => format!("said by version {} of the stages", record.stages),
        None => "its entries have left the log, and no earlier snapshot was kept".to_owned(),
    };
    let split = places.partition_point(|place| place.time <= *since);
    let (early, late) = places.split_at(split);
    let early = early.iter().rev();
    let late = late.iter();
    let mut unreadable = None;
    for place in early {
        match snapshot::load(bus, subjects, log, place).await {
            Ok(chunks) => return Ok(Some(at(place, chunks, stream.created, why))),
            Err(EngineError::Bus(error)) => return Err(error.into()),
            Err(error) => unreadable = Some(error.to_string()),
        }
    }
    if from_start {
        let (created, why) = (stream.created, None);
        return Ok(Some(Start { position: 0, time: created, snapshot: None, created, why }));
    }
    for place in late {
        match snapshot::load(bus, subjects, log, place).await {
            Ok(chunks) => {
                let why = unreadable.unwrap_or(why);
                return Ok(Some(at(place, chunks, stream.created, why)));
            }
            Err(EngineError::Bus(error)) => return Err(error.into()),
            Err(error) => unreadable = Some(error.to_string()),
        }
    }
    let why = unreadable.unwrap_or(why);
    unproven.push(Unproven { from: *since, to: end.time, why });
    Ok(None)
}

fn at(place: &SnapshotRef, chunks: Vec<Bytes>, created: Time, why: String) -> Start {
    let SnapshotRef { position, time, .. } = *place;
    Start { position, time, snapshot: Some(chunks), created, why: Some(why) }
}

/// What a log said, in order.
struct Spoken {
    reader: Box<dyn Reader>,
    read: VecDeque<Message>,
    log: LogId,
    subjects: Subjects,
    /// Sequence read, and the one it is read to.
    at: u64,
    last: u64,
    /// Only what follows from entries behind the first and up to the second counts.
    about: u64,
    within: (u64, u64),
    by_owner: u64,
}

#[derive(Deserialize)]
struct Body {
    kind: Option<String>,
    position: Option<u64>,
    lost: Option<serde::de::IgnoredAny>,
}

impl Body {
    /// Not what the stages say, but what the owner or an operator did.
    fn is_of_owner(&self) -> bool {
        self.lost.is_some() || self.kind.as_deref().is_some_and(notices::is_of_owner)
    }
}

impl Spoken {
    /// Everything said about entries behind the start, up to `end`.
    async fn open(
        options: &AuditOptions,
        log: LogId,
        records: &[(u64, CommitRecord)],
        start: &Start,
        end: u64,
    ) -> Result<Self, EngineError> {
        let AuditOptions { bus, subjects, .. } = options;
        // What follows from entries behind the start was said behind a record of an earlier position.
        let begin = records.iter().rfind(|(_, record)| record.position <= start.position);
        let begin = begin.map_or(1, |(sequence, record)| {
            record.outputs_behind.map_or(*sequence, |behind| behind.min(*sequence))
        });
        Ok(Self {
            reader: bus.read(Stream::Events, None, begin).await?,
            read: VecDeque::new(),
            log,
            subjects: subjects.clone(),
            at: begin.saturating_sub(1),
            last: bus.state(Stream::Events).await?.last,
            about: 0,
            within: (start.position, end),
            by_owner: 0,
        })
    }

    /// The next thing it said.
    async fn next(&mut self) -> Result<Option<Message>, EngineError> {
        loop {
            while let Some(message) = self.read.pop_front() {
                if self.counts(&message) {
                    return Ok(Some(message));
                }
            }
            if self.at >= self.last {
                return Ok(None);
            }
            let mut messages = Vec::new();
            self.reader.next(&mut messages).await?;
            self.at = messages.last().map_or(self.at, |message| message.sequence);
            self.read.extend(messages);
        }
    }

    fn counts(&mut self, message: &Message) -> bool {
        if !says(&self.subjects, self.log, &message.subject) {
            return false;
        }
        let body: Option<Body> = serde_json::from_slice(&message.payload).ok();
        let body = body.as_ref();
        if body.is_some_and(|body| body.is_of_owner()) {
            self.by_owner += 1;
            return false;
        }
        // What names no position follows from the step of what was said before it.
        self.about = body.and_then(|body| body.position).unwrap_or(self.about);
        self.about > self.within.0 && self.about <= self.within.1
    }
}

fn text(subject: &Bytes, payload: &Bytes) -> (String, String) {
    (lossy(subject), lossy(payload))
}

fn lossy(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
