//! How the alerts of a rule stand between two evaluations, for whoever asks why.

use super::Shard;
use super::metric::group_labels;
use crate::judge;
use crate::series::Labels;
use crate::settings::Rule;
use crate::time::Time;
use crate::track::Alert;
use crate::track::axis::State;
use crate::wire::{Axis, DataFlag, Evidence};
use serde::Serialize;
use std::sync::Arc;

/// How one alert stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Group of labels.
    pub group: Labels,
    /// Where it is on its axis.
    pub axis: Axis,
    /// Since when it is pending or recovering, moved on by what gaps froze.
    pub since: Option<Time>,
    /// Whether there is data, as it was judged last.
    pub data: DataFlag,
    /// Whether it flaps.
    pub flapping: bool,
    /// When its last sample came.
    pub last: Option<Time>,
    /// What is seen at the moment asked for.
    pub evidence: Evidence,
}

impl Standing {
    /// Of one label set.
    pub(crate) fn of(alert: &Alert, text: &str, last: Option<Time>, evidence: Evidence) -> Self {
        let since = match alert.state {
            State::Pending { since } | State::Recovering { since, .. } => Some(since),
            State::PendingGap { gap_since, .. } => Some(gap_since),
            State::Unknown
            | State::Ok
            | State::Firing { .. }
            | State::Flapping { .. }
            | State::RecoveringGap { .. } => None,
        };
        Self {
            group: group_labels(text),
            axis: alert.state.axis(),
            since,
            data: alert.data.flag(),
            flapping: alert.state.is_flapping(),
            last,
            evidence,
        }
    }
}

impl Shard {
    /// The rule of this name in force here, and how its alerts stand; `now` lies behind the last step and before the next.
    /// Windows move on to `now`, so nothing but more questions may follow.
    pub fn standing(&mut self, rule: &str, now: Time) -> Option<(Arc<Rule>, Vec<Standing>)> {
        let rule = self.settings.rule(rule)?.clone();
        if rule.is_joined() {
            let all = self.standing_of_join(&rule.name, now);
            return Some((rule, all));
        }
        let Some(metric) = self.names.get(rule.metric.as_str()) else {
            return Some((rule, Vec::new()));
        };
        let mut all = Vec::new();
        for view in self.metrics[*metric].views.clone() {
            let view = &self.views[view];
            let Some(at) = view.rules.iter().position(|one| one.name == rule.name) else {
                continue;
            };
            for id in view.groups.values().copied() {
                let group = &mut self.groups[id];
                let reading = group.window.read(now);
                let limit = judge::limit(&rule);
                let evidence = self.speaker.evidence(&reading, group.level.value(), limit, now);
                all.push(Standing::of(&group.alerts[at], &group.text, group.last, evidence));
            }
        }
        Some((rule, all))
    }
}
