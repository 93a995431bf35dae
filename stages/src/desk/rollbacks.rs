//! The stage that carries rollbacks: brings what happens to each rollback's state machine and says what follows.

use crate::desk::column::{Heard, News};
use crate::desk::incident::{Incident, Rollback};
use crate::desk::rollback::{Effect, Happening, RollbackProgress};
use crate::desk::state::Chore;
use crate::desk::{Desk, act, verify, words};
use crate::output::Output;
use crate::settings::Rule;
use crate::time::{Span, Time};
use crate::wire::{
    Axis, Command, EndCause, Evidence, Forbidden, Reason, RollbackEvent, RollbackState, SCHEMA,
    VerifyRequest, Withdraw,
};
use std::sync::Arc;

/// A wish to withdraw is repeated after this long: the ledger record it asks for is create-once, so repeating
/// is harmless, and the edge that writes it may have died in between.
pub(super) const WISH_AGAIN: Span = Span::from_secs(60);

/// What is said where a command was withdrawn and the alert is firing all the same: it was frozen, or it recovered
/// and fired again before the ledger answered. The first page promised a rollback. There is no second command: the
/// record that withdrew the first is create-once, and no agent would claim past it.
const STILL_FIRING: &str =
    "it is firing, and this incident had its one attempt: no rollback will run";

/// What came with a happening.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    /// A sentence.
    pub detail: Option<String>,
    /// Exit code of a script.
    pub exit_code: Option<i32>,
    /// What made it end so.
    pub cause: Option<EndCause>,
    /// What was seen.
    pub evidence: Option<Evidence>,
    /// When the word was stored where it was said first.
    pub stored: Option<Time>,
    /// The page of the firing says it already.
    pub paged: bool,
}

impl RollbackProgress {
    /// The state people know it by; none before it was judged.
    pub fn state(&self) -> Option<RollbackState> {
        match self {
            Self::Unjudged => None,
            Self::Suppressed(_) => Some(RollbackState::Suppressed),
            Self::AwaitingApproval(_) => Some(RollbackState::AwaitingApproval),
            Self::Commanded(_) | Self::Withdrawing(_) => Some(RollbackState::Commanded),
            Self::Claimed(_) => Some(RollbackState::Claimed),
            Self::Running(_) => Some(RollbackState::Running),
            Self::Failing(state, _) | Self::Over(state, _) => Some(*state),
            Self::Unknown => Some(RollbackState::Unknown),
            Self::Verifying(_) => Some(RollbackState::Verifying),
        }
    }
}

impl Desk {
    /// Lets `happening` happen to the rollback of the incident `id`.
    pub(super) fn happen(&mut self, id: &str, happening: &Happening, word: &Word) {
        let Some(incident) = self.state.incidents.get_mut(id) else { return };
        let Some(rollback) = incident.rollback.as_mut() else { return };
        let before = rollback.progress.clone();
        let (progress, effects) = before.clone().step(happening);
        rollback.progress = progress.clone();
        if matches!(happening, Happening::Claimed(..) | Happening::Started(_) | Happening::Ended(_))
        {
            rollback.claimed = true;
        }
        if matches!(happening, Happening::Ended(_))
            && !matches!(before, RollbackProgress::Verifying(_))
        {
            rollback.ended = word.stored;
        }
        if let Some(at) = progress.deadline() {
            self.state.agenda.insert((at, Chore::Rollback(id.to_owned())));
        }
        self.hold(id, &progress);
        for effect in effects {
            self.follow(id, &effect, word);
        }
        self.release(id, &before, &progress);
        if progress.settled() && !before.settled() {
            self.settled(id);
        }
    }

    /// Only what may pass, of an incident that is open, is judged again.
    fn hold(&mut self, id: &str, progress: &RollbackProgress) {
        let open = self.state.incidents.get(id).is_some_and(|incident| incident.progress.open());
        if open && matches!(progress, RollbackProgress::Suppressed(why) if act::may_pass(*why)) {
            self.state.held.insert(id.to_owned());
        } else {
            self.state.held.remove(id);
        }
    }

    fn release(&mut self, id: &str, before: &RollbackProgress, after: &RollbackProgress) {
        let Some(incident) = self.state.incidents.get(id) else { return };
        // An unknown run keeps its plan until its incident is over; that may have been before it.
        let over = *after == RollbackProgress::Unknown && !incident.progress.open();
        if !before.in_flight() || (after.in_flight() && !over) {
            return;
        }
        let (now, rollback) = (self.state.now, incident.rollback.clone());
        if let Some(Rollback { plan, commanded: Some(at), claimed, .. }) = rollback {
            self.state.plans.released(&plan, id, at, claimed, now);
        }
    }

    fn follow(&mut self, id: &str, effect: &Effect, word: &Word) {
        let Some(rule) = self.rule_of(id) else { return };
        let Some(incident) = self.state.incidents.get(id).cloned() else { return };
        let Some(rollback) = incident.rollback.clone() else { return };
        match effect {
            Effect::Say(state, why) => {
                self.say_rollback(&rule, &incident, &rollback, (*state, *why), word);
            }
            Effect::Order => self.order(&rule, &incident, &rollback),
            Effect::Wish(kind) => {
                let (plan, incident) = (rollback.plan.clone(), incident.id.clone());
                let wish = Withdraw {
                    schema: SCHEMA,
                    plan,
                    incident,
                    kind: *kind,
                    position: self.state.position,
                };
                let subject = self.subjects.rollback(&rollback.plan, "withdraw");
                self.out.push(Output::commit(subject, &wish));
            }
            Effect::Ask => self.ask(&rule, &incident, &rollback),
            Effect::Unexpected => {
                self.count("rollback_unexpected");
                let state = rollback.progress.state().map_or("unjudged", RollbackState::token);
                let said = word.detail.as_deref().unwrap_or("no detail");
                let text = format!(
                    "rollback {} of incident {id} is {state}, but the bus says otherwise ({said}): look at the target",
                    rollback.plan
                );
                self.notice("rollback_unexpected", id, text, true);
            }
        }
    }

    fn say_rollback(
        &mut self,
        rule: &Arc<Rule>,
        incident: &Incident,
        rollback: &Rollback,
        (state, why): (RollbackState, Option<Forbidden>),
        word: &Word,
    ) {
        let reason = why.map(|why| words::forbidden(why).to_owned());
        let detail = match (reason, word.detail.clone()) {
            (Some(reason), Some(detail)) => Some(format!("{reason}: {detail}")),
            (reason, detail) => reason.or(detail),
        };
        let in_vain = state == RollbackState::Cancelled
            && why != Some(Forbidden::Closed)
            && self.awaited(incident);
        let detail = match detail {
            Some(detail) if in_vain => Some(format!("{detail}; {STILL_FIRING}")),
            None if in_vain => Some(STILL_FIRING.to_owned()),
            detail => detail,
        };
        let told = told(state).or(in_vain.then_some(Reason::ActionResult));
        let told = told.filter(|_| !word.paged);
        let heard = told.map_or_else(Heard::default, |reason| {
            let news = News {
                reason,
                topic: format!("rollback/{}/{}", incident.openings, state.token()),
                summary: format!(
                    "{}: {}",
                    words::subject(rule, &incident.group),
                    words::rollback(&rollback.plan, state, detail.as_deref())
                ),
                age: Span::ZERO,
                ended: None,
                evidence: word.evidence.clone(),
                action: Some(state),
                action_detail: detail.clone(),
            };
            self.tell(&incident.id, rule, &news)
        });
        let event = RollbackEvent {
            schema: SCHEMA,
            plan: rollback.plan.clone(),
            incident: incident.id.clone(),
            rule: rule.name.clone(),
            metric: rule.metric.clone(),
            state,
            why,
            time: self.state.now,
            position: self.state.position,
            script: rollback.script.clone(),
            exit_code: word.exit_code,
            cause: word.cause,
            detail,
            evidence: word.evidence.clone(),
            notified: heard.notified,
            untold: heard.untold.map(|why| why.word().to_owned()),
        };
        let subject = self.subjects.rollback(&rollback.plan, state.token());
        self.out.push(Output::commit(subject, &event));
        self.out.extend(heard.intents);
    }

    /// Whether people wait for what an open incident's rollback does. Where the alert has recovered, the resolved
    /// message says all.
    fn awaited(&self, incident: &Incident) -> bool {
        let alert = self.state.alerts.get(&incident.alert);
        let firing = alert.is_some_and(|it| matches!(it.axis, Axis::Firing | Axis::Recovering));
        firing && incident.progress.open()
    }

    fn order(&mut self, rule: &Arc<Rule>, incident: &Incident, rollback: &Rollback) {
        let now = self.state.now;
        let Some(plan) = act::plan(&self.state, &rollback.plan) else { return };
        let command = Command {
            schema: SCHEMA,
            plan: plan.name.clone(),
            script: plan.script.clone(),
            incident: incident.id.clone(),
            rule: rule.name.clone(),
            issued: now,
            not_after: now.plus(plan.not_after),
            timeout: plan.timeout,
            from_revision: self
                .state
                .changes
                .get(&plan.target)
                .map(|changed| changed.change.revision.clone()),
            idempotent: plan.idempotent,
            position: self.state.position,
        };
        self.state.plans.commanded(&plan.name, &incident.id, now);
        if let Some(incident) = self.state.incidents.get_mut(&incident.id)
            && let Some(rollback) = &mut incident.rollback
        {
            rollback.commanded = Some(now);
            rollback.script.clone_from(&plan.script);
        }
        let subject = self.subjects.rollback(&plan.name, "command");
        self.out.push(Output::commit(subject, &command));
    }

    fn ask(&mut self, rule: &Arc<Rule>, incident: &Incident, rollback: &Rollback) {
        // A plan that has left the settings since its command: no shard is asked, and the deadline of the
        // verdict makes it inconclusive.
        let Some(plan) = act::plan(&self.state, &rollback.plan) else { return };
        let ended = rollback.ended.unwrap_or(self.state.now);
        let request = VerifyRequest {
            position: self.state.position,
            ..verify::request(rule, &plan, incident, ended)
        };
        if rule.is_apart(&self.subjects, self.shards) {
            return self.ask_apart(rule, &request);
        }
        let shard = self.subjects.shard_of(&rule.metric, self.shards);
        self.out.push(Output::commit(self.subjects.request(shard), &request));
    }

    /// The deadline of a rollback's state has come.
    pub(super) fn rollback_due(&mut self, id: &str) {
        let now = self.state.now;
        let rollback = self.state.incidents.get(id).and_then(|it| it.rollback.as_ref());
        let Some(deadline) = rollback.and_then(|it| it.progress.deadline()) else { return };
        if deadline <= now {
            let mut word = Word::default();
            match rollback.map(|it| (&it.progress, it)) {
                Some((RollbackProgress::Claimed(_) | RollbackProgress::Running(_), _)) => {
                    word.detail = Some("nothing was heard of its end".to_owned());
                    word.cause = Some(EndCause::Silence);
                }
                Some((RollbackProgress::Verifying(_), _)) => {
                    word.detail = Some("no verdict came".to_owned());
                }
                Some((RollbackProgress::Failing(..), it)) => {
                    (word.exit_code, word.cause) = (it.exit_code, it.cause);
                }
                _ => {}
            }
            let again = self.again();
            self.happen(id, &Happening::Overdue(again), &word);
        }
    }

    /// The kill switch: commands nobody has claimed yet are wished back.
    pub(super) fn withdraw_unclaimed(&mut self) {
        let unclaimed = |incident: &&Incident| {
            let rollback = incident.rollback.as_ref();
            rollback.is_some_and(|it| matches!(it.progress, RollbackProgress::Commanded(_)))
        };
        let ids: Vec<String> =
            self.state.incidents.values().filter(unclaimed).map(|it| it.id.clone()).collect();
        for id in ids {
            let again = self.again();
            self.happen(&id, &Happening::Frozen(again), &Word::default());
        }
    }
}

/// Which states of a rollback are told, and why.
fn told(state: RollbackState) -> Option<Reason> {
    use RollbackState as S;
    match state {
        S::AwaitingApproval
        | S::Denied
        | S::Expired
        | S::Succeeded
        | S::Failed
        | S::TimedOut
        | S::Unknown
        | S::Inconclusive => Some(Reason::ActionResult),
        S::NotRecovered => Some(Reason::NotRecovered),
        // The page of the firing says these, or the resolved message does; but see `STILL_FIRING`.
        S::Suppressed | S::Cancelled | S::Recovered => None,
        S::Proposed | S::Commanded | S::Claimed | S::Running | S::Verifying => None,
    }
}
