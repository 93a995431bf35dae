//! What ledger, agents and shards say of rollbacks, brought to the rollback it is about.

use crate::desk::incident::Rollback;
use crate::desk::intake::StrangeClaim;
use crate::desk::rollback::{Ending, Happening, RollbackProgress};
use crate::desk::rollbacks::Word;
use crate::desk::{Desk, act, verify};
use crate::settings::Plan;
use crate::time::{Span, Time};
use crate::wire::{
    LedgerRecord, LedgerState, RollbackOutcome, RollbackState, Verdict, Verified, WithdrawKind,
};
use std::sync::Arc;

/// How long the agent's own words are waited for once the ledger says how a run ended. They follow within
/// milliseconds; a page without them says less.
const WORDS_WITHIN: Span = Span::from_secs(2);
/// How long beyond a script's time limit its end may be unheard of before the outcome is unknown: the agent
/// may start 30 s after its claim, needs 5 s to stop a script, and may be restarted meanwhile.
const SILENT_FOR: Span = Span::from_secs(90);

impl Desk {
    pub(super) fn ledger(&mut self, record: &LedgerRecord, stored: Time) {
        let Some(plan) = self.plan_of(&record.incident, &record.plan) else { return };
        let silent = stored.plus(plan.timeout).plus(SILENT_FOR);
        let mut word = Word { stored: Some(stored), ..Word::default() };
        word.detail = match &record.state {
            LedgerState::Claimed => Some(format!("by {}", record.holder)),
            LedgerState::Started { .. } | LedgerState::Ended { .. } => None,
            LedgerState::Cancelled | LedgerState::Expired => None,
        };
        let happening = match &record.state {
            LedgerState::Claimed => Happening::Claimed(stored, silent),
            LedgerState::Started { .. } => Happening::Started(silent),
            LedgerState::Ended { outcome, exit_code, cause } => {
                (word.exit_code, word.cause) = (*exit_code, *cause);
                self.note_end(&record.incident, &word);
                match self.ending(&plan, *outcome, false, stored) {
                    Some(ending) => Happening::Ended(ending),
                    None => return self.count("outcome_refused"),
                }
            }
            LedgerState::Cancelled => Happening::Withdrawn(WithdrawKind::Cancel),
            LedgerState::Expired => Happening::Withdrawn(WithdrawKind::Expire),
        };
        self.happen(&record.incident, &happening, &word);
    }

    /// The agent's own words may never come.
    fn note_end(&mut self, id: &str, word: &Word) {
        let incident = self.state.incidents.get_mut(id);
        if let Some(rollback) = incident.and_then(|incident| incident.rollback.as_mut()) {
            (rollback.exit_code, rollback.cause) = (word.exit_code, word.cause);
        }
    }

    /// A record nobody here can read claims the command all the same: it keeps agents away. What its author does
    /// is waited for as usual; without an outcome in time it is unknown. A person is told when it is first seen.
    pub(super) fn strange_claim(&mut self, claim: &StrangeClaim) {
        let StrangeClaim { plan: name, incident: id, stored, why } = claim;
        let Some(plan) = self.plan_of(id, name) else {
            return self.unreadable("ledger record", why);
        };
        self.count("unreadable");
        let rollback = self.state.incidents.get(id).and_then(|it| it.rollback.as_ref());
        let first = rollback.is_some_and(|it| {
            matches!(it.progress, RollbackProgress::Commanded(_) | RollbackProgress::Withdrawing(_))
        });
        if first {
            let text = format!(
                "rollback {name} of incident {id} was claimed by somebody whose record cannot be read ({why}): find out who; `ops.status.rollback.{name}` is to say how it ends"
            );
            self.notice("claim_unreadable", id, text, true);
        }
        let by = stored.plus(plan.timeout).plus(SILENT_FOR);
        let detail = Some("by somebody whose record cannot be read".to_owned());
        let word = Word { detail, stored: Some(*stored), ..Word::default() };
        self.happen(id, &Happening::Claimed(*stored, by), &word);
    }

    pub(super) fn outcome(&mut self, outcome: &RollbackOutcome, stored: Time) {
        let Some(plan) = self.plan_of(&outcome.incident, &outcome.plan) else { return };
        let happening = if outcome.state == RollbackState::Running {
            Happening::Started(stored.plus(plan.timeout).plus(SILENT_FOR))
        } else {
            match self.ending(&plan, outcome.state, true, stored) {
                Some(ending) => Happening::Ended(ending),
                None => return self.count("outcome_refused"),
            }
        };
        let word = Word {
            detail: outcome.detail.clone(),
            exit_code: outcome.exit_code,
            cause: outcome.cause,
            stored: Some(stored),
            ..Word::default()
        };
        self.happen(&outcome.incident, &happening, &word);
    }

    fn ending(
        &self,
        plan: &Plan,
        outcome: RollbackState,
        in_words: bool,
        stored: Time,
    ) -> Option<Ending> {
        use RollbackState as S;
        let ends =
            matches!(outcome, S::Succeeded | S::Failed | S::TimedOut | S::Unknown | S::Expired);
        ends.then(|| Ending {
            outcome,
            in_words,
            verdict_by: verify::verdict_by(plan, stored).max(self.state.now),
            words_by: self.state.now.plus(WORDS_WITHIN),
        })
    }

    /// The plan of an incident's rollback, if that is the plan the word is about.
    fn plan_of(&mut self, id: &str, name: &str) -> Option<Arc<Plan>> {
        let incident = self.state.incidents.get(id);
        let rollback = incident.and_then(|incident| incident.rollback.as_ref());
        let ours = rollback.is_some_and(|rollback| rollback.plan == name);
        if !ours {
            self.count("outcome_of_nothing");
            return None;
        }
        // Gone from the settings: what it may still do is bounded by the defaults of a plan.
        Some(act::plan(&self.state, name).unwrap_or_else(|| Arc::new(gone(name))))
    }

    pub(super) fn verified(&mut self, verified: Verified) {
        let Verified { incident: id, plan, verdict, evidence, .. } = verified;
        if self.plan_of(&id, &plan).is_none() {
            return;
        }
        if verdict == Verdict::Recovered
            && let Some(incident) = self.state.incidents.get_mut(&id)
            && let Some(Rollback { progress: RollbackProgress::Verifying(_), .. }) =
                incident.rollback
        {
            incident.verified = Some(evidence.clone());
        }
        let word = Word { evidence: Some(evidence), ..Word::default() };
        self.happen(&id, &Happening::Verified(verdict), &word);
    }
}

fn gone(name: &str) -> Plan {
    Plan {
        name: name.to_owned(),
        script: String::new(),
        target: name.to_owned(),
        timeout: Span::from_secs(60),
        cooldown: Span::ZERO,
        lock_after: None,
        lock_window: Span::ZERO,
        not_after: Span::from_secs(120),
        approval_expires: Span::ZERO,
        idempotent: false,
        verify: crate::settings::Verify {
            settle: Span::ZERO,
            hold: Span::ZERO,
            within: Span::ZERO,
            min_samples: 0,
        },
    }
}
