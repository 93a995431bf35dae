//! What an edit of the rules does, as the pages say it (`semantics.md` 4, the last line of the list).
//!
//! Text alone touches nothing. Bounds and clocks are judged by from the step's end on, over the samples there are, and what
//! fires goes on firing. A rule that sees something else begins anew, with samples from the edit on, and what fires goes
//! on where its labels are still among those of a known series. A rule that looks at another metric, and one that is
//! gone, ends its alerts and says which of the two it was.

use super::graded::Graded;
use super::{Group, Model, group_of};
use stages::matcher::Matcher;
use stages::settings::{Rule, Settings, Stat};
use stages::time::{Span, Time};
use stages::wire::Cause;
use std::collections::{BTreeMap, BTreeSet};

type Groups = BTreeMap<String, Group>;

/// What decides which samples a rule sees, and what it keeps of them.
pub type Sees = (Vec<Matcher>, BTreeSet<String>, Stat, Span);

/// What decides which samples lie in the panes of a window: its metric, what is seen of it, and since when.
pub type Panes = (String, Sees, (u64, Option<Time>));

/// By metric, the rules that look through each of its windows, in the order of their names.
type Windows = BTreeMap<String, Vec<Vec<(String, Sees)>>>;

impl Model {
    /// Puts settings in force. Answers windows that are parts of others by that, and those.
    pub(super) fn edit(&mut self, settings: &Settings, now: Time) -> Vec<(usize, usize)> {
        self.revision += 1;
        let windows = self.windows();
        let mut old = std::mem::take(&mut self.rules);
        for rule in &settings.rules {
            let rule = Rule::clone(rule);
            match old.remove(&rule.name) {
                None => {
                    self.begun.remove(&rule.name);
                    self.add(&rule, now);
                }
                Some(before) if before.metric != rule.metric => {
                    self.end(&before, Cause::RuleChanged, now);
                    self.begun.insert(rule.name.clone(), now);
                    self.add(&rule, now);
                }
                Some(before) => self.change(&before, &rule, now),
            }
            self.rules.insert(rule.name.clone(), rule);
        }
        for gone in old.values() {
            self.end(gone, Cause::RuleRemoved, now);
        }
        let parted = self.find_alike();
        self.look_at_neighbours(&windows);
        parted
    }

    /// Finds who looks through which window by now. A window goes on as long as somebody looks through it. Rules that counted
    /// shares by one threshold and part take a window that is left, or else what they saw with them. Answers those windows, and
    /// what they were until now.
    fn find_alike(&mut self) -> Vec<(usize, usize)> {
        let mut kinds: Vec<(Panes, Option<f64>)> = Vec::new();
        let mut looks: Vec<Vec<String>> = Vec::new();
        for (name, rule) in &self.rules {
            let counted = matches!(rule.stat, Stat::Above | Stat::Below).then_some(rule.threshold);
            let since = (self.since[name], self.begun.get(name).copied());
            let kind = ((rule.metric.clone(), sees(rule), since), counted);
            let at = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                kinds.push(kind);
                looks.push(Vec::new());
                kinds.len() - 1
            });
            looks[at].push(name.clone());
        }
        let (mut left, mut parted) = (std::mem::take(&mut self.laid), Vec::new());
        let (mut went_on, made): (Vec<(Panes, usize)>, _) = (Vec::new(), self.made);
        self.alike.clear();
        for ((panes, _), names) in kinds.into_iter().zip(looks) {
            let same = |(other, _): &(Panes, usize)| *other == panes;
            let window = if let Some(at) = left.iter().position(same) {
                left.remove(at).1
            } else {
                self.made += 1;
                let of = went_on.iter().find(|it| same(it) && it.1 <= made);
                parted.extend(of.map(|(_, of)| (self.made, *of)));
                self.made
            };
            went_on.push((panes, window));
            self.alike.extend(names.into_iter().map(|name| (name, window)));
        }
        self.laid = went_on;
        parted
    }

    /// Where windows of a metric come or go, or rules that shared one part or meet, all its groups are looked at once, those
    /// of other rules too. That shows in nothing but this: among siblings that report again, a silent group is seen to be
    /// missing then already.
    fn look_at_neighbours(&mut self, before: &Windows) {
        let after = self.windows();
        for ((name, _), group) in &mut self.groups {
            let metric = &self.rules[name].metric;
            group.touched |= before.get(metric) != after.get(metric);
        }
    }

    /// The windows of each metric, and which rules look through them together.
    fn windows(&self) -> Windows {
        let mut windows: BTreeMap<usize, Vec<(String, Sees)>> = BTreeMap::new();
        for (name, rule) in &self.rules {
            windows.entry(self.alike[name]).or_default().push((name.clone(), sees(rule)));
        }
        let mut of_metrics = Windows::new();
        for rules in windows.into_values() {
            let metric = &self.rules[&rules[0].0].metric;
            of_metrics.entry(metric.clone()).or_default().push(rules);
        }
        of_metrics
    }

    /// Labels of a rule that are there without any sample of them to come.
    fn texts(&self, rule: &Rule) -> BTreeSet<String> {
        let series = self.known.iter().filter(|(metric, _)| *metric == rule.metric);
        let texts = series.filter_map(|(_, labels)| group_of(rule, labels));
        texts.chain(rule.group_by.is_empty().then(|| "{}".to_owned())).collect()
    }

    fn add(&mut self, rule: &Rule, now: Time) {
        let begun = self.begun.get(&rule.name).copied();
        self.since.insert(rule.name.clone(), self.revision);
        for text in self.texts(rule) {
            let group = Group::since(rule, now, begun);
            self.groups.insert((rule.name.clone(), text), group);
        }
    }

    fn take(&mut self, rule: &Rule) -> Groups {
        let groups = std::mem::take(&mut self.groups).into_iter();
        let (of_rule, others) =
            groups.partition::<BTreeMap<_, _>, _>(|((name, _), _)| *name == rule.name);
        self.groups = others;
        of_rule.into_iter().map(|((_, text), group)| (text, group)).collect()
    }

    fn end(&mut self, rule: &Rule, cause: Cause, now: Time) {
        for (text, mut group) in self.take(rule) {
            self.tell(rule, (&text, &mut group), now, |alert, seen, rows| {
                alert.close(cause, rule, seen, rows);
            });
        }
    }

    /// An edit of a rule that stays with its metric.
    fn change(&mut self, before: &Rule, after: &Rule, now: Time) {
        if says_as_before(before, after) {
            return;
        }
        // People hear of it under what they knew it by; whether they hear of it goes by the edited rule.
        let known = Rule { mode: after.mode, ..before.clone() };
        let begins = sees(before) != sees(after);
        if begins {
            self.begun.insert(after.name.clone(), now);
            self.since.insert(after.name.clone(), self.revision);
        }
        let texts = self.texts(after);
        for (text, mut group) in self.take(before) {
            let stays = !begins || texts.contains(&text);
            self.tell(&known, (&text, &mut group), now, |alert, seen, rows| {
                match (begins, stays) {
                    (false, _) => alert.change(&known, seen, rows),
                    (true, true) => alert.rebase(&known, seen, rows),
                    (true, false) => alert.close(Cause::RuleChanged, &known, seen, rows),
                }
            });
            if !stays {
                continue;
            }
            if begins {
                group = Group { alert: group.alert, ..Group::since(after, now, Some(now)) };
            }
            group.touched = true;
            if group.alert.follow(before, after) {
                self.tell(after, (&text, &mut group), now, |alert, seen, rows| {
                    alert.change(after, seen, rows);
                });
            }
            self.groups.insert((after.name.clone(), text), group);
        }
        for text in texts {
            let of = (after.name.clone(), text);
            self.groups.entry(of).or_insert_with(|| Group::since(after, now, Some(now)));
        }
    }

    /// Lets something happen to an alert, and takes down what it says.
    fn tell(
        &mut self,
        rule: &Rule,
        (text, group): (&str, &mut Group),
        now: Time,
        what: impl FnOnce(&mut Graded, &super::alert::Seen, &mut Vec<super::Row>),
    ) {
        let (seen, mut rows) = (group.see(rule, Time::default(), now), Vec::new());
        what(&mut group.alert, &seen, &mut rows);
        if !rows.is_empty() {
            self.rows.entry((rule.name.clone(), text.to_owned())).or_default().extend(rows);
        }
    }
}

fn sees(rule: &Rule) -> Sees {
    (rule.matchers.clone(), rule.group_by.iter().cloned().collect(), rule.stat, rule.window)
}

/// Whether an edit is one of texts: of what people read, who is told, and what is done.
pub fn says_as_before(before: &Rule, after: &Rule) -> bool {
    let text = Rule {
        severity: before.severity.clone(),
        action_severity: before.action_severity.clone(),
        unit: before.unit.clone(),
        action: before.action.clone(),
        action_min_samples: before.action_min_samples,
        guards: before.guards.clone(),
        runbook: before.runbook.clone(),
        notify: before.notify.clone(),
        repeat: before.repeat,
        labels: before.labels.clone(),
        annotations: before.annotations.clone(),
        hours: before.hours.clone(),
        reopen_within: before.reopen_within,
        ..after.clone()
    };
    text == *before
}
