//! Views laid anew after an edit: what looks at the same panes keeps them, alerts follow their rule.

use super::metric::{Group, View, ViewKey};
use super::rules::Looking;
use super::{Shard, Whom};
use crate::settings::Rule;
use crate::time::Time;
use crate::track::Alert;
use crate::track::axis::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Alerts on their way to their new group, by rule: the rule they had, and they by group text, sorted.
type Moving = BTreeMap<String, (Arc<Rule>, Vec<(Arc<str>, Alert)>)>;

/// Groups freed in a step, after their view is gone: some five milliseconds of it.
const FREED_A_STEP: usize = 4_096;

impl Shard {
    /// Lays the views of a metric anew, for these rules.
    pub(super) fn lay_views(&mut self, metric: u32, looks: Vec<Looking>, now: Time) {
        let mut old: Vec<u32> = std::mem::take(&mut self.metrics[metric].views);
        let mut moving = self.take_alerts(&old, &looks);
        let mut laid: Vec<(ViewKey, Vec<Arc<Rule>>)> = Vec::new();
        for (rule, key) in looks {
            match laid.iter_mut().find(|(other, _)| *other == key) {
                Some((_, rules)) => rules.push(rule),
                None => laid.push((key, vec![rule])),
            }
        }
        let (mut views, mut made) = (Vec::new(), BTreeSet::new());
        for (key, rules) in laid {
            let same = |id: &u32| same_panes(&self.views[*id].key, &key);
            let view = if let Some(at) = old.iter().position(same) {
                old.remove(at)
            } else if let Some(taken) =
                views.iter().copied().find(|id| !made.contains(id) && same(id))
            {
                // Rules that counted shares by one threshold and part: each keeps the panes.
                self.copy_view(taken)
            } else {
                let view = self.views.insert(View::new(key.clone()));
                made.insert(view);
                view
            };
            self.set_rules(view, key, rules);
            views.push(view);
        }
        for view in old {
            self.views[view].gone = true;
            self.gone.push(view);
        }
        self.metrics[metric].views = views;
        self.settle_intake(metric);
        self.rejoin(metric, &made, now);
        for (group, at) in self.hand_out(metric, &made, &mut moving) {
            // Said under the rule it was, it is said again with the severity it has now.
            self.happen(group, at, Event::Change, now);
        }
    }

    /// Another view that holds and waits for what this one does, without rules and alerts.
    fn copy_view(&mut self, id: u32) -> u32 {
        let from = &self.views[id];
        let (key, last, due) = (from.key.clone(), from.last, from.due.at());
        let groups: Vec<u32> = from.groups.values().copied().collect();
        let copy = self.views.insert(View { last, ..View::new(key) });
        self.dues.set(&mut self.views[copy].due, due, Whom::View(copy));
        for group in groups {
            let Group { window, level, last, armed, text, due, .. } = &self.groups[group];
            let (window, level, last, due) = (window.clone(), level.clone(), *last, due.at());
            let (armed, text) = (*armed, Arc::clone(text));
            let again = self.make_group(copy, Arc::clone(&text), armed);
            let group = &mut self.groups[again];
            (group.window, group.level, group.last) = (window, level, last);
            self.dues.set(&mut group.due, due, Whom::Group(again));
            self.views[copy].groups.insert(text, again);
        }
        copy
    }

    /// The alerts of rules that stay; those of the others are over.
    fn take_alerts(&mut self, views: &[u32], looks: &[Looking]) -> Moving {
        let stays: BTreeSet<&str> = looks.iter().map(|(rule, _)| rule.name.as_str()).collect();
        let mut moving = Moving::new();
        for id in views {
            let view = &mut self.views[*id];
            self.axes.all_went(std::mem::take(&mut view.axes));
            if !view.rules.iter().any(|rule| stays.contains(rule.name.as_str())) {
                continue;
            }
            let room = || Vec::with_capacity(view.groups.len());
            let mut taken: Vec<Vec<(Arc<str>, Alert)>> =
                view.rules.iter().map(|_| room()).collect();
            for (text, group) in &view.groups {
                let alerts = std::mem::take(&mut self.groups[*group].alerts);
                for (of_rule, alert) in taken.iter_mut().zip(alerts) {
                    of_rule.push((text.clone(), alert));
                }
            }
            for (rule, alerts) in view.rules.iter().zip(taken) {
                moving.insert(rule.name.clone(), (Arc::clone(rule), alerts));
            }
        }
        moving
    }

    /// These rules look through a view, by what may be another threshold of its shares.
    pub(super) fn set_rules(&mut self, view: u32, key: ViewKey, rules: Vec<Arc<Rule>>) {
        let owner = &mut self.views[view];
        if owner.key != key {
            for group in owner.groups.values() {
                self.groups[*group].window.set_threshold(key.spec.threshold);
            }
        }
        owner.key = key;
        owner.judge_by(rules);
    }

    /// Frees some of what belonged to views that are gone. Nothing is said of it, so it need not be done in one step.
    pub(super) fn free_gone(&mut self) {
        let mut room = FREED_A_STEP;
        while let Some(view) = self.gone.last().copied().filter(|_| room > 0) {
            let groups = &mut self.views[view].groups;
            let some = std::iter::from_fn(|| groups.pop_last()).take(room);
            for (_, id) in some {
                self.groups.remove(id);
                room -= 1;
            }
            if groups.is_empty() {
                self.views.remove(view);
                self.gone.pop();
            }
        }
    }

    /// Gives alerts to their groups; those that have another severity by that: group, and number of the rule.
    fn hand_out(
        &mut self,
        metric: u32,
        made: &BTreeSet<u32>,
        moving: &mut Moving,
    ) -> Vec<(u32, usize)> {
        let mut renamed = Vec::new();
        for view in self.metrics[metric].views.clone() {
            let owner = &mut self.views[view];
            // Groups made just now already have alerts, counted as unknown; where all rules are new, they are right.
            if made.contains(&view)
                && !owner.rules.iter().any(|rule| moving.contains_key(&rule.name))
            {
                continue;
            }
            self.axes.all_went(std::mem::take(&mut owner.axes));
            let mut groups = Vec::new();
            for (text, id) in &owner.groups {
                let group = &mut self.groups[*id];
                let mut alert = |(at, rule): (usize, &Arc<Rule>)| {
                    let Some((before, alerts)) = moving.get_mut(&rule.name) else {
                        return Alert::default();
                    };
                    let found = alerts.binary_search_by(|(other, _)| other.cmp(text)).ok();
                    found.map_or_else(Alert::default, |found| {
                        let mut alert = std::mem::take(&mut alerts[found].1);
                        if alert.regrade(before, rule) {
                            renamed.push((*id, at));
                        }
                        alert
                    })
                };
                group.restless = None;
                group.alerts = owner.rules.iter().enumerate().map(&mut alert).collect();
                for alert in &group.alerts {
                    self.axes.came(alert.state.axis());
                    owner.axes.came(alert.state.axis());
                }
                groups.push(*id);
            }
            groups.into_iter().for_each(|id| self.touch(id));
        }
        renamed
    }
}

/// Whether windows of one view can serve the other: only the threshold of shares may differ.
pub(super) fn same_panes(one: &ViewKey, other: &ViewKey) -> bool {
    let mut alike = one.clone();
    alike.spec.threshold = other.spec.threshold;
    alike == *other
}
