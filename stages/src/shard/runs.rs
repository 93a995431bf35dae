//! From samples to windows by way of runs ([`crate::run`]): samples of a series are added up before they go anywhere.
//!
//! Where sums are enough for every window and rollup of the metric, a run is parked until the step ends, so that later
//! entries add to it; else it lasts for its block, and brings its samples along. Runs are put into windows many at
//! a time: what they will touch is read first ([`Shard::walk_ahead`]), so that the waits for memory overlap.

use super::Shard;
use super::samples::Miss;
use crate::histogram::Bucket;
use crate::run::Run;
use crate::time::{Span, Time};
use crate::window::Placement;
use std::ops::Range;

/// One sample on its way to its windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) time: Option<Time>,
    pub(super) value: f64,
    pub(super) id: Option<&'a str>,
}

/// Runs put into windows at one time: enough for their waits to overlap, few enough to stay in the nearest cache.
pub(super) const TOGETHER: usize = 32;

/// A run on its way to the windows.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    series: u32,
    /// When its last sample came.
    at: Time,
    run: Run,
    /// Its samples among those parked, where sums are not enough.
    each: Range<usize>,
}

/// The samples of one series being added up.
pub(super) struct Open {
    series: u32,
    unit: Span,
    summed: bool,
    watched: bool,
    apart: Range<Time>,
    run: Option<Run>,
    /// Where its samples begin among those parked.
    from: usize,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Added,
    Repeated,
    Future,
}

impl Shard {
    /// Goes on with the run of a series, if there is one.
    #[inline]
    pub(super) fn open(&mut self, id: u32) -> Open {
        let series = &self.series[id];
        let intake = &self.metrics[series.metric].intake;
        let run = (series.run > 0).then(|| self.runs[series.run as usize - 1].run);
        Open {
            series: id,
            unit: intake.unit,
            summed: intake.summed,
            watched: intake.watched,
            apart: intake.apart.clone(),
            run,
            from: self.each.len(),
        }
    }

    /// Parks the run: for later entries of the step, or until there are some to be placed together.
    #[inline]
    pub(super) fn close(&mut self, mut open: Open, at: Time) {
        let Some(run) = open.run.take() else { return };
        if !open.summed {
            return self.park_each(&open, run, at);
        }
        let parked = Parked { series: open.series, at, run, each: 0..0 };
        let series = &mut self.series[open.series];
        if series.run > 0 {
            self.runs[series.run as usize - 1] = parked;
        } else {
            self.runs.push(parked);
            series.run = self.runs.len() as u32;
        }
    }

    fn park_each(&mut self, open: &Open, run: Run, at: Time) {
        let each = open.from..self.each.len();
        self.batch.push(Parked { series: open.series, at, run, each });
        if self.batch.len() >= TOGETHER {
            self.place_batch();
        }
    }

    fn place_batch(&mut self) {
        let (mut batch, mut each) =
            (std::mem::take(&mut self.batch), std::mem::take(&mut self.each));
        self.walk_ahead(&batch);
        for parked in batch.drain(..) {
            self.place(parked.series, &parked.run, &each[parked.each], parked.at);
        }
        each.clear();
        (self.batch, self.each) = (batch, each);
    }

    /// Puts all that is parked where it belongs: the step has no more samples.
    pub(super) fn place_parked(&mut self) {
        self.place_batch();
        let mut runs = std::mem::take(&mut self.runs);
        for together in runs.chunks(TOGETHER) {
            self.walk_ahead(together);
            for parked in together {
                self.series[parked.series].run = 0;
                self.place(parked.series, &parked.run, &[], parked.at);
            }
        }
        runs.clear();
        self.runs = runs;
    }

    /// Reads a little of everything that placing these runs will touch, each kind for all of them before the next.
    /// With ten thousand groups nothing of a group is in a near cache: one after the other, a sample waits for some
    /// twenty reads from memory; like this the processor has many of them under way at a time.
    fn walk_ahead(&mut self, runs: &[Parked]) {
        let mut ahead = std::mem::take(&mut self.ahead);
        for parked in runs {
            ahead.extend_from_slice(&self.series[parked.series].groups);
        }
        self.look_ahead(&ahead);
        ahead.clear();
        self.ahead = ahead;
    }

    /// The same of groups that are about to be placed into, or judged.
    pub(super) fn look_ahead(&self, groups: &[u32]) {
        let mut touched = 0;
        for id in groups {
            touched ^= self.groups[*id].touch();
        }
        for id in groups {
            touched ^= self.groups[*id].window.touch_panes();
        }
        std::hint::black_box(touched);
    }

    /// Adds one sample to the run of its series.
    #[inline]
    pub(super) fn add(&mut self, open: &mut Open, arrival: Arrival<'_>, at: Time) -> Fate {
        let (time, value) = (arrival.time.unwrap_or(at), arrival.value);
        if time > at.plus(self.settings.limits.max_future) {
            return Fate::Future;
        }
        if let Some(text) = arrival.id {
            let metric = &self.metrics[self.series[open.series].metric];
            if !self.ids[metric.slice].is_new(&metric.name, text, at) {
                self.counters.repeated += 1;
                return Fate::Repeated;
            }
        }
        if open.watched {
            self.show_watches(open.series, time, value, at);
        }
        if !open.run.as_mut().is_some_and(|run| run.add(time, value, open.unit)) {
            let run = Run::of(time, value, open.unit);
            // Its pane may not have begun, or it may lie beside others that do not count.
            if run.start > at || open.apart.contains(&time) {
                self.place(open.series, &run, &[(time, value)], at);
                return Fate::Added;
            }
            match open.run.replace(run) {
                Some(before) if open.summed => self.place(open.series, &before, &[], at),
                Some(before) => {
                    self.park_each(open, before, at);
                    open.from = self.each.len();
                }
                None => {}
            }
        }
        if !open.summed {
            self.each.push((time, value));
        }
        Fate::Added
    }

    /// Puts a run into every window it belongs to.
    fn place(&mut self, id: u32, run: &Run, each: &[(Time, f64)], at: Time) {
        let series = &mut self.series[id];
        series.last = at;
        let metric = series.metric;
        let mut placed = series.groups.is_empty();
        // A clock that is ahead must not make everybody else's samples old to the level.
        let shown = run.start.min(at);
        for group_id in &series.groups {
            let group = &mut self.groups[*group_id];
            match group.window.add_run((series.number, series.kind), run, each, at) {
                Placement::Counted | Placement::Waiting => {}
                Placement::Late | Placement::TooEarly | Placement::Dropped => continue,
            }
            placed = true;
            group.level.add(shown, &run.sums);
            group.last = group.last.max(Some(at));
            if !group.dirty {
                group.dirty = true;
                self.dirty.push(*group_id);
            }
        }
        self.rollups.add(id, run, each);
        if placed {
            self.counters.samples += u64::from(run.sums.count);
            if Bucket::clamps(run.sums.min) || Bucket::clamps(run.sums.max) {
                let clamps = each.iter().filter(|(_, value)| Bucket::clamps(*value)).count();
                self.counters.clamped += clamps as u64;
            }
            self.metrics[metric].astray = None;
        } else {
            self.counters.late += u64::from(run.sums.count);
            self.note_miss(metric, Miss::Late, run.sums.count, at);
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
}
