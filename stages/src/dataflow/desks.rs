//! The stage that works off the desk's log: on worker 0 alone, because it needs to see all alerts.

use super::{Feed, LogState, Part, Round};
use crate::desk::Desk;
use crate::log::{LogId, Step};
use crate::shard::{Said, Turn};
use crate::stop::Stop;
use crate::subject::Subjects;
use crate::time::Time;
use crate::timely_adapter::{Seat, guard};

/// The desk, where this worker is the one that has it.
pub(super) struct Desks {
    subjects: Subjects,
    shards: u32,
    here: bool,
    held: Option<(Desk, Time)>,
}

impl Desks {
    /// None held yet.
    pub(super) fn new(subjects: Subjects, shards: u32, seat: Seat) -> Self {
        Self { subjects, shards, here: seat.index == 0, held: None }
    }

    /// Works off a round: one part if it is about the desk, and the desk is here.
    pub(super) fn work(&mut self, round: &Round) -> Vec<Part> {
        let mut part: Option<Part> = None;
        let here = self.here;
        for feed in round.feeds.iter().filter(|feed| here && feed.log() == LogId::Desk) {
            let part = part.get_or_insert_with(|| Part::new(LogId::Desk));
            if part.stopped.is_none()
                && let Err(stop) = self.feed(feed, part)
            {
                self.held = None;
                part.stopped = Some(stop);
            }
        }
        part.into_iter().collect()
    }

    fn feed(&mut self, feed: &Feed, part: &mut Part) -> Result<(), Stop> {
        match feed {
            Feed::Adopt(state) => {
                part.adopted = true;
                let desk = guard(|| self.adopt(state)).flatten().map_err(Stop::before_all)?;
                (part.time, part.due) = (state.now, desk.due());
                self.held = Some((desk, state.now));
            }
            Feed::Step { step, .. } => self.step(step, part)?,
            Feed::Snapshot(_) => {
                let (desk, now) = self.held.as_ref().ok_or_else(not_adopted)?;
                part.snapshot
                    .get_or_insert_default()
                    .extend(guard(|| desk.snapshot()).map_err(Stop::before_all)?);
                (part.time, part.due) = (*now, desk.due());
            }
            Feed::Release(_) => {
                part.released = true;
                self.held = None;
            }
        }
        Ok(())
    }

    fn adopt(&self, state: &LogState) -> Result<Desk, String> {
        let (subjects, shards) = (self.subjects.clone(), self.shards);
        match &state.snapshot {
            Some(chunks) => Desk::restore(subjects, shards, state.created, chunks)
                .map_err(|error| error.to_string()),
            None => Ok(Desk::new(subjects, shards, state.created)),
        }
    }

    fn step(&mut self, step: &Step, part: &mut Part) -> Result<(), Stop> {
        let (desk, now) = self.held.as_mut().ok_or_else(not_adopted)?;
        let outputs = guard(|| desk.step(step)).map_err(|why| Stop::in_step(step, why))?;
        let said = outputs.into_iter().zip(0..).map(|(output, index)| {
            // The desk says things in order; only their place among themselves counts.
            Said { turn: Turn::at_end(step.ended, index), output, glimpses: None }
        });
        part.said.extend(said);
        part.counters = desk.take_counters();
        *now = step.ended;
        part.position = Some(step.position());
        (part.time, part.due) = (step.ended, desk.due());
        Ok(())
    }
}

fn not_adopted() -> Stop {
    Stop::before_all("the log was not adopted, or stopped before".to_owned())
}
