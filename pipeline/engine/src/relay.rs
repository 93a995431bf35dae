//! The relay: carries what one log says to another, in order, and goes on where it stopped.
//!
//! Transitions and outcomes go up to the desk, verify requests and settings down to the shards. Each source has one
//! lane that sends nothing before the ack of what came before it, so the reader of the target may ignore every source
//! sequence that does not rise, and a relay may repeat itself or run beside another one. How far it got is read off the
//! newest entry in the target. Where that came from a stream that is not there any more, the one made in its place is
//! another source, read from its start: its sequences say nothing about the old ones.

use crate::health::Register;
use crate::notices::{STREAM_ANEW, notice};
use crate::patience::Patience;
use bus::failpoint::{self, Failpoint};
use bus::{BusError, Message, Outgoing, SharedBus, Stream, newest_revision, revision_batch};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{Relayed, SCHEMA, Source};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most messages relayed in one atomic batch.
const TOGETHER_MAX: usize = 500;
/// Most bytes of one; the server holds it in memory until it is whole.
const BYTES_MAX: usize = 2 << 20;
/// Most that go one by one, each after the ack of the one before: a batch would be slower (see `commit`).
const SINGLY_MAX: usize = 5;

/// Largest message that is relayed as it is: what wraps it must still fit the bus's usual 1 MiB.
const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// How much of what is no JSON is kept, for people.
const TEXT_BYTES_MAX: usize = 200;

/// What a relay works with.
#[derive(Clone)]
pub(crate) struct Relay {
    pub bus: SharedBus,
    pub subjects: Subjects,
    pub register: Arc<Register>,
}

/// One way between two logs.
#[derive(Clone, Debug)]
enum Lane {
    /// `ops.transition.<shard>` to `ops.desk.transition.<shard>`.
    Transitions,
    /// Everything edges report to `ops.desk.outcome.<rest>`.
    Outcomes,
    /// `ops.request.<shard>` to `ops.log.<shard>.verify`.
    Requests(u32),
}

impl Lane {
    fn source(&self, subjects: &Subjects) -> (Stream, &'static str, Option<String>) {
        match self {
            Self::Transitions => (Stream::Events, "events", Some(subjects.of("transition.*"))),
            Self::Outcomes => (Stream::Outcomes, "outcomes", None),
            Self::Requests(shard) => (Stream::Events, "events", Some(subjects.request(*shard))),
        }
    }

    /// Where what it carried lies, as a filter.
    fn target(&self, subjects: &Subjects) -> (Stream, String) {
        match self {
            Self::Transitions => (Stream::Desk, subjects.of("desk.transition.>")),
            Self::Outcomes => (Stream::Desk, subjects.of("desk.outcome.>")),
            Self::Requests(shard) => (Stream::Log, subjects.entry(LogId::Shard(*shard), "verify")),
        }
    }

    /// The subject in the target for one in the source.
    fn forward(&self, subjects: &Subjects, subject: &str) -> Option<String> {
        let rest = subject.strip_prefix(subjects.prefix())?.strip_prefix('.')?;
        Some(match self {
            Self::Transitions => subjects.of(&format!("desk.{rest}")),
            Self::Outcomes => subjects.of(&format!("desk.outcome.{rest}")),
            Self::Requests(shard) => subjects.entry(LogId::Shard(*shard), "verify"),
        })
    }
}

/// Starts every lane as a task of its own.
pub(crate) fn start(
    relay: Relay,
    shards: u32,
    settings_read: watch::Receiver<u64>,
    tasks: &mut JoinSet<()>,
) {
    let lanes = [Lane::Transitions, Lane::Outcomes];
    for lane in lanes.into_iter().chain((0..shards).map(Lane::Requests)) {
        tasks.spawn(relay.clone().carry(lane));
    }
    tasks.spawn(relay.carry_settings(shards, settings_read));
}

#[derive(Deserialize)]
struct Head {
    source: Source,
}

/// From where on a lane reads its source, and what it calls it.
struct Place {
    name: String,
    from: u64,
}

impl Relay {
    async fn carry(self, lane: Lane) {
        let mut patience = Patience::new();
        loop {
            if let Err(error) = self.try_carry(&lane, &mut patience).await {
                self.register.trouble(format!("relay of {lane:?}: {error}"));
            }
            patience.wait().await;
        }
    }

    async fn try_carry(&self, lane: &Lane, patience: &mut Patience) -> Result<(), BusError> {
        let Place { name, from } = self.place(lane).await?;
        let (stream, _, filter) = lane.source(&self.subjects);
        let mut reader = self.bus.read(stream, filter.as_deref(), from).await?;
        let mut messages = Vec::new();
        loop {
            reader.next(&mut messages).await?;
            let mut entries = Vec::new();
            let mut bytes = 0;
            for message in messages.drain(..) {
                let Some(entry) = self.wrap(lane, &name, &message) else { continue };
                if entries.len() >= TOGETHER_MAX || bytes + entry.payload.len() > BYTES_MAX {
                    self.store(std::mem::take(&mut entries)).await?;
                    bytes = 0;
                }
                bytes += entry.payload.len();
                entries.push(entry);
            }
            self.store(entries).await?;
            patience.renew();
        }
    }

    async fn place(&self, lane: &Lane) -> Result<Place, BusError> {
        let ((target, filter), (stream, name, _)) =
            (lane.target(&self.subjects), lane.source(&self.subjects));
        let newest = self.bus.last(target, &filter).await?;
        // An entry nobody can read was not relayed by us: from the start, repeats are ignored by the reader.
        let head = newest.and_then(|m| serde_json::from_slice::<Head>(&m.payload).ok());
        let Some(Head { source }) = head else {
            return Ok(Place { name: name.to_owned(), from: 1 });
        };
        if self.is_still(stream, &source).await? {
            return Ok(Place { name: source.stream, from: source.sequence + 1 });
        }
        let made = self.bus.state(stream).await?.created;
        // Of the events people hear when their loss is accepted, before anything is relayed again.
        if matches!(lane, Lane::Outcomes) {
            self.say_anew(name, &source, made).await?;
        }
        Ok(Place { name: format!("{name}@{}", made.as_millis()), from: 1 })
    }

    /// Whether the stream is the one that `source` was read from.
    async fn is_still(&self, stream: Stream, source: &Source) -> Result<bool, BusError> {
        let state = self.bus.state(stream).await?;
        if state.last < source.sequence {
            return Ok(false);
        }
        if state.first <= source.sequence {
            let (mut reader, mut there) =
                (self.bus.read(stream, None, source.sequence).await?, Vec::new());
            reader.next(&mut there).await?;
            if let Some(there) = there.first().filter(|there| there.sequence == source.sequence) {
                return Ok(there.time == source.time);
            }
        }
        // It has expired, weeks ago: then the stream is older than that.
        Ok(state.created <= source.time)
    }

    async fn say_anew(&self, name: &str, source: &Source, made: Time) -> Result<(), BusError> {
        let text = format!(
            "the stream of {name} is not the one that was read up to {} ({}): it was made anew at {made}, and what it held is \
             gone, be it reports of deliveries or claims of rollbacks; look whether a script still runs before the next rollback",
            source.sequence, source.time
        );
        self.register.trouble(text.clone());
        let told = Outgoing {
            message_id: Some(format!("anew-{name}-{}", made.as_millis())),
            ..notice(&self.subjects, LogId::Desk, (made, 0), STREAM_ANEW, text)
        };
        self.bus.publish(told).await.map(drop)
    }

    fn wrap(&self, lane: &Lane, name: &str, message: &Message) -> Option<Outgoing> {
        let subject = std::str::from_utf8(&message.subject).ok()?;
        let target = lane.forward(&self.subjects, subject)?;
        let stranger;
        let body: &RawValue = match read(&message.payload) {
            Ok(body) => body,
            // Whoever created the record has the command, whatever it says: the desk must hear of it.
            Err(_) if self.subjects.claimed(subject).is_some() => {
                stranger = as_text(&message.payload);
                &stranger
            }
            Err(why) => {
                let at = message.sequence;
                self.register.trouble(format!("{subject}, sequence {at}: left out: {why}"));
                return None;
            }
        };
        let source =
            Source { stream: name.to_owned(), sequence: message.sequence, time: message.time };
        let relayed = Relayed { schema: SCHEMA, source, subject: subject.to_owned(), body };
        let payload = serde_json::to_vec(&relayed).expect("wire types serialise");
        Some(Outgoing {
            message_id: Some(format!("{name}-{}-{target}", message.sequence)),
            subject: target,
            payload: Bytes::from(payload),
            // Its sequence says how far the lane got: it must outlive the samples around it.
            keep_forever: matches!(lane, Lane::Requests(_)),
            ..Outgoing::default()
        })
    }

    /// Stores entries in order.
    async fn store(&self, mut entries: Vec<Outgoing>) -> Result<(), BusError> {
        if entries.len() > SINGLY_MAX {
            entries.iter_mut().for_each(|entry| entry.message_id = None);
            return self.store_together(entries).await;
        }
        for entry in entries {
            self.store_together(vec![entry]).await?;
        }
        Ok(())
    }

    /// Stores all or none; after an unclear answer once more, for a repeat is ignored.
    async fn store_together(&self, entries: Vec<Outgoing>) -> Result<(), BusError> {
        let (count, mut patience) = (entries.len(), Patience::new());
        loop {
            let stored = match &entries[..] {
                [entry] => self.bus.publish(entry.clone()).await.map(|stored| stored.sequence),
                _ => self.bus.commit(entries.clone()).await,
            };
            match stored {
                Ok(_) => break,
                Err(BusError::Unclear { .. } | BusError::Unavailable { .. }) => {
                    patience.wait().await
                }
                Err(error) => return Err(error),
            }
        }
        failpoint::reach(Failpoint::EngineRelayed);
        self.register.relayed(count);
        Ok(())
    }

    /// Keeps every shard's settings equal to the desk's newest, now and after each revision.
    async fn carry_settings(self, shards: u32, mut read: watch::Receiver<u64>) {
        loop {
            read.mark_unchanged();
            for shard in 0..shards {
                let mut patience = Patience::new();
                while let Err(error) = self.settle(shard).await {
                    self.register.trouble(format!("settings of shard {shard}: {error}"));
                    patience.wait().await;
                }
            }
            if read.changed().await.is_err() {
                return;
            }
        }
    }

    /// The shard's place is read before the desk's: if another relay carries a newer revision in between, ours
    /// conflicts instead of undoing it.
    async fn settle(&self, shard: u32) -> Result<(), BusError> {
        let subject = self.subjects.entry(LogId::Shard(shard), "settings");
        let wanted = self.subjects.entry(LogId::Desk, "settings");
        loop {
            let has = self.bus.last(Stream::Log, &subject).await?;
            let wanted = newest_revision(&*self.bus, Stream::Desk, &wanted).await?;
            let Some(last) = wanted.last() else { return Ok(()) };
            let sequence = match has {
                // The last part of a revision names it, its author and how many parts there are.
                Some(has) if has.payload == last.payload => return Ok(()),
                has => has.map_or(0, |has| has.sequence),
            };
            let payloads: Vec<Bytes> = wanted.into_iter().map(|part| part.payload).collect();
            let count = payloads.len();
            match self.bus.commit(revision_batch(&subject, payloads, sequence)).await {
                Ok(_) => self.register.relayed(count),
                Err(BusError::Conflict { .. } | BusError::Unclear { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn read(payload: &[u8]) -> Result<&RawValue, String> {
    if payload.len() > MESSAGE_BYTES_MAX {
        return Err(format!("{} bytes, at most {MESSAGE_BYTES_MAX}", payload.len()));
    }
    serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}"))
}

/// The beginning of what cannot be relayed as it is, as a JSON text: no record of ours looks like that.
fn as_text(payload: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(&payload[..payload.len().min(TEXT_BYTES_MAX)]);
    serde_json::value::to_raw_value(&text).expect("a text is JSON")
}
