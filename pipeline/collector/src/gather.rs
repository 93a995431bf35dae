//! Group commit: what many requests bring at about the same time becomes one log entry per shard.
//!
//! One lane per shard, at most one entry of it in flight. A request that finds its lane idle goes at once;
//! what arrives while an entry is under way, or within [`CollectorLimits::gather`] of the last one, goes
//! together with the next. So latency is one ack, and the number of entries is bounded under any load.
//!
//! A publish whose ack does not come is repeated with the same bytes under the same message id, so the bus
//! stores it once. It is given up when nobody waits for it any more: each request waits at most
//! [`CollectorLimits::store_wait`], is then told 503, and a numbered batch may safely be sent again.
//!
//! All samples of a numbered request go into one entry per shard: the shard applies a (client, number) once,
//! so a second entry with the same number would be taken for a repeat.

use crate::counters::Counters;
use crate::intake::Sample;
use crate::limits::CollectorLimits;
use bus::failpoint::{self, Failpoint};
use bus::{BusError, Outgoing, SharedBus};
use bytes::Bytes;
use stages::batch::{BatchBuilder, CLIENT_BYTES_MAX};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// First pause before a publish is repeated; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// Long enough not to load a bus that is electing a leader, short enough to be there when it is back.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// At most this many bytes of a batch for a section of its own, with the longest name of a client.
const SECTION_BYTES: usize = 40 + CLIENT_BYTES_MAX;

/// An ack takes about a millisecond. One that takes this long is lost: ask again while requests still wait.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// The samples of one request for one shard.
pub(crate) struct Part {
    /// Checked samples.
    pub samples: Vec<Sample>,
    /// Client and number, where the request is numbered.
    pub number: Option<(Arc<str>, u64)>,
    /// Told how it ended; closed when the request waits no more.
    pub ended: oneshot::Sender<Result<(), StoreError>>,
    /// Its place in the queue, shared by the parts of a request.
    pub _place: Arc<OwnedSemaphorePermit>,
}

/// Why an entry was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// The bus did not take it in time.
    Unavailable,
    /// The bus will never take it.
    Refused,
}

/// Packs and publishes the parts of one shard.
pub(crate) struct Lane {
    pub bus: SharedBus,
    pub shard: u32,
    pub subject: String,
    /// Unique to this start of the process: first part of message ids.
    pub boot: Arc<str>,
    pub limits: Arc<CollectorLimits>,
    pub counters: Arc<Counters>,
    pub queue: mpsc::UnboundedReceiver<Part>,
    pub closing: CancellationToken,
}

impl Lane {
    /// Runs until it is closed and empty.
    pub(crate) async fn run(mut self) {
        let mut number = 0_u64;
        let mut next_start = Instant::now();
        let mut left_over = None;
        while let Some(first) = self.first(&mut left_over).await {
            tokio::select! {
                () = sleep_until(next_start) => {}
                () = self.closing.cancelled() => {}
            }
            let parts = self.gather(first, &mut left_over);
            if parts.is_empty() {
                continue;
            }
            next_start = Instant::now() + self.limits.gather;
            number += 1;
            let ended = self.store(number, &parts).await;
            for part in parts {
                if ended.is_ok() {
                    self.counters.samples.fetch_add(part.samples.len() as u64, Relaxed);
                }
                // A request that no longer waits has been answered.
                let _ = part.ended.send(ended);
            }
        }
    }

    /// The first part of the next entry; none once closed and empty.
    async fn first(&mut self, left_over: &mut Option<Part>) -> Option<Part> {
        if let Some(part) = left_over.take() {
            return Some(part);
        }
        tokio::select! {
            part = self.queue.recv() => part,
            () = self.closing.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
        }
    }

    /// `first` and what else is there, as far as it fits. Parts nobody waits for are left out.
    fn gather(&mut self, first: Part, left_over: &mut Option<Part>) -> Vec<Part> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(part) = next {
            if !part.ended.is_closed() {
                bytes += SECTION_BYTES + part.samples.iter().map(Sample::bytes_max).sum::<usize>();
                if !parts.is_empty() && bytes > self.limits.entry_bytes_max {
                    *left_over = Some(part);
                    break;
                }
                parts.push(part);
            }
            next = self.queue.try_recv().ok();
        }
        parts
    }

    /// Said once, not at each attempt: this lasts until the bus is back.
    fn trouble(&self, why: &str) {
        if self.counters.trouble().as_deref() != Some(why) {
            tracing::warn!(
                shard = self.shard,
                "the bus does not take samples: {why}; trying again"
            );
        }
        self.counters.in_trouble(Some(why));
    }

    async fn store(&self, number: u64, parts: &[Part]) -> Result<(), StoreError> {
        let payload = Bytes::from(pack(parts));
        let message = Outgoing {
            subject: self.subject.clone(),
            payload,
            message_id: Some(format!("{}-{}-{number}", self.boot, self.shard)),
            ..Outgoing::default()
        };
        failpoint::reach(Failpoint::CollectorBeforeStore);
        let mut pause = PAUSE_FIRST;
        loop {
            let began = Instant::now();
            match timeout(ACK_WAIT, self.bus.publish(message.clone())).await {
                Ok(Ok(_)) => {
                    failpoint::reach(Failpoint::CollectorStored);
                    self.counters.published(message.payload.len(), began.elapsed());
                    return Ok(());
                }
                Ok(Err(error @ (BusError::Invalid(_) | BusError::Denied { .. }))) => {
                    tracing::error!(shard = self.shard, %error, "the bus refuses a batch for good");
                    return Err(StoreError::Refused);
                }
                Ok(Err(error)) => self.trouble(&error.to_string()),
                Err(_) => self.trouble("no answer from the bus"),
            }
            if parts.iter().all(|part| part.ended.is_closed()) {
                return Err(StoreError::Unavailable);
            }
            self.counters.retries.fetch_add(1, Relaxed);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// One batch of many requests: first what is not numbered, together, then a section for each numbered one.
fn pack(parts: &[Part]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for sample in parts.iter().filter(|part| part.number.is_none()).flat_map(|part| &part.samples) {
        batch.push(&sample.as_batch());
    }
    for part in parts {
        let Some((client, number)) = &part.number else { continue };
        batch.section(client, *number);
        for sample in &part.samples {
            batch.push(&sample.as_batch());
        }
    }
    batch.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{self, Place};
    use bus::layout::Layout;
    use bus::memory::MemoryBus;
    use bus::{Bus, Stream};
    use stages::batch::Batch;
    use stages::subject::Subjects;
    use stages::time::{Span, Time};
    use tokio::sync::Semaphore;

    struct Bench {
        bus: MemoryBus,
        lane: mpsc::UnboundedSender<Part>,
        room: Arc<Semaphore>,
    }

    /// A lane on a bus in memory that has not begun to run.
    async fn lane(entry_bytes_max: usize) -> (Bench, Lane) {
        let bus = MemoryBus::real_time(Layout::default());
        bus.ensure(1).await.unwrap();
        let (sender, queue) = mpsc::unbounded_channel();
        let limits = CollectorLimits { entry_bytes_max, ..CollectorLimits::default() };
        let lane = Lane {
            bus: Arc::new(bus.clone()),
            shard: 0,
            subject: "ops.log.0.batch".to_owned(),
            boot: Arc::from("boot"),
            limits: Arc::new(limits),
            counters: Arc::default(),
            queue,
            closing: CancellationToken::new(),
        };
        (Bench { bus, lane: sender, room: Arc::new(Semaphore::new(1000)) }, lane)
    }

    impl Bench {
        async fn put(
            &self,
            number: Option<(&str, u64)>,
        ) -> oneshot::Receiver<Result<(), StoreError>> {
            let place = Place {
                subjects: &Subjects::default(),
                shards: 1,
                now: Time(0),
                future_max: Span::ZERO,
            };
            let mut intake = intake::read(br#"{"name":"a_ms","val":1}"#, &place);
            let (ended, ending) = oneshot::channel();
            let place = Arc::clone(&self.room).acquire_owned().await.unwrap();
            let samples = intake.shards.remove(&0).unwrap();
            let number = number.map(|(client, number)| (Arc::from(client), number));
            let part = Part { samples, number, ended, _place: Arc::new(place) };
            self.lane.send(part).ok().unwrap();
            ending
        }

        fn sections(&self) -> Vec<Vec<(String, u64)>> {
            let read = |message: &bus::Message| {
                let batch = Batch::parse(&message.payload).unwrap();
                batch
                    .sections()
                    .map(|section| (section.client.to_owned(), section.number))
                    .collect()
            };
            self.bus.messages(Stream::Log).iter().map(read).collect()
        }
    }

    #[tokio::test]
    async fn what_waits_together_becomes_one_entry_with_a_section_per_numbered_request() {
        let (bench, lane) = lane(512 << 10).await;
        let mut endings = Vec::new();
        for number in [None, Some(("b", 7)), None, Some(("a", 1)), Some(("b", 8))] {
            endings.push(bench.put(number).await);
        }
        let running = tokio::spawn(lane.run());
        for ending in endings {
            assert_eq!(ending.await.unwrap(), Ok(()));
        }
        let numbers = |pairs: &[(&str, u64)]| -> Vec<_> {
            pairs.iter().map(|(client, number)| ((*client).to_owned(), *number)).collect()
        };
        assert_eq!(bench.sections(), [numbers(&[("", 0), ("b", 7), ("a", 1), ("b", 8)])]);
        drop(bench);
        running.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_at_once_and_what_follows_shares_the_next_entry() {
        let (bench, lane) = lane(512 << 10).await;
        let gather = lane.limits.gather;
        tokio::spawn(lane.run());
        let began = Instant::now();
        assert_eq!(bench.put(Some(("c", 0))).await.await.unwrap(), Ok(()));
        assert_eq!(began.elapsed(), Duration::ZERO);
        let mut endings = Vec::new();
        for number in 1..4 {
            endings.push(bench.put(Some(("c", number))).await);
            sleep(gather / 5).await;
        }
        for ending in endings {
            assert_eq!(ending.await.unwrap(), Ok(()));
        }
        let waited = began.elapsed();
        assert!(waited >= gather && waited < gather + gather / 10, "{waited:?}");
        assert_eq!(bench.sections().iter().map(Vec::len).collect::<Vec<_>>(), [1, 3]);
        // Quiet again: at once.
        sleep(gather).await;
        let began = Instant::now();
        assert_eq!(bench.put(Some(("c", 4))).await.await.unwrap(), Ok(()));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_entry_is_closed_before_it_grows_too_large() {
        let (bench, lane) = lane(SECTION_BYTES * 3).await;
        let mut endings = Vec::new();
        for number in 0..7 {
            endings.push(bench.put(Some(("c", number))).await);
        }
        lane.closing.cancel();
        lane.run().await;
        let entries: Vec<usize> = bench.sections().iter().map(Vec::len).collect();
        assert_eq!(entries, [2, 2, 2, 1]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_stored() {
        let (bench, lane) = lane(512 << 10).await;
        drop(bench.put(None).await);
        let kept = bench.put(Some(("c", 1))).await;
        lane.closing.cancel();
        lane.run().await;
        assert_eq!(kept.await.unwrap(), Ok(()));
        assert_eq!(bench.sections(), [[("c".to_owned(), 1)]]);
        assert_eq!(bench.room.available_permits(), 1000);
    }
}
