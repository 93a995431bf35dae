//! Keeps below what a provider accepts. It delays, it never drops: budgets are the desk's.

use crate::key;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use settings::Pacing;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// Longest extra wait, so that those who waited together do not go together.
const JITTER_MAX: Duration = Duration::from_millis(50);
/// A minute's messages are spread: at most the sixth part of them goes at once after a quiet time.
const BURST_PART: u32 = 6;

/// One bucket for each provider: a mail server, PagerDuty, the host of a webhook.
pub struct Pacer {
    /// By kind of channel.
    buckets: BTreeMap<&'static str, DefaultKeyedRateLimiter<String>>,
    clock: DefaultClock,
}

impl Pacer {
    /// Buckets of `pacing`.
    pub fn new(pacing: &Pacing) -> Self {
        let kinds = [
            ("email", pacing.email_per_minute),
            ("pager_duty", pacing.pager_duty_per_minute),
            ("webhook", pacing.webhook_per_minute),
        ];
        let bucket = |per_minute: u32| {
            let number = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_minute(number(per_minute));
            RateLimiter::keyed(quota.allow_burst(number(per_minute / BURST_PART)))
        };
        let buckets = kinds.map(|(kind, per_minute)| (kind, bucket(per_minute))).into();
        Self { buckets, clock: DefaultClock::default() }
    }

    /// Waits for a place at `provider`; `seed` decides the jitter.
    pub async fn place(&self, kind: &str, provider: &str, seed: &str) {
        let Some(bucket) = self.buckets.get(kind) else { return };
        let provider = provider.to_owned();
        while let Err(full) = bucket.check_key(&provider) {
            let jitter = JITTER_MAX.mul_f64(key::share(&[seed]));
            tokio::time::sleep(full.wait_time_from(self.clock.now()) + jitter).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_full_provider_waits_and_another_does_not() {
        let pacer = Pacer::new(&Pacing {
            email_per_minute: 1,
            pager_duty_per_minute: 1,
            webhook_per_minute: 1,
        });
        assert!(pacer.place("email", "mail", "a").now_or_never().is_some());
        assert!(pacer.buckets["email"].check_key(&"mail".to_owned()).is_err());
        assert!(pacer.place("email", "other", "a").now_or_never().is_some());
        assert!(pacer.place("webhook", "mail", "a").now_or_never().is_some());
    }
}
