//! Work handed out by a durable consumer with explicit acks.
//!
//! One message is asked for at a time: what is not being worked on stays on the server, free for others. A durable
//! that somebody deleted is made again at the first message this worker has not done; others' open work comes again
//! only if it lies behind that.

use super::ack_subject;
use super::link::{Failure, Link};
use crate::{Answer, BusError, Message, Work, WorkOptions, Worker};
use async_nats::{Message as Delivery, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const CONSUMER_NOT_FOUND: u64 = 10_014;
/// A pull ends after this; the next one follows.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// The server shows it is there this often while a pull waits.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Pause before pulling again after a failure.
const RETRY: Duration = Duration::from_millis(200);

/// What a durable consumer is to be.
struct Durable {
    stream: String,
    filter: String,
    name: String,
    options: WorkOptions,
}

/// Where a worker is, to go on from if its durable is deleted.
#[derive(Default)]
struct Progress {
    /// Last sequence handed out.
    last: u64,
    /// Handed out and not done.
    open: BTreeSet<u64>,
}

impl Progress {
    /// The first sequence that is not done; none before anything was handed out.
    fn next(&self) -> Option<u64> {
        let behind = (self.last > 0).then_some(self.last + 1);
        self.open.first().copied().or(behind)
    }
}

type SharedProgress = Arc<Mutex<Progress>>;

pub(super) struct JetStreamWorker {
    link: Arc<Link>,
    durable: Durable,
    inbox: String,
    subscriber: Subscriber,
    connections: watch::Receiver<u64>,
    progress: SharedProgress,
    /// A pull is with the server.
    asked: bool,
    /// Pulls failed just now: wait before the next one, and see whether the durable is still there.
    failed: bool,
}

impl JetStreamWorker {
    pub(super) async fn open(
        link: Arc<Link>,
        stream: String,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<Self, BusError> {
        let what = format!("work as {name} on {stream}");
        let (filter, name) = (filter.to_owned(), name.to_owned());
        let durable = Durable { stream, filter, name, options };
        make_durable(&link, &durable, None).await?;
        let connections = link.connections();
        let inbox = link.client.new_inbox();
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber =
            subscriber.map_err(|error| BusError::Unavailable { what, why: error.to_string() })?;
        let progress = SharedProgress::default();
        let (asked, failed) = (false, false);
        Ok(Self { link, durable, inbox, subscriber, connections, progress, asked, failed })
    }

    async fn ask(&mut self) -> Result<(), BusError> {
        if self.failed {
            tokio::time::sleep(RETRY).await;
            let next = locked(&self.progress).next();
            match make_durable(&self.link, &self.durable, next).await {
                Ok(()) => self.failed = false,
                // Not reachable: pulling would fail too.
                Err(BusError::Unavailable { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let consumer = format!("{}.{}", self.durable.stream, self.durable.name);
        let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let body = json!({
            "batch": 1,
            "expires": nanos(PULL_EXPIRES),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        let subject = self.link.api_subject(&format!("CONSUMER.MSG.NEXT.{consumer}"));
        self.link
            .client
            .publish_with_reply(subject, self.inbox.clone(), body.to_string().into())
            .await
            .map_err(|error| BusError::Unavailable {
                what: format!("work of {consumer}"),
                why: error.to_string(),
            })?;
        self.asked = true;
        Ok(())
    }

    fn take(&mut self, delivery: Delivery) -> Option<Work> {
        if let Some(status) = delivery.status {
            if status.as_u16() != 100 {
                // The pull ended. 408 is its time; anything else deserves a pause.
                self.asked = false;
                self.failed = status.as_u16() != 408;
            }
            return None;
        }
        self.asked = false;
        let reply = delivery.reply?.into_string();
        let place = ack_subject::parse(&reply)?;
        let message = Message {
            subject: Bytes::from(delivery.subject.into_string()),
            sequence: place.sequence,
            time: place.time,
            payload: delivery.payload,
        };
        let mut progress = locked(&self.progress);
        progress.last = progress.last.max(place.sequence);
        progress.open.insert(place.sequence);
        drop(progress);
        let (link, progress) = (Arc::clone(&self.link), Arc::clone(&self.progress));
        let answer = JetStreamAnswer { link, reply, sequence: place.sequence, progress };
        Some(Work { message, delivery: place.deliveries, answer: Box::new(answer) })
    }
}

#[async_trait]
impl Worker for JetStreamWorker {
    async fn next(&mut self) -> Result<Work, BusError> {
        loop {
            while !self.asked {
                self.ask().await?;
            }
            let delivery = tokio::select! {
                biased;
                delivery = self.subscriber.next() => delivery,
                _ = self.connections.changed() => {
                    (self.asked, self.failed) = (false, true);
                    continue;
                }
                () = tokio::time::sleep(HEARTBEAT * 2 + HEARTBEAT / 5) => {
                    self.asked = false;
                    continue;
                }
            };
            let Some(delivery) = delivery else {
                return Err(BusError::Unavailable {
                    what: format!("work as {} on {}", self.durable.name, self.durable.stream),
                    why: "the connection is closed".to_owned(),
                });
            };
            if let Some(work) = self.take(delivery) {
                return Ok(work);
            }
        }
    }
}

/// Makes the durable unless it is there; `next` is where it goes on if it was there before.
async fn make_durable(link: &Link, durable: &Durable, next: Option<u64>) -> Result<(), BusError> {
    let Durable { stream, filter, name, options } = durable;
    let what = format!("make consumer {name} of {stream}");
    match link.api::<Value>(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null).await {
        Ok(info) => return check_durable(stream, name, filter, &info["config"]),
        Err(Failure::Refused { code: CONSUMER_NOT_FOUND, .. }) => {}
        Err(failure) => return Err(failure.of_read(&what)),
    }
    let mut config = json!({
        "durable_name": name,
        "name": name,
        "filter_subject": filter,
        "deliver_policy": if options.only_new { "new" } else { "all" },
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "ack_wait": u64::try_from(options.ack_wait.as_nanos()).unwrap_or(u64::MAX),
        "max_ack_pending": options.in_flight_max,
        "max_deliver": -1,
    });
    if let Some(next) = next {
        tracing::warn!(stream, name, next, "the durable consumer is gone; made again");
        config["deliver_policy"] = json!("by_start_sequence");
        config["opt_start_seq"] = json!(next);
    }
    // No "action": if somebody made it in between just the same, that is fine.
    let body = json!({ "stream_name": stream, "config": config });
    let call = format!("CONSUMER.CREATE.{stream}.{name}.{filter}");
    link.api::<Value>(&call, &body).await.map(|_| ()).map_err(|failure| failure.of_read(&what))
}

/// What it hands out must be what is wanted; waits and bounds may have been tuned by the operator.
fn check_durable(stream: &str, name: &str, filter: &str, found: &Value) -> Result<(), BusError> {
    let wanted = [("filter_subject", json!(filter)), ("ack_policy", json!("explicit"))];
    for (field, want) in wanted {
        if found[field] != want {
            return Err(BusError::Mismatch {
                stream: format!("{stream}, consumer {name}"),
                field: field.to_owned(),
                found: found[field].to_string(),
                wanted: want.to_string(),
                remedy: format!("remove it with `nats consumer rm {stream} {name}`"),
            });
        }
    }
    Ok(())
}

struct JetStreamAnswer {
    link: Arc<Link>,
    reply: String,
    sequence: u64,
    progress: SharedProgress,
}

fn locked(progress: &SharedProgress) -> MutexGuard<'_, Progress> {
    // Plain numbers: a panic elsewhere leaves nothing half-written.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl JetStreamAnswer {
    async fn send(&self, payload: Bytes) -> Result<(), BusError> {
        let sent = self.link.request(&self.reply, None, payload).await;
        sent.map(|_| ()).map_err(|failure| failure.of_write("answer work"))
    }
}

#[async_trait]
impl Answer for JetStreamAnswer {
    async fn done(&self) -> Result<(), BusError> {
        self.send(Bytes::from_static(b"+ACK")).await?;
        locked(&self.progress).open.remove(&self.sequence);
        Ok(())
    }

    async fn working(&self) -> Result<(), BusError> {
        self.send(Bytes::from_static(b"+WPI")).await
    }

    async fn later(&self, delay: Duration) -> Result<(), BusError> {
        self.send(format!("-NAK {{\"delay\": {}}}", delay.as_nanos()).into()).await
    }
}
