//! The retained log as a backtest reads it: entries of all shards in the order they were stored, and between them what
//! people and tools said.

use super::Backtest;
use crate::TrialError;
use bus::{Message, SharedBus, Stream};
use bytes::Bytes;
use stages::log::{DeskKind, LogId};
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::CommitRecord;
use std::collections::BTreeMap;

/// Which part of which log.
#[derive(Clone)]
pub struct Retained {
    /// The bus.
    pub bus: SharedBus,
    /// Subjects on it.
    pub subjects: Subjects,
    /// Number of shards.
    pub shards: u32,
    /// From when on entries are read, and to when.
    pub span: (Time, Time),
}

/// How far it is: entries read, of how many at most, and samples so far.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64, u64) + Send);

/// What decides beside samples: silences, changes, the kill switch, locks that were lifted. Acknowledgements and approvals
/// name incidents of then.
const PEOPLE: [(&str, DeskKind); 4] = [
    ("silence", DeskKind::Silence),
    ("change", DeskKind::Change),
    ("freeze", DeskKind::Freeze),
    ("unlock", DeskKind::Unlock),
];

impl Retained {
    /// When the streams of samples and of the desk were created.
    ///
    /// # Errors
    /// The bus does not answer.
    pub async fn created(&self) -> Result<(Time, Time), TrialError> {
        let (log, desk) = (self.bus.state(Stream::Log), self.bus.state(Stream::Desk));
        Ok((log.await?.created, desk.await?.created))
    }

    /// Plays the log to `backtest`. When the first entry was stored; none where there is none in the span.
    ///
    /// # Errors
    /// The bus does not answer, or a stage fails.
    pub async fn play(
        &self,
        backtest: &mut Backtest,
        progress: Progress<'_>,
    ) -> Result<Option<Time>, TrialError> {
        let Self { bus, subjects, span: (from, to), .. } = self;
        let first = bus.first_at(Stream::Log, *from).await?;
        let filter = subjects.of("log.>");
        let last = bus.last(Stream::Log, &filter).await?.map_or(0, |last| last.sequence);
        if last < first {
            return Ok(None);
        }
        let skipped = self.skipped().await?;
        let mut people = self.people().await?.into_iter().peekable();
        let mut reader = bus.read(Stream::Log, None, first).await?;
        let (mut messages, mut began, mut done) = (Vec::new(), None, false);
        while !done {
            reader.next(&mut messages).await?;
            for message in messages.drain(..) {
                done |= message.sequence >= last || message.time > *to;
                if message.time > *to {
                    break;
                }
                began.get_or_insert(message.time);
                while let Some((time, kind, payload)) =
                    people.next_if(|(time, ..)| *time <= message.time)
                {
                    backtest.said(time, kind, payload)?;
                }
                progress(
                    message.sequence.saturating_sub(first),
                    last - first,
                    backtest.counted().0,
                );
                self.entry(message, &skipped, backtest)?;
            }
        }
        progress(last - first, last - first, backtest.counted().0);
        Ok(began)
    }

    fn entry(
        &self,
        message: Message,
        skipped: &BTreeMap<u32, Vec<(u64, u64)>>,
        backtest: &mut Backtest,
    ) -> Result<(), TrialError> {
        let Some(LogId::Shard(shard)) = self.subjects.log_of(&message.subject) else {
            return Ok(());
        };
        let Message { subject, sequence, time, payload } = message;
        let left_out = skipped.get(&shard).map(Vec::as_slice).unwrap_or_default();
        let entry = self.subjects.log_entry(subject, (sequence, time), payload, left_out);
        backtest.entry(shard, entry)
    }

    /// Entries that operators left out, by shard.
    async fn skipped(&self) -> Result<BTreeMap<u32, Vec<(u64, u64)>>, TrialError> {
        let mut all = BTreeMap::new();
        for shard in 0..self.shards {
            let subject = self.subjects.commit(LogId::Shard(shard));
            let record = self.bus.last(Stream::Events, &subject).await?;
            let record =
                record.and_then(|one| serde_json::from_slice::<CommitRecord>(&one.payload).ok());
            all.extend(record.map(|record| (shard, record.skipped)));
        }
        Ok(all)
    }

    /// What people said up to the end of the span, in order.
    async fn people(&self) -> Result<Vec<(Time, DeskKind, Bytes)>, TrialError> {
        let mut all: Vec<(u64, (Time, DeskKind, Bytes))> = Vec::new();
        for (token, kind) in PEOPLE {
            let filter = self.subjects.of(&format!("desk.{token}.>"));
            let Some(last) = self.bus.last(Stream::Desk, &filter).await? else { continue };
            let mut reader = self.bus.read(Stream::Desk, Some(&filter), 1).await?;
            let (mut messages, mut at) = (Vec::new(), 0);
            while at < last.sequence {
                reader.next(&mut messages).await?;
                for Message { sequence, time, payload, .. } in messages.drain(..) {
                    at = sequence;
                    if time <= self.span.1 {
                        all.push((sequence, (time, kind, payload)));
                    }
                }
            }
        }
        all.sort_by_key(|(sequence, _)| *sequence);
        Ok(all.into_iter().map(|(_, one)| one).collect())
    }
}
