//! The dataflow of a process: every log it owns, on one set of timely workers.
//!
//! Rounds go in, one [`Done`] per round comes out, in order. Timely's time is the round, not log time: a
//! shard that catches up must not hold back the others. `timely_adapter.rs` alone
//! knows timely's operators; this page says which stages there are and why each stands where it does.

mod desks;
mod gather;
mod shards;
#[cfg(test)]
mod tests;

use crate::error::StageError;
use crate::log::{LogId, Step};
use crate::output::{Counters, Output};
use crate::shard::Said;
use crate::stop::Stop;
use crate::subject::Subjects;
use crate::time::Time;
use crate::timely_adapter::{Column, End, Rounds, Workers};
use bytes::Bytes;
use desks::Desks;
use gather::Gather;
use shards::Shards;
use std::sync::{Arc, Mutex, PoisonError};

pub use crate::timely_adapter::{Seat, guard, is_guarded};

/// Most workers a dataflow may have: the number of slices a shard's metrics fall into.
pub const WORKERS_MAX: usize = 8;

/// What a log starts from.
#[derive(Clone, Debug)]
pub struct LogState {
    /// Which log.
    pub log: LogId,
    /// When its stream was created: part of every incident's identity.
    pub created: Time,
    /// Log time at the end of the last step that is already contained.
    pub now: Time,
    /// Chunks of a snapshot as they came out of [`LogDone::snapshot`]; none for a log read from its start.
    pub snapshot: Option<Vec<Bytes>>,
}

/// One thing a round does, in the order given.
#[derive(Clone, Debug)]
pub enum Feed {
    /// Take over a log.
    Adopt(LogState),
    /// Work off the next step of an adopted log.
    Step {
        /// Which log.
        log: LogId,
        /// Its next step.
        step: Arc<Step>,
    },
    /// Say the log's state, as it is at this place of the round.
    Snapshot(LogId),
    /// Forget a log.
    Release(LogId),
}

impl Feed {
    /// The log it is about.
    pub fn log(&self) -> LogId {
        match self {
            Self::Adopt(state) => state.log,
            Self::Step { log, .. } | Self::Snapshot(log) | Self::Release(log) => *log,
        }
    }
}

/// What is worked off together. At most one step per log.
#[derive(Clone, Debug)]
pub struct Round {
    /// Rises from round to round.
    pub number: u64,
    /// What to do, in order.
    pub feeds: Vec<Feed>,
}

/// A round is complete.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Which.
    pub round: u64,
    /// One per log fed in it, in order of [`LogId`].
    pub logs: Vec<LogDone>,
}

/// What a round made of one log.
#[derive(Clone, Debug)]
pub struct LogDone {
    /// Which log.
    pub log: LogId,
    /// Last entry worked off; 0 before the first step since adoption.
    pub position: u64,
    /// Log time at the end of that step.
    pub time: Time,
    /// Next due instant: the engine owes the log a tick then.
    pub due: Option<Time>,
    /// What the log says, in an order that does not depend on the number of workers.
    pub outputs: Vec<Output>,
    /// Chunks of its state, where a [`Feed::Snapshot`] asked for them.
    pub snapshot: Option<Vec<Bytes>>,
    /// Sums since the last round of this log.
    pub counters: Counters,
    /// A stage panicked, or the snapshot could not be read: the log stands still at `position`, says
    /// nothing more, and waits to be released.
    pub stopped: Option<Stop>,
}

/// What one worker made of one log in one round.
pub(crate) struct Part {
    log: LogId,
    /// Last entry, where a step was worked off.
    position: Option<u64>,
    time: Time,
    due: Option<Time>,
    said: Vec<Said>,
    snapshot: Option<Vec<Bytes>>,
    counters: Counters,
    stopped: Option<Stop>,
    adopted: bool,
    released: bool,
}

impl Part {
    fn new(log: LogId) -> Self {
        Self {
            log,
            position: None,
            time: Time::default(),
            due: None,
            said: Vec::new(),
            snapshot: None,
            counters: Counters::default(),
            stopped: None,
            adopted: false,
            released: false,
        }
    }
}

/// Who hears of every round that is complete.
type Hear = Box<dyn FnMut(Done) + Send>;

/// The stages of a process, in the order the data meets them.
struct Stages {
    subjects: Subjects,
    shards: u32,
    done: Mutex<Option<Hear>>,
}

impl Column for Stages {
    fn lay(&self, rounds: Rounds<'_>, seat: Seat) -> End {
        let mut shards = Shards::new(self.subjects.clone(), self.shards, seat);
        let mut desk = Desks::new(self.subjects.clone(), self.shards, seat);
        let mut gather = Gather::default();
        let done =
            self.done.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| seat.index == 0);
        let mut done = done.unwrap_or_else(|| Box::new(|_| ()));

        rounds
            // Decode, window, judge and track of one metric are one stage on one worker: due instants flow
            // from track back to the window, and evidence needs what the window holds.
            .each("shards", move |round| shards.work(round))
            // The desk sees the alerts of all shards, so it is in one place. It reads its own log, not the
            // shards' parts: what is not stored has not happened.
            .with(rounds.each("desk", move |round| desk.work(round)))
            // Last, because only when every worker has passed a round is it known what the round said.
            .gather("gather", move |round, parts| done(gather.complete(round, parts)))
    }
}

/// The running dataflow. Owns its worker threads.
pub struct Dataflow {
    workers: Workers,
}

impl Dataflow {
    /// Starts `workers` threads for logs of a bus with `shards` shards. `done` is called on one of them, once
    /// per round in order; it must not block for long.
    ///
    /// # Errors
    /// A number out of range, or threads that cannot be started.
    pub fn start(
        workers: usize,
        subjects: Subjects,
        shards: u32,
        done: impl FnMut(Done) + Send + 'static,
    ) -> Result<Self, StageError> {
        if workers == 0 || workers > WORKERS_MAX {
            return Err(StageError::Count { what: "workers", found: workers, most: WORKERS_MAX });
        }
        if shards == 0 {
            let most = u32::MAX as usize;
            return Err(StageError::Count { what: "shards", found: 0, most });
        }
        let done = Mutex::new(Some(Box::new(done) as Box<dyn FnMut(Done) + Send>));
        let workers = Workers::start(workers, Stages { subjects, shards, done })?;
        Ok(Self { workers })
    }

    /// Hands a round over. Never blocks: whoever feeds bounds the rounds in flight by the [`Done`]s.
    pub fn feed(&self, round: Round) {
        self.workers.feed(&Arc::new(round));
    }

    /// Finishes what was fed, joins the threads.
    pub fn stop(self) {
        drop(self.workers);
    }
}
