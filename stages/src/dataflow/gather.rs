//! The last stage, on worker 0: the parts of all workers become one [`Done`] per round.
//!
//! Here the number of workers disappears: what was said is sorted by its turn, which names rule and group
//! and never a worker. A log that stopped on one worker says nothing more, whatever the others did.

use super::{Done, LogDone, Part};
use crate::log::LogId;
use crate::output::Counters;
use crate::shard::in_order;
use crate::stop::Stop;
use crate::time::Time;
use std::collections::BTreeMap;

/// What is remembered of each log between rounds.
#[derive(Default)]
pub(super) struct Gather {
    logs: BTreeMap<LogId, Standing>,
}

/// Where a log stands.
#[derive(Clone, Default)]
struct Standing {
    position: u64,
    time: Time,
    stopped: Option<Stop>,
}

impl Gather {
    /// The parts of one round.
    pub(super) fn complete(&mut self, round: u64, parts: Vec<Part>) -> Done {
        let mut by_log: BTreeMap<LogId, Vec<Part>> = BTreeMap::new();
        for part in parts {
            by_log.entry(part.log).or_default().push(part);
        }
        let logs = by_log.into_iter().map(|(log, parts)| self.log(log, parts)).collect();
        Done { round, logs }
    }

    fn log(&mut self, log: LogId, mut parts: Vec<Part>) -> LogDone {
        let released = parts.iter().any(|part| part.released);
        let mut standing = self.logs.remove(&log).unwrap_or_default();
        if parts.iter().any(|part| part.adopted) {
            standing = Standing::default();
        }
        // The first entry that is at fault, whichever worker met it.
        let stops = parts.iter_mut().filter_map(|part| part.stopped.take());
        let stop = stops.min_by_key(|stop| stop.entries);
        standing.stopped = standing.stopped.or(stop);
        let done = match &standing.stopped {
            Some(stop) => silent(log, &standing, stop.clone()),
            None => merge(log, &mut standing, parts),
        };
        if !released {
            self.logs.insert(log, standing);
        }
        done
    }
}

/// A log that stopped: it stands where it stood.
fn silent(log: LogId, standing: &Standing, stop: Stop) -> LogDone {
    LogDone {
        log,
        position: standing.position,
        time: standing.time,
        due: None,
        outputs: Vec::new(),
        snapshot: None,
        counters: Counters::default(),
        stopped: Some(stop),
    }
}

fn merge(log: LogId, standing: &mut Standing, parts: Vec<Part>) -> LogDone {
    let (mut said, mut chunks, mut counters) = (Vec::new(), None, Counters::default());
    let mut due: Option<Time> = None;
    for part in parts {
        standing.position = part.position.unwrap_or(standing.position);
        standing.time = standing.time.max(part.time);
        due = [due, part.due].into_iter().flatten().min();
        said.extend(part.said);
        if let Some(some) = part.snapshot {
            chunks.get_or_insert_with(Vec::new).extend(some);
        }
        add(&mut counters, part.counters);
    }
    let said = in_order(said);
    if let (LogId::Shard(_), Some(chunks)) = (log, &mut chunks) {
        // Chunks begin with what they are and which part of it, so their bytes order them.
        chunks.sort();
    }
    LogDone {
        log,
        position: standing.position,
        time: standing.time,
        due,
        outputs: said.into_iter().map(|said| said.output).collect(),
        snapshot: chunks,
        counters,
        stopped: None,
    }
}

fn add(total: &mut Counters, part: Counters) {
    total.samples += part.samples;
    total.late += part.late;
    total.clamped += part.clamped;
    total.repeated += part.repeated;
    total.evaluations += part.evaluations;
    total.series += part.series;
    for (reason, count) in part.refused {
        *total.refused.entry(reason).or_default() += count;
    }
    for (sum, count) in total.alerts.iter_mut().zip(part.alerts) {
        *sum += count;
    }
}
