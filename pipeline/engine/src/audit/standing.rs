//! How the alerts of a rule stood at a moment, recomputed from the log.

use super::{AuditOptions, Progress, Start, Unproven, find_start, records};
use crate::error::EngineError;
use crate::ownership::stream_of;
use stages::dataflow::{Seat, guard};
use stages::desk::Desk;
use stages::log::{LogId, Step, Stepper};
use stages::settings::Rule;
use stages::shard::{Place, Shard, Standing};
use stages::time::Time;
use std::sync::Arc;

/// What was recomputed.
#[derive(Clone, Debug, Default)]
pub struct Stood {
    /// The rule as it was in force then; none where there was none of the name.
    pub rule: Option<Arc<Rule>>,
    /// Its alerts by group.
    pub alerts: Vec<Standing>,
    /// End of the last step before the moment.
    pub judged: Option<Time>,
    /// Entries replayed.
    pub entries: u64,
    /// Why it could not be recomputed, where that is so.
    pub unproven: Vec<Unproven>,
}

/// What a log was read by.
enum Stage {
    Shard(Box<Shard>),
    Desk(Box<Desk>),
}

impl Stage {
    fn at(options: &AuditOptions, log: LogId, start: &Start) -> Result<Self, EngineError> {
        let (subjects, shards, created) = (options.subjects.clone(), options.shards, start.created);
        Ok(match log {
            LogId::Shard(shard) => {
                let place =
                    Place { shard, shards, created, subjects, seat: Seat { index: 0, of: 1 } };
                Self::Shard(Box::new(match &start.snapshot {
                    Some(chunks) => Shard::restore(place, chunks)?,
                    None => Shard::new(place, start.time),
                }))
            }
            LogId::Desk => Self::Desk(Box::new(match &start.snapshot {
                Some(chunks) => Desk::restore(subjects, shards, created, chunks)?,
                None => Desk::new(subjects, shards, created),
            })),
        })
    }

    fn step(&mut self, step: &Step) {
        match self {
            Self::Shard(shard) => drop(shard.step(step)),
            Self::Desk(desk) => drop(desk.step(step)),
        }
    }

    fn standing(&mut self, rule: &str, at: Time) -> Option<(Arc<Rule>, Vec<Standing>)> {
        match self {
            Self::Shard(shard) => shard.standing(rule, at),
            Self::Desk(desk) => desk.standing(rule, at),
        }
    }
}

/// Replays the log in which `rule` is judged up to `at` and looks at it.
///
/// # Errors
/// The bus does not answer.
pub async fn stood(
    options: &AuditOptions,
    log: LogId,
    (rule, at): (&str, Time),
    progress: Progress<'_>,
) -> Result<Stood, EngineError> {
    let AuditOptions { bus, subjects, .. } = options;
    let mut stood = Stood::default();
    let records = records(bus, subjects, log).await?;
    if records.is_empty() {
        return Ok(stood);
    }
    let start = find_start(options, log, &records, &mut stood.unproven).await?;
    let (Some(start), Some((_, end))) = (start, records.last()) else { return Ok(stood) };
    if start.time > at {
        let why = start.why.unwrap_or_else(|| "it is before the log begins".to_owned());
        stood.unproven.push(Unproven { from: at, to: start.time, why });
        return Ok(stood);
    }
    let mut state = Stage::at(options, log, &start)?;
    let mut stepper = Stepper::new(log, start.time);
    let last = end.position.min(bus.first_at(stream_of(log), at).await?.saturating_sub(1));
    let whole = last.saturating_sub(start.position);
    let filter = options.subjects.entries(log);
    let newest = bus.last(stream_of(log), &filter).await?.map_or(0, |newest| newest.sequence);
    let (mut position, mut messages, mut steps) = (start.position, Vec::new(), Vec::new());
    if last > position && newest > position {
        let mut reader = bus.read(stream_of(log), Some(&filter), position + 1).await?;
        'read: while position < newest {
            reader.next(&mut messages).await?;
            for message in messages.drain(..) {
                position = message.sequence;
                let place = (message.sequence, message.time);
                let entry = options.subjects.log_entry(
                    message.subject,
                    place,
                    message.payload,
                    &end.skipped,
                );
                stepper.push(entry, &mut steps);
                for step in steps.drain(..) {
                    if step.ended > at {
                        break 'read;
                    }
                    stood.entries += step.entries.len() as u64;
                    stood.judged = Some(step.ended);
                    guard(|| state.step(&step)).map_err(|why| stopped(log, why))?;
                }
                progress((position - start.position).min(whole), whole);
            }
        }
    }
    if let Some((rule, alerts)) = state.standing(rule, at) {
        (stood.rule, stood.alerts) = (Some(rule), alerts);
    }
    Ok(stood)
}

fn stopped(log: LogId, why: String) -> EngineError {
    let why = format!("a stage fails over it: {why}");
    EngineError::Unrecoverable { log, why, remedy: "ops status names the entry" }
}
