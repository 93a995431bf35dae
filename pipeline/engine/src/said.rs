//! Outputs that are out although no position record covers them yet.
//!
//! A few outputs go out as single messages and the position follows some seconds later (see `commit`). An owner that
//! dies in between leaves outputs behind its last record. The stages are deterministic, so its successor works the
//! same outputs out again, byte for byte; it finds them here and does not say them twice.

use bus::{BusError, Message, SharedBus, Stream};
use bytes::Bytes;
use stages::log::LogId;
use stages::output::Output;
use stages::subject::Subjects;

/// What the owners before left behind the last record of a position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The sequence it lies behind.
    behind: u64,
    /// Last entry of the log that it can be about.
    until: u64,
    /// Subject and payload of each.
    outputs: Vec<(Bytes, Bytes)>,
}

impl Said {
    /// Outputs of the log found behind `behind`, which was read when the log ended at `until`.
    pub fn new(behind: u64, until: u64, found: Vec<Message>) -> Self {
        let outputs = found.into_iter().map(|message| (message.subject, message.payload)).collect();
        Self { behind, until, outputs }
    }

    /// Takes `output` out if it is here: it must not be said again.
    pub fn take(&mut self, output: &Output) -> bool {
        let found = self.outputs.iter().position(|(subject, payload)| {
            *subject == output.subject.as_bytes() && *payload == output.payload
        });
        found.map(|index| self.outputs.remove(index)).is_some()
    }

    /// Everything up to `position` was worked off. Once that is all it can be about, what is left here is nothing
    /// that comes again: a notice of a log that stood still, or the words of another version.
    pub fn passed(&mut self, position: u64) {
        if position >= self.until {
            self.outputs.clear();
        }
    }

    /// What a record of the position must say, so that the next owner looks far enough back, too.
    pub fn behind(&self) -> Option<u64> {
        (!self.outputs.is_empty()).then_some(self.behind)
    }
}

/// What `log` said behind the sequence `behind`, up to `last`, in order.
pub(crate) async fn find(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
    behind: u64,
    last: u64,
) -> Result<Vec<Message>, BusError> {
    let (mut found, mut messages) = (Vec::new(), Vec::new());
    if last <= behind {
        return Ok(found);
    }
    let mut reader = bus.read(Stream::Events, None, behind + 1).await?;
    loop {
        reader.next(&mut messages).await?;
        let end = messages.last().is_some_and(|message| message.sequence >= last);
        found.extend(messages.drain(..).filter(|message| says(subjects, log, &message.subject)));
        if end {
            return Ok(found);
        }
    }
}

/// Whether what stands on `subject` is an output of `log`. What is neither a shard's nor an owner's record is the
/// desk's, so that a new kind of output need not be named here.
pub(crate) fn says(subjects: &Subjects, log: LogId, subject: &[u8]) -> bool {
    match log {
        LogId::Shard(shard) => subject == subjects.transition(shard).as_bytes(),
        LogId::Desk => {
            let others = ["transition.", "commit.", "own."].map(|kind| subjects.of(kind));
            subject == subjects.judged().as_bytes()
                || !others.iter().any(|kind| subject.starts_with(kind.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::layout::Layout;
    use bus::memory::MemoryBus;
    use bus::{Bus, Outgoing};
    use stages::output::Target;
    use std::sync::Arc;

    fn output(subject: &str, payload: &str) -> Output {
        let payload = Bytes::from(payload.to_owned());
        Output { target: Target::Commit, subject: subject.to_owned(), payload }
    }

    async fn events(subjects: &[&str]) -> SharedBus {
        let bus = MemoryBus::real_time(Layout::default());
        bus.ensure(2).await.unwrap();
        for subject in subjects {
            let (subject, payload) = ((*subject).to_owned(), Bytes::from((*subject).to_owned()));
            bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
        }
        Arc::new(bus)
    }

    #[tokio::test]
    async fn each_log_finds_what_it_said_itself_behind_its_record() {
        let bus = events(&[
            "ops.transition.0",
            "ops.commit.0",
            "ops.transition.1",
            "ops.alert.critical.a.fired",
            "ops.own.desk",
            "ops.transition.0",
            "ops.request.0",
            "ops.transition.desk",
            "ops.transition.desk.judged",
        ])
        .await;
        let found = async |log, behind| {
            let found = find(&bus, &Subjects::default(), log, behind, 9).await.unwrap();
            found.iter().map(|message| message.sequence).collect::<Vec<_>>()
        };
        assert_eq!(found(LogId::Shard(0), 2).await, [6]);
        assert_eq!(found(LogId::Shard(1), 0).await, [3]);
        assert_eq!(found(LogId::Desk, 2).await, [4, 7, 9]);
        assert_eq!(found(LogId::Desk, 9).await, [0_u64; 0]);
    }

    #[tokio::test]
    async fn what_was_said_is_held_back_once_and_looked_for_until_then() {
        let bus = events(&["ops.transition.0", "ops.transition.0"]).await;
        let found = find(&bus, &Subjects::default(), LogId::Shard(0), 0, 2).await.unwrap();
        let mut said = Said::new(0, 9, found);
        let (ours, other) =
            (output("ops.transition.0", "ops.transition.0"), output("ops.transition.0", "x"));
        assert!(!said.take(&other));
        assert!(said.take(&ours));
        assert_eq!(said.behind(), Some(0));
        assert!(said.take(&ours) && !said.take(&ours));
        assert_eq!(said.behind(), None);
    }

    #[test]
    fn what_never_came_again_is_forgotten_behind_its_place() {
        let mut said = Said { behind: 3, until: 9, outputs: vec![(Bytes::new(), Bytes::new())] };
        said.passed(8);
        assert_eq!(said.behind(), Some(3));
        said.passed(9);
        assert_eq!(said.behind(), None);
    }
}
