//! Verification of a rule that is apart: every shard concerned shows its parts on samples after the script alone, and the
//! desk judges them like the rule, until there is a verdict.

use super::View;
use super::evaluate::Moment;
use crate::desk::Desk;
use crate::desk::incident::Rollback;
use crate::desk::rollback::RollbackProgress;
use crate::output::Output;
use crate::settings::Rule;
use crate::shard::{sorted, text_of};
use crate::time::Time;
use crate::verify::{State, progress};
use crate::wire::{SCHEMA, ShardEvent, Verified, VerifyRequest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A verification under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Verifying {
    request: VerifyRequest,
    /// The rule as it was when asked, with the request's own number of samples.
    pub(super) rule: Arc<Rule>,
    pub(super) view: View,
    state: State,
}

impl Verifying {
    /// Lets its clock come to what a shard spoke of; it stands still over a hole.
    pub(super) fn advance(&mut self, to: Time) {
        if let Some(hole) = self.view.advance(to) {
            self.request.until = self.request.until.plus(hole);
            self.state = self.state.frozen_over(hole);
        }
    }
}

impl Desk {
    /// Asks the shards of a rule to show what a verification is judged by.
    pub(in crate::desk) fn ask_apart(&mut self, rule: &Rule, request: &VerifyRequest) {
        for shard in rule.shards(&self.subjects, self.shards) {
            self.out.push(Output::commit(self.subjects.request(shard), request));
        }
        let rule = Arc::new(request.judges(rule));
        let view = self.view_of(&rule);
        let (request, state) = (request.clone(), State::default());
        let verifying = Verifying { request, rule, view, state };
        self.state.apart.verifications.insert(verifying.request.incident.clone(), verifying);
    }

    /// Looks at a verification; one that has its verdict says so and ends.
    pub(super) fn judge_verification(&mut self, incident: &str) {
        let awaited = self.state.incidents.get(incident).and_then(|it| it.rollback.as_ref());
        if !matches!(awaited, Some(Rollback { progress: RollbackProgress::Verifying(_), .. })) {
            self.state.apart.verifications.remove(incident);
            return;
        }
        let apart = &mut self.state.apart;
        let Some(verifying) = apart.verifications.get_mut(incident) else { return };
        let Verifying { request, rule, view, state } = verifying;
        let text = text_of(&request.group, &sorted(&rule.group_by));
        let moment = Moment { shards: &apart.shards, now: self.state.now };
        let Some(looks) = view.look(rule, (&text, request.from), moment) else { return };
        let clock = view.clock.unwrap_or(self.state.now);
        let (verdict, _) = progress(request, state, &looks.joint.judged, clock);
        let Some(verdict) = verdict else { return };
        let verified = Verified {
            schema: SCHEMA,
            incident: request.incident.clone(),
            plan: request.plan.clone(),
            verdict,
            time: clock,
            position: self.state.position,
            evidence: looks.evidence(clock),
        };
        self.state.apart.verifications.remove(incident);
        let event = ShardEvent::Verified(Box::new(verified));
        self.out.push(Output::commit(self.subjects.judged(), &event));
        if let ShardEvent::Verified(verified) = event {
            self.verified(*verified);
        }
    }
}
