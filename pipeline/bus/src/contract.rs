//! The contract: what a bus does, in words that both implementations are held to.

use crate::error::BusError;
use async_trait::async_trait;
use bytes::Bytes;
use stages::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// A bus, shared by all parts of a process.
pub type SharedBus = Arc<dyn Bus>;

/// The streams of the product, by role. Their names on the server are configurable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Shard logs.
    Log,
    /// The desk's log.
    Desk,
    /// What shards and desk say.
    Events,
    /// What edges report, and the claim ledger.
    Outcomes,
    /// Rollups.
    Rollups,
    /// Snapshots.
    State,
    /// Refused input.
    DeadLetter,
    /// Heartbeats.
    Alive,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Subject it is stored under (after any transform), sharing the receive buffer.
    pub subject: Bytes,
    /// Place in its stream.
    pub sequence: u64,
    /// When the bus stored it.
    pub time: Time,
    /// Its bytes.
    pub payload: Bytes,
}

/// A message to store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Subject to publish to.
    pub subject: String,
    /// Its bytes.
    pub payload: Bytes,
    /// `Nats-Msg-Id`: a repeat within two minutes is stored once. Not allowed inside a batch.
    pub message_id: Option<String>,
    /// Compare-and-set: the last sequence of a subject of the same stream; 0 means there is none.
    pub expect: Option<Expect>,
    /// Never expires, whatever the stream's age limit.
    pub keep_forever: bool,
}

/// What a compare-and-set expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Whose last sequence; the message's own subject if none. Another one makes it a fence.
    pub subject: Option<String>,
    /// That sequence.
    pub sequence: u64,
}

/// Where a message was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence, or the first one's where it was a repeat.
    pub sequence: u64,
    /// It was a repeat by its message id.
    pub duplicate: bool,
}

/// Bounds of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// First sequence still there (last + 1 when empty).
    pub first: u64,
    /// Last sequence stored, 0 for none yet.
    pub last: u64,
    /// When the stream was created: the identity of its sequences.
    pub created: Time,
    /// Bytes stored, and the most it may hold (0: unbounded).
    pub bytes: (u64, u64),
}

/// Most messages an atomic batch may hold.
pub const BATCH_MESSAGES_MAX: usize = 1000;

/// Logs and events.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Creates the streams that are missing and checks those that are there.
    async fn ensure(&self, shards: u32) -> Result<(), BusError>;

    /// Stores one message and waits for the ack.
    async fn publish(&self, message: Outgoing) -> Result<Stored, BusError>;

    /// Stores all or none; visible together. At most [`BATCH_MESSAGES_MAX`], all of one stream, no message
    /// ids. Expectations are checked against the state before the batch. Returns the sequence of the last
    /// message; those before it have the sequences before it.
    /// On [`BusError::Unclear`] the caller reads back before it sends again.
    async fn commit(&self, batch: Vec<Outgoing>) -> Result<u64, BusError>;

    /// The last message of a subject (wildcards allowed), read from the leader. Roles that may read single subjects
    /// only get it from any copy of the stream: it may be one that lags, and lacks what was stored just now.
    async fn last(&self, stream: Stream, subject: &str) -> Result<Option<Message>, BusError>;

    /// The subjects of a stream's messages that match `filter`, in order. For streams with few of them: all come in
    /// one answer.
    async fn subjects(&self, stream: Stream, filter: &str) -> Result<Vec<String>, BusError>;

    /// Bounds of a stream.
    async fn state(&self, stream: Stream) -> Result<StreamState, BusError>;

    /// Sequence of the first message stored at or after `time`; one past the last if there is none.
    async fn first_at(&self, stream: Stream, time: Time) -> Result<u64, BusError>;

    /// Reads a stream in order from sequence `from`, only subjects that match `filter` (none: all), for ever.
    /// The reader reconnects by itself and neither skips nor repeats; of a stream that was created anew it reads
    /// nothing, and says [`BusError::Anew`].
    async fn read(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Reader>, BusError>;

    /// Work to be done once by one of many, with explicit acks: the durable consumer `name`, made if missing. One that
    /// is deleted meanwhile is made again, behind what this worker has done.
    async fn work(
        &self,
        stream: Stream,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<Box<dyn Worker>, BusError>;

    /// Removes all messages of a subject but the newest `keep`.
    async fn purge(&self, stream: Stream, subject: &str, keep: u64) -> Result<(), BusError>;

    /// Whether the bus answers right now.
    fn connected(&self) -> bool;
}

/// Reads a stream in order.
#[async_trait]
pub trait Reader: Send {
    /// Waits for messages and appends those that are there, at least one, to `into`. Cancel-safe. A jump in
    /// sequences beyond what the filter explains shows in the messages themselves; the caller judges it.
    async fn next(&mut self, into: &mut Vec<Message>) -> Result<(), BusError>;
}

/// How a durable consumer hands out work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkOptions {
    /// Redelivered when not acked within this.
    pub ack_wait: Duration,
    /// Most messages in flight.
    pub in_flight_max: usize,
    /// Start with messages stored from now on, rather than all that are kept, when it is made.
    pub only_new: bool,
}

/// Hands out work.
#[async_trait]
pub trait Worker: Send {
    /// The next piece of work. Cancel-safe.
    async fn next(&mut self) -> Result<Work, BusError>;
}

/// A piece of work: it comes again unless acked.
pub struct Work {
    /// The message.
    pub message: Message,
    /// How often it was delivered, from 1.
    pub delivery: u64,
    /// How it is answered.
    pub answer: Box<dyn Answer>,
}

/// Answers a piece of work.
#[async_trait]
pub trait Answer: Send + Sync {
    /// Done; waits until the bus knows.
    async fn done(&self) -> Result<(), BusError>;
    /// Still at it: starts `ack_wait` again.
    async fn working(&self) -> Result<(), BusError>;
    /// Not now; again after `delay`.
    async fn later(&self, delay: Duration) -> Result<(), BusError>;
}
