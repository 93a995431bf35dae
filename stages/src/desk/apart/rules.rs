//! Settings: which rules the desk judges itself, and what an edit does to their alerts. As in a shard
//! (`shard/joins/rules.rs`); where a rule becomes apart, or is no longer, who judged it ends its alerts as `rule_changed`.

use super::{Apart, Group, Judged, View};
use crate::desk::Desk;
use crate::settings::{Rule, Settings};
use crate::shard::{Edit, edit_of, sorted};
use crate::track::axis::{Closing, Event};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Revisions remembered: a shard that works by an older one than these is not heard until it has caught up.
const REVISIONS_MAX: usize = 64;

impl Desk {
    /// Judges by the settings in force from now on; `before` are those before them.
    pub(in crate::desk) fn edit_apart(&mut self, before: &Settings) {
        let settings = self.state.settings.clone();
        let wanted: Vec<Arc<Rule>> = self.wanted_apart();
        if wanted.is_empty() && self.state.apart.rules.is_empty() {
            self.state.apart.revisions.clear();
            return;
        }
        self.note_revision(&settings.revision);
        let metrics: BTreeMap<&str, &str> =
            wanted.iter().map(|rule| (rule.name.as_str(), rule.metric.as_str())).collect();
        let old: Vec<String> = self.state.apart.rules.keys().cloned().collect();
        for name in old {
            let Some(rule_before) = before.rule(&name) else { continue };
            if metrics.get(&*name) == Some(&&*rule_before.metric) {
                continue;
            }
            let known = settings.rule(&name).is_some();
            let why = if known { Closing::RuleChanged } else { Closing::RuleRemoved };
            self.happen_apart(rule_before, Event::Close(why));
            self.state.apart.rules.remove(&name);
        }
        for rule in &wanted {
            let rule_before = before.rule(&rule.name);
            match rule_before.filter(|_| self.state.apart.rules.contains_key(&rule.name)) {
                Some(rule_before) => self.edit_one(rule_before, rule),
                None => self.begin_apart(rule),
            }
        }
    }

    /// Where a snapshot of older stages has nothing of rules that are apart, they begin; what is not saved is made again.
    pub(in crate::desk) fn lay_apart(&mut self) {
        let wanted = self.wanted_apart();
        if self.state.apart.revisions.is_empty() && !wanted.is_empty() {
            let revision = self.state.settings.revision.clone();
            self.note_revision(&revision);
        }
        for rule in wanted {
            match self.state.apart.rules.get_mut(&rule.name) {
                Some(judged) => judged.view.fit(&rule),
                None => self.begin_apart(&rule),
            }
        }
        for verifying in self.state.apart.verifications.values_mut() {
            verifying.view.fit(&verifying.rule);
        }
    }

    fn wanted_apart(&self) -> Vec<Arc<Rule>> {
        let apart = |rule: &&Arc<Rule>| rule.is_apart(&self.subjects, self.shards);
        self.state.settings.rules.iter().filter(apart).cloned().collect()
    }

    fn note_revision(&mut self, name: &str) {
        let Apart { revisions, .. } = &mut self.state.apart;
        if revisions.len() == REVISIONS_MAX {
            revisions.pop_front();
        }
        revisions.push_back((self.state.position, name.to_owned()));
    }

    pub(super) fn view_of(&self, rule: &Arc<Rule>) -> View {
        View::new(rule, |metric| self.subjects.shard_of(metric, self.shards))
    }

    fn begin_apart(&mut self, rule: &Arc<Rule>) {
        let (since, view) = (self.state.position, self.view_of(rule));
        let mut groups = BTreeMap::new();
        // One alert over all series is there before the first of them.
        if rule.group_by.is_empty() {
            groups.insert(String::new(), Group { armed: self.state.now, ..Group::default() });
        }
        self.state
            .apart
            .rules
            .insert(rule.name.clone(), Judged { since, view, groups, settling: false });
    }

    fn edit_one(&mut self, before: &Arc<Rule>, rule: &Arc<Rule>) {
        // What the edit makes it say is for whoever the edited rule is for.
        let heard = Arc::new(Rule { mode: rule.mode, ..(**before).clone() });
        let edit = edit_of(before, rule);
        match edit {
            Edit::Text => {}
            Edit::Clocks => self.happen_apart(&heard, Event::Change),
            Edit::Panes if sorted(&before.group_by) == sorted(&rule.group_by) => {
                self.happen_apart(&heard, Event::Rebase);
                if let Some(judged) = self.state.apart.rules.get_mut(&rule.name) {
                    judged.settling = true;
                }
            }
            Edit::Panes => {
                self.happen_apart(&heard, Event::Close(Closing::RuleChanged));
                self.begin_apart(rule);
            }
        }
        let (since, view) = (self.state.position, self.view_of(rule));
        let Some(judged) = self.state.apart.rules.get_mut(&rule.name) else { return };
        if edit == Edit::Panes {
            let View { clock, second, .. } = judged.view;
            (judged.since, judged.view) = (since, View { clock, second, ..view });
        }
        judged.view.fit(rule);
        let mut renamed = Vec::new();
        for (text, group) in &mut judged.groups {
            if group.alert.regrade(before, rule) {
                renamed.push(text.clone());
            }
        }
        // Said under the rule it was, it is said again with the severity it has now.
        self.happen_apart_to(rule, renamed, Event::Change);
    }
}
