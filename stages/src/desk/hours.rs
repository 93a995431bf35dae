//! Active hours: outside of a rule's hours an alert is recorded, not told, and told when they begin if it is still
//! open then. The stage stands before silences because hours belong to the rule and silences to the moment.
//!
//! Hours decide about people alone: a rollback is judged as at any hour. Whoever heard that an incident began hears what
//! becomes of it at any hour too: an action's end, who took it, that it is over. What begins, grows or reminds waits.
//!
//! | news \ somebody heard of it | yes | no |
//! |---|---|---|
//! | fired, flapping, severity changed | owed | owed |
//! | action result, not recovered | told | owed |
//! | acknowledged, resolved | told | not told |
//! | reminded | not told | not told |

use crate::calendar::Calendar;
use crate::desk::column::{News, Untold};
use crate::desk::incident::Incident;
use crate::desk::state::{Chore, State};
use crate::desk::{Desk, words};
use crate::settings::Rule;
use crate::time::Span;
use crate::wire::Reason;
use std::sync::Arc;

/// Whether news waits for the rule's hours, and whether it is told then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// It goes at any hour.
    Told,
    /// It is told when the hours begin.
    Owed,
    /// It is not told.
    Lost,
}

/// Why news of an incident is not told at this hour.
pub fn outside_hours(
    state: &State,
    incident: &Incident,
    rule: &Rule,
    news: &News,
) -> Option<Untold> {
    let outside = calendar(state, rule).is_some_and(|calendar| !calendar.is_active(state.now));
    (outside && wait(news.reason, incident.told.anybody()) != Wait::Told)
        .then_some(Untold::OutsideHours)
}

/// Takes note of what is owed once the hours begin.
pub fn owe(state: &mut State, id: &str, rule: &Rule, reason: Reason) {
    let next = calendar(state, rule).and_then(|calendar| calendar.next_start(state.now));
    let Some(incident) = state.incidents.get_mut(id) else { return };
    if wait(reason, incident.told.anybody()) != Wait::Owed {
        return;
    }
    incident.owed = true;
    if let Some(next) = next {
        state.agenda.insert((next, Chore::HoursBegin(id.to_owned())));
    }
}

const fn wait(reason: Reason, heard: bool) -> Wait {
    match (reason, heard) {
        (Reason::Fired | Reason::Flapping | Reason::SeverityChanged, true | false)
        | (Reason::ActionResult | Reason::NotRecovered, false) => Wait::Owed,
        (
            Reason::ActionResult | Reason::NotRecovered | Reason::Acknowledged | Reason::Resolved,
            true,
        )
        | (Reason::Digest | Reason::Notice, true | false) => Wait::Told,
        (Reason::Acknowledged | Reason::Resolved, false) | (Reason::Reminded, true | false) => {
            Wait::Lost
        }
    }
}

fn calendar(state: &State, rule: &Rule) -> Option<Arc<Calendar>> {
    let name = rule.hours.as_ref()?;
    state.settings.calendars.iter().find(|calendar| calendar.name == *name).cloned()
}

impl Desk {
    /// The hours of an incident's rule begin: what it is owed is told, if it is still open and nobody has taken it.
    pub(super) fn hours_begin(&mut self, id: &str) {
        let Some(incident) = self.state.incidents.get_mut(id) else { return };
        if !std::mem::take(&mut incident.owed) || !incident.progress.open() {
            return;
        }
        if incident.acked.is_none() {
            self.tell_owed(id, "outside of active hours until now");
            // Not at once again.
            if let Some(rule) = self.rule_of(id) {
                self.schedule_reminder(id, &rule);
            }
        }
    }

    /// New settings may say other hours.
    pub(super) fn hours_changed(&mut self) {
        let owed = self.state.incidents.values().filter(|incident| incident.owed);
        for id in owed.map(|incident| incident.id.clone()).collect::<Vec<_>>() {
            self.hours_begin(&id);
        }
    }

    /// Tells of an open incident what was withheld `until` now: that it began, or to whom knows, that it goes on.
    pub(super) fn tell_owed(&mut self, id: &str, until: &str) {
        let Some(rule) = self.rule_of(id) else { return };
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        let began = format!("fired/{}", incident.openings);
        let (reason, topic) = match incident.told.knows(&began) {
            false => (Reason::Fired, began),
            true => (Reason::Reminded, format!("owed/{}", self.state.position)),
        };
        let line = words::breach(&rule, &incident.group, (&incident.severity, &alert.evidence));
        let news = News {
            reason,
            topic,
            summary: format!("{line} - open since {}, {until}", words::moment(incident.opened)),
            age: Span::ZERO,
            ended: None,
            evidence: Some(alert.evidence),
            action: incident.rollback.as_ref().and_then(|back| back.progress.state()),
            action_detail: None,
        };
        let heard = self.tell(id, &rule, &news);
        if let Some(incident) = self.state.incidents.get_mut(id) {
            incident.withheld = heard.untold == Some(Untold::Silenced);
        }
        self.out.extend(heard.intents);
    }
}
