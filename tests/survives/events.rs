//! What happened, read off the bus: alerts, rollbacks, commands, outcomes.

#![allow(dead_code, reason = "shared with tests/chaos; each uses its part of this")]

use crate::site::{ASK_EVERY, Site};
use crate::support::{PATIENCE, get_json};
use bus::accounts::Role;
use bus::jetstream::{JetStream, Options};
use bus::layout::Layout;
use bus::{BusError, Message, SharedBus, Stream};
use serde_json::Value;
use stages::wire::{AlertEvent, Command, RollbackEvent, RollbackOutcome};
use std::sync::Arc;

/// The local bus of a site in a role.
pub async fn local(site: &Site, role: Role) -> SharedBus {
    local_in(site, "data", role).await
}

/// The local bus of one of a site's data folders in a role.
pub async fn local_in(site: &Site, data: &str, role: Role) -> SharedBus {
    let keys = bus::server::attach(&site.path(data), Layout::default()).await.unwrap();
    Arc::new(JetStream::connect(keys.options(role)).await.unwrap())
}

/// The local bus of a site as any service sees it: without a key.
pub async fn anonymous(site: &Site) -> JetStream {
    let keys = bus::server::attach(&site.path("data"), Layout::default()).await.unwrap();
    JetStream::connect(Options::new(keys.options(Role::Admin).urls[0].clone())).await.unwrap()
}

/// Everything that happened so far.
#[derive(Debug, Default)]
pub struct Happened {
    pub alerts: Vec<AlertEvent>,
    pub rollbacks: Vec<RollbackEvent>,
    pub commands: Vec<Command>,
    pub outcomes: Vec<RollbackOutcome>,
}

impl Happened {
    /// Reads all of it.
    pub async fn so_far(bus: &SharedBus) -> Self {
        let mut happened = Self::default();
        for message in all(bus, Stream::Events).await {
            happened.take(&message);
        }
        for message in all(bus, Stream::Outcomes).await {
            if message.subject.starts_with(b"ops.status.rollback.") {
                happened.outcomes.push(serde_json::from_slice(&message.payload).unwrap());
            }
        }
        happened
    }

    fn take(&mut self, message: &Message) {
        let (subject, payload) = (&message.subject, &message.payload);
        if subject.starts_with(b"ops.alert.") {
            self.alerts.push(serde_json::from_slice(payload).unwrap());
        } else if subject.starts_with(b"ops.rollback.") && subject.ends_with(b".command") {
            self.commands.push(serde_json::from_slice(payload).unwrap());
        } else if subject.starts_with(b"ops.rollback.") && !subject.ends_with(b".withdraw") {
            self.rollbacks.push(serde_json::from_slice(payload).unwrap());
        }
    }

    /// Incidents of the alert events in this state.
    pub fn alerts(&self, state: &str) -> Vec<&str> {
        let wanted = self.alerts.iter().filter(|event| event.state.token() == state);
        wanted.map(|event| event.incident.as_deref().unwrap_or_default()).collect()
    }

    /// Incidents of the rollback events in this state.
    pub fn rollbacks(&self, state: &str) -> Vec<&str> {
        let wanted = self.rollbacks.iter().filter(|event| event.state.token() == state);
        wanted.map(|event| event.incident.as_str()).collect()
    }
}

/// Every message a stream holds now.
pub async fn all(bus: &SharedBus, stream: Stream) -> Vec<Message> {
    let end = answered(|| bus.state(stream)).await.last;
    let (mut reader, mut messages) = (answered(|| bus.read(stream, None, 1)).await, Vec::new());
    while messages.last().map_or(0, |message: &Message| message.sequence) < end {
        let next = tokio::time::timeout(PATIENCE, reader.next(&mut messages));
        next.await.expect("the stream is read").unwrap();
    }
    messages
}

/// Asks again while a cluster elects a leader.
async fn answered<T, F: Future<Output = Result<T, BusError>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            match ask().await {
                Err(BusError::Unavailable { .. }) => tokio::time::sleep(ASK_EVERY).await,
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the bus answers")
}

/// Waits for the first message of a stream on `subject` (wildcards allowed).
pub async fn first(bus: &SharedBus, stream: Stream, subject: &str) -> Message {
    let mut reader = answered(|| bus.read(stream, Some(subject), 1)).await;
    let mut messages = Vec::new();
    match tokio::time::timeout(PATIENCE, reader.next(&mut messages)).await {
        Ok(read) => read.unwrap(),
        Err(_) => panic!("nothing on {subject}; there is {:#?}", Happened::so_far(bus).await),
    }
    messages.swap_remove(0)
}

/// Waits until a rule's alert has fired for the first time.
pub async fn fired(bus: &SharedBus, rule: &str) -> AlertEvent {
    let subject = format!("ops.alert.critical.{rule}.fired");
    serde_json::from_slice(&first(bus, Stream::Events, &subject).await.payload).unwrap()
}

/// Waits until the board counts `expected` samples of a metric; more than that is a failure at once.
pub async fn counted(url: &str, metric: &str, expected: u64) {
    let mut last = 0;
    let counting = async {
        while last != expected {
            tokio::time::sleep(ASK_EVERY).await;
            let page = get_json(&format!("{url}/api/metric/{metric}?window=15m")).await;
            let counts = page["panes"]["count"].as_array().unwrap().iter();
            last = counts.map(|count| count.as_u64().unwrap()).sum();
            assert!(last <= expected, "{last} samples of {metric}, {expected} were sent");
        }
    };
    let found = tokio::time::timeout(PATIENCE, counting).await;
    found.unwrap_or_else(|_| panic!("{last} samples of {metric}, {expected} were sent"));
}

/// What a webhook's message says about the rollback, if anything.
pub fn action_state(body: &Value) -> Option<&str> {
    body["alerts"][0]["annotations"]["action_state"].as_str()
}
