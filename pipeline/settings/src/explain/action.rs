//! What a rule may do by itself, in words.

use super::count;
use stages::settings::{Action, Limits, Plan, Rule, Settings};

/// What the rollback is allowed to do, and what must hold before it.
pub(super) fn action(rule: &Rule, settings: &Settings) -> String {
    let Some(Action::Rollback(name)) = &rule.action else {
        return "It runs nothing by itself.".to_owned();
    };
    let Some(plan) = settings.plans.iter().find(|plan| plan.name == *name) else {
        return format!("It would roll back by plan {name}, which does not exist.");
    };
    let limits = &settings.limits;
    if !limits.actions_enabled {
        return format!(
            "It would roll back by plan {name}, but automatic actions are off (limits.actions_enabled)."
        );
    }
    if rule.guards.dry_run {
        return may(rule, plan);
    }
    [may(rule, plan), bounds(plan, limits), verified(plan)].join(" ")
}

fn may(rule: &Rule, plan: &Plan) -> String {
    let Plan { name, script, timeout, .. } = plan;
    let guards = &rule.guards;
    let mut needs = vec![
        format!("the newest sample is no older than {}", rule.fresh_for),
        format!(
            "at least {} fill half of the window's panes or more",
            count(rule.action_min_samples, "sample")
        ),
    ];
    if let Some(worst) = rule.grades.last() {
        let least = rule.action_severity.as_ref().unwrap_or(&worst.severity);
        let worse = if *least == worst.severity { "" } else { " or worse" };
        needs.push(format!("its severity is {least}{worse}"));
    }
    if let Some(within) = guards.changed_within {
        needs.push(format!("{} was changed within the last {within}", plan.target));
    }
    if let Some(other) = &guards.unless {
        needs.push(format!("{other} is not firing"));
    }
    if guards.approve {
        needs.push(format!("a person approves within {}", plan.approval_expires));
    }
    let needs = super::list(&needs);
    if guards.dry_run {
        return format!(
            "It says when it would roll back by {name} ({script}), once an incident if {needs}, and runs nothing \
             (dry_run)."
        );
    }
    format!(
        "It may roll back by {name} ({script}, at most {timeout}), once an incident, if {needs}."
    )
}

fn bounds(plan: &Plan, limits: &Limits) -> String {
    let lock = match plan.lock_after {
        Some(most) => {
            format!(
                "locks itself after {} in {}",
                count(u64::from(most), "attempt"),
                plan.lock_window
            )
        }
        None => "never locks itself".to_owned(),
    };
    let again = if plan.idempotent { "may be" } else { "is never" };
    format!(
        "The plan rests {} after an attempt and {lock}; all plans together run at most {} an hour. A run of which \
         nobody knows how it ended {again} repeated.",
        plan.cooldown,
        count(u64::from(limits.rollbacks_per_hour), "time")
    )
}

fn verified(plan: &Plan) -> String {
    let verify = &plan.verify;
    format!(
        "It has helped if, from {} after the script on, the value is clear for {} within {}, on at least {}; if not, people \
         are told and nothing further runs.",
        verify.settle,
        verify.hold,
        verify.within,
        count(verify.min_samples, "sample")
    )
}
