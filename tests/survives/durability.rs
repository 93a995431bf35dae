//! A nats-server that does not wait for the disk, killed: what it acknowledged is with the system, and stays.

use crate::events::all;
use crate::server::Server;
use crate::site::Site;
use bus::{Outgoing, SharedBus, Stream};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const WRITERS: usize = 4;
/// Acknowledged before each kill.
const MESSAGES: usize = 200;

/// Publishes until told to stop; what was acknowledged.
async fn write(bus: SharedBus, stop: Arc<AtomicBool>, prefix: String) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{prefix}-{number}");
        let (subject, payload) = ("ops.log.0.tick".to_owned(), id.clone().into());
        if bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.is_ok() {
            acknowledged.push(id);
        } else {
            // Gone: in doubt about this one, and nobody there for the next.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_acknowledged_is_there_without_waiting_for_the_disk() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\n").await;
    let mut server = Server::open(&site).await;
    let bus = server.bus().await;
    bus.ensure(1).await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        let (stop, mut writers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for writer in 0..WRITERS {
            writers.spawn(write(server.bus().await, stop.clone(), format!("{round}-{writer}")));
        }
        while bus.state(Stream::Log).await.unwrap().last < ((round + 1) * MESSAGES) as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.lose(Duration::ZERO).await;
        stop.store(true, Ordering::Relaxed);
        acknowledged.extend(writers.join_all().await.into_iter().flatten());
    }
    let stored = all(&bus, Stream::Log).await;
    let stored: BTreeSet<&[u8]> = stored.iter().map(|message| &*message.payload).collect();
    assert!(acknowledged.len() >= MESSAGES, "{} acknowledged", acknowledged.len());
    for id in &acknowledged {
        assert!(stored.contains(id.as_bytes()), "{id} was acknowledged and is gone");
    }
}
