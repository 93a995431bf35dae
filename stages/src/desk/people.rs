//! What people and deployment tooling say to the desk. What cannot be obeyed is refused with a notice that
//! names the entry and the remedy.

use crate::desk::column::News;
use crate::desk::intake::People;
use crate::desk::rollback::{Happening, RollbackProgress};
use crate::desk::rollbacks::Word;
use crate::desk::speak::facts_of;
use crate::desk::state::{Changed, Chore};
use crate::desk::{Desk, act, words};
use crate::time::Span;
use crate::wire::{Ack, AlertState, Approve, Change, Close, Freeze, Reason, Silence, Unlock};

/// Targets whose newest change is remembered; beyond it the oldest change is forgotten.
const TARGETS_MAX: usize = 10_000;

impl Desk {
    pub(super) fn people(&mut self, people: People) {
        let done = match people {
            People::Ack(ack) => self.ack(ack),
            People::Silence(silence) => self.silence(silence),
            People::Approve(approve) => self.approve(&approve),
            People::Change(change) => self.change(change),
            People::Freeze(freeze) => self.freeze(freeze),
            People::Close(close) => self.close_by(&close),
            People::Unlock(unlock) => self.unlock(&unlock),
        };
        if let Err(why) = done {
            self.count("entry_refused");
            let text = format!("desk entry {} is refused: {why}", self.state.position);
            self.notice("entry_refused", "", text, false);
        }
    }

    fn ack(&mut self, ack: Ack) -> Result<(), String> {
        by_somebody(&ack.author)?;
        let Some(rule) = self.open_incident(&ack.incident)? else { return Ok(()) };
        let Some(incident) = self.state.incidents.get_mut(&ack.incident) else { return Ok(()) };
        incident.acked = Some(ack.author.clone());
        incident.remind = None;
        let Some((incident, alert)) = self.incident_and_alert(&ack.incident) else { return Ok(()) };
        let comment = ack.comment.map_or_else(String::new, |comment| format!(": {comment}"));
        let detail = format!("{} has taken it{comment}", ack.author);
        let news = News {
            reason: Reason::Acknowledged,
            topic: format!("acknowledged/{}/{}", incident.openings, ack.author),
            summary: format!("{} - {detail}", words::subject(&rule, &incident.group)),
            age: Span::ZERO,
            ended: None,
            evidence: None,
            action: None,
            action_detail: None,
        };
        let heard = self.tell(&ack.incident, &rule, &news);
        let facts = facts_of(&rule, &incident, &alert);
        self.emit(&facts, Some(&ack.incident), AlertState::Acknowledged, heard, Some(detail));
        Ok(())
    }

    fn silence(&mut self, silence: Silence) -> Result<(), String> {
        let now = self.state.now;
        let (id, ends) = (silence.id.clone(), silence.ends);
        self.state.silences.take(silence, now)?;
        if ends > now {
            self.state.agenda.insert((ends, Chore::SilenceEnds(id)));
        } else {
            self.silence_ended();
        }
        Ok(())
    }

    fn approve(&mut self, approve: &Approve) -> Result<(), String> {
        by_somebody(&approve.author)?;
        let id = &approve.incident;
        let waits = self
            .state
            .incidents
            .get(id)
            .and_then(|incident| incident.rollback.as_ref())
            .is_some_and(|it| matches!(it.progress, RollbackProgress::AwaitingApproval(_)));
        if !waits {
            return Err(format!("no rollback of incident {id:?} waits for approval"));
        }
        let verb = if approve.approved { "approved" } else { "denied" };
        let comment = approve.comment.as_ref().map_or_else(String::new, |it| format!(": {it}"));
        let detail = Some(format!("{verb} by {}{comment}", approve.author));
        let happening = if approve.approved {
            // A person's yes does not lift what has come to forbid it since.
            self.judged(id, Span::ZERO, true)
        } else {
            Some(Happening::Denied)
        };
        if let Some(happening) = happening {
            self.happen(id, &happening, &Word { detail, ..Word::default() });
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        by_somebody(&change.author)?;
        if change.target.is_empty() {
            return Err("change without a target: write what was changed".to_owned());
        }
        let time = self.state.now;
        self.state.changes.insert(change.target.clone(), Changed { time, change });
        if self.state.changes.len() > TARGETS_MAX {
            let oldest = self.state.changes.iter().min_by_key(|(_, changed)| changed.time);
            if let Some(oldest) = oldest.map(|(target, _)| target.clone()) {
                self.state.changes.remove(&oldest);
            }
        }
        self.judge_held();
        Ok(())
    }

    fn freeze(&mut self, freeze: Freeze) -> Result<(), String> {
        // Whoever stops actions without a name still means it; letting them go again needs one.
        if !freeze.frozen {
            by_somebody(&freeze.author)?;
        }
        let word = if freeze.frozen { "stopped" } else { "allowed again" };
        let comment = freeze.comment.as_ref().map_or_else(String::new, |it| format!(": {it}"));
        let text = format!("automatic actions are {word} by {}{comment}", freeze.author);
        let frozen = freeze.frozen;
        self.state.freeze = Some(freeze);
        self.notice("freeze", "", text, true);
        if frozen {
            self.withdraw_unclaimed();
        }
        Ok(())
    }

    fn close_by(&mut self, close: &Close) -> Result<(), String> {
        by_somebody(&close.author)?;
        if self.open_incident(&close.incident)?.is_some() {
            let why = format!("closed by {}: {}", close.author, close.comment);
            self.close(&close.incident, None, why);
        }
        Ok(())
    }

    /// Only the lock is lifted: a plan that cools down goes on cooling down, and incidents it was forbidden stay
    /// without a rollback, as they were told.
    fn unlock(&mut self, unlock: &Unlock) -> Result<(), String> {
        let Unlock { plan: name, author, comment, .. } = unlock;
        by_somebody(author)?;
        if comment.trim().is_empty() {
            return Err("it has no comment: write why the plan may run again".to_owned());
        }
        let Some(plan) = act::plan(&self.state, name) else {
            return Err(format!("the settings have no plan {name:?}"));
        };
        if !self.state.plans.unlock(&plan, self.state.now) {
            return Err(format!("plan {name} is not locked"));
        }
        let text = format!("plan {name} is unlocked by {author}: {comment}");
        self.notice("plan_unlocked", "", text, true);
        Ok(())
    }

    /// The rule of an open incident; none where the incident is over, which is no mistake of anybody's.
    fn open_incident(
        &self,
        id: &str,
    ) -> Result<Option<std::sync::Arc<crate::settings::Rule>>, String> {
        match self.state.incidents.get(id) {
            None => Err(format!("there is no incident {id:?}: `ops alerts` lists them")),
            Some(incident) if !incident.progress.open() => Ok(None),
            Some(_) => Ok(self.rule_of(id)),
        }
    }
}

fn by_somebody(author: &str) -> Result<(), String> {
    if author.trim().is_empty() {
        Err("it has no author: write who says so".to_owned())
    } else {
        Ok(())
    }
}
