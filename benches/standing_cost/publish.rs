//! What the fleet sends: 10 000 series, a sample a second each, in two ways.

use crate::support::load::{self, METRICS, SERIES, Values};
use bus::{Outgoing, SharedBus};
use collector::{CollectorHandle, CollectorLimits, CollectorOptions};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::time::Duration;
use tokio::task::JoinSet;

/// Clients of the collector.
const CLIENTS: usize = 100;
/// How often a client flushes: the Python client's default.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// 100 messages a second straight onto the bus: JSON arrays of 100 samples, a metric's last ten seconds.
pub async fn arrays(bus: SharedBus) {
    let (subjects, mut values) = (Subjects::default(), Values::new(5));
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    for number in (0..METRICS).cycle() {
        clock.tick().await;
        let payload = load::json_array(number, load::now(), Span::from_secs(1), &mut values);
        let subject = subjects.metric(&load::metric(number));
        let stored = bus.publish(Outgoing { subject, payload, ..Outgoing::default() });
        stored.await.expect("a message is stored");
    }
}

/// 100 clients of a collector, each with 100 series, flushing every 2 s at its own moment. The collector runs here,
/// apart from what is measured; it is the product's own.
pub struct Fleet {
    clients: JoinSet<()>,
    collector: CollectorHandle,
}

impl Fleet {
    /// Starts it, writing to `bus` as the collector.
    pub async fn start(bus: SharedBus) -> Self {
        let (routes, collector) = collector::router(CollectorOptions {
            bus,
            subjects: Subjects::default(),
            shards: 1,
            token: None,
            limits: CollectorLimits::default(),
            behind: None,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/metric", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let mut clients = JoinSet::new();
        let http = reqwest::Client::new();
        for client in 0..CLIENTS {
            clients.spawn(flush(http.clone(), url.clone(), client));
        }
        Self { clients, collector }
    }

    /// Entries stored so far, and samples in them.
    pub fn stored(&self) -> (u64, u64) {
        let counts = self.collector.counts();
        (counts.entries, counts.samples)
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.clients.shutdown().await;
        self.collector.close().await;
    }
}

async fn flush(http: reqwest::Client, url: String, client: usize) {
    let (mut values, mut number) = (Values::new(client as u64), 0_u64);
    tokio::time::sleep(FLUSH_EVERY.mul_f64(client as f64 / CLIENTS as f64)).await;
    let mut clock = tokio::time::interval(FLUSH_EVERY);
    let each = SERIES / CLIENTS;
    loop {
        clock.tick().await;
        number += 1;
        let now = load::now();
        let samples: Vec<String> = (client * each..(client + 1) * each)
            .flat_map(|series| [(series, 1), (series, 0)])
            .map(|(series, back)| {
                let time = now.minus(Span::from_secs(back));
                load::json_sample(series, values.next_ms(), Some(time))
            })
            .collect();
        let sent = http
            .post(&url)
            .header("content-type", "application/json")
            .header("ops-client", format!("client-{client}"))
            .header("ops-batch", number.to_string())
            .body(format!("[{}]", samples.join(",")))
            .send()
            .await;
        let status = sent.expect("the collector answers").status();
        assert_eq!(status.as_u16(), 202, "the collector takes all samples");
    }
}

/// Fills windows of `length`: a sample a second of every series, stamped over the time up to now. Event time decides
/// the pane, so the windows are as full as if that time had passed.
pub async fn fill(bus: &SharedBus, length: Span) {
    let (keys, subject) = (load::keys(), Subjects::default().entry(LogId::Shard(0), "batch"));
    let (now, mut values) = (load::now(), Values::new(11));
    let moments: Vec<Time> =
        (0..length.0 / 1_000_000_000).rev().map(|back| now.minus(Span::from_secs(back))).collect();
    for moment in moments {
        let mut sending = JoinSet::new();
        for first in (0..SERIES).step_by(2_000) {
            let mut value = |_| values.next_ms();
            let payload = load::batch(&keys, first..first + 2_000, 1, Some(moment), &mut value);
            let message = Outgoing { subject: subject.clone(), payload, ..Outgoing::default() };
            let bus = bus.clone();
            sending.spawn(async move { bus.publish(message).await });
        }
        for stored in sending.join_all().await {
            stored.expect("a batch is stored");
        }
    }
}
