//! What a variant would have done, incident by incident.

use crate::found::{group_of, pages, word};
use crate::said::{Said, Spoken};
use serde::Serialize;
use stages::time::{Span, Time};
use stages::wire::{
    AlertEvent, AlertState, Axis, Intent, RollbackEvent, RollbackState, Transition,
};
use std::collections::BTreeMap;

/// What a variant would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Its label.
    pub label: String,
    /// Incidents it would have opened, in order.
    pub incidents: Vec<Incident>,
    /// Moves of its alerts, flags apart.
    pub transitions: u64,
    /// From when to when.
    pub span: (Time, Time),
}

/// An incident that would have been opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// Its id, which it has live as well, but for two kinds: that of a variant that is not the first is of this backtest
    /// alone, and a rule whose metrics lie in several shards has other ids here, for a backtest judges it in one.
    pub id: String,
    /// Rule.
    pub rule: String,
    /// Group, as `region=eu`.
    pub group: String,
    /// Severity.
    pub severity: String,
    /// When it fired.
    pub opened: Time,
    /// How long the level had been beyond the threshold by then; none where the rule watches no level.
    pub detected_after: Option<Span>,
    /// When and how it was over; none: it still is open.
    pub ended: Option<(Time, AlertState)>,
    /// What a line shows when it fired.
    pub reading: Option<String>,
    /// Messages that would have wanted somebody to do something.
    pub pages: u64,
    /// All messages.
    pub messages: u64,
    /// Why nobody would have been told that it fired.
    pub untold: Option<String>,
    /// How often it was in breach again before it was over.
    pub fired_again: u64,
    /// Whether it flapped.
    pub flapping: bool,
    /// Decisions about rollbacks.
    pub rollbacks: Vec<Rollback>,
}

/// A decision about a rollback.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollback {
    /// When.
    pub time: Time,
    /// Plan.
    pub plan: String,
    /// What.
    pub state: RollbackState,
    /// What forbade it.
    pub why: Option<String>,
}

impl Incident {
    /// How long it was open, up to `until`.
    pub fn length(&self, until: Time) -> Span {
        self.ended.map_or(until, |(ended, _)| ended).since(self.opened)
    }

    /// Whether a script would have been run.
    pub fn rolled_back(&self) -> bool {
        self.rollbacks.iter().any(|one| one.state == RollbackState::Commanded)
    }
}

impl Seen {
    /// Messages that would have wanted somebody to do something.
    pub fn pages(&self) -> u64 {
        self.incidents.iter().map(|one| one.pages).sum()
    }

    /// Scripts that would have been run.
    pub fn rollbacks(&self) -> usize {
        self.incidents.iter().filter(|one| one.rolled_back()).count()
    }

    /// How often an alert came back before it was over, and incidents that flapped.
    pub fn flaps(&self) -> (u64, usize) {
        let again = self.incidents.iter().map(|one| one.fired_again).sum();
        (again, self.incidents.iter().filter(|one| one.flapping).count())
    }

    /// How long incidents were open, all together.
    pub fn open(&self) -> Span {
        Span(
            self.incidents.iter().map(|one| one.length(self.span.1).0).fold(0, i64::saturating_add),
        )
    }

    /// The median of the times to detect.
    pub fn detected_after(&self) -> Option<Span> {
        let mut all: Vec<Span> =
            self.incidents.iter().filter_map(|one| one.detected_after).collect();
        all.sort();
        all.get(all.len().checked_sub(1)? / 2).copied()
    }
}

/// What is looked at.
pub(super) struct Watched<'a> {
    /// Names inside the trial, to variant and rule.
    pub names: &'a BTreeMap<String, (usize, String)>,
    /// Names of level rules, to the rule inside the trial.
    pub levels: &'a BTreeMap<String, String>,
    /// Only incidents opened from then on.
    pub from: Time,
    /// End of the log.
    pub until: Time,
}

/// Since when a level is beyond the threshold, by rule inside and group.
type Levels = BTreeMap<(String, String), Time>;

/// What variant number `index` would have done.
pub(super) fn of(index: usize, label: String, spoken: &[Spoken], watched: &Watched<'_>) -> Seen {
    let span = (watched.from, watched.until);
    let mut seen = Seen { label, incidents: Vec::new(), transitions: 0, span };
    let (mut levels, mut at): (Levels, BTreeMap<String, usize>) =
        (BTreeMap::new(), BTreeMap::new());
    for one in spoken {
        if let Some(moved) = one.transition() {
            follow(&mut levels, moved, watched);
            let ours = watched.names.get(&moved.rule).is_some_and(|(variant, _)| *variant == index);
            seen.transitions +=
                u64::from(ours && moved.from != moved.to && moved.time >= watched.from);
        }
        if one.desk != index {
            continue;
        }
        match &one.said {
            Said::Alert(event) => alert(&mut seen, &mut at, event, (&levels, watched)),
            Said::Message(intent) => message(&mut seen, &at, intent),
            Said::Rollback(event) => rollback(&mut seen, &at, event),
            Said::Shard(_) | Said::Command(_) | Said::Withdraw(_) | Said::Request(_) => {}
        }
    }
    seen
}

fn follow(levels: &mut Levels, moved: &Transition, watched: &Watched<'_>) {
    let Some(rule) = watched.levels.get(&moved.rule) else { return };
    let key = (rule.clone(), group_of(&moved.group));
    match (moved.from, moved.to) {
        (Axis::Firing | Axis::Recovering, Axis::Firing) => {}
        (_, Axis::Firing) => {
            levels.insert(key, moved.time);
        }
        (_, Axis::Ok | Axis::Unknown) => {
            levels.remove(&key);
        }
        (_, Axis::Pending | Axis::Recovering) => {}
    }
}

fn alert(
    seen: &mut Seen,
    at: &mut BTreeMap<String, usize>,
    event: &AlertEvent,
    (levels, watched): (&Levels, &Watched<'_>),
) {
    let Some(id) = &event.incident else { return };
    if event.state == AlertState::Fired && event.time >= watched.from && !at.contains_key(id) {
        let group = group_of(&event.group);
        let since = levels.get(&(event.rule.clone(), group.clone()));
        let rule = watched.names.get(&event.rule).map_or(&event.rule, |(_, rule)| rule).clone();
        at.insert(id.clone(), seen.incidents.len());
        seen.incidents.push(Incident {
            id: id.clone(),
            rule,
            group,
            severity: event.severity.clone(),
            opened: event.time,
            detected_after: since.map(|since| event.time.since(*since)),
            ended: None,
            reading: event.reading.clone(),
            pages: 0,
            messages: 0,
            untold: event.untold.clone(),
            fired_again: 0,
            flapping: false,
            rollbacks: Vec::new(),
        });
        return;
    }
    let Some(incident) = at.get(id).and_then(|at| seen.incidents.get_mut(*at)) else { return };
    match event.state {
        AlertState::Resolved | AlertState::Closed => {
            incident.ended = Some((event.time, event.state))
        }
        AlertState::FiredAgain => incident.fired_again += 1,
        // Reopened.
        AlertState::Fired => incident.ended = None,
        AlertState::Flapping => incident.flapping = true,
        AlertState::Pending
        | AlertState::Recovering
        | AlertState::NoData
        | AlertState::SeverityChanged
        | AlertState::Acknowledged
        | AlertState::Calm
        | AlertState::Notice => {}
    }
}

fn message(seen: &mut Seen, at: &BTreeMap<String, usize>, intent: &Intent) {
    let index = intent.incident.as_ref().and_then(|id| at.get(id));
    let Some(incident) = index.and_then(|at| seen.incidents.get_mut(*at)) else { return };
    incident.messages += 1;
    incident.pages += u64::from(pages(intent.reason));
}

fn rollback(seen: &mut Seen, at: &BTreeMap<String, usize>, event: &RollbackEvent) {
    let index = at.get(&event.incident);
    let Some(incident) = index.and_then(|at| seen.incidents.get_mut(*at)) else { return };
    incident.rollbacks.push(Rollback {
        time: event.time,
        plan: event.plan.clone(),
        state: event.state,
        why: event.why.map(|why| word(&why)),
    });
}
