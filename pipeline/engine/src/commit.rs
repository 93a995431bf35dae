//! Commits: one committer a log puts outputs on the bus, fenced, and the position with them or soon after.
//!
//! A commit starts at once when none is in flight; what is worked off meanwhile shares the next one. Many outputs go
//! with their position as one atomic batch. A few go one by one: before it stores a batch, a lone server writes it into
//! a folder of its own and waits for the disk six times, which takes 3 ms on a quiet disk, 40 on a busy one, and 2 ms of
//! CPU whatever the size; a single message waits once, 0.4 ms, for 0.3 ms of CPU. The position is then recorded alone
//! every few seconds, as it is when there is nothing to say, and a successor finds in `said` what lies behind it. After
//! an unclear answer the bus is read: the newest record names the attempt that wrote it, a single output shows itself.

mod store;

pub(crate) use store::record_message;

use crate::anchors::Anchors;
use crate::boot::Boot;
use crate::health::Register;
use crate::loose::Loose;
use crate::packing::{Pack, Packing, Waiting};
use crate::said::Said;
use crate::snapshot::{self, Snapshots};
use bus::failpoint::{self, Failpoint};
use bus::{BusError, Outgoing, SharedBus};
use bytes::Bytes;
use stages::dataflow::LogDone;
use stages::log::LogId;
use stages::output::{Output, Target};
use stages::stop::Stop;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{CommitRecord, DataGap, ShardEvent, SnapshotRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

/// Loose outputs of steps this close to the committed position are published again on a replay: a crash between a
/// commit and them would lose them otherwise.
const LOOSE_AGAIN: Span = Span::from_secs(10);

/// Most outputs that go one by one: so many cost the server as much as a batch, and are all out before a batch is.
/// A firing alert with its page and its rollback are five.
const SINGLY_MAX: usize = 5;

/// What a step is fed with, and what comes back with it.
#[derive(Debug)]
pub(crate) struct Fed {
    /// The tenure that read it.
    pub fence: u64,
    /// It took up settings: somebody waits for its position.
    pub settings: bool,
    /// Entries were missing before it.
    pub gap: Option<DataGap>,
    /// Its share of what may be read and not yet committed.
    pub room: Option<OwnedSemaphorePermit>,
}

/// What became of one thing a log was fed.
#[derive(Debug)]
pub(crate) struct Worked {
    pub done: LogDone,
    /// Of a step; none for an adoption or a snapshot.
    pub fed: Option<Fed>,
}

/// What a committer is told.
pub(crate) enum ToCommitter {
    /// Something was worked off.
    Worked(Box<Worked>),
    /// Look whether somebody let a log go on that stands still.
    Look,
    /// Commit what is there and end.
    Finish,
}

/// How a committer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to; everything is on the bus.
    Finished,
    /// Somebody else owns the log.
    Lost,
}

/// A tenure: what the owner of a log knows about its records.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    pub log: LogId,
    /// Sequence of the own record.
    pub fence: u64,
    /// Sequence of the newest commit record.
    pub commit_sequence: u64,
    /// The newest commit record.
    pub record: CommitRecord,
    /// What was said behind it before this tenure.
    pub said: Said,
}

/// What a committer speaks to, shared by all of a process.
#[derive(Clone)]
pub(crate) struct Outside {
    pub bus: SharedBus,
    pub subjects: Subjects,
    pub boot: Arc<Boot>,
    pub register: Arc<Register>,
    pub loose: Loose,
    pub position_every: Duration,
    /// Version of the stages.
    pub stages: u32,
}

/// Somebody else owns the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// Commits one log.
pub(crate) struct Committer {
    outside: Outside,
    tenure: Tenure,
    packing: Packing<Held>,
    snapshots: Snapshots,
    /// The position when the tenure began: up to there everything was said before.
    replay_until: (u64, Time),
    /// Outputs of the step behind it that were said too.
    skip: usize,
    /// Worked off, and its outputs out.
    position: (u64, Time),
    recorded_at: Instant,
    /// The newest record must be renewed: a snapshot was stored, or settings were taken up.
    record_due: bool,
    /// Records this tenure wrote.
    records: u64,
    /// It stands still.
    stop: Option<Stop>,
    /// Another version of the stages came as far as the position; until ours has a snapshot there, nothing is said, so
    /// that each version can go on from the record of its own.
    changing: Option<Changing>,
    /// The snapshot is there, the record is not; steps that wait for it.
    changed: Option<Vec<(LogDone, Fed)>>,
}

/// A change of the version of the stages.
#[derive(Default)]
struct Changing {
    /// Last entry worked off when the log was taken.
    after: u64,
    /// The snapshot it waits for, in case it must be stored again.
    upload: Option<snapshot::Upload>,
    /// Steps worked off meanwhile.
    waiting: Vec<(LogDone, Fed)>,
}

/// What is kept with a step until it is committed.
#[derive(Debug)]
struct Held {
    loose: Vec<Outgoing>,
    settings: bool,
    /// It says something that is not the stages': a successor would not find the same words.
    gap: bool,
    _room: Option<OwnedSemaphorePermit>,
}

impl Committer {
    pub fn new(outside: Outside, tenure: Tenure, anchors: Anchors) -> Self {
        let record = &tenure.record;
        let position = (record.position, record.time);
        Self {
            packing: Packing::new(record.position, record.time, record.part),
            snapshots: Snapshots::new(
                outside.bus.clone(),
                outside.subjects.clone(),
                record,
                anchors,
            ),
            replay_until: position,
            skip: record.part as usize,
            position,
            recorded_at: Instant::now(),
            record_due: false,
            records: 0,
            stop: None,
            changing: None,
            changed: None,
            outside,
            tenure,
        }
    }

    /// Says nothing before a snapshot of this version is stored where the other one stopped; `after` is worked off.
    pub fn change_version(&mut self, after: u64) {
        self.changing = Some(Changing { after, ..Changing::default() });
    }

    /// Runs until it is told to finish, or the log is lost.
    pub async fn run(mut self, mut told: mpsc::UnboundedReceiver<ToCommitter>) -> (Tenure, Ended) {
        loop {
            let mut next = tokio::select! {
                biased;
                message = told.recv() => Some(message.unwrap_or(ToCommitter::Finish)),
                stored = self.snapshots.stored() => {
                    self.snapshot_stored(stored);
                    None
                }
            };
            let (mut look, mut finish) = (false, false);
            while let Some(message) = next {
                match message {
                    ToCommitter::Worked(worked) => self.take(*worked),
                    ToCommitter::Look => look = true,
                    ToCommitter::Finish => finish = true,
                }
                next = told.try_recv().ok();
            }
            let committed = match self.commit_waiting().await {
                Ok(()) if finish => self.finish().await,
                Ok(()) if look => self.still_ours().await,
                other => other,
            };
            match committed {
                Err(Lost) => return (self.tenure, Ended::Lost),
                Ok(()) if finish => return (self.tenure, Ended::Finished),
                Ok(()) => {}
            }
        }
    }

    /// Takes what was worked off.
    fn take(&mut self, worked: Worked) {
        let Worked { done, fed } = worked;
        if let Some(stop) = done.stopped
            && self.stop.is_none()
        {
            let trouble = format!("log {} {}: {}", done.log, stop.place(), stop.why);
            self.outside.register.trouble(trouble);
            self.stop = Some(stop);
        }
        if let Some(chunks) = done.snapshot.filter(|_| self.stop.is_none()) {
            self.save(done.log, (done.position, done.time), chunks);
        }
        let Some(fed) = fed.filter(|_| self.stop.is_none()) else { return };
        let done = LogDone { stopped: None, snapshot: None, ..done };
        match &mut self.changing {
            // What was said before must stand in the record of the change: it is looked at after that.
            Some(changing) if done.position > self.replay_until.0 => {
                changing.waiting.push((done, fed))
            }
            _ => self.take_step(done, fed),
        }
    }

    /// Takes a step: what was said before is dropped, the rest waits to be committed.
    fn take_step(&mut self, done: LogDone, fed: Fed) {
        let replayed = done.position <= self.replay_until.0;
        let loose_again = done.time >= self.replay_until.1.minus(LOOSE_AGAIN);
        let (mut outputs, mut loose) = (Vec::new(), Vec::new());
        outputs.extend(fed.gap.and_then(|gap| self.gap_event(gap)));
        let gap = !outputs.is_empty();
        for (index, output) in done.outputs.into_iter().enumerate() {
            match output.target {
                Target::Commit if !replayed => outputs.push(output),
                Target::Rollup | Target::DeadLetter if !replayed || loose_again => {
                    let id = format!("{}-{}-{index}", done.log, done.position);
                    loose.push(Outgoing {
                        subject: output.subject,
                        payload: output.payload,
                        message_id: Some(id),
                        ..Outgoing::default()
                    });
                }
                _ => {}
            }
        }
        if replayed {
            loose.into_iter().for_each(|message| self.outside.loose.publish(message));
            let caught_up = done.position == self.replay_until.0;
            self.outside.register.log(done.log, |health| health.replaying = !caught_up);
            return;
        }
        let skip = std::mem::take(&mut self.skip).min(outputs.len());
        outputs.drain(..skip);
        outputs.retain(|output| !self.tenure.said.take(output));
        let held = Held { loose, settings: fed.settings, gap, _room: fed.room };
        let outputs = outputs.into();
        self.packing.push(Waiting { position: done.position, time: done.time, outputs, held });
    }

    fn save(&mut self, log: LogId, (worked_off, time): (u64, Time), chunks: Vec<Bytes>) {
        let after = self.changing.as_ref().map_or(0, |changing| changing.after);
        let position = worked_off.max(after);
        // A change of version begins where the other one stopped, not before.
        if position == 0 || (self.changing.is_some() && position < self.replay_until.0) {
            return;
        }
        let id = format!("{position}-{}", self.outside.boot.attempt());
        let stages = self.outside.stages;
        let upload = snapshot::Upload { log, id, position, time, stages, chunks };
        if let Some(changing) = &mut self.changing {
            changing.upload = Some(upload.clone());
        }
        self.snapshots.store(upload);
    }

    /// A hole of missing entries, said by the shard that met it. The desk's own are only counted.
    fn gap_event(&self, gap: DataGap) -> Option<Output> {
        let LogId::Shard(_) = self.tenure.log else { return None };
        let subject = self.outside.subjects.owner(self.tenure.log);
        Some(Output::commit(subject, &ShardEvent::DataGap(gap)))
    }

    async fn commit_waiting(&mut self) -> Result<(), Lost> {
        if self.changing.is_some() {
            return self.say_if_stopped().await;
        }
        if let Some(waiting) = self.changed.take() {
            // The version changes with this record, before anything is said.
            self.record().await?;
            waiting.into_iter().for_each(|(done, fed)| self.take_step(done, fed));
        }
        while let Some(pack) = self.packing.next() {
            self.position = (pack.position, pack.time);
            let recorded = !pack.outputs.is_empty() && self.commit(&pack).await?;
            if !recorded && !pack.outputs.is_empty() {
                failpoint::reach(Failpoint::EngineBeforePosition);
            }
            self.tenure.said.passed(self.position.0);
            let count = pack.outputs.len() as u64;
            self.outside.register.log(self.tenure.log, |health| {
                (health.position, health.time) = (pack.position, pack.time);
                health.committed += count;
                health.replaying = false;
            });
            for held in pack.held {
                self.record_due |= held.settings && !recorded;
                held.loose.into_iter().for_each(|message| self.outside.loose.publish(message));
            }
        }
        self.say_if_stopped().await?;
        let moved = self.position.0 > self.tenure.record.position;
        let old = moved && self.recorded_at.elapsed() >= self.outside.position_every;
        if self.record_due || old { self.record().await } else { Ok(()) }
    }

    /// The outputs, if the log is still ours; whether with the record.
    async fn commit(&mut self, pack: &Pack<Held>) -> Result<bool, Lost> {
        failpoint::reach(Failpoint::EngineBeforeOutputs);
        let began = Instant::now();
        let whole = pack.part == 0 && !pack.held.iter().any(|held| held.gap);
        let singly = whole && pack.outputs.len() <= SINGLY_MAX;
        if singly {
            for output in &pack.outputs {
                self.say(output).await?;
                failpoint::reach(Failpoint::EngineBetweenOutputs);
            }
        } else {
            self.commit_together(pack).await?;
        }
        self.outside.register.log(self.tenure.log, |health| health.commits.record(began.elapsed()));
        Ok(!singly)
    }

    fn snapshot_stored(&mut self, stored: Result<SnapshotRef, BusError>) {
        match stored {
            Ok(reference) => {
                failpoint::reach(Failpoint::EngineSnapshotUnnamed);
                self.changed = self.changing.take().map(|changing| changing.waiting);
                self.snapshots.name(reference);
                self.record_due = true;
                self.outside.register.log(self.tenure.log, |health| health.snapshots += 1);
            }
            Err(error) => {
                let log = self.tenure.log;
                self.outside.register.trouble(format!("snapshot of log {log}: {error}"));
                let waited_for =
                    self.changing.as_ref().and_then(|changing| changing.upload.clone());
                waited_for.into_iter().for_each(|upload| self.snapshots.store(upload));
            }
        }
    }

    /// Waits for snapshots on their way and records the last position.
    async fn finish(&mut self) -> Result<(), Lost> {
        while self.snapshots.busy() {
            let stored = self.snapshots.stored().await;
            self.snapshot_stored(stored);
        }
        // What waited for the snapshot of a change of version.
        self.commit_waiting().await?;
        let moved = self.position.0 > self.tenure.record.position;
        if moved || self.record_due { self.record().await } else { Ok(()) }
    }
}
