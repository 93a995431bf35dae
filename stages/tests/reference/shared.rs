//! Many rules of one metric that share their windows, as they are and while some of them are edited.

use crate::edits::{REACHED, as_the_model, edit_rule};
use crate::logs::{Profile, log_of, random_rule, random_sample};
use crate::model::Model;
use crate::shard_script::{Bench, Dice, START, events, place, settings};
use crate::{SEEDS, all_reached, all_same, rows, seeds};
use bytes::Bytes;
use stages::log::EntryKind;
use stages::settings::{Rule, Stat};
use stages::shard::Shard;
use stages::time::{Span, Time};
use stages::wire::ShardEvent;
use std::collections::{BTreeMap, BTreeSet};

/// As many as share one window.
const DOZEN: usize = 12;

/// The same where many rules look through one view: those that are calm are passed over, and nobody may notice.
#[test]
fn many_rules_of_one_view_say_what_the_raw_samples_say_of_each() {
    let mut rows_compared = 0;
    for seed in seeds(2 * SEEDS) {
        for profile in [Profile::Plain, Profile::Extreme, Profile::Resets] {
            let (_, bench) = log_of(seed, profile, alike);
            let mut model = Model::new(START);
            bench.steps.iter().for_each(|step| model.step(step));
            all_same(&rows(&bench), &model.rows, |of| format!("seed {seed} {profile:?} {of:?}"));
            rows_compared += model.rows.values().map(Vec::len).sum::<usize>();
        }
    }
    assert!(rows_compared > 5_000, "only {rows_compared} rows");
}

/// A dozen rules that share their windows and differ in all else. One alert each: when a silent group is looked at depends
/// on all rules of its view, so of groups the model would have to know them all.
fn alike(dice: &mut Dice, profile: Profile) -> Vec<Rule> {
    let first = random_rule(dice, "rule-00", profile);
    let mut rules = vec![Rule { group_by: Vec::new(), ..first }];
    while rules.len() < DOZEN {
        rules.push(beside(dice, &rules[0], format!("rule-{:02}", rules.len()), profile));
    }
    rules
}

/// Another rule that looks through the window of `first`.
fn beside(dice: &mut Dice, first: &Rule, name: String, profile: Profile) -> Rule {
    loop {
        let rule = random_rule(dice, &name, profile);
        if rule.stat == first.stat {
            let shares = matches!(rule.stat, Stat::Above | Stat::Below);
            let threshold = if shares { first.threshold } else { rule.threshold };
            let (metric, window) = (first.metric.clone(), first.window);
            let (matchers, group_by) = (first.matchers.clone(), first.group_by.clone());
            return Rule { metric, matchers, group_by, window, threshold, ..rule };
        }
    }
}

#[test]
fn an_edit_of_some_rules_of_one_view_does_what_the_pages_say_of_each() {
    let mut compared = BTreeMap::new();
    for seed in seeds(SEEDS) {
        for profile in [Profile::Plain, Profile::Extreme, Profile::Counter, Profile::Resets] {
            let log = Edited::of(seed, profile);
            let of = format!("seed {seed} {profile:?}");
            as_the_model(&log.bench, &log.history, &of, &mut compared);
        }
    }
    all_reached(&compared, &REACHED);
    all_reached(&compared, &["Pending -> Ok by Gap", "Firing -> Firing by Flapping"]);
}

/// What is said of a rule that no edit names is, to the byte, what is said of it in a log whose settings never change.
#[test]
fn an_edit_leaves_the_other_rules_of_the_view_as_they_were() {
    let (mut events_compared, mut edited) = (0, 0);
    for seed in seeds(SEEDS) {
        for profile in [Profile::Plain, Profile::Extreme, Profile::Counter, Profile::Resets] {
            let log = Edited::of(seed, profile);
            let calm = log.untouched();
            let names: BTreeSet<&str> = calm.iter().map(|rule| rule.name.as_str()).collect();
            let found = said_of(&names, log.bench.events());
            let expected = said_of(&names, log.without_edits(&calm));
            assert_eq!(found, expected, "seed {seed} {profile:?} {calm:#?}");
            events_compared += found.values().map(Vec::len).sum::<usize>();
            edited += log.touched.len();
        }
    }
    assert!(events_compared as u64 > 20 * SEEDS, "only {events_compared} events");
    assert!(edited as u64 > 4 * SEEDS, "only {edited} rules edited");
}

/// Transitions of the rules of these names, as they are written down.
fn said_of(names: &BTreeSet<&str>, events: Vec<ShardEvent>) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in &events {
        if let ShardEvent::Transition(it) = event
            && names.contains(it.rule.as_str())
        {
            let line = serde_json::to_string(event).unwrap();
            said.entry(it.rule.clone()).or_default().push(line);
        }
    }
    said
}

/// A log with two or three revisions after the first, each of which edits a few of many rules.
struct Edited {
    bench: Bench,
    rules: Vec<Rule>,
    /// Those that were there, and may come back.
    gone: Vec<Rule>,
    /// Rules that a revision after the first named.
    touched: BTreeSet<String>,
    /// Every rule there was, with the number of its revision.
    history: Vec<(u64, Rule)>,
    profile: Profile,
}

impl Edited {
    fn of(seed: u64, profile: Profile) -> Self {
        let mut dice = Dice(seed * 19 + profile as u64 + 7);
        let rules = families(&mut dice, profile, seed % 3 == 2);
        let (gone, touched, history) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut log = Self { bench: Bench::new(), rules, gone, touched, history, profile };
        log.put_in_force(0, START);
        let (length, revisions) = (100 + dice.roll(80), 2 + dice.roll(2));
        let edits: BTreeSet<u64> = (0..revisions).map(|_| 10 + dice.roll(length - 10)).collect();
        let (mut time, mut calm, mut counters, mut untimed) = (START, 0, [0; 3], false);
        for n in 0..length {
            let mut tenths = match dice.roll(30) {
                0 => 60 + dice.roll(60),
                1 | 2 => dice.roll(40),
                _ => dice.roll(5),
            };
            if edits.contains(&n) {
                // Often in one instant with the sample before, or with the one after, or with both.
                time = time.plus(Span::from_millis(dice.roll(3) as i64 / 2 * 100));
                log.revise(&mut dice, n);
                log.put_in_force(n, time);
                if dice.roll(2) == 0 {
                    log.bench.append(time, EntryKind::Tick, Bytes::new());
                }
                tenths = dice.roll(2);
            }
            // Of two values of one event time in one step the pages do not say which is the last.
            let tenths = if untimed { tenths.max(1) } else { tenths };
            time = time.plus(Span::from_millis(tenths as i64 * 100));
            calm = if dice.roll(12) == 0 { dice.roll(3) } else { calm };
            let body = random_sample(&mut dice, profile, (time, n, calm), &mut counters);
            untimed = !body.contains("\"ts\"");
            let name = if dice.roll(5) == 0 { "other_ms" } else { "county_api_ms" };
            let body = Bytes::from(body.replace("county_api_ms", name));
            log.bench.push(time, EntryKind::Metric(Bytes::from(name)), body);
        }
        let end = time.plus(Span::from_secs(60));
        log.bench.ticks_before(end);
        log.bench.append(end, EntryKind::Tick, Bytes::new());
        log
    }

    fn put_in_force(&mut self, revision: u64, time: Time) {
        self.history.extend(self.rules.iter().map(|rule| (revision, rule.clone())));
        self.bench.settings(time, &settings(self.rules.clone()));
    }

    /// A few rules change, go, come, come back, or look through the window of another.
    fn revise(&mut self, dice: &mut Dice, revision: u64) {
        for n in 0..1 + dice.roll(4) {
            let (at, other) = (self.one(dice), self.one(dice));
            let name = format!("rule-{revision}-{n}");
            let before = self.rules[at].clone();
            let bound = |by: f64| {
                let (grades, recover) = (Vec::new(), None);
                Rule { threshold: before.threshold + by, grades, recover, ..before.clone() }
            };
            let after = match dice.roll(14) {
                0 | 1 if self.rules.len() > DOZEN / 2 => {
                    self.touched.insert(before.name);
                    self.gone.push(self.rules.remove(at));
                    continue;
                }
                0..=3 => {
                    let back = self.gone.pop();
                    let new = back.unwrap_or_else(|| beside(dice, &before, name, self.profile));
                    self.touched.insert(new.name.clone());
                    self.rules.push(new);
                    continue;
                }
                4 => {
                    self.gone.push(before.clone());
                    self.touched.insert(name.clone());
                    Rule { name, ..before.clone() }
                }
                5 => beside(dice, &self.rules[other], before.name.clone(), self.profile),
                // Those that count shares by one threshold part, and may meet again.
                6 => bound(7.0),
                7 => bound(-7.0),
                8 => Rule { severity: "page".to_owned(), grades: Vec::new(), ..before.clone() },
                _ => {
                    let mut after = before.clone();
                    edit_rule(dice, &mut after, self.profile);
                    after
                }
            };
            self.touched.insert(before.name);
            self.rules[at] = after;
        }
    }

    fn one(&self, dice: &mut Dice) -> usize {
        dice.roll(self.rules.len() as u64) as usize
    }

    /// Rules that no edit names. One alert each and nothing to do: a silent group is looked at, and evidence seen to be
    /// enough, when others are looked at, too.
    fn untouched(&self) -> Vec<Rule> {
        let first = self.history.iter().filter(|(revision, _)| *revision == 0);
        let rules = first.map(|(_, rule)| rule.clone());
        rules
            .filter(|rule| !self.touched.contains(&rule.name))
            .filter(|rule| rule.group_by.is_empty() && rule.action.is_none())
            .collect()
    }

    /// What these rules say to the same steps where they are all there is, and each revision is the first again.
    fn without_edits(&self, rules: &[Rule]) -> Vec<ShardEvent> {
        let settings = serde_json::to_vec(&settings(rules.to_vec())).unwrap();
        let (settings, mut shard) = (Bytes::from(settings), Shard::new(place(0, 1), Time(0)));
        let mut outputs = Vec::new();
        for mut step in self.bench.steps.iter().cloned() {
            for entry in &mut step.entries {
                if entry.kind == EntryKind::Settings {
                    entry.payload = settings.clone();
                }
            }
            outputs.extend(shard.step(&step).into_iter().map(|said| said.output));
        }
        events(&outputs)
    }
}

/// A dozen rules that look through one to three windows.
fn families(dice: &mut Dice, profile: Profile, grouped: bool) -> Vec<Rule> {
    let mut rules = alike(dice, profile);
    rules.truncate(1);
    let (windows, labels) = (1 + dice.roll(3) as usize, ["pod".to_owned()]);
    for n in 1..DOZEN {
        let name = format!("rule-{n:02}");
        let rule = if n < windows {
            random_rule(dice, &name, profile)
        } else {
            let first = dice.roll(windows as u64) as usize;
            beside(dice, &rules[first], name, profile)
        };
        rules.push(rule);
    }
    rules.iter_mut().for_each(|rule| {
        rule.group_by = if grouped { labels.to_vec() } else { Vec::new() };
    });
    rules
}
