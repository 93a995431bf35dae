//! Rounds: the steps of all logs, fed to the dataflow as soon as it has room, and what it makes of them, handed out.
//!
//! A round takes at most one thing of each log, so what it says of a log is about that thing alone.

use crate::commit::{Fed, ToCommitter, Worked};
use crate::feeder::ToFeeder;
use crate::health::Register;
use stages::dataflow::{Dataflow, Done, Feed, LogState, Round};
use stages::log::{EntryKind, LogId, Step};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Rounds in the dataflow at one time: enough that no worker waits for the engine, few enough that an entry never
/// queues behind more than some milliseconds of others.
const IN_FLIGHT_MAX: usize = 4;
/// A log that only gets ticks is saved this often nevertheless, so that replays stay short and within what is kept.
const IDLE_SNAPSHOT_EVERY: Duration = Duration::from_secs(3600);

/// What the rounds are told.
pub(crate) enum ToRounds {
    /// A log was taken; what becomes of it goes to `committer`, due instants to `feeder`.
    Adopt {
        state: LogState,
        fence: u64,
        committer: mpsc::UnboundedSender<ToCommitter>,
        feeder: mpsc::UnboundedSender<ToFeeder>,
        /// Save it as it is behind this entry; at once, if that is 0.
        save_at: Option<u64>,
    },
    /// The next step of a log.
    Step { log: LogId, step: Arc<Step>, fed: Fed },
    /// A log was lost.
    Release(LogId),
    /// A log is handed over: work off what is there, save it if it changed, tell when its committer has all of it.
    HandOver(LogId, oneshot::Sender<()>),
    /// Work off what is there, save every log that changed, tell when that is done, and end.
    Finish(oneshot::Sender<()>),
}

/// One thing to be done for a log.
enum Task {
    Adopt(Box<LogState>),
    Step(Arc<Step>, Fed),
    Snapshot,
    /// Whom to tell, where it is handed over.
    Release(Option<oneshot::Sender<()>>),
}

/// What is known of an adopted log.
struct Line {
    /// The tenure it is adopted under, 0 for none: steps of another tenure are not fed.
    fence: u64,
    tasks: VecDeque<Task>,
    committer: mpsc::UnboundedSender<ToCommitter>,
    feeder: mpsc::UnboundedSender<ToFeeder>,
    /// Content came since the last snapshot; anything at all came.
    changed: (bool, bool),
    saved: Instant,
    save_at: Option<u64>,
}

/// A round in the dataflow, with what its answers need.
struct InFlight {
    number: u64,
    fed_at: Instant,
    logs: Vec<(LogId, Answer)>,
    /// Told once the answers are handed out.
    worked_off: Vec<oneshot::Sender<()>>,
}

struct Answer {
    committer: mpsc::UnboundedSender<ToCommitter>,
    feeder: mpsc::UnboundedSender<ToFeeder>,
    fed: Option<Fed>,
    snapshot: bool,
}

/// The dataflow and what comes out of it.
pub(crate) struct Working {
    pub dataflow: Dataflow,
    pub done: mpsc::UnboundedReceiver<Done>,
    /// Told after each round; where it is there, every round is waited for.
    pub settled: Option<std::sync::mpsc::Receiver<()>>,
}

/// Feeds the dataflow.
pub(crate) struct Rounds {
    working: Working,
    orders: mpsc::UnboundedReceiver<ToRounds>,
    register: Arc<Register>,
    snapshot_every: Duration,
    state: State,
}

#[derive(Default)]
struct State {
    number: u64,
    lines: BTreeMap<LogId, Line>,
    in_flight: VecDeque<InFlight>,
    finish: Option<oneshot::Sender<()>>,
}

impl Rounds {
    pub fn new(
        working: Working,
        orders: mpsc::UnboundedReceiver<ToRounds>,
        register: Arc<Register>,
        snapshot_every: Duration,
    ) -> Self {
        Self { working, orders, register, snapshot_every, state: State::default() }
    }

    /// Runs until it was told to finish, then ends the dataflow.
    pub async fn run(mut self) {
        loop {
            while self.state.in_flight.len() < IN_FLIGHT_MAX && self.feed() {}
            if self.state.in_flight.is_empty()
                && let Some(finish) = self.state.finish.take()
            {
                let Working { dataflow, settled, .. } = self.working;
                if settled.is_some() {
                    dataflow.stop();
                } else {
                    // Joining waits for threads that have nothing left to do.
                    let _ = tokio::task::spawn_blocking(move || dataflow.stop()).await;
                }
                let _ = finish.send(());
                return;
            }
            tokio::select! {
                biased;
                Some(done) = self.working.done.recv() => self.hand_out(done),
                order = self.orders.recv(), if self.state.finish.is_none() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
            }
        }
    }

    fn obey(&mut self, order: ToRounds) {
        match order {
            ToRounds::Adopt { state, fence, committer, feeder, save_at } => {
                let mut tasks =
                    self.state.lines.remove(&state.log).map(|line| line.tasks).unwrap_or_default();
                let log = state.log;
                tasks.push_back(Task::Adopt(Box::new(state)));
                let (changed, saved) = ((false, false), Instant::now());
                let mut line = Line { fence, tasks, committer, feeder, changed, saved, save_at };
                line.save_if_due(0);
                self.state.lines.insert(log, line);
            }
            ToRounds::Step { log, step, fed } => {
                let every = self.snapshot_every;
                let line = self.state.lines.get_mut(&log).filter(|line| line.fence == fed.fence);
                let Some(line) = line else { return };
                let content = step.entries.len() > 1 || step.entries[0].kind != EntryKind::Tick;
                line.changed = (line.changed.0 || content, true);
                let position = step.position();
                line.tasks.push_back(Task::Step(step, fed));
                line.save_if_due(position);
                let age = line.saved.elapsed();
                if (line.changed.0 && age >= every) || age >= IDLE_SNAPSHOT_EVERY.max(every) {
                    line.snapshot();
                }
            }
            ToRounds::Release(log) => {
                if let Some(line) = self.state.lines.get_mut(&log) {
                    line.fence = 0;
                    line.tasks.clear();
                    line.tasks.push_back(Task::Release(None));
                }
            }
            ToRounds::HandOver(log, worked_off) => {
                if let Some(line) = self.state.lines.get_mut(&log) {
                    if line.changed.1 {
                        line.snapshot();
                    }
                    // What is read from now on is the next owner's.
                    line.fence = 0;
                    line.tasks.push_back(Task::Release(Some(worked_off)));
                }
            }
            ToRounds::Finish(finish) => {
                let lines = self.state.lines.values_mut();
                lines.filter(|line| line.changed.1).for_each(Line::snapshot);
                self.state.finish = Some(finish);
            }
        }
    }

    /// Feeds one round of what is there; false if there is nothing.
    fn feed(&mut self) -> bool {
        let (mut feeds, mut logs, mut released) = (Vec::new(), Vec::new(), Vec::new());
        let mut worked_off = Vec::new();
        for (log, line) in &mut self.state.lines {
            let Some(task) = line.tasks.pop_front() else { continue };
            let (mut fed, snapshot) = (None, matches!(task, Task::Snapshot));
            feeds.push(match task {
                Task::Adopt(state) => Feed::Adopt(*state),
                Task::Step(step, how) => {
                    fed = Some(how);
                    Feed::Step { log: *log, step }
                }
                Task::Snapshot => Feed::Snapshot(*log),
                Task::Release(tell) => {
                    worked_off.extend(tell);
                    if line.tasks.is_empty() {
                        released.push(*log);
                    }
                    Feed::Release(*log)
                }
            });
            let (committer, feeder) = (line.committer.clone(), line.feeder.clone());
            logs.push((*log, Answer { committer, feeder, fed, snapshot }));
        }
        released.iter().for_each(|log| drop(self.state.lines.remove(log)));
        if feeds.is_empty() {
            return false;
        }
        self.state.number += 1;
        let number = self.state.number;
        self.state.in_flight.push_back(InFlight {
            number,
            fed_at: Instant::now(),
            logs,
            worked_off,
        });
        self.working.dataflow.feed(Round { number, feeds });
        if let Some(settled) = &self.working.settled {
            let _ = settled.recv();
        }
        true
    }

    fn hand_out(&mut self, done: Done) {
        let Some(round) = self.state.in_flight.pop_front() else { return };
        debug_assert_eq!(round.number, done.round, "rounds come back in order");
        let took = round.fed_at.elapsed();
        let mut answers: BTreeMap<LogId, Answer> = round.logs.into_iter().collect();
        for log_done in done.logs {
            let log = log_done.log;
            let Some(answer) = answers.remove(&log) else { continue };
            if log_done.stopped.is_some() {
                if let Some(line) = self.state.lines.get_mut(&log) {
                    line.tasks.retain(|task| matches!(task, Task::Release(_) | Task::Adopt(_)));
                    (line.changed, line.fence) = ((false, false), 0);
                }
                let _ = answer.feeder.send(ToFeeder::Drop(log));
            }
            let counters = log_done.counters.clone();
            self.register.log(log, |health| {
                health.count(counters);
                if answer.fed.is_some() {
                    health.steps.record(took);
                } else if answer.snapshot {
                    health.pauses.record(took);
                }
            });
            let _ = answer.feeder.send(ToFeeder::Due(log, log_done.due));
            let worked = Worked { done: log_done, fed: answer.fed };
            let _ = answer.committer.send(ToCommitter::Worked(Box::new(worked)));
        }
        for tell in round.worked_off {
            // Nobody listens any more where the log was lost meanwhile.
            let _ = tell.send(());
        }
    }
}

impl Line {
    fn save_if_due(&mut self, position: u64) {
        if self.save_at.take_if(|at| *at <= position).is_some() {
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        self.tasks.push_back(Task::Snapshot);
        self.changed = (false, false);
        self.saved = Instant::now();
    }
}
