//! What the memory bus holds: streams, message ids, durable consumers. Plain state, changed under one lock.

use super::Clock;
use super::faults::{DeliveryFault, Faults, NoFaults, WriteFault};
use crate::layout::{DUPLICATE_WINDOW, Layout, SPECS, matches, spec_of};
use crate::{BusError, Message, Outgoing, Stored, Stream, StreamState, WorkOptions};
use bytes::Bytes;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::collections::BTreeMap;

/// From so many message ids on, old ones are looked for.
const IDS_LOOKED_THROUGH: usize = 4096;

pub(super) struct Store {
    layout: Layout,
    pub(super) clock: Clock,
    pub(super) connected: bool,
    pub(super) faults: Box<dyn Faults>,
    shards: u32,
    streams: BTreeMap<Stream, Kept>,
    durables: BTreeMap<String, Durable>,
}

/// One stream.
struct Kept {
    created: Time,
    last: u64,
    messages: BTreeMap<u64, (Message, bool)>,
    bytes: u64,
    last_of: BTreeMap<String, u64>,
    ids: BTreeMap<String, (Time, u64)>,
    held_at: Option<u64>,
}

/// One durable consumer.
struct Durable {
    stream: Stream,
    filter: String,
    next: u64,
    options: WorkOptions,
    /// By sequence: when it comes again, and how often it came.
    pending: BTreeMap<u64, (Time, u64)>,
}

/// What a durable consumer has at the moment.
pub(super) enum Offer {
    Work { message: Message, delivery: u64 },
    Wait { due: Option<Time> },
}

impl Store {
    pub(super) fn new(layout: Layout, clock: Clock) -> Self {
        Self {
            layout,
            clock,
            connected: true,
            faults: Box::new(NoFaults),
            shards: 0,
            streams: BTreeMap::new(),
            durables: BTreeMap::new(),
        }
    }

    pub(super) fn reachable(&self, what: &str) -> Result<(), BusError> {
        if self.connected {
            return Ok(());
        }
        Err(BusError::Unavailable { what: what.to_owned(), why: "not connected".to_owned() })
    }

    pub(super) fn ensure(&mut self, shards: u32) -> Result<(), BusError> {
        if self.shards != 0 && self.shards != shards {
            return Err(BusError::Mismatch {
                stream: self.layout.stream_name(Stream::Log),
                field: "subject_transform".to_owned(),
                found: format!("{} shards", self.shards),
                wanted: format!("{shards} shards"),
                remedy: crate::layout::SHARDS_REMEDY.to_owned(),
            });
        }
        self.shards = shards;
        let created = self.clock.now();
        for spec in &SPECS {
            self.streams.entry(spec.stream).or_insert_with(|| Kept::new(created));
        }
        Ok(())
    }

    pub(super) fn write_fault(&mut self, batch: &[Outgoing]) -> WriteFault {
        self.faults.write(batch)
    }

    /// Stores all or none; the answer is the last one's.
    pub(super) fn write(&mut self, batch: &[Outgoing]) -> Result<Stored, BusError> {
        let stream = self.stream_of(&batch[0].subject)?;
        if batch.len() > 1 && !spec_of(stream).atomic {
            return Err(unavailable(&batch[0].subject, "the stream takes no batches"));
        }
        for message in &batch[1..] {
            if self.layout.stream_of(&message.subject) != Some(stream) {
                return Err(BusError::Invalid(format!(
                    "{}: a batch holds messages of one stream",
                    message.subject
                )));
            }
        }
        let now = self.clock.now();
        if let Some(repeat) = self.repeat_of(stream, &batch[0], now) {
            return Ok(repeat);
        }
        for message in batch {
            self.check_expectation(stream, message)?;
        }
        let subjects: Vec<String> = batch.iter().map(|m| self.stored_subject(&m.subject)).collect();
        let kept = self.kept_mut(stream)?;
        for (message, subject) in batch.iter().zip(subjects) {
            kept.append(message, subject, now);
        }
        Ok(Stored { sequence: kept.last, duplicate: false })
    }

    fn stream_of(&self, subject: &str) -> Result<Stream, BusError> {
        self.layout
            .stream_of(subject)
            .filter(|stream| self.streams.contains_key(stream))
            .ok_or_else(|| unavailable(subject, "no stream takes this subject"))
    }

    fn repeat_of(&mut self, stream: Stream, message: &Outgoing, now: Time) -> Option<Stored> {
        let id = message.message_id.as_ref()?;
        let window = Span(DUPLICATE_WINDOW.as_nanos() as i64);
        let ids = &mut self.streams.get_mut(&stream)?.ids;
        let fresh = |stored: Time| now.since(stored) < window;
        if ids.len() >= IDS_LOOKED_THROUGH && ids.len().is_power_of_two() {
            ids.retain(|_, (stored, _)| fresh(*stored));
        }
        let (stored, sequence) = *ids.get(id)?;
        fresh(stored).then_some(Stored { sequence, duplicate: true })
    }

    fn check_expectation(&self, stream: Stream, message: &Outgoing) -> Result<(), BusError> {
        let Some(expect) = &message.expect else { return Ok(()) };
        let own = self.stored_subject(&message.subject);
        let subject = expect.subject.as_ref().unwrap_or(&own);
        let found = self.last(stream, subject)?.map_or(0, |last| last.sequence);
        if found == expect.sequence {
            return Ok(());
        }
        Err(BusError::Conflict { subject: message.subject.clone() })
    }

    /// `ops.metric.<name>` is stored under its shard.
    fn stored_subject(&self, subject: &str) -> String {
        let prefix = &self.layout.subject_prefix;
        let name =
            subject.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix(".metric."));
        let Some(name) = name else { return subject.to_owned() };
        let shard = Subjects::new(prefix.clone()).shard_of(name, self.shards);
        format!("{prefix}.log.{shard}.metric.{name}")
    }

    pub(super) fn last(&self, stream: Stream, subject: &str) -> Result<Option<Message>, BusError> {
        let kept = self.kept(stream)?;
        let sequence = if subject.contains(['*', '>']) {
            let all = kept.last_of.iter().filter(|(name, _)| matches(subject, name));
            all.map(|(_, sequence)| *sequence).max()
        } else {
            kept.last_of.get(subject).copied()
        };
        Ok(sequence.and_then(|sequence| kept.messages.get(&sequence)).map(|(m, _)| m.clone()))
    }

    /// The last of a subject as a copy has it that lacks the stream's newest `lag` messages.
    pub(super) fn last_of_a_copy(
        &self,
        stream: Stream,
        subject: &str,
        lag: u64,
    ) -> Result<Option<Message>, BusError> {
        let kept = self.kept(stream)?;
        let there = kept.messages.range(..=kept.last.saturating_sub(lag)).rev();
        let mut there = there.map(|(_, (message, _))| message);
        Ok(there.find(|message| matches(subject, text(&message.subject))).cloned())
    }

    pub(super) fn subjects(&self, stream: Stream, filter: &str) -> Result<Vec<String>, BusError> {
        let names = self.kept(stream)?.last_of.keys();
        Ok(names.filter(|name| matches(filter, name)).cloned().collect())
    }

    pub(super) fn state(&self, stream: Stream) -> Result<StreamState, BusError> {
        let kept = self.kept(stream)?;
        let first = kept.messages.keys().next().copied().unwrap_or(kept.last + 1);
        let bytes = (kept.bytes, 0);
        Ok(StreamState { first, last: kept.last, created: kept.created, bytes })
    }

    pub(super) fn first_at(&self, stream: Stream, time: Time) -> Result<u64, BusError> {
        let kept = self.kept(stream)?;
        let first = kept.messages.values().find(|(message, _)| message.time >= time);
        Ok(first.map_or(kept.last + 1, |(message, _)| message.sequence))
    }

    pub(super) fn hold(&mut self, stream: Stream, sequence: Option<u64>) {
        if let Some(kept) = self.streams.get_mut(&stream) {
            kept.held_at = sequence;
        }
    }

    pub(super) fn expire_before(&mut self, stream: Stream, sequence: u64) {
        if let Some(kept) = self.streams.get_mut(&stream) {
            let gone = kept.messages.range(..sequence).filter(|(_, (_, stays))| !stays);
            let gone: Vec<u64> = gone.map(|(sequence, _)| *sequence).collect();
            gone.into_iter().for_each(|sequence| kept.remove(sequence));
        }
    }

    pub(super) fn purge(
        &mut self,
        stream: Stream,
        subject: &str,
        keep: u64,
    ) -> Result<(), BusError> {
        let kept = self.kept_mut(stream)?;
        let matching =
            kept.messages.iter().filter(|(_, (m, _))| matches(subject, text(&m.subject)));
        let mut gone: Vec<u64> = matching.map(|(sequence, _)| *sequence).collect();
        gone.truncate(gone.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX)));
        gone.into_iter().for_each(|sequence| kept.remove(sequence));
        Ok(())
    }

    /// What a reader may see from `from` on, and how far that is.
    pub(super) fn readable(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
        most: usize,
    ) -> (Vec<Message>, u64) {
        let Some(kept) = self.streams.get(&stream).filter(|_| self.connected) else {
            return (Vec::new(), 0);
        };
        let end = kept.held_at.unwrap_or(u64::MAX).min(kept.last);
        let mut messages = self.after(stream, filter, from, most);
        messages.retain(|message| message.sequence <= end);
        (messages, end)
    }

    pub(super) fn after(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
        most: usize,
    ) -> Vec<Message> {
        let Some(kept) = self.streams.get(&stream) else { return Vec::new() };
        let messages = kept.messages.range(from..).map(|(_, (message, _))| message);
        let wanted = messages.filter(|m| filter.is_none_or(|f| matches(f, text(&m.subject))));
        wanted.take(most).cloned().collect()
    }

    pub(super) fn make_durable(
        &mut self,
        stream: Stream,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<(), BusError> {
        let next = if options.only_new { self.kept(stream)?.last + 1 } else { 1 };
        let durable =
            Durable { stream, filter: filter.to_owned(), next, options, pending: BTreeMap::new() };
        self.durables.entry(name.to_owned()).or_insert(durable);
        Ok(())
    }

    /// The next piece of work of a durable consumer: first what is due again, then what is new.
    pub(super) fn offer(&mut self, name: &str) -> Result<Offer, BusError> {
        let now = self.clock.steady();
        let lost = || unavailable(name, "no such durable consumer");
        let durable = self.durables.get(name).ok_or_else(lost)?;
        if !self.connected {
            return Ok(Offer::Wait { due: None });
        }
        let due =
            durable.pending.iter().find(|(_, (due, _))| *due <= now).map(|(s, (_, n))| (*s, n + 1));
        let fresh = if durable.pending.len() < durable.options.in_flight_max {
            let fresh = self.after(durable.stream, Some(&durable.filter), durable.next, 1);
            fresh.first().map(|message| (message.sequence, 1))
        } else {
            None
        };
        let stream = durable.stream;
        let Some((sequence, delivery)) = due.or(fresh) else {
            let due = durable.pending.values().map(|(due, _)| *due).min();
            if durable.pending.len() < durable.options.in_flight_max {
                let behind = self.kept(stream)?.last + 1;
                self.durables.get_mut(name).ok_or_else(lost)?.next = behind;
            }
            return Ok(Offer::Wait { due });
        };
        let message = self.kept(stream)?.messages.get(&sequence).map(|(m, _)| m.clone());
        let durable = self.durables.get_mut(name).ok_or_else(lost)?;
        durable.next = durable.next.max(sequence + 1);
        let Some(message) = message else {
            // Expired or purged while it was in flight: nothing to redeliver.
            durable.pending.remove(&sequence);
            return self.offer(name);
        };
        let wait = Span(i64::try_from(durable.options.ack_wait.as_nanos()).unwrap_or(i64::MAX));
        let fault = self.faults.deliver(&message);
        let again = if fault == DeliveryFault::Duplicate { now } else { now.plus(wait) };
        // Counted before it may get lost: the far side cannot know.
        durable.pending.insert(sequence, (again, delivery));
        if fault == DeliveryFault::Lost {
            return self.offer(name);
        }
        Ok(Offer::Work { message, delivery })
    }

    pub(super) fn ack(&mut self, name: &str, sequence: u64) {
        if let Some(durable) = self.durables.get_mut(name) {
            durable.pending.remove(&sequence);
        }
    }

    /// Starts the ack wait again, or waits for `delay` instead.
    pub(super) fn postpone(&mut self, name: &str, sequence: u64, delay: Option<Span>) {
        let now = self.clock.steady();
        if let Some(durable) = self.durables.get_mut(name) {
            let wait = i64::try_from(durable.options.ack_wait.as_nanos()).unwrap_or(i64::MAX);
            if let Some((due, _)) = durable.pending.get_mut(&sequence) {
                *due = now.plus(delay.unwrap_or(Span(wait)));
            }
        }
    }

    fn kept(&self, stream: Stream) -> Result<&Kept, BusError> {
        let missing = || unavailable(&self.layout.stream_name(stream), "no such stream");
        self.streams.get(&stream).ok_or_else(missing)
    }

    fn kept_mut(&mut self, stream: Stream) -> Result<&mut Kept, BusError> {
        let name = self.layout.stream_name(stream);
        self.streams.get_mut(&stream).ok_or_else(|| unavailable(&name, "no such stream"))
    }
}

impl Kept {
    fn new(created: Time) -> Self {
        Self {
            created,
            last: 0,
            messages: BTreeMap::new(),
            bytes: 0,
            last_of: BTreeMap::new(),
            ids: BTreeMap::new(),
            held_at: None,
        }
    }

    fn append(&mut self, message: &Outgoing, subject: String, time: Time) {
        self.last += 1;
        self.bytes += message.payload.len() as u64;
        if let Some(id) = &message.message_id {
            self.ids.insert(id.clone(), (time, self.last));
        }
        let stored = Message {
            subject: Bytes::from(subject.clone()),
            sequence: self.last,
            time,
            payload: message.payload.clone(),
        };
        self.last_of.insert(subject, self.last);
        self.messages.insert(self.last, (stored, message.keep_forever));
    }

    fn remove(&mut self, sequence: u64) {
        let Some((message, _)) = self.messages.remove(&sequence) else { return };
        self.bytes -= message.payload.len() as u64;
        let subject = text(&message.subject);
        if self.last_of.get(subject) == Some(&sequence) {
            let before = self.messages.values().rev().find(|(m, _)| m.subject == message.subject);
            match before.map(|(m, _)| m.sequence) {
                Some(before) => self.last_of.insert(subject.to_owned(), before),
                None => self.last_of.remove(subject),
            };
        }
    }
}

/// Subjects are stored as they were published, which was text.
fn text(subject: &Bytes) -> &str {
    std::str::from_utf8(subject).unwrap_or_default()
}

fn unavailable(what: &str, why: &str) -> BusError {
    BusError::Unavailable { what: what.to_owned(), why: why.to_owned() }
}
