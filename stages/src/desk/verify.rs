//! Verifying: after a script succeeded, the shard of its metric is asked to judge recovery on samples from
//! after it only. The desk waits for the verdict, but not forever.
//!
//! The end of the script is the moment its outcome was stored where the agent wrote it; that stamp travels with
//! the relayed entry, so a slow relay does not move it.

use crate::desk::incident::Incident;
use crate::settings::{Plan, Rule};
use crate::time::{Span, Time};
use crate::wire::{SCHEMA, VerifyRequest};

/// How long after its last moment a verdict is waited for: relay and commit of a busy shard, with room for a
/// change of owner. Then it is inconclusive, so that no incident hangs on a shard that never answers.
pub const VERDICT_GRACE: Span = Span::from_secs(60);

/// When a verdict must be here for a run whose end was stored at `ended`.
pub fn verdict_by(plan: &Plan, ended: Time) -> Time {
    until(plan, ended).plus(VERDICT_GRACE)
}

fn until(plan: &Plan, ended: Time) -> Time {
    ended.plus(plan.verify.settle).plus(plan.verify.within)
}

/// What the shard is asked, by an entry that the caller knows.
pub fn request(rule: &Rule, plan: &Plan, incident: &Incident, ended: Time) -> VerifyRequest {
    VerifyRequest {
        schema: SCHEMA,
        incident: incident.id.clone(),
        plan: plan.name.clone(),
        rule: rule.name.clone(),
        group: incident.group.clone(),
        from: ended.plus(plan.verify.settle),
        hold: plan.verify.hold,
        until: until(plan, ended),
        min_samples: plan.verify.min_samples,
        position: 0,
    }
}
