//! What the board knows: settings in force, where each alert stands, the last events, metrics seen.
//!
//! Built from the bus alone and only in memory; a board that starts anew reads it all again. It decides
//! nothing: what it shows is what the desk said.

use serde::Serialize;
use stages::revision::Collected;
use stages::series::Labels;
use stages::settings::{Action, Rule, Settings};
use stages::time::Time;
use stages::wire::{
    AlertEvent, AlertState, Axis, Evidence, RollbackEvent, RollbackState, Transition,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Events kept for the list and the chart's markers: about a day of a busy site, under 1 MiB.
const EVENTS_MAX: usize = 2_000;
/// Metrics listed; beyond that the list would not be read anyway.
const METRICS_MAX: usize = 20_000;

/// Everything the pages show beside history.
#[derive(Default)]
pub struct Known {
    settings: Settings,
    /// Parts of the next revision.
    collected: Collected,
    alerts: BTreeMap<(String, String), AlertNow>,
    shadows: BTreeMap<String, Shadow>,
    events: VecDeque<Event>,
    metrics: BTreeMap<String, Time>,
}

/// Where one alert stands.
#[derive(Clone, Debug, Serialize)]
pub struct AlertNow {
    /// Labels of its group, as one text; empty for a rule that groups by nothing.
    pub group: String,
    /// The newest event about it.
    #[serde(flatten)]
    pub event: AlertEvent,
}

/// What a rule that is a shadow would have done, as far back as the board has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shadow {
    /// How often it would have fired: opened an incident, told its receivers, run its action if that was eligible.
    pub fired: u64,
    /// Since when they are counted.
    pub since: Time,
    /// When it would have fired last.
    pub last: Option<Time>,
}

/// A line of the event list and a marker of the chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// `alert` or `rollback`.
    pub kind: &'static str,
    /// What happened, as the bus spells it.
    pub state: String,
    /// Log time.
    pub time: Time,
    /// Rule.
    pub rule: String,
    /// Metric.
    pub metric: String,
    /// Severity, for alerts.
    pub severity: Option<String>,
    /// Incident.
    pub incident: Option<String>,
    /// What was seen, in words, for alerts.
    pub reading: Option<String>,
    /// What that is held against, in words, for alerts.
    pub limit: Option<String>,
    /// Plan and script, for rollbacks.
    pub plan: Option<String>,
    /// Script, for rollbacks.
    pub script: Option<String>,
    /// What forbade or ended it.
    pub why: Option<String>,
    /// A sentence.
    pub detail: Option<String>,
}

/// A rule as the overview lists it.
#[derive(Serialize)]
pub struct RuleRow<'a> {
    /// The rule as it is in force.
    #[serde(flatten)]
    pub rule: &'a Rule,
    /// Unit to show.
    pub unit_shown: &'a str,
    /// The action as people write it.
    pub action_name: Option<String>,
    /// What it would have done, if it is a shadow.
    pub shadow: Option<Shadow>,
    /// Its alerts, worst first.
    pub alerts: Vec<&'a AlertNow>,
}

impl Known {
    /// Takes a settings entry; whether a revision is in force by it.
    pub fn take_settings(&mut self, payload: &[u8]) -> bool {
        let Some(settings) = self.collected.take(payload).in_force else { return false };
        let kept: BTreeSet<&str> = settings.rules.iter().map(|rule| rule.name.as_str()).collect();
        self.alerts.retain(|(rule, _), _| kept.contains(rule.as_str()));
        self.shadows.retain(|rule, _| kept.contains(rule.as_str()));
        self.settings = settings;
        true
    }

    /// Takes an alert event; returns its line for those who watch live.
    pub fn take_alert(&mut self, event: AlertEvent) -> Event {
        let line = Event {
            kind: "alert",
            state: event.state.token().to_owned(),
            time: event.time,
            rule: event.rule.clone(),
            metric: event.metric.clone(),
            severity: Some(event.severity.clone()),
            incident: event.incident.clone(),
            reading: event.reading.clone(),
            limit: event.limit.clone(),
            plan: None,
            script: None,
            why: event.cause.map(word),
            detail: event.detail.clone(),
        };
        if event.state != AlertState::Notice {
            let group = group_text(&event.group);
            self.alerts.insert((event.rule.clone(), group.clone()), AlertNow { group, event });
        }
        self.remember(line.clone());
        line
    }

    /// Takes where an alert moved: it shows in the state, people are told by the desk's events.
    pub fn take_transition(&mut self, moved: Transition) {
        let Some(rule) = self.settings.rules.iter().find(|rule| rule.name == moved.rule) else {
            return;
        };
        if moved.shadow {
            let begins = Shadow { fired: 0, since: moved.time, last: None };
            let shadow = self.shadows.entry(moved.rule.clone()).or_insert(begins);
            let fires =
                moved.to == Axis::Firing && !matches!(moved.from, Axis::Firing | Axis::Recovering);
            if fires {
                (shadow.fired, shadow.last) = (shadow.fired + 1, Some(moved.time));
            }
        }
        let group = group_text(&moved.group);
        let key = (moved.rule.clone(), group.clone());
        let alert = self.alerts.entry(key).or_insert_with(|| AlertNow {
            group,
            event: AlertEvent {
                schema: moved.schema,
                state: AlertState::Calm,
                incident: None,
                rule: moved.rule,
                metric: rule.metric.clone(),
                group: moved.group,
                severity: moved.severity,
                time: moved.time,
                position: moved.position,
                opened: None,
                axis: moved.to,
                data: moved.data,
                cause: Some(moved.cause),
                level: None,
                threshold: rule.threshold,
                unit: rule.unit_shown().to_owned(),
                reading: None,
                limit: None,
                evidence: Evidence::default(),
                runbook: rule.runbook.clone(),
                labels: rule.labels.clone(),
                notified: Vec::new(),
                folded: Vec::new(),
                untold: None,
                detail: None,
            },
        });
        let now = &mut alert.event;
        (now.axis, now.data, now.time) = (moved.to, moved.data, moved.time);
        (now.level, now.evidence) = (moved.evidence.level, moved.evidence);
    }

    /// Takes a rollback event; returns its line for those who watch live.
    pub fn take_rollback(&mut self, event: RollbackEvent) -> Event {
        let line = Event {
            kind: "rollback",
            state: event.state.token().to_owned(),
            time: event.time,
            rule: event.rule,
            metric: event.metric,
            severity: None,
            incident: Some(event.incident),
            reading: None,
            limit: None,
            plan: Some(event.plan),
            script: Some(event.script),
            why: event.why.map(word),
            detail: event.detail,
        };
        self.remember(line.clone());
        line
    }

    /// Notes that a metric has samples up to `time`.
    pub fn take_metric(&mut self, metric: &str, time: Time) {
        if let Some(last) = self.metrics.get_mut(metric) {
            *last = time.max(*last);
        } else if self.metrics.len() < METRICS_MAX {
            self.metrics.insert(metric.to_owned(), time);
        }
    }

    /// The newest events, newest first, of one metric or of all.
    pub fn events(&self, metric: Option<&str>, limit: usize) -> Vec<&Event> {
        let wanted = |event: &&Event| metric.is_none_or(|metric| event.metric == metric);
        self.events.iter().rev().filter(wanted).take(limit).collect()
    }

    /// Metrics with samples or rules, and when they were last seen.
    pub fn metrics(&self) -> BTreeMap<&str, Option<Time>> {
        let ruled = self.settings.rules.iter().flat_map(|rule| rule.metrics());
        let ruled = ruled.map(|metric| (metric, None));
        let seen = self.metrics.iter().map(|(name, time)| (name.as_str(), Some(*time)));
        ruled.chain(seen).collect()
    }

    /// Rules of one metric or of all, with where their alerts stand.
    pub fn rules(&self, metric: Option<&str>) -> Vec<RuleRow<'_>> {
        let rules = self.settings.rules.iter();
        rules
            .filter(|rule| metric.is_none_or(|metric| rule.metrics().contains(metric)))
            .map(|rule| {
                let mut alerts: Vec<&AlertNow> =
                    self.alerts.values().filter(|alert| alert.event.rule == rule.name).collect();
                alerts.sort_by_key(|alert| std::cmp::Reverse(alert.event.axis));
                RuleRow {
                    rule,
                    unit_shown: rule.unit_shown(),
                    action_name: action_name(rule),
                    shadow: self.shadows.get(&rule.name).copied().filter(|_| !rule.mode.is_live()),
                    alerts,
                }
            })
            .collect()
    }

    /// Revision in force.
    pub fn revision(&self) -> &str {
        &self.settings.revision
    }

    /// Spans in which an incident of a metric was open, oldest first; the last may still be.
    pub fn firing(&self, metric: &str) -> Vec<(Time, Option<Time>)> {
        let mut open: BTreeMap<&str, Time> = BTreeMap::new();
        let mut spans = Vec::new();
        for event in self.events.iter().filter(|event| event.metric == metric) {
            let Some(incident) = event.incident.as_deref() else { continue };
            match event.state.as_str() {
                "fired" if event.kind == "alert" => {
                    open.entry(incident).or_insert(event.time);
                }
                "resolved" | "closed" if event.kind == "alert" => {
                    if let Some(from) = open.remove(incident) {
                        spans.push((from, Some(event.time)));
                    }
                }
                _ => {}
            }
        }
        spans.extend(open.into_values().map(|from| (from, None)));
        spans.sort();
        spans
    }

    fn remember(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// Whether a rollback's state is worth a line for people; the rest is bookkeeping.
pub fn is_milestone(state: RollbackState) -> bool {
    !matches!(state, RollbackState::Commanded | RollbackState::Claimed | RollbackState::Verifying)
}

fn action_name(rule: &Rule) -> Option<String> {
    rule.action.as_ref().map(|Action::Rollback(plan)| format!("ROLLBACK:{plan}"))
}

fn group_text(group: &Labels) -> String {
    let pairs: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

/// The wire's word for a value of one of its enums.
fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stages::wire::{Cause, DataFlag};

    fn moved(second: i64, from: Axis, to: Axis, shadow: bool) -> Transition {
        Transition {
            at_desk: false,
            schema: 1,
            shard: 0,
            position: 1,
            time: Time::from_millis(second * 1_000),
            rule: "web".into(),
            group: Labels::new(),
            severity: "critical".into(),
            from,
            to,
            cause: Cause::Breach,
            data: DataFlag::Fresh,
            flapping: false,
            shadow,
            incident: None,
            evidence: Evidence::default(),
        }
    }

    #[test]
    fn what_a_shadow_would_have_done_is_counted() {
        let mut known = Known::default();
        let rule = |mode: &str| {
            serde_json::json!({"name": "web", "metric": "web_ms", "group_by": [], "stat": "mean", "compare": ">",
                "threshold": 1.0, "share": null, "window": "1m", "for": "0s", "recover": null, "keep_firing_for": "0s",
                "reopen_within": "0s", "min_samples": 1, "fresh_for": "20s", "gap_tolerance": "20s", "no_data": "keep",
                "keep_max": "5m", "absent": null, "flap_window": "1h", "severity": "critical", "unit": null,
                "action": null, "action_min_samples": 10, "guards": {"changed_within": null, "unless": null,
                "approve": false, "dry_run": false}, "runbook": null, "notify": [], "repeat": "4h", "labels": {},
                "annotations": {}, "mode": mode})
        };
        let apply = |known: &mut Known, mode: &str| {
            let settings = Settings {
                rules: vec![serde_json::from_value(rule(mode)).unwrap()],
                ..Settings::default()
            };
            assert!(known.take_settings(&serde_json::to_vec(&settings).unwrap()));
        };
        apply(&mut known, "shadow");
        assert_eq!(known.rules(None)[0].shadow, None);
        for (second, from, to) in [
            (1, Axis::Unknown, Axis::Ok),
            (2, Axis::Ok, Axis::Firing),
            (3, Axis::Firing, Axis::Recovering),
            (4, Axis::Recovering, Axis::Firing),
            (5, Axis::Firing, Axis::Firing),
            (6, Axis::Firing, Axis::Ok),
            (7, Axis::Ok, Axis::Firing),
        ] {
            known.take_transition(moved(second, from, to, true));
        }
        let at = |second: i64| Time::from_millis(second * 1_000);
        let shadow = Shadow { fired: 2, since: at(1), last: Some(at(7)) };
        assert_eq!(known.rules(None)[0].shadow, Some(shadow));
        apply(&mut known, "live");
        known.take_transition(moved(8, Axis::Firing, Axis::Firing, false));
        assert_eq!(known.rules(None)[0].shadow, None, "it is no shadow any more");
    }
}
