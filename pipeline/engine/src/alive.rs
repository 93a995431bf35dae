//! Who is alive: every process says so on `ops.alive.<process>`; a process that stopped is found without clocks.
//!
//! A process is dead when its heartbeat did not change while [`SILENT_BEATS`] of our own were acked. Counting own acks
//! instead of seconds keeps a bus that does not answer for a while from looking like the death of everybody else.
//! It decides liveness only; safety rests on the fence.

use crate::boot::Boot;
use bus::{BusError, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use serde::Serialize;
use stages::subject::Subjects;
use stages::wire::SCHEMA;
use std::collections::BTreeMap;

/// Own acked heartbeats without one of the other.
const SILENT_BEATS: u32 = 4;

#[derive(Serialize)]
struct Heartbeat<'a> {
    schema: u32,
    process: &'a str,
    boot: &'a str,
}

/// What is known of other processes.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    /// Of each: its last heartbeat's sequence, and own beats since it changed.
    others: BTreeMap<String, (u64, u32)>,
}

impl Alive {
    /// Says that this process is alive, then looks at those in `watched`.
    pub async fn beat(
        &mut self,
        bus: &SharedBus,
        subjects: &Subjects,
        boot: &Boot,
        watched: &[String],
    ) -> Result<(), BusError> {
        let body = Heartbeat { schema: SCHEMA, process: &boot.process, boot: &boot.id };
        let payload = Bytes::from(serde_json::to_vec(&body).expect("wire types serialise"));
        let subject = subjects.alive(&boot.process);
        bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await?;
        self.others.retain(|process, _| watched.contains(process));
        for process in watched {
            let last = bus.last(Stream::Alive, &subjects.alive(process)).await?;
            self.saw(process, last.map_or(0, |message| message.sequence));
        }
        Ok(())
    }

    fn saw(&mut self, process: &str, sequence: u64) {
        match self.others.get_mut(process) {
            Some((last, beats)) if *last == sequence => *beats += 1,
            Some(known) => *known = (sequence, 0),
            None => drop(self.others.insert(process.to_owned(), (sequence, 0))),
        }
    }

    /// Whether a process is known to have stopped.
    pub fn is_dead(&self, process: &str) -> bool {
        self.others.get(process).is_some_and(|(_, beats)| *beats >= SILENT_BEATS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_after_four_own_beats_without_one_of_its() {
        let mut alive = Alive::default();
        assert!(!alive.is_dead("b"));
        for sequence in [5, 5, 5, 5, 6, 6, 6, 6] {
            alive.saw("b", sequence);
            assert!(!alive.is_dead("b"));
        }
        alive.saw("b", 6);
        assert!(alive.is_dead("b"));
        alive.saw("b", 7);
        assert!(!alive.is_dead("b"));
    }
}
