//! The shard: one log of samples in, transitions of alerts out.
//!
//! Decode, window, judge and track of the metrics a worker owns. A step is worked off in this order: a hole in
//! log time, control entries (settings, verify requests), due instants up to the step's beginning, samples,
//! due instants up to its end, the groups that got samples, rollups. State that concerns all metrics (settings,
//! batch numbers, log time) is the same on every worker, because every worker reads every step.

mod aside;
mod axes;
mod calm;
mod evaluate;
mod in_place;
mod joins;
mod limit;
mod marks;
mod metric;
mod place;
mod registry;
mod rejoin;
mod repeats;
mod rules;
mod runs;
mod said;
mod samples;
mod slab;
mod snapshot;
mod standing;
mod views;
mod watches;

pub(crate) use evaluate::incident;
pub(crate) use joins::SHOWN_EVERY;
pub(crate) use metric::{group_labels, sorted, text_of};
pub use place::{Place, SLICES, slice_of};
pub use rules::{Edit, edit_of};
pub(crate) use said::in_order;
pub use said::{Phase, Said, Turn};
pub use standing::Standing;

use crate::batch::TableCache;
use crate::due::{Due, DueQueue};
use crate::log::{EntryKind, Step};
use crate::output::Counters;
use crate::revision::{Ahead, Collected};
use crate::rollup::Rollups;
use crate::settings::Settings;
use crate::stop;
use crate::time::{Span, Time};
use crate::track::Moved;
use crate::wire::{DataGap, Notice, SCHEMA, ShardEvent};
use axes::Axes;
use joins::{Joins, Ways};
use metric::{Group, Metric, Series, View};
use repeats::{Clients, Ids};
use runs::{Parked, TOGETHER};
use rustc_hash::FxHashMap;
use said::Speaker;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watches::Watching;

/// A hole in log time longer than this is blindness of ours: the owner ticks every 5 s.
pub const HOLE: Span = Span::from_secs(15);

/// Groups that lie in a near cache, after they were touched.
const NEAR: usize = 1_024;

/// How often idle series are looked for.
const SWEEP_EVERY: Span = Span::from_secs(60);

/// One shard, as one worker holds it.
#[derive(Debug)]
pub struct Shard {
    place: Place,
    /// Log time at the end of the last step; none before the first.
    now: Option<Time>,
    /// Since when absence can be seen: the first entry, or the end of the last hole.
    armed: Time,
    settings: Arc<Settings>,
    /// Parts of the next revision.
    collected: Collected,
    /// Last sequence seen of each relayed stream.
    sources: BTreeMap<String, u64>,
    clients: Clients,
    /// By slice.
    ids: [Ids; SLICES],
    /// Series known, by slice.
    series_known: [u32; SLICES],
    /// Whether people know that a slice is full.
    limits_told: [limit::Told; SLICES],
    names: BTreeMap<Box<str>, u32>,
    metrics: Slab<Metric>,
    views: Slab<View>,
    groups: Slab<Group>,
    series: Slab<Series>,
    by_key: FxHashMap<Arc<str>, u32>,
    tables: TableCache<Ways>,
    /// Runs of samples that go on until the step ends, not yet in any window.
    runs: Vec<Parked>,
    /// Runs that are placed together, and the samples of those.
    batch: Vec<Parked>,
    each: Vec<(Time, f64)>,
    /// Kept between runs for its memory.
    ahead: Vec<u32>,
    /// Groups with samples that were not evaluated.
    dirty: Vec<u32>,
    /// Views all of whose groups are to be evaluated when the step ends.
    edited: Vec<u32>,
    /// Views that were just made, whose groups are to be evaluated too.
    fresh: Vec<u32>,
    /// Texts of the groups a revision makes; empty between revisions.
    shared: rejoin::Shared,
    /// Views that are gone, whose groups are yet to be freed.
    gone: Vec<u32>,
    dues: DueQueue<Whom>,
    /// Verifications under way.
    watches: Slab<Watching>,
    /// Those to look at when the step ends.
    touched_watches: BTreeSet<u32>,
    /// Metrics somebody looks at, and until when.
    looks: BTreeMap<String, Time>,
    rollups: Rollups,
    joins: Joins,
    axes: Axes,
    /// Kept between evaluations for their memory.
    moves: Vec<Moved>,
    chosen: Vec<u32>,
    /// Kept between messages for its memory.
    key: String,
    counters: Counters,
    speaker: Speaker,
}

/// Who is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    /// A group.
    Group(u32),
    /// Groups of a view that were never looked at.
    View(u32),
    /// A verification.
    Watch(u32),
    /// A group of a joined rule.
    Join(u32),
    /// Glimpses for the desk.
    Stand,
}

impl Shard {
    /// A shard whose log has been worked off up to log time `now`, with nothing in it (zero: from its start).
    pub fn new(place: Place, now: Time) -> Self {
        Self {
            speaker: Speaker::new(&place),
            place,
            now: (now != Time::default()).then_some(now),
            armed: now,
            settings: Arc::default(),
            collected: Collected::default(),
            sources: BTreeMap::new(),
            clients: Clients::default(),
            ids: Default::default(),
            series_known: [0; SLICES],
            limits_told: Default::default(),
            names: BTreeMap::new(),
            metrics: Slab::default(),
            views: Slab::default(),
            groups: Slab::default(),
            series: Slab::default(),
            by_key: FxHashMap::default(),
            tables: TableCache::default(),
            runs: Vec::new(),
            batch: Vec::new(),
            each: Vec::new(),
            ahead: Vec::new(),
            dirty: Vec::new(),
            edited: Vec::new(),
            fresh: Vec::new(),
            shared: rejoin::Shared::default(),
            gone: Vec::new(),
            dues: DueQueue::default(),
            watches: Slab::default(),
            touched_watches: BTreeSet::new(),
            looks: BTreeMap::new(),
            rollups: Rollups::new(),
            joins: Joins::default(),
            axes: Axes::default(),
            moves: Vec::new(),
            chosen: Vec::new(),
            key: String::new(),
            counters: Counters::default(),
        }
    }

    /// Log time at the end of the last step.
    pub fn now(&self) -> Time {
        self.now.unwrap_or_default()
    }

    /// The next instant at which the log is owed a tick. May be early: a tick too many changes nothing.
    pub fn due(&self) -> Option<Time> {
        self.dues.next()
    }

    /// Plain sums since they were last taken.
    pub fn take_counters(&mut self) -> Counters {
        let mut counters = std::mem::take(&mut self.counters);
        counters.series = self.series.len() as u64;
        counters.alerts = self.axes.0;
        counters
    }

    /// Works off one step and says what follows from it, in order.
    pub fn step(&mut self, step: &Step) -> Vec<Said> {
        self.begin(step);
        self.speaker.phase = Phase::Control;
        for entry in &step.entries {
            stop::at(Some(entry));
            self.control(entry, &step.ahead, step.began);
        }
        stop::at(None);
        self.speaker.phase = Phase::DueBefore;
        self.run_due(step.began);
        self.speaker.phase = Phase::Samples;
        let mut at = step.began;
        for entry in &step.entries {
            at = at.max(entry.time).min(step.ended);
            stop::at(Some(entry));
            self.samples(entry, at);
        }
        stop::at(None);
        self.place_parked();
        self.note_siblings();
        self.speaker.phase = Phase::Due;
        self.run_due(step.ended);
        self.speaker.phase = Phase::End;
        self.evaluate_dirty(step.ended);
        self.speaker.phase = Phase::After;
        self.end_looks(step.ended);
        for (tier, pack) in self.rollups.take(step.ended, step.position()) {
            self.speaker.rollup(step.ended, tier.token(), pack);
        }
        self.sweep(step.began, step.ended);
        self.free_gone();
        self.now = Some(step.ended);
        self.speaker.take()
    }

    /// Takes note of the step, and of a hole in log time before it.
    fn begin(&mut self, step: &Step) {
        let longest = self.settings.rules.iter().map(|rule| rule.window).max();
        let position = self.speaker.position;
        self.speaker.marks.remember(step.began, position, longest.unwrap_or_default());
        self.speaker.position = step.position();
        match self.now {
            None => self.armed = step.began,
            Some(now) if step.began.since(now) > HOLE => self.wake(now, step.began),
            Some(_) => {}
        }
    }

    /// All clocks stood still over a hole; absence is armed anew after it.
    fn wake(&mut self, from: Time, to: Time) {
        let hole = to.since(from);
        self.armed = to;
        self.dues = DueQueue::default();
        for (id, group) in self.groups.iter_mut() {
            group.armed = to;
            group.last = group.last.map(|last| last.plus(hole));
            group.alerts.iter_mut().for_each(|alert| alert.freeze(hole));
            group.restless = None;
            group.due = Due::default();
            // Panes left unseen: look at everything once.
            self.dues.set(&mut group.due, Some(to), Whom::Group(id));
        }
        for (_, view) in self.views.iter_mut() {
            view.due = Due::default();
            view.last = view.last.map(|last| last.plus(hole));
        }
        for id in self.joins.wake(hole, to) {
            self.join_wakes(id, to);
        }
        self.stand_next(to);
        for (id, watching) in self.watches.iter_mut() {
            watching.watch.freeze(hole);
            watching.due = Due::default();
            self.dues.set(&mut watching.due, Some(to), Whom::Watch(id));
        }
        if self.place.is_first() {
            self.speaker.phase = Phase::Hole;
            let position = self.speaker.position;
            let gap = DataGap { schema: SCHEMA, from, to, length: hole, position, lost: None };
            self.speaker.event(to, ("", ""), &ShardEvent::DataGap(gap));
        }
    }

    fn control(&mut self, entry: &crate::log::Entry, ahead: &Ahead, now: Time) {
        match entry.kind {
            EntryKind::Settings => self.take_settings(entry, ahead, now),
            EntryKind::Verify => self.take_request(entry, now),
            EntryKind::Look => self.take_look(entry, now),
            EntryKind::Metric(_)
            | EntryKind::Batch
            | EntryKind::Tick
            | EntryKind::Desk(_)
            | EntryKind::Skipped
            | EntryKind::Unknown => {}
        }
    }

    fn run_due(&mut self, until: Time) {
        while let Some((at, whom)) = self.dues.pop(until) {
            match whom {
                Whom::Group(id) => {
                    let Some(group) = self.groups.get_mut(id) else { continue };
                    if self.views[group.view].gone {
                        continue;
                    }
                    if group.due.take(at, whom, &mut self.dues) {
                        self.evaluate(id, at);
                    }
                }
                Whom::View(id) => self.view_due(id, at),
                Whom::Watch(id) => {
                    let Some(watching) = self.watches.get_mut(id) else { continue };
                    if watching.due.take(at, whom, &mut self.dues) {
                        self.look(id, at);
                    }
                }
                Whom::Join(id) => self.join_due(id, at),
                Whom::Stand => self.stand(at),
            }
        }
    }

    /// Views learn when any of their groups last got a sample, before anybody is judged by it.
    fn note_siblings(&mut self) {
        for id in &self.dirty {
            let group = &self.groups[*id];
            let view = &mut self.views[group.view];
            view.last = view.last.max(group.last);
        }
        self.joins.note_siblings();
    }

    fn evaluate_dirty(&mut self, now: Time) {
        self.evaluate_edited(now);
        self.evaluate_fresh(now);
        let dirty = std::mem::take(&mut self.dirty);
        for together in dirty.chunks(TOGETHER) {
            if dirty.len() > NEAR {
                self.look_ahead(together);
            }
            for id in together {
                let group = &mut self.groups[*id];
                // An edit had all groups of its view looked at already, or took them away.
                if std::mem::take(&mut group.dirty) && !self.views[group.view].gone {
                    self.evaluate(*id, now);
                }
            }
        }
        self.dirty = dirty;
        self.dirty.clear();
        for id in std::mem::take(&mut self.touched_watches) {
            if self.watches.get(id).is_some() {
                self.look(id, now);
            }
        }
        for id in self.joins.take_touched(now) {
            self.evaluate_join(id, now);
        }
        self.show_edges(now);
    }

    /// Tells people something about `about.0`; `about.1` sets it apart from others about the same.
    fn notice(&mut self, now: Time, kind: &str, about: (&str, &str), text: String) {
        let (kind, subject) = (kind.to_owned(), about.0.to_owned());
        let position = self.speaker.position;
        let notice = Notice { schema: SCHEMA, time: now, position, kind, subject, text };
        self.speaker.event(now, about, &ShardEvent::Notice(notice));
    }
}
