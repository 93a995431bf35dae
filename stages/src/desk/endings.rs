//! How incidents end: resolved, or closed for another reason; and when they are forgotten.

use crate::desk::column::News;
use crate::desk::incident::{IncidentEvent, IncidentProgress, Moved, Rollback};
use crate::desk::rollback::{Happening, RollbackProgress};
use crate::desk::rollbacks::Word;
use crate::desk::state::Chore;
use crate::desk::{Desk, say, words};
use crate::settings::Rule;
use crate::time::Span;
use crate::wire::{AlertState, Axis, Cause, Evidence, Reason, Transition};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long an incident is remembered after it is over: outcomes and repeats that come late still find it.
const REMEMBERED: Span = Span::from_secs(3600);

impl Desk {
    /// The incident's rollback has come to rest: if only that was waited for, the incident is over.
    pub(super) fn settled(&mut self, id: &str) {
        let Some(rule) = self.rule_of(id) else { return };
        if self.step_incident(id, IncidentEvent::Settled) == Moved::Resolved {
            self.resolved(&rule, id, None);
        }
    }

    pub(super) fn resolved(&mut self, rule: &Arc<Rule>, id: &str, cause: Option<Cause>) {
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        // What the verification saw is what makes "back to" true; without one, what the alert saw.
        let evidence = incident.verified.clone().unwrap_or(alert.evidence);
        let summary = match cause {
            // The last value was none to come back to.
            Some(Cause::NoDataOk) => words::no_data_is_ok(rule, &incident.group),
            _ => words::back(rule, &incident.group, &evidence),
        };
        self.over(rule, id, AlertState::Resolved, (summary, evidence, cause), None);
    }

    /// Closes an incident for another reason than recovery.
    pub(super) fn close(&mut self, id: &str, it: Option<&Transition>, why: String) {
        let Some(rule) = self.rule_of(id) else { return };
        let again = self.again();
        self.happen(id, &Happening::Closed(again), &Word::default());
        if self.step_incident(id, IncidentEvent::Closed) != Moved::Closed {
            return;
        }
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        let summary = format!("{} closed: {why}", words::subject(&rule, &incident.group));
        let said = (summary, alert.evidence, it.map(|it| it.cause));
        self.over(&rule, id, AlertState::Closed, said, Some(why));
    }

    /// Rules that have become shadows are heard of no more: their incidents are closed, and their alerts hold nobody
    /// else's action back.
    pub(super) fn close_shadows(&mut self) {
        let settings = self.state.settings.clone();
        let shadows = settings.rules.iter().filter(|rule| !rule.mode.is_live());
        let shadows: BTreeSet<&str> = shadows.map(|rule| rule.name.as_str()).collect();
        let is_shadow = |rule: &str| shadows.contains(rule);
        let open = self.state.incidents.values().filter(|it| it.progress.open());
        let open = open.filter(|it| is_shadow(&it.rule)).map(|it| it.id.clone());
        for id in open.collect::<Vec<_>>() {
            self.close(&id, None, "rule_is_shadow".to_owned());
        }
        for alert in self.state.alerts.values_mut().filter(|alert| is_shadow(&alert.rule)) {
            alert.axis = Axis::Unknown;
        }
    }

    pub(super) fn over(
        &mut self,
        rule: &Arc<Rule>,
        id: &str,
        state: AlertState,
        (summary, evidence, cause): (String, Evidence, Option<Cause>),
        detail: Option<String>,
    ) {
        let now = self.state.now;
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        let action = incident.rollback.as_ref().and_then(|back| back.progress.state());
        let news = News {
            reason: Reason::Resolved,
            topic: format!("over/{}", incident.openings),
            summary,
            age: Span::ZERO,
            ended: Some(now),
            evidence: Some(evidence.clone()),
            action,
            action_detail: None,
        };
        let heard = self.tell(id, rule, &news);
        let facts = say::Facts {
            rule,
            group: &incident.group,
            severity: &incident.severity,
            axis: alert.axis,
            data: alert.data,
            cause,
            evidence: &evidence,
        };
        self.emit(&facts, Some(id), state, heard, detail);
        self.leave(id, rule);
    }

    /// What is left to do once an incident is over.
    pub(super) fn leave(&mut self, id: &str, rule: &Rule) {
        let now = self.state.now;
        self.state.held.remove(id);
        let Some(incident) = self.state.incidents.get_mut(id) else { return };
        incident.remind = None;
        incident.withheld = false;
        incident.owed = false;
        if let Some(Rollback {
            plan,
            progress: RollbackProgress::Unknown,
            commanded: Some(at),
            ..
        }) = &incident.rollback
        {
            self.state.plans.released(plan, id, *at, true, now);
        }
        let held = incident.told.unfold();
        let keep = rule.reopen_within.max(REMEMBERED);
        self.state.agenda.insert((now.plus(keep), Chore::Forget(id.to_owned())));
        for name in held {
            self.state.budgets.release(&name);
            self.end_digest(&name);
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        let now = self.state.now;
        let Some(incident) = self.state.incidents.get(id) else { return };
        let IncidentProgress::Over(at, _) = incident.progress else { return };
        let reopen = self.state.rule(&incident.rule).map_or(Span::ZERO, |rule| rule.reopen_within);
        let axis = self.state.alerts.get(&incident.alert).map(|alert| alert.axis);
        let busy = incident.rollback.as_ref().is_some_and(|back| !back.progress.settled());
        let firing = matches!(axis, Some(Axis::Firing | Axis::Recovering));
        let until = at.plus(reopen.max(REMEMBERED));
        if until > now || busy || firing {
            let later = if until > now { until } else { now.plus(REMEMBERED) };
            self.state.agenda.insert((later, Chore::Forget(id.to_owned())));
            return;
        }
        let Some(incident) = self.state.incidents.remove(id) else { return };
        if let Some(alert) = self.state.alerts.get_mut(&incident.alert)
            && alert.incident.as_deref() == Some(id)
        {
            alert.incident = None;
            if matches!(alert.axis, Axis::Ok | Axis::Unknown) {
                self.state.alerts.remove(&incident.alert);
            }
        }
        let used = self.state.alerts.values().any(|alert| alert.rule == incident.rule);
        if !used {
            self.state.removed.remove(&incident.rule);
        }
    }
}
