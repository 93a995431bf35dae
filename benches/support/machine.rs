//! The dataflow as the engine runs it, fed with steps made by hand.

use super::process::own_cpu;
use bytes::Bytes;
use stages::dataflow::{Dataflow, Done, Feed, LogState, Round};
use stages::log::{Entry, EntryKind, LogId, STEP, Step};
use stages::output::Target;
use stages::revision::{Ahead, Read};
use stages::settings::Settings;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const LOG: LogId = LogId::Shard(0);
/// Rounds fed before their answers are awaited; the engine allows fewer, but answers from another thread.
const IN_FLIGHT: usize = 64;

/// What came out, as sums.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub samples: u64,
    pub late: u64,
    pub evaluations: u64,
    /// Messages to be committed: transitions.
    pub transitions: u64,
    pub rollups: u64,
    /// Bytes of snapshots.
    pub saved: usize,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    pub cpu: Duration,
    pub tally: Tally,
}

impl Took {
    /// Nanoseconds of CPU a sample.
    pub fn nanos(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.tally.samples as f64
    }
}

/// What one step took, from being handed to the worker until what it says is heard.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTook {
    pub wall: Duration,
    pub cpu: Duration,
}

/// A revision as the feeder of a log has read it.
pub struct Revision {
    parts: Vec<Bytes>,
    ahead: Ahead,
    /// What reading took: not the dataflow's time, but its log's.
    pub reading: Duration,
}

/// One shard on one worker.
pub struct Machine {
    dataflow: Dataflow,
    done: Receiver<Tally>,
    in_flight: usize,
    round: u64,
    sequence: u64,
    now: Time,
    tally: Tally,
    read: Read,
}

impl Machine {
    /// A shard that works by `settings`, its log beginning at `now`.
    pub fn start(settings: &Settings, now: Time) -> Self {
        let (say, done) = channel();
        let hear = move |done: Done| {
            let _ = say.send(tally(&done));
        };
        let dataflow = Dataflow::start(1, Subjects::default(), 1, hear).expect("threads start");
        let (round, sequence, tally) = (0, 0, Tally::default());
        let read = Read::default();
        let mut machine = Self { dataflow, done, in_flight: 0, round, sequence, now, tally, read };
        let state = LogState { log: LOG, created: now, now: Time(0), snapshot: None };
        machine.feed(Feed::Adopt(state));
        let revision = machine.read(settings);
        machine.apply(revision, &[]);
        machine.take();
        machine
    }

    /// Lets log time pass without entries; below the 15 s that count as a hole.
    pub fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    /// Feeds one step of 100 ms with these batches.
    pub fn batches(&mut self, batches: &[Bytes]) {
        let batches = batches.iter().map(|batch| (EntryKind::Batch, batch.clone()));
        self.step(batches.collect(), Ahead::default());
    }

    /// Reads a revision that arrives in the next step, as the feeder does while the dataflow works off others.
    pub fn read(&mut self, settings: &Settings) -> Revision {
        let parts = stages::revision::parts(settings).expect("a bus takes them");
        let (began, mut ahead) = (Instant::now(), Ahead::default());
        for (sequence, part) in (self.sequence + 1..).zip(&parts) {
            ahead.read(sequence, part, &mut self.read);
        }
        Revision { parts, ahead, reading: began.elapsed() }
    }

    /// Feeds one step of 100 ms in which a revision arrives, its parts one after the other, and these batches.
    pub fn apply(&mut self, revision: Revision, batches: &[Bytes]) {
        let parts = revision.parts.into_iter().map(|part| (EntryKind::Settings, part));
        let batches = batches.iter().map(|batch| (EntryKind::Batch, batch.clone()));
        self.step(parts.chain(batches).collect(), revision.ahead);
    }

    /// Feeds one step by itself and says what it took.
    pub fn alone(&mut self, step: impl FnOnce(&mut Self)) -> StepTook {
        while self.in_flight > 0 {
            self.hear();
        }
        let (began, cpu) = (Instant::now(), own_cpu());
        step(self);
        while self.in_flight > 0 {
            self.hear();
        }
        StepTook { wall: began.elapsed(), cpu: own_cpu() - cpu }
    }

    /// Asks for a snapshot, as the engine does every ten seconds.
    pub fn snapshot(&mut self) {
        self.feed(Feed::Snapshot(LOG));
    }

    fn step(&mut self, entries: Vec<(EntryKind, Bytes)>, ahead: Ahead) {
        let (began, ended) = (self.now, self.now.plus(STEP));
        let sequence = &mut self.sequence;
        let entry = |(kind, payload)| {
            *sequence += 1;
            Entry { sequence: *sequence, time: began, kind, payload }
        };
        let entries = entries.into_iter().map(entry).collect();
        self.now = ended;
        self.feed(Feed::Step { log: LOG, step: Arc::new(Step { began, ended, entries, ahead }) });
    }

    fn feed(&mut self, feed: Feed) {
        self.round += 1;
        self.dataflow.feed(Round { number: self.round, feeds: vec![feed] });
        self.in_flight += 1;
        if self.in_flight >= IN_FLIGHT {
            self.hear();
        }
    }

    fn hear(&mut self) {
        let heard = self.done.recv().expect("the dataflow lives");
        self.in_flight -= 1;
        let sum = &mut self.tally;
        sum.samples += heard.samples;
        sum.late += heard.late;
        sum.evaluations += heard.evaluations;
        sum.transitions += heard.transitions;
        sum.rollups += heard.rollups;
        sum.saved += heard.saved;
    }

    /// Waits for what was fed and takes the sums since the last time.
    pub fn take(&mut self) -> Tally {
        while self.in_flight > 0 {
            self.hear();
        }
        std::mem::take(&mut self.tally)
    }

    /// Runs `work` and says what it took, of this process: feeding is a pointer a step, the rest is the worker.
    pub fn measure(&mut self, work: impl FnOnce(&mut Self)) -> Took {
        self.take();
        let cpu = own_cpu();
        work(self);
        let tally = self.take();
        Took { cpu: own_cpu() - cpu, tally }
    }

    /// Ends it.
    pub fn stop(mut self) {
        self.take();
        self.dataflow.stop();
    }
}

fn tally(done: &Done) -> Tally {
    let mut sum = Tally::default();
    for log in &done.logs {
        if let Some(stop) = &log.stopped {
            panic!("the shard {}: {}", stop.place(), stop.why);
        }
        sum.samples += log.counters.samples;
        sum.late += log.counters.late;
        sum.evaluations += log.counters.evaluations;
        sum.saved += log.snapshot.iter().flatten().map(Bytes::len).sum::<usize>();
        for output in &log.outputs {
            match output.target {
                Target::Commit => sum.transitions += 1,
                Target::Rollup => sum.rollups += 1,
                Target::DeadLetter => panic!("refused: {}", output.subject),
            }
        }
    }
    sum
}
