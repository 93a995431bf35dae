//! Parts, cells and guests: the windows joined rules read, and the series that fill them.

use super::Joins;
use crate::batch::Kind;
use crate::history::History;
use crate::matcher::{Filter, Matcher};
use crate::settings::{Rule, Stat};
use crate::shard::metric::{filter, group_text, sorted};
use crate::term::Term;
use crate::time::{Span, Time};
use crate::window::{Placement, Window, WindowSpec};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What makes joined rules share windows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PartKey {
    pub(super) home: usize,
    pub(super) metric: Box<str>,
    matchers: Vec<Matcher>,
    /// Sorted.
    group_by: Vec<String>,
    spec: WindowSpec,
    baseline: Option<Span>,
    /// As of the join.
    since: (u64, Option<Time>),
}

impl PartKey {
    /// What a term reads of `metric`, which is its own or the one it is divided by.
    pub(super) fn of(
        rule: &Rule,
        term: &Term,
        metric: &str,
        home: usize,
        since: (u64, Option<Time>),
    ) -> Self {
        let threshold = match term.stat {
            Stat::Above | Stat::Below => term.threshold,
            _ => 0.0,
        };
        Self {
            home,
            metric: metric.into(),
            matchers: term.matchers.clone(),
            group_by: sorted(&rule.group_by),
            spec: WindowSpec { stat: term.stat, window: term.window, threshold },
            baseline: term.baseline,
            since,
        }
    }

    /// How far back it looks.
    pub(super) fn reach(&self) -> Span {
        Span(self.spec.window.0.saturating_add(self.baseline.unwrap_or_default().0))
    }

    pub(super) fn stat(&self) -> Stat {
        self.spec.stat
    }

    pub(super) fn is_grouped(&self) -> bool {
        !self.group_by.is_empty()
    }
}

/// One window over one metric.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) key: PartKey,
    filter: Filter,
    /// By label text.
    pub(super) cells: BTreeMap<Arc<str>, u32>,
    /// Who reads it.
    pub(super) joins: Vec<u32>,
    /// When the last sample of any cell came, moved on over holes.
    pub(super) last: Option<Time>,
    /// The desk judges by it.
    pub(super) glimpsed: bool,
}

/// One label set of a part.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) part: u32,
    pub(super) text: Arc<str>,
    pub(super) window: Window,
    pub(super) history: Option<Box<History>>,
    /// When the last sample came, moved on over holes.
    pub(super) last: Option<Time>,
    /// Series whose samples come here.
    pub(super) series: u32,
    pub(super) dirty: bool,
    /// When the desk was last shown it.
    pub(super) shown: Option<Time>,
    /// There may be something new to show.
    pub(super) unshown: bool,
}

/// A metric whose samples are taken for joined rules of one home.
#[derive(Debug, Default)]
pub(super) struct Guest {
    pub(super) parts: Vec<u32>,
    /// By key.
    pub(super) series: BTreeMap<Arc<str>, u32>,
    pub(super) next_number: u32,
}

/// A series of a guest.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) key: Arc<str>,
    pub(super) home: usize,
    /// What windows know it by.
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) cells: SmallVec<[u32; 2]>,
    pub(super) last: Time,
}

impl Joins {
    /// The part of this key, made if it is new.
    pub(super) fn part(&mut self, key: PartKey) -> u32 {
        let place = (key.home, key.metric.clone());
        let guest = self.guests.entry(place).or_default();
        if let Some(id) = guest.parts.iter().find(|id| self.parts[**id].key == key) {
            return *id;
        }
        let slices = self.hosts.entry(key.metric.clone()).or_default();
        if !slices.contains(&key.home) {
            slices.push(key.home);
            slices.sort_unstable();
        }
        let (filter, joins) = (filter(&key.matchers), Vec::new());
        let cells = BTreeMap::new();
        let part = Part { key, filter, cells, joins, last: None, glimpsed: false };
        let id = self.parts.insert(part);
        guest.parts.push(id);
        id
    }

    /// The cell of `part` that samples of `key` fall into, made if it is new at `now`; it has one series more.
    pub(super) fn enter(&mut self, part: u32, key: &str, now: Time) -> Option<u32> {
        let owner = &self.parts[part];
        if !owner.filter.takes_key(key) {
            return None;
        }
        let text = group_text(key, &owner.key.group_by);
        let id = self.cell(part, &text, now);
        self.cells[id].series += 1;
        Some(id)
    }

    /// The cell of this text, made if it is new at `now`.
    pub(super) fn cell(&mut self, part: u32, text: &str, now: Time) -> u32 {
        let owner = &mut self.parts[part];
        if let Some(id) = owner.cells.get(text) {
            return *id;
        }
        let (text, key): (Arc<str>, _) = (text.into(), &owner.key);
        let from = key.since.1;
        let began = from.map_or(now, |from| from.max(now));
        let history = key.baseline.map(|offset| History::new(key.spec.window, offset, began));
        let window = Window::new(key.spec, from);
        let cell = Cell {
            part,
            text: Arc::clone(&text),
            window,
            history: history.map(Box::new),
            last: None,
            series: 0,
            dirty: false,
            shown: None,
            unshown: true,
        };
        let id = self.cells.insert(cell);
        owner.cells.insert(text, id);
        id
    }

    /// Drops what no join reads any more.
    pub(super) fn drop_unread(&mut self) {
        let unread: Vec<u32> =
            self.parts.iter().filter(|(_, part)| part.joins.is_empty()).map(|(id, _)| id).collect();
        for id in unread {
            let Some(part) = self.parts.remove(id) else { continue };
            for cell in part.cells.values() {
                self.cells.remove(*cell);
            }
            let place = (part.key.home, part.key.metric);
            let Some(guest) = self.guests.get_mut(&place) else { continue };
            guest.parts.retain(|other| *other != id);
            if guest.parts.is_empty() {
                self.drop_guest(&place);
            }
        }
        self.dirty.retain(|id| self.cells.get(*id).is_some());
        self.edges.retain(|id| self.cells.get(*id).is_some());
    }

    fn drop_guest(&mut self, place: &(usize, Box<str>)) {
        let Some(guest) = self.guests.remove(place) else { return };
        for id in guest.series.values() {
            self.drop_visitor(*id);
        }
        if let Some(slices) = self.hosts.get_mut(&place.1) {
            slices.retain(|slice| *slice != place.0);
            if slices.is_empty() {
                self.hosts.remove(&place.1);
            }
        }
    }

    /// Forgets a series; its guest and its cells are the caller's business.
    pub(super) fn drop_visitor(&mut self, id: u32) -> Option<Visitor> {
        let visitor = self.visitors.remove(id)?;
        self.known[visitor.home] -= 1;
        if let Some(ids) = self.by_key.get_mut(&visitor.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&visitor.key);
            }
        }
        Some(visitor)
    }

    /// Every series enters the cells of its guest's parts, as they are now.
    pub(super) fn enter_all(&mut self, now: Time) {
        self.cells.iter_mut().for_each(|(_, cell)| cell.series = 0);
        let guests: Vec<(Vec<u32>, Vec<u32>)> = self
            .guests
            .values()
            .map(|guest| (guest.parts.clone(), guest.series.values().copied().collect()))
            .collect();
        for (parts, series) in guests {
            for id in series {
                let key = Arc::clone(&self.visitors[id].key);
                let cells = parts.iter().filter_map(|part| self.enter(*part, &key, now)).collect();
                self.visitors[id].cells = cells;
            }
        }
    }
}

impl Cell {
    /// Adds a sample that came at `at`; whether anything may be another by it. Too late for the window, it may still be
    /// in time for the history.
    pub(super) fn add(
        &mut self,
        (series, kind): (u32, Kind),
        (time, value): (Time, f64),
        at: Time,
    ) -> bool {
        let counts = match self.window.add(series, time, value, kind, at) {
            Placement::Counted | Placement::Waiting => true,
            Placement::Late | Placement::TooEarly | Placement::Dropped => false,
        };
        if counts {
            self.last = self.last.max(Some(at));
        }
        let history = self.history.as_mut();
        history.is_some_and(|history| history.add(time, value, at)) || counts
    }
}
