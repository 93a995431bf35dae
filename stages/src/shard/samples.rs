//! From entries to windows: what a step's samples do to the metrics this worker owns.

use super::Shard;
use super::metric::Astray;
use super::registry::Route;
use crate::batch::{Batch, BatchError, Block, Section};
use crate::decode::{KeyedSample, Refusal, RefusalReason, each_sample};
use crate::log::{Entry, EntryKind};
use crate::time::Time;
use crate::window::Placement;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Samples in a row that must miss before people are told that a source's clock is off.
const ASTRAY_TOLD: u32 = 20;

/// Refused samples of one block that are put aside with their values; the rest is only counted.
const REFUSED_KEPT: usize = 100;

/// One sample on its way to its windows.
#[derive(Clone, Copy, Debug)]
struct Arrival<'a> {
    time: Option<Time>,
    value: f64,
    id: Option<&'a str>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Placed,
    Repeated,
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
            | EntryKind::Desk(_) => {}
        }
    }

    fn metric_entry(&mut self, name: &Bytes, payload: &Bytes, at: Time) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if !self.place.owns_metric(name) {
            return;
        }
        let mut refused: BTreeSet<RefusalReason> = BTreeSet::new();
        let mut key = std::mem::take(&mut self.key);
        each_sample(payload, &mut key, &mut |sample| {
            if let Err(refusal) = sample.and_then(|sample| self.single(name, &sample, at)) {
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
        let id = match self.route(sample.key, sample.kind, at) {
            Route::Series(id) => id,
            Route::Elsewhere => return Ok(()),
            Route::Refused(metric) => {
                self.tell_limit(metric, at);
                let text = "a new series, and there is no room";
                return Err(Refusal::new(sample.index, RefusalReason::SeriesLimit, text));
            }
        };
        let arrival = Arrival { time: sample.time, value: sample.value, id: sample.id };
        let fate = self.place(id, arrival, at);
        self.note_fate(self.series[id].metric, fate, 1, at);
        match fate {
            Fate::Placed | Fate::Repeated | Fate::Late => Ok(()),
            Fate::Future => {
                let text = "its ts is further ahead of log time than max_future";
                Err(Refusal::new(sample.index, RefusalReason::TooFarFuture, text))
            }
        }
    }

    fn batch_entry(&mut self, payload: &Bytes, at: Time) {
        match Batch::parse(payload) {
            Ok(batch) => {
                for section in batch.sections() {
                    if let Err(error) = self.section(section, at) {
                        self.refuse_batch(&error, payload, at);
                    }
                }
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

    fn section(&mut self, section: &Section<'_>, at: Time) -> Result<(), BatchError> {
        let numbered = !section.client.is_empty();
        if numbered && !self.clients.is_new(section.client, section.number, at) {
            if self.place.is_first() {
                self.counters.repeated += section.blocks().map(|block| block.count()).sum::<u64>();
            }
            return Ok(());
        }
        let mut tables = std::mem::take(&mut self.tables);
        let routes = tables.ids(section.table, |row| self.route(row.key, row.kind, at));
        self.tables = tables;
        for (block, route) in section.blocks().zip(routes?.iter()) {
            match *route {
                Route::Series(id) => self.block(id, &block, at),
                Route::Elsewhere => {}
                Route::Refused(metric) => {
                    self.count_refused(RefusalReason::SeriesLimit.token(), block.count());
                    self.tell_limit(metric, at);
                }
            }
        }
        Ok(())
    }

    /// The samples of one series: the hot path.
    fn block(&mut self, id: u32, block: &Block<'_>, at: Time) {
        let (mut hits, mut misses, mut future) = (0_u32, 0_u32, Vec::new());
        let mut last = Fate::Late;
        let read = block.for_each(|time, value, sample_id| {
            match self.place(id, Arrival { time, value, id: sample_id }, at) {
                Fate::Placed | Fate::Repeated => hits += 1,
                Fate::Late => (misses, last) = (misses + 1, Fate::Late),
                Fate::Future => {
                    (misses, last) = (misses + 1, Fate::Future);
                    if future.len() < REFUSED_KEPT {
                        future.push((time, value));
                    }
                }
            }
        });
        let metric = self.series[id].metric;
        if hits > 0 {
            self.metrics[metric].astray = None;
        } else if misses > 0 {
            self.note_fate(metric, last, misses, at);
        }
        if !future.is_empty() {
            self.refuse_future(id, &future, at);
        }
        if let Err(error) = read {
            self.count_refused(error.reason(), 1);
            let name = self.metrics[metric].name.clone();
            let text = format!("{error} in samples of {}", self.series[id].key);
            self.speaker.dead_letter(at, &name, error.reason(), Bytes::from(text));
        }
    }

    /// Puts one sample into every window it belongs to.
    #[inline]
    fn place(&mut self, id: u32, arrival: Arrival<'_>, at: Time) -> Fate {
        let series = &mut self.series[id];
        let time = arrival.time.unwrap_or(at);
        if time > at.plus(self.settings.limits.max_future) {
            return Fate::Future;
        }
        if let Some(text) = arrival.id {
            let metric = &self.metrics[series.metric];
            if !self.ids[metric.slice].is_new(&metric.name, text, at) {
                self.counters.repeated += 1;
                return Fate::Repeated;
            }
        }
        series.last = at;
        let mut placed = series.groups.is_empty();
        for group_id in &series.groups {
            let group = &mut self.groups[*group_id];
            match group.window.add(series.number, time, arrival.value, series.kind, at) {
                Placement::Counted | Placement::Waiting => {}
                Placement::Late | Placement::TooEarly | Placement::Dropped => continue,
            }
            placed = true;
            group.level.add(time, arrival.value);
            group.last = Some(at);
            if !group.dirty {
                group.dirty = true;
                self.dirty.push(*group_id);
            }
        }
        self.rollups.add(id, time, arrival.value);
        if !self.metrics[series.metric].watches.is_empty() {
            self.show_watches(id, time, arrival.value, at);
        }
        if placed {
            self.counters.samples += 1;
            Fate::Placed
        } else {
            self.counters.late += 1;
            Fate::Late
        }
    }

    /// Samples of a metric under verification go there too.
    #[cold]
    fn show_watches(&mut self, id: u32, time: Time, value: f64, at: Time) {
        for watch in self.watches_of(id) {
            let series = &self.series[id];
            self.watches[watch].watch.add(series.number, time, value, series.kind, at);
            self.touched_watches.insert(watch);
        }
    }

    /// A metric whose every sample misses has a clock that is off: people are told once.
    fn note_fate(&mut self, metric: u32, fate: Fate, count: u32, at: Time) {
        let owner = &mut self.metrics[metric];
        let future = match fate {
            Fate::Placed | Fate::Repeated => {
                owner.astray = None;
                return;
            }
            Fate::Late => false,
            Fate::Future => true,
        };
        let astray = owner.astray.get_or_insert(Astray { count: 0, told: false });
        astray.count = astray.count.saturating_add(count);
        if astray.count < ASTRAY_TOLD || astray.told {
            return;
        }
        astray.told = true;
        let name = owner.name.clone();
        let (kind, what) = if future {
            ("source_future", "further ahead of log time than max_future")
        } else {
            ("source_late", "older than every window that could hold it")
        };
        let text = format!("every sample of {name} is {what}: check the clock of whoever sends it");
        self.notice(at, kind, &name, text);
    }

    fn tell_limit(&mut self, metric: u32, at: Time) {
        let owner = &mut self.metrics[metric];
        if std::mem::replace(&mut owner.limit_told, true) {
            return;
        }
        let (name, known) = (owner.name.clone(), owner.series.len());
        let text = format!(
            "new series of {name} are refused ({known} are known and keep working): use fewer label \
             values, or raise limits.series_per_metric or limits.series_per_shard"
        );
        self.notice(at, "series_limit", &name, text);
    }

    fn refuse_future(&mut self, id: u32, samples: &[(Option<Time>, f64)], at: Time) {
        let reason = RefusalReason::TooFarFuture.token();
        self.count_refused(reason, samples.len() as u64);
        let key = &self.series[id].key;
        let (name, labels) = crate::series::split_key(key);
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.map(|(name, value)| (name.to_owned(), value.into())).collect();
        let samples: Vec<_> = samples
            .iter()
            .map(|(time, value)| {
                let ts = time.map(|time| time.as_millis());
                serde_json::json!({ "name": name, "labels": labels, "ts": ts, "val": value })
            })
            .collect();
        let (name, payload) = (name.to_owned(), serde_json::Value::Array(samples).to_string());
        self.speaker.dead_letter(at, &name, reason, Bytes::from(payload));
    }

    pub(super) fn count_refused(&mut self, reason: &'static str, count: u64) {
        *self.counters.refused.entry(reason).or_default() += count;
    }
}
