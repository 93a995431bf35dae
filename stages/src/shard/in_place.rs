//! Edits that leave every view its panes and its rules: other clocks, bounds or texts.
//!
//! Most revisions are such edits, of one rule or of all. Alerts keep their places in their groups, and groups lie far
//! away: with ten thousand rules there are some hundred thousand. So those are met once, when the step ends and they are
//! judged; before that only where an alert is open, which hears of the edit.

use super::Shard;
use super::metric::ViewKey;
use super::rules::{Edit, Edited, Looking, compare, named};
use super::runs::TOGETHER;
use super::views::same_panes;
use crate::settings::Rule;
use crate::time::Time;
use crate::track::axis::Event;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Shard {
    /// What an edit makes an alert say is for whoever the edited rule is for: a shadow that becomes live is heard.
    pub(super) fn replace_modes(&mut self, metric: u32, rules: &[Arc<Rule>]) {
        for view in self.metrics[metric].views.clone() {
            for old in &mut self.views[view].rules {
                let new = named(rules, &old.name);
                if let Some(new) = new.filter(|new| new.mode != old.mode) {
                    *old = Arc::new(Rule { mode: new.mode, ..(**old).clone() });
                }
            }
        }
    }

    /// The keys of a metric's views after these edits, if each of them keeps its panes and all of its rules, so that
    /// alerts keep their places in their groups.
    pub(super) fn keys_in_place(&self, metric: u32, edits: &[Edited]) -> Option<Vec<ViewKey>> {
        let key_of = |rule: &Arc<Rule>| {
            let at = edits.binary_search_by(|(other, ..)| other.name.cmp(&rule.name)).ok()?;
            Some(&edits[at].1)
        };
        let views = || self.metrics[metric].views.iter().map(|id| &self.views[*id]);
        let mut keys: Vec<&ViewKey> = Vec::new();
        for view in views() {
            let key = key_of(view.rules.first()?)?;
            if !same_panes(&view.key, key)
                || view.rules.iter().any(|rule| key_of(rule).is_none_or(|other| other != key))
            {
                return None;
            }
            keys.push(key);
        }
        let stays = views().zip(&keys).all(|(view, key)| view.key == **key);
        // Shares of two thresholds that become one are one view from now on.
        let apart = |at: usize| !keys[..at].contains(&keys[at]);
        (stays || (0..keys.len()).all(apart)).then(|| keys.into_iter().cloned().collect())
    }

    /// The same rules with other clocks, bounds or texts, whose panes and groups stay as they are: their alerts hear of it,
    /// and are looked at when the step ends.
    pub(super) fn edit_in_place(
        &mut self,
        metric: u32,
        (rules, keys): (&[Arc<Rule>], Vec<ViewKey>),
        old: &BTreeMap<String, Looking>,
        now: Time,
    ) {
        self.replace_modes(metric, rules);
        for (view, key) in self.metrics[metric].views.clone().into_iter().zip(keys) {
            let before = self.views[view].rules.clone();
            let after: Vec<Arc<Rule>> =
                before.iter().filter_map(|one| named(rules, &one.name).cloned()).collect();
            let clocks = |rule: &Arc<Rule>| {
                let before = old.get(&rule.name).map(|(before, _)| before);
                before.is_some_and(|before| compare(before, rule) == Edit::Clocks)
            };
            let clocks: Vec<usize> = (0..after.len()).filter(|at| clocks(&after[*at])).collect();
            let regrades = before.iter().zip(&after).any(|(one, two)| one.grades != two.grades);
            let mut renamed = Vec::new();
            if regrades || !self.views[view].axes.are_calm() {
                renamed = self.tell_groups(view, &clocks, (&before, &after), now);
            }
            self.set_rules(view, key, after);
            if !clocks.is_empty() {
                self.edited.push(view);
            }
            for (group, at) in renamed {
                // Said under the rule it was, it is said again with the severity it has now.
                self.happen(group, at, Event::Change, now);
            }
        }
    }

    /// The groups of a view hear that these of its rules have other clocks or bounds. Answers which alerts have another
    /// severity by that: group, and number of the rule.
    fn tell_groups(
        &mut self,
        view: u32,
        clocks: &[usize],
        (before, after): (&[Arc<Rule>], &[Arc<Rule>]),
        now: Time,
    ) -> Vec<(u32, usize)> {
        let groups: Vec<u32> = self.views[view].groups.values().copied().collect();
        let mut renamed = Vec::new();
        // One walk over groups that lie far away.
        for together in groups.chunks(TOGETHER) {
            self.look_ahead(together);
            for id in together {
                for at in clocks {
                    self.happen(*id, *at, Event::Change, now);
                }
                let group = &mut self.groups[*id];
                group.restless = None;
                let rules = before.iter().zip(after).enumerate();
                for (alert, (at, (before, after))) in group.alerts.iter_mut().zip(rules) {
                    if alert.regrade(before, after) {
                        renamed.push((*id, at));
                    }
                }
            }
        }
        renamed
    }

    /// The same rules with other texts.
    pub(super) fn replace_rules(&mut self, metric: u32, rules: &[Arc<Rule>]) {
        for view in self.metrics[metric].views.clone() {
            for old in &mut self.views[view].rules {
                if let Some(new) = named(rules, &old.name) {
                    *old = Arc::clone(new);
                }
            }
        }
    }

    /// All groups of views whose rules were edited in place.
    pub(super) fn evaluate_edited(&mut self, now: Time) {
        for view in std::mem::take(&mut self.edited) {
            let view = &self.views[view];
            if view.gone {
                continue;
            }
            let groups: Vec<u32> = view.groups.values().copied().collect();
            for together in groups.chunks(TOGETHER) {
                self.look_ahead(together);
                for id in together {
                    self.groups[*id].dirty = false;
                    self.evaluate(*id, now);
                }
            }
        }
    }
}
