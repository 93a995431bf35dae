//! One log in memory: entries with virtual stored times, the stage that reads them, and the ticks its owner would append.
//!
//! What an owner does by the wall clock ([`Ticks`]) is done here by the virtual one; nothing takes time in between, so a tick
//! is stored in the instant it is owed.

use crate::TrialError;
use bytes::Bytes;
use stages::dataflow::{Seat, guard};
use stages::desk::Desk;
use stages::log::{Entry, EntryKind, LogId, Step, Stepper};
use stages::output::{Counters, Output, Target};
use stages::shard::{Place, Shard};
use stages::subject::Subjects;
use stages::ticks::{QUIET, Ticks};
use stages::time::Time;

/// The stage behind a log.
#[derive(Debug)]
pub(crate) enum Stage {
    Shard(Box<Shard>),
    Desk(Box<Desk>),
}

impl Stage {
    fn step(&mut self, step: &Step) -> Vec<Output> {
        match self {
            Self::Shard(shard) => {
                let said = shard.step(step).into_iter().map(|said| said.output);
                said.filter(|output| output.target != Target::Rollup).collect()
            }
            Self::Desk(desk) => desk.step(step),
        }
    }

    fn due(&self) -> Option<Time> {
        match self {
            Self::Shard(shard) => shard.due(),
            Self::Desk(desk) => desk.due(),
        }
    }

    fn take_counters(&mut self) -> Counters {
        match self {
            Self::Shard(shard) => shard.take_counters(),
            Self::Desk(desk) => desk.take_counters(),
        }
    }
}

/// A step that ended: when, and what was said to it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub time: Time,
    pub outputs: Vec<Output>,
}

/// One log.
#[derive(Debug)]
pub(crate) struct Line {
    pub log: LogId,
    stage: Stage,
    stepper: Stepper,
    ticks: Ticks,
    /// The last entry.
    pub sequence: u64,
    /// It is read as it was stored: what is appended to it takes no place of its own.
    as_stored: bool,
    /// Stored time of it; the next one is not stored before.
    pub stored: Time,
    /// Every entry, where somebody wants to read them again.
    pub kept: Option<Vec<Entry>>,
    steps: Vec<Step>,
}

impl Line {
    /// The log of `shard` among `shards`, created and empty at `created`.
    pub fn shard(
        subjects: &Subjects,
        (created, as_stored): (Time, bool),
        (shard, shards): (u32, u32),
    ) -> Self {
        let subjects = subjects.clone();
        let place = Place { shard, shards, created, subjects, seat: Seat { index: 0, of: 1 } };
        let stage = Stage::Shard(Box::new(Shard::new(place, Time::default())));
        Self { as_stored, ..Self::of(LogId::Shard(shard), stage, created) }
    }

    /// The desk's log.
    pub fn desk(subjects: &Subjects, created: Time, shards: u32) -> Self {
        let desk = Desk::new(subjects.clone(), shards, created);
        Self::of(LogId::Desk, Stage::Desk(Box::new(desk)), created)
    }

    fn of(log: LogId, stage: Stage, created: Time) -> Self {
        Self {
            log,
            stage,
            stepper: Stepper::new(log, created),
            ticks: Ticks::new(created, created, QUIET),
            sequence: 0,
            as_stored: false,
            stored: created,
            kept: None,
            steps: Vec::new(),
        }
    }

    /// Its owner begins at `time`.
    pub fn begin(&mut self, time: Time) {
        (self.stored, self.stepper) = (time, Stepper::new(self.log, time));
        self.ticks = Ticks::new(time, time, QUIET);
    }

    /// When the owner owes it a tick. An empty log has an owner, too.
    pub fn owed(&self) -> Time {
        self.ticks.owed().max(self.stored)
    }

    /// Stores an entry of the trial's own at `time` and works off the steps it ends.
    pub fn append(
        &mut self,
        time: Time,
        kind: EntryKind,
        payload: Bytes,
        ended: &mut Vec<Ended>,
    ) -> Result<(), TrialError> {
        let sequence = if self.as_stored { self.sequence } else { self.sequence + 1 };
        let time = time.max(self.stored);
        self.replay(Entry { sequence, time, kind, payload }, ended)
    }

    /// Takes an entry as some log has it.
    pub fn replay(&mut self, entry: Entry, ended: &mut Vec<Ended>) -> Result<(), TrialError> {
        let tick = entry.kind == EntryKind::Tick;
        (self.sequence, self.stored) = (entry.sequence, entry.time.max(self.stored));
        if let Some(kept) = &mut self.kept {
            kept.push(entry.clone());
        }
        self.stepper.push(entry, &mut self.steps);
        self.ticks.entries(&self.stepper, self.stored, !tick, tick);
        if self.steps.is_empty() {
            return Ok(());
        }
        for step in self.steps.drain(..) {
            let stage = &mut self.stage;
            let outputs = guard(|| stage.step(&step)).map_err(|why| TrialError::Stage {
                log: self.log,
                position: step.position(),
                why,
            })?;
            if !outputs.is_empty() {
                ended.push(Ended { time: step.ended, outputs });
            }
        }
        self.ticks.due(self.stage.due());
        Ok(())
    }

    /// What the stage counted since it was last asked.
    pub fn take_counters(&mut self) -> Counters {
        self.stage.take_counters()
    }
}
