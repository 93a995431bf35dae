//! Every bound of the collector, each with its reason.

use std::time::Duration;

/// How much the collector takes, holds and waits.
#[derive(Clone, Debug)]
pub struct CollectorLimits {
    /// Largest request body: about 10 000 samples of the brief's form.
    pub body_bytes_max: usize,
    /// A log entry is closed once its batch may have this many bytes: half of what a message may have, so
    /// that the engine's reads stay small. A single larger request becomes an entry of its own.
    pub entry_bytes_max: usize,
    /// Bodies held at once, from the first byte read until the bus has stored them; more is 429.
    pub queue_bytes_max: usize,
    /// Shortest time between two entries of a shard. A request that finds the shard idle goes at once, so this
    /// delays nobody until there is load; under load it bounds the standing cost to 13 entries a second, each of which
    /// costs the bus about a millisecond of CPU and a wait for the disk. Shorter than a step (100 ms): a shard that
    /// gets entries this often does not count as quiet, so they need no ticks at once.
    pub gather: Duration,
    /// How long a request waits for the bus before 503.
    pub store_wait: Duration,
    /// How long a body may take to arrive.
    pub body_wait: Duration,
    /// An engine this far behind asks for patience (429): the log holds 48 h, but an alert that late helps nobody.
    pub lag_max: Duration,
    /// How far ahead of this machine's clock a sample may be.
    pub future_max: Duration,
    /// Refusals described in one answer; the rest is only counted.
    pub reasons_max: usize,
    /// Dead letters a second; a flood of rubbish must not become a flood on the bus.
    pub dead_letters_per_second: u32,
    /// Bytes of one dead letter: enough to see what it was.
    pub dead_letter_bytes_max: usize,
}

impl Default for CollectorLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            entry_bytes_max: 512 << 10,
            queue_bytes_max: 64 << 20,
            gather: Duration::from_millis(80),
            store_wait: Duration::from_secs(5),
            body_wait: Duration::from_secs(10),
            lag_max: Duration::from_secs(120),
            future_max: Duration::from_secs(300),
            reasons_max: 100,
            dead_letters_per_second: 20,
            dead_letter_bytes_max: 64 << 10,
        }
    }
}
