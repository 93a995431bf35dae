//! Glimpses: what the desk judges rules that are *apart* by, whose metrics lie in several shards.
//!
//! Each shard keeps the parts of such a rule that are over metrics of its own, each at home in the slice of its metric,
//! and says what they show. A label set that was not shown in this second of log time is shown at once, at the end of
//! the step in which it got samples, so that an isolated bad sample is judged within milliseconds; everything else
//! (further samples, panes that left, an earlier window that turned) waits for the next whole second, and once a minute
//! all is shown, whatever became of what was said before. At each whole second the shard also says where it stands, so
//! the desk can tell "no samples" from "this shard does not speak".
//!
//! What a shard says of one instant is one message, whoever holds its slices (`shard/said.rs` puts them together). So a
//! shard with such rules costs one tick, one message in `OPS_EVENTS` and one entry of the desk's log a second, some 200
//! bytes and 150 to 300 for each label set that changed, and up to ten more a second while label sets begin to report.

use super::{Join, Joins, Purpose};
use crate::settings::{Rule, Settings};
use crate::shard::metric::{group_labels, sorted, text_of};
use crate::shard::rules::Edit;
use crate::shard::watches::WATCHES_MAX;
use crate::shard::{Shard, Whom, slice_of};
use crate::time::{Span, Time};
use crate::wire::{Glimpse, PartSeen, VerifyRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nothing is shown again sooner than at the next multiple of this.
pub(crate) const EVERY: Span = Span::from_secs(1);
/// All is shown at multiples of this.
const ALL_EVERY: Span = Span::from_secs(60);

/// What a join shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// It is for a verification, for this label set and as long as that may take.
    pub(super) request: Option<VerifyRequest>,
    /// The rule's parts in this slice, sorted.
    pub(super) places: Vec<Place>,
}

/// A part, and what it is in its rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) part: u32,
    /// Which condition, through all lists.
    term: u32,
    /// What its metric is divided by.
    per: bool,
}

impl Shown {
    pub(super) fn new(request: Option<VerifyRequest>) -> Self {
        Self { request, places: Vec::new() }
    }

    /// Moves its clocks on over a hole in log time.
    pub(super) fn freeze(&mut self, hole: Span) {
        if let Some(request) = &mut self.request {
            request.until = request.until.plus(hole);
        }
    }
}

impl Shard {
    /// Whether a rule is apart, and some of its metrics are of this shard.
    pub(in crate::shard) fn shows(&self, rule: &Rule) -> bool {
        rule.is_apart(&self.place.subjects, self.place.shards)
            && rule.metrics().into_iter().any(|metric| self.place.is_of_shard(metric))
    }

    /// This worker's slices that the metrics of a rule of this shard lie in.
    fn homes(&self, rule: &Rule) -> BTreeSet<usize> {
        let here = |metric: &&str| self.place.is_of_shard(metric);
        let slices = rule.metrics().into_iter().filter(here).map(slice_of);
        slices.filter(|slice| self.place.owns(*slice)).collect()
    }

    /// Keeps the parts of these settings' rules that are apart from now on, and no others.
    pub(super) fn apply_glimpses(&mut self, settings: &Settings, (since, now): (u64, Time)) {
        let shown = self.joins.joins.iter().filter(|(_, join)| join.request().is_none());
        let mut old: BTreeMap<(String, usize), u32> = shown
            .filter(|(_, join)| join.shown().is_some())
            .map(|(id, join)| ((join.rule.name.clone(), join.home), id))
            .collect();
        for rule in &settings.rules {
            if !self.shows(rule) {
                continue;
            }
            for home in self.homes(rule) {
                let Some(id) = old.remove(&(rule.name.clone(), home)) else {
                    self.show(rule, home, (since, None));
                    continue;
                };
                let join = &mut self.joins.joins[id];
                if super::edit(&join.rule, rule) == Edit::Panes {
                    join.since = (since, Some(now));
                }
                join.rule = Arc::clone(rule);
            }
        }
        for id in old.into_values() {
            self.joins.joins.remove(id);
        }
        self.joins.show_all = true;
    }

    fn show(&mut self, rule: &Arc<Rule>, home: usize, since: (u64, Option<Time>)) {
        let (rule, lists, groups) = (Arc::clone(rule), Arc::default(), BTreeMap::new());
        let purpose = Purpose::Glimpses(Box::new(Shown::new(None)));
        self.joins.joins.insert(Join { rule, home, since, lists, groups, purpose });
    }

    /// Opens the verification of a rule that is apart: the desk judges it by glimpses of samples after the script.
    pub(in crate::shard) fn show_for(
        &mut self,
        request: &VerifyRequest,
        rule: &Rule,
        (position, now): (u64, Time),
    ) {
        // One more says nothing, and the desk finds nothing to judge by.
        if self.joins.watches().count() >= WATCHES_MAX {
            return;
        }
        let (homes, rule) = (self.homes(rule), Arc::new(request.judges(rule)));
        for home in &homes {
            let purpose = Purpose::Glimpses(Box::new(Shown::new(Some(request.clone()))));
            let (rule, home, since) = (Arc::clone(&rule), *home, (position, Some(request.from)));
            let (lists, groups) = (Arc::default(), BTreeMap::new());
            self.joins.joins.insert(Join { rule, home, since, lists, groups, purpose });
        }
        if !homes.is_empty() {
            self.lay_parts(now);
        }
    }

    /// A snapshot of stages that did not judge rules that are apart has nothing of them: they begin here.
    pub(in crate::shard) fn show_unknown(&mut self) {
        let rules = self.settings.rules.clone();
        let mut began = false;
        for rule in &rules {
            if !self.shows(rule) {
                continue;
            }
            for home in self.homes(rule) {
                let known = |join: &Join| {
                    join.rule.name == rule.name && join.home == home && join.request().is_none()
                };
                if !self.joins.joins.iter().any(|(_, join)| known(join)) {
                    self.show(rule, home, (self.speaker.position, None));
                    began = true;
                }
            }
        }
        if began {
            self.lay_parts(self.now());
            self.joins.show_all = true;
        }
    }

    /// Lays the parts of what a join shows.
    pub(super) fn lay_shown(&mut self, id: u32) {
        let join = &self.joins.joins[id];
        let (rule, home, since) = (Arc::clone(&join.rule), join.home, join.since);
        let mut places = Vec::new();
        for (term, number) in rule.terms().zip(0..) {
            let metrics = [(Some(&term.metric), false), (term.per.as_ref(), true)];
            for (metric, per) in metrics.into_iter().filter_map(|(one, per)| Some((one?, per))) {
                if slice_of(metric) != home || !self.place.is_of_shard(metric) {
                    continue;
                }
                let key = super::part::PartKey::of(&rule, term, metric, home, since);
                let part = self.joins.part(key);
                self.joins.parts[part].glimpsed = true;
                let joins = &mut self.joins.parts[part].joins;
                if !joins.contains(&id) {
                    joins.push(id);
                }
                places.push(Place { part, term: number, per });
            }
        }
        if let Purpose::Glimpses(shown) = &mut self.joins.joins[id].purpose {
            shown.places = places;
        }
    }

    /// Cells that are there before the first sample: absence is seen in them, too.
    pub(super) fn lay_cells(&mut self, id: u32, now: Time) {
        let join = &self.joins.joins[id];
        let Some(shown) = join.shown() else { return };
        let group_by = sorted(&join.rule.group_by);
        let text = match &shown.request {
            Some(request) => text_of(&request.group, &group_by),
            None if group_by.is_empty() => Box::default(),
            None => return,
        };
        for part in shown.places.iter().map(|place| place.part).collect::<Vec<_>>() {
            self.joins.cell(part, &text, now);
        }
    }

    /// Sets the next whole second, where this worker has something to say then.
    pub(in crate::shard) fn stand_next(&mut self, now: Time) {
        let shows = self.joins.joins.iter().any(|(_, join)| join.shown().is_some());
        let first = self.place.is_first();
        let stands = shows || (first && self.settings.rules.iter().any(|rule| self.shows(rule)));
        let next = stands.then(|| now.floor(EVERY).plus(EVERY));
        self.dues.set(&mut self.joins.stand, next, Whom::Stand);
    }

    /// A whole second: says where the shard stands, and shows what is new.
    pub(in crate::shard) fn stand(&mut self, at: Time) {
        if !self.joins.stand.take(at, Whom::Stand, &mut self.dues) {
            return;
        }
        let all = at.floor(ALL_EVERY) == at;
        let parts = self.joins.glimpses(None, at, |cell| all || cell.is_news(at));
        self.say_glimpses(at, parts);
        let over = |join: &Join| {
            let request = join.shown().and_then(|shown| shown.request.as_ref());
            request.is_some_and(|request| at >= request.until)
        };
        let joins = self.joins.joins.iter();
        let over: Vec<u32> = joins.filter(|(_, join)| over(join)).map(|(id, _)| id).collect();
        if !over.is_empty() {
            over.into_iter().for_each(|id| self.remove_join(id));
            self.lay_parts(at);
        }
        self.stand_next(at);
    }

    /// The end of a step: shows what was not shown in this second.
    pub(in crate::shard) fn show_edges(&mut self, now: Time) {
        let edges = std::mem::take(&mut self.joins.edges);
        let all = std::mem::take(&mut self.joins.show_all);
        if all && self.joins.stand.at().is_some() {
            let parts = self.joins.glimpses(None, now, |_| true);
            self.say_glimpses(now, parts);
            return;
        }
        if edges.is_empty() {
            return;
        }
        let touched: BTreeSet<u32> = edges.iter().map(|id| self.joins.cells[*id].part).collect();
        let second = now.floor(EVERY);
        let parts = self.joins.glimpses(Some(&touched), now, |cell| {
            cell.unshown && cell.shown.is_none_or(|shown| shown < second)
        });
        if !parts.is_empty() {
            self.say_glimpses(now, parts);
        }
    }

    fn say_glimpses(&mut self, now: Time, mut parts: Vec<PartSeen>) {
        let marks = &self.speaker.marks;
        for glimpse in parts.iter_mut().flat_map(|part| &mut part.groups) {
            glimpse.log_start = marks.before(glimpse.window_start);
        }
        let (revision, armed) = (self.settings.revision.clone(), self.armed);
        self.speaker.glimpses(now, (revision, armed), parts);
    }
}

impl super::part::Cell {
    /// A rule of this shard alone may look through a window that is shown to the desk, and move it on.
    pub(super) fn note_leaves(&mut self, now: Time) {
        self.unshown |= self.window.next_leave().is_some_and(|leaves| leaves <= now);
    }

    /// Whether there may be something to show at `now` that was not shown before.
    fn is_news(&self, now: Time) -> bool {
        let turned = |shown: Time| {
            let history = self.history.as_ref();
            history.is_some_and(|history| history.turns(shown) <= now)
        };
        self.unshown
            || self.dirty
            || self.shown.is_none_or(turned)
            || self.window.next_leave().is_some_and(|leaves| leaves <= now)
    }
}

impl Joins {
    /// What is seen at `now` of the cells `wanted` of these parts, or of all, which count as shown then.
    fn glimpses(
        &mut self,
        of: Option<&BTreeSet<u32>>,
        now: Time,
        wanted: impl Fn(&super::part::Cell) -> bool,
    ) -> Vec<PartSeen> {
        let (mut seen, mut shown) = (Vec::new(), BTreeSet::new());
        let joins: BTreeSet<u32> = match of {
            Some(of) => of.iter().flat_map(|part| &self.parts[*part].joins).copied().collect(),
            None => self.joins.iter().map(|(id, _)| id).collect(),
        };
        for id in joins {
            let join = &self.joins[id];
            let Some(Shown { request, places }) = join.shown() else { continue };
            let group_by = sorted(&join.rule.group_by);
            let lone = request.as_ref().map(|request| text_of(&request.group, &group_by));
            let seen_of = |part| of.is_none_or(|of| of.contains(&part));
            for place in places.iter().filter(|place| seen_of(place.part)) {
                let part = &self.parts[place.part];
                let stat = part.key.stat();
                let min_samples = join.rule.terms().nth(place.term as usize);
                let min_samples = min_samples.map_or(0, |term| term.min_samples);
                let mut groups = Vec::new();
                for (text, id) in &part.cells {
                    if lone.as_ref().is_some_and(|lone| **lone != **text) {
                        continue;
                    }
                    let cell = &mut self.cells[*id];
                    // Reading a window moves it on: whoever else reads this part is shown the same.
                    if !shown.contains(id) && !wanted(cell) {
                        continue;
                    }
                    shown.insert(*id);
                    let history = cell.history.as_ref();
                    let earlier = history.and_then(|history| history.value(stat, min_samples, now));
                    groups.push(Glimpse { earlier, ..cell.glimpse(now) });
                }
                if groups.is_empty() {
                    continue;
                }
                let incident = request.as_ref().map(|request| request.incident.clone());
                let (rule, last) = (join.rule.name.clone(), part.last);
                let Place { term, per, .. } = *place;
                seen.push(PartSeen { rule, incident, term, per, last, groups });
            }
        }
        for id in shown {
            let cell = &mut self.cells[id];
            (cell.shown, cell.unshown) = (Some(now), false);
        }
        seen
    }
}

impl super::part::Cell {
    fn glimpse(&mut self, now: Time) -> Glimpse {
        let reading = self.window.read(now);
        Glimpse {
            group: group_labels(&self.text),
            value: reading.value,
            earlier: None,
            last: self.last,
            count: reading.count,
            mean: reading.mean,
            min: reading.min,
            max: reading.max,
            percentiles: reading.percentiles,
            window_start: reading.window_start,
            panes: reading.panes,
            panes_filled: reading.panes_filled,
            series: reading.series,
            log_start: 0,
        }
    }
}
