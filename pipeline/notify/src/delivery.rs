//! One intent on its way: channel after channel, attempt after attempt, each published.

use crate::channel::{Channel, Sent};
use crate::contacts::{Current, Target};
use crate::counters;
use crate::pacing::Pacer;
use crate::retry::{Next, Retry};
use crate::status::Status;
use bus::failpoint::{self, Failpoint};
use stages::time::Time;
use stages::wire::{Delivery, DeliveryState, Intent, SCHEMA};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What deliveries share.
pub struct Deliverer {
    /// Channels of every receiver, who stands in for them, and how fast.
    pub contacts: Current,
    /// How attempts are repeated.
    pub retry: Retry,
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

impl Deliverer {
    /// Delivers `intent`, however long that takes within the bounds of [`Retry`].
    pub async fn deliver(&self, intent: &Intent) -> Final {
        self.contacts.look_for(intent).await;
        let ways = self.contacts.now();
        let own = ways.targets(&intent.receiver, &intent.channels);
        let fallback = ways.fallback.as_deref().filter(|name| *name != intent.receiver);
        let others = fallback.map(|name| ways.targets(name, &[])).unwrap_or_default();
        let patience = self.patience(intent);
        let mut until = Instant::now() + self.left(intent);
        let mut last_kind = "none";
        for target in own.iter().chain(&others) {
            last_kind = &target.kind;
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

    /// Tries one channel. `Some(Some(_))`: told; `Some(None)`: given up; `None`: stopped.
    async fn try_target(&self, intent: &Intent, target: &Target, until: Instant) -> Option<Final> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            // Looked up for each attempt: it may have been corrected meanwhile.
            let ways = self.contacts.now();
            let Some(channel) = ways.channel(target) else {
                let why =
                    format!("receiver {:?} has no {} endpoint here", target.receiver, target.kind);
                let refused = Sent::Refused(why);
                return self.give_up(intent, target, attempt, &refused).await.map(|()| None);
            };
            let (channel, pacer) = (&*channel, &*ways.pacer);
            let (sent, took) = self.attempt(intent, (channel, pacer), attempt).await?;
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
        (channel, pacer): (&dyn Channel, &Pacer),
        attempt: u32,
    ) -> Option<(Sent, Duration)> {
        let seed = format!("{}-{attempt}", intent.key);
        let provider = channel.provider();
        tokio::select! {
            () = self.stop.cancelled() => return None,
            () = pacer.place(channel.kind(), &provider, &seed) => {}
        }
        failpoint::reach(Failpoint::NotifierBeforeDelivery);
        let began = Instant::now();
        let sent = tokio::time::timeout(self.retry.attempt_max, channel.send(intent)).await;
        let sent = sent.unwrap_or_else(|_| Sent::failed("no answer in time"));
        failpoint::reach(Failpoint::NotifierDelivered);
        Some((sent, began.elapsed()))
    }

    async fn give_up(
        &self,
        intent: &Intent,
        target: &Target,
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

fn told(intent: &Intent, target: &Target, step: (u32, DeliveryState), sent: &Sent) -> Delivery {
    delivery(intent, &target.receiver, &target.kind, step, sent.detail().to_owned())
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
