//! What a committer puts on the bus: words one by one or together, and position records. Each is sent until it is certainly
//! stored, or the log is somebody else's.

use super::{Committer, Held, Lost, Outside};
use crate::notices::{LOG_STOPPED, notice};
use crate::packing::Pack;
use crate::patience::Patience;
use bus::failpoint::{self, Failpoint};
use bus::{BusError, Expect, Outgoing, Stream};
use bytes::Bytes;
use stages::log::LogId;
use stages::output::Output;
use stages::stop::Stop;
use stages::subject::Subjects;
use stages::wire::{CommitRecord, SCHEMA};
use tokio::time::Instant;

/// Position records kept: they never expire by age, so the owner removes the oldest. At one every five seconds the
/// last eleven days, about 80 MB.
const RECORDS_KEPT: u64 = 200_000;
/// How often they are removed, in records written: a purge is a rare and cheap call.
const RECORDS_PER_PURGE: u64 = 10_000;

impl Committer {
    /// One output alone. Taking the log over renews its record, so expecting ours is fence enough.
    pub(super) async fn say(&self, output: &Output) -> Result<(), Lost> {
        let Outside { bus, subjects, boot, register, .. } = &self.outside;
        let (mut patience, log) = (Patience::new(), self.tenure.log);
        let (subject, sequence) = (Some(subjects.commit(log)), self.tenure.commit_sequence);
        let message = Outgoing {
            // One that was thought lost may arrive between reading the bus and sending again.
            message_id: Some(boot.attempt()),
            expect: Some(Expect { subject, sequence }),
            ..outgoing(output)
        };
        loop {
            match bus.publish(message.clone()).await {
                Ok(_) => return Ok(()),
                Err(BusError::Conflict { .. } | BusError::Unclear { .. }) => {
                    if self.outside.is_said(&self.tenure, output).await? {
                        return Ok(());
                    }
                }
                Err(error) => register.trouble(format!("commit of log {log}: {error}")),
            }
            patience.wait().await;
        }
    }

    /// Outputs and record, all or none.
    pub(super) async fn commit_together(&mut self, pack: &Pack<Held>) -> Result<(), Lost> {
        let record = self.next_record(pack.part);
        let fence = Expect {
            subject: Some(self.outside.subjects.own(self.tenure.log)),
            sequence: self.tenure.fence,
        };
        let mut batch: Vec<Outgoing> = pack.outputs.iter().map(outgoing).collect();
        if let Some(first) = batch.first_mut() {
            first.expect = Some(fence);
        }
        batch.push(self.record_message(&record));
        self.store(batch, record).await
    }

    /// The position alone. Its compare-and-set is fence enough: taking a log over rewrites its record.
    pub(super) async fn record(&mut self) -> Result<(), Lost> {
        let record = self.next_record(self.part());
        self.store(vec![self.record_message(&record)], record).await
    }

    /// Outputs of the step behind the position that are out.
    pub(super) fn part(&self) -> u32 {
        let unmoved = self.position.0 == self.tenure.record.position;
        if unmoved { self.tenure.record.part } else { 0 }
    }

    pub(super) fn next_record(&self, part: u32) -> CommitRecord {
        let (position, time) = self.position;
        let (snapshot, snapshot_before) = self.snapshots.named(position);
        CommitRecord {
            schema: SCHEMA,
            stages: if self.changing.is_some() {
                self.tenure.record.stages
            } else {
                self.outside.stages
            },
            position,
            time,
            part,
            snapshot,
            snapshot_before,
            attempt: self.outside.boot.attempt(),
            outputs_behind: self.tenure.said.behind(),
            stopped: self.stopped(),
            skipped: self.tenure.record.skipped.clone(),
        }
    }

    /// What a record says of a standstill. That of an earlier owner holds until this one has come as far.
    fn stopped(&self) -> Option<Stop> {
        let before = self.tenure.record.stopped.clone();
        let ahead = |stop: &Stop| {
            stop.entries.map_or(self.replay_until.0, |(first, _)| first) > self.position.0
        };
        self.stop.clone().or(before.filter(ahead))
    }

    fn record_message(&self, record: &CommitRecord) -> Outgoing {
        record_message(&self.outside.subjects, self.tenure.log, record, self.tenure.commit_sequence)
    }

    /// Stores `batch`, whose last message is `record`; comes back when it is certainly stored or the log is lost.
    pub(super) async fn store(
        &mut self,
        batch: Vec<Outgoing>,
        record: CommitRecord,
    ) -> Result<(), Lost> {
        let (mut patience, log) = (Patience::new(), self.tenure.log);
        let sequence = loop {
            let attempt = if batch.len() == 1 {
                self.outside.bus.publish(batch[0].clone()).await.map(|stored| stored.sequence)
            } else {
                self.outside.bus.commit(batch.clone()).await
            };
            match attempt {
                Ok(sequence) => break sequence,
                Err(BusError::Conflict { .. } | BusError::Unclear { .. }) => {
                    if let Some(sequence) = self.outside.read_back(&self.tenure, &record).await? {
                        break sequence;
                    }
                }
                Err(error) => {
                    self.outside.register.trouble(format!("commit of log {log}: {error}"))
                }
            }
            patience.wait().await;
        };
        failpoint::reach(Failpoint::EngineAfterPosition);
        self.tenure.commit_sequence = sequence;
        self.recorded_at = Instant::now();
        self.record_due = false;
        self.snapshots.committed(log, &record);
        self.tenure.record = record;
        self.records += 1;
        if self.records.is_multiple_of(RECORDS_PER_PURGE) {
            self.purge_records();
        }
        Ok(())
    }

    fn purge_records(&self) {
        let (bus, subject) =
            (self.outside.bus.clone(), self.outside.subjects.commit(self.tenure.log));
        tokio::spawn(async move {
            if let Err(error) = bus.purge(Stream::Events, &subject, RECORDS_KEPT).await {
                tracing::warn!(%error, subject, "old position records stay");
            }
        });
    }

    /// Puts on the bus why this log stands still, with the position; a successor that comes to the same place finds it
    /// said. Nobody but `ops shard skip` can let the same stages go on.
    pub(super) async fn say_if_stopped(&mut self) -> Result<(), Lost> {
        let Some(stop) = self.stop.clone() else { return Ok(()) };
        let log = self.tenure.log;
        if self.tenure.record.stopped.as_ref() != Some(&stop) {
            let text = format!("log {log} {}: {}", stop.place(), stop.why);
            let place = (self.position.1, self.position.0);
            let notice = notice(&self.outside.subjects, log, place, LOG_STOPPED, text);
            let record = self.next_record(self.part());
            self.store(vec![notice, self.record_message(&record)], record).await?;
        }
        // Not before: whoever reads this may leave the entry out at once, and that goes by the record.
        self.outside.register.log(log, |health| health.stopped = Some(stop));
        Ok(())
    }

    /// Whether the newest record is ours; if not, somebody took the log or let it go on.
    pub(super) async fn still_ours(&self) -> Result<(), Lost> {
        let subject = self.outside.subjects.commit(self.tenure.log);
        match self.outside.bus.last(Stream::Events, &subject).await {
            Ok(newest)
                if newest.as_ref().map(|m| m.sequence) != Some(self.tenure.commit_sequence) =>
            {
                Err(Lost)
            }
            // It is asked again with the next heartbeat.
            _ => Ok(()),
        }
    }
}

fn outgoing(output: &Output) -> Outgoing {
    let (subject, payload) = (output.subject.clone(), output.payload.clone());
    Outgoing { subject, payload, ..Outgoing::default() }
}

/// A commit record as a message that expects the newest one at `expected`.
pub(crate) fn record_message(
    subjects: &Subjects,
    log: LogId,
    record: &CommitRecord,
    expected: u64,
) -> Outgoing {
    let payload = serde_json::to_vec(record).expect("wire types serialise");
    Outgoing {
        subject: subjects.commit(log),
        payload: Bytes::from(payload),
        expect: Some(Expect { subject: None, sequence: expected }),
        keep_forever: true,
        ..Outgoing::default()
    }
}
