//! Settings: which rules a shard judges by, and what an edit does to alerts that exist.
//!
//! | what changed                                   | panes        | alerts                                     |
//! |------------------------------------------------|--------------|--------------------------------------------|
//! | texts, receivers, action, severity             | kept         | kept                                       |
//! | thresholds, `for`, `recover`, clocks, `mode`   | kept         | kept, firing ones are said again           |
//! | `where`, `group_by`, `stat`, `window`          | from here on | firing ones go on where the group exists   |
//! | `metric`                                       | from here on | end: another metric may be another shard's |
//! | the rule is gone                               | dropped      | end as `rule_removed`                      |

use super::Shard;
use super::metric::{ViewKey, filter, group_text, sorted};
use super::runs::TOGETHER;
use crate::log::Entry;
use crate::matcher::Filter;
use crate::revision::{Ahead, Taken};
use crate::settings::{Rule, Settings};
use crate::time::Time;
use crate::track::axis::{Closing, Event};
use crate::wire::SCHEMA;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an edit of a rule means for its alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Nothing that judges: panes and alerts stay.
    Text,
    /// Panes stay, and so does what fires.
    Clocks,
    /// Panes begin anew; what fires goes on where its group still exists.
    Panes,
}

/// A rule and the view it looks through.
pub(super) type Looking = (Arc<Rule>, ViewKey);

/// A wanted rule, the view it is to look through, and what kind of edit that is; none for a new one.
pub(super) type Edited = (Arc<Rule>, ViewKey, Option<Edit>);

impl Shard {
    /// Puts a revision of the settings in force, at its last part if it came in parts; an invalid one is refused whole.
    pub(super) fn take_settings(&mut self, entry: &Entry, ahead: &Ahead, now: Time) {
        let came = (entry.sequence, &*entry.payload);
        let Taken { in_force, refused } = self.collected.take_entry(came, ahead);
        let (in_force, invalid) = match in_force.map(check) {
            Some(Ok(settings)) => (Some(settings), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let first = self.place.is_first();
        for why in refused.into_iter().chain(invalid).filter(|_| first) {
            self.count_refused("settings", 1);
            let text =
                format!("settings at {} are refused, the previous stay: {why}", entry.sequence);
            self.notice(now, "settings_refused", ("settings", ""), text);
        }
        if let Some(settings) = in_force {
            self.apply(settings, entry.sequence, now);
        }
    }

    fn apply(&mut self, settings: Settings, since: u64, now: Time) {
        let mut wanted: BTreeMap<Box<str>, Vec<Arc<Rule>>> = BTreeMap::new();
        for rule in settings.rules.iter().filter(|rule| !rule.is_joined() && self.is_ours(rule)) {
            wanted.entry(rule.metric.as_str().into()).or_default().push(Arc::clone(rule));
        }
        let names: FxHashSet<&str> = settings.rules.iter().map(|rule| rule.name.as_str()).collect();
        let known: BTreeSet<Box<str>> = self.names.keys().chain(wanted.keys()).cloned().collect();
        for name in known {
            let rules = wanted.remove(&name).unwrap_or_default();
            if rules.is_empty() && !self.has_rules(&name) {
                continue;
            }
            let metric = self.metric(&name);
            self.apply_to_metric(metric, rules, &names, (since, now));
        }
        self.shared.clear();
        self.apply_joins(&settings, &names, (since, now));
        if settings.limits != self.settings.limits {
            // A route may have been refused under the others.
            self.tables.clear();
        }
        self.settings = Arc::new(settings);
        self.stand_next(now);
        self.detail_rollups();
    }

    fn is_ours(&self, rule: &Rule) -> bool {
        self.place.owns(super::slice_of(&rule.metric)) && self.place.is_of_shard(&rule.metric)
    }

    fn has_rules(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|id| !self.metrics[*id].views.is_empty())
    }

    fn apply_to_metric(
        &mut self,
        metric: u32,
        mut rules: Vec<Arc<Rule>>,
        names: &FxHashSet<&str>,
        (since, now): (u64, Time),
    ) {
        rules.sort_by(|one, other| one.name.cmp(&other.name));
        if self.are_in_force(metric, &rules) {
            return;
        }
        let old = self.looking(metric);
        let edits = self.edits(&old, &rules, (since, now));
        if old.len() == rules.len()
            && let Some(keys) = self.keys_in_place(metric, &edits)
        {
            if edits.iter().any(|(_, _, edit)| *edit == Some(Edit::Clocks)) {
                self.edit_in_place(metric, (&rules, keys), &old, now);
            } else {
                self.replace_rules(metric, &rules);
            }
            return;
        }
        self.close_gone((metric, &old), &rules, names, now);
        self.replace_modes(metric, &rules);
        for (rule, _, edit) in &edits {
            match edit {
                Some(Edit::Clocks) => self.happen_to_open(metric, &rule.name, Event::Change, now),
                Some(Edit::Panes) => {
                    let texts = self.group_texts(metric, rule);
                    self.happen_to_rule(metric, &rule.name, now, |text| {
                        let stays = texts.contains(text);
                        if stays { Event::Rebase } else { Event::Close(Closing::RuleChanged) }
                    });
                }
                Some(Edit::Text) | None => {}
            }
        }
        let looks = edits.into_iter().map(|(rule, key, _)| (rule, key)).collect();
        self.lay_views(metric, looks, now);
    }

    /// Whether these, sorted by name, are the rules of a metric as they are.
    fn are_in_force(&self, metric: u32, rules: &[Arc<Rule>]) -> bool {
        let views = self.metrics[metric].views.iter().map(|id| &self.views[*id]);
        let mut old: Vec<&Arc<Rule>> = views.flat_map(|view| &view.rules).collect();
        old.sort_by(|one, other| one.name.cmp(&other.name));
        let same =
            |(one, other): (&&Arc<Rule>, &Arc<Rule>)| Arc::ptr_eq(one, other) || *one == other;
        old.len() == rules.len() && old.iter().zip(rules).all(same)
    }

    /// Rules of a metric as they are, by name.
    fn looking(&self, metric: u32) -> BTreeMap<String, Looking> {
        let views = self.metrics[metric].views.iter().map(|id| &self.views[*id]);
        views
            .flat_map(|view| {
                let look =
                    |rule: &Arc<Rule>| (rule.name.clone(), (Arc::clone(rule), view.key.clone()));
                view.rules.iter().map(look).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Each wanted rule with the view it is to look through, and what kind of edit that is.
    fn edits(
        &self,
        old: &BTreeMap<String, Looking>,
        rules: &[Arc<Rule>],
        (since, now): (u64, Time),
    ) -> Vec<Edited> {
        let edit = |rule: &Arc<Rule>| match old.get(&rule.name) {
            None => {
                // One that watched something else so far sees what comes from here on, as with any edit of what it sees.
                let moved = self.settings.rule(&rule.name).is_some();
                (Arc::clone(rule), ViewKey::of(rule, since, moved.then_some(now)), None)
            }
            Some((before, key)) => {
                let edit = compare(before, rule);
                let key = match edit {
                    // The same panes, whatever threshold shares are counted against.
                    Edit::Text | Edit::Clocks => ViewKey::of(rule, key.since, key.from),
                    Edit::Panes => ViewKey::of(rule, since, Some(now)),
                };
                (Arc::clone(rule), key, Some(edit))
            }
        };
        rules.iter().map(edit).collect()
    }

    /// Ends the alerts of rules that are gone from this metric.
    fn close_gone(
        &mut self,
        (metric, old): (u32, &BTreeMap<String, Looking>),
        rules: &[Arc<Rule>],
        names: &FxHashSet<&str>,
        now: Time,
    ) {
        for name in old.keys().filter(|name| named(rules, name).is_none()) {
            let moved = names.contains(name.as_str());
            let why = if moved { Closing::RuleChanged } else { Closing::RuleRemoved };
            self.happen_to_open(metric, name, Event::Close(why), now);
        }
    }

    /// Lets a change or an end happen to all alerts of a rule: it means nothing to those of a calm view, which lie far away.
    fn happen_to_open(&mut self, metric: u32, name: &str, event: Event, now: Time) {
        let mut views = self.metrics[metric].views.iter().map(|id| &self.views[*id]);
        let view = views.find(|view| place_of(&view.rules, name).is_some());
        if view.is_some_and(|view| !view.axes.are_calm()) {
            self.happen_to_rule(metric, name, now, |_| event);
        }
    }

    /// Lets an event happen to all alerts of a rule, chosen by the text of their group.
    fn happen_to_rule(
        &mut self,
        metric: u32,
        name: &str,
        now: Time,
        event: impl Fn(&str) -> Event,
    ) {
        let mut places: Vec<(u32, usize, Event)> = Vec::new();
        for view in self.metrics[metric].views.iter().map(|id| &self.views[*id]) {
            if let Some(at) = place_of(&view.rules, name) {
                places.extend(view.groups.iter().map(|(text, group)| (*group, at, event(text))));
            }
        }
        for together in places.chunks(TOGETHER) {
            let ids: SmallVec<[u32; TOGETHER]> = together.iter().map(|(id, ..)| *id).collect();
            self.look_ahead(&ids);
            for (group, at, event) in together {
                self.happen(*group, *at, *event, now);
            }
        }
    }

    /// The groups the series of a metric that a rule looks at fall into.
    fn group_texts(&self, metric: u32, rule: &Rule) -> BTreeSet<Box<str>> {
        let (group_by, filter) = (sorted(&rule.group_by), filter(&rule.matchers));
        let keys = self.metrics[metric].series.keys().filter(|key| filter.takes_key(key));
        let whole = group_by.is_empty().then(Box::default);
        keys.map(|key| group_text(key, &group_by).into()).chain(whole).collect()
    }
}

/// Place of the rule of this name among rules sorted by it.
pub(super) fn place_of(rules: &[Arc<Rule>], name: &str) -> Option<usize> {
    rules.binary_search_by(|rule| rule.name.as_str().cmp(name)).ok()
}

pub(super) fn named<'a>(rules: &'a [Arc<Rule>], name: &str) -> Option<&'a Arc<Rule>> {
    rules.get(place_of(rules, name)?)
}

/// What kind of edit lies between two rules of one name and one metric.
pub fn edit_of(before: &Rule, after: &Rule) -> Edit {
    match (before.is_joined(), after.is_joined()) {
        (false, false) => compare(before, after),
        (true, true) => super::joins::edit(before, after),
        (true, false) | (false, true) => Edit::Panes,
    }
}

/// The same of rules that are not joined.
pub(super) fn compare(before: &Rule, after: &Rule) -> Edit {
    if before.matchers != after.matchers
        || sorted(&before.group_by) != sorted(&after.group_by)
        || before.stat != after.stat
        || before.window != after.window
    {
        return Edit::Panes;
    }
    let same_clocks = before.compare == after.compare
        && before.threshold == after.threshold
        && before.share == after.share
        && before.grades == after.grades
        && before.hold == after.hold
        && before.recover == after.recover
        && before.keep_firing_for == after.keep_firing_for
        && before.min_samples == after.min_samples
        && before.fresh_for == after.fresh_for
        && before.gap_tolerance == after.gap_tolerance
        && before.no_data == after.no_data
        && before.keep_max == after.keep_max
        && before.absent == after.absent
        && before.flap_window == after.flap_window
        // What fires is said again, so that a rule that becomes live is heard of.
        && before.mode == after.mode;
    if same_clocks { Edit::Text } else { Edit::Clocks }
}

/// Whether settings can be judged by.
///
/// # Errors
/// What stands in the way.
pub(super) fn check(settings: Settings) -> Result<Settings, String> {
    if settings.schema != SCHEMA {
        return Err(format!("schema {} where this version reads {SCHEMA}", settings.schema));
    }
    if let Some(rule) = settings.rules.iter().find(|rule| rule.window.0 <= 0) {
        return Err(format!("rule {}: a window of no length", rule.name));
    }
    for rule in settings.rules.iter().filter(|rule| rule.is_joined()) {
        check_terms(rule).map_err(|why| format!("rule {}: {why}", rule.name))?;
    }
    let mut checked = BTreeSet::new();
    for rule in settings.rules.iter().filter(|rule| checked.insert(&rule.matchers)) {
        Filter::of(&rule.matchers).map_err(|error| format!("rule {}: {error}", rule.name))?;
    }
    let mut names = FxHashSet::default();
    match settings.rules.iter().find(|rule| !names.insert(rule.name.as_str())) {
        Some(rule) => Err(format!("rule {} is there twice", rule.name)),
        None => Ok(settings),
    }
}

/// Whether the terms of a joined rule can be judged by.
///
/// # Errors
/// What stands in the way.
pub(super) fn check_terms(rule: &Rule) -> Result<(), String> {
    if rule.any_of.iter().any(Vec::is_empty) {
        return Err("a list without conditions".to_owned());
    }
    for term in rule.terms() {
        if term.window.0 <= 0 || term.baseline.is_some_and(|offset| offset.0 <= 0) {
            return Err("a window of no length".to_owned());
        }
        Filter::of(&term.matchers).map_err(|error| error.to_string())?;
    }
    Ok(())
}
