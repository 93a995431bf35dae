//! The stage that turns what shards say into incidents: opened by a firing, resolved when the alert is Ok and
//! the rollback it caused has its verdict.

use crate::desk::act::{self, Case};
use crate::desk::column::{self, Heard, News, Untold};
use crate::desk::incident::{Incident, IncidentEvent, IncidentProgress, Moved, Over, Rollback};
use crate::desk::rollback::{Happening, RollbackProgress};
use crate::desk::rollbacks::Word;
use crate::desk::state::{Alert, Chore};
use crate::desk::{Desk, say, words};
use crate::output::Output;
use crate::series::series_key;
use crate::settings::Rule;
use crate::time::{Span, Time};
use crate::wire::{
    AlertState, Axis, Cause, DataFlag, DataGap, Evidence, Forbidden, Reason, RollbackState,
    ShardEvent, Transition,
};
use std::sync::Arc;

/// How long an incident is remembered after it is over: outcomes and repeats that come late still find it.
const REMEMBERED: Span = Span::from_secs(3600);
/// Shortest time between two reminders, whatever a rule says: a page a second helps nobody.
const REPEAT_MIN: Span = Span::from_secs(1);
/// News this old when it is read happened while the product was down or far behind, and says so.
const OLD: Span = Span::from_secs(120);

impl Desk {
    pub(super) fn shard_event(&mut self, event: ShardEvent) {
        match event {
            ShardEvent::Transition(transition) => self.transition(&transition),
            ShardEvent::Verified(verified) => self.verified(*verified),
            ShardEvent::DataGap(gap) => self.data_gap(&gap),
            ShardEvent::Notice(notice) => {
                self.notice(&notice.kind, &notice.subject, notice.text, true);
            }
        }
    }

    fn data_gap(&mut self, gap: &DataGap) {
        let lost = gap.lost.map_or_else(String::new, |(first, last)| {
            format!("; entries {first} to {last} are gone from the log")
        });
        let text = format!(
            "nothing was stored from {} to {} ({}): all clocks stood still{lost}",
            gap.from, gap.to, gap.length
        );
        self.notice("data_gap", "", text, true);
    }

    fn transition(&mut self, transition: &Transition) {
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
        let key = series_key(&transition.rule, &transition.group);
        let before = self.note(&key, transition);
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
    fn note(&mut self, key: &str, transition: &Transition) -> Option<Alert> {
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

    fn firing(&mut self, rule: &Arc<Rule>, key: &str, it: &Transition, before: Option<&Alert>) {
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

    fn open(&mut self, rule: &Arc<Rule>, key: &str, it: &Transition) {
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

    fn reopen(&mut self, rule: &Arc<Rule>, id: &str, it: &Transition) {
        let now = self.state.now;
        let Some(incident) = self.state.incidents.get_mut(id) else { return };
        let (progress, _) = incident.progress.clone().step(IncidentEvent::Fired, now);
        incident.progress = progress;
        incident.openings += 1;
        incident.source.clone_from(&it.incident);
        incident.acked = None;
        incident.verified = None;
        self.fired(rule, id, it, Some("reopened".to_owned()));
    }

    /// Pages, then lets the action go: the page says what the action is about to do.
    fn fired(&mut self, rule: &Arc<Rule>, id: &str, it: &Transition, detail: Option<String>) {
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
        let mut summary = words::breach(rule, &it.group, &it.evidence);
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
        }
        self.schedule_reminder(id, rule);
        self.say_incident(rule, it, id, AlertState::Fired, heard, detail);
        if let Some(happening) = decision {
            let evidence = Some(it.evidence.clone());
            self.happen(id, &happening, &Word { evidence, paged: true, ..Word::default() });
        }
    }

    /// Firing before and after: a flag changed.
    fn still_firing(
        &mut self,
        rule: &Arc<Rule>,
        id: &str,
        it: &Transition,
        before: Option<&Alert>,
    ) {
        let flapped = before.is_some_and(|alert| alert.flapping);
        if it.flapping && !flapped {
            let openings = self.state.incidents.get(id).map_or(1, |incident| incident.openings);
            let news = News {
                reason: Reason::Flapping,
                topic: format!("flapping/{openings}"),
                summary: format!("{} - it flaps", words::breach(rule, &it.group, &it.evidence)),
                age: self.age(it),
                ended: None,
                evidence: Some(it.evidence.clone()),
                action: None,
                action_detail: None,
            };
            let heard = self.tell(id, rule, &news);
            self.say_incident(rule, it, id, AlertState::Flapping, heard, None);
        } else if flapped && !it.flapping {
            let quiet = Some("quiet again".to_owned());
            self.say_incident(rule, it, id, AlertState::Flapping, Heard::default(), quiet);
        }
        let gone = |data: DataFlag| matches!(data, DataFlag::NoData | DataFlag::MissingSeries);
        let was_gone = before.is_some_and(|alert| gone(alert.data));
        if (gone(it.data) && !was_gone) || it.cause == Cause::NoData {
            self.say_incident(rule, it, id, AlertState::NoData, Heard::default(), None);
        }
        self.judge_one(id, self.age(it));
    }

    fn calm(&mut self, rule: &Arc<Rule>, key: &str, it: &Transition, before: Option<&Alert>) {
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
            let why = format!("{:?}", it.cause);
            let why = match it.cause {
                Cause::Retired => "retired".to_owned(),
                Cause::RuleRemoved => "rule_removed".to_owned(),
                _ => why.to_lowercase(),
            };
            return self.close(&id, Some(it), why);
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

    fn move_incident(&mut self, rule: &Arc<Rule>, key: &str, it: &Transition, by: IncidentEvent) {
        let id = self.state.alerts.get(key).and_then(|alert| alert.incident.clone());
        let Some(id) = id else { return };
        match self.step_incident(&id, by) {
            Moved::Nothing | Moved::Reopened | Moved::Closed => {}
            Moved::FiredAgain => {
                if let Some(incident) = self.state.incidents.get_mut(&id) {
                    incident.source.clone_from(&it.incident);
                }
                self.say_incident(rule, it, &id, AlertState::FiredAgain, Heard::default(), None);
            }
            Moved::Recovering => {
                self.say_incident(rule, it, &id, AlertState::Recovering, Heard::default(), None);
            }
            Moved::Waiting => {
                let detail =
                    Some("the value is back; the rollback's verdict is awaited".to_owned());
                self.say_incident(rule, it, &id, AlertState::Recovering, Heard::default(), detail);
            }
            Moved::Resolved => self.resolved(rule, &id, Some(it.cause)),
        }
    }

    fn step_incident(&mut self, id: &str, by: IncidentEvent) -> Moved {
        let now = self.state.now;
        let Some(incident) = self.state.incidents.get_mut(id) else { return Moved::Nothing };
        let (progress, moved) = incident.progress.clone().step(by, now);
        incident.progress = progress;
        moved
    }

    /// The incident's rollback has come to rest: if only that was waited for, the incident is over.
    pub(super) fn settled(&mut self, id: &str) {
        let Some(rule) = self.rule_of(id) else { return };
        if self.step_incident(id, IncidentEvent::Settled) == Moved::Resolved {
            self.resolved(&rule, id, None);
        }
    }

    fn resolved(&mut self, rule: &Arc<Rule>, id: &str, cause: Option<Cause>) {
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        // What the verification saw is what makes "back to" true; without one, what the alert saw.
        let evidence = incident.verified.clone().unwrap_or(alert.evidence);
        let summary = words::back(rule, &incident.group, &evidence);
        self.over(rule, id, AlertState::Resolved, (summary, evidence, cause), None);
    }

    /// Closes an incident for another reason than recovery.
    pub(super) fn close(&mut self, id: &str, it: Option<&Transition>, why: String) {
        let Some(rule) = self.rule_of(id) else { return };
        let again = self.again();
        self.happen(id, &Happening::Closed(again), &Word::default());
        if self.step_incident(id, IncidentEvent::Closed) != Moved::Closed {
            return;
        }
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        let summary = format!("{} closed: {why}", words::subject(&rule, &incident.group));
        let said = (summary, alert.evidence, it.map(|it| it.cause));
        self.over(&rule, id, AlertState::Closed, said, Some(why));
    }

    fn over(
        &mut self,
        rule: &Arc<Rule>,
        id: &str,
        state: AlertState,
        (summary, evidence, cause): (String, Evidence, Option<Cause>),
        detail: Option<String>,
    ) {
        let now = self.state.now;
        let Some((incident, alert)) = self.incident_and_alert(id) else { return };
        let action = incident.rollback.as_ref().and_then(|back| back.progress.state());
        let news = News {
            reason: Reason::Resolved,
            topic: format!("over/{}", incident.openings),
            summary,
            age: Span::ZERO,
            ended: Some(now),
            evidence: Some(evidence.clone()),
            action,
            action_detail: None,
        };
        let heard = self.tell(id, rule, &news);
        let facts = say::Facts {
            rule,
            group: &incident.group,
            severity: &incident.severity,
            axis: alert.axis,
            data: alert.data,
            cause,
            evidence: &evidence,
        };
        self.emit(&facts, Some(id), state, heard, detail);
        self.leave(id, rule);
    }

    /// What is left to do once an incident is over.
    fn leave(&mut self, id: &str, rule: &Rule) {
        let now = self.state.now;
        self.state.held.remove(id);
        let Some(incident) = self.state.incidents.get_mut(id) else { return };
        incident.remind = None;
        incident.withheld = false;
        if let Some(Rollback {
            plan,
            progress: RollbackProgress::Unknown,
            commanded: Some(at),
            ..
        }) = &incident.rollback
        {
            self.state.plans.released(plan, id, *at, true, now);
        }
        let keep = rule.reopen_within.max(REMEMBERED);
        self.state.agenda.insert((now.plus(keep), Chore::Forget(id.to_owned())));
    }

    pub(super) fn forget(&mut self, id: &str) {
        let now = self.state.now;
        let Some(incident) = self.state.incidents.get(id) else { return };
        let IncidentProgress::Over(at, _) = incident.progress else { return };
        let reopen = self.state.rule(&incident.rule).map_or(Span::ZERO, |rule| rule.reopen_within);
        let axis = self.state.alerts.get(&incident.alert).map(|alert| alert.axis);
        let busy = incident.rollback.as_ref().is_some_and(|back| !back.progress.settled());
        let firing = matches!(axis, Some(Axis::Firing | Axis::Recovering));
        let until = at.plus(reopen.max(REMEMBERED));
        if until > now || busy || firing {
            let later = if until > now { until } else { now.plus(REMEMBERED) };
            self.state.agenda.insert((later, Chore::Forget(id.to_owned())));
            return;
        }
        let Some(incident) = self.state.incidents.remove(id) else { return };
        if let Some(alert) = self.state.alerts.get_mut(&incident.alert)
            && alert.incident.as_deref() == Some(id)
        {
            alert.incident = None;
            if matches!(alert.axis, Axis::Ok | Axis::Unknown) {
                self.state.alerts.remove(&incident.alert);
            }
        }
        let used = self.state.alerts.values().any(|alert| alert.rule == incident.rule);
        if !used {
            self.state.removed.remove(&incident.rule);
        }
    }

    fn schedule_reminder(&mut self, id: &str, rule: &Rule) {
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
        let line = words::breach(&rule, &incident.group, &alert.evidence);
        let news = News {
            reason: Reason::Reminded,
            topic: format!("reminded/{number}"),
            summary: format!("{line} - still open since {}", words::moment(incident.opened)),
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
            let Some(rule) = self.rule_of(&id) else { continue };
            let Some((incident, alert)) = self.incident_and_alert(&id) else { continue };
            let line = words::breach(&rule, &incident.group, &alert.evidence);
            let news = News {
                reason: Reason::Fired,
                topic: format!("fired/{}", incident.openings),
                summary: format!(
                    "{line} - open since {}, was silenced",
                    words::moment(incident.opened)
                ),
                age: Span::ZERO,
                ended: None,
                evidence: Some(alert.evidence),
                action: incident.rollback.as_ref().and_then(|back| back.progress.state()),
                action_detail: None,
            };
            let heard = self.tell(&id, &rule, &news);
            if let Some(incident) = self.state.incidents.get_mut(&id) {
                incident.withheld = heard.untold == Some(Untold::Silenced);
            }
            self.out.extend(heard.intents);
        }
    }

    /// New settings may say another severity of what is open.
    pub(super) fn severities_changed(&mut self) {
        let open = self.state.incidents.values().filter(|incident| incident.progress.open());
        let open: Vec<String> = open.map(|incident| incident.id.clone()).collect();
        for id in open {
            let Some(rule) = self.rule_of(&id) else { continue };
            let Some(incident) = self.state.incidents.get_mut(&id) else { continue };
            if incident.severity == rule.severity {
                continue;
            }
            let before = std::mem::replace(&mut incident.severity, rule.severity.clone());
            let Some((incident, alert)) = self.incident_and_alert(&id) else { continue };
            let detail = format!("severity changed from {before} to {}", rule.severity);
            let line = words::breach(&rule, &incident.group, &alert.evidence);
            let news = News {
                reason: Reason::SeverityChanged,
                topic: format!("severity/{}", self.state.position),
                summary: format!("{line} - {detail}"),
                age: Span::ZERO,
                ended: None,
                evidence: Some(alert.evidence.clone()),
                action: None,
                action_detail: None,
            };
            let heard = self.tell(&id, &rule, &news);
            let facts = facts_of(&rule, &incident, &alert);
            self.emit(&facts, Some(&id), AlertState::FiredAgain, heard, Some(detail));
        }
    }

    /// Judges again what something forbade that may have passed.
    pub(super) fn judge_held(&mut self) {
        for id in self.state.held.clone() {
            self.judge_one(&id, Span::ZERO);
        }
    }

    fn judge_one(&mut self, id: &str, age: Span) {
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
    fn age(&self, it: &Transition) -> Span {
        self.state.now.since(it.time)
    }

    pub(super) fn again(&self) -> Time {
        self.state.now.plus(crate::desk::rollbacks::WISH_AGAIN)
    }

    fn say_alert(&mut self, rule: &Rule, it: &Transition, id: Option<&str>, state: AlertState) {
        let facts = facts_at(rule, it, &it.severity);
        self.emit(&facts, id, state, Heard::default(), None);
    }

    fn say_incident(
        &mut self,
        rule: &Rule,
        it: &Transition,
        id: &str,
        state: AlertState,
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
