//! The scratch dataflow of an audit: entries in, what each step says out.

use super::{AuditOptions, Start};
use crate::error::EngineError;
use bus::Message;
use stages::dataflow::{Dataflow, Done, Feed, LogState, Round};
use stages::log::{LogId, Step, Stepper};
use stages::output::{Output, Target};
use stages::subject::Subjects;
use stages::wire::CommitRecord;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Steps in the dataflow at one time.
const IN_FLIGHT_MAX: usize = 64;

/// What a step says: behind which entry it begins, its position, its words.
pub(super) type Words = (u64, u64, Vec<Output>);

/// The scratch dataflow.
pub(super) struct Replay {
    dataflow: Option<Dataflow>,
    done: mpsc::UnboundedReceiver<Done>,
    log: LogId,
    stepper: Stepper,
    rounds: u64,
    /// Last entry of each step in the dataflow, none for the adoption.
    in_flight: VecDeque<Option<u64>>,
    waiting: VecDeque<Step>,
    /// Last entry of the last step that ended.
    pub(super) ended: u64,
    /// Last entry of the last step worked off.
    before: u64,
}

impl Replay {
    pub(super) fn start(
        options: &AuditOptions,
        log: LogId,
        start: &Start,
    ) -> Result<Self, EngineError> {
        let (sender, done) = mpsc::unbounded_channel();
        let subjects = options.subjects.clone();
        let dataflow = Dataflow::start(1, subjects, options.shards, move |one| {
            let _ = sender.send(one);
        })?;
        let (created, now, snapshot) = (start.created, start.time, start.snapshot.clone());
        let adopt = Feed::Adopt(LogState { log, created, now, snapshot });
        dataflow.feed(Round { number: 1, feeds: vec![adopt] });
        Ok(Self {
            dataflow: Some(dataflow),
            done,
            log,
            stepper: Stepper::new(log, now),
            rounds: 1,
            in_flight: VecDeque::from([None]),
            waiting: VecDeque::new(),
            ended: start.position,
            before: start.position,
        })
    }

    /// Takes an entry; steps behind `end` do not count, and what its record leaves out is left out.
    pub(super) fn push(&mut self, subjects: &Subjects, message: Message, end: &CommitRecord) {
        let Message { subject, sequence, time, payload } = message;
        let mut ended = Vec::new();
        let entry = subjects.log_entry(subject, (sequence, time), payload, &end.skipped);
        self.stepper.push(entry, &mut ended);
        self.ended = ended.last().map_or(self.ended, Step::position);
        ended.retain(|step| step.position() <= end.position);
        self.waiting.extend(ended);
        self.feed();
    }

    fn feed(&mut self) {
        while self.in_flight.len() < IN_FLIGHT_MAX
            && let (Some(dataflow), Some(step)) = (&self.dataflow, self.waiting.pop_front())
        {
            self.rounds += 1;
            self.in_flight.push_back(Some(step.position()));
            let feed = Feed::Step { log: self.log, step: Arc::new(step) };
            dataflow.feed(Round { number: self.rounds, feeds: vec![feed] });
        }
    }

    /// The next step worked off, while more wait than the dataflow takes.
    pub(super) async fn next(&mut self) -> Option<Words> {
        if self.waiting.is_empty() {
            return None;
        }
        self.worked_off().await
    }

    /// The next step worked off, until there is none.
    pub(super) async fn last(&mut self) -> Option<Words> {
        while !self.in_flight.is_empty() {
            if let Some(words) = self.worked_off().await {
                return Some(words);
            }
        }
        None
    }

    async fn worked_off(&mut self) -> Option<Words> {
        loop {
            let position = self.in_flight.pop_front()?;
            let done = self.done.recv().await?;
            self.feed();
            let Some(position) = position else { continue };
            let before = std::mem::replace(&mut self.before, position);
            let outputs = done.logs.into_iter().flat_map(|log| log.outputs);
            let outputs = outputs.filter(|output| output.target == Target::Commit).collect();
            return Some((before, position, outputs));
        }
    }
}
