//! Samples of guests: into the cells of their parts, beside the way to the owner of their metric.

use super::part::Visitor;
use crate::batch::{Block, Kind};
use crate::series::split_key;
use crate::shard::registry::{IDLE_MIN, Route};
use crate::shard::{SLICES, Shard};
use crate::time::{Span, Time};
use crate::track::Alert;
use crate::wire::Axis;
use smallvec::SmallVec;
use std::sync::Arc;

/// All ways of the samples of one series.
#[derive(Clone, Debug)]
pub(in crate::shard) struct Ways {
    /// To its owner.
    pub(in crate::shard) own: Route,
    /// To joined rules.
    pub(in crate::shard) visitors: SmallVec<[u32; 1]>,
}

impl Shard {
    /// The series of `key` as a guest of this worker's slices; made where it is new and there is room.
    pub(in crate::shard) fn visit(
        &mut self,
        key: &str,
        kind: Kind,
        now: Time,
    ) -> SmallVec<[u32; 1]> {
        if self.joins.hosts.is_empty() {
            return SmallVec::new();
        }
        let (name, _) = split_key(key);
        let Some(homes) = self.joins.hosts.get(name).cloned() else { return SmallVec::new() };
        let mut known = self.joins.by_key.get(key).cloned().unwrap_or_default();
        if known.len() < homes.len() {
            let there: SmallVec<[usize; 2]> =
                known.iter().map(|id| self.joins.visitors[*id].home).collect();
            for home in homes.into_iter().filter(|home| !there.contains(home)) {
                known.extend(self.admit((home, name), key, kind, now));
            }
        }
        known
    }

    fn admit(
        &mut self,
        (home, name): (usize, &str),
        key: &str,
        kind: Kind,
        now: Time,
    ) -> Option<u32> {
        let limits = &self.settings.limits;
        let share = limits.series_per_shard.div_ceil(SLICES as u32);
        let guest = self.joins.guests.get_mut(&(home, name.into()))?;
        let full = guest.series.len() >= limits.series_per_metric as usize;
        if full || self.joins.known[home] >= share {
            return None;
        }
        let number = guest.next_number;
        guest.next_number += 1;
        let parts = guest.parts.clone();
        let id = self.take_in(
            name,
            Visitor { key: key.into(), home, number, kind, cells: SmallVec::new(), last: now },
        );
        let cells: SmallVec<[u32; 2]> =
            parts.iter().filter_map(|part| self.joins.enter(*part, key, now)).collect();
        cells.iter().for_each(|cell| self.groups_of_cell(*cell, now));
        self.joins.visitors[id].cells = cells;
        Some(id)
    }

    /// Makes a series known, without its cells.
    pub(super) fn take_in(&mut self, name: &str, visitor: Visitor) -> u32 {
        let (key, home) = (Arc::clone(&visitor.key), visitor.home);
        let id = self.joins.visitors.insert(visitor);
        self.joins.known[home] += 1;
        if let Some(guest) = self.joins.guests.get_mut(&(home, name.into())) {
            guest.series.insert(Arc::clone(&key), id);
        }
        self.joins.by_key.entry(key).or_default().push(id);
        id
    }

    /// The samples of one series in a batch, once more for each home that joins them. Faults in them are its owner's.
    pub(in crate::shard) fn visitor_block(&mut self, id: u32, block: &Block<'_>, at: Time) {
        let _owner_says_so = block.for_each(|time, value, sample_id| {
            self.visitor_sample(id, (time, value, sample_id), at);
        });
    }

    /// One sample: time, value and id.
    pub(in crate::shard) fn visitor_sample(
        &mut self,
        id: u32,
        (time, value, sample_id): (Option<Time>, f64, Option<&str>),
        at: Time,
    ) {
        let time = time.unwrap_or(at);
        if time > at.plus(self.settings.limits.max_future) {
            return;
        }
        let Self { joins, ids, .. } = self;
        let visitor = &mut joins.visitors[id];
        if let Some(text) = sample_id {
            // Its owner may remember the same id in the same slice.
            let name = format!("{}\u{1f}", split_key(&visitor.key).0);
            if !ids[visitor.home].is_new(&name, text, at) {
                return;
            }
        }
        visitor.last = at;
        for id in &visitor.cells {
            let cell = &mut joins.cells[*id];
            if cell.add((visitor.number, visitor.kind), (time, value), at) && !cell.dirty {
                cell.dirty = true;
                joins.dirty.push(*id);
            }
        }
    }

    /// Once a minute: frees guests' series that have been idle for long and have nothing open; whether it freed any.
    pub(in crate::shard) fn sweep_joins(&mut self, now: Time) -> bool {
        let mut gone = Vec::new();
        for (place, guest) in &self.joins.guests {
            let reach = guest.parts.iter().map(|id| self.joins.parts[*id].key.reach()).max();
            let idle = Span(reach.unwrap_or_default().0.saturating_mul(2).max(IDLE_MIN.0));
            let idle = |id: &&u32| {
                let visitor = &self.joins.visitors[**id];
                let calm = |cell: &u32| self.is_cell_calm(*cell);
                now.since(visitor.last) >= idle && visitor.cells.iter().all(calm)
            };
            gone.extend(guest.series.values().filter(idle).map(|id| (place.clone(), *id)));
        }
        for (place, id) in &gone {
            let Some(visitor) = self.joins.drop_visitor(*id) else { continue };
            if let Some(guest) = self.joins.guests.get_mut(place) {
                guest.series.remove(&visitor.key);
            }
            for cell in visitor.cells {
                self.leave_cell(cell);
            }
        }
        !gone.is_empty()
    }

    fn is_cell_calm(&self, id: u32) -> bool {
        let cell = &self.joins.cells[id];
        let groups = self.joins.parts[cell.part].joins.iter();
        let groups = groups.filter_map(|join| self.joins.joins[*join].groups.get(&cell.text));
        let calm = |alert: &Alert| matches!(alert.state.axis(), Axis::Unknown | Axis::Ok);
        groups.into_iter().all(|group| calm(&self.joins.groups[*group].alert))
    }

    /// A cell has one series less; without any it goes, and groups that no cell is left of.
    fn leave_cell(&mut self, id: u32) {
        let cell = &mut self.joins.cells[id];
        cell.series -= 1;
        let (part, text) = (cell.part, Arc::clone(&cell.text));
        if cell.series > 0 || !self.joins.parts[part].key.is_grouped() {
            return;
        }
        self.joins.cells.remove(id);
        self.joins.dirty.retain(|other| *other != id);
        self.joins.edges.remove(&id);
        let part = &mut self.joins.parts[part];
        part.cells.remove(&text);
        for join in part.joins.clone() {
            self.drop_group_without_cells(join, &text);
        }
    }
}
