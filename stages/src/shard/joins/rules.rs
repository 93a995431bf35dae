//! Settings: which joined rules a shard judges, and what an edit does to their alerts.
//!
//! As for other rules (`shard/rules.rs`). Where what a rule sees has changed - a metric, `where`, a statistic or window of
//! any term, `group_by` - its windows begin anew, and Firing is inherited by the label sets that a series known here still
//! falls into; all others end as `rule_changed`. So do all alerts where a rule groups by other labels, where it becomes
//! joined or is no longer, and where its first metric is another one: that may be another worker's, or another shard's.

use super::part::PartKey;
use super::{Join, Purpose, Way};
use crate::settings::{Rule, Settings};
use crate::shard::metric::{filter, group_text, sorted};
use crate::shard::rules::{Edit, compare};
use crate::shard::{Shard, Whom, slice_of};
use crate::time::Time;
use crate::track::axis::{Closing, Event};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Shard {
    /// Judges by these settings' joined rules from now on.
    pub(in crate::shard) fn apply_joins(
        &mut self,
        settings: &Settings,
        names: &FxHashSet<&str>,
        (since, now): (u64, Time),
    ) {
        let wanted = self.wanted_joins(settings);
        let alerts = self.joins.joins.iter().filter(|(_, join)| join.alerts());
        let old: BTreeMap<String, u32> =
            alerts.map(|(id, join)| (join.rule.name.clone(), id)).collect();
        let shows = |rule: &Arc<Rule>| self.shows(rule);
        let shown = self.joins.joins.iter().any(|(_, join)| join.shown().is_some());
        if old.is_empty() && wanted.is_empty() && !shown && !settings.rules.iter().any(shows) {
            return;
        }
        let stays = |name: &str, home: &str| {
            wanted.iter().any(|rule| rule.name == name && rule.metric == home)
        };
        let (old, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            old.into_iter().partition(|(name, id)| stays(name, &self.joins.joins[*id].rule.metric));
        for (name, id) in gone {
            let moved = names.contains(name.as_str());
            let why = if moved { Closing::RuleChanged } else { Closing::RuleRemoved };
            self.happen_to_all(id, Event::Close(why), now);
            self.remove_join(id);
        }
        let mut renamed = Vec::new();
        for rule in wanted {
            match old.get(&rule.name) {
                Some(id) => renamed.append(&mut self.edit_join(*id, rule, (since, now))),
                None => {
                    // One that was there and read something else sees what comes from here on.
                    let moved = self.settings.rule(&rule.name).is_some();
                    let (home, since) = (slice_of(&rule.metric), (since, moved.then_some(now)));
                    let (lists, groups, purpose) =
                        (Arc::default(), BTreeMap::new(), Purpose::Alerts);
                    let join = Join { rule, home, since, lists, groups, purpose };
                    self.joins.joins.insert(join);
                }
            }
        }
        self.apply_glimpses(settings, (since, now));
        self.lay_parts(now);
        for group in renamed {
            // Said under the rule it was, it is said again with the severity it has now.
            self.happen_to_join(group, Event::Change, now);
        }
        self.joins.touched = self.joins.groups.iter().map(|(id, _)| id).collect();
    }

    /// The joined rules at home on this worker.
    fn wanted_joins(&self, settings: &Settings) -> Vec<Arc<Rule>> {
        let here = |rule: &&Arc<Rule>| {
            rule.is_joined()
                && self.place.owns(slice_of(&rule.metric))
                && self.place.is_of_shard(&rule.metric)
                && !self.shows(rule)
        };
        settings.rules.iter().filter(here).cloned().collect()
    }

    /// Edits a rule; the groups whose open alerts have another severity by that.
    fn edit_join(&mut self, id: u32, rule: Arc<Rule>, (since, now): (u64, Time)) -> Vec<u32> {
        let before = Arc::clone(&self.joins.joins[id].rule);
        // What the edit makes it say is for whoever the edited rule is for.
        if before.mode != rule.mode {
            self.joins.joins[id].rule = Arc::new(Rule { mode: rule.mode, ..(*before).clone() });
        }
        match edit(&before, &rule) {
            Edit::Text => {}
            Edit::Clocks => self.happen_to_all(id, Event::Change, now),
            Edit::Panes => {
                self.begin_anew(id, &rule, now);
                self.joins.joins[id].since = (since, Some(now));
            }
        }
        let join = &mut self.joins.joins[id];
        join.rule = Arc::clone(&rule);
        let groups = join.groups.values().copied();
        groups.filter(|id| self.joins.groups[*id].alert.regrade(&before, &rule)).collect()
    }

    /// A rule sees other panes by an edit: alerts go on where their label set is still there, all others end.
    fn begin_anew(&mut self, id: u32, rule: &Rule, now: Time) {
        let join = &self.joins.joins[id];
        let alike = sorted(&join.rule.group_by) == sorted(&rule.group_by);
        let texts = if alike { self.joins.texts_of(join.home, rule) } else { BTreeSet::new() };
        for (text, group) in join.groups.clone() {
            if texts.contains(&*text) {
                self.happen_to_join(group, Event::Rebase, now);
                let group_of = &mut self.joins.groups[group];
                group_of.armed = now;
                // What it waited for was to be seen in windows that are gone.
                self.dues.set(&mut group_of.due, None, Whom::Join(group));
            } else {
                self.happen_to_join(group, Event::Close(Closing::RuleChanged), now);
                self.drop_join_group(id, &text);
            }
        }
    }

    fn happen_to_all(&mut self, join: u32, event: Event, now: Time) {
        let groups: Vec<u32> = self.joins.joins[join].groups.values().copied().collect();
        groups.into_iter().for_each(|group| self.happen_to_join(group, event, now));
    }

    fn drop_groups(&mut self, join: u32) {
        let texts: Vec<Arc<str>> = self.joins.joins[join].groups.keys().cloned().collect();
        texts.iter().for_each(|text| self.drop_join_group(join, text));
    }

    /// Forgets a join; what it read goes when parts are laid next.
    pub(super) fn remove_join(&mut self, id: u32) {
        self.drop_groups(id);
        self.joins.joins.remove(id);
    }

    /// Lays the parts anew for the joins there are: what is read as before stays, series enter what is new.
    pub(super) fn lay_parts(&mut self, now: Time) {
        for (_, part) in self.joins.parts.iter_mut() {
            part.joins.clear();
            part.glimpsed = false;
        }
        for id in self.joins.ordered() {
            match self.joins.joins[id].shown() {
                Some(_) => self.lay_shown(id),
                None => self.lay_ways(id),
            }
        }
        self.joins.drop_unread();
        self.joins.enter_all(now);
        let cells: Vec<u32> = self.joins.cells.iter().map(|(id, _)| id).collect();
        cells.into_iter().for_each(|cell| self.groups_of_cell(cell, now));
        for id in self.joins.ordered() {
            self.lay_cells(id, now);
            let join = &self.joins.joins[id];
            // One alert over all series is there before the first of them.
            if join.rule.group_by.is_empty() && join.alerts() {
                self.join_group(id, &Arc::from(""), now);
            }
        }
        // Ways of series may lead to what is gone, and not to what is new.
        self.tables.clear();
    }

    fn lay_ways(&mut self, id: u32) {
        let join = &self.joins.joins[id];
        let (rule, home, since) = (Arc::clone(&join.rule), join.home, join.since);
        let mut lists = Vec::with_capacity(rule.any_of.len());
        for terms in &rule.any_of {
            let mut list = Vec::with_capacity(terms.len());
            for term in terms {
                let mut part = |metric: &str| {
                    let part = self.joins.part(PartKey::of(&rule, term, metric, home, since));
                    let joins = &mut self.joins.parts[part].joins;
                    if !joins.contains(&id) {
                        joins.push(id);
                    }
                    part
                };
                let (of, per) = (part(&term.metric), term.per.as_deref().map(&mut part));
                let (term, rule) = (Arc::new(term.clone()), Arc::new(rule.of_term(term)));
                list.push(Way { term, rule, of, per });
            }
            lists.push(list);
        }
        self.joins.joins[id].lists = lists.into();
    }
}

impl super::Joins {
    /// The label sets that known series fall into by the terms of a rule.
    fn texts_of(&self, home: usize, rule: &Rule) -> BTreeSet<Box<str>> {
        let group_by = sorted(&rule.group_by);
        let mut texts: BTreeSet<Box<str>> =
            group_by.is_empty().then(Box::default).into_iter().collect();
        for term in rule.terms() {
            let filter = filter(&term.matchers);
            for metric in term.metrics() {
                let guest = self.guests.get(&(home, metric.into()));
                let keys = guest.into_iter().flat_map(|guest| guest.series.keys());
                let keys = keys.filter(|key| filter.takes_key(key));
                texts.extend(keys.map(|key| Box::from(group_text(key, &group_by))));
            }
        }
        texts
    }

    /// All joins: of each home the rules by name, then the verifications by incident.
    pub(super) fn ordered(&self) -> Vec<u32> {
        let name = |join: &Join| {
            let incident = join.request().map(|request| request.incident.clone());
            (join.home, incident, join.rule.name.clone())
        };
        let mut all: Vec<_> = self.joins.iter().map(|(id, join)| (name(join), id)).collect();
        all.sort();
        all.into_iter().map(|(_, id)| id).collect()
    }
}

/// What kind of edit lies between two joined rules of one name and first metric.
pub(in crate::shard) fn edit(before: &Rule, after: &Rule) -> Edit {
    let same_view = before.any_of.len() == after.any_of.len()
        && before.any_of.iter().zip(&after.any_of).all(|(one, other)| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.sees_as(other))
        });
    if !same_view || sorted(&before.group_by) != sorted(&after.group_by) {
        return Edit::Panes;
    }
    match compare(before, after) {
        Edit::Text if before.any_of == after.any_of => Edit::Text,
        Edit::Text | Edit::Clocks | Edit::Panes => Edit::Clocks,
    }
}
