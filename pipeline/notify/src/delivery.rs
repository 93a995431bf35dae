//! One intent on its way: channel after channel, attempt after attempt, each published.

use crate::channel::{Channel, Sent};
use crate::counters;
use crate::pacing::Pacer;
use crate::retry::{Next, Retry};
use crate::status::Status;
use stages::time::Time;
use stages::wire::{Delivery, DeliveryState, Intent, SCHEMA};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What deliveries share.
pub struct Deliverer {
    /// Channels of every receiver, in order.
    pub channels: BTreeMap<String, Vec<Arc<dyn Channel>>>,
    /// Who hears of what a receiver's channels all refused.
    pub fallback: Option<String>,
    /// How attempts are repeated.
    pub retry: Retry,
    /// How fast.
    pub pacer: Pacer,
    /// Where it is told.
    pub status: Status,
    /// Sums.
    pub counters: counters::Shared,
    /// No new attempts from here on.
    pub stop: CancellationToken,
}

/// The last word on an intent, already published; `None` where the notifier was stopped first: the intent then
/// stays on the bus.
pub type Final = Option<DeliveryState>;

/// A receiver that is being tried.
struct Target<'a> {
    receiver: &'a str,
    kind: &'a str,
    channel: Option<&'a dyn Channel>,
}

impl Deliverer {
    /// Delivers `intent`, however long that takes within the bounds of [`Retry`].
    pub async fn deliver(&self, intent: &Intent) -> Final {
        let own = self.targets(&intent.receiver, &intent.channels);
        let fallback = self.fallback.as_deref().filter(|name| *name != intent.receiver);
        let others = fallback.map(|name| self.targets(name, &[])).unwrap_or_default();
        let patience = self.patience(intent);
        let mut until = Instant::now() + self.left(intent);
        let mut last_kind = "none";
        for target in own.iter().chain(&others) {
            last_kind = target.kind;
            if let Some(state) = self.try_target(intent, target, until).await? {
                return Some(state);
            }
            // The next one gets a whole time of its own: the first may have used all of it.
            until = Instant::now() + patience;
        }
        let detail = "no channel took it, nor did the fallback receiver".to_owned();
        let failed =
            delivery(intent, &intent.receiver, last_kind, (0, DeliveryState::Failed), detail);
        self.store(&failed).await?;
        self.counters.change(|counters| counters.failed += 1);
        tracing::error!(receiver = intent.receiver, summary = intent.summary, "nobody was told");
        Some(DeliveryState::Failed)
    }

    /// The intent's kinds of channel matched with the receiver's endpoints; all of these where it names none.
    fn targets<'a>(&'a self, receiver: &'a str, kinds: &'a [String]) -> Vec<Target<'a>> {
        let mut open: Vec<&dyn Channel> =
            self.channels.get(receiver).into_iter().flatten().map(AsRef::as_ref).collect();
        if kinds.is_empty() {
            let target = |channel: &'a dyn Channel| Target {
                receiver,
                kind: channel.kind(),
                channel: Some(channel),
            };
            return open.into_iter().map(target).collect();
        }
        let mut targets = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let place = open.iter().position(|channel| channel.kind() == kind);
            let channel = place.map(|place| open.remove(place));
            targets.push(Target { receiver, kind, channel });
        }
        targets
    }

    /// Tries one channel. `Some(Some(_))`: told; `Some(None)`: given up; `None`: stopped.
    async fn try_target(
        &self,
        intent: &Intent,
        target: &Target<'_>,
        until: Instant,
    ) -> Option<Final> {
        let Some(channel) = target.channel else {
            let why =
                format!("receiver {:?} has no {} endpoint here", target.receiver, target.kind);
            tracing::warn!("{why}");
            return self.give_up(intent, target, 1, &Sent::Refused(why)).await.map(|()| None);
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (sent, took) = self.attempt(intent, channel, attempt).await?;
            let left = until.saturating_duration_since(Instant::now());
            match self.retry.next(&sent, attempt, left, &intent.key) {
                Next::Done(state) => {
                    self.counters.attempt(channel.kind(), took, |counters| match state {
                        DeliveryState::Outbox => counters.outbox += 1,
                        _ => counters.sent += 1,
                    });
                    self.store(&told(intent, target, (attempt, state), &sent)).await?;
                    return Some(Some(state));
                }
                Next::Again(wait) => {
                    self.counters.attempt(channel.kind(), took, |counters| counters.retried += 1);
                    tracing::warn!(
                        receiver = target.receiver,
                        channel = target.kind,
                        attempt,
                        why = sent.detail(),
                        ?wait,
                        "trying again"
                    );
                    let retrying = told(intent, target, (attempt, DeliveryState::Retrying), &sent);
                    // A bus in trouble must not keep people from being told: once, not until stored.
                    if let Err(error) = self.status.publish(&retrying).await {
                        tracing::warn!(%error, "cannot say that a delivery is tried again");
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => return None,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Next::GiveUp => {
                    self.counters.attempt(channel.kind(), took, |counters| counters.failed += 1);
                    return self.give_up(intent, target, attempt, &sent).await.map(|()| None);
                }
            }
        }
    }

    /// One attempt within its time; `None` if the notifier was stopped before it began.
    async fn attempt(
        &self,
        intent: &Intent,
        channel: &dyn Channel,
        attempt: u32,
    ) -> Option<(Sent, Duration)> {
        let seed = format!("{}-{attempt}", intent.key);
        let provider = channel.provider();
        tokio::select! {
            () = self.stop.cancelled() => return None,
            () = self.pacer.place(channel.kind(), &provider, &seed) => {}
        }
        let began = Instant::now();
        let sent = tokio::time::timeout(self.retry.attempt_max, channel.send(intent)).await;
        let sent = sent.unwrap_or_else(|_| Sent::failed("no answer in time"));
        Some((sent, began.elapsed()))
    }

    async fn give_up(
        &self,
        intent: &Intent,
        target: &Target<'_>,
        attempt: u32,
        sent: &Sent,
    ) -> Option<()> {
        tracing::warn!(
            receiver = target.receiver,
            channel = target.kind,
            why = sent.detail(),
            "channel given up"
        );
        self.store(&told(intent, target, (attempt, DeliveryState::NextChannel), sent)).await
    }

    /// Stores a word that the acknowledgement rests on; `None` if the notifier was stopped first.
    async fn store(&self, delivery: &Delivery) -> Option<()> {
        tokio::select! {
            biased;
            () = self.status.store(delivery) => Some(()),
            () = self.stop.cancelled() => None,
        }
    }

    /// How long one channel may take: as long as the desk gave the intent.
    fn patience(&self, intent: &Intent) -> Duration {
        let given = intent.deadline.since(intent.time).as_std();
        given.clamp(self.retry.channel_min, self.retry.channel_max)
    }

    /// How much of that is left for the first channel. Its deadline is on the bus's clock, which is close
    /// enough to ours for seconds and minutes.
    fn left(&self, intent: &Intent) -> Duration {
        let left = intent.deadline.since(wall_clock()).as_std();
        left.clamp(self.retry.channel_min, self.retry.channel_max)
    }
}

fn told(intent: &Intent, target: &Target<'_>, step: (u32, DeliveryState), sent: &Sent) -> Delivery {
    delivery(intent, target.receiver, target.kind, step, sent.detail().to_owned())
}

/// The word on attempt number `step.0`, which came to `step.1`.
fn delivery(
    intent: &Intent,
    receiver: &str,
    channel: &str,
    step: (u32, DeliveryState),
    detail: String,
) -> Delivery {
    Delivery {
        schema: SCHEMA,
        key: intent.key.clone(),
        receiver: receiver.to_owned(),
        incident: intent.incident.clone(),
        channel: channel.to_owned(),
        attempt: step.0,
        state: step.1,
        detail: Some(detail),
    }
}

/// Now, by this machine.
pub fn wall_clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
