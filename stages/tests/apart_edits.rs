//! Random rules whose metrics lie in several shards, edited under way, against one shard that has all of their metrics.
//!
//! The desk learns once a second what one shard sees at each step. So these logs come in phases of steady values: what
//! windows hold has settled at the end of each, and all alerts must stand as in the one shard then.
//!
//! ```text
//! cargo test -p stages --test apart_edits    # OPS_SEEDS of logs, from OPS_FIRST_SEED on
//! ```

mod cluster;
mod shard_script;

use cluster::{Cluster, at};
use serde_json::json;
use shard_script::{Dice, rule};
use stages::settings::{Mode, NoData, Rule, Settings};
use stages::subject::Subjects;
use stages::term::Term;
use stages::time::{Span, Time};
use stages::wire::{Axis, DataFlag};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds of a phase: windows, `for` and all that follows from them are over by then.
const PHASE: i64 = 16;
const PHASES: i64 = 14;
/// When in its phase an edit comes.
const EDIT: i64 = 1;
const SEEDS: u64 = 32;

/// Metrics of three different shards out of so many, if there are three.
fn metrics(shards: u32) -> Vec<String> {
    let shard = |name: &str| Subjects::default().shard_of(name, shards);
    let mut found: Vec<String> = Vec::new();
    for name in (0..).map(|n| format!("metric_{n}")) {
        let taken = found.iter().filter(|other| shard(other) == shard(&name)).count();
        if taken == 0 || (found.len() as u32 >= shards && taken < 2) {
            found.push(name);
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}

/// One log and its revisions.
struct Story {
    dice: Dice,
    shards: u32,
    metrics: Vec<String>,
    grouped: bool,
    /// No clock of an alert runs. Where series may also go missing, how long each thing seems to hold on its way there
    /// differs by what one second shows of it.
    brisk: bool,
    rules: Vec<Rule>,
    gone: Vec<Rule>,
}

impl Story {
    fn new(seed: u64, shards: u32) -> Self {
        let (dice, metrics) = (Dice(seed * 41 + 3), metrics(shards));
        let (grouped, brisk) = (seed % 2 == 1, seed % 4 == 1);
        let (rules, gone) = (Vec::new(), Vec::new());
        let mut story = Self { dice, shards, metrics, grouped, brisk, rules, gone };
        story.rules = (0..3).map(|n| story.rule(&format!("rule-{n}"))).collect();
        story
    }

    fn term(&mut self) -> Term {
        let dice = &mut self.dice;
        let stat = ["mean", "max", "min", "last"][dice.roll(4) as usize];
        // Values are 5, 15, 25 and 35 per host.
        let threshold = 10.0 * (1 + dice.roll(3)) as f64;
        let mut term = json!({
            "metric": self.metrics[dice.roll(3) as usize], "stat": stat,
            "compare": ([">", "<"][usize::from(dice.roll(4) == 0)]), "threshold": threshold,
            "window": Span::from_secs(2 + dice.roll(3) as i64), "min_samples": 1, "fresh_for": "3s",
        });
        if dice.roll(4) == 0 {
            term["per"] = json!(self.metrics[dice.roll(3) as usize]);
            term["threshold"] = json!([0.5, 1.01, 2.0][dice.roll(3) as usize]);
        }
        serde_json::from_value(term).unwrap()
    }

    fn rule(&mut self, name: &str) -> Rule {
        let lists = 1 + self.dice.roll(2);
        let any_of: Vec<Vec<Term>> =
            (0..lists).map(|_| (0..1 + self.dice.roll(2)).map(|_| self.term()).collect()).collect();
        let dice = &mut self.dice;
        let fields = json!({
            "metric": any_of[0][0].metric, "any_of": any_of, "window": "4s", "keep_max": "4s",
            "threshold": any_of[0][0].threshold, "gap_tolerance": "1s", "flap_window": "1s",
            "for": Span::from_secs(dice.roll(4) as i64),
            "keep_firing_for": Span::from_secs(dice.roll(3) as i64),
            "no_data": (["keep", "alert", "ok"][dice.roll(3) as usize]),
            "group_by": if self.grouped { json!(["host"]) } else { json!([]) },
        });
        let mut rule = rule(name, &fields);
        if self.brisk {
            (rule.hold, rule.keep_firing_for) = (Span::ZERO, Span::ZERO);
        }
        rule
    }

    /// Another revision.
    fn edit(&mut self) {
        for _ in 0..1 + self.dice.roll(2) {
            let at = self.dice.roll(self.rules.len().max(1) as u64) as usize;
            match self.dice.roll(8) {
                _ if self.rules.is_empty() => self.rules = vec![self.rule("rule-0")],
                0 => self.gone.push(self.rules.remove(at)),
                1 | 2 => {
                    let back = self.gone.pop();
                    let new = |it: &Rule| self.rules.iter().all(|rule| rule.name != it.name);
                    let back = back.filter(new);
                    self.rules.extend(back);
                }
                3 => {
                    let other = self.rule(&self.rules[at].name.clone());
                    self.replace(at, other);
                }
                _ => {
                    let other = self.edited(self.rules[at].clone());
                    self.replace(at, other);
                }
            }
        }
    }

    /// Not where it is another who judges it from then on: its alerts end by that, as tried in `apart.rs`.
    fn replace(&mut self, at: usize, other: Rule) {
        let apart = |rule: &Rule| rule.is_apart(&Subjects::default(), self.shards);
        if apart(&self.rules[at]) == apart(&other) {
            self.rules[at] = other;
        }
    }

    fn edited(&mut self, mut rule: Rule) -> Rule {
        let other = self.term();
        let dice = &mut self.dice;
        let list = dice.roll(rule.any_of.len() as u64) as usize;
        let last = rule.any_of[list].len() - 1;
        let matcher =
            |op: &str, value: &str| json!([{ "label": "host", "op": op, "value": value }]);
        match dice.roll(12) {
            0 => rule.any_of[list].push(other),
            1 if last > 0 => drop(rule.any_of[list].pop()),
            2 => rule.any_of.push(vec![other]),
            3 if rule.any_of.len() > 1 => drop(rule.any_of.remove(list)),
            4 => rule.any_of[list][last].threshold = other.threshold,
            5 => rule.any_of[list][last].window = other.window,
            6 => {
                let of = [matcher("!=", "a"), matcher("=", "b"), matcher("=~", "a|c"), json!([])];
                let matchers = of[dice.roll(4) as usize].clone();
                let chosen = rule.any_of.iter_mut().flatten();
                chosen.for_each(|term| {
                    term.matchers = serde_json::from_value(matchers.clone()).unwrap();
                });
            }
            7 if !self.brisk => rule.hold = Span::from_secs(dice.roll(4) as i64),
            8 => rule.severity = ["warning", "critical"][dice.roll(2) as usize].to_owned(),
            9 => rule.mode = if rule.mode.is_live() { Mode::Shadow } else { Mode::Live },
            10 if self.grouped => {
                rule.group_by = ["host", "pod"][dice.roll(2) as usize..]
                    .iter()
                    .map(|it| (*it).to_owned())
                    .collect();
            }
            _ => drop(rule.annotations.insert("summary".to_owned(), dice.roll(9).to_string())),
        }
        let first = rule.any_of[0][0].clone();
        (rule.metric, rule.threshold) = (first.metric, first.threshold);
        rule
    }
}

fn settings(revision: i64, rules: &[Rule]) -> Settings {
    Settings { revision: format!("r{revision}"), ..shard_script::settings(rules.to_vec()) }
}

/// How each alert stands: the last that was said of it.
type Standing = BTreeMap<(String, String), (Axis, DataFlag, bool)>;

fn standing(cluster: &Cluster, until: Time) -> Standing {
    let mut all = Standing::new();
    for moved in cluster.transitions().into_iter().filter(|moved| moved.time <= until) {
        let group = moved.group.values().cloned().collect::<Vec<_>>().join(",");
        let stands = (moved.to, moved.data, moved.shadow);
        all.insert((moved.rule, group), stands);
    }
    all
}

/// What is open, and has to stand alike. Where a clock of samples runs out in the same second as one of the alert, it is
/// chance what the alert has come to by then; without anything that decides, it stays at that.
fn compared([mut one, mut many]: [Standing; 2], rules: &[Rule]) -> [Standing; 2] {
    let keeps = |name: &str| rules.iter().any(|it| it.name == name && it.no_data == NoData::Keep);
    let stays = |(name, data): (&str, DataFlag)| match data {
        DataFlag::Fresh => false,
        DataFlag::Stale | DataFlag::Insufficient => true,
        DataFlag::NoData | DataFlag::MissingSeries => keeps(name),
    };
    let left_out = |all: &Standing| -> BTreeSet<_> {
        let all = all.iter().filter(|((name, _), (_, data, _))| stays((name, *data)));
        all.map(|(of, _)| of.clone()).collect()
    };
    let left_out = &left_out(&one) | &left_out(&many);
    one.retain(|of, _| !left_out.contains(of));
    many.retain(|of, _| !left_out.contains(of));
    // Of an alert that is over, all else may be an older word.
    let open = |axis: &Axis| matches!(axis, Axis::Pending | Axis::Firing | Axis::Recovering);
    one.retain(|_, (axis, ..)| open(axis));
    many.retain(|_, (axis, ..)| open(axis));
    [one, many]
}

#[test]
fn edited_rules_over_several_shards_stand_as_they_would_in_one() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = number("OPS_FIRST_SEED").unwrap_or(0);
    let mut open = 0;
    for seed in first..first + number("OPS_SEEDS").unwrap_or(SEEDS) {
        let shards = 2 + (seed % 3) as u32;
        let mut story = Story::new(seed, shards);
        let mut both = [Cluster::new(1), Cluster::new(shards)];
        both.iter_mut().for_each(|cluster| cluster.settings(at(0), &settings(0, &story.rules)));
        let mut history = vec![story.rules.clone()];
        let mut values: BTreeMap<(usize, usize), Option<f64>> = BTreeMap::new();
        for phase in 0..PHASES {
            let begins = phase * PHASE;
            for (metric, host) in (0..3).flat_map(|metric| (0..3).map(move |host| (metric, host))) {
                // The last host always reports, the others may be silent for a phase; else a whole metric may.
                let silent = match (story.grouped, story.brisk) {
                    (true, true) => host < 2 && story.dice.roll(6) == 0,
                    (true, false) => false,
                    (false, _) if host == 0 => story.dice.roll(8) == 0,
                    (false, _) => values[&(metric, 0)].is_none(),
                };
                let value = 5.0 + 10.0 * story.dice.roll(4) as f64;
                values.insert((metric, host), (!silent).then_some(value));
            }
            for second in begins..begins + PHASE {
                if second == begins + EDIT && story.dice.roll(3) > 0 {
                    story.edit();
                    history.push(story.rules.clone());
                    let edited = settings(phase + 1, &story.rules);
                    both.iter_mut()
                        .for_each(|cluster| cluster.settings(at(second * 1_000 + 500), &edited));
                }
                for ((metric, host), value) in &values {
                    let Some(value) = value else { continue };
                    let labels =
                        json!({ "host": (["a", "b", "c"][*host]), "pod": format!("{}", host % 2) });
                    let (time, name) = (at(second * 1_000 + 700), &story.metrics[*metric]);
                    both.iter_mut().for_each(|cluster| cluster.sample(time, name, *value, &labels));
                }
            }
            let ends = at((begins + PHASE) * 1_000);
            both.iter_mut().for_each(|cluster| cluster.pass(ends));
            let stand = both.each_mut().map(|cluster| standing(cluster, ends));
            let [alone, apart] = compared(stand, &story.rules);
            open += alone.len();
            if alone != apart {
                let differ =
                    alone.keys().chain(apart.keys()).find(|it| alone.get(*it) != apart.get(*it));
                let (name, _) = differ.unwrap();
                let rules = history.iter().map(|rules| rules.iter().find(|it| it.name == *name));
                let rules: Vec<_> = rules.map(|it| serde_json::to_string(&it).unwrap()).collect();
                let [alone, apart] = both.each_mut().map(|cluster| cluster.lines(name));
                panic!(
                    "seed {seed}, end of phase {phase}: {differ:?}\n{rules:#?}\none shard {alone:#?}\n{shards} shards {apart:#?}"
                );
            }
        }
    }
    assert!(open > 200, "{open}");
}
