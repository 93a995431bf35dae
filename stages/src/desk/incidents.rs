//! The stage that turns what shards say into incidents: opened by a firing, resolved when the alert is Ok and
//! the rollback it caused has its verdict.

use crate::desk::act;
use crate::desk::column::{Heard, News, Untold};
use crate::desk::incident::{Incident, IncidentEvent, IncidentProgress, Moved, Over, Rollback};
use crate::desk::rollback::{Happening, RollbackProgress};
use crate::desk::rollbacks::Word;
use crate::desk::state::Alert;
use crate::desk::{Desk, say, words};
use crate::series::series_key;
use crate::settings::Rule;
use crate::time::Span;
use crate::wire::{
    AlertState, Axis, Cause, DataFlag, Reason, RollbackState, ShardEvent, Transition,
};
use std::sync::Arc;

/// News this old when it is read happened while the product was down or far behind, and says so.
const OLD: Span = Span::from_secs(120);

/// What a page of an alert that flaps ends with.
const FLAPS: &str = " - it flaps";

fn flapping_topic(openings: u32) -> String {
    format!("flapping/{openings}")
}

impl Desk {
    pub(super) fn shard_event(&mut self, event: ShardEvent) {
        match event {
            // The desk's own words do not come back to it.
            ShardEvent::Transition(transition) if transition.at_desk => self.count("foreign"),
            ShardEvent::Transition(transition) if self.is_overtaken(&transition) => {}
            ShardEvent::Transition(transition) => self.transition(&transition),
            ShardEvent::Glimpses(glimpses) => self.glimpses(*glimpses),
            ShardEvent::Verified(verified) => self.verified(*verified),
            ShardEvent::DataGap(gap) => self.data_gap(&gap),
            ShardEvent::Notice(notice) => {
                self.notice(&notice.kind, &notice.subject, notice.text, true);
            }
        }
    }

    pub(super) fn transition(&mut self, transition: &Transition) {
        let Some(rule) = self.state.rule(&transition.rule) else {
            if transition.to == Axis::Firing {
                let text = format!(
                    "rule {:?} fired, but the settings in force do not know it: apply them again",
                    transition.rule
                );
                self.notice("rule_unknown", &transition.rule, text, true);
            }
            return;
        };
        // The shard's word may be from before or behind the revision the desk works by.
        if transition.shadow || !rule.mode.is_live() {
            return;
        }
        let key = series_key(&transition.rule, &transition.group);
        let before = self.note(&key, transition);
        if matches!(transition.to, Axis::Firing | Axis::Recovering) {
            self.severity_moved(&rule, &key, transition);
        }
        match transition.to {
            Axis::Pending => {
                if before.as_ref().is_none_or(|alert| alert.axis != Axis::Pending) {
                    self.say_alert(&rule, transition, None, AlertState::Pending);
                }
            }
            Axis::Firing => self.firing(&rule, &key, transition, before.as_ref()),
            Axis::Recovering => {
                self.move_incident(&rule, &key, transition, IncidentEvent::Recovering);
            }
            Axis::Ok | Axis::Unknown => self.calm(&rule, &key, transition, before.as_ref()),
        }
        // Another rule's action may have waited for this one to be over.
        if !matches!(transition.to, Axis::Firing | Axis::Recovering)
            && before.is_some_and(|alert| matches!(alert.axis, Axis::Firing | Axis::Recovering))
        {
            self.judge_held();
        }
    }

    /// Takes note of where the alert is; what was known before.
    pub(super) fn note(&mut self, key: &str, transition: &Transition) -> Option<Alert> {
        let before = self.state.alerts.get(key).cloned();
        let alert = Alert {
            rule: transition.rule.clone(),
            group: transition.group.clone(),
            axis: transition.to,
            data: transition.data,
            flapping: transition.flapping,
            time: transition.time,
            evidence: transition.evidence.clone(),
            incident: before.as_ref().and_then(|alert| alert.incident.clone()),
        };
        let idle = matches!(transition.to, Axis::Ok | Axis::Unknown) && alert.incident.is_none();
        if idle {
            self.state.alerts.remove(key);
        } else {
            self.state.alerts.insert(key.to_owned(), alert);
        }
        before
    }

    pub(super) fn firing(
        &mut self,
        rule: &Arc<Rule>,
        key: &str,
        it: &Transition,
        before: Option<&Alert>,
    ) {
        let known = before.and_then(|alert| alert.incident.as_ref());
        let incident = known.and_then(|id| self.state.incidents.get(id));
        let Some(incident) = incident else { return self.open(rule, key, it) };
        let id = incident.id.clone();
        match incident.progress {
            IncidentProgress::Firing => self.still_firing(rule, &id, it, before),
            IncidentProgress::Recovering | IncidentProgress::Waiting => {
                self.move_incident(rule, key, it, IncidentEvent::Fired);
                self.judge_one(&id, self.age(it));
            }
            IncidentProgress::Over(at, how) => {
                let same_firing = match &it.incident {
                    Some(source) => incident.source.as_ref() == Some(source),
                    None => matches!(it.from, Axis::Firing | Axis::Recovering),
                };
                let soon = how == Over::Resolved
                    && rule.reopen_within > Span::ZERO
                    && self.state.now.since(at) <= rule.reopen_within;
                match (soon, same_firing && how == Over::Closed) {
                    (true, _) => self.reopen(rule, &id, it),
                    // A person closed it, whatever the data says.
                    (false, true) => {}
                    (false, false) => self.open(rule, key, it),
                }
            }
        }
    }

    pub(super) fn open(&mut self, rule: &Arc<Rule>, key: &str, it: &Transition) {
        let id = it.incident.clone().filter(|id| !self.state.incidents.contains_key(id));
        let id = id.unwrap_or_else(|| {
            let created = self.created.0.to_string();
            let position = self.state.position.to_string();
            say::key(&["desk incident", &created, key, &position])[..16].to_owned()
        });
        let rollback = act::plan_name(rule).map(|plan| Rollback {
            plan: plan.to_owned(),
            script: act::plan(&self.state, plan).map_or_else(String::new, |p| p.script.clone()),
            progress: RollbackProgress::Unjudged,
            commanded: None,
            claimed: false,
            ended: None,
            exit_code: None,
            cause: None,
        });
        let incident = Incident {
            id: id.clone(),
            alert: key.to_owned(),
            source: it.incident.clone(),
            rule: rule.name.clone(),
            group: it.group.clone(),
            severity: it.severity.clone(),
            opened: self.state.now,
            openings: 1,
            progress: IncidentProgress::Firing,
            acked: None,
            withheld: false,
            owed: false,
            told: crate::desk::dedup::Told::default(),
            reminders: 0,
            remind: None,
            rollback,
            verified: None,
        };
        self.state.incidents.insert(id.clone(), incident);
        if let Some(alert) = self.state.alerts.get_mut(key) {
            alert.incident = Some(id.clone());
        }
        self.fired(rule, &id, it, None);
    }

    pub(super) fn reopen(&mut self, rule: &Arc<Rule>, id: &str, it: &Transition) {
        let now = self.state.now;
        let Some(incident) = self.state.incidents.get_mut(id) else { return };
        let (progress, _) = incident.progress.clone().step(IncidentEvent::Fired, now);
        incident.progress = progress;
        incident.openings += 1;
        incident.source.clone_from(&it.incident);
        incident.severity.clone_from(&it.severity);
        incident.acked = None;
        incident.verified = None;
        self.fired(rule, id, it, Some("reopened".to_owned()));
    }

    /// Pages, then lets the action go: the page says what the action is about to do.
    pub(super) fn fired(
        &mut self,
        rule: &Arc<Rule>,
        id: &str,
        it: &Transition,
        detail: Option<String>,
    ) {
        let age = self.age(it);
        let decision = self.judged(id, age, false);
        let (action, action_detail) = match &decision {
            None => (None, None),
            Some(Happening::Forbidden(why)) => {
                let text = format!("no automatic rollback: {}", words::forbidden(*why));
                (Some(RollbackState::Suppressed), Some(text))
            }
            Some(Happening::Await(until)) => {
                let text = format!("approve or deny the rollback until {}", words::moment(*until));
                (Some(RollbackState::AwaitingApproval), Some(text))
            }
            Some(_) => (Some(RollbackState::Commanded), None),
        };
        let openings = self.state.incidents.get(id).map_or(1, |incident| incident.openings);
        let mut summary = words::breach(rule, &it.group, (&it.severity, &it.evidence));
        if it.flapping {
            summary.push_str(FLAPS);
        }
        if age > OLD {
            summary = words::while_down(&summary, it.time);
        }
        let news = News {
            reason: Reason::Fired,
            topic: format!("fired/{openings}"),
            summary,
            age,
            ended: None,
            evidence: Some(it.evidence.clone()),
            action,
            action_detail,
        };
        let heard = self.tell(id, rule, &news);
        if let Some(incident) = self.state.incidents.get_mut(id) {
            incident.withheld = heard.untold == Some(Untold::Silenced);
            if it.flapping && heard.untold.is_none() {
                // The page says it: nobody needs a second message in the same moment.
                incident.told.first(&flapping_topic(openings));
            }
        }
        self.schedule_reminder(id, rule);
        self.say_incident(rule, it, (id, AlertState::Fired), heard, detail);
        if let Some(happening) = decision {
            let evidence = Some(it.evidence.clone());
            self.happen(id, &happening, &Word { evidence, paged: true, ..Word::default() });
        }
    }

    /// Firing before and after: a flag changed.
    pub(super) fn still_firing(
        &mut self,
        rule: &Arc<Rule>,
        id: &str,
        it: &Transition,
        before: Option<&Alert>,
    ) {
        let flapped = before.is_some_and(|alert| alert.flapping);
        // An incident may begin flapping: then the page has said so, and here it is recorded.
        if it.flapping && (!flapped || it.cause == Cause::Flapping) {
            let openings = self.state.incidents.get(id).map_or(1, |incident| incident.openings);
            let news = News {
                reason: Reason::Flapping,
                topic: flapping_topic(openings),
                summary: words::breach(rule, &it.group, (&it.severity, &it.evidence)) + FLAPS,
                age: self.age(it),
                ended: None,
                evidence: Some(it.evidence.clone()),
                action: None,
                action_detail: None,
            };
            let heard = self.tell(id, rule, &news);
            self.say_incident(rule, it, (id, AlertState::Flapping), heard, None);
        } else if flapped && !it.flapping {
            let quiet = Some("quiet again".to_owned());
            self.say_incident(rule, it, (id, AlertState::Flapping), Heard::default(), quiet);
        }
        let gone = |data: DataFlag| matches!(data, DataFlag::NoData | DataFlag::MissingSeries);
        let was_gone = before.is_some_and(|alert| gone(alert.data));
        if (gone(it.data) && !was_gone) || it.cause == Cause::NoData {
            self.say_incident(rule, it, (id, AlertState::NoData), Heard::default(), None);
        }
        self.judge_one(id, self.age(it));
    }

    pub(super) fn calm(
        &mut self,
        rule: &Arc<Rule>,
        key: &str,
        it: &Transition,
        before: Option<&Alert>,
    ) {
        if before.is_some_and(|alert| alert.axis == Axis::Pending) {
            self.say_alert(rule, it, None, AlertState::Calm);
        }
        let Some(id) = before.and_then(|alert| alert.incident.clone()) else { return };
        if !self.state.incidents.get(&id).is_some_and(|incident| incident.progress.open()) {
            return;
        }
        let recovered =
            it.to == Axis::Ok && !matches!(it.cause, Cause::Retired | Cause::RuleRemoved);
        if !recovered {
            let why = serde_json::to_value(it.cause).unwrap_or_default();
            return self.close(&id, Some(it), why.as_str().unwrap_or_default().to_owned());
        }
        let again = self.again();
        self.happen(&id, &Happening::Calm(again), &Word::default());
        let settled = self
            .state
            .incidents
            .get(&id)
            .is_some_and(|it| it.rollback.as_ref().is_none_or(|back| back.progress.settled()));
        self.move_incident(rule, key, it, IncidentEvent::Calm(settled));
    }

    pub(super) fn move_incident(
        &mut self,
        rule: &Arc<Rule>,
        key: &str,
        it: &Transition,
        by: IncidentEvent,
    ) {
        let id = self.state.alerts.get(key).and_then(|alert| alert.incident.clone());
        let Some(id) = id else { return };
        match self.step_incident(&id, by) {
            Moved::Nothing | Moved::Reopened | Moved::Closed => {}
            Moved::FiredAgain => {
                if let Some(incident) = self.state.incidents.get_mut(&id) {
                    incident.source.clone_from(&it.incident);
                }
                self.say_incident(rule, it, (&id, AlertState::FiredAgain), Heard::default(), None);
            }
            Moved::Recovering => {
                self.say_incident(rule, it, (&id, AlertState::Recovering), Heard::default(), None);
            }
            Moved::Waiting => {
                let detail =
                    Some("the value is back; the rollback's verdict is awaited".to_owned());
                self.say_incident(
                    rule,
                    it,
                    (&id, AlertState::Recovering),
                    Heard::default(),
                    detail,
                );
            }
            Moved::Resolved => self.resolved(rule, &id, Some(it.cause)),
        }
    }

    pub(super) fn step_incident(&mut self, id: &str, by: IncidentEvent) -> Moved {
        let now = self.state.now;
        let Some(incident) = self.state.incidents.get_mut(id) else { return Moved::Nothing };
        let (progress, moved) = incident.progress.clone().step(by, now);
        incident.progress = progress;
        moved
    }
}
