//! Series join the groups of views laid anew, and groups made by that are looked at.
//!
//! A revision of ten thousand rules makes some hundred thousand groups in one step, so they are made together: each
//! label set's text is put together once for all views that group alike, and of groups that got no sample yet one is
//! evaluated for all of its view. They are alike, so they would say the same: nothing, and when to look again.

use super::metric::group_text;
use super::runs::TOGETHER;
use super::{Shard, Whom};
use crate::time::Time;
use crate::track::Alert;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeSet;
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

/// Texts of groups that were made in one step: those of one host's metrics are one text.
#[derive(Debug, Default)]
pub(super) struct Shared(FxHashSet<Arc<str>>);

impl Shared {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }

    pub(super) fn clear(&mut self) {
        self.0 = FxHashSet::default();
    }
}

impl Texts {
    fn of(group_by: &[String], series: &[(&str, u32)], shared: &mut Shared) -> Self {
        let texts = series.iter().zip(0..).map(|((key, _), at)| (group_text(key, group_by), at));
        let mut sorted: Vec<(Cow<'_, str>, usize)> = texts.collect();
        // They often lie in order already, as the keys do.
        sorted.sort();
        let (mut texts, mut of_series) = (Vec::<Arc<str>>::new(), vec![0; series.len()]);
        for (text, at) in sorted {
            if texts.last().is_none_or(|last| **last != *text) {
                texts.push(shared.text(&text));
            }
            of_series[at] = texts.len() as u32 - 1;
        }
        Self { group_by: group_by.to_vec(), texts, of_series }
    }
}

impl Shard {
    /// Every series of a metric joins the groups of its views, as they are now; some of those were just made.
    pub(super) fn rejoin(&mut self, metric: u32, made: &BTreeSet<u32>, now: Time) {
        let views = self.metrics[metric].views.clone();
        let known_series = std::mem::take(&mut self.metrics[metric].series);
        let series: Vec<(&str, u32)> = known_series.iter().map(|(key, id)| (&**key, *id)).collect();
        // Their memory is used again, if they had any.
        let emptied = |(_, id): &(&str, u32)| {
            let mut groups = std::mem::take(&mut self.series[*id].groups);
            groups.clear();
            groups.reserve(views.len());
            groups
        };
        let mut joined: Joined = series.iter().map(emptied).collect();
        let mut known: Vec<Texts> = Vec::new();
        for view in views {
            let group_by = &self.views[view].key.group_by;
            let at = known.iter().position(|texts| texts.group_by == *group_by);
            let at = at.unwrap_or_else(|| {
                known.push(Texts::of(group_by, &series, &mut self.shared));
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
        self.metrics[metric].series = known_series;
    }

    /// Series join a view that had groups before.
    fn refill_view(
        &mut self,
        view: u32,
        (series, texts): (&[(&str, u32)], &Texts),
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
        (series, texts): (&[(&str, u32)], &Texts),
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
            let Some(owner) = self.views.get(view).filter(|view| !view.gone) else { continue };
            let first = owner.groups.values().copied().find(|id| !self.groups[*id].dirty);
            let Some(first) = first else { continue };
            self.evaluate(first, now);
            if self.groups[first].alerts.iter().all(|alert| *alert == Alert::default()) {
                let due = self.groups[first].due.at();
                self.dues.set(&mut self.views[view].due, due, Whom::View(view));
                continue;
            }
            let others = self.views[view].groups.values().copied();
            let others = others.filter(|id| *id != first && !self.groups[*id].dirty);
            let others: Vec<u32> = others.collect();
            for id in others {
                self.evaluate(id, now);
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
