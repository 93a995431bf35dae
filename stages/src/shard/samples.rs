//! From entries to windows: what a step's samples do to the metrics this worker owns. How they get there: `runs.rs`.

use super::Shard;
use super::aside::{Aside, Refused, SAMPLES_MAX};
use super::joins::Ways;
use super::metric::Astray;
use super::registry::Route;
use super::runs::{Arrival, Fate};
use crate::batch::{Batch, BatchError, Block, Row, Section, Table};
use crate::decode::{KeyedSample, Refusal, RefusalReason, each_sample};
use crate::log::{Entry, EntryKind};
use crate::series::split_key;
use crate::time::Time;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Samples in a row that must miss before people are told that a source's clock is off.
const ASTRAY_TOLD: u32 = 20;

/// Why samples of a metric miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Late,
    Future,
}

impl Shard {
    /// Works off the samples of an entry that came at `at`.
    pub(super) fn samples(&mut self, entry: &Entry, at: Time) {
        match &entry.kind {
            EntryKind::Metric(name) => self.metric_entry(name, &entry.payload, at),
            EntryKind::Batch => self.batch_entry(&entry.payload, at),
            EntryKind::Unknown if self.place.is_first() => self.count_refused("unknown_subject", 1),
            EntryKind::Unknown
            | EntryKind::Tick
            | EntryKind::Settings
            | EntryKind::Verify
            | EntryKind::Look
            | EntryKind::Skipped
            | EntryKind::Desk(_) => {}
        }
    }

    fn metric_entry(&mut self, name: &Bytes, payload: &Bytes, at: Time) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        let owned = self.place.owns_metric(name);
        if !owned && !self.joins.hosts(name) {
            return;
        }
        let mut refused: BTreeSet<RefusalReason> = BTreeSet::new();
        let mut key = std::mem::take(&mut self.key);
        each_sample(payload, &mut key, &mut |sample| {
            let taken = sample.and_then(|sample| self.single(name, &sample, at));
            if let Err(refusal) = taken
                && owned
            {
                self.count_refused(refusal.reason.token(), 1);
                refused.insert(refusal.reason);
            }
        });
        self.key = key;
        // The message as it came, once per reason: its good samples were taken.
        for reason in refused {
            self.speaker.dead_letter(at, name, reason.token(), payload.clone());
        }
    }

    fn single(&mut self, name: &str, sample: &KeyedSample<'_>, at: Time) -> Result<(), Refusal> {
        sample.check_subject(name)?;
        for id in self.visit(sample.key, sample.kind, at) {
            self.visitor_sample(id, (sample.time, sample.value, sample.id), at);
        }
        let id = match self.route(sample.key, sample.kind, at) {
            Route::Series(id) => id,
            Route::Elsewhere => return Ok(()),
            Route::Refused(full) => {
                self.tell_limit(full, name, at);
                let text = "a new series, and there is no room";
                return Err(Refusal::new(sample.index, RefusalReason::SeriesLimit, text));
            }
        };
        let arrival = Arrival { time: sample.time, value: sample.value, id: sample.id };
        match self.one(id, arrival, at) {
            Fate::Added | Fate::Repeated => Ok(()),
            Fate::Future => {
                let text = "its ts is further ahead of log time than max_future";
                Err(Refusal::new(sample.index, RefusalReason::TooFarFuture, text))
            }
        }
    }

    fn batch_entry(&mut self, payload: &Bytes, at: Time) {
        match Batch::parse(payload) {
            Ok(batch) => {
                let mut aside = Aside::default();
                for section in batch.sections() {
                    if let Err(error) = self.section(section, &mut aside, at) {
                        self.refuse_batch(&error, payload, at);
                    }
                }
                aside.say(&mut self.speaker, at);
            }
            Err(error) => self.refuse_batch(&error, payload, at),
        }
    }

    fn refuse_batch(&mut self, error: &BatchError, payload: &Bytes, at: Time) {
        // Every worker sees the frame and comes to the same end; one says so.
        if self.place.is_first() {
            self.count_refused(error.reason(), 1);
            self.speaker.dead_letter(at, "", error.reason(), payload.clone());
        }
    }

    fn section(
        &mut self,
        section: &Section<'_>,
        aside: &mut Aside,
        at: Time,
    ) -> Result<(), BatchError> {
        let numbered = !section.client.is_empty();
        if numbered && !self.clients.is_new(section.client, section.number, at) {
            if self.place.is_first() {
                self.counters.repeated += section.blocks().map(|block| block.count()).sum::<u64>();
            }
            return Ok(());
        }
        let mut tables = std::mem::take(&mut self.tables);
        let routes = tables.ids(section.table, |row| Ways {
            own: self.route(row.key, row.kind, at),
            visitors: self.visit(row.key, row.kind, at),
        });
        self.tables = tables;
        let (routes, mut refused) = (routes?, false);
        for (block, ways) in section.blocks().zip(routes.iter()) {
            for id in &ways.visitors {
                self.visitor_block(*id, &block, at);
            }
            match ways.own {
                Route::Series(id) => self.block(id, &block, aside, at),
                Route::Elsewhere => {}
                Route::Refused(_) => refused = true,
            }
        }
        if refused { self.refuse_series(section, &routes, aside, at) } else { Ok(()) }
    }

    /// The series of a section that there is no room for; their names stand in its table alone.
    fn refuse_series(
        &mut self,
        section: &Section<'_>,
        routes: &[Ways],
        aside: &mut Aside,
        at: Time,
    ) -> Result<(), BatchError> {
        let mut rows = Table::new(section.table)?;
        for (block, route) in section.blocks().zip(routes) {
            let Some(row) = rows.next_known_row()? else { break };
            let Route::Refused(full) = route.own else { continue };
            let (Row { key, kind }, reason) = (row, RefusalReason::SeriesLimit);
            let read = block.for_each(|time, value, id| {
                aside.put(reason, &Refused { key, kind, time, value, id });
            });
            self.count_refused(reason.token(), block.count());
            self.tell_limit(full, split_key(key).0, at);
            if let Err(error) = read {
                self.refuse_block(key, &error, at);
            }
        }
        Ok(())
    }

    /// The samples of one series: the hot path.
    fn block(&mut self, id: u32, block: &Block<'_>, aside: &mut Aside, at: Time) {
        let (mut hit, mut future, mut kept) = (false, 0_u32, Vec::new());
        let mut open = self.open(id);
        let read = block.for_each(|time, value, sample_id| {
            let arrival = Arrival { time, value, id: sample_id };
            match self.add(&mut open, arrival, at) {
                Fate::Added | Fate::Repeated => hit = true,
                Fate::Future => {
                    future += 1;
                    if kept.len() < SAMPLES_MAX {
                        kept.push((time, value, sample_id));
                    }
                }
            }
        });
        self.close(open, at);
        if future > 0 {
            if !hit {
                self.note_future(id, future, at);
            }
            let reason = RefusalReason::TooFarFuture;
            self.count_refused(reason.token(), future.into());
            let (key, kind) = (&*self.series[id].key, self.series[id].kind);
            for (time, value, id) in kept {
                aside.put(reason, &Refused { key, kind, time, value, id });
            }
        }
        if let Err(error) = read {
            let key = self.series[id].key.clone();
            self.refuse_block(&key, &error, at);
        }
    }

    fn refuse_block(&mut self, key: &str, error: &BatchError, at: Time) {
        self.count_refused(error.reason(), 1);
        let (name, text) = (split_key(key).0, format!("{error} in samples of {key}"));
        self.speaker.dead_letter(at, name, error.reason(), Bytes::from(text));
    }

    /// A single sample.
    fn one(&mut self, id: u32, arrival: Arrival<'_>, at: Time) -> Fate {
        let mut open = self.open(id);
        let fate = self.add(&mut open, arrival, at);
        self.close(open, at);
        if fate == Fate::Future {
            self.note_future(id, 1, at);
        }
        fate
    }

    /// What came before is placed first: only then it is known whether that missed, too.
    fn note_future(&mut self, id: u32, count: u32, at: Time) {
        self.place_parked();
        self.note_miss(self.series[id].metric, Miss::Future, count, at);
    }

    /// A metric whose every sample misses has a clock that is off: people are told once.
    pub(super) fn note_miss(&mut self, metric: u32, miss: Miss, count: u32, at: Time) {
        let owner = &mut self.metrics[metric];
        let astray = owner.astray.get_or_insert(Astray { count: 0, told: false });
        astray.count = astray.count.saturating_add(count);
        if astray.count < ASTRAY_TOLD || astray.told {
            return;
        }
        astray.told = true;
        let name = owner.name.clone();
        let (kind, what) = match miss {
            Miss::Future => ("source_future", "further ahead of log time than max_future"),
            Miss::Late => ("source_late", "older than every window that could hold it"),
        };
        let text = format!("every sample of {name} is {what}: check the clock of whoever sends it");
        self.notice(at, kind, (&name, ""), text);
    }

    pub(super) fn count_refused(&mut self, reason: &'static str, count: u64) {
        *self.counters.refused.entry(reason).or_default() += count;
    }
}
