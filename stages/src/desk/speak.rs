//! How the other stages of the desk look things up and say things.

use crate::desk::column::{self, Heard, News};
use crate::desk::incident::Incident;
use crate::desk::state::Alert;
use crate::desk::{Desk, say};
use crate::output::Output;
use crate::settings::Rule;
use crate::time::{Span, Time};
use crate::wire::{AlertState, Transition};
use std::sync::Arc;

impl Desk {
    pub(super) fn tell(&mut self, id: &str, rule: &Rule, news: &News) -> Heard {
        let heard = column::tell(&mut self.state, &self.subjects, id, rule, news);
        if !heard.unknown.is_empty() {
            self.complain(&rule.name, &heard.unknown);
        }
        heard
    }

    pub(super) fn rule_of(&self, id: &str) -> Option<Arc<Rule>> {
        self.state.rule(&self.state.incidents.get(id)?.rule)
    }

    pub(super) fn incident_and_alert(&self, id: &str) -> Option<(Incident, Alert)> {
        let incident = self.state.incidents.get(id)?;
        Some((incident.clone(), self.state.alerts.get(&incident.alert)?.clone()))
    }

    /// How old a shard's word is.
    pub(super) fn age(&self, it: &Transition) -> Span {
        self.state.now.since(it.time)
    }

    pub(super) fn again(&self) -> Time {
        self.state.now.plus(crate::desk::rollbacks::WISH_AGAIN)
    }

    pub(super) fn say_alert(
        &mut self,
        rule: &Rule,
        it: &Transition,
        id: Option<&str>,
        state: AlertState,
    ) {
        let facts = facts_at(rule, it, &it.severity);
        self.emit(&facts, id, state, Heard::default(), None);
    }

    pub(super) fn say_incident(
        &mut self,
        rule: &Rule,
        it: &Transition,
        (id, state): (&str, AlertState),
        heard: Heard,
        detail: Option<String>,
    ) {
        let incident = self.state.incidents.get(id);
        let severity = incident.map_or(it.severity.clone(), |incident| incident.severity.clone());
        let facts = facts_at(rule, it, &severity);
        self.emit(&facts, Some(id), state, heard, detail);
    }

    /// The event first, then the messages it causes.
    pub(super) fn emit(
        &mut self,
        facts: &say::Facts<'_>,
        id: Option<&str>,
        state: AlertState,
        heard: Heard,
        detail: Option<String>,
    ) {
        let at = (self.state.now, self.state.position);
        let incident = id.and_then(|id| self.state.incidents.get(id));
        let event = say::alert(at, facts, incident, state, &heard, detail);
        let subject = self.subjects.alert(facts.severity, &facts.rule.name, state.token());
        self.out.push(Output::commit(subject, &event));
        self.out.extend(heard.intents);
    }
}

fn facts_at<'a>(rule: &'a Rule, it: &'a Transition, severity: &'a str) -> say::Facts<'a> {
    say::Facts {
        rule,
        group: &it.group,
        severity,
        axis: it.to,
        data: it.data,
        cause: Some(it.cause),
        evidence: &it.evidence,
    }
}

pub(super) fn facts_of<'a>(
    rule: &'a Rule,
    incident: &'a Incident,
    alert: &'a Alert,
) -> say::Facts<'a> {
    say::Facts {
        rule,
        group: &incident.group,
        severity: &incident.severity,
        axis: alert.axis,
        data: alert.data,
        cause: None,
        evidence: &alert.evidence,
    }
}
