//! Publishes what became of intents.

use crate::key;
use bus::{BusError, Outgoing, SharedBus};
use bytes::Bytes;
use stages::subject::Subjects;
use stages::wire::Delivery;
use std::time::Duration;

const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Where deliveries are told.
pub struct Status {
    /// The bus.
    pub bus: SharedBus,
    /// Its subjects.
    pub subjects: Subjects,
}

impl Status {
    /// Publishes `delivery` once; its id makes a repeat of the same attempt harmless.
    ///
    /// # Errors
    /// The bus did not take it.
    pub async fn publish(&self, delivery: &Delivery) -> Result<(), BusError> {
        let state = serde_json::to_string(&delivery.state).unwrap_or_default();
        let attempt = delivery.attempt.to_string();
        let parts = [&delivery.key, &delivery.receiver, &delivery.channel, &attempt, &state];
        let id = key::of(&parts.map(String::as_str));
        let message = Outgoing {
            subject: self.subjects.status_notify(&delivery.receiver),
            payload: Bytes::from(serde_json::to_vec(delivery).expect("a delivery is JSON")),
            message_id: Some(format!("notify-{id}")),
            ..Outgoing::default()
        };
        self.bus.publish(message).await.map(|_| ())
    }

    /// Publishes `delivery` until it is stored. Whoever waits for it may stop waiting at any time.
    pub async fn store(&self, delivery: &Delivery) {
        let mut wait = WAIT_MIN;
        while let Err(error) = self.publish(delivery).await {
            tracing::warn!(%error, key = delivery.key, "a delivery is not on the bus yet");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }
}
