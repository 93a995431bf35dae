//! A fleet of any size: series, rules of a window of five minutes over them, and what they send.

use crate::support::load::{self, METRICS, Values};
use bytes::Bytes;
use engine::{apply_settings, wait_in_force};
use stages::log::LogId;
use stages::settings::{Settings, Stat};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::time::Duration;
use tokio::task::JoinSet;

/// Samples of an entry.
const EACH: usize = 1_000;
/// Acks awaited at one time.
const IN_FLIGHT: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// The length of every window.
pub const WINDOW: Span = Span::from_secs(300);

/// Series on one shard of a bus.
pub struct Fleet {
    keys: Vec<String>,
    values: Values,
    stream: async_nats::jetstream::Context,
    subject: String,
}

impl Fleet {
    /// So many series.
    pub async fn of(url: &str, series: usize, shard: u32) -> Self {
        let key = |number: usize| {
            let (metric, host) = (load::metric(number % METRICS), number / METRICS);
            format!("{metric}\u{1f}host\u{1e}app-{host:02}.example.gov")
        };
        let client = async_nats::connect(url).await.expect("the server answers");
        let stream = async_nats::jetstream::new(client);
        let subject = Subjects::default().entry(LogId::Shard(shard), "batch");
        Self { keys: (0..series).map(key).collect(), values: Values::new(3), stream, subject }
    }

    /// A sample of every series at a time; where the last one is stored.
    pub async fn send(&mut self, time: Time) -> u64 {
        let mut last = 0;
        for payload in self.entries(time) {
            last = self.store(payload).await;
        }
        last
    }

    /// Fills all windows with a sample every five seconds up to now; where the last one is stored.
    pub async fn fill(&mut self) -> u64 {
        let (now, every) = (load::now(), Span::from_secs(5));
        let (mut sending, mut last) = (JoinSet::new(), 0);
        for back in (0..WINDOW.0 / every.0).rev() {
            for payload in self.entries(now.minus(Span(every.0 * back))) {
                let (stream, subject) = (self.stream.clone(), self.subject.clone());
                let ack = stream.publish(subject, payload).await.expect("the bus takes a message");
                sending.spawn(async move { ack.await.expect("an ack comes").sequence });
                if sending.len() >= IN_FLIGHT {
                    let stored = sending.join_next().await.expect("one is on its way");
                    last = last.max(stored.expect("it is stored"));
                }
            }
        }
        sending.join_all().await.into_iter().fold(last, u64::max)
    }

    fn entries(&mut self, time: Time) -> Vec<Bytes> {
        let Self { keys, values, .. } = self;
        let starts = (0..keys.len()).step_by(EACH);
        let entry = |first| {
            load::batch(keys, first..first + EACH, 1, Some(time), &mut |_| values.next_ms())
        };
        starts.map(entry).collect()
    }

    async fn store(&self, payload: Bytes) -> u64 {
        let sent = self.stream.publish(self.subject.clone(), payload).await;
        sent.expect("the bus takes a message").await.expect("an ack comes").sequence
    }
}

/// A rule for each metric that keeps an alert for each host.
pub fn settings() -> Settings {
    load::settings(Stat::Mean, WINDOW, &["host"])
}

/// Puts them in force; an engine runs.
pub async fn put_in_force(bus: &bus::SharedBus, shards: u32) {
    let (subjects, settings) = (Subjects::default(), settings());
    let applied = apply_settings(bus, &subjects, &settings).await.expect("settings are stored");
    let wanted = (&*settings.revision, applied);
    let in_force = wait_in_force(bus, &subjects, shards, wanted, PATIENCE).await;
    in_force.expect("settings are in force");
}
