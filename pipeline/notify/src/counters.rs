//! What the notifier has done, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// By kind of channel.
    pub channels: BTreeMap<&'static str, ChannelCounters>,
    /// Intents that nobody took, not even the fallback receiver.
    pub failed: u64,
    /// Intents folded into a digest because they were too old.
    pub late: u64,
    /// Messages on `ops.notify.>` that do not read.
    pub unreadable: u64,
    /// Intents in flight now.
    pub in_flight: u64,
}

/// Counts of one kind of channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelCounters {
    /// Taken by the provider.
    pub sent: u64,
    /// Written to the outbox.
    pub outbox: u64,
    /// Attempts that failed and were repeated.
    pub retried: u64,
    /// Times the channel was given up.
    pub failed: u64,
    /// Seconds all attempts took together.
    pub seconds: f64,
}

/// The counters of a running notifier.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Counters>);

impl Shared {
    /// A copy of them.
    pub fn read(&self) -> Counters {
        self.lock().clone()
    }

    /// Changes those that belong to no channel.
    pub fn change(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.lock());
    }

    /// Counts an attempt on `channel`.
    pub fn attempt(
        &self,
        channel: &'static str,
        took: Duration,
        change: impl FnOnce(&mut ChannelCounters),
    ) {
        let mut counters = self.lock();
        let channel = counters.channels.entry(channel).or_default();
        channel.seconds += took.as_secs_f64();
        change(channel);
    }

    /// Plain sums: whole between any two statements, whatever panicked elsewhere.
    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
