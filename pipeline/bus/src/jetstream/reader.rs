//! Reads a stream in order with a consumer of our own making.
//!
//! Why not the client library's ordered consumer: after a server restart before its first message it began at
//! sequence 1, and it noticed a lost consumer after 15 s. Here a consumer is a throw-away: named, without acks,
//! in memory, from `last + 1`; whenever anything looks odd (connection lost, silence, a gap in the consumer's
//! own count, any status we do not expect) another one is made at `last + 1`, and what was seen is dropped.
//!
//! Flow: pulls grant the server credit in messages and bytes. A new pull goes out when half the credit is used,
//! and only while somebody waits in `next`, so a slow caller stops the flow. The bytes of all readers of
//! a connection together stay below what the server lets a client owe (64 MiB).

use super::InfoAnswer;
use super::ack_subject::Replies;
use super::link::Link;
use super::shelf::Shelf;
use crate::{BusError, Message, Reader};
use async_nats::{Message as Delivery, Subscriber};
use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use stages::time::Time;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Messages per pull. Two pulls stay below the client's 65,536 per subscription, past which it drops.
const PULL_MESSAGES: i64 = 10_000;
/// Bytes per pull of a reader that is alone; enough to keep the server busy for some milliseconds.
const PULL_BYTES: i64 = 8 << 20;
/// What all readers of a connection may have in flight together, below the server's 64 MiB.
const FLIGHT_BYTES: i64 = 48 << 20;
/// Smallest pull: a message of the server's default largest size (1 MiB) with subject and headers fits.
const PULL_BYTES_MIN: i64 = (1 << 20) + (64 << 10);
/// A pull ends after this; the next one follows.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// The server shows it is there this often. Two missed ones count as lost.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The server forgets a consumer nobody pulls from.
const INACTIVE: Duration = Duration::from_secs(60);
/// Pauses between attempts to make a consumer, doubling.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

pub(super) struct JetStreamReader {
    link: Arc<Link>,
    stream: String,
    filter: Option<String>,
    /// When the stream was created: the identity of its sequences.
    created: Time,
    /// Last sequence handed out, or the one before the first wanted.
    last: u64,
    flow: Flow,
}

enum Flow {
    /// A consumer is being made. Kept across calls, so that a caller that gives up waiting does not undo it.
    Opening(BoxFuture<'static, Result<Session, BusError>>),
    Open(Session),
}

/// One consumer and what it owes us.
struct Session {
    name: String,
    subscriber: Subscriber,
    inbox: String,
    consumer_sequence: u64,
    messages: i64,
    bytes: i64,
    connections: watch::Receiver<u64>,
    replies: Replies,
    shelf: Shelf,
}

/// What one delivery was.
enum Taken {
    Message(Message),
    Nothing,
    Lost(String),
}

impl JetStreamReader {
    pub(super) async fn open(
        link: Arc<Link>,
        stream: String,
        filter: Option<&str>,
        from: u64,
    ) -> Result<Self, BusError> {
        let (filter, last) = (filter.map(str::to_owned), from.saturating_sub(1));
        let created = created(&link, &stream).await?;
        // The first consumer is made here, so that a wrong stream or a missing permission shows at once.
        let session =
            Session::open(Arc::clone(&link), stream.clone(), filter.clone(), last + 1).await?;
        link.readers.fetch_add(1, Ordering::Relaxed);
        Ok(Self { link, stream, filter, created, last, flow: Flow::Open(session) })
    }

    fn reopen(&mut self, why: &str) {
        tracing::info!(stream = %self.stream, last = self.last, why, "reader starts again");
        let (link, stream, filter) =
            (Arc::clone(&self.link), self.stream.clone(), self.filter.clone());
        let opening = open_again(link, (stream, self.created), filter, self.last + 1);
        if let Flow::Open(old) = std::mem::replace(&mut self.flow, Flow::Opening(opening.boxed())) {
            forget(&self.link, &self.stream, old.name);
        }
    }
}

#[async_trait]
impl Reader for JetStreamReader {
    async fn next(&mut self, into: &mut Vec<Message>) -> Result<(), BusError> {
        loop {
            let session = match &mut self.flow {
                Flow::Open(session) => session,
                Flow::Opening(opening) => {
                    let session = opening.await;
                    match session {
                        Ok(session) => self.flow = Flow::Open(session),
                        Err(error) => {
                            // Not permitted, say. The next call tries again.
                            self.reopen("it could not be opened");
                            return Err(error);
                        }
                    }
                    continue;
                }
            };
            let before = into.len();
            let lost = session.burst(&self.link, &mut self.last, into).await;
            if let Some(why) = lost {
                self.reopen(&why);
            }
            if into.len() > before {
                return Ok(());
            }
        }
    }
}

impl Drop for JetStreamReader {
    fn drop(&mut self) {
        self.link.readers.fetch_sub(1, Ordering::Relaxed);
        if let Flow::Open(session) = &mut self.flow {
            forget(&self.link, &self.stream, std::mem::take(&mut session.name));
        }
    }
}

impl Session {
    async fn open(
        link: Arc<Link>,
        stream: String,
        filter: Option<String>,
        from: u64,
    ) -> Result<Self, BusError> {
        let what = format!("read stream {stream}");
        let connections = link.connections();
        let name = format!("reader-{}", link.unique_name());
        let inbox = link.client.new_inbox();
        let subscriber = link.client.subscribe(inbox.clone()).await.map_err(|error| {
            BusError::Unavailable { what: what.clone(), why: error.to_string() }
        })?;
        let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let mut config = json!({
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": from,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": -1,
            "inactive_threshold": nanos(INACTIVE),
            "num_replicas": 1,
            "mem_storage": true,
        });
        let mut call = format!("CONSUMER.CREATE.{stream}.{name}");
        if let Some(filter) = &filter {
            config["filter_subject"] = json!(filter);
            call = format!("{call}.{filter}");
        }
        let body = json!({ "stream_name": stream, "config": config, "action": "create" });
        link.api::<Value>(&call, &body).await.map_err(|failure| failure.of_read(&what))?;
        Ok(Self {
            name,
            subscriber,
            inbox,
            consumer_sequence: 0,
            messages: 0,
            bytes: 0,
            connections,
            replies: Replies::default(),
            shelf: Shelf::default(),
        }
        .on(stream))
    }

    /// The subject pulls go to is kept in place of the bare name.
    fn on(mut self, stream: String) -> Self {
        self.name = format!("{stream}.{}", self.name);
        self
    }

    /// Waits for a delivery, then takes all that have arrived. Answers why the consumer is lost, if it is.
    async fn burst(
        &mut self,
        link: &Link,
        last: &mut u64,
        into: &mut Vec<Message>,
    ) -> Option<String> {
        if let Err(why) = self.grant(link).await {
            return Some(why);
        }
        let first = tokio::select! {
            biased;
            delivery = self.subscriber.next() => delivery,
            _ = self.connections.changed() => return Some("the connection changed".to_owned()),
            () = tokio::time::sleep(HEARTBEAT * 2 + HEARTBEAT / 5) => {
                return Some("no sign of the server".to_owned());
            }
        };
        let mut delivery = first;
        loop {
            let Some(arrived) = delivery else { return Some("the subscription ended".to_owned()) };
            match self.take(arrived) {
                Taken::Message(message) if message.sequence > *last => {
                    *last = message.sequence;
                    into.push(message);
                }
                Taken::Message(_) | Taken::Nothing => {}
                Taken::Lost(why) => return Some(why),
            }
            // No waiting and no yielding inside a burst; its size is bounded by the credit.
            let next = tokio::task::coop::unconstrained(self.subscriber.next());
            match next.now_or_never() {
                Some(arrived) => delivery = arrived,
                None => return None,
            }
        }
    }

    fn take(&mut self, delivery: Delivery) -> Taken {
        if delivery.status.is_some() {
            return self.take_status(&delivery);
        }
        let replies = &mut self.replies;
        let Some(place) = delivery.reply.as_deref().and_then(|reply| replies.parse(reply)) else {
            return Taken::Nothing;
        };
        if place.consumer_sequence != self.consumer_sequence + 1 {
            return Taken::Lost(format!(
                "delivery {} came after {}",
                place.consumer_sequence, self.consumer_sequence
            ));
        }
        self.consumer_sequence = place.consumer_sequence;
        self.messages -= 1;
        self.bytes -= i64::try_from(delivery.length).unwrap_or(i64::MAX);
        let (subject, payload) = self.shelf.keep(&delivery.subject, delivery.payload);
        Taken::Message(Message { subject, sequence: place.sequence, time: place.time, payload })
    }

    /// Statuses end a pull (the rest of its credit is void), show a heartbeat, or mean the consumer is lost.
    fn take_status(&mut self, delivery: &Delivery) -> Taken {
        let code = delivery.status.map_or(0, |status| status.as_u16());
        let text = delivery.description.as_deref().unwrap_or_default();
        let left = |name: &str| -> Option<i64> {
            delivery.headers.as_ref()?.get(name)?.as_str().parse().ok()
        };
        match (code, left("Nats-Pending-Messages"), left("Nats-Pending-Bytes")) {
            (100, ..) => Taken::Nothing,
            (408 | 409, Some(messages), Some(bytes)) => {
                self.messages -= messages;
                self.bytes -= bytes;
                if text.contains("Deleted")
                    || text.contains("Leadership")
                    || text.contains("Shutdown")
                {
                    return Taken::Lost(text.to_owned());
                }
                Taken::Nothing
            }
            _ => Taken::Lost(format!("status {code} {text}")),
        }
    }

    /// Sends a pull when half the credit is used.
    async fn grant(&mut self, link: &Link) -> Result<(), String> {
        let readers =
            i64::try_from(link.readers.load(Ordering::Relaxed)).unwrap_or(i64::MAX).max(1);
        let bytes = (FLIGHT_BYTES / (2 * readers)).clamp(PULL_BYTES_MIN, PULL_BYTES);
        if self.messages > PULL_MESSAGES / 2 && self.bytes > bytes / 2 {
            return Ok(());
        }
        let body = json!({
            "batch": PULL_MESSAGES,
            "max_bytes": bytes,
            "expires": u64::try_from(PULL_EXPIRES.as_nanos()).unwrap_or(u64::MAX),
            "idle_heartbeat": u64::try_from(HEARTBEAT.as_nanos()).unwrap_or(u64::MAX),
        });
        let subject = link.api_subject(&format!("CONSUMER.MSG.NEXT.{}", self.name));
        link.client
            .publish_with_reply(subject, self.inbox.clone(), body.to_string().into())
            .await
            .map_err(|error| error.to_string())?;
        self.messages = self.messages.max(0) + PULL_MESSAGES;
        self.bytes = self.bytes.max(0) + bytes;
        Ok(())
    }
}

/// Tries until a consumer stands, or the server says it will never let us.
async fn open_again(
    link: Arc<Link>,
    (stream, created): (String, Time),
    filter: Option<String>,
    from: u64,
) -> Result<Session, BusError> {
    let mut pause = RETRY.0;
    loop {
        if link.connected() {
            let opened = match self::created(&link, &stream).await {
                Ok(found) if found != created => return Err(BusError::Anew { stream }),
                Ok(_) => {
                    Session::open(Arc::clone(&link), stream.clone(), filter.clone(), from).await
                }
                Err(error) => Err(error),
            };
            match opened {
                Err(error @ (BusError::Denied { .. } | BusError::Invalid(_))) => return Err(error),
                Err(error) => tracing::debug!(%error, "reader tries again"),
                Ok(session) => return Ok(session),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// When a stream was created.
async fn created(link: &Link, stream: &str) -> Result<Time, BusError> {
    let info = link.api::<InfoAnswer>(&format!("STREAM.INFO.{stream}"), &Value::Null).await;
    info.map(|info| info.created).map_err(|failure| failure.of_read(&format!("read {stream}")))
}

/// Removes a consumer in the background; if that fails the server forgets it by itself.
fn forget(link: &Arc<Link>, stream: &str, name: String) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if !link.connected() || name.is_empty() {
        return;
    }
    let (link, stream) = (Arc::clone(link), stream.to_owned());
    runtime.spawn(async move {
        let deleted = link.api::<Value>(&format!("CONSUMER.DELETE.{name}"), &Value::Null).await;
        if let Err(failure) = deleted {
            tracing::debug!(?failure, stream, "consumer left to the server");
        }
    });
}
