//! Series join the groups of views laid anew, and groups made by that are looked at.
//!
//! A revision of ten thousand rules makes some hundred thousand groups in one step, so they are made together: each
//! label set's text is put together once for all views that group alike, and of groups that got no sample yet one is
//! evaluated for all of its view. They are alike, so they would say the same: nothing, and when to look again.

use super::metric::{View, group_text};
use super::runs::TOGETHER;
use super::{Shard, Whom};
use crate::time::Time;
use crate::track::Alert;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The groups each series of a metric belongs to.
type Joined = Vec<SmallVec<[u32; 4]>>;

/// A metric's series by what they are grouped by.
struct Texts {
    group_by: Vec<String>,
    /// Sorted, each once.
    texts: Vec<Arc<str>>,
    /// Place of each series' text, in the order of the series.
    of_series: Vec<u32>,
}

impl Texts {
    fn of(group_by: &[String], series: &[(Arc<str>, u32)]) -> Self {
        let all: Vec<Box<str>> = series.iter().map(|(key, _)| group_text(key, group_by)).collect();
        let mut texts: BTreeMap<&str, u32> = all.iter().map(|text| (&**text, 0)).collect();
        texts.values_mut().zip(0..).for_each(|(place, at)| *place = at);
        Self {
            group_by: group_by.to_vec(),
            of_series: all.iter().map(|text| texts[&**text]).collect(),
            texts: texts.keys().map(|text| Arc::from(*text)).collect(),
        }
    }
}

impl Shard {
    /// Every series of a metric joins the groups of its views, as they are now; some of those were just made.
    pub(super) fn rejoin(&mut self, metric: u32, made: &BTreeSet<u32>, now: Time) {
        let views = self.metrics[metric].views.clone();
        let series: Vec<(Arc<str>, u32)> =
            self.metrics[metric].series.iter().map(|(key, id)| (key.clone(), *id)).collect();
        let mut joined: Joined = vec![SmallVec::with_capacity(views.len()); series.len()];
        let mut known: Vec<Texts> = Vec::new();
        for view in views {
            let group_by = &self.views[view].key.group_by;
            let at = known.iter().position(|texts| texts.group_by == *group_by);
            let at = at.unwrap_or_else(|| {
                known.push(Texts::of(group_by, &series));
                known.len() - 1
            });
            if made.contains(&view) {
                self.fill_view(view, (&series, &known[at]), &mut joined, now);
            } else {
                self.refill_view(view, (&series, &known[at]), &mut joined, now);
            }
        }
        for ((_, id), groups) in series.into_iter().zip(joined) {
            self.series[id].groups = groups;
        }
    }

    /// Series join a view that had groups before.
    fn refill_view(
        &mut self,
        view: u32,
        (series, texts): (&[(Arc<str>, u32)], &Texts),
        joined: &mut Joined,
        now: Time,
    ) {
        let groups: Vec<u32> = self.views[view].groups.values().copied().collect();
        groups.into_iter().for_each(|id| self.groups[id].series = 0);
        for (at, (key, _)) in series.iter().enumerate() {
            if self.views[view].filter.takes_key(key) {
                let id = self.group(view, &texts.texts[texts.of_series[at] as usize], now);
                self.groups[id].series += 1;
                joined[at].push(id);
            }
        }
    }

    /// Series join a view without groups.
    fn fill_view(
        &mut self,
        view: u32,
        (series, texts): (&[(Arc<str>, u32)], &Texts),
        joined: &mut Joined,
        now: Time,
    ) {
        let mut ids: Vec<Option<u32>> = vec![None; texts.texts.len()];
        for (at, (key, _)) in series.iter().enumerate() {
            if self.views[view].filter.takes_key(key) {
                let text = texts.of_series[at] as usize;
                let id = match ids[text] {
                    Some(id) => id,
                    None => self.make_group(view, Arc::clone(&texts.texts[text]), now),
                };
                ids[text] = Some(id);
                self.groups[id].series += 1;
                joined[at].push(id);
            }
        }
        let groups = texts.texts.iter().zip(ids).filter_map(|(text, id)| Some((text.clone(), id?)));
        self.views[view].groups = groups.collect();
        // One alert over all series is there before the first of them.
        if self.views[view].key.group_by.is_empty() {
            self.group(view, "", now);
        }
        self.fresh.push(view);
    }

    /// Evaluates groups of views that were just made: those without samples by one of them.
    pub(super) fn evaluate_fresh(&mut self, now: Time) {
        for view in std::mem::take(&mut self.fresh) {
            let waits = |view: &View| {
                let ids = view.groups.values().copied();
                ids.filter(|id| !self.groups[*id].dirty).collect::<Vec<_>>()
            };
            let waiting = self.views.get(view).filter(|view| !view.gone).map(waits);
            let Some((first, others)) = waiting.as_deref().and_then(<[u32]>::split_first) else {
                continue;
            };
            self.evaluate(*first, now);
            if self.groups[*first].alerts.iter().all(|alert| *alert == Alert::default()) {
                let due = self.groups[*first].due.at();
                self.dues.set(&mut self.views[view].due, due, Whom::View(view));
                continue;
            }
            for id in others {
                self.evaluate(*id, now);
            }
        }
    }

    /// Time alone may change groups of a view that were never looked at.
    pub(super) fn view_due(&mut self, id: u32, at: Time) {
        let Some(view) = self.views.get_mut(id).filter(|view| !view.gone) else { return };
        if !view.due.take(at, Whom::View(id), &mut self.dues) {
            return;
        }
        let groups = view.groups.values().copied();
        let waiting: Vec<u32> = groups.filter(|id| self.groups[*id].due.at().is_none()).collect();
        for together in waiting.chunks(TOGETHER) {
            self.look_ahead(together);
            for id in together {
                self.evaluate(*id, at);
            }
        }
    }
}
