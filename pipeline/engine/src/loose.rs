//! What is published beside the commits: rollups and dead letters. Idempotent, so order and repeats do not matter.
//!
//! They must never hold up an alert: when the bus is slow they queue up to a bound, then they are counted and let go.

use crate::health::Register;
use crate::patience::Patience;
use bus::{BusError, Outgoing, SharedBus};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Messages that may wait: some seconds of rollups of a large shard, at some KiB each.
const WAITING_MAX: usize = 4096;
/// Publishes in flight at one time.
const IN_FLIGHT_MAX: usize = 64;
/// Attempts before one is given up: about ten seconds of an absent bus.
const ATTEMPTS_MAX: usize = 14;

/// Takes what is to be published.
#[derive(Clone)]
pub(crate) struct Loose {
    queue: mpsc::Sender<Outgoing>,
    register: Arc<Register>,
}

impl Loose {
    /// Starts the publisher; its task ends when every `Loose` is gone and the queue is empty.
    pub fn start(bus: SharedBus, register: Arc<Register>, tasks: &mut JoinSet<()>) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tasks.spawn(publish_all(bus, register.clone(), waiting));
        Self { queue, register }
    }

    pub fn publish(&self, message: Outgoing) {
        if self.queue.try_send(message).is_err() {
            self.register.dropped(1);
        }
    }
}

async fn publish_all(bus: SharedBus, register: Arc<Register>, mut queue: mpsc::Receiver<Outgoing>) {
    let mut in_flight = JoinSet::new();
    while let Some(message) = queue.recv().await {
        while in_flight.len() >= IN_FLIGHT_MAX || in_flight.try_join_next().is_some() {
            if in_flight.len() >= IN_FLIGHT_MAX {
                in_flight.join_next().await;
            }
        }
        in_flight.spawn(publish(bus.clone(), register.clone(), message));
    }
    while in_flight.join_next().await.is_some() {}
}

async fn publish(bus: SharedBus, register: Arc<Register>, message: Outgoing) {
    let mut patience = Patience::new();
    for _ in 0..ATTEMPTS_MAX {
        match bus.publish(message.clone()).await {
            Ok(_) => return,
            Err(BusError::Unavailable { .. } | BusError::Unclear { .. }) => patience.wait().await,
            Err(error) => {
                register.trouble(format!("{}: {error}", message.subject));
                break;
            }
        }
    }
    register.dropped(1);
}
