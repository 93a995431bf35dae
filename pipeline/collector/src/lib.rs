//! The collector: samples come in over HTTP and are answered for once the bus has stored them.
//!
//! `POST /metric` takes the brief's JSON: one sample, an array, or one a line. The answer is 202 when all of
//! it is stored; 400 with a reason for each bad sample, the good ones being stored; anything else means that
//! nothing was promised. Read in this order: `receive` (one request), `intake` (its samples),
//! `gather` (many requests become one log entry).
//!
//! | status | meaning |
//! |---|---|
//! | 202 | stored: `{"accepted": n, "refused": 0}` |
//! | 400 | `{"accepted": n, "refused": m, "errors": [{index, reason, message, remedy}]}`; do not send it again |
//! | 401, 403, 415, 413, 408 | token, another site's page, not JSON, too large, too slow |
//! | 429, 503 | engine behind or queue full, bus away: send it again after `Retry-After` seconds |
//!
//! Headers `Ops-Client` and `Ops-Batch` number a client's batches: a repeat is applied once.

mod counters;
mod dead_letter;
mod gather;
mod intake;
mod limits;
mod receive;
mod rejection;
mod request;
mod token;

pub use counters::{CollectorCounts, PUBLISH_BOUNDS};
pub use limits::CollectorLimits;
pub use token::Token;

use axum::Router;
use axum::routing::post;
use bus::SharedBus;
use counters::Counters;
use dead_letter::DeadLetters;
use gather::{Lane, Part};
use stages::log::LogId;
use stages::subject::Subjects;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells how far the engine is behind the log.
pub type EngineLag = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What a collector needs.
pub struct CollectorOptions {
    /// The bus, as a writer of batches and dead letters.
    pub bus: SharedBus,
    /// How subjects are spelled.
    pub subjects: Subjects,
    /// Number of shards.
    pub shards: u32,
    /// Asked of every request, if there is one.
    pub token: Option<Token>,
    /// Bounds.
    pub limits: CollectorLimits,
    /// How far the engine is behind, where that is known in this process.
    pub behind: Option<EngineLag>,
}

/// What all requests share.
pub(crate) struct Shared {
    subjects: Subjects,
    shards: u32,
    token: Option<Token>,
    limits: Arc<CollectorLimits>,
    behind: Option<EngineLag>,
    counters: Arc<Counters>,
    dead_letters: DeadLetters,
    lanes: Vec<mpsc::UnboundedSender<Part>>,
    /// Bytes of bodies that may still be taken in. It is what bounds the lanes' queues.
    room: Arc<Semaphore>,
}

impl Shared {
    /// The engine's lag, where it is too large.
    fn lag(&self) -> Option<Duration> {
        self.behind.as_ref().map(|behind| behind()).filter(|lag| *lag > self.limits.lag_max)
    }
}

/// Closes a collector and tells what it has counted. Clones are the same collector.
#[derive(Clone)]
pub struct CollectorHandle {
    counters: Arc<Counters>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl CollectorHandle {
    /// The counts of this moment.
    pub fn counts(&self) -> CollectorCounts {
        self.counters.counts(self.room_bytes - self.room.available_permits().min(self.room_bytes))
    }

    /// Turns new requests away and returns once everything taken in is stored, or given up as it would have
    /// been anyway. Requests under way get their answers.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Starts a collector; its routes are served by whoever owns the listener.
pub fn router(options: CollectorOptions) -> (Router, CollectorHandle) {
    let CollectorOptions { bus, subjects, shards, token, limits, behind } = options;
    let (limits, counters) = (Arc::new(limits), Arc::new(Counters::default()));
    let (closing, tasks) = (CancellationToken::new(), TaskTracker::new());
    let boot: Arc<str> = boot_id().into();

    let lanes = (0..shards).map(|shard| {
        let (lane, queue) = mpsc::unbounded_channel();
        tasks.spawn(
            Lane {
                bus: Arc::clone(&bus),
                shard,
                subject: subjects.entry(LogId::Shard(shard), "batch"),
                boot: Arc::clone(&boot),
                limits: Arc::clone(&limits),
                counters: Arc::clone(&counters),
                queue,
                closing: closing.clone(),
            }
            .run(),
        );
        lane
    });
    let lanes = lanes.collect();
    let (box_, letters) = mpsc::channel(dead_letter::WAITING_MAX);
    let bytes_max = limits.dead_letter_bytes_max;
    let dead_letters = DeadLetters { box_, bytes_max, counters: Arc::clone(&counters) };
    tasks.spawn(dead_letter::publish(
        bus,
        subjects.clone(),
        limits.dead_letters_per_second,
        letters,
        Arc::clone(&counters),
        closing.clone(),
    ));

    let room_bytes = limits.queue_bytes_max.min(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(room_bytes));
    let handle = CollectorHandle {
        counters: Arc::clone(&counters),
        room: Arc::clone(&room),
        room_bytes,
        closing,
        tasks,
    };
    let shared =
        Shared { subjects, shards, token, limits, behind, counters, dead_letters, lanes, room };
    let routes = Router::new().route("/metric", post(receive::receive));
    (routes.with_state(Arc::new(shared)), handle)
}

/// Unique to this start of the process, so that message ids never meet those of another.
fn boot_id() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("collector-{:x}-{:x}", since.as_nanos(), std::process::id())
}
