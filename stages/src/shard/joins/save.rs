//! The joined rules of a slice as part of its snapshot: a snapshot without them, as older ones are, has none.

use super::glimpses::Shown;
use super::part::{Part, Visitor};
use super::watch::Watched;
use super::{Join, JoinGroup, Joins, Purpose};
use crate::batch::varint::{Cursor, put, put_bytes, put_signed};
use crate::batch::{BatchError, Kind};
use crate::due::Due;
use crate::settings::Rule;
use crate::shard::snapshot::{BAD, from_json, json, load_time, save_time};
use crate::shard::{Shard, Whom};
use crate::time::Time;
use crate::track::Alert;
use crate::window::Window;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Joins {
    /// Appends what is at home in `slice`: joins with their groups, guests with their series, then the cells of the
    /// parts in the order in which the joins name them.
    pub(in crate::shard) fn save(&self, slice: usize, out: &mut Vec<u8>) {
        let joins: Vec<u32> = self.of(slice);
        if joins.is_empty() {
            return;
        }
        put(out, joins.len() as u64);
        joins.iter().for_each(|id| self.save_join(&self.joins[*id], out));
        let guests = || self.guests.iter().filter(|(place, _)| place.0 == slice);
        put(out, guests().count() as u64);
        for ((_, metric), guest) in guests() {
            put_bytes(out, metric.as_bytes());
            put(out, u64::from(guest.next_number));
            put(out, guest.series.len() as u64);
            for visitor in guest.series.values().map(|id| &self.visitors[*id]) {
                put_bytes(out, visitor.key.as_bytes());
                put(out, u64::from(visitor.number));
                out.push(u8::from(visitor.kind == Kind::Counter));
                put_signed(out, visitor.last.0);
            }
        }
        self.parts_of(&joins).iter().for_each(|id| self.save_part(&self.parts[*id], out));
    }

    fn save_join(&self, join: &Join, out: &mut Vec<u8>) {
        match &join.purpose {
            Purpose::Verdict(watched) => {
                out.push(1);
                put_bytes(out, &json(&**watched));
                put_bytes(out, &json(&*join.rule));
            }
            Purpose::Glimpses(shown) => {
                out.push(2);
                put_bytes(out, &json(&shown.request));
                put_bytes(out, &json(&*join.rule));
            }
            Purpose::Alerts => {
                out.push(0);
                put_bytes(out, join.rule.name.as_bytes());
            }
        }
        put(out, join.since.0);
        save_time(join.since.1, out);
        put(out, join.groups.len() as u64);
        for (text, group) in join.groups.iter().map(|(text, id)| (text, &self.groups[*id])) {
            put_bytes(out, text.as_bytes());
            put_signed(out, group.armed.0);
            save_time(group.due.at(), out);
            group.alert.save(out);
        }
    }

    fn save_part(&self, part: &Part, out: &mut Vec<u8>) {
        save_time(part.last, out);
        put(out, part.cells.len() as u64);
        for cell in part.cells.values().map(|id| &self.cells[*id]) {
            put_bytes(out, cell.text.as_bytes());
            save_time(cell.last, out);
            let mut bytes = Vec::new();
            cell.window.save(&mut bytes);
            put_bytes(out, &bytes);
            if let Some(history) = &cell.history {
                history.save(out);
            }
            if part.glimpsed {
                save_time(cell.shown, out);
                out.push(u8::from(cell.unshown));
            }
        }
    }

    /// The joins at home in `slice`, in their order.
    fn of(&self, slice: usize) -> Vec<u32> {
        let all = self.ordered().into_iter();
        all.filter(|id| self.joins[*id].home == slice).collect()
    }

    /// The parts these joins read, each once, in the order they name them.
    fn parts_of(&self, joins: &[u32]) -> Vec<u32> {
        let mut parts = Vec::new();
        for join in joins.iter().map(|id| &self.joins[*id]) {
            let ways = join.lists.iter().flatten();
            let read = ways.flat_map(|way| std::iter::once(way.of).chain(way.per));
            let shown = join.shown().into_iter().flat_map(|shown| &shown.places);
            for part in read.chain(shown.map(|place| place.part)) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        parts
    }
}

impl Shard {
    /// Reads what [`Joins::save`] appended for `slice`; nothing, where nothing follows.
    pub(in crate::shard) fn load_joins(
        &mut self,
        slice: usize,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), BatchError> {
        if cursor.is_empty() {
            return Ok(());
        }
        let mut groups = Vec::new();
        for _ in 0..cursor.count(4)? {
            self.load_join(slice, cursor, &mut groups)?;
        }
        let now = self.now();
        self.lay_parts(now);
        for _ in 0..cursor.count(3)? {
            let metric = cursor.text()?.to_owned();
            let next_number = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let place = (slice, metric.as_str().into());
            self.joins.guests.get_mut(&place).ok_or(BAD)?.next_number = next_number;
            for _ in 0..cursor.count(4)? {
                let key: Arc<str> = cursor.text()?.into();
                let number = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
                let kind = if cursor.byte()? == 0 { Kind::Gauge } else { Kind::Counter };
                let (last, cells) = (Time(cursor.signed()?), SmallVec::new());
                let visitor = Visitor { key, home: slice, number, kind, cells, last };
                self.take_in(&metric, visitor);
            }
        }
        for part in self.joins.parts_of(&self.joins.of(slice)) {
            self.load_part(part, cursor)?;
        }
        self.joins.enter_all(now);
        for (join, text, group) in groups {
            self.load_group(join, text, group);
        }
        self.joins.touched.clear();
        Ok(())
    }

    fn load_join(
        &mut self,
        home: usize,
        cursor: &mut Cursor<'_>,
        groups: &mut Vec<(u32, Arc<str>, JoinGroup)>,
    ) -> Result<(), BatchError> {
        let (rule, purpose) = match cursor.byte()? {
            0 => {
                let name = cursor.text()?;
                let rule = self.settings.rule(name);
                let rule = rule.filter(|rule| rule.is_joined()).ok_or(BAD)?;
                (Arc::clone(rule), Purpose::Alerts)
            }
            1 => {
                let watched = Box::new(from_json::<Watched>(cursor.bytes()?)?);
                (load_rule(cursor)?, Purpose::Verdict(watched))
            }
            2 => {
                let shown = Box::new(Shown::new(from_json(cursor.bytes()?)?));
                (load_rule(cursor)?, Purpose::Glimpses(shown))
            }
            _ => return Err(BAD),
        };
        let since = (cursor.unsigned()?, load_time(cursor)?);
        let lists = Arc::default();
        let join = Join { rule, home, since, lists, groups: BTreeMap::new(), purpose };
        let join = self.joins.joins.insert(join);
        for _ in 0..cursor.count(4)? {
            let text: Arc<str> = cursor.text()?.into();
            let (armed, at) = (Time(cursor.signed()?), load_time(cursor)?);
            let (alert, due) = (Alert::load(cursor)?, Due::unqueued(at));
            let group = JoinGroup { join, text: Arc::clone(&text), alert, armed, due };
            groups.push((join, text, group));
        }
        Ok(())
    }

    fn load_part(&mut self, part: u32, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        self.joins.parts[part].last = load_time(cursor)?;
        let (now, glimpsed) = (self.now(), self.joins.parts[part].glimpsed);
        for _ in 0..cursor.count(4)? {
            let text = cursor.text()?.to_owned();
            let id = self.joins.cell(part, &text, now);
            let cell = &mut self.joins.cells[id];
            cell.last = load_time(cursor)?;
            let (window, rest) = Window::load(cursor.bytes()?)?;
            if !rest.is_empty() || window.spec() != cell.window.spec() {
                return Err(BAD);
            }
            cell.window = window;
            if let Some(history) = &mut cell.history {
                history.load(cursor)?;
            }
            if glimpsed {
                (cell.shown, cell.unshown) = (load_time(cursor)?, cursor.byte()? != 0);
            }
        }
        Ok(())
    }

    fn load_group(&mut self, join: u32, text: Arc<str>, group: JoinGroup) {
        // One that laying the parts has made already is counted as unknown.
        self.drop_join_group(join, &text);
        let at = group.due.at();
        if self.joins.joins[join].alerts() {
            self.axes.came(group.alert.state.axis());
        }
        let id = self.joins.groups.insert(group);
        self.joins.joins[join].groups.insert(text, id);
        self.dues.set(&mut self.joins.groups[id].due, at, Whom::Join(id));
    }
}

fn load_rule(cursor: &mut Cursor<'_>) -> Result<Arc<Rule>, BatchError> {
    let rule = from_json::<Rule>(cursor.bytes()?)?;
    crate::shard::rules::check_terms(&rule).map_err(|_| BAD)?;
    Ok(Arc::new(rule))
}
