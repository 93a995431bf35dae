//! Which series there are: made when first seen, bounded, freed when idle.
//!
//! Known series keep working when a limit is reached; new ones are refused, counted, and people are told once. Of what
//! is refused nothing stays, not even the name: somebody who puts ids into names must not fill the memory with them.

use super::limit::{Full, Told};
use super::metric::{Group, Intake, Metric, Series, View, group_text};
use super::{SLICES, SWEEP_EVERY, Shard, slice_of};
use crate::batch::Kind;
use crate::due::Due;
use crate::level::Level;
use crate::series::split_key;
use crate::time::{Span, Time};
use crate::track::Alert;
use crate::window::Window;
use crate::wire::Axis;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A series is idle after this long at least.
pub(super) const IDLE_MIN: Span = Span::from_secs(3_600);

/// Where a series' samples go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To this series.
    Series(u32),
    /// To another worker.
    Elsewhere,
    /// Nowhere: a new series, and there is no room.
    Refused(Full),
}

impl Shard {
    /// The way of samples of `key`; makes the series if it is new and there is room.
    pub(super) fn route(&mut self, key: &str, kind: Kind, now: Time) -> Route {
        if let Some(id) = self.by_key.get(key) {
            return Route::Series(*id);
        }
        let (name, _) = split_key(key);
        let slice = slice_of(name);
        if !self.place.owns(slice) {
            return Route::Elsewhere;
        }
        // Before anything is stored; of two limits the metric's says more.
        let known = self.names.get(name).copied();
        let per_metric = self.settings.limits.series_per_metric as usize;
        if let Some(metric) = known.filter(|id| self.metrics[*id].series.len() >= per_metric) {
            return Route::Refused(Full::Metric(metric));
        }
        if per_metric == 0 || self.is_full(slice) {
            return Route::Refused(Full::Slice(slice as u8));
        }
        let metric = self.metric(name);
        Route::Series(self.add_series(metric, key, kind, now))
    }

    /// Whether a slice has its share of the shard's series.
    pub(super) fn is_full(&self, slice: usize) -> bool {
        let share = self.settings.limits.series_per_shard.div_ceil(SLICES as u32);
        self.series_known[slice] >= share
    }

    /// The metric of this name, made if it is new.
    pub(super) fn metric(&mut self, name: &str) -> u32 {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let metric = Metric {
            name: name.into(),
            slice: slice_of(name),
            views: Vec::new(),
            watches: Vec::new(),
            series: BTreeMap::new(),
            intake: Intake::default(),
            next_number: 0,
            limit_told: Told::default(),
            astray: None,
        };
        let id = self.metrics.insert(metric);
        self.names.insert(name.into(), id);
        self.settle_intake(id);
        id
    }

    /// Finds out anew how samples of a metric are added up: after its views, its verifications, or what its
    /// rollups carry have changed.
    pub(super) fn settle_intake(&mut self, metric: u32) {
        let owner = &self.metrics[metric];
        let views = owner.views.iter().map(|view| &self.views[*view].key);
        let each = self.rollups.needs_each(&owner.name);
        let intake = Intake::of(views, each, !owner.watches.is_empty());
        self.metrics[metric].intake = intake;
    }

    fn add_series(&mut self, metric: u32, key: &str, kind: Kind, now: Time) -> u32 {
        let owner = &mut self.metrics[metric];
        let number = owner.next_number;
        owner.next_number += 1;
        let views = owner.views.clone();
        self.series_known[owner.slice] += 1;
        let (key, groups) = (Arc::from(key), SmallVec::new());
        let one = Series { key: Arc::clone(&key), metric, number, kind, groups, last: now, run: 0 };
        let id = self.series.insert(one);
        self.metrics[metric].series.insert(Arc::clone(&key), id);
        self.by_key.insert(Arc::clone(&key), id);
        self.rollups.name(id, Arc::clone(&key), kind);
        self.series[id].groups = self.join_all(&key, &views, now);
        id
    }

    /// The groups of these views that samples of `key` belong to; each has one series more from now on.
    pub(super) fn join_all(&mut self, key: &str, views: &[u32], now: Time) -> SmallVec<[u32; 4]> {
        let mut groups = SmallVec::new();
        // Views that group alike often lie side by side: their text is put together once.
        let (mut text, mut of): (Cow<'_, str>, Option<u32>) = (Cow::default(), None);
        for view in views.iter().copied() {
            let owner = &self.views[view];
            if !owner.filter.takes_key(key) {
                continue;
            }
            let group_by = &owner.key.group_by;
            if of.is_none_or(|of| self.views[of].key.group_by != *group_by) {
                (text, of) = (group_text(key, group_by), Some(view));
            }
            let id = self.group(view, &text, now);
            self.groups[id].series += 1;
            groups.push(id);
        }
        groups
    }

    /// The group of this text in `view`, made if it is new.
    pub(super) fn group(&mut self, view: u32, text: &str, now: Time) -> u32 {
        if let Some(id) = self.views[view].groups.get(text) {
            return *id;
        }
        let text: Arc<str> = text.into();
        let id = self.make_group(view, Arc::clone(&text), now);
        self.views[view].groups.insert(text, id);
        // Absence may be what it waits for: evaluate it at the step's end even if no sample comes.
        self.touch(id);
        id
    }

    /// A new group for `view`, which has none of this text and learns of this one by its caller.
    pub(super) fn make_group(&mut self, view: u32, text: Arc<str>, now: Time) -> u32 {
        let owner: &mut View = &mut self.views[view];
        let group = Group {
            view,
            text,
            window: Window::new(owner.key.spec, owner.key.from),
            level: Level::default(),
            alerts: SmallVec::from_elem(Alert::default(), owner.rules.len()),
            restless: None,
            last: None,
            armed: now,
            series: 0,
            due: Due::default(),
            dirty: false,
        };
        for _ in &owner.rules {
            self.axes.came(Axis::Unknown);
            owner.axes.came(Axis::Unknown);
        }
        self.groups.insert(group)
    }

    /// Has a group evaluated at the end of the step.
    pub(super) fn touch(&mut self, id: u32) {
        let group = &mut self.groups[id];
        if !group.dirty {
            group.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Forgets a group.
    pub(super) fn drop_group(&mut self, id: u32) {
        let Some(group) = self.groups.remove(id) else { return };
        let view = &mut self.views[group.view];
        group.alerts.iter().for_each(|alert| {
            self.axes.went(alert.state.axis());
            view.axes.went(alert.state.axis());
        });
        view.groups.remove(&group.text);
        self.dirty.retain(|other| *other != id);
    }

    /// Once a minute of log time, frees series that have been idle for long and have nothing open.
    pub(super) fn sweep(&mut self, began: Time, ended: Time) {
        let before = self.now.unwrap_or(began);
        if before.floor(SWEEP_EVERY) == ended.floor(SWEEP_EVERY) {
            return;
        }
        let mut freed = false;
        for metric in self.names.values().copied().collect::<Vec<_>>() {
            freed |= self.sweep_metric(metric, ended);
        }
        freed |= self.sweep_joins(ended);
        if freed {
            self.tables.clear();
        }
        self.look_at_limits(ended);
    }

    fn sweep_metric(&mut self, metric: u32, now: Time) -> bool {
        let owner = &self.metrics[metric];
        let longest = owner.views.iter().map(|view| self.views[*view].key.spec.window).max();
        let idle = Span(longest.unwrap_or_default().0.saturating_mul(2).max(IDLE_MIN.0));
        let gone: Vec<u32> = owner
            .series
            .values()
            .copied()
            .filter(|id| {
                let series = &self.series[*id];
                now.since(series.last) >= idle && series.groups.iter().all(|id| self.is_calm(*id))
            })
            .collect();
        for id in &gone {
            self.drop_series(*id);
        }
        let owner = &self.metrics[metric];
        if owner.series.is_empty() && owner.views.is_empty() && owner.watches.is_empty() {
            let name = owner.name.clone();
            self.metrics.remove(metric);
            self.names.remove(&name);
            return true;
        }
        !gone.is_empty()
    }

    /// Whether nothing is open in a group: neither an incident nor one that may come.
    fn is_calm(&self, id: u32) -> bool {
        let calm = |alert: &Alert| matches!(alert.state.axis(), Axis::Unknown | Axis::Ok);
        self.groups[id].alerts.iter().all(calm)
    }

    fn drop_series(&mut self, id: u32) {
        let Some(series) = self.series.remove(id) else { return };
        self.by_key.remove(&series.key);
        self.rollups.forget(id);
        let owner = &mut self.metrics[series.metric];
        owner.series.remove(&series.key);
        self.series_known[owner.slice] -= 1;
        for id in &series.groups {
            let group = &mut self.groups[*id];
            group.series -= 1;
            let grouped = !self.views[group.view].key.group_by.is_empty();
            if group.series == 0 && grouped {
                self.drop_group(*id);
            }
        }
    }
}
