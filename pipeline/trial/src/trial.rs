//! A trial: shards and desk with their logs in memory, everything around them, and virtual time.
//!
//! ```text
//! samples ── shard logs ── shards ──┐ transitions, relayed at once
//!               ▲ verify requests   ▼
//! people ────────────── desk's log ── desk ── commands ── edges ── outcomes, relayed at once
//! ```
//!
//! Several desks may stand side by side ([`Trial::with_desks`]): each hears of its own rules alone, so that many variants
//! of a rule are tried in one pass over the samples without getting into each other's way (budgets, cooldowns).

mod post;

use crate::TrialError;
use crate::edge::{Edges, Script};
use crate::line::{Ended, Line};
use crate::said::Spoken;
use bytes::Bytes;
use post::From;
use stages::log::{DeskKind, Entry, EntryKind, LogId};
use stages::output::{Counters, Output};
use stages::settings::Settings;
use stages::shard::HOLE;
use stages::subject::Subjects;
use stages::time::Time;
use std::collections::{BTreeMap, VecDeque};

/// For rules that no desk hears of.
const NO_DESK: usize = usize::MAX;

/// What a trial is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How subjects are spelled.
    pub subjects: Subjects,
    /// When the logs of samples, and the desk's, were created: part of every incident's identity.
    pub created: (Time, Time),
    /// Number of shards.
    pub shards: u32,
    /// Whether to keep all entries and outputs, for [`Trial::kept`].
    pub keep: bool,
    /// Whether shards read a log as it was stored: what the trial itself adds takes no place of its own in it.
    pub stored: bool,
}

impl Setup {
    /// One shard, created at `time`.
    pub fn at(time: Time) -> Self {
        Self {
            subjects: Subjects::default(),
            created: (time, time),
            shards: 1,
            keep: false,
            stored: false,
        }
    }
}

/// A desk, its log and its edges.
#[derive(Debug)]
struct Bureau {
    line: Line,
    edges: Edges,
}

/// What a log took and said, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Entries in order.
    pub entries: Vec<Entry>,
    /// Committed outputs in order.
    pub outputs: Vec<Output>,
}

/// A run of the stages under virtual time.
#[derive(Debug)]
pub struct Trial {
    setup: Setup,
    shards: Vec<Line>,
    desks: Vec<Bureau>,
    /// Which desk hears of a rule; 0 for those not named.
    desk_of: BTreeMap<String, usize>,
    /// Messages of `OPS_EVENTS` so far.
    events: u64,
    /// Nothing is stored before this.
    deaf_until: Option<Time>,
    spoken: Vec<Spoken>,
    outputs: BTreeMap<LogId, Vec<Output>>,
    /// Refused samples by reason, with the first one's bytes.
    refused: BTreeMap<String, Bytes>,
    mail: VecDeque<(From, Ended)>,
    ended: Vec<Ended>,
}

impl Trial {
    /// One desk for all.
    pub fn new(setup: Setup) -> Self {
        Self::with_desks(setup, 1)
    }

    /// `desks` of them; each is told of the rules it has in its settings.
    pub fn with_desks(setup: Setup, desks: usize) -> Self {
        let Setup { subjects, created, shards, keep, stored } = &setup;
        let line = |shard| Line::shard(subjects, (created.0, *stored), (shard, *shards));
        let mut all: Vec<Line> = (0..*shards).map(line).collect();
        let desk = |_| {
            let line = Line::desk(subjects, created.1, *shards);
            Bureau { line, edges: Edges::default() }
        };
        let mut desks: Vec<Bureau> = (0..desks.max(1)).map(desk).collect();
        if *keep {
            let lines = all.iter_mut().chain(desks.iter_mut().map(|desk| &mut desk.line));
            lines.for_each(|line| line.kept = Some(Vec::new()));
        }
        Self {
            setup,
            shards: all,
            desks,
            desk_of: BTreeMap::new(),
            events: 0,
            deaf_until: None,
            spoken: Vec::new(),
            outputs: BTreeMap::new(),
            refused: BTreeMap::new(),
            mail: VecDeque::new(),
            ended: Vec::new(),
        }
    }

    /// What becomes of commands of `plan`, at every desk.
    pub fn script(&mut self, plan: &str, script: Script) {
        for desk in &mut self.desks {
            desk.edges.scripts.insert(plan.to_owned(), script);
        }
    }

    /// Shards read logs as they were stored, which stood at `sequence` at `time`; the desks begin `desks`. The settings are
    /// in force from there on.
    ///
    /// # Errors
    /// They do not fit into a log, or a stage fails.
    pub fn begin(
        &mut self,
        (time, sequence): (Time, u64),
        desks: Time,
        settings: &[Settings],
    ) -> Result<(), TrialError> {
        for line in &mut self.shards {
            (line.sequence, line.stored) = (sequence, time);
        }
        self.desks.iter_mut().for_each(|desk| desk.line.begin(desks));
        self.in_force((desks, time), settings)
    }

    /// Stores what a person or a tool said long before the trial: nothing happened in between.
    ///
    /// # Errors
    /// A stage fails.
    pub fn say_before(
        &mut self,
        time: Time,
        kind: EntryKind,
        payload: &Bytes,
    ) -> Result<(), TrialError> {
        for desk in 0..self.desks.len() {
            self.append_desk(desk, time, kind.clone(), payload.clone())?;
        }
        self.settle()
    }

    /// Puts settings in force at `time`: at every desk its own, at the shards all rules of all of them.
    ///
    /// # Errors
    /// They do not fit into a log, or a stage fails.
    pub fn settings(&mut self, time: Time, settings: &[Settings]) -> Result<(), TrialError> {
        self.pass(time)?;
        let time = self.heard(time);
        self.in_force((time, time), settings)
    }

    fn in_force(
        &mut self,
        (desks, shards): (Time, Time),
        settings: &[Settings],
    ) -> Result<(), TrialError> {
        let revision = settings.first().map(|one| one.revision.clone()).unwrap_or_default();
        for (index, one) in settings.iter().enumerate().take(self.desks.len()) {
            for rule in &one.rules {
                self.desk_of.entry(rule.name.clone()).or_insert(index);
            }
            // Shards work by one revision, and desks know by its name what shards saw under it.
            for part in parts(&Settings { revision: revision.clone(), ..one.clone() })? {
                self.append_desk(index, desks, EntryKind::Settings, part)?;
            }
        }
        let Some(whole) = union(settings) else { return Ok(()) };
        for part in parts(&whole)? {
            for shard in 0..self.shards.len() {
                self.append_shard(shard, shards, EntryKind::Settings, part.clone())?;
            }
        }
        self.settle()
    }

    /// Stores samples at `time`, after everything that happens before.
    ///
    /// # Errors
    /// A stage fails.
    pub fn samples(&mut self, time: Time, shard: u32, batch: Bytes) -> Result<(), TrialError> {
        self.pass(time)?;
        if self.deaf_until.is_some_and(|until| time < until) {
            return Ok(());
        }
        self.append_shard(shard as usize, time, EntryKind::Batch, batch)?;
        self.settle()
    }

    /// Stores what a person or a tool says, at every desk.
    ///
    /// # Errors
    /// A stage fails.
    pub fn say(&mut self, time: Time, kind: DeskKind, payload: &Bytes) -> Result<(), TrialError> {
        if self.setup.stored {
            self.pass_desks(time)?;
        } else {
            self.pass(time)?;
        }
        let time = self.heard(time);
        for desk in 0..self.desks.len() {
            self.append_desk(desk, time, EntryKind::Desk(kind), payload.clone())?;
        }
        self.settle()
    }

    /// Rules that no desk hears of: they are evaluated, and nothing follows.
    pub fn leave_alone(&mut self, rules: impl IntoIterator<Item = String>) {
        self.desk_of.extend(rules.into_iter().map(|rule| (rule, NO_DESK)));
    }

    /// An entry of a shard's log as it was stored, without ticks before it that are not in that log. What the desks owe
    /// before it is done first, unless nothing at all was stored since: then nobody could.
    ///
    /// # Errors
    /// A stage fails.
    pub fn replay(&mut self, shard: u32, entry: Entry) -> Result<(), TrialError> {
        let stored = self.shards.iter().map(|line| line.stored).max().unwrap_or_default();
        if entry.time.since(stored) > HOLE {
            self.deaf_until = Some(entry.time);
        }
        self.pass_desks(entry.time)?;
        let Some(line) = self.shards.get_mut(shard as usize) else { return Ok(()) };
        line.replay(entry, &mut self.ended)?;
        self.post(From::Shard);
        self.settle()
    }

    /// Lets the desks and their edges do what is due before `time`; shards get no ticks but those of their own log.
    fn pass_desks(&mut self, time: Time) -> Result<(), TrialError> {
        while let Some((at, index)) = self.next_at_desks().filter(|(at, _)| self.heard(*at) < time)
        {
            self.wake_desk(index, at)?;
        }
        Ok(())
    }

    /// Ends the open step of every shard at `time`. Anybody who owns a log may append a tick.
    ///
    /// # Errors
    /// A stage fails.
    pub fn tick(&mut self, time: Time) -> Result<(), TrialError> {
        for shard in 0..self.shards.len() {
            self.append_shard(shard, time, EntryKind::Tick, Bytes::new())?;
        }
        self.settle()
    }

    /// From `from` to `until` nothing is stored: the bus is down.
    ///
    /// # Errors
    /// A stage fails.
    pub fn hole(&mut self, from: Time, until: Time) -> Result<(), TrialError> {
        self.pass(from)?;
        self.deaf_until = Some(until);
        Ok(())
    }

    /// Lets time pass up to `time`: ticks where owners owe them, agents at their scripts. What happens at `time` itself
    /// comes after what is stored then.
    ///
    /// # Errors
    /// A stage fails.
    pub fn pass(&mut self, time: Time) -> Result<(), TrialError> {
        loop {
            let owed = self.shards.iter().map(Line::owed).zip(0..).min();
            let shard = owed.map(|(at, index)| (self.heard(at), index));
            let desk = self.next_at_desks().map(|(at, index)| (self.heard(at), index));
            match (shard, desk) {
                // A shard first: what it says then, the desk may wait for.
                (Some((at, index)), desk) if desk.is_none_or(|(other, _)| at <= other) => {
                    if at >= time {
                        return Ok(());
                    }
                    self.append_shard(index, at, EntryKind::Tick, Bytes::new())?;
                    self.settle()?;
                }
                (_, Some((at, index))) if at < time => self.wake_desk(index, at)?,
                (_, _) => return Ok(()),
            }
        }
    }

    /// Everything said so far.
    pub fn spoken(&self) -> &[Spoken] {
        &self.spoken
    }

    /// The same, given away.
    pub fn take_spoken(&mut self) -> Vec<Spoken> {
        std::mem::take(&mut self.spoken)
    }

    /// Samples that were refused, by reason, with the first one's bytes.
    pub fn refused(&self) -> &BTreeMap<String, Bytes> {
        &self.refused
    }

    /// Plain sums of all shards since they were last taken.
    pub fn take_counters(&mut self) -> Counters {
        let mut sum = Counters::default();
        for counters in self.shards.iter_mut().map(Line::take_counters) {
            sum.samples += counters.samples;
            sum.late += counters.late;
            sum.evaluations += counters.evaluations;
            sum.series += counters.series;
            for (reason, count) in counters.refused {
                *sum.refused.entry(reason).or_default() += count;
            }
        }
        sum
    }

    /// What a log took and said; empty unless [`Setup::keep`] was set. Of several desks the first.
    pub fn kept(&self, log: LogId) -> Kept {
        let line = match log {
            LogId::Shard(shard) => self.shards.get(shard as usize),
            LogId::Desk => self.desks.first().map(|desk| &desk.line),
        };
        let entries = line.and_then(|line| line.kept.clone()).unwrap_or_default();
        Kept { entries, outputs: self.outputs.get(&log).cloned().unwrap_or_default() }
    }

    fn heard(&self, time: Time) -> Time {
        self.deaf_until.map_or(time, |until| time.max(until))
    }

    fn next_at_desks(&self) -> Option<(Time, usize)> {
        let next = |desk: &Bureau| {
            desk.edges.next().map_or(desk.line.owed(), |at| at.min(desk.line.owed()))
        };
        self.desks.iter().map(next).zip(0..).min()
    }

    /// A desk's owner or edges do what they owe at `at`.
    fn wake_desk(&mut self, index: usize, at: Time) -> Result<(), TrialError> {
        let at = self.heard(at);
        let desk = &mut self.desks[index];
        if desk.edges.next().is_some_and(|next| next <= at) {
            for stored in desk.edges.work(at, &self.setup.subjects) {
                self.append_desk(index, at, EntryKind::Desk(DeskKind::Outcome), stored)?;
            }
        } else {
            self.append_desk(index, at, EntryKind::Tick, Bytes::new())?;
        }
        self.settle()
    }

    fn append_shard(
        &mut self,
        shard: usize,
        time: Time,
        kind: EntryKind,
        payload: Bytes,
    ) -> Result<(), TrialError> {
        self.shards[shard].append(time, kind, payload, &mut self.ended)?;
        self.post(From::Shard);
        Ok(())
    }

    fn append_desk(
        &mut self,
        desk: usize,
        time: Time,
        kind: EntryKind,
        payload: Bytes,
    ) -> Result<(), TrialError> {
        self.desks[desk].line.append(time, kind, payload, &mut self.ended)?;
        self.post(From::Desk(desk));
        Ok(())
    }
}

/// The settings of the shards: all rules of all desks, for the rest as the first.
fn union(settings: &[Settings]) -> Option<Settings> {
    let mut whole = settings.first()?.clone();
    let others = settings[1..].iter().flat_map(|one| one.rules.iter().cloned());
    whole.rules.extend(others);
    whole.rules.sort_by(|one, other| one.name.cmp(&other.name));
    whole.rules.dedup_by(|one, other| one.name == other.name);
    Some(whole)
}

fn parts(settings: &Settings) -> Result<Vec<Bytes>, TrialError> {
    stages::revision::parts(settings).map_err(|error| TrialError::Settings(error.to_string()))
}
