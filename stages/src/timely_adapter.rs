//! The only file that knows timely's operators.
//!
//! Every worker has a channel of its own and reads every round: a step is shared, not copied, and each worker
//! passes over what it does not own. So nothing is exchanged but what the stages say, to worker 0.
//!
//! A panic inside a stage is caught by the stage itself ([`guard`]) and stops one log. A panic anywhere else
//! would leave the other workers waiting for this one for ever, so it ends the process.

use crate::dataflow::Round;
use crate::error::StageError;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use timely::communication::{Config as Communication, WorkerGuards};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Concat, Input, Probe, probe::Handle};
use timely::dataflow::{InputHandle, Scope, StreamVec};
use timely::worker::{Config as WorkerConfig, Worker};

/// Rounds taken off the channel before the operators run: enough to merge a backlog, few enough to begin.
const ROUNDS_AT_ONCE: usize = 64;
/// Longest sleep. Wake-ups come by unparking; this is for the one that would be lost by a defect.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Which worker of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// From 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

/// The end of a column: tells which rounds have passed it.
pub(crate) type End = Handle<u64>;

/// What every worker reads.
pub(crate) struct Rounds<'scope>(StreamVec<'scope, u64, Arc<Round>>);

/// What the stages say about the rounds, on its way to worker 0.
pub(crate) struct Parts<'scope, P: Send + 'static>(StreamVec<'scope, u64, InProcess<Vec<P>>>);

impl<'scope> Rounds<'scope> {
    /// Runs `stage` on this worker: a function of the rounds in order.
    pub(crate) fn each<P: Send + 'static>(
        &self,
        name: &str,
        mut stage: impl FnMut(&Round) -> Vec<P> + 'static,
    ) -> Parts<'scope, P> {
        type Build<P> = CapacityContainerBuilder<Vec<InProcess<Vec<P>>>>;
        Parts(self.0.clone().unary::<Build<P>, _, _, _>(Pipeline, name, move |_, _| {
            move |input, output| {
                input.for_each_stamp(|stamp, rounds| {
                    let mut session = output.session(&stamp);
                    for round in rounds.flat_map(|some| some.drain(..)) {
                        // Even nothing is handed on: a round about nothing is done, too.
                        session.give(InProcess(stage(&round)));
                    }
                });
            }
        }))
    }
}

impl<'scope, P: Send + 'static> Parts<'scope, P> {
    /// Both, as one.
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0.concat(other.0))
    }

    /// Hands all parts of a round to `complete` on worker 0, round by round, once no worker can add to it.
    /// Rounds come in order, without holes.
    pub(crate) fn gather(self, name: &str, mut complete: impl FnMut(u64, Vec<P>) + 'static) -> End {
        type Nothing = CapacityContainerBuilder<Vec<()>>;
        let to_first = Exchange::new(|_: &InProcess<Vec<P>>| 0);
        let sink = self.0.unary_frontier::<Nothing, _, _, _>(to_first, name, move |first, _| {
            drop(first);
            let mut open: BTreeMap<u64, Vec<P>> = BTreeMap::new();
            move |(input, frontier), _| {
                input.for_each_stamp(|stamp, parts| {
                    // Each message carries the stamp of one round: rounds are sent one time each.
                    if let Some(stamp) = stamp.least() {
                        let parts = parts.flat_map(|some| some.drain(..)).flat_map(|parts| parts.0);
                        open.entry(*stamp).or_default().extend(parts);
                    }
                });
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (round, parts) = entry.remove_entry();
                    complete(round, parts);
                }
            }
        });
        sink.probe().0
    }
}

/// The worker threads. Dropped, they finish what they were fed and are joined.
pub(crate) struct Workers {
    lines: Vec<Sender<Arc<Round>>>,
    threads: Vec<Thread>,
    /// Joins them when it is dropped, which is after [`Workers::drop`] has woken them.
    _guards: WorkerGuards<()>,
}

/// Lays the column of stages on one worker.
pub(crate) trait Column: Send + Sync + 'static {
    /// The column, from the rounds to the probe at its end.
    fn lay(&self, rounds: Rounds<'_>, seat: Seat) -> End;
}

impl Workers {
    /// Starts `count` threads, each with its own column.
    pub(crate) fn start(count: usize, column: impl Column) -> Result<Self, StageError> {
        let (lines, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| channel()).unzip();
        let receivers: Vec<_> = receivers.into_iter().map(|one| Mutex::new(Some(one))).collect();
        let (say, hear) = channel();
        let config = timely::Config {
            communication: Communication::Process(count),
            worker: WorkerConfig::default().idle_spin(Duration::ZERO),
        };
        let guards = timely::execute(config, move |worker| {
            let seat = Seat { index: worker.index(), of: worker.peers() };
            let line = receivers[seat.index].lock().unwrap_or_else(PoisonError::into_inner).take();
            // The starter hears every thread or none: it waits for all of them.
            if let (Some(line), Ok(())) = (line, say.send((seat.index, std::thread::current()))) {
                run(worker, &line, &column, seat);
            }
        })
        .map_err(StageError::Start)?;
        let mut threads: Vec<(usize, Thread)> = hear.iter().take(count).collect();
        threads.sort_by_key(|(index, _)| *index);
        let threads = threads.into_iter().map(|(_, thread)| thread).collect();
        Ok(Self { lines, threads, _guards: guards })
    }

    /// Hands a round to every worker.
    pub(crate) fn feed(&self, round: &Arc<Round>) {
        for (line, thread) in self.lines.iter().zip(&self.threads) {
            // A worker ends only when its line is dropped, so somebody receives.
            let _ = line.send(Arc::clone(round));
            thread.unpark();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.lines.clear();
        self.threads.iter().for_each(Thread::unpark);
    }
}

/// One worker's life. Anything that panics here would strand its neighbours.
fn run(worker: &mut Worker, line: &Receiver<Arc<Round>>, column: &impl Column, seat: Seat) {
    let life = AssertUnwindSafe(|| {
        let mut input = InputHandle::<u64, CapacityContainerBuilder<Vec<Arc<Round>>>>::new();
        let probe = worker.dataflow::<u64, _, _>(|scope: Scope<'_, u64>| {
            column.lay(Rounds(scope.input_from(&mut input)), seat)
        });
        let mut fed = true;
        while fed {
            let mut taken = 0;
            while taken < ROUNDS_AT_ONCE {
                match line.try_recv() {
                    Ok(round) => {
                        let number = round.number;
                        input.advance_to(number);
                        input.send(round);
                        input.advance_to(number + 1);
                        taken += 1;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        fed = false;
                        break;
                    }
                }
            }
            if taken > 0 {
                worker.step();
            } else if fed {
                worker.step_or_park(Some(SLEEP_MAX));
            }
        }
        drop(input);
        while !probe.done() {
            worker.step_or_park(Some(SLEEP_MAX));
        }
    });
    if catch_unwind(life).is_err() {
        std::process::abort();
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a stage, so that a panic there stops one log and not the process. For the
/// panic hook of the process.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs a stage's work on one log; a panic becomes its text.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    result.map_err(|cause| {
        let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| cause.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a text".to_owned())
    })
}

/// Timely wants what it exchanges to be serialisable, for clusters of processes. Ours are threads of one
/// process, between which values move as they are, so these are never called.
struct InProcess<T>(T);

impl<T> serde::Serialize for InProcess<T> {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("stays in its process"))
    }
}

impl<'de, T> serde::Deserialize<'de> for InProcess<T> {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("stays in its process"))
    }
}
