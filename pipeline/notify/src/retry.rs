//! What follows an attempt: a pure decision, tested without waiting.

use crate::channel::Sent;
use crate::key;
use stages::wire::DeliveryState;
use std::time::Duration;

/// How attempts are repeated.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Wait after the first failure; doubled each time.
    pub wait_min: Duration,
    /// Longest wait of our own; a provider may ask for more.
    pub wait_max: Duration,
    /// One attempt may take this long.
    pub attempt_max: Duration,
    /// A channel gets at least this long, whatever the intent's deadline was.
    pub channel_min: Duration,
    /// And at most this long.
    pub channel_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            wait_min: Duration::from_secs(1),
            wait_max: Duration::from_secs(60),
            attempt_max: Duration::from_secs(30),
            channel_min: Duration::from_secs(5),
            channel_max: Duration::from_secs(900),
        }
    }
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The intent is told.
    Done(DeliveryState),
    /// Again on this channel after this long.
    Again(Duration),
    /// This channel is given up.
    GiveUp,
}

impl Retry {
    /// Decides after attempt number `attempt` (from 1) of the intent `key`, with `left` of the channel's time.
    pub fn next(&self, sent: &Sent, attempt: u32, left: Duration, key: &str) -> Next {
        match sent {
            Sent::Delivered(_) => Next::Done(DeliveryState::Delivered),
            Sent::Outbox(_) => Next::Done(DeliveryState::Outbox),
            Sent::Refused(_) => Next::GiveUp,
            Sent::Failed { after, .. } => {
                let own = self.backoff(attempt, key);
                let wait = after.map_or(own, |asked| asked.max(own));
                if wait < left { Next::Again(wait) } else { Next::GiveUp }
            }
        }
    }

    /// Doubled each attempt up to the cap, then between half and all of it: receivers that failed together do
    /// not come back together.
    fn backoff(&self, attempt: u32, key: &str) -> Duration {
        let doubled = self.wait_min.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let share = key::share(&[key, &attempt.to_string()]);
        doubled.min(self.wait_max).mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn failed(after: Option<u64>) -> Sent {
        Sent::Failed { why: "503".to_owned(), after: after.map(Duration::from_secs) }
    }

    fn wait(attempt: u32, after: Option<u64>, key: &str) -> Duration {
        match Retry::default().next(&failed(after), attempt, LONG, key) {
            Next::Again(wait) => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_with_the_same_jitter_every_time() {
        for attempt in 1..=40 {
            let full = (1_u64 << (attempt - 1).min(10)).min(60);
            let wait = wait(attempt, None, "key");
            assert!(wait >= Duration::from_millis(full * 500), "{attempt}: {wait:?}");
            assert!(wait <= Duration::from_secs(full), "{attempt}: {wait:?}");
        }
        assert_eq!(wait(3, None, "key"), wait(3, None, "key"));
        assert_ne!(wait(3, None, "key"), wait(3, None, "another"));
    }

    #[test]
    fn a_provider_that_asks_for_time_gets_it() {
        assert_eq!(wait(1, Some(120), "key"), Duration::from_secs(120));
        assert!(wait(1, Some(0), "key") >= Duration::from_millis(500));
    }

    #[test]
    fn a_channel_is_given_up_when_refused_or_out_of_time() {
        let retry = Retry::default();
        let refused = Sent::Refused("404".to_owned());
        assert_eq!(retry.next(&refused, 1, LONG, "key"), Next::GiveUp);
        assert_eq!(retry.next(&failed(None), 9, Duration::from_secs(1), "key"), Next::GiveUp);
        assert_eq!(retry.next(&failed(Some(90)), 1, Duration::from_secs(60), "key"), Next::GiveUp);
    }
}
