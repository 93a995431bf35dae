//! The bus in memory: deterministic, with a clock of stored times that tests move by hand.
//!
//! It keeps the words of the contract (compare-and-set, batches, message ids, the transform of metric
//! subjects, redelivery) and adds what a simulation needs: faults on writes, reads and deliveries ([`Faults`]),
//! readers that lag ([`MemoryBus::hold_readers_at`]), an outage ([`MemoryBus::set_connected`]) and age limits
//! that strike when told ([`MemoryBus::expire_before`]).

mod faults;
mod reader;
mod store;
mod work;

pub use faults::{DeliveryFault, Faults, WriteFault};

use crate::layout::{Layout, is_subject};
use crate::{
    BATCH_MESSAGES_MAX, Bus, BusError, Message, Outgoing, Reader, Stored, Stream, StreamState,
    WorkOptions, Worker,
};
use async_trait::async_trait;
use stages::time::{Span, Time};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use store::Store;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A bus in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    store: Mutex<Store>,
    /// Whoever waits should look again. Wakes them in the order they came, so that a run repeats.
    changed: Notify,
}

/// Where stored times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Real,
    Manual(Time),
    /// This time at this instant, and on with the runtime's clock, which a test may have paused; and how far the
    /// clock of stored times was stepped since.
    Runtime(Time, Instant, Span),
}

impl Clock {
    fn now(self) -> Time {
        match self {
            Self::Manual(now) => now,
            Self::Runtime(.., stepped) => self.steady().plus(stepped),
            Self::Real => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                Time(since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
            }
        }
    }
}

impl Clock {
    /// What waits are measured by: no step changes it.
    fn steady(self) -> Time {
        match self {
            Self::Runtime(then, at, _) => {
                then.plus(Span(i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX)))
            }
            Self::Real | Self::Manual(_) => self.now(),
        }
    }
}

impl MemoryBus {
    /// A bus whose stored times are the wall clock's.
    pub fn real_time(layout: Layout) -> Self {
        Self::with_clock(layout, Clock::Real)
    }

    /// A bus whose stored times are what [`Self::set_time`] said last, `now` at first.
    pub fn manual_time(layout: Layout, now: Time) -> Self {
        Self::with_clock(layout, Clock::Manual(now))
    }

    /// A bus whose stored times begin at `now` and go on with the clock of the tokio runtime.
    pub fn runtime_time(layout: Layout, now: Time) -> Self {
        Self::with_clock(layout, Clock::Runtime(now, Instant::now(), Span::ZERO))
    }

    fn with_clock(layout: Layout, clock: Clock) -> Self {
        let shared =
            Shared { store: Mutex::new(Store::new(layout, clock)), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the clock of stored times, also backwards (server clocks do step), and wakes redeliveries.
    pub fn set_time(&self, now: Time) {
        self.lock().clock = Clock::Manual(now);
        self.wake();
    }

    /// Steps the clock of a bus that goes with the runtime's, forth or back.
    pub fn step_time(&self, by: Span) {
        let mut store = self.lock();
        if let Clock::Runtime(.., stepped) = &mut store.clock {
            stepped.0 += by.0;
        }
    }

    /// The clock of stored times.
    pub fn now(&self) -> Time {
        self.lock().clock.now()
    }

    /// Says what goes wrong from now on.
    pub fn set_faults(&self, faults: impl Faults + 'static) {
        self.lock().faults = Box::new(faults);
    }

    /// Readers of `stream` see nothing after `sequence` until this is called again; `None` lets them go.
    pub fn hold_readers_at(&self, stream: Stream, sequence: Option<u64>) {
        self.lock().hold(stream, sequence);
        self.wake();
    }

    /// While not connected every call fails as unavailable and readers wait.
    pub fn set_connected(&self, connected: bool) {
        self.lock().connected = connected;
        self.wake();
    }

    /// Drops the messages of `stream` before `sequence` that may expire, as an age limit does.
    pub fn expire_before(&self, stream: Stream, sequence: u64) {
        self.lock().expire_before(stream, sequence);
    }

    /// Everything a stream holds, in order.
    pub fn messages(&self, stream: Stream) -> Vec<Message> {
        self.lock().after(stream, None, 1, usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // No code panics while it holds the lock with the store half changed.
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.shared.changed.notify_waiters();
    }

    /// Stores `batch` under the fault of the moment.
    fn write(&self, batch: &[Outgoing]) -> Result<Stored, BusError> {
        let stored = {
            let mut store = self.lock();
            store.reachable("publish")?;
            let what = || format!("publish to {}", batch[0].subject);
            match store.write_fault(batch) {
                WriteFault::None => store.write(batch)?,
                WriteFault::LostRequest => return Err(BusError::Unclear { what: what() }),
                WriteFault::Unavailable => {
                    return Err(BusError::Unavailable {
                        what: what(),
                        why: "no leader".to_owned(),
                    });
                }
                WriteFault::LostAck => {
                    store.write(batch)?;
                    drop(store);
                    self.wake();
                    return Err(BusError::Unclear { what: what() });
                }
            }
        };
        self.wake();
        Ok(stored)
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn ensure(&self, shards: u32) -> Result<(), BusError> {
        let mut store = self.lock();
        store.reachable("ensure streams")?;
        store.ensure(shards)
    }

    async fn publish(&self, message: Outgoing) -> Result<Stored, BusError> {
        check_subject(&message.subject)?;
        self.write(std::slice::from_ref(&message))
    }

    async fn commit(&self, batch: Vec<Outgoing>) -> Result<u64, BusError> {
        check_batch(&batch)?;
        self.write(&batch).map(|stored| stored.sequence)
    }

    async fn last(&self, stream: Stream, subject: &str) -> Result<Option<Message>, BusError> {
        let mut store = self.lock();
        store.reachable("read last")?;
        match store.faults.lags(stream, subject) {
            0 => store.last(stream, subject),
            lag => store.last_of_a_copy(stream, subject, lag),
        }
    }

    async fn subjects(&self, stream: Stream, filter: &str) -> Result<Vec<String>, BusError> {
        let store = self.lock();
        store.reachable("list subjects")?;
        store.subjects(stream, filter)
    }

    async fn state(&self, stream: Stream) -> Result<StreamState, BusError> {
        let store = self.lock();
        store.reachable("read state")?;
        store.state(stream)
    }

    async fn first_at(&self, stream: Stream, time: Time) -> Result<u64, BusError> {
        let store = self.lock();
        store.reachable("search by time")?;
        store.first_at(stream, time)
    }

    async fn read(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Reader>, BusError> {
        self.lock().state(stream)?;
        Ok(Box::new(reader::MemoryReader::new(self.clone(), stream, filter, from)))
    }

    async fn work(
        &self,
        stream: Stream,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<Box<dyn Worker>, BusError> {
        self.lock().make_durable(stream, filter, name, options)?;
        Ok(Box::new(work::MemoryWorker::new(self.clone(), name)))
    }

    async fn purge(&self, stream: Stream, subject: &str, keep: u64) -> Result<(), BusError> {
        let mut store = self.lock();
        store.reachable("purge")?;
        store.purge(stream, subject, keep)
    }

    fn connected(&self) -> bool {
        self.lock().connected
    }
}

/// Refuses subjects nothing can be published to.
pub(crate) fn check_subject(subject: &str) -> Result<(), BusError> {
    if is_subject(subject) {
        return Ok(());
    }
    Err(BusError::Invalid(format!(
        "subject {subject:?}: tokens between dots must not be empty, * or >, nor hold white space"
    )))
}

/// Refuses batches no bus takes.
pub(crate) fn check_batch(batch: &[Outgoing]) -> Result<(), BusError> {
    if batch.is_empty() || batch.len() > BATCH_MESSAGES_MAX {
        return Err(BusError::Invalid(format!(
            "a batch of {} messages: write 1 to {BATCH_MESSAGES_MAX}",
            batch.len()
        )));
    }
    for message in batch {
        check_subject(&message.subject)?;
        if message.message_id.is_some() {
            return Err(BusError::Invalid(format!(
                "{}: message ids are not allowed in a batch",
                message.subject
            )));
        }
    }
    Ok(())
}
