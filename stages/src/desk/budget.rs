//! Budgets: how often one receiver may be told, as a token bucket in log time; what is over it folds into a
//! digest. Nothing is dropped: every folded message is counted in exactly one digest.
//!
//! A digest stands at channels that keep what they are told (a pager, an alert behind a webhook) until all open
//! incidents in it are over. The next digest joins it, or ends it if it brings nothing but ends.
//!
//! A bucket holds credit in nanoseconds of log time, a message costs one `refill`. That is exact, so a budget
//! gives the same answers on every machine and after every restart.

use crate::settings::{Budget, Receiver};
use crate::time::{Span, Time};
use crate::wire::{Folded, Reason};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Lines of a digest: 500 lines of about 200 bytes are 100 KiB, a tenth of what a message may hold, and more
/// than anybody reads. The counts are always whole.
pub const FOLDED_MAX: usize = 500;
/// How long a digest gathers before the first one goes: a storm's first second belongs into one.
pub const GATHERS: Span = Span::from_secs(10);

/// How long something stands at such a channel that nothing will end: a notice, what was over before it was told.
pub const STANDS: Span = Span::from_secs(3_600);

/// The buckets of all receivers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    buckets: BTreeMap<String, Bucket>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    /// Nanoseconds of log time saved up.
    credit: i64,
    at: Time,
    digests: u64,
    last_digest: Option<Time>,
    folding: Option<Digest>,
    /// Open incidents in its digests.
    held: u64,
    standing: Option<Standing>,
}

/// A digest at a channel that keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    /// It stands at least until then.
    until: Time,
    critical: bool,
}

/// The end of a digest that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Number of the last digest that joined it.
    pub number: u64,
    /// Whether it was a critical one.
    pub critical: bool,
}

/// Messages folded into one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Number of this digest for its receiver, from 1.
    pub number: u64,
    /// When it goes.
    pub due: Time,
    /// How many messages.
    pub count: u64,
    /// How many by reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// The newest of them, newest last.
    pub lines: VecDeque<Folded>,
    /// Whether a critical one is among them.
    pub critical: bool,
}

/// What a digest does at a channel that keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It ends what stood there.
    Over {
        /// Whether that was critical.
        critical: bool,
    },
    /// It joins what stood there, or stands there from now on.
    Until {
        /// At least until then.
        until: Time,
        /// Whether what stands there is critical now.
        critical: bool,
        /// What stood there was not: it ends, so that the critical one is a new one and wakes somebody.
        instead: Option<End>,
    },
}

impl Budgets {
    /// Whether `receiver` may be told one more thing at `now`; if so it is charged. `critical` messages may use
    /// the reserve.
    pub fn spend(&mut self, receiver: &Receiver, critical: bool, now: Time) -> bool {
        let budget = receiver.budget;
        let price = budget.refill.0.max(0);
        let bucket = self.bucket(receiver, now);
        let kept = if critical { 0 } else { price.saturating_mul(i64::from(budget.reserve)) };
        if bucket.credit < kept.saturating_add(price) {
            return false;
        }
        bucket.credit -= price;
        true
    }

    /// Folds a message over budget; the moment its digest goes.
    pub fn fold(&mut self, receiver: &Receiver, line: Folded, critical: bool, now: Time) -> Time {
        let every = receiver.budget.digest_every;
        let bucket = self.bucket(receiver, now);
        let number = bucket.digests + 1;
        let earliest = bucket.last_digest.map_or(Time(i64::MIN), |last| last.plus(every));
        let due = now.plus(GATHERS.min(every)).max(earliest);
        let digest =
            bucket.folding.get_or_insert_with(|| Digest { number, due, ..Digest::default() });
        digest.count += 1;
        *digest.reasons.entry(line.reason).or_default() += 1;
        digest.critical |= critical;
        if digest.lines.len() == FOLDED_MAX {
            digest.lines.pop_front();
        }
        digest.lines.push_back(line);
        digest.due
    }

    /// One more open incident is in the digests of the receiver named `name`.
    pub fn hold(&mut self, name: &str) {
        if let Some(bucket) = self.buckets.get_mut(name) {
            bucket.held += 1;
        }
    }

    /// One of those is over.
    pub fn release(&mut self, name: &str) {
        if let Some(bucket) = self.buckets.get_mut(name) {
            bucket.held = bucket.held.saturating_sub(1);
        }
    }

    /// The digest of the receiver named `name`, if it is due.
    pub fn digest(&mut self, name: &str, now: Time) -> Option<Digest> {
        let bucket = self.buckets.get_mut(name)?;
        let digest = bucket.folding.take_if(|digest| digest.due <= now)?;
        bucket.digests = digest.number;
        bucket.last_digest = Some(now);
        Some(digest)
    }

    /// What `digest` does at a channel that keeps it.
    pub fn stand(&mut self, name: &str, digest: &Digest, now: Time) -> Stands {
        let over = |before: Option<Standing>| Stands::Over {
            critical: before.map_or(digest.critical, |before| before.critical),
        };
        let Some(bucket) = self.buckets.get_mut(name) else { return over(None) };
        let ends = |reason: &Reason| matches!(reason, Reason::Resolved | Reason::Acknowledged);
        if bucket.held == 0 && digest.reasons.keys().all(ends) {
            return over(bucket.standing.take());
        }
        let before = bucket.standing;
        let endless = bucket.held == 0 || digest.reasons.contains_key(&Reason::Notice);
        let until = if endless { now.plus(STANDS) } else { now };
        let standing = before.map_or(Standing { until, critical: digest.critical }, |before| {
            let critical = before.critical || digest.critical;
            Standing { until: until.max(before.until), critical }
        });
        bucket.standing = Some(standing);
        let worse = before.filter(|before| standing.critical && !before.critical);
        let instead = worse.map(|_| End { number: digest.number - 1, critical: false });
        Stands::Until { until: standing.until, critical: standing.critical, instead }
    }

    /// The end of what stands for the receiver named `name`, if that has come. A digest that is on its way decides
    /// that itself.
    pub fn end(&mut self, name: &str, now: Time) -> Option<End> {
        let bucket = self.buckets.get_mut(name)?;
        if bucket.held > 0 || bucket.folding.is_some() {
            return None;
        }
        let standing = bucket.standing.take_if(|standing| standing.until <= now)?;
        Some(End { number: bucket.digests, critical: standing.critical })
    }

    fn bucket(&mut self, receiver: &Receiver, now: Time) -> &mut Bucket {
        let full = full(receiver.budget);
        let new = Bucket {
            credit: full,
            at: now,
            digests: 0,
            last_digest: None,
            folding: None,
            held: 0,
            standing: None,
        };
        let bucket = self.buckets.entry(receiver.name.clone()).or_insert(new);
        // A changed budget applies from the next message on: credit beyond the new burst is gone.
        bucket.credit = bucket.credit.saturating_add(now.since(bucket.at).0).min(full);
        bucket.at = bucket.at.max(now);
        bucket
    }
}

fn full(budget: Budget) -> i64 {
    budget.refill.0.max(0).saturating_mul(i64::from(budget.burst))
}
