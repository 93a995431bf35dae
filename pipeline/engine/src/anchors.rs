//! Anchors: snapshots that stay, one an hour for as long as the log is kept.
//!
//! The two newest snapshots are seconds old. Anchors are what an audit replays from, and where a recovery falls back to
//! when neither of those can be read. Their list is one message, renewed by compare-and-set: a former owner cannot
//! undo what its successor keeps.

use crate::error::EngineError;
use crate::patience::Patience;
use bus::{BusError, Expect, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::Span;
use stages::wire::{Anchor, AnchorList, SCHEMA, SnapshotRef};
use std::time::Duration;

/// Attempts to store the list before the next anchor has to do it.
const ATTEMPTS_MAX: usize = 10;

/// The anchors of one log, as its owner keeps them.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    list: Vec<Anchor>,
    /// Sequence of the stored list.
    sequence: u64,
    every: Span,
    keep: Span,
}

impl Anchors {
    /// Those on the bus. A list that cannot be read is begun anew.
    pub async fn load(
        bus: &SharedBus,
        subjects: &Subjects,
        log: LogId,
        (every, keep): (Duration, Duration),
    ) -> Result<Self, EngineError> {
        let stored = bus.last(Stream::State, &subject(subjects, log)).await?;
        let sequence = stored.as_ref().map_or(0, |message| message.sequence);
        let list = stored.and_then(|message| serde_json::from_slice(&message.payload).ok());
        let list = list.map_or_else(Vec::new, |list: AnchorList| list.anchors);
        let span = |length: Duration| Span(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX));
        Ok(Self { list, sequence, every: span(every), keep: span(keep) })
    }

    /// Newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Anchor> {
        self.list.iter().rev()
    }

    /// Keeps a snapshot that nothing else needs any more if it is time for another anchor; says what goes instead.
    pub fn offer(&mut self, snapshot: &SnapshotRef) -> Option<Vec<SnapshotRef>> {
        // One of another version serves nobody who has this one.
        let same = |anchor: &&Anchor| anchor.snapshot.stages == snapshot.stages;
        let newest = self.list.last().filter(same).map(|anchor| anchor.snapshot.time);
        if newest.is_some_and(|newest| snapshot.time.since(newest) < self.every) {
            return None;
        }
        let oldest = snapshot.time.minus(self.keep);
        let gone = self.list.iter().take_while(|anchor| anchor.snapshot.time < oldest).count();
        let gone = self.list.drain(..gone).map(|anchor| anchor.snapshot).collect();
        self.list.push(Anchor { snapshot: snapshot.clone() });
        Some(gone)
    }

    /// Stores the list.
    pub async fn store(
        &mut self,
        bus: &SharedBus,
        subjects: &Subjects,
        log: LogId,
    ) -> Result<(), BusError> {
        let list = AnchorList { schema: SCHEMA, anchors: self.list.clone() };
        let message = Outgoing {
            subject: subject(subjects, log),
            payload: Bytes::from(serde_json::to_vec(&list).expect("wire types serialise")),
            expect: Some(Expect { subject: None, sequence: self.sequence }),
            ..Outgoing::default()
        };
        let (mut patience, mut attempt) = (Patience::new(), 1);
        loop {
            match bus.publish(message.clone()).await {
                Ok(stored) => {
                    self.sequence = stored.sequence;
                    return Ok(());
                }
                Err(BusError::Conflict { .. }) if attempt > 1 => {
                    // Perhaps our own, whose ack was lost.
                    let found = bus.last(Stream::State, &message.subject).await?;
                    let ours = found.filter(|found| found.payload == message.payload);
                    let Some(ours) = ours else {
                        return Err(BusError::Conflict { subject: message.subject });
                    };
                    self.sequence = ours.sequence;
                    return Ok(());
                }
                Err(BusError::Unavailable { .. } | BusError::Unclear { .. })
                    if attempt < ATTEMPTS_MAX =>
                {
                    attempt += 1;
                    patience.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn subject(subjects: &Subjects, log: LogId) -> String {
    subjects.state(log, "anchors", 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::Bus;
    use bus::layout::Layout;
    use bus::memory::MemoryBus;
    use stages::time::Time;
    use std::sync::Arc;

    const LOG: LogId = LogId::Shard(0);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn snapshot(minutes: i64) -> SnapshotRef {
        let time = Time::from_millis(minutes * 60_000);
        let id = format!("s{minutes}");
        let (position, sha256) = (minutes as u64, String::new());
        SnapshotRef { id, position, time, chunks: 1, sha256, stages: 1 }
    }

    async fn anchors(bus: &SharedBus) -> Anchors {
        Anchors::load(bus, &Subjects::default(), LOG, (HOUR, 3 * HOUR)).await.unwrap()
    }

    fn ids(anchors: &Anchors) -> Vec<&str> {
        anchors.newest_first().map(|anchor| anchor.snapshot.id.as_str()).collect()
    }

    #[tokio::test]
    async fn one_an_hour_is_kept_for_as_long_as_the_log() {
        let memory = MemoryBus::real_time(Layout::default());
        memory.ensure(1).await.unwrap();
        let bus: SharedBus = Arc::new(memory);
        let mut kept = anchors(&bus).await;
        for minutes in (0..=240).step_by(20) {
            let gone = kept.offer(&snapshot(minutes));
            assert_eq!(gone.is_some(), minutes % 60 == 0);
            let expected = if minutes == 240 { vec![snapshot(0)] } else { Vec::new() };
            assert_eq!(gone.unwrap_or_default(), expected);
        }
        assert_eq!(ids(&kept), ["s240", "s180", "s120", "s60"]);
        kept.store(&bus, &Subjects::default(), LOG).await.unwrap();
        assert_eq!(ids(&anchors(&bus).await), ids(&kept));
    }

    #[tokio::test]
    async fn a_former_owner_does_not_undo_what_its_successor_keeps() {
        let memory = MemoryBus::real_time(Layout::default());
        memory.ensure(1).await.unwrap();
        let bus: SharedBus = Arc::new(memory);
        let (mut former, mut owner) = (anchors(&bus).await, anchors(&bus).await);
        let _ = (owner.offer(&snapshot(60)), former.offer(&snapshot(0)));
        owner.store(&bus, &Subjects::default(), LOG).await.unwrap();
        let refused = former.store(&bus, &Subjects::default(), LOG).await;
        assert!(matches!(refused, Err(BusError::Conflict { .. })), "{refused:?}");
        assert_eq!(ids(&anchors(&bus).await), ["s60"]);
    }
}
