//! The column every piece of news goes down before anybody is told.
//!
//! ```text
//! incidents ── inhibit ── hours ── silence ── dedup ── route ── escalate ── group ── budget ── out
//! ```

use crate::desk::incident::Incident;
use crate::desk::state::{Chore, State};
use crate::desk::{act, escalate, group, hours, inhibit, route, say, standing};
use crate::output::Output;
use crate::settings::{Receiver, Rule};
use crate::subject::Subjects;
use crate::time::{Span, Time};
use crate::wire::{Evidence, Folded, Reason, RollbackState};
use std::sync::Arc;

/// Why somebody was not told. Text of events and JSON value at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// A cause of it is told instead.
    Inhibited,
    /// Not at this hour.
    OutsideHours,
    /// A person said so.
    Silenced,
    /// It was told before.
    Repeated,
    /// Nobody was told that it began.
    NeverTold,
    /// No receiver is named, or none by these names.
    NoReceiver,
    /// It waits for its group.
    Grouped,
    /// All receivers are over budget; it is part of their digests.
    Folded,
}

impl Untold {
    /// The word in events.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inhibited => "inhibited",
            Self::OutsideHours => "outside_hours",
            Self::Silenced => "silenced",
            Self::Repeated => "repeated",
            Self::NeverTold => "never_told",
            Self::NoReceiver => "no_receiver",
            Self::Grouped => "grouped",
            Self::Folded => "folded",
        }
    }
}

/// Something about an incident that people may want to hear.
#[derive(Clone, Debug)]
pub struct News {
    /// Why.
    pub reason: Reason,
    /// What makes it the same news as another: `fired/1`, `action/failed`.
    pub topic: String,
    /// One line.
    pub summary: String,
    /// How old it was when the desk read it.
    pub age: Span,
    /// When the incident was over.
    pub ended: Option<Time>,
    /// What was seen.
    pub evidence: Option<Evidence>,
    /// What the automatic action is doing.
    pub action: Option<RollbackState>,
    /// A sentence about it.
    pub action_detail: Option<String>,
}

/// What became of a piece of news.
#[derive(Debug, Default)]
pub struct Heard {
    /// Receivers told at once.
    pub notified: Vec<String>,
    /// Receivers whose message went into a digest.
    pub folded: Vec<String>,
    /// Names of the rule nobody answers to.
    pub unknown: Vec<String>,
    /// Why nobody was told at once.
    pub untold: Option<Untold>,
    /// The intents.
    pub intents: Vec<Output>,
}

impl Heard {
    fn nobody(why: Untold) -> Self {
        Self { untold: Some(why), ..Self::default() }
    }
}

/// Sends `news` of the incident `id` down the column.
pub fn tell(state: &mut State, subjects: &Subjects, id: &str, rule: &Rule, news: &News) -> Heard {
    let Some(incident) = state.incidents.get(id) else { return Heard::nobody(Untold::NeverTold) };
    // Inhibit first: what its cause already tells is neither silenced nor told nor paid for.
    let withheld = inhibit::inhibited(incident)
        // Active hours belong to the rule ...
        .or_else(|| hours::outside_hours(state, incident, rule, news))
        // ... silences to the moment. Whoever heard that it began hears that it is over all the same.
        .or_else(|| silenced(state, incident, rule, news.reason));
    if let Some(why) = withheld {
        if why == Untold::OutsideHours {
            hours::owe(state, id, rule, news.reason);
        }
        return Heard::nobody(why);
    }
    // Dedup before route: news is the same news whoever would hear it.
    let incident = state.incidents.get_mut(id).expect("it was there above");
    if !incident.told.first(&news.topic) {
        return Heard::nobody(Untold::Repeated);
    }
    let mut route = route::receivers(rule, &state.settings);
    route.receivers.extend(escalate::further(incident));
    if matches!(news.reason, Reason::Resolved) {
        route.receivers.retain(|receiver| incident.told.has_heard(&receiver.name));
        // Whoever the rule named when it was opened must not keep it open.
        let open = incident.told.open().iter().filter_map(|it| route::named(&state.settings, it));
        let more: Vec<_> = open.filter(|it| !route.receivers.contains(it)).collect();
        route.receivers.extend(more);
    }
    if !group::goes_now(news) {
        return Heard::nobody(Untold::Grouped);
    }
    // Budget last: only what would really go is paid for.
    let mut heard = Heard { unknown: route.unknown, ..Heard::default() };
    for receiver in &route.receivers {
        pay(state, subjects, (id, rule), receiver, news, &mut heard);
    }
    heard.untold = match (heard.notified.is_empty(), heard.folded.is_empty(), news.reason) {
        (false, _, _) => None,
        (true, false, _) => Some(Untold::Folded),
        (true, true, Reason::Resolved) => Some(Untold::NeverTold),
        (true, true, _) => Some(Untold::NoReceiver),
    };
    heard
}

fn silenced(state: &State, incident: &Incident, rule: &Rule, reason: Reason) -> Option<Untold> {
    let labels = act::labels(rule, incident);
    let over = matches!(reason, Reason::Resolved) && incident.told.anybody();
    (!over && state.silences.covers(&labels, state.now)).then_some(Untold::Silenced)
}

fn pay(
    state: &mut State,
    subjects: &Subjects,
    (id, rule): (&str, &Rule),
    receiver: &Arc<Receiver>,
    news: &News,
    heard: &mut Heard,
) {
    let (now, position) = (state.now, state.position);
    let Some(incident) = state.incidents.get_mut(id) else { return };
    let name = &receiver.name;
    incident.told.heard(name);
    let critical = incident.severity == say::CRITICAL;
    let too_old = news.age > state.settings.limits.notify_max_age;
    // What is open at a channel that keeps it is closed whatever the budget says: that wakes nobody, and there are no more
    // ends than there were messages within budget.
    let moves = receiver.channels.first().is_some_and(|kind| news.reason.moves(kind));
    let due = moves && incident.told.open().contains(name);
    if !too_old && state.budgets.spend(receiver, critical, now) || due {
        let mut intent = say::intent((now, position), incident, rule, receiver, news);
        if incident.progress.open() || intent.closes() {
            incident.told.sent(name, news.reason);
        } else {
            // Nothing will close the incident once more.
            standing::stand(state, &mut intent);
        }
        heard.intents.push(Output::commit(subjects.notify(name), &intent));
        heard.notified.push(name.clone());
        return;
    }
    let line = Folded {
        reason: news.reason,
        incident: Some(id.to_owned()),
        summary: news.summary.clone(),
        time: now,
    };
    let due = state.budgets.fold(receiver, line, critical, now);
    if incident.progress.open() && incident.told.folded(name) {
        state.budgets.hold(name);
    }
    state.agenda.insert((due, Chore::Digest(name.clone())));
    heard.folded.push(name.clone());
}
