//! The edges of a trial: agents that do what a script says, and the owner's edge that withdraws commands.
//!
//! Claim and withdrawal are one create-once record here as on the bus: whoever is first has the command.

use bytes::Bytes;
use serde::Serialize;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{
    Command, EndCause, LedgerRecord, LedgerState, Relayed, RollbackOutcome, RollbackState, SCHEMA,
    Source, Withdraw, WithdrawKind,
};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a plan's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// How long after the command an agent claims it; none: nobody does.
    pub claimed_after: Option<Span>,
    /// How long the script runs.
    pub takes: Span,
    /// How it ends: `succeeded`, `failed`, `timed_out` or `unknown`.
    pub outcome: RollbackState,
}

impl Default for Script {
    /// Claimed at once, a second long, exit code 0.
    fn default() -> Self {
        let takes = Span::from_secs(1);
        Self { claimed_after: Some(Span::ZERO), takes, outcome: RollbackState::Succeeded }
    }
}

/// What an edge does at some time.
#[derive(Clone, Debug)]
enum Deed {
    Claim(Command, Script),
    End(Command, Script),
}

/// The edges of one desk.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    /// By plan; every other plan has the default.
    pub scripts: BTreeMap<String, Script>,
    /// Those that have a record on the ledger, by plan and incident.
    ledger: BTreeSet<(String, String)>,
    deeds: BTreeMap<(Time, u64), Deed>,
    number: u64,
    /// Messages of `OPS_OUTCOMES` so far.
    outcomes: u64,
}

impl Edges {
    /// When something is to be done next.
    pub fn next(&self) -> Option<Time> {
        self.deeds.keys().next().map(|(time, _)| *time)
    }

    /// An agent sees a command.
    pub fn command(&mut self, now: Time, command: Command) {
        let script = self.scripts.get(&command.plan).copied().unwrap_or_default();
        if let Some(after) = script.claimed_after {
            self.later(now.plus(after), Deed::Claim(command, script));
        }
    }

    /// The desk wishes a command withdrawn; the relayed record, unless somebody claimed it.
    pub fn withdraw(&mut self, now: Time, wish: Withdraw, subjects: &Subjects) -> Option<Bytes> {
        let Withdraw { plan, incident, kind, .. } = wish;
        let state = match kind {
            WithdrawKind::Cancel => LedgerState::Cancelled,
            WithdrawKind::Expire => LedgerState::Expired,
        };
        let first = self.ledger.insert((plan.clone(), incident.clone()));
        first.then(|| self.record((now, subjects), (&plan, &incident), "owner", state))
    }

    /// Does what is due at `now`; what the edges store, relayed.
    pub fn work(&mut self, now: Time, subjects: &Subjects) -> Vec<Bytes> {
        let Some(entry) = self.deeds.first_entry().filter(|first| first.key().0 <= now) else {
            return Vec::new();
        };
        let at = (now, subjects);
        match entry.remove() {
            Deed::Claim(command, script) => {
                let key = (command.plan.clone(), command.incident.clone());
                if !self.ledger.insert(key) {
                    return Vec::new();
                }
                let about = (command.plan.as_str(), command.incident.as_str());
                let stored = vec![
                    self.record(at, about, AGENT, LedgerState::Claimed),
                    self.record(at, about, AGENT, LedgerState::Started { fence: 1 }),
                    self.outcome(at, about, (RollbackState::Running, None)),
                ];
                self.later(now.plus(script.takes), Deed::End(command, script));
                stored
            }
            Deed::End(command, script) => {
                let about = (command.plan.as_str(), command.incident.as_str());
                let (outcome, cause) = (script.outcome, cause(script.outcome));
                let exit_code = exit_code(outcome);
                let ended = LedgerState::Ended { outcome, exit_code, cause };
                vec![
                    self.record(at, about, AGENT, ended),
                    self.outcome(at, about, (outcome, Some(script.takes))),
                ]
            }
        }
    }

    fn later(&mut self, time: Time, deed: Deed) {
        self.number += 1;
        self.deeds.insert((time, self.number), deed);
    }

    fn record(
        &mut self,
        at: (Time, &Subjects),
        (plan, incident): (&str, &str),
        holder: &str,
        state: LedgerState,
    ) -> Bytes {
        let subject = at.1.ledger(plan, incident);
        let (plan, incident, holder) = (plan.to_owned(), incident.to_owned(), holder.to_owned());
        self.relayed(at.0, subject, &LedgerRecord { schema: SCHEMA, plan, incident, holder, state })
    }

    fn outcome(
        &mut self,
        at: (Time, &Subjects),
        (plan, incident): (&str, &str),
        (state, took): (RollbackState, Option<Span>),
    ) -> Bytes {
        let subject = at.1.status_rollback(plan);
        let outcome = RollbackOutcome {
            schema: SCHEMA,
            plan: plan.to_owned(),
            incident: incident.to_owned(),
            agent: AGENT.to_owned(),
            state,
            cause: cause(state),
            detail: None,
            exit_code: exit_code(state),
            output: None,
            took,
        };
        self.relayed(at.0, subject, &outcome)
    }

    fn relayed(&mut self, time: Time, subject: String, body: &impl Serialize) -> Bytes {
        self.outcomes += 1;
        let source = Source { stream: "outcomes".to_owned(), sequence: self.outcomes, time };
        relayed(source, subject, body)
    }
}

/// Who runs scripts in a trial.
const AGENT: &str = "trial";

/// A message of another stream as an entry.
pub(crate) fn relayed(source: Source, subject: String, body: &impl Serialize) -> Bytes {
    let relayed = Relayed { schema: SCHEMA, source, subject, body };
    Bytes::from(serde_json::to_vec(&relayed).expect("wire types serialise"))
}

fn exit_code(outcome: RollbackState) -> Option<i32> {
    match outcome {
        RollbackState::Succeeded => Some(0),
        RollbackState::Failed => Some(1),
        _ => None,
    }
}

fn cause(outcome: RollbackState) -> Option<EndCause> {
    match outcome {
        RollbackState::Failed => Some(EndCause::ExitCode),
        RollbackState::TimedOut => Some(EndCause::Timeout),
        RollbackState::Unknown => Some(EndCause::AgentDied),
        _ => None,
    }
}
