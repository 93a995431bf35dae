//! Budgets: how often one receiver may be told, as a token bucket in log time; what is over it folds into a
//! digest. Nothing is dropped: every folded message is counted in exactly one digest.
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

    /// The digest of the receiver named `name`, if it is due.
    pub fn digest(&mut self, name: &str, now: Time) -> Option<Digest> {
        let bucket = self.buckets.get_mut(name)?;
        let digest = bucket.folding.take_if(|digest| digest.due <= now)?;
        bucket.digests = digest.number;
        bucket.last_digest = Some(now);
        Some(digest)
    }

    fn bucket(&mut self, receiver: &Receiver, now: Time) -> &mut Bucket {
        let full = full(receiver.budget);
        let new = Bucket { credit: full, at: now, digests: 0, last_digest: None, folding: None };
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
