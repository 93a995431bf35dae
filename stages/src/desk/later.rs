//! What comes back to an open incident without its alert moving: reminders, a silence that ends, a changed
//! severity, and rollbacks judged again.

use crate::desk::act::{self, Case};
use crate::desk::column::{Heard, News, Untold};
use crate::desk::rollback::Happening;
use crate::desk::rollbacks::Word;
use crate::desk::speak::facts_of;
use crate::desk::state::Chore;
use crate::desk::{Desk, words};
use crate::settings::Rule;
use crate::time::Span;
use crate::wire::{AlertState, Evidence, Forbidden, Reason, Transition};

/// Shortest time between two reminders, whatever a rule says: a page a second helps nobody.
const REPEAT_MIN: Span = Span::from_secs(1);

/// A severity an incident has from now on, and what was seen.
struct Severity<'a> {
    id: &'a str,
    severity: &'a str,
    evidence: &'a Evidence,
}

impl Desk {
    pub(super) fn schedule_reminder(&mut self, id: &str, rule: &Rule) {
        if rule.repeat == Span::ZERO {
            return;
        }
        let at = self.state.now.plus(rule.repeat.max(REPEAT_MIN));
        if let Some(incident) = self.state.incidents.get_mut(id) {
            incident.remind = Some(at);
            self.state.agenda.insert((at, Chore::Remind(id.to_owned())));
        }
    }

    pub(super) fn remind(&mut self, id: &str) {
        let now = self.state.now;
        let Some(rule) = self.rule_of(id) else { return };
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        let due = incident.remind.is_some_and(|at| at <= now);
        if !due || !incident.progress.open() || incident.acked.is_some() {
            return;
        }
        let number = incident.reminders + 1;
        let line = words::breach(&rule, &incident.group, (&incident.severity, &alert.evidence));
        let news = News {
            reason: Reason::Reminded,
            topic: format!("reminded/{number}"),
            summary: words::still(&line, incident.opened, alert.data),
            age: Span::ZERO,
            ended: None,
            evidence: Some(alert.evidence),
            action: incident.rollback.as_ref().and_then(|back| back.progress.state()),
            action_detail: None,
        };
        if let Some(incident) = self.state.incidents.get_mut(id) {
            incident.reminders = number;
        }
        let heard = self.tell(id, &rule, &news);
        self.out.extend(heard.intents);
        self.schedule_reminder(id, &rule);
    }

    /// A silence is over: who was not told because of it and still would be is told now.
    pub(super) fn silence_ended(&mut self) {
        self.state.silences.prune(self.state.now);
        let owed: Vec<String> = self
            .state
            .incidents
            .values()
            .filter(|incident| incident.withheld && incident.progress.open())
            .map(|incident| incident.id.clone())
            .collect();
        for id in owed {
            self.tell_owed(&id, "was silenced");
        }
    }

    /// New settings may say another severity of what is open. Of several the shard says which one it is.
    pub(super) fn severities_changed(&mut self) {
        let open = self.state.incidents.values().filter(|incident| incident.progress.open());
        let open: Vec<String> = open.map(|incident| incident.id.clone()).collect();
        for id in open {
            let Some(rule) = self.rule_of(&id) else { continue };
            let Some((incident, alert)) = self.incident_and_alert(&id) else { continue };
            if !rule.grades.is_empty() || incident.severity == rule.severity {
                continue;
            }
            let changed = Severity { id: &id, severity: &rule.severity, evidence: &alert.evidence };
            let (heard, detail) = self.change_severity(&rule, changed, Span::ZERO);
            let Some((incident, alert)) = self.incident_and_alert(&id) else { continue };
            let facts = facts_of(&rule, &incident, &alert);
            self.emit(&facts, Some(&id), AlertState::SeverityChanged, heard, Some(detail));
        }
    }

    /// A shard's word may carry another severity of what is open: the same incident is worse, or better, than it was.
    pub(super) fn severity_moved(&mut self, rule: &Rule, key: &str, it: &Transition) {
        let Some(id) = self.state.alerts.get(key).and_then(|alert| alert.incident.clone()) else {
            return;
        };
        let Some(incident) = self.state.incidents.get(&id) else { return };
        if rule.grades.is_empty() || !incident.progress.open() || incident.severity == it.severity {
            return;
        }
        let changed = Severity { id: &id, severity: &it.severity, evidence: &it.evidence };
        let (heard, detail) = self.change_severity(rule, changed, self.age(it));
        self.say_incident(rule, it, (&id, AlertState::SeverityChanged), heard, Some(detail));
    }

    fn change_severity(&mut self, rule: &Rule, to: Severity<'_>, age: Span) -> (Heard, String) {
        let Some(incident) = self.state.incidents.get_mut(to.id) else {
            return (Heard::default(), String::new());
        };
        let before = std::mem::replace(&mut incident.severity, to.severity.to_owned());
        let detail = format!("severity changed from {before} to {}", to.severity);
        let line = words::breach(rule, &incident.group, (to.severity, to.evidence));
        let news = News {
            reason: Reason::SeverityChanged,
            topic: format!("severity/{}", self.state.position),
            summary: format!("{line} - {detail}"),
            age,
            ended: None,
            evidence: Some(to.evidence.clone()),
            action: None,
            action_detail: None,
        };
        let heard = self.tell(to.id, rule, &news);
        if let Some(incident) = self.state.incidents.get_mut(to.id) {
            // As with a page: the end of the silence tells what it is by then.
            incident.withheld |= heard.untold == Some(Untold::Silenced);
        }
        (heard, detail)
    }

    /// Judges again what something forbade that may have passed.
    pub(super) fn judge_held(&mut self) {
        for id in self.state.held.clone() {
            self.judge_one(&id, Span::ZERO);
        }
    }

    pub(super) fn judge_one(&mut self, id: &str, age: Span) {
        if !self.state.held.contains(id) {
            return;
        }
        if let Some(happening) = self.judged(id, age, false) {
            // While it is on its way back there is nothing to judge, and nothing forbids it for good either.
            if happening == Happening::Forbidden(Forbidden::RecoveredFirst) {
                return;
            }
            let evidence = self.incident_and_alert(id).map(|(_, alert)| alert.evidence);
            self.happen(id, &happening, &Word { evidence, ..Word::default() });
        }
    }

    /// What may happen to the incident's rollback now.
    pub(super) fn judged(&self, id: &str, age: Span, approved: bool) -> Option<Happening> {
        let incident = self.state.incidents.get(id)?;
        let alert = self.state.alerts.get(&incident.alert)?;
        let rule = self.state.rule(&incident.rule)?;
        act::judge(&self.state, Case { rule: &rule, alert, incident, age, approved })
    }
}
