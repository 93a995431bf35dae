//! The stage that works off shard logs: on every worker, each with the metrics it owns.

use super::{Feed, LogState, Part, Round};
use crate::error::StageError;
use crate::log::{LogId, Step};
use crate::shard::{Place, Said, Shard};
use crate::stop::Stop;
use crate::subject::Subjects;
use crate::timely_adapter::{Seat, guard};
use std::collections::BTreeMap;

/// The shards of a process, as one worker sees them.
pub(super) struct Shards {
    subjects: Subjects,
    shards: u32,
    seat: Seat,
    held: BTreeMap<u32, Shard>,
}

impl Shards {
    /// None held yet.
    pub(super) fn new(subjects: Subjects, shards: u32, seat: Seat) -> Self {
        Self { subjects, shards, seat, held: BTreeMap::new() }
    }

    /// Works off a round: one part per shard it is about.
    pub(super) fn work(&mut self, round: &Round) -> Vec<Part> {
        let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
        for feed in &round.feeds {
            let LogId::Shard(shard) = feed.log() else { continue };
            let part = parts.entry(shard).or_insert_with(|| Part::new(feed.log()));
            if part.stopped.is_none()
                && let Err(stop) = self.feed(shard, feed, part)
            {
                self.held.remove(&shard);
                part.stopped = Some(stop);
            }
        }
        parts.into_values().collect()
    }

    fn feed(&mut self, shard: u32, feed: &Feed, part: &mut Part) -> Result<(), Stop> {
        match feed {
            Feed::Adopt(state) => {
                part.adopted = true;
                let adopted = guard(|| self.adopt(shard, state))
                    .and_then(|adopted| adopted.map_err(|error| error.to_string()));
                let held = adopted.map_err(Stop::before_all)?;
                (part.time, part.due) = (held.now(), held.due());
                self.held.insert(shard, held);
            }
            Feed::Step { step, .. } => self.step(shard, step, part)?,
            Feed::Snapshot(_) => {
                let held = self.held.get(&shard).ok_or_else(not_adopted)?;
                part.snapshot
                    .get_or_insert_default()
                    .extend(guard(|| held.snapshot()).map_err(Stop::before_all)?);
                (part.time, part.due) = (held.now(), held.due());
            }
            Feed::Release(_) => {
                part.released = true;
                self.held.remove(&shard);
            }
        }
        Ok(())
    }

    fn adopt(&self, shard: u32, state: &LogState) -> Result<Shard, StageError> {
        let place = Place {
            shard,
            shards: self.shards,
            created: state.created,
            subjects: self.subjects.clone(),
            seat: self.seat,
        };
        match &state.snapshot {
            Some(chunks) => Shard::restore(place, chunks),
            None => Ok(Shard::new(place, state.now)),
        }
    }

    fn step(&mut self, shard: u32, step: &Step, part: &mut Part) -> Result<(), Stop> {
        let held = self.held.get_mut(&shard).ok_or_else(not_adopted)?;
        let said: Vec<Said> = guard(|| held.step(step)).map_err(|why| Stop::in_step(step, why))?;
        part.said.extend(said);
        part.counters = held.take_counters();
        part.position = Some(step.position());
        (part.time, part.due) = (held.now(), held.due());
        Ok(())
    }
}

fn not_adopted() -> Stop {
    Stop::before_all("the log was not adopted, or stopped before".to_owned())
}
