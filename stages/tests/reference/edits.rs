//! Rules that are edited while their alerts live.

use crate::logs::{Profile, random_matchers, random_rule, random_sample};
use crate::model::Model;
use crate::shard_script::{Bench, Dice, START, settings};
use crate::{Rows, SEEDS, all_reached, all_same, rows, seeds};
use bytes::Bytes;
use stages::log::EntryKind;
use stages::settings::{Compare, Grade, Mode, NoData, Rule, Stat};
use stages::time::Span;
use std::collections::BTreeMap;

#[test]
fn an_edit_does_what_the_pages_say_and_nothing_else() {
    let mut compared = BTreeMap::new();
    for seed in seeds(2 * SEEDS) {
        for profile in [Profile::Plain, Profile::Counter, Profile::Resets] {
            let (bench, history) = edited_log(seed, profile);
            as_the_model(&bench, &history, &format!("seed {seed} {profile:?}"), &mut compared);
        }
    }
    all_reached(&compared, &REACHED);
}

/// What logs with edits reach.
pub const REACHED: [&str; 8] = [
    "Firing -> Firing by RuleChanged",
    "Recovering -> Recovering by RuleChanged",
    "Pending -> Unknown by RuleChanged",
    "Firing -> Unknown by RuleChanged",
    "Firing -> Unknown by RuleRemoved",
    "Pending -> Unknown by RuleRemoved",
    "Firing -> Ok by Recovered",
    "Pending -> Firing by Held",
];

/// What was said in a log is what the model says; `history` are the rules there were, `compared` counts by kind.
pub fn as_the_model(
    bench: &Bench,
    history: &[(u64, Rule)],
    log: &str,
    compared: &mut BTreeMap<String, u64>,
) {
    let mut model = Model::new(START);
    bench.steps.iter().for_each(|step| model.step(step));
    all_same(&rows(bench), &model.rows, |of| about(history, log, of));
    count(&model.rows, compared);
}

/// Says where a difference is.
pub fn about(history: &[(u64, Rule)], log: &str, of: &(String, String)) -> String {
    let history: Vec<_> = history.iter().filter(|(_, it)| it.name == of.0).collect();
    format!("{log} {of:?} {history:#?}")
}

/// Counts what was said by its kind.
pub fn count(rows: &Rows, compared: &mut BTreeMap<String, u64>) {
    for row in rows.values().flatten() {
        let kind = format!("{:?} -> {:?} by {:?}", row.from, row.to, row.cause);
        *compared.entry(kind).or_insert(0) += 1;
    }
}

/// A log with some four revisions after the first, and every rule there was, with the number of its revision.
fn edited_log(seed: u64, profile: Profile) -> (Bench, Vec<(u64, Rule)>) {
    let mut dice = Dice(seed * 13 + profile as u64 + 3);
    let mut rules: Vec<Rule> = (0..2 + dice.roll(3))
        .map(|n| random_rule(&mut dice, &format!("rule-{n}"), profile))
        .collect();
    let mut bench = Bench::new();
    bench.settings(START, &settings(rules.clone()));
    let mut history: Vec<(u64, Rule)> = rules.iter().map(|rule| (0, rule.clone())).collect();
    let (mut time, mut calm, mut counters) = (START, 0, [0_i64; 3]);
    let (length, mut revisions, mut untimed) = (100 + dice.roll(100), 0, false);
    for n in 0..length {
        let tenths = match dice.roll(30) {
            0 => 60 + dice.roll(60),
            1 | 2 => dice.roll(40),
            _ => dice.roll(5),
        };
        // Of two values of one event time in one step the pages do not say which is the last.
        let tenths = if untimed { tenths.max(1) } else { tenths };
        time = time.plus(Span::from_millis(tenths as i64 * 100));
        if dice.roll(length) < 4 {
            revisions += 1;
            edit(&mut dice, &mut rules, (revisions, profile));
            history.extend(rules.iter().map(|rule| (revisions, rule.clone())));
            bench.settings(time, &settings(rules.clone()));
            if dice.roll(2) == 0 {
                bench.append(time, EntryKind::Tick, Bytes::new());
            }
        }
        calm = if dice.roll(12) == 0 { dice.roll(3) } else { calm };
        let mut body = random_sample(&mut dice, profile, (time, n, calm), &mut counters);
        untimed = !body.contains("\"ts\"");
        let mut name = "county_api_ms";
        if dice.roll(5) == 0 {
            name = "other_ms";
            body = body.replace("county_api_ms", name);
        }
        bench.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body));
    }
    let end = time.plus(Span::from_secs(60));
    bench.ticks_before(end);
    bench.append(end, EntryKind::Tick, Bytes::new());
    (bench, history)
}

/// Another revision: sometimes the same again, mostly with one to three rules changed, added, removed or renamed.
fn edit(dice: &mut Dice, rules: &mut Vec<Rule>, (revision, profile): (u64, Profile)) {
    if dice.roll(6) == 0 {
        return;
    }
    for n in 0..1 + dice.roll(3) {
        let name = format!("rule-{revision}-{n}");
        if rules.is_empty() || dice.roll(10) == 0 {
            rules.push(random_rule(dice, &name, profile));
            continue;
        }
        let at = dice.roll(rules.len() as u64) as usize;
        match dice.roll(12) {
            0 => drop(rules.remove(at)),
            1 => rules[at].name = name,
            2 => rules[at] = random_rule(dice, &rules[at].name.clone(), profile),
            _ => edit_rule(dice, &mut rules[at], profile),
        }
    }
}

/// Something else about a rule that stays.
pub fn edit_rule(dice: &mut Dice, rule: &mut Rule, profile: Profile) {
    let other = random_rule(dice, &rule.name, profile);
    let tenths = |dice: &mut Dice| Span::from_millis(dice.roll(40) as i64 * 100);
    let plain = rule.grades.is_empty();
    match dice.roll(21) {
        // Bounds. Where there are grades or another statistic, all that hangs together goes together.
        0 | 1 if plain && rule.recover.is_none() => rule.threshold += dice.roll(30) as f64 - 15.0,
        0..=2 => {
            rule.stat = other.stat;
            rule.compare = other.compare;
            rule.threshold = other.threshold;
            rule.recover = other.recover;
            rule.grades = other.grades;
            rule.severity = other.severity;
            rule.absent = other.absent;
        }
        3 if rule.recover.is_some() => rule.recover = None,
        // Clocks.
        3 | 4 => rule.hold = tenths(dice),
        5 => rule.hold = Span(rule.hold.0 * 2 + 1_000_000_000),
        6 => rule.keep_firing_for = tenths(dice),
        7 => rule.gap_tolerance = other.gap_tolerance,
        8 => (rule.fresh_for, rule.min_samples) = (other.fresh_for, other.min_samples),
        9 => (rule.keep_max, rule.flap_window) = (other.keep_max, other.flap_window),
        10 => {
            rule.no_data = [NoData::Keep, NoData::Alert, NoData::Ok][dice.roll(3) as usize];
        }
        // Severities.
        11 if plain => rule.severity = "warning".to_owned(),
        11 => rule.grades.last_mut().unwrap().severity = "page".to_owned(),
        // What is seen.
        12 => rule.window = other.window,
        13 => rule.group_by = other.group_by,
        14 => rule.matchers = serde_json::from_value(random_matchers(dice)).unwrap(),
        15 if dice.roll(3) == 0 => {
            let moved = if rule.metric == "other_ms" { "county_api_ms" } else { "other_ms" };
            rule.metric = moved.to_owned();
        }
        15 | 16 => {
            rule.mode = if rule.mode.is_live() { Mode::Shadow } else { Mode::Live };
        }
        17..=19 => edit_grades(dice, rule),
        _ => {
            rule.annotations.insert("summary".to_owned(), dice.roll(9).to_string());
            rule.labels.insert("team".to_owned(), dice.roll(9).to_string());
            rule.notify = vec![format!("somebody-{}", dice.roll(9))];
            (rule.action, rule.action_min_samples) = (other.action, other.action_min_samples);
        }
    }
}

/// Severities move their bounds, come, go, or have another name.
fn edit_grades(dice: &mut Dice, rule: &mut Rule) {
    let side = match rule.compare {
        Compare::Greater | Compare::GreaterEqual => 1.0,
        Compare::Less | Compare::LessEqual => -1.0,
        Compare::Equal | Compare::NotEqual => return,
    };
    if matches!(rule.stat, Stat::Above | Stat::Below) || rule.absent.is_some() {
        return;
    }
    let grade = |severity: &str, bound| Grade { severity: severity.to_owned(), bound };
    let by = side * (1 + dice.roll(20)) as f64;
    match (dice.roll(5), rule.grades.pop()) {
        (_, None) => {
            let first = if dice.roll(2) == 0 { "info" } else { "critical" };
            rule.grades = vec![grade(first, rule.threshold), grade("worst", rule.threshold + by)];
        }
        (0, Some(last)) => {
            let worst = grade("worst", last.bound + by);
            rule.grades.extend([grade("grave", last.bound), worst]);
        }
        (1, Some(last)) => {
            let between = grade("between", rule.threshold + side * 0.5);
            rule.grades.extend([between, last]);
        }
        (2 | 3, Some(last)) => rule.grades.push(grade(&last.severity, last.bound + by)),
        (_, Some(_)) if rule.grades.len() < 2 => rule.grades.clear(),
        (_, Some(_)) => {}
    }
    if let Some(first) = rule.grades.first() {
        rule.severity.clone_from(&first.severity);
    }
}
