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
//! Of rules whose metrics lie in several shards no shard sees all: those the desk judges itself ([`apart`]).
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
pub mod apart;
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
mod notices;
mod outcomes;
mod people;
pub mod rollback;
mod rollbacks;
pub mod route;
mod say;
pub mod silence;
mod speak;
mod standing;
mod state;
pub mod template;
pub mod verify;
pub mod words;

use crate::error::StageError;
use crate::log::{Entry, Step};
use crate::output::{Counters, Output};
use crate::revision::{Ahead, Taken};
use crate::settings::Settings;
use crate::stop;
use crate::subject::Subjects;
use crate::time::{Span, Time};
use crate::wire::DeliveryState;
use bytes::Bytes;
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
        let mut desk = Self::with(subjects, shards, created, State::load(chunks)?);
        desk.lay_apart();
        Ok(desk)
    }

    fn with(subjects: Subjects, shards: u32, created: Time, state: State) -> Self {
        let shards = shards.max(1);
        let counters = Counters::default();
        Self { subjects, shards, created, state, out: Vec::new(), counters }
    }

    /// Works off one step and says what follows from it, in order. All outputs belong into the commit.
    pub fn step(&mut self, step: &Step) -> Vec<Output> {
        for entry in &step.entries {
            stop::at(Some(entry));
            self.pass_time(entry.time, entry.sequence);
            self.read(entry, &step.ahead);
        }
        stop::at(None);
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
        Counters { alerts: self.state.apart.axes(), ..std::mem::take(&mut self.counters) }
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
        self.freeze_apart(hole);
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
            Chore::HoursBegin(id) => self.hours_begin(&id),
            Chore::SilenceEnds(_) => self.silence_ended(),
            Chore::Remind(id) => self.remind(&id),
            Chore::Digest(name) => self.send_digest(&name),
            Chore::Forget(id) => self.forget(&id),
            Chore::DigestEnds(name) => self.end_digest(&name),
            Chore::StandingEnds(key) => self.end_standing(&key),
            Chore::ShardSilent(shard) => self.shard_silent(shard),
        }
    }

    fn read(&mut self, entry: &Entry, ahead: &Ahead) {
        match intake::read((entry, ahead), &self.subjects, &mut self.state.memory) {
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
        let machine =
            matches!(what, "relayed entry" | "transition" | "glimpses" | "settings" | "outcome");
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
        let settings = self.state.settings.clone();
        let there: BTreeSet<&str> = settings.rules.iter().map(|rule| rule.name.as_str()).collect();
        let gone = before.rules.iter().filter(|rule| {
            !there.contains(rule.name.as_str()) && named.contains(rule.name.as_str())
        });
        let gone: Vec<_> = gone.map(|rule| (rule.name.clone(), rule.clone())).collect();
        self.state.removed.extend(gone);
        self.state.removed.retain(|name, _| !there.contains(name.as_str()));
        self.state.complained.clear();
        self.close_shadows();
        self.severities_changed();
        self.hours_changed();
        if act::frozen(&self.state) {
            self.withdraw_unclaimed();
        }
        self.edit_apart(&before);
        self.judge_held();
    }
}
