//! Who is alive, and what they say to each other: every process speaks on `ops.alive.<process>` once a beat.
//!
//! A process is dead when its heartbeat did not change while [`SILENT_BEATS`] of our own were acked. Counting own acks
//! instead of seconds keeps a bus that does not answer for a while from looking like the death of everybody else.
//! It decides liveness only; safety rests on the fence.

use crate::boot::Boot;
use bus::{BusError, Message, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::wire::SCHEMA;
use std::collections::{BTreeMap, BTreeSet};

/// Own acked heartbeats without one of the other.
const SILENT_BEATS: u32 = 4;
/// One that was heard within so many own beats listens right now.
const FRESH_BEATS: u32 = 1;

/// What a process says to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Says {
    /// It takes logs. Not said by one that ends, nor by older versions.
    #[serde(default)]
    pub takes: bool,
    /// The log it would hand over, and to whom.
    #[serde(default)]
    pub gives: Option<(String, String)>,
    /// Logs it waits for, because somebody said that he hands them over.
    #[serde(default)]
    pub waits: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Heartbeat {
    schema: u32,
    process: String,
    boot: String,
    #[serde(flatten)]
    says: Says,
}

/// What is known of another process.
#[derive(Debug)]
struct Other {
    /// Its last heartbeat's sequence.
    sequence: u64,
    /// Own beats since that changed.
    beats: u32,
    /// It changed before our eyes: it is no relic of one that is gone.
    seen_beating: bool,
    says: Says,
}

/// What is known of other processes.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    others: BTreeMap<String, Other>,
}

impl Alive {
    /// Looks at all other processes, and at those in `watched` even if nothing is left of them on the bus. Counts as a beat
    /// of ours: to be called once after each that was acked.
    pub async fn look(
        &mut self,
        bus: &SharedBus,
        subjects: &Subjects,
        boot: &Boot,
        watched: &[String],
    ) -> Result<(), BusError> {
        let (own, mut looked_at) = (subjects.alive(&boot.process), BTreeSet::new());
        for subject in bus.subjects(Stream::Alive, &subjects.of("alive.*")).await? {
            if subject != own
                && let Some(message) = bus.last(Stream::Alive, &subject).await?
                && let Some(process) = self.hear(&message)
            {
                looked_at.insert(process);
            }
        }
        for process in watched {
            if looked_at.insert(process.clone()) {
                self.saw(process, 0, Says::default());
            }
        }
        self.others.retain(|process, _| looked_at.contains(process));
        Ok(())
    }

    fn hear(&mut self, message: &Message) -> Option<String> {
        let heartbeat: Heartbeat = serde_json::from_slice(&message.payload).ok()?;
        self.saw(&heartbeat.process, message.sequence, heartbeat.says);
        Some(heartbeat.process)
    }

    fn saw(&mut self, process: &str, sequence: u64, says: Says) {
        match self.others.get_mut(process) {
            Some(other) if other.sequence == sequence => other.beats += 1,
            Some(other) => *other = Other { sequence, beats: 0, seen_beating: true, says },
            None => {
                let other = Other { sequence, beats: 0, seen_beating: false, says };
                self.others.insert(process.to_owned(), other);
            }
        }
    }

    /// Whether a process is known to have stopped.
    pub fn is_dead(&self, process: &str) -> bool {
        self.others.get(process).is_some_and(|other| other.beats >= SILENT_BEATS)
    }

    /// The others that take logs and are not known to have stopped.
    pub fn takers(&self) -> impl Iterator<Item = &str> {
        let takers = self.others.iter().filter(|(_, other)| other.says.takes);
        takers.map(|(process, _)| &**process).filter(|process| !self.is_dead(process))
    }

    /// Whether a process waits for a log right now.
    pub fn waits(&self, process: &str, log: LogId) -> bool {
        let log = log.to_string();
        self.others.get(process).is_some_and(|other| {
            other.seen_beating && other.beats <= FRESH_BEATS && other.says.waits.contains(&log)
        })
    }

    /// Whether somebody who is alive says that he hands `log` over to `process`.
    pub fn is_given(&self, log: LogId, process: &str) -> bool {
        let gift = Some((log.to_string(), process.to_owned()));
        let mut others = self.others.iter();
        others.any(|(owner, other)| other.says.gives == gift && !self.is_dead(owner))
    }
}

/// Says that this process is alive, and what else there is to say.
pub(crate) async fn say(
    bus: &SharedBus,
    subjects: &Subjects,
    boot: &Boot,
    says: Says,
) -> Result<(), BusError> {
    let (process, id) = (boot.process.clone(), boot.id.clone());
    let body = Heartbeat { schema: SCHEMA, process, boot: id, says };
    let payload = Bytes::from(serde_json::to_vec(&body).expect("wire types serialise"));
    let subject = subjects.alive(&boot.process);
    bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_after_four_own_beats_without_one_of_its() {
        let mut alive = Alive::default();
        assert!(!alive.is_dead("b"));
        for sequence in [5, 5, 5, 5, 6, 6, 6, 6] {
            alive.saw("b", sequence, Says::default());
            assert!(!alive.is_dead("b"));
        }
        alive.saw("b", 6, Says::default());
        assert!(alive.is_dead("b"));
        alive.saw("b", 7, Says::default());
        assert!(!alive.is_dead("b"));
    }

    #[test]
    fn a_log_is_handed_over_only_to_one_that_listens_right_now() {
        let mut alive = Alive::default();
        let says = || Says { takes: true, waits: vec!["desk".to_owned()], ..Says::default() };
        alive.saw("b", 5, says());
        assert!(!alive.waits("b", LogId::Desk), "it may be long gone");
        alive.saw("b", 6, says());
        assert!(alive.waits("b", LogId::Desk) && !alive.waits("b", LogId::Shard(0)));
        for _ in 0..2 {
            alive.saw("b", 6, says());
        }
        assert!(!alive.waits("b", LogId::Desk), "it has gone silent");
        assert_eq!(alive.takers().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_heartbeat_of_an_older_version_takes_nothing() {
        let mut alive = Alive::default();
        let payload = Bytes::from_static(br#"{"schema":1,"process":"b","boot":"x"}"#);
        let (subject, time) = (Bytes::new(), stages::time::Time(0));
        alive.hear(&Message { subject, sequence: 1, time, payload });
        assert_eq!(alive.takers().count(), 0);
    }
}
