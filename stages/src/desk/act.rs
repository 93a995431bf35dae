//! Acting: whether an incident's rollback is eligible, and what plans did lately.
//!
//! The checks stand in the order in which they are named to people: what is wrong with the case, then what is
//! wrong with the evidence, then the plan's own limits, then the fleet's, then the rule's guards.

use crate::desk::incident::Incident;
use crate::desk::rollback::Happening;
use crate::desk::state::{Alert, State};
use crate::judge::enough_to_act;
use crate::matcher::Operator;
use crate::series::Labels;
use crate::settings::{Action, Plan, Rule};
use crate::time::{Span, Time};
use crate::wire::{Axis, DataFlag, Evidence, Forbidden};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The hour of the fleet's budget.
const HOUR: Span = Span::from_secs(3600);
/// Attempts remembered per plan: `lock_after` beyond this is met by this many.
const ATTEMPTS_MAX: usize = 1_000;

/// What plans did lately, for cooldown, lock and the fleet's budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plans {
    plans: BTreeMap<String, History>,
    fleet: VecDeque<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct History {
    /// When commands went out, oldest first.
    attempts: VecDeque<Time>,
    /// When a person last lifted the lock: attempts up to then no longer count for it.
    #[serde(default)]
    unlocked: Option<Time>,
    /// When the last attempt ended.
    ended: Option<Time>,
    /// The incident that keeps the plan busy.
    in_flight: Option<String>,
}

impl History {
    /// Whether the plan has locked itself.
    fn locked(&self, plan: &Plan, now: Time) -> bool {
        let counts = |at: &&Time| {
            now < at.plus(plan.lock_window) && self.unlocked.is_none_or(|lifted| **at > lifted)
        };
        let attempts = self.attempts.iter().filter(counts).count();
        plan.lock_after.is_some_and(|most| attempts >= (most as usize).min(ATTEMPTS_MAX))
    }
}

impl Plans {
    /// A command goes out.
    pub fn commanded(&mut self, plan: &str, incident: &str, now: Time) {
        let history = self.plans.entry(plan.to_owned()).or_default();
        history.attempts.push_back(now);
        if history.attempts.len() > ATTEMPTS_MAX {
            history.attempts.pop_front();
        }
        history.in_flight = Some(incident.to_owned());
        self.fleet.push_back(now);
        while self.fleet.front().is_some_and(|first| now.since(*first) >= HOUR) {
            self.fleet.pop_front();
        }
    }

    /// The plan is free again. Where nothing ran (`ran` false) the attempt is given back: no cooldown.
    pub fn released(&mut self, plan: &str, incident: &str, commanded: Time, ran: bool, now: Time) {
        let Some(history) = self.plans.get_mut(plan) else { return };
        if history.in_flight.as_deref() != Some(incident) {
            return;
        }
        history.in_flight = None;
        if ran {
            history.ended = Some(now);
            return;
        }
        remove_last(&mut history.attempts, commanded);
        remove_last(&mut self.fleet, commanded);
    }

    /// Lifts the lock of a plan; false if it is not locked.
    pub fn unlock(&mut self, plan: &Plan, now: Time) -> bool {
        let history = self.plans.get_mut(&plan.name).filter(|history| history.locked(plan, now));
        history.map(|history| history.unlocked = Some(now)).is_some()
    }

    /// The incident that keeps `plan` busy.
    pub fn in_flight(&self, plan: &str) -> Option<&str> {
        self.plans.get(plan)?.in_flight.as_deref()
    }

    fn forbid(&self, plan: &Plan, incident: &str, limit: u32, now: Time) -> Option<Forbidden> {
        let none = History::default();
        let history = self.plans.get(&plan.name).unwrap_or(&none);
        let last = history.attempts.back().copied().max(history.ended);
        if history.in_flight.as_deref().is_some_and(|busy| busy != incident) {
            return Some(Forbidden::InFlight);
        }
        if last.is_some_and(|last| now < last.plus(plan.cooldown)) {
            return Some(Forbidden::Cooldown);
        }
        if history.locked(plan, now) {
            return Some(Forbidden::Locked);
        }
        let hour = self.fleet.iter().filter(|at| now.since(**at) < HOUR).count();
        (hour >= limit as usize).then_some(Forbidden::FleetBudget)
    }
}

fn remove_last(times: &mut VecDeque<Time>, at: Time) {
    if let Some(index) = times.iter().rposition(|time| *time == at) {
        times.remove(index);
    }
}

/// Whether what forbade an action may pass while the alert is still Firing.
pub fn may_pass(why: Forbidden) -> bool {
    match why {
        Forbidden::NotFresh
        | Forbidden::Evidence
        | Forbidden::Severity
        | Forbidden::NoChange
        | Forbidden::Unless => true,
        Forbidden::Flapping
        | Forbidden::Silenced
        | Forbidden::Cooldown
        | Forbidden::Locked
        | Forbidden::InFlight
        | Forbidden::FleetBudget
        | Forbidden::Frozen
        | Forbidden::DryRun
        | Forbidden::Attempted
        | Forbidden::Stale
        | Forbidden::NoPlan
        | Forbidden::Late
        | Forbidden::Unclaimed
        | Forbidden::Unapproved
        | Forbidden::RecoveredFirst
        | Forbidden::Closed => false,
    }
}

/// The plan a rule names.
pub fn plan_name(rule: &Rule) -> Option<&str> {
    match rule.action.as_ref()? {
        Action::Rollback(plan) => Some(plan),
    }
}

/// The plan of this name in force.
pub fn plan(state: &State, name: &str) -> Option<Arc<Plan>> {
    state.settings.plans.iter().find(|plan| plan.name == name).cloned()
}

/// Labels a silence is held against: those of rule and group, those that every series the rule looks at has by its
/// `where`, and `rule`, `severity`, `metric`.
pub fn labels(rule: &Rule, incident: &Incident) -> Labels {
    let group = &incident.group;
    let known = rule.matchers.iter().filter(|it| it.op == Operator::Equal && !it.value.is_empty());
    let mut labels: Labels = known.map(|it| (it.label.clone(), it.value.clone())).collect();
    labels.extend(rule.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    labels.extend(group.iter().map(|(name, value)| (name.clone(), value.clone())));
    for (name, value) in
        [("rule", &rule.name), ("severity", &incident.severity), ("metric", &rule.metric)]
    {
        labels.insert(name.to_owned(), value.clone());
    }
    labels
}

/// A case to judge.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Its alert.
    pub alert: &'a Alert,
    /// The incident.
    pub incident: &'a Incident,
    /// How old the shard's word was when it was read; zero where it is not news.
    pub age: Span,
    /// A person has approved.
    pub approved: bool,
}

/// Judges whether the rollback of an incident may go ahead now. `None` where its rule has no action.
pub fn judge(state: &State, case: Case<'_>) -> Option<Happening> {
    let name = plan_name(case.rule)?;
    let Some(plan) = plan(state, name) else {
        return Some(Happening::Forbidden(Forbidden::NoPlan));
    };
    let now = state.now;
    let forbidden = of_the_case(state, &case, &plan)
        .or_else(|| {
            let limit = state.settings.limits.rollbacks_per_hour;
            state.plans.forbid(&plan, &case.incident.id, limit, now)
        })
        .or_else(|| frozen(state).then_some(Forbidden::Frozen))
        .or_else(|| guarded(state, case.rule, &plan));
    Some(match forbidden {
        Some(why) => Happening::Forbidden(why),
        None if case.rule.guards.approve && !case.approved => {
            Happening::Await(now.plus(plan.approval_expires))
        }
        None => Happening::Go(now.plus(plan.not_after)),
    })
}

fn of_the_case(state: &State, case: &Case<'_>, plan: &Plan) -> Option<Forbidden> {
    let alert = case.alert;
    let attempted =
        case.incident.rollback.as_ref().is_some_and(|rollback| rollback.commanded.is_some());
    if attempted {
        Some(Forbidden::Attempted)
    } else if case.age > plan.not_after {
        Some(Forbidden::Stale)
    } else if alert.axis != Axis::Firing {
        Some(Forbidden::RecoveredFirst)
    } else if alert.data != DataFlag::Fresh {
        Some(Forbidden::NotFresh)
    } else if alert.flapping {
        Some(Forbidden::Flapping)
    } else if state.silences.covers_actions(&labels(case.rule, case.incident), state.now) {
        Some(Forbidden::Silenced)
    } else if !case.rule.acts_at(&case.incident.severity) {
        Some(Forbidden::Severity)
    } else if !enough(&alert.evidence, case.rule.action_min_samples) {
        Some(Forbidden::Evidence)
    } else {
        None
    }
}

/// Samples in at least half of the panes, and enough of them.
fn enough(evidence: &Evidence, samples_min: u64) -> bool {
    let panes = (evidence.panes_filled, evidence.panes);
    enough_to_act(evidence.count, panes, samples_min)
}

/// Whether automatic actions are stopped.
pub fn frozen(state: &State) -> bool {
    let thrown = state.freeze.as_ref().is_some_and(|freeze| freeze.frozen);
    thrown || !state.settings.limits.actions_enabled
}

fn guarded(state: &State, rule: &Rule, plan: &Plan) -> Option<Forbidden> {
    let guards = &rule.guards;
    if let Some(within) = guards.changed_within {
        let changed = state.changes.get(&plan.target);
        if changed.is_none_or(|changed| state.now.since(changed.time) > within) {
            return Some(Forbidden::NoChange);
        }
    }
    if let Some(other) = &guards.unless {
        let firing = |alert: &Alert| {
            alert.rule == *other && matches!(alert.axis, Axis::Firing | Axis::Recovering)
        };
        if state.alerts.values().any(firing) {
            return Some(Forbidden::Unless);
        }
    }
    guards.dry_run.then_some(Forbidden::DryRun)
}
