//! The desk: everything that needs to see all alerts.
//!
//! Transitions of all shards, people's entries, changes and outcomes meet in one log. The desk reads it entry by
//! entry and alone decides who is told of what, what is rolled back, and when an incident is over.
//!
//! ```text
//! intake ── incidents ── inhibit ── hours ── silence ── dedup ── route ── escalate ── group ── budget   (column.rs)
//!                 └── act ── rollback ── verify                                                  (rollbacks.rs)
//! ```
//!
//! Time passes by entries alone. Due instants (reminders, digests, deadlines) are worked off in time order before
//! the entry that shows they have come, with `now` set to them.
//!
//! **Blind time.** Over a hole of more than 15 s in log time the clocks of section 4 of the semantics freeze: here
//! that is `reopen_within`, and the wait for a verdict, because the shard's own clocks froze as well. What is
//! stamped by the bus does not: a command's `not_after`, approvals, silences, cooldowns, locks and budgets are
//! promises about real time to people and agents. What fell due inside a hole happens once, at its end.
//!
//! ```
//! use stages::{desk::Desk, log::{Entry, EntryKind, LogId, Stepper}, subject::Subjects, time::Time};
//! let mut desk = Desk::new(Subjects::default(), 1, Time(0));
//! let (mut stepper, mut steps) = (Stepper::new(LogId::Desk, Time(0)), Vec::new());
//! let tick = Entry { sequence: 1, time: Time(5), kind: EntryKind::Tick, payload: Default::default() };
//! stepper.push(tick, &mut steps);
//! assert!(desk.step(&steps[0]).is_empty());
//! assert_eq!(desk.due(), None);
//! ```

pub mod act;
pub mod budget;
pub mod column;
pub mod dedup;
mod endings;
pub mod escalate;
pub mod group;
pub mod hours;
pub mod incident;
mod incidents;
pub mod inhibit;
pub mod intake;
mod later;
mod outcomes;
mod people;
pub mod rollback;
mod rollbacks;
pub mod route;
mod say;
pub mod silence;
mod speak;
mod state;
pub mod verify;
pub mod words;

use crate::error::StageError;
use crate::log::{Entry, Step};
use crate::output::{Counters, Output};
use crate::revision::Taken;
use crate::series::Labels;
use crate::settings::{Rule, Settings};
use crate::subject::Subjects;
use crate::time::{Span, Time};
use crate::wire::{AlertState, Axis, DataFlag, DeliveryState, Evidence, Folded, Reason};
use bytes::Bytes;
use column::{Heard, Untold};
use intake::Input;
use rollback::RollbackProgress;
use state::{Chore, State};
use std::collections::BTreeSet;

/// A hole in log time longer than this is blind time.
const BLIND: Span = Span::from_secs(15);

/// The desk: one log in; alerts, notification intents, rollback commands and verify requests out.
#[derive(Debug)]
pub struct Desk {
    subjects: Subjects,
    shards: u32,
    created: Time,
    state: State,
    out: Vec<Output>,
    counters: Counters,
}

impl Desk {
    /// A desk before its first entry; `created` is when its log was created.
    pub fn new(subjects: Subjects, shards: u32, created: Time) -> Self {
        Self::with(subjects, shards, created, State::new(created))
    }

    /// A desk that goes on where [`Self::snapshot`] was taken.
    ///
    /// # Errors
    /// [`StageError::Snapshot`] if the chunks are not what [`Self::snapshot`] gave.
    pub fn restore(
        subjects: Subjects,
        shards: u32,
        created: Time,
        chunks: &[Bytes],
    ) -> Result<Self, StageError> {
        Ok(Self::with(subjects, shards, created, State::load(chunks)?))
    }

    fn with(subjects: Subjects, shards: u32, created: Time, state: State) -> Self {
        let shards = shards.max(1);
        let counters = Counters::default();
        Self { subjects, shards, created, state, out: Vec::new(), counters }
    }

    /// Works off one step and says what follows from it, in order. All outputs belong into the commit.
    pub fn step(&mut self, step: &Step) -> Vec<Output> {
        for entry in &step.entries {
            self.pass_time(entry.time, entry.sequence);
            self.read(entry);
        }
        let last = self.state.position;
        self.pass_time(step.ended, last);
        std::mem::take(&mut self.out)
    }

    /// The next moment at which something is to happen without an entry; the log is owed a tick then.
    pub fn due(&self) -> Option<Time> {
        self.state.agenda.first().map(|(at, _)| *at)
    }

    /// All state, in chunks small enough for a message each.
    pub fn snapshot(&self) -> Vec<Bytes> {
        self.state.save()
    }

    /// Plain sums since they were last taken.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// Lets time pass up to an entry stored at `to`, working off what falls due on the way.
    fn pass_time(&mut self, to: Time, position: u64) {
        let before = self.state.now;
        let to = before.max(to);
        let hole = to.since(before);
        let blind = self.state.position > 0 && hole > BLIND;
        self.state.position = position;
        if blind {
            self.freeze_clocks(hole);
        }
        while self.due().is_some_and(|due| due <= to) {
            let Some((due, chore)) = self.state.agenda.pop_first() else { break };
            // What fell due while nobody could see happens once, when somebody can.
            self.state.now = if blind { to } else { self.state.now.max(due) };
            self.chore(chore);
        }
        self.state.now = to;
    }

    fn freeze_clocks(&mut self, hole: Span) {
        let ids: Vec<String> = self.state.incidents.keys().cloned().collect();
        for id in ids {
            let Some(incident) = self.state.incidents.get_mut(&id) else { continue };
            if let incident::IncidentProgress::Over(at, _) = &mut incident.progress {
                *at = at.plus(hole);
            }
            if let Some(rollback) = &mut incident.rollback
                && let RollbackProgress::Verifying(by) = &mut rollback.progress
            {
                *by = by.plus(hole);
                self.state.agenda.insert((*by, Chore::Rollback(id)));
            }
        }
    }

    fn chore(&mut self, chore: Chore) {
        match chore {
            Chore::Rollback(id) => self.rollback_due(&id),
            Chore::SilenceEnds(_) => self.silence_ended(),
            Chore::Remind(id) => self.remind(&id),
            Chore::Digest(name) => {
                let digest = column::digest(&mut self.state, &self.subjects, &name);
                self.out.extend(digest);
            }
            Chore::Forget(id) => self.forget(&id),
        }
    }

    fn read(&mut self, entry: &Entry) {
        match intake::read(entry, &self.subjects, &mut self.state.memory) {
            Input::Tick => {}
            Input::Settings(taken) => {
                let Taken { in_force, refused } = *taken;
                refused.into_iter().for_each(|why| self.unreadable("settings", &why));
                in_force.into_iter().for_each(|settings| self.take_settings(settings));
            }
            Input::Shard(event) => self.shard_event(event),
            Input::Ledger(record, stored) => self.ledger(&record, stored),
            Input::StrangeClaim(claim) => self.strange_claim(&claim),
            Input::Outcome(outcome, stored) => self.outcome(&outcome, stored),
            Input::Delivery(delivery) => {
                if delivery.state == DeliveryState::Failed {
                    let text =
                        format!("message {} reached nobody: {}", delivery.key, delivery.receiver);
                    self.notice("delivery_failed", &delivery.receiver, text, false);
                }
            }
            Input::People(people) => self.people(*people),
            Input::Repeat => self.count("repeat"),
            Input::Foreign => self.count("foreign"),
            Input::Unreadable(what, why) => self.unreadable(what, &why),
        }
    }

    fn unreadable(&mut self, what: &'static str, why: &str) {
        self.count("unreadable");
        let position = self.state.position;
        let text = format!("desk entry {position}: this {what} cannot be read: {why}");
        // A person sees at once that an entry was refused; what a machine relays must be looked into.
        let machine = matches!(what, "relayed entry" | "transition" | "settings" | "outcome");
        self.notice("entry_refused", what, text, machine);
    }

    fn count(&mut self, reason: &'static str) {
        *self.counters.refused.entry(reason).or_default() += 1;
    }

    /// Takes a revision into force. Rules that are gone stay known until their incidents are over: their shards
    /// will say `rule_removed`.
    fn take_settings(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.state.settings, settings.into());
        let named: BTreeSet<&str> =
            self.state.alerts.values().map(|alert| alert.rule.as_str()).collect();
        let gone = before.rules.iter().filter(|rule| {
            let there = self.state.settings.rules.iter().any(|now| now.name == rule.name);
            !there && named.contains(rule.name.as_str())
        });
        let gone: Vec<_> = gone.map(|rule| (rule.name.clone(), rule.clone())).collect();
        self.state.removed.extend(gone);
        let settings = self.state.settings.clone();
        self.state.removed.retain(|name, _| !settings.rules.iter().any(|rule| rule.name == *name));
        self.state.complained.clear();
        self.severities_changed();
        if act::frozen(&self.state) {
            self.withdraw_unclaimed();
        }
        self.judge_held();
    }

    /// Says something about the product itself; `tell` also to the fallback receiver.
    fn notice(&mut self, kind: &str, subject: &str, text: String, tell: bool) {
        let (now, position) = (self.state.now, self.state.position);
        let mut heard = Heard::default();
        let receiver = route::fallback(&self.state.settings).filter(|_| tell);
        if let Some(receiver) = receiver {
            if self.state.budgets.spend(&receiver, false, now) {
                let intent = say::notice_intent((now, position), &receiver, kind, subject, &text);
                let subject = self.subjects.notify(&receiver.name);
                heard.intents.push(Output::commit(subject, &intent));
                heard.notified.push(receiver.name.clone());
            } else {
                let summary = text.clone();
                let line = Folded { reason: Reason::Notice, incident: None, summary, time: now };
                let due = self.state.budgets.fold(&receiver, line, false, now);
                self.state.agenda.insert((due, Chore::Digest(receiver.name.clone())));
                heard.folded.push(receiver.name.clone());
                heard.untold = Some(Untold::Folded);
            }
        } else if tell {
            heard.untold = Some(Untold::NoReceiver);
        }
        let rule = notice_rule(kind, subject);
        let (group, evidence) = (Labels::new(), Evidence::default());
        let facts = say::Facts {
            rule: &rule,
            group: &group,
            severity: say::WARNING,
            axis: Axis::Unknown,
            data: DataFlag::NoData,
            cause: None,
            evidence: &evidence,
        };
        let state = AlertState::Notice;
        let event = say::alert((now, position), &facts, None, state, &heard, Some(text));
        let subject = self.subjects.alert(say::WARNING, kind, state.token());
        self.out.push(Output::commit(subject, &event));
        self.out.extend(heard.intents);
    }

    /// Complains about names of receivers that nobody answers to, once a revision.
    fn complain(&mut self, rule: &str, unknown: &[String]) {
        for name in unknown {
            if self.state.complained.insert(name.clone()) {
                let text = format!(
                    "rule {rule} notifies {name:?}, which the settings do not know: the fallback receiver is told; add it to the receivers"
                );
                self.notice("receiver_unknown", name, text, true);
            }
        }
    }
}

/// Stands in for a rule where the product speaks of itself.
fn notice_rule(kind: &str, subject: &str) -> Rule {
    let mut rule = no_rule(kind);
    if crate::series::check_name(subject).is_ok() {
        rule.metric = subject.to_owned();
    }
    rule
}

fn no_rule(name: &str) -> Rule {
    use crate::settings::{Compare, Guards, NoData, Stat};
    Rule {
        name: name.to_owned(),
        metric: String::new(),
        group_by: Vec::new(),
        stat: Stat::Mean,
        compare: Compare::Greater,
        threshold: 0.0,
        share: None,
        window: Span::ZERO,
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 0,
        fresh_for: Span::ZERO,
        gap_tolerance: Span::ZERO,
        no_data: NoData::Keep,
        keep_max: Span::ZERO,
        absent: None,
        flap_window: Span::ZERO,
        severity: say::WARNING.to_owned(),
        unit: Some(String::new()),
        action: None,
        action_min_samples: 0,
        guards: Guards::default(),
        runbook: None,
        notify: Vec::new(),
        repeat: Span::ZERO,
        labels: Labels::new(),
        annotations: Labels::new(),
    }
}
